#include "command.h"

#include "../latency/latency.h"
#include "overheads.h"
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: heapgauge bench [--backend=A,B|all] [--benchmark_...] [T.hgt ...]\n\n"
    "Benchmarks of allocators, with the flags, names and files of Google Benchmark. All run in this\n"
    "process, one after the other: for a comparison that can be defended use heapgauge compare. Traces\n"
    "named are benchmarks, too, and then the only ones: trace/T; an iteration plays all of it.\n\n"
    "  --backend=A,B|all   allocators (core,system)\n"
    "  --workloads         the workloads, with what each stresses, as a table\n"
    "  --quick             one or two instances of each workload, briefly\n"
    "  --latency           the time of each operation: p50 p90 p99 p99.9 p99.99 max, by kind and size\n"
    "  --latency_out=DIR   with --latency: a .hgrm file for each of them, as HdrHistogram writes it\n"
    "  --open_loop=RATE    with --latency: churn, RATE replacements a second, each timed from when it was due\n"
    "  --scaling           cost against threads, live blocks and bytes, with exponents; with --help: more\n"
    "  --overheads         what loop, call through a pointer and clock cost here, as JSON\n"
    "  --instructions      instructions, system calls and page faults per operation (valgrind, strace)\n";

/* Two thirds of a minute for a backend at most. */
static char quick_filter[] =
    "--benchmark_filter=^("
    "pair/.*size:(16|1024)|lifo/.*blocks:100/size:16|fifo/.*live:10000/size:64|"
    "churn/.*live:(1000|100000)/size_max:1024|churn_threads/.*threads:2|sizes/.*size_max:1024|"
    "aligned/.*align:(16|64|4096)/size:200|aligned_realloc/.*align:64/size_max:1024|"
    "realloc/.*size_max:65536|calloc/.*size:1024|sized_free/.*live:10000/size_max:1024|"
    "larson/.*size_max:1000/.*threads:2|sh[68]/.*threads:2|xmalloc/.*size_min:64/.*|"
    "mstress/.*threads:2|messages/.*threads:2|one_freer/.*threads:2|false_sharing/.*|"
    "glibc_simple/.*blocks:400/size:16|glibc_thread/.*threads:2|pareto/.*threads:1|"
    "production/.*|thread_churn/.*|startup/.*|large/.*size_max:1048576|"
    "(factor|minimise|interpret|store)/.*)$";
static char quick_min_time[] = "--benchmark_min_time=0.05s";

enum { TRACES_MAX = 64 };

struct options {
    struct hg_latency_options latency;
    const char *traces[TRACES_MAX];
    size_t trace_count;
    const char *out; /* NULL: no file */
    bool wants_workloads, wants_latency, wants_instructions, is_quick, wants_provenance;
    char command_line[4096]; /* as typed */
};

static void append(char *all, size_t size, const char *separator, const char *text) {
    const size_t used = strlen(all);
    snprintf(all + used, size - used, "%s%s", used ? separator : "", text);
}

/* "LABEL TEXT; LABEL TEXT": one text for all backends. */
static void append_labelled(char *all, size_t size, const char *label, const char *text) {
    append(all, size, "; ", label);
    append(all, size, " ", text ? text : "unknown");
}

/* Which file serves each backend, under the keys that a results folder has them by. */
static void tell_backend(const hg_backend *backend, const char *label) {
    static char names[1024], versions[2048], paths[8192], sums[4096], settings[8192];
    const struct hg_facts *const facts = &backend->facts;
    char hex[65];
    append(names, sizeof names, "; ", label);
    append_labelled(versions, sizeof versions, label, facts->version);
    append_labelled(paths, sizeof paths, label, facts->path);
    append_labelled(sums, sizeof sums, label, hg_file_sha256(facts->path, hex) ? hex : NULL);
    append_labelled(settings, sizeof settings, label, facts->tunables);
    hg_benchmark_add_context("backend", names);
    hg_benchmark_add_context("backend_version", versions);
    hg_benchmark_add_context("backend_path", paths);
    hg_benchmark_add_context("backend_sha256", sums);
    hg_benchmark_add_context("backend_config", settings);
}

static int register_backend(const hg_backend *backend, const char *spec, void *context) {
    const struct options *const options = context;
    char label[128];
    const char *slash = strrchr(spec, '/');
    snprintf(label, sizeof label, "%s", slash ? slash + 1 : spec);
    for (size_t i = 0; i < options->trace_count; i++) {
        const int status = hg_bench_trace_register(backend, label, options->traces[i]);
        if (status != HG_EXIT_OK)
            return status;
    }
    if (options->trace_count == 0)
        hg_workload_register(backend, label);
    char key[160], value[256];
    snprintf(key, sizeof key, "backend_%s", label);
    snprintf(value, sizeof value, "%s %s", backend->facts.version, backend->facts.path);
    hg_benchmark_add_context(key, value);
    if (options->wants_provenance)
        tell_backend(backend, label);
    return HG_EXIT_OK;
}

/* A Markdown table: the README's is made by this. */
static int list_workloads(void) {
    const struct hg_workload *workload;
    printf("| workload | what it stresses |\n|:--|:--|\n");
    for (size_t i = 0; (workload = hg_workload_at(i)) != NULL; i++)
        printf("| `%s` | %s |\n", workload->name, workload->what);
    return HG_EXIT_OK;
}

