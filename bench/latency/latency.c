/* Each backend in a child process, since one timing decorator fits in a process; the benchmark library's own
 * output goes nowhere there, as its times hold the clocks. */
#include "latency.h"

#include "tick.h"
#include "timed.h"

#include "../command/command.h"
#include "../workload/support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct child {
    const struct hg_latency_options *options;
    const hg_backend *backend;
    const char *label;
    FILE *out;
};

static struct child *running;
static char pending[256]; /* the instance whose histograms are held; "" if none */
static hg_histogram sum;

/* ---- the table ---- */

static const double percentiles[] = {50, 90, 99, 99.9, 99.99};
enum { PERCENTILES = sizeof percentiles / sizeof *percentiles };

static void print_clock(FILE *out) {
    fprintf(
        out,
        "clock: %s, %.3f ns a tick; a measurement of nothing takes %.1f ns, which is taken off; what is not\n"
        "above %.1f ns then is not told from nothing and printed as <. Times in ns. A percentile with less\n"
        "than one operation above it is not printed.\n",
        hg_tick.is_tsc ? "time stamp counter (invariant)" : "clock_gettime", hg_tick.ns_per_tick,
        (double)hg_tick.cost_ticks * hg_tick.ns_per_tick,
        (double)hg_tick.resolution_ticks * hg_tick.ns_per_tick);
}

static void print_head(FILE *out, const char *name) {
    fprintf(out, "\n%s\n  %-14s %9s %11s", name, "operation", "size", "count");
    for (int i = 0; i < PERCENTILES; i++)
        fprintf(out, "   p%-6g", percentiles[i]);
    fprintf(out, " %9s\n", "max");
}

static void print_ticks(FILE *out, uint64_t ticks) {
    if (ticks <= hg_tick.resolution_ticks)
        fprintf(out, " %9s", "<");
    else
        fprintf(out, " %9.1f", (double)ticks * hg_tick.ns_per_tick);
}

static void print_row(FILE *out, const char *kind, const char *size, const hg_histogram *times) {
    fprintf(out, "  %-14s %9s %11llu", kind, size, (unsigned long long)times->total);
    for (int i = 0; i < PERCENTILES; i++) {
        if ((double)times->total * (100 - percentiles[i]) < 100)
            fprintf(out, " %9s", "-");
        else
            print_ticks(out, hg_histogram_percentile(times, percentiles[i]));
    }
    print_ticks(out, times->max);
    fputc('\n', out);
}

/* DIRECTORY/churn_backend:core_live:1000.malloc.64.hgrm */
static void write_hgrm(const struct child *child, const char *name, const char *kind,
                       const char *size, const hg_histogram *times) {
    char path[600];
    const char *directory = child->options->out_directory;
    if (!directory)
        return;
    size_t begin = strlen(directory) + 1;
    snprintf(path, sizeof path, "%s/%s.%s.%s.hgrm", directory, name, kind, size);
    for (char *at = path + begin; begin < sizeof path && *at; at++)
        if (*at == '/')
            *at = '_';
    FILE *file = fopen(path, "w");
    if (!file) {
        fprintf(child->out, "  %s: %s\n", path, strerror(errno));
        return;
    }
    hg_histogram_write_hgrm(times, hg_tick.ns_per_tick, file);
    if (fclose(file) != 0)
        fprintf(child->out, "  %s: %s\n", path, strerror(errno));
}

static void report(const struct child *child, const char *name, const char *kind, const char *size,
                   const hg_histogram *times) {
    print_row(child->out, kind, size, times);
    write_hgrm(child, name, kind, size, times);
}

static void size_text(unsigned size_class, char text[16]) {
    if (size_class == HG_TIMED_CLASS_ANY)
        snprintf(text, 16, "any");
    else if (size_class < 10)
        snprintf(text, 16, "%u", 1U << size_class);
    else if (size_class < 20)
        snprintf(text, 16, "%uKi", 1U << (size_class - 10));
    else if (size_class < 30)
        snprintf(text, 16, "%uMi", 1U << (size_class - 20));
    else
        snprintf(text, 16, "%uGi", 1U << (size_class - 30));
}

static void flush_pending(void) {
    if (!*pending)
        return;
    print_head(running->out, pending);
    for (unsigned kind = 0; kind < HG_TIMED_KINDS; kind++) {
        for (unsigned class = 0; class < HG_TIMED_CLASSES; class ++) {
            char size[16];
            if (!hg_timed_sum(kind, class, &sum))
                continue;
            size_text(class, size);
            report(running, pending, hg_timed_kind_name(kind), size, &sum);
        }
    }
    *pending = '\0';
}

/* ---- the workloads ---- */

/* The library runs an instance several times, with ever more iterations: the last one counts. */
static void begin(const hg_state *state) {
    if (strcmp(pending, hg_state_name(state)) != 0)
        flush_pending();
    hg_timed_start();
}

static void end(const hg_state *state) {
    hg_timed_stop();
    snprintf(pending, sizeof pending, "%s", hg_state_name(state));
}

