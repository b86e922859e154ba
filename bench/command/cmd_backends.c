#include "command.h"

#include "../../backends/faults/faulty.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heapgauge/oracle.h"
#include "heapgauge/profile.h"

static const char usage[] =
    "usage: heapgauge backends [--json] [--faults] [--tunables] [BACKEND...]\n\n"
    "Lists allocators: the version each reports of itself, the file that really serves its calls (found\n"
    "by address), that file's SHA-256, what it promises and which functions it has. Without a name: all\n"
    "that Heapgauge knows. A BACKEND is a name, or a path to any malloc library.\n\n"
    "  --json      as JSON\n"
    "  --faults    the bugs that can be planted in front of a backend: fault-NAME:BACKEND\n"
    "  --tunables  what can be set of each: NAME:TUNABLE=VALUE:TUNABLE=VALUE opens it so\n\n"
    "Exit status: 0 listed, 2 usage, or a BACKEND that can't be loaded.\n";

static const char *zero_policy_name(enum hg_zero_policy policy) {
    switch (policy) {
    case HG_ZERO_NULL:
        return "NULL";
    case HG_ZERO_UNIQUE:
        return "unique pointer";
    default:
        return "unknown";
    }
}

static void absolute_path(const char *path, char *out, size_t out_size) {
    char *real = realpath(path, NULL);
    snprintf(out, out_size, "%s", real ? real : path);
    free(real);
}

static void print_layout_face(const hg_backend *backend) {
    printf("  layout face  %s%s%s%s\n", backend->layout.alloc ? "alloc " : "",
           backend->layout.alloc_zeroed ? "alloc_zeroed " : "",
           backend->layout.realloc ? "realloc " : "", backend->layout.dealloc ? "dealloc" : "");
}

static void print_libc_face(const hg_backend *backend) {
    char missing[256] = "";
    size_t used = 0;
    printf("  libc face    ");
    for (size_t i = 0; i < HG_LIBC_FACE_COUNT; i++) {
        bool present;
        const char *name = hg_libc_face_entry(&backend->libc, i, &present);
        if (present)
            printf("%s ", name);
        else
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s ", name);
    }
    printf("\n");
    if (*missing)
        printf("  not there    %s\n", missing);
}

/* What it does where the contract leaves a choice. */
static void print_profile(const hg_backend *backend) {
    struct hg_profile_answer answers[HG_PROFILE_QUESTIONS_MAX];
    size_t count = hg_profile_ask(backend, answers);
    for (size_t i = 0; backend->libc.malloc && i < count; i++)
        printf("  %s%-38s %s\n", i == 0 ? "profile      " : "             ", answers[i].question,
               answers[i].answer);
}

static void print_native_face(const hg_backend *backend) {
    const struct hg_native_facts *native;
    bool any = false;
    for (unsigned i = 0; (native = hg_native_facts(i)) != NULL; i++)
        if (hg_native_is_there(&backend->native, i)) {
            printf("%s%s", any ? " " : "  native face  ", native->name);
            any = true;
        }
    printf("%s", any ? "\n" : "");
}

static void print_waivers(const hg_backend *backend) {
    const struct hg_waiver *waiver;
    for (size_t i = 0; (waiver = hg_waiver_at(i)) != NULL; i++)
        if (strcmp(waiver->backend, backend->facts.name) == 0)
            printf("  waiver       %s since %s: %s\n", waiver->item, waiver->date, waiver->reason);
}

static void print_backend(const hg_backend *backend, const char *summary) {
    const struct hg_facts *facts = &backend->facts;
    char path[4096], hex[65] = "?";
    absolute_path(facts->path, path, sizeof path);
    hg_file_sha256(path, hex);
    printf("%s %s%s%s\n", facts->name, facts->version, summary ? "  - " : "",
           summary ? summary : "");
    printf("  served by    %s\n  sha256       %s\n", path, hex);
    printf("  alignment    at least %zu for sizes from there up, at most %zu\n", facts->align_min,
           facts->align_max);
    print_profile(backend);
    print_layout_face(backend);
    print_libc_face(backend);
    print_native_face(backend);
    print_waivers(backend);
    printf("  can          %s%s%s\n", backend->purge ? "purge " : "",
           backend->validate ? "validate " : "",
           facts->frees ? "free" : "(never frees: for the harness's own cost)");
    if (facts->tunables)
        printf("  tunables     %s\n", facts->tunables);
    printf("\n");
}

static void json_faces(hg_json *json, const hg_backend *backend) {
    const struct {
        const char *name;
        bool present;
    } layout[] = {{"alloc", backend->layout.alloc != NULL},
                  {"alloc_zeroed", backend->layout.alloc_zeroed != NULL},
                  {"realloc", backend->layout.realloc != NULL},
                  {"dealloc", backend->layout.dealloc != NULL}};
    hg_json_key(json, "layout_face");
    hg_json_array(json);
    for (size_t i = 0; i < sizeof layout / sizeof *layout; i++)
        if (layout[i].present)
            hg_json_string(json, layout[i].name);
    hg_json_end_array(json);
    hg_json_key(json, "libc_face");
    hg_json_array(json);
    for (size_t i = 0; i < HG_LIBC_FACE_COUNT; i++) {
        bool present;
        const char *name = hg_libc_face_entry(&backend->libc, i, &present);
        if (present)
            hg_json_string(json, name);
    }
    hg_json_end_array(json);
}