static void add_ns(const char *key, double ns) {
    char text[32];
    snprintf(text, sizeof text, "%.2f", ns);
    hg_benchmark_add_context(key, text);
}

static void add_overheads(void) {
    struct hg_overheads costs = hg_overheads_measure();
    add_ns("loop_ns", costs.loop_ns);
    add_ns("dispatch_ns", costs.dispatch_ns);
    add_ns("timer_overhead_ns", costs.timer_ns);
}

/* For heapgauge compare: its context holds them as well. */
static int print_overheads(void) {
    struct hg_overheads costs = hg_overheads_measure();
    printf("{\"loop_ns\": \"%.2f\", \"dispatch_ns\": \"%.2f\", \"timer_overhead_ns\": \"%.2f\"}\n",
           costs.loop_ns, costs.dispatch_ns, costs.timer_ns);
    return HG_EXIT_OK;
}

/* Of what a results folder says of each round, what is true of one process. */
static void add_run(const struct options *options) {
    hg_benchmark_add_context("cmdline", options->command_line);
    hg_benchmark_add_context("seed", "fixed by workload and thread");
    hg_benchmark_add_context("round", "1 of 1");
    hg_benchmark_add_context("position", "the order of the entries");
    hg_benchmark_add_context("ops", "iterations of each entry");
}

static int run_benchmarks(const struct options *options, int argc, char **argv) {
    hg_benchmark_set_usage(usage);
    hg_benchmark_add_context("harness", "heapgauge " HG_VERSION);
    add_overheads();
    if (options->wants_provenance) {
        hg_read_python((char[]){"provenance"}, hg_benchmark_add_context);
        add_run(options);
        hg_late_context_begin(options->out != NULL);
    }
    int status = hg_benchmark_initialize(&argc, argv);
    if (status != HG_BENCHMARK_OK || hg_benchmark_wants_exit())
        return status;
    status = hg_benchmark_report_unrecognized(argc, argv);
    if (status != HG_BENCHMARK_OK)
        return status;
    status = hg_each_backend("bench", options->latency.backends, register_backend,
                             (void *)(uintptr_t)options);
    if (status)
        return status;
    status = hg_benchmark_run_specified();
    if (options->wants_provenance)
        hg_late_context_end(options->out);
    return status;
}

/* Counting needs other programs around this one: a script does it. */
static int run_instructions(const struct options *options, int argc, char **argv) {
    argv[0] = strdup(options->latency.backends); /* until it is replaced */
    return hg_run_python("bench", "instructions.py", argc, argv);
}

/* True iff the word was one of ours. */
static bool take(struct options *options, const char *word) {
    double rate;
    if (*word != '-' && hg_is_trace(word) && options->trace_count < TRACES_MAX)
        options->traces[options->trace_count++] = word;
    else if (strncmp(word, "--backend=", 10) == 0)
        options->latency.backends = word + 10;
    else if (strncmp(word, "--latency_out=", 14) == 0)
        options->latency.out_directory = word + 14;
    else if (strncmp(word, "--open_loop=", 12) == 0 && hg_parse_double(word + 12, &rate) &&
             rate > 0)
        options->latency.open_loop_per_s = rate;
    else if (strncmp(word, "--benchmark_out=", 16) == 0) {
        options->out = word + 16;
        return !(options->wants_provenance = true); /* and the library's own */
    } else if (strcmp(word, "--benchmark_format=json") == 0)
        return !(options->wants_provenance = true);
    else if (strcmp(word, "--latency") == 0)
        options->wants_latency = true;
    else if (strcmp(word, "--instructions") == 0)
        options->wants_instructions = true;
    else if (strcmp(word, "--workloads") == 0)
        options->wants_workloads = true;
    else if (strcmp(word, "--quick") == 0)
        options->is_quick = true;
    else
        return false;
    return true;
}

static int run(const struct options *options, int argc, char **argv) {
    if ((options->latency.open_loop_per_s > 0 || options->latency.out_directory) &&
        !options->wants_latency)
        return hg_usage_error("bench", "--open_loop and --latency_out go with --latency");
    if (options->wants_workloads)
        return list_workloads();
    if (options->wants_instructions)
        return run_instructions(options, argc, argv);
    return options->wants_latency ? hg_bench_latency(&options->latency)
                                  : run_benchmarks(options, argc, argv);
}

int hg_cmd_bench(int argc, char **argv) {
    if (hg_take_word(&argc, argv, "--scaling")) {
        argv[0] = (char[]){"scaling"};
        return hg_run_python("scaling", NULL, argc, argv);
    }
    if (hg_take_word(&argc, argv, "--overheads"))
        return print_overheads();
    struct options options = {.latency.backends = "core,system", .command_line = "heapgauge bench"};
    char **words = calloc((size_t)argc + 3, sizeof *words), **rest = words;
    if (!words)
        return hg_usage_error("bench", "out of memory");
    *rest++ = argv[0];
    for (int i = 1; i < argc; i++) {
        append(options.command_line, sizeof options.command_line, " ", argv[i]);
        if (take(&options, argv[i]))
            argv[i] = NULL;
    }
    if (options.is_quick) {
        *rest++ = quick_filter; /* the user's own come later, and win */
        *rest++ = quick_min_time;
    }
    for (int i = 1; i < argc; i++)
        if (argv[i])
            *rest++ = argv[i];
    int count = (int)(rest - words);
    options.latency.argc = count;
    options.latency.argv = words;
    int status = run(&options, count, words);
    free(words);
    return status;
}
