/* heapgauge frag: each (adversary, backend) in a contained process of its own, as a table and as
 * JSON. */
#include "frag.h"

#include "../command/command.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: heapgauge frag [--backend=A,B|all] [OPTIONS]\n\n"
    "How much memory an allocator wastes under programs made to waste it, each in a process of its own.\n\n"
    "  --backend=A,B|all    allocators (core,system)\n"
    "  --adversary=A,B|all  which programs (all); --list says what they do\n"
    "  --live=BYTES         M: what a program may hold at a time, 1M at least (64M)\n"
    "  --retention=S        reads retention up to S seconds after the last free: of 0, 0.1, 1, 5 (5)\n"
    "  --fronts             speed against memory over the settings of each backend; with --help: more\n"
    "  --json=FILE          everything, with samples over operations (-: standard output, no table)\n"
    "  --timeout=S          for each process (300)\n\n"
    "overhead   rss / live, at the greatest live; +int: of this what blocks have beyond their request\n"
    "           (usable / live - 1), +ext: the rest above 1\n"
    "rss/M      greatest rss / greatest live, to hold against Robson's bounds for these sizes:\n"
    "           forced (what some program forces on any allocator), first fit (the most it comes to)\n"
    "worst      greatest rss / live, while at least M/16 is live\n"
    "kept       resident MiB when all is freed, after so many seconds; purged: after a purge\n\n"
    "Exit status: 0 all ran, 1 one didn't, 2 usage.\n";

struct options {
    const char *backends, *adversaries, *json_path;
    uint64_t live_bytes_max;
    double retention_s, timeout_s;
};

struct session {
    const struct options *options;
    hg_json json;
    bool has_json, has_table, has_head;
    int findings;
};

struct job {
    const struct hg_frag_config *config;
    const struct hg_adversary *adversary;
    struct hg_frag_result *result;
};

static int attack_in_child(void *argument) {
    struct job *job = argument;
    hg_frag_run(job->config, job->adversary, job->result);
    return HG_EXIT_OK;
}

/* ---- the table ---- */

static void print_head(const struct options *options) {
    printf("M = %.1f MiB. MiB and ratios; see heapgauge help frag\n",
           (double)options->live_bytes_max / (1 << 20));
    printf("%-13s %-10s %8s %6s %6s %6s %6s %7s %9s", "adversary", "backend", "overhead", "+int",
           "+ext", "worst", "rss/M", "forced", "first fit");
    for (size_t i = 0; i < HG_FRAG_RETENTIONS; i++)
        if (hg_frag_retention_s[i] <= options->retention_s)
            printf(" kept %3gs", hg_frag_retention_s[i]);
    printf(" %7s\n", "purged");
}

static void print_ratio(int width, double ratio) {
    if (isnan(ratio))
        printf(" %*s", width, "-");
    else
        printf(" %*.2f", width, ratio);
}

/* rss_peak / live_peak: of the heap against M. */
static double heap_ratio(const struct hg_frag_result *result) {
    return (double)result->at_rss_peak.rss_bytes / (double)result->at_live_peak.live_bytes;
}

static void print_row(const char *adversary, const char *backend,
                      const struct hg_frag_result *result) {
    printf("%-13s %-10s", adversary, backend);
    print_ratio(8, hg_frag_overhead(&result->at_live_peak));
    print_ratio(6, hg_frag_internal(&result->at_live_peak));
    print_ratio(6, hg_frag_external(&result->at_live_peak));
    print_ratio(6, hg_frag_overhead(&result->at_worst));
    print_ratio(6, heap_ratio(result));
    print_ratio(7, hg_frag_bound_any(result->size_ratio));
    print_ratio(9, hg_frag_bound_first_fit(result->size_ratio));
    for (size_t i = 0; i < result->retention_count; i++)
        printf(" %9.1f", (double)result->retention_bytes[i] / (1 << 20));
    if (result->has_purge)
        printf(" %7.1f\n", (double)result->purged_bytes / (1 << 20));
    else
        printf(" %7s\n", "-");
    fflush(stdout);
}

/* ---- JSON ---- */

static void put_u64(hg_json *json, const char *key, uint64_t value) {
    hg_json_key(json, key);
    hg_json_u64(json, value);
}

static void put_double(hg_json *json, const char *key, double value) {
    if (isnan(value))
        return;
    hg_json_key(json, key);
    hg_json_double(json, value);
}

static void put_string(hg_json *json, const char *key, const char *value) {
    hg_json_key(json, key);
    hg_json_string(json, value);
}

