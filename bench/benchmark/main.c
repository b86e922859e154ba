/* In what order everything happens. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { MIN_NAME_WIDTH = 10 };

/* A file that a report goes to; fd -1: not asked for. */
typedef struct output {
    const char *path;
    int fd;
    hg_sink sink;
} output;

typedef struct session {
    hg__instance *instances;
    hg__runner *runners;
    size_t count;
    size_t *family_rest; /* instances of a family that are not done, by family_index */
    size_t *order;       /* indices of runners, one for each repetition of each */
    size_t order_count;
    hg__context context;
    hg__reporter *display, *file; /* file: NULL where there is none */
    output standard, out, dashboard;
    bool error;
} session;

/* ---- Outputs ---- */

static bool open_output(output *o, const char *path) {
    o->fd = -1;
    if (!path || !path[0])
        return true;
    o->path = path;
    o->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (o->fd < 0) {
        hg__complain("invalid file name: '%s': %s", path, strerror(errno));
        return false;
    }
    hg_sink_init_fd(&o->sink, o->fd);
    return true;
}

static bool close_output(output *o) {
    if (o->fd < 0)
        return true;
    int error = hg_sink_flush(&o->sink);
    if (o->fd != STDOUT_FILENO && close(o->fd) != 0 && error == 0)
        error = errno;
    if (error)
        hg__complain("could not write '%s': %s", o->path, strerror(error));
    return error == 0;
}

static void open_standard(output *o) {
    o->path = "standard output";
    o->fd = STDOUT_FILENO;
    hg_sink_init_fd(&o->sink, STDOUT_FILENO);
}

static bool wants_color(void) {
    if (hg__flag.color >= 0)
        return hg__flag.color;
    const char *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

/* `is_display`: on standard output, not in a file, which has neither colours nor tabular counters. */
static hg__reporter *make_reporter(hg__format format, hg_sink *out, bool is_display) {
    if (format == HG__JSON)
        return hg__json_reporter(out);
    if (format == HG__CSV)
        return hg__csv_reporter(out);
    return hg__console_reporter(out, is_display && wants_color(),
                                is_display && hg__flag.counters_tabular);
}

/* ---- Order ---- */

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t choose_seed(void) {
    uint64_t seed = hg__flag.seed;
    while (seed == 0) {
        if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
            seed = (uint64_t)getpid();
    }
    return seed;
}

static void record_order(const session *s, uint64_t seed) {
    size_t size = s->order_count * 21 + 1;
    char *text = hg__alloc(size), *at = text;
    for (size_t i = 0; i < s->order_count; i++)
        at += snprintf(at, size - (size_t)(at - text), "%s%zu", i ? " " : "", s->order[i]);
    hg_benchmark_add_context("interleaving_seed", hg__textf("%llu", (unsigned long long)seed));
    hg_benchmark_add_context("interleaving_order", text);
}

static void shuffle_order(session *s) {
    uint64_t seed = choose_seed(), state = seed;
    for (size_t i = s->order_count; i > 1; i--) {
        size_t j = (size_t)(next_random(&state) % i);
        size_t swap = s->order[i - 1];
        s->order[i - 1] = s->order[j];
        s->order[j] = swap;
    }
    record_order(s, seed);
}

static void prepare_runners(session *s) {
    s->runners = hg__alloc(s->count * sizeof *s->runners);
    s->family_rest = hg__alloc(s->count * sizeof *s->family_rest);
    for (size_t i = 0; i < s->count; i++) {
        hg__runner_init(&s->runners[i], &s->instances[i]);
        s->family_rest[s->instances[i].family_index]++;
        s->order_count += (size_t)s->instances[i].repetitions;
    }
    s->order = hg__alloc(s->order_count * sizeof *s->order);
    size_t at = 0;
    for (size_t i = 0; i < s->count; i++) {
        for (int r = 0; r < s->instances[i].repetitions; r++)
            s->order[at++] = i;
    }
    if (hg__flag.random_interleaving)
        shuffle_order(s);
}

/* ---- Reporting ---- */

static size_t name_width(const session *s) {
    size_t width = MIN_NAME_WIDTH, statistic_width = 0;
    bool aggregates = false;
    for (size_t i = 0; i < s->count; i++) {
        const hg__instance *instance = &s->instances[i];
        size_t length = strlen(instance->name);
        width = length > width ? length : width;
        aggregates |= instance->repetitions > 1;
        for (size_t j = 0; j < instance->family->statistic_count; j++) {
            size_t statistic = strlen(instance->family->statistics[j].name);
            statistic_width = statistic > statistic_width ? statistic : statistic_width;
        }
    }
    if (statistic_width < strlen("median"))
        statistic_width = strlen("median");
    return aggregates ? width + 1 + statistic_width : width;
}

typedef struct report {
    const hg__row *rows, *aggregates;
    size_t count, aggregate_count;
} report;

static void tell(hg__reporter *to, const report *r, bool aggregates_only) {
    if (!to)
        return;
    if (!aggregates_only || r->aggregate_count == 0) {
        for (size_t i = 0; i < r->count; i++)
            to->row(to, &r->rows[i]);
    }
    for (size_t i = 0; i < r->aggregate_count; i++)
        to->row(to, &r->aggregates[i]);
}

static void tell_fit(session *s, int family_index) {
    const hg__row **rows = hg__alloc(s->order_count * sizeof(hg__row *));
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->instances[i].family_index != family_index)
            continue;
        for (int r = 0; r < s->runners[i].done; r++)
            rows[count++] = &s->runners[i].rows[r];
    }
    hg__row *fitted = hg__alloc(2 * sizeof *fitted);
    report r = {NULL, fitted, 0, hg__fit_rows(rows, count, fitted)};
    tell(s->display, &r, true);
    tell(s->file, &r, true);
}

