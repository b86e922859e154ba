#include "adapter.h"

#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The registry: one line an allocator, in the order of listings. */
static const struct hg_adapter *const adapters[] = {
    &hg__adapter_core,     &hg__adapter_system,   &hg__adapter_jemalloc,
    &hg__adapter_mimalloc, &hg__adapter_tcmalloc, &hg__adapter_null,
};
enum { ADAPTER_COUNT = sizeof adapters / sizeof *adapters };

enum { OPENED_MAX = 32, SPEC_MAX = 512 };
static struct {
    char spec[SPEC_MAX];
    hg_backend backend;
} opened[OPENED_MAX];
static size_t opened_count;

/* Initial-exec TLS of a library loaded late must fit the room that glibc keeps for it: Debian's jemalloc
 * wants 2.6 KiB, the default is 512 bytes. */
#define TLS_TUNABLE "glibc.rtld.optional_static_tls"

/* What stands in GLIBC_TUNABLES but for what a heapgauge before us added for its own backends. */
static size_t length_without_ours(const char *tunables) {
    const char *ours = getenv(HG__TUNED_VARIABLE);
    size_t length = strlen(tunables), ours_length = ours ? strlen(ours) : 0;
    bool ends_so = ours_length <= length && ours_length > 0 &&
                   strcmp(tunables + length - ours_length, ours) == 0;
    return ends_so ? length - ours_length : length;
}

void hg_backend_prepare_process(char **argv) {
    char wanted[2048], ours[1024] = "";
    const char *old = getenv("GLIBC_TUNABLES");
    hg__tunables_at_start(argv, ours, sizeof ours);
    size_t base = old ? length_without_ours(old) : 0;
    bool has_room = old && strstr(old, TLS_TUNABLE);
    int length = snprintf(wanted, sizeof wanted, "%.*s%s%s%s", (int)base, old ? old : "",
                          base && !has_room ? ":" : "", has_room ? "" : TLS_TUNABLE "=16384", ours);
    if (length < 0 || (size_t)length >= sizeof wanted || (old && strcmp(old, wanted) == 0))
        return;
    setenv("GLIBC_TUNABLES", wanted, 1);
    setenv(HG__TUNED_VARIABLE, ours, 1);
    execv("/proc/self/exe", argv);
}

const char *hg_backend_name(size_t index) {
    return index < ADAPTER_COUNT ? adapters[index]->name : NULL;
}

const char *hg_backend_summary(size_t index) {
    return index < ADAPTER_COUNT ? adapters[index]->summary : NULL;
}

const char *hg_backend_package(size_t index) {
    return index < ADAPTER_COUNT ? adapters[index]->package : NULL;
}