static void json_profile(hg_json *json, const hg_backend *backend) {
    struct hg_profile_answer answers[HG_PROFILE_QUESTIONS_MAX];
    size_t count = hg_profile_ask(backend, answers);
    hg_json_key(json, "profile");
    hg_json_object(json);
    for (size_t i = 0; i < count; i++)
        hg_json_member_string(json, answers[i].key, answers[i].answer);
    hg_json_end_object(json);
    const struct hg_waiver *waiver;
    hg_json_key(json, "waivers");
    hg_json_array(json);
    for (size_t i = 0; (waiver = hg_waiver_at(i)) != NULL; i++) {
        if (strcmp(waiver->backend, backend->facts.name) != 0)
            continue;
        hg_json_object(json);
        hg_json_member_string(json, "item", waiver->item);
        hg_json_member_string(json, "date", waiver->date);
        hg_json_member_string(json, "reason", waiver->reason);
        hg_json_end_object(json);
    }
    hg_json_end_array(json);
    const struct hg_native_facts *native;
    hg_json_key(json, "native_face");
    hg_json_array(json);
    for (unsigned i = 0; (native = hg_native_facts(i)) != NULL; i++)
        if (hg_native_is_there(&backend->native, i))
            hg_json_string(json, native->name);
    hg_json_end_array(json);
}

static void json_backend(hg_json *json, const char *name, const hg_backend *backend,
                         const char *why, const char *package) {
    hg_json_object(json);
    hg_json_member_string(json, "name", name);
    hg_json_key(json, "available");
    hg_json_bool(json, backend != NULL);
    hg_json_member_string(json, "why", why);
    hg_json_member_string(json, "package", package);
    if (backend) {
        const struct hg_facts *facts = &backend->facts;
        char path[4096], hex[65] = "";
        absolute_path(facts->path, path, sizeof path);
        hg_json_member_string(json, "version", facts->version);
        hg_json_member_string(json, "path", path);
        hg_json_member_string(json, "sha256", hg_file_sha256(path, hex) ? hex : NULL);
        hg_json_key(json, "align_min");
        hg_json_u64(json, facts->align_min);
        hg_json_key(json, "align_max");
        hg_json_u64(json, facts->align_max);
        hg_json_member_string(json, "malloc_zero", zero_policy_name(facts->malloc_zero));
        hg_json_member_string(json, "realloc_zero", zero_policy_name(facts->realloc_zero));
        hg_json_member_string(json, "tunables", facts->tunables);
        hg_json_key(json, "frees");
        hg_json_bool(json, facts->frees);
        hg_json_key(json, "purges");
        hg_json_bool(json, backend->purge != NULL);
        json_faces(json, backend);
        json_profile(json, backend);
    }
    hg_json_end_object(json);
}

/* Lists one backend; false iff it is not available. */
static bool list_one(const char *name, size_t registered, hg_json *json) {
    const hg_backend *backend = NULL;
    const char *summary = NULL, *package = NULL;
    char why[512] = "";
    if (registered != SIZE_MAX) {
        summary = hg_backend_summary(registered);
        package = hg_backend_package(registered);
    }
    bool available = hg_backend_open(name, &backend, why, sizeof why) == HG_OK;
    if (json)
        json_backend(json, name, available ? backend : NULL, available ? NULL : why, package);
    else if (available)
        print_backend(backend, summary);
    else
        printf("%s  - %s\n\n", name, why);
    return available;
}

static int list_faults(void) {
    const struct hg_fault *fault;
    for (size_t i = 0; (fault = hg_fault_at(i)) != NULL; i++)
        printf("%-20s %-4s ease %d  %s\n", fault->name, fault->item ? fault->item : "-",
               fault->ease, fault->what);
    return HG_EXIT_OK;
}

static int list_tunables(void) {
    const char *name;
    const struct hg_tunable *tunable;
    for (size_t i = 0; (name = hg_backend_name(i)) != NULL; i++)
        for (size_t j = 0; (tunable = hg_backend_tunable(i, j)) != NULL; j++)
            printf("%-9s %-29s %s\n", name, tunable->name, tunable->what);
    return HG_EXIT_OK;
}

static size_t registered_index(const char *name) {
    const char *known;
    for (size_t i = 0; (known = hg_backend_name(i)) != NULL; i++)
        if (strcmp(known, name) == 0)
            return i;
    return SIZE_MAX;
}

int hg_cmd_backends(int argc, char **argv) {
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"faults", no_argument, NULL, 'f'},
                                            {"tunables", no_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    bool as_json = false;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 'j':
            as_json = true;
            break;
        case 'f':
            return list_faults();
        case 't':
            return list_tunables();
        case 'h':
            fputs(usage, stdout);
            return HG_EXIT_OK;
        default:
            return HG_EXIT_USAGE;
        }
    }
    hg_sink sink;
    hg_json json;
    if (as_json) {
        hg_sink_init_fd(&sink, STDOUT_FILENO);
        hg_json_begin(&json, &sink);
        hg_json_object(&json);
        hg_json_key(&json, "backends");
        hg_json_array(&json);
    }
    bool all_there = true;
    if (optind == argc) {
        const char *name;
        for (size_t i = 0; (name = hg_backend_name(i)) != NULL; i++)
            list_one(name, i, as_json ? &json : NULL);
    }
    for (int i = optind; i < argc; i++)
        all_there &= list_one(argv[i], registered_index(argv[i]), as_json ? &json : NULL);
    if (as_json) {
        hg_json_end_array(&json);
        hg_json_end_object(&json);
        hg_json_finish(&json);
        if (hg_sink_flush(&sink) != 0)
            return hg_usage_error("backends", "cannot write the list");
    }
    return all_there ? HG_EXIT_OK : HG_EXIT_USAGE;
}