static void put_sample(hg_json *json, const struct hg_frag_sample *sample) {
    hg_json_object(json);
    put_u64(json, "operation", sample->operation);
    put_u64(json, "live_bytes", sample->live_bytes);
    put_u64(json, "rss_bytes", sample->rss_bytes);
    if (sample->usable_bytes)
        put_u64(json, "usable_bytes", sample->usable_bytes);
    hg_json_end_object(json);
}

static void put_moment(hg_json *json, const char *key, const struct hg_frag_sample *sample) {
    hg_json_key(json, key);
    put_sample(json, sample);
}

static void put_retention(hg_json *json, const struct hg_frag_result *result) {
    hg_json_key(json, "retention");
    hg_json_array(json);
    for (size_t i = 0; i < result->retention_count; i++) {
        hg_json_object(json);
        put_double(json, "after_s", hg_frag_retention_s[i]);
        put_u64(json, "rss_bytes", result->retention_bytes[i]);
        hg_json_end_object(json);
    }
    hg_json_end_array(json);
    if (result->has_purge)
        put_u64(json, "rss_after_purge_bytes", result->purged_bytes);
}

static void put_result(hg_json *json, const struct hg_frag_result *result) {
    put_u64(json, "operations", result->operations);
    put_u64(json, "rss_baseline_bytes", result->baseline_bytes);
    put_double(json, "overhead", hg_frag_overhead(&result->at_live_peak));
    put_double(json, "internal", hg_frag_internal(&result->at_live_peak));
    put_double(json, "external", hg_frag_external(&result->at_live_peak));
    put_double(json, "overhead_at_rss_peak", hg_frag_overhead(&result->at_rss_peak));
    put_double(json, "overhead_worst", hg_frag_overhead(&result->at_worst));
    put_double(json, "rss_peak_per_live_peak", heap_ratio(result));
    put_double(json, "size_ratio", result->size_ratio);
    put_double(json, "bound_forced", hg_frag_bound_any(result->size_ratio));
    put_double(json, "bound_first_fit", hg_frag_bound_first_fit(result->size_ratio));
    put_moment(json, "at_live_peak", &result->at_live_peak);
    put_moment(json, "at_rss_peak", &result->at_rss_peak);
    put_moment(json, "at_worst", &result->at_worst);
    put_retention(json, result);
    hg_json_key(json, "samples");
    hg_json_array(json);
    for (size_t i = 0; i < result->sample_count; i++)
        put_sample(json, &result->samples[i]);
    hg_json_end_array(json);
}

static void put_run(hg_json *json, const struct job *job, const char *spec, const char *status) {
    hg_json_object(json);
    put_string(json, "adversary", job->adversary->name);
    put_string(json, "backend", spec);
    put_string(json, "backend_version", job->config->backend->facts.version);
    put_string(json, "backend_path", job->config->backend->facts.path);
    put_string(json, "status", status);
    if (job->result->finished)
        put_result(json, job->result);
    hg_json_end_object(json);
}

/* ---- running ---- */

static const char *status_of(const struct hg_contained *child,
                             const struct hg_frag_result *result) {
    if (child->outcome != HG_OUTCOME_EXITED)
        return hg_outcome_name(child->outcome);
    if (!result->finished)
        return "crashed";
    return result->failed || result->at_live_peak.live_bytes == 0 ? "allocation failed" : "ok";
}

static int attack(struct session *session, const struct hg_frag_config *config,
                  const struct hg_adversary *adversary, const char *spec,
                  struct hg_frag_result *result) {
    struct job job = {config, adversary, result};
    struct hg_limits limits = {.timeout_s = session->options->timeout_s};
    struct hg_contained child;
    memset(result, 0, sizeof *result);
    if (hg_contain(attack_in_child, &job, &limits, &child) != HG_OK)
        return hg_usage_error("frag", "cannot start a child process");
    const char *status = status_of(&child, result);
    bool good = strcmp(status, "ok") == 0;
    session->findings += !good;
    if (session->has_json)
        put_run(&session->json, &job, spec, status);
    if (session->has_table && !session->has_head) /* an unknown backend has none */
        print_head(session->options);
    session->has_head = true;
    if (session->has_table && good)
        print_row(adversary->name, spec, result);
    else if (session->has_table)
        printf("%-13s %-10s %s\n", adversary->name, spec, status);
    return HG_EXIT_OK;
}