const struct hg_tunable *hg_backend_tunable(size_t i, size_t j) {
    if (i >= ADAPTER_COUNT || !adapters[i]->tunables)
        return NULL;
    const struct hg_tunable *list = adapters[i]->tunables->list;
    for (size_t k = 0; k < j && list->name; k++)
        list++;
    return list->name ? list : NULL;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Levenshtein distance of two words of at most 63 characters. */
static size_t edit_distance(const char *a, const char *b) {
    enum { WORD_MAX = 64 };
    size_t row[WORD_MAX], a_length = strlen(a), b_length = strlen(b);
    if (a_length >= WORD_MAX || b_length >= WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smaller(substitute, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

const char *hg_nearest_word(const char *word, const char *(*name_at)(size_t index)) {
    const char *best = NULL, *name;
    size_t best_distance = strlen(word) / 3 + 2;
    for (size_t i = 0; (name = name_at(i)) != NULL; i++) {
        size_t distance = edit_distance(word, name);
        if (distance < best_distance) {
            best_distance = distance;
            best = name;
        }
    }
    return best;
}

const char *hg_backend_nearest(const char *name) {
    return hg_nearest_word(name, hg_backend_name);
}

/* With the settings it was opened with in this process; NULL: not yet. */
static const char *opened_settings[ADAPTER_COUNT];

static enum hg_status open_adapter(size_t index, const char *settings_text, hg_backend *backend,
                                   char *why, size_t why_size) {
    const struct hg_adapter *adapter = adapters[index];
    struct hg__settings settings = {0};
    backend->facts.name = adapter->name;
    backend->facts.package = adapter->package;
    if (*settings_text) {
        enum hg_status status =
            hg__settings_parse(adapter, settings_text, &settings, why, why_size);
        if (status != HG_OK)
            return status;
    }
    if (opened_settings[index]) {
        snprintf(why, why_size,
                 "%s has one setting a process, and here it has '%s' already: one run for each, or "
                 "heapgauge compare, which gives each a process of its own",
                 adapter->name, *opened_settings[index] ? opened_settings[index] : "its defaults");
        return HG_ERR_USAGE;
    }
    char reason[400] = "";
    enum hg_status status = hg__open_tuned(adapter, &settings, backend, reason, sizeof reason);
    if (status == HG_OK)
        opened_settings[index] = strdup(settings_text);
    else if (status == HG_ERR_USAGE)
        snprintf(why, why_size, "%s", reason);
    else if (adapter->package)
        snprintf(why, why_size, "%s is not available: %s; install it with: apt-get install %s",
                 adapter->name, reason, adapter->package);
    else
        snprintf(why, why_size, "%s is not available: %s", adapter->name, reason);
    return status;
}

/* "NAME" or "NAME:TUNABLE=VALUE:...". */
static enum hg_status open_registered(const char *spec, hg_backend *backend, char *why,
                                      size_t why_size) {
    size_t length = hg__has_settings(spec) ? strcspn(spec, ":") : strlen(spec);
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)length, spec);
    for (size_t i = 0; i < ADAPTER_COUNT; i++)
        if (strcmp(adapters[i]->name, name) == 0)
            return open_adapter(i, spec[length] ? spec + length + 1 : "", backend, why, why_size);
    const char *near = hg_backend_nearest(name);
    snprintf(why, why_size, "unknown backend '%s'%s%s%s; see: heapgauge backends", name,
             near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    return HG_ERR_UNKNOWN;
}

/* "DECORATOR:BACKEND": fault-NAME:..., slab-MODEL:..., count:..., slow-P%:... */
static enum hg_status open_decorator(const char *spec, const char *colon, hg_backend *backend,
                                     char *why, size_t why_size) {
    const hg_backend *inner;
    enum hg_status status = hg_backend_open(colon + 1, &inner, why, why_size);
    if (status != HG_OK)
        return status;
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(colon - spec), spec);
    backend->facts = inner->facts;
    if (strncmp(word, "fault-", 6) == 0 && !inner->libc.malloc) {
        snprintf(why, why_size, "%s has no libc face: faults are planted in front of one",
                 inner->facts.name);
        return HG_ERR_UNAVAILABLE;
    }
    if (strncmp(word, "fault-", 6) == 0)
        return hg__faulty_open(word + 6, inner, backend, why, why_size);
    if (strncmp(word, "slab-", 5) == 0)
        return hg__slab_open(word + 5, inner, backend, why, why_size);
    if (strcmp(word, "count") == 0)
        return hg__counting_open(inner, backend);
    if (strncmp(word, "slow-", 5) == 0)
        return hg__slow_open(word + 5, inner, backend, why, why_size);
    snprintf(why, why_size,
             "unknown decorator '%s'; there are: fault-NAME, slab-MODEL, count, slow-P%%", word);
    return HG_ERR_UNKNOWN;
}

enum hg_status hg_backend_open(const char *spec, const hg_backend **out, char *why,
                               size_t why_size) {
    for (size_t i = 0; i < opened_count; i++) {
        if (strcmp(opened[i].spec, spec) == 0) {
            *out = &opened[i].backend;
            return HG_OK;
        }
    }
    if (!*spec || strlen(spec) >= SPEC_MAX || opened_count == OPENED_MAX) {
        snprintf(why, why_size, "%s",
                 !*spec ? "empty backend name; see: heapgauge backends"
                        : "backend name too long, or too many backends");
        return HG_ERR_USAGE;
    }
    hg_backend backend = {0};
    enum hg_status status;
    const char *colon = strchr(spec, ':');
    size_t length = strlen(spec);
    bool has_settings = hg__has_settings(spec);
    bool is_decorator = colon && !has_settings && !memchr(spec, '/', (size_t)(colon - spec));
    bool is_path = strchr(spec, '/') || strstr(spec, ".so.") ||
                   (length > 3 && strcmp(spec + length - 3, ".so") == 0);
    if (is_decorator)
        status = open_decorator(spec, colon, &backend, why, why_size);
    else if (is_path)
        status = hg__library_load(spec, &backend, NULL, why, why_size);
    else
        status = open_registered(spec, &backend, why, why_size);
    if (status != HG_OK)
        return status;
    size_t slot = opened_count++; /* after the call above, which may have opened the inner one */
    snprintf(opened[slot].spec, SPEC_MAX, "%s", spec);
    opened[slot].backend = backend;
    if (is_decorator || is_path || has_settings)
        opened[slot].backend.facts.name = opened[slot].spec;
    *out = &opened[slot].backend;
    return HG_OK;
}

const char *hg_libc_face_entry(const struct hg_libc_face *face, size_t i, bool *present) {
    const struct {
        const char *name;
        bool present;
    } entries[HG_LIBC_FACE_COUNT] = {
        {"malloc", face->malloc != NULL},
        {"calloc", face->calloc != NULL},
        {"realloc", face->realloc != NULL},
        {"free", face->free != NULL},
        {"aligned_alloc", face->aligned_alloc != NULL},
        {"posix_memalign", face->posix_memalign != NULL},
        {"memalign", face->memalign != NULL},
        {"valloc", face->valloc != NULL},
        {"pvalloc", face->pvalloc != NULL},
        {"reallocarray", face->reallocarray != NULL},
        {"malloc_usable_size", face->malloc_usable_size != NULL},
        {"free_sized", face->free_sized != NULL},
        {"free_aligned_sized", face->free_aligned_sized != NULL},
    };
    *present = entries[i].present;
    return entries[i].name;
}

bool hg_file_sha256(const char *path, char hex[65]) {
    return SHA256File(path, hex) != NULL;
}