static void tell_benchmark(session *s, const hg__runner *runner) {
    const hg_benchmark *family = runner->instance->family;
    hg__row *aggregates = NULL;
    report r = {runner->rows, NULL, (size_t)runner->done, 0};
    r.aggregate_count = hg__aggregate(runner->rows, r.count, &aggregates);
    r.aggregates = aggregates;
    bool file_only = hg__flag.report_aggregates_only || family->report_aggregates_only;
    bool display_only =
        file_only || hg__flag.display_aggregates_only || family->display_aggregates_only;
    tell(s->display, &r, display_only);
    tell(s->file, &r, file_only);
    int family_index = runner->instance->family_index;
    if (--s->family_rest[family_index] == 0 && family->complexity != HG_O_NONE)
        tell_fit(s, family_index);
}

static void run_all(session *s) {
    for (size_t i = 0; i < s->order_count; i++) {
        hg__runner *runner = &s->runners[s->order[i]];
        hg__runner_repeat(runner);
        s->error |= runner->rows[runner->done - 1].skip == HG__SKIPPED_ERROR;
        if (runner->done == runner->instance->repetitions)
            tell_benchmark(s, runner);
    }
}

/* ---- The whole ---- */

/* JSON holds it itself. Of a CSV file the first line is the header, where the original puts it in front. */
static void print_context(const session *s) {
    hg_sink error;
    hg_sink_init_fd(&error, STDERR_FILENO);
    if (hg__flag.format != HG__JSON)
        hg__print_context(&error, &s->context);
}

static void begin(session *s) {
    if (hg__flag.dry_run)
        hg_benchmark_add_context("dry_run", "true");
    prepare_runners(s);
    hg__context_read(&s->context);
    s->context.name_width = name_width(s);
    print_context(s);
    s->display = make_reporter(hg__flag.format, &s->standard.sink, true);
    if (s->out.fd >= 0)
        s->file = make_reporter(hg__flag.out_format, &s->out.sink, false);
    if (s->out.fd >= 0 && hg__flag.out_format == HG__CONSOLE)
        hg__print_context(&s->out.sink, &s->context);
    s->display->begin(s->display, &s->context);
    if (s->file)
        s->file->begin(s->file, &s->context);
}

static bool end(session *s) {
    s->display->end(s->display);
    if (s->file)
        s->file->end(s->file);
    if (s->dashboard.fd >= 0)
        hg__write_dashboard(&s->dashboard.sink, hg__flag.dashboard_format, &s->context, s->runners,
                            s->count);
    bool standard = close_output(&s->standard);
    bool out = close_output(&s->out);
    return close_output(&s->dashboard) && standard && out;
}

static int list_tests(session *s) {
    hg__reporter *reporter = make_reporter(hg__flag.format, &s->standard.sink, true);
    reporter->list(reporter, s->instances, s->count);
    return close_output(&s->standard) ? HG_BENCHMARK_OK : HG_BENCHMARK_USAGE;
}

int hg_benchmark_run_specified(void) {
    session *s = hg__alloc(sizeof *s);
    open_standard(&s->standard);
    int status = hg__find_instances(hg__flag.filter, &s->instances, &s->count);
    if (status != HG_BENCHMARK_OK)
        return status;
    if (hg__flag.list_tests)
        return list_tests(s);
    if (hg__flag.perf_counters && !hg__perf_select(hg__flag.perf_counters))
        return HG_BENCHMARK_USAGE;
    if (!open_output(&s->out, hg__flag.out) || !open_output(&s->dashboard, hg__flag.dashboard_out))
        return HG_BENCHMARK_USAGE;
    begin(s);
    run_all(s);
    if (!end(s))
        return HG_BENCHMARK_USAGE;
    return s->error ? HG_BENCHMARK_ERROR : HG_BENCHMARK_OK;
}

int hg_benchmark_main(int argc, char **argv) {
    int status = hg_benchmark_initialize(&argc, argv);
    if (status != HG_BENCHMARK_OK || hg_benchmark_wants_exit())
        return status;
    status = hg_benchmark_report_unrecognized(argc, argv);
    return status != HG_BENCHMARK_OK ? status : hg_benchmark_run_specified();
}