static int run_workloads(const struct child *child) {
    const hg_backend *timed = hg_timed_wrap(child->backend);
    if (!timed)
        return HG_EXIT_USAGE;
    hg_workload_register(timed, child->label);
    hg_workload_set_hooks(begin, end);
    char min_time[] = "--benchmark_min_time=0.2s"; /* the user's own flag comes later, and wins */
    char *words[64] = {child->options->argv[0], min_time};
    int count = 2;
    for (int i = 1; i < child->options->argc && count < 63; i++)
        words[count++] = child->options->argv[i];
    int status = hg_benchmark_initialize(&count, words);
    if (status == HG_BENCHMARK_OK)
        status = hg_benchmark_report_unrecognized(count, words);
    if (status != HG_BENCHMARK_OK)
        return status;
    int nowhere = open("/dev/null", O_WRONLY), own = dup(STDERR_FILENO);
    dup2(nowhere, STDERR_FILENO); /* the library's preamble */
    status = hg_benchmark_run_specified();
    flush_pending();
    dup2(own, STDERR_FILENO);
    if (status == HG_BENCHMARK_USAGE)
        return hg_usage_error("bench",
                              "no workload matches; see: heapgauge bench --benchmark_list_tests");
    return status;
}

/* ---- open loop ---- */

/* Churn at a fixed rate: each replacement has its time, and is measured from that time on, not from when the loop
 * came to it; so one slow operation is charged to all that had to wait for it. */
static int run_open_loop(const struct child *child) {
    enum { LIVE = 10000, SIZE_MAX_BYTES = 1024, SECONDS = 2 };
    static hg_histogram service, response;
    static void *slots[LIVE];
    static struct hg_sizes sizes;
    const struct hg_libc_face *libc = &child->backend->libc;
    if (!libc->malloc || !libc->free)
        return HG_EXIT_USAGE;
    hg_sizes_log_uniform(&sizes, 16, SIZE_MAX_BYTES);
    struct hg_random random = {21};
    for (int i = 0; i < LIVE; i++)
        hg_workload_touch(slots[i] = libc->malloc(hg_sizes_draw(&sizes, &random)));
    double rate = child->options->open_loop_per_s;
    double interval_ticks = 1e9 / rate / hg_tick.ns_per_tick;
    uint64_t count = (uint64_t)(rate * SECONDS), first = hg_tick_begin();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t due = first + (uint64_t)((double)i * interval_ticks), now;
        do
            now = hg_tick_begin();
        while (now < due);
        void **slot = &slots[hg_random_below(&random, LIVE)];
        size_t size = hg_sizes_draw(&sizes, &random);
        uint64_t begin_ticks = hg_tick_begin();
        libc->free(*slot);
        *slot = libc->malloc(size);
        hg_workload_touch(*slot);
        hg_histogram_record(&service, hg_tick_since(begin_ticks));
        hg_histogram_record(&response, hg_tick_since(due));
    }
    double seconds = (double)(hg_tick_end() - first) * hg_tick.ns_per_tick * 1e-9;
    char name[200];
    snprintf(name, sizeof name, "open-loop/backend:%s/live:%d/size_max:%d/rate:%.0f", child->label,
             LIVE, SIZE_MAX_BYTES, rate);
    print_head(child->out, name);
    report(child, name, "service", "any", &service);
    report(child, name, "response", "any", &response);
    if (seconds > SECONDS * 1.01)
        fprintf(child->out, "  fell behind: %.2f s for %d s of arrivals; a lower rate is needed\n",
                seconds, SECONDS);
    return HG_EXIT_OK;
}

/* ---- children ---- */

static int run_child(void *argument) {
    struct child *child = argument;
    running = child;
    int own = dup(STDOUT_FILENO), nowhere = open("/dev/null", O_WRONLY);
    if (own < 0 || nowhere < 0 || !(child->out = fdopen(own, "w")) ||
        dup2(nowhere, STDOUT_FILENO) < 0)
        return HG_EXIT_USAGE;
    static char buffer[1 << 16];
    setvbuf(child->out, buffer, _IOFBF, sizeof buffer); /* no malloc of its own */
    hg_tick_calibrate();
    print_clock(child->out);
    int status = child->options->open_loop_per_s > 0 ? run_open_loop(child) : run_workloads(child);
    return fflush(child->out) == 0 ? status : HG_EXIT_USAGE;
}

static int each(const hg_backend *backend, const char *spec, void *context) {
    const char *slash = strrchr(spec, '/');
    struct child child = {
        .options = context, .backend = backend, .label = slash ? slash + 1 : spec};
    struct hg_limits limits = {0};
    struct hg_contained end_of_child;
    fflush(stdout);
    if (hg_contain(run_child, &child, &limits, &end_of_child) != HG_OK)
        return hg_usage_error("bench", "cannot start a child process");
    if (end_of_child.outcome == HG_OUTCOME_EXITED)
        return end_of_child.exit_status;
    hg_usage_error("bench", "%s: %s", spec, hg_outcome_name(end_of_child.outcome));
    return HG_EXIT_FINDING;
}

int hg_bench_latency(const struct hg_latency_options *options) {
    if (options->out_directory && mkdir(options->out_directory, 0777) != 0 && errno != EEXIST)
        return hg_usage_error("bench", "%s: %s", options->out_directory, strerror(errno));
    union {
        const struct hg_latency_options *in;
        void *out;
    } argument = {options};
    return hg_each_backend("bench", options->backends, each, argument.out);
}