static bool is_in_list(const char *list, const char *name) {
    if (strcmp(list, "all") == 0)
        return true;
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

static int attack_backend(const hg_backend *backend, const char *spec, void *context) {
    struct session *session = context;
    const struct options *options = session->options;
    static struct hg_frag_result *result; /* kept: shared mappings are for ever */
    if (!result && !(result = hg_shared_map(sizeof *result)))
        return hg_usage_error("frag", "out of memory");
    if (!backend->libc.malloc || !backend->libc.free) {
        fprintf(stderr, "heapgauge frag: %s has no malloc and free: left out\n", spec);
        return HG_EXIT_OK;
    }
    struct hg_frag_config config = {backend, options->live_bytes_max, options->retention_s};
    const struct hg_adversary *adversary;
    int status = HG_EXIT_OK;
    for (size_t i = 0; (adversary = hg_adversary_at(i)) && status == HG_EXIT_OK; i++)
        if (is_in_list(options->adversaries, adversary->name))
            status = attack(session, &config, adversary, spec, result);
    return status;
}

static int run_all(const struct options *options) {
    struct session session = {.options = options};
    session.has_json = options->json_path != NULL;
    session.has_table = !session.has_json || strcmp(options->json_path, "-") != 0;
    hg_sink sink;
    int fd = -1;
    if (session.has_json) {
        fd = hg_json_open("frag", options->json_path);
        if (fd < 0)
            return HG_EXIT_USAGE;
        hg_sink_init_fd(&sink, fd);
        hg_json_begin(&session.json, &sink);
        hg_json_object(&session.json);
        put_u64(&session.json, "frag_version", 1);
        put_u64(&session.json, "live_bytes_max", options->live_bytes_max);
        hg_json_key(&session.json, "runs");
        hg_json_array(&session.json);
    }
    int status = hg_each_backend("frag", options->backends, attack_backend, &session);
    if (session.has_json) {
        hg_json_end_array(&session.json);
        hg_json_end_object(&session.json);
        hg_json_finish(&session.json);
        int closed = hg_json_close("frag", options->json_path, &sink, fd);
        status = status ? status : closed;
    }
    return status ? status : session.findings ? HG_EXIT_FINDING : HG_EXIT_OK;
}

static int list(void) {
    const struct hg_adversary *adversary;
    for (size_t i = 0; (adversary = hg_adversary_at(i)); i++)
        printf("%-13s %s\n", adversary->name, adversary->what);
    return HG_EXIT_OK;
}

static bool are_adversaries(const char *names) {
    size_t known = 0, asked = 1;
    const struct hg_adversary *adversary;
    for (size_t i = 0; (adversary = hg_adversary_at(i)); i++)
        known += is_in_list(names, adversary->name);
    for (const char *at = names; *at; at++)
        asked += *at == ',';
    return strcmp(names, "all") == 0 || known == asked;
}

int hg_frag_main(int argc, char **argv) {
    if (hg_take_word(&argc, argv, "--fronts")) { /* many processes: Python's part */
        argv[0] = (char[]){"fronts"};
        return hg_run_python("fronts", NULL, argc, argv);
    }
    enum { BACKEND = 256, ADVERSARY, LIVE, RETENTION, JSON, TIMEOUT, LIST };
    static const struct option long_options[] = {
        {"backend", required_argument, NULL, BACKEND},
        {"adversary", required_argument, NULL, ADVERSARY},
        {"live", required_argument, NULL, LIVE},
        {"retention", required_argument, NULL, RETENTION},
        {"json", required_argument, NULL, JSON},
        {"timeout", required_argument, NULL, TIMEOUT},
        {"list", no_argument, NULL, LIST},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct options options = {"core,system", "all", NULL, 64 << 20, 5, 300};
    bool good = true;
    int index = 0;
    for (int option; (option = getopt_long(argc, argv, "h", long_options, &index)) != -1;) {
        switch (option) {
        case BACKEND:
            options.backends = optarg;
            break;
        case ADVERSARY:
            options.adversaries = optarg;
            good = are_adversaries(optarg);
            break;
        case LIVE:
            good =
                hg_parse_u64(optarg, &options.live_bytes_max) && options.live_bytes_max >= 1000000;
            break;
        case RETENTION:
            good = hg_parse_double(optarg, &options.retention_s);
            break;
        case JSON:
            options.json_path = optarg;
            break;
        case TIMEOUT:
            good = hg_parse_double(optarg, &options.timeout_s);
            break;
        case LIST:
            return list();
        case 'h':
            fputs(usage, stdout);
            return HG_EXIT_OK;
        default:
            return HG_EXIT_USAGE;
        }
        if (!good)
            return hg_usage_error("frag", "--%s=%s: not a value it takes; see: heapgauge help frag",
                                  long_options[index].name, optarg);
    }
    if (argc != optind)
        return hg_usage_error("frag", "'%s' is not an option; see: heapgauge help frag",
                              argv[optind]);
    return run_all(&options);
}
