/* What the files of the benchmark library share. Layers, bottom-up:
 *
 *     arena sink json_writer text            memory and text
 *     clock barrier counters perf stats      measuring
 *     registry instances flags context       what to run, and where
 *     state run                              running one repetition
 *     report_*                               telling
 *     main                                   in what order
 */
#ifndef HEAPGAUGE_BENCHMARK_INTERNAL_H
#define HEAPGAUGE_BENCHMARK_INTERNAL_H

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "heapgauge/benchmark.h"
#include "json_writer.h"
#include "sink.h"

#define HG_LIBRARY_VERSION "heapgauge 0.1.0 (as v1.9.5)"

/* ---- arena.c: mmap'd memory, never given back piecemeal; zeroed; thread-safe; never NULL ------
 */

void *hg__alloc(size_t size);
/* Lives until the next hg__scratch_reset(), which only the main thread calls, between runs. */
void *hg__scratch_alloc(size_t size);
void hg__scratch_reset(void);
char *hg__strdup(const char *text);
char *hg__textf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *hg__vtextf(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
/* An array with room for one more than `count`; the old one is left in the arena. */
void *hg__grow(void *items, size_t count, size_t *capacity, size_t item_size);
/* Prints a misuse with write(2) and aborts. */
_Noreturn void hg__misuse(const char *where, const char *what);
/* One line on stderr: "<program>: ...". */
void hg__complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- text.c --------------------------------------------------------------------------------- */

enum { HG__NUMBER_SIZE = 64 };

/* 1234.5 as "1.2345k"; `one_k` is 1000 or 1024. Writes to and returns `text`. */
const char *hg__human_number(double value, unsigned one_k, char text[HG__NUMBER_SIZE]);
const char *hg__unit_name(hg_time_unit unit);
double hg__unit_per_second(hg_time_unit unit);
const char *hg__big_o_name(hg_complexity complexity);

/* ---- clock.h in run.c: one thread's stop-watch ------------------------------------------------
 */

typedef struct hg__timer {
    bool running;
    bool process_cpu;
    double real_start_s, cpu_start_s;
    double real_s, cpu_s, manual_s; /* accumulated */
} hg__timer;

void hg__timer_start(hg__timer *timer);
void hg__timer_stop(hg__timer *timer);

/* ---- barrier.c: threads may leave for good, the others then don't wait for them ----------------
 */

typedef struct hg__barrier {
    pthread_mutex_t lock;
    pthread_cond_t released;
    int expected, entered;
    bool spin;
    atomic_uint phase;
} hg__barrier;

void hg__barrier_init(hg__barrier *barrier, int threads);
void hg__barrier_wait(hg__barrier *barrier);
void hg__barrier_leave(hg__barrier *barrier);
void hg__barrier_destroy(hg__barrier *barrier);

/* ---- counters.c: sorted by name
 * ------------------------------------------------------------------- */

typedef struct hg__counter {
    const char *name;
    double value;
    unsigned flags;
} hg__counter;

typedef struct hg__counters {
    hg__counter *items;
    size_t count, capacity;
} hg__counters;

/* Where the names and arrays are taken from: hg__alloc or hg__scratch_alloc. */
typedef void *hg__allocator(size_t size);

/* Counter `name`, made (0, no flags) where it isn't yet. */
hg__counter *hg__counters_get(hg__counters *counters, const char *name, hg__allocator *alloc);
const hg__counter *hg__counters_find(const hg__counters *counters, const char *name);
/* into += from, counter by counter. */
void hg__counters_add(hg__counters *into, const hg__counters *from, hg__allocator *alloc);
/* Raw sums over threads to what is reported; drops what isn't finite. */
void hg__counters_finish(hg__counters *counters, uint64_t iterations, double seconds, int threads);
bool hg__counters_same_names(const hg__counters *a, const hg__counters *b);

/* ---- perf.c: hardware and kernel event counters
 * ------------------------------------------------------ */

enum { HG__PERF_MAX = 16 };

typedef struct hg__perf {
    int fds[HG__PERF_MAX];
} hg__perf;

/* Parses a comma-separated list and tries each event. Returns false after a message. */
bool hg__perf_select(const char *list);
size_t hg__perf_count(void);
const char *hg__perf_name(size_t index);
/* For the calling thread. Unopened counters read 0; hg__perf_select() has tried them before. */
void hg__perf_open(hg__perf *perf);
void hg__perf_enable(hg__perf *perf, bool on);
void hg__perf_close(hg__perf *perf, double values[HG__PERF_MAX]);

/* ---- stats.c, complexity.c
 * -------------------------------------------------------------------------- */

void hg__sort(double *values, size_t count);
double hg__mean(const double *values, size_t count);
double hg__median(const double *values, size_t count);
double hg__stddev(const double *values, size_t count);
double hg__cv(const double *values, size_t count);
/* Ranks (from 0) of the order statistics that enclose the median with >= 95 %. False where count
 * < 6. */
bool hg__median_interval(size_t count, size_t *low, size_t *high);

typedef struct hg__fit {
    hg_complexity complexity;
    double coefficient;
    double rms; /* root mean square of the residuals over the mean */
} hg__fit;

/* Least squares through the origin: y = coefficient * curve(n). HG_O_AUTO tries them all. */
hg__fit hg__fit_curve(const double *n, const double *y, size_t count, hg_complexity complexity,
                      hg_complexity_fn *lambda);

/* ---- registry.c, instances.c
 * ----------------------------------------------------------------------------- */

typedef struct hg__statistic {
    const char *name;
    hg_statistic_fn *fn;
    void *arg;
    bool percentage;
} hg__statistic;

struct hg_benchmark {
    const char *name;
    hg_benchmark_fn *fn;
    void *arg;
    const int64_t **args; /* args_count lists of `arity` numbers */
    size_t args_count, args_capacity;
    size_t arity;
    bool has_args;
    const char **arg_names;
    size_t arg_name_count;
    int *threads;
    size_t thread_count, thread_capacity;
    int64_t range_multiplier;
    double min_time_s, min_warmup_s; /* 0 and -1: not set */
    uint64_t iterations;             /* 0: estimate */
    int repetitions;                 /* 0: the flag's */
    bool use_real_time, use_manual_time, process_cpu;
    bool report_aggregates_only, display_aggregates_only;
    int unit; /* -1: the flag's */
    hg_complexity complexity;
    hg_complexity_fn *complexity_fn;
    hg_benchmark_fn *setup, *teardown;
    hg__statistic *statistics;
    size_t statistic_count, statistic_capacity;
    struct hg_benchmark *next;
};

hg_benchmark *hg__first_benchmark(void);

typedef struct hg__instance {
    const hg_benchmark *family;
    const char *name;
    const int64_t *args;
    int threads;
    int family_index, per_family_instance_index;
    int repetitions;
    hg_time_unit unit;
} hg__instance;

/* The instances whose names the filter takes, in order. Returns HG_BENCHMARK_OK, or
 * HG_BENCHMARK_USAGE after a message (bad expression, nothing matches). */
int hg__find_instances(const char *filter, hg__instance **instances, size_t *count);
/* The full name; without its arguments where `args` is NULL. */
const char *hg__instance_name(const hg_benchmark *family, const int64_t *args, int threads);

/* ---- flags.c
 * --------------------------------------------------------------------------------------------- */

typedef enum hg__format { HG__CONSOLE, HG__JSON, HG__CSV } hg__format;
typedef enum hg__dashboard { HG__GOOGLECPP, HG__SMALLER_IS_BETTER, HG__BMF } hg__dashboard;

typedef struct hg__flags {
    bool list_tests, dry_run, random_interleaving;
    bool report_aggregates_only, display_aggregates_only, counters_tabular;
    bool help;
    const char *filter;
    double min_time_s;
    uint64_t min_time_iterations; /* of --benchmark_min_time=<n>x; 0: by time */
    double min_warmup_s;
    int repetitions;
    hg__format format, out_format;
    const char *out;
    int color; /* 0 no, 1 yes, -1 if stdout is a terminal */
    const char *perf_counters;
    hg_time_unit unit;
    int verbosity;
    uint64_t seed; /* of the interleaving; 0: from the system */
    const char *dashboard_out;
    hg__dashboard dashboard_format;
} hg__flags;

extern hg__flags hg__flag;

/* ---- context.c
 * --------------------------------------------------------------------------------------------- */

typedef struct hg__cache {
    const char *type;
    int level;
    int64_t size;
    int num_sharing;
} hg__cache;

typedef struct hg__pair {
    const char *key, *value;
} hg__pair;

typedef struct hg__context {
    const char *date, *host_name, *executable;
    int num_cpus;
    double mhz_per_cpu;
    int cpu_scaling, aslr; /* 1, 0, -1 unknown */
    hg__cache caches[16];
    size_t cache_count;
    double load_avg[3];
    int load_count;
    const hg__pair *custom; /* sorted by key */
    size_t custom_count;
    size_t name_width; /* of the console's first column */
} hg__context;

void hg__context_read(hg__context *context);
extern const char *hg__executable;
void hg__log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- state.c, run.c
 * ---------------------------------------------------------------------------------------- */

typedef enum hg__skip { HG__NOT_SKIPPED, HG__SKIPPED_MESSAGE, HG__SKIPPED_ERROR } hg__skip;

enum { HG__MESSAGE_SIZE = 512 };

/* One thread's share of one run. */
struct hg__run_state {
    const hg__instance *instance;
    hg__barrier *barrier;
    int thread_index;
    hg__timer timer;
    hg__counters counters; /* scratch */
    hg__perf perf;
    double perf_values[HG__PERF_MAX];
    int64_t complexity_n;
    hg__skip skip;
    char message[HG__MESSAGE_SIZE];
    char label[HG__MESSAGE_SIZE];
};

typedef enum hg__run_type { HG__ITERATION, HG__AGGREGATE, HG__BIG_O, HG__RMS } hg__run_type;

/* One row of a report. Times are per iteration, in `unit`; of a percentage, plain fractions. */
typedef struct hg__row {
    const hg__instance *instance;
    const char *run_name;
    const char *aggregate_name; /* NULL: an iteration row */
    hg__run_type type;
    bool percentage;
    int repetition_index;
    hg__skip skip;
    const char *message;
    uint64_t iterations;
    double real_time, cpu_time;
    double complexity_n;
    hg_complexity big_o;
    hg__counters counters;
    bool has_memory;
    double allocs_per_iter;
    hg_memory_result memory;
    const char *label;
} hg__row;

/* The full name: run_name, and "_<aggregate>". */
const char *hg__row_name(const hg__row *row);

/* All repetitions of one instance. */
typedef struct hg__runner {
    const hg__instance *instance;
    uint64_t iterations; /* of one thread; settled by the first repetition */
    hg__row *rows;
    int done;
} hg__runner;

void hg__runner_init(hg__runner *runner, const hg__instance *instance);
/* Does one repetition and adds its row. */
void hg__runner_repeat(hg__runner *runner);
extern const hg_memory_manager *hg__memory_manager;

/* Aggregates of `count` rows of one instance; none where fewer than two were measured. */
size_t hg__aggregate(const hg__row *rows, size_t count, hg__row **aggregates);
/* BigO (in the unit of the flag, whatever the family's: as the original) and RMS of a family's
 * rows; none where fewer than two were measured. */
size_t hg__fit_rows(const hg__row *const *rows, size_t count, hg__row fitted[2]);

/* ---- report_*.c
 * ------------------------------------------------------------------------------------------------
 */

typedef struct hg__reporter hg__reporter;
struct hg__reporter {
    void (*begin)(hg__reporter *self, const hg__context *context);
    void (*row)(hg__reporter *self, const hg__row *row);
    void (*end)(hg__reporter *self);
    void (*list)(hg__reporter *self, const hg__instance *instances, size_t count);
    hg_sink *out;
    bool color, tabular;
};

hg__reporter *hg__console_reporter(hg_sink *out, bool color, bool tabular);
hg__reporter *hg__json_reporter(hg_sink *out);
hg__reporter *hg__csv_reporter(hg_sink *out);
/* The context's lines, for people: on standard error, or in front of a console's file. */
void hg__print_context(hg_sink *to, const hg__context *context);
void hg__json_context(hg_json *json, const hg__context *context);
void hg__json_row(hg_json *json, const hg__row *row);
/* One entry a benchmark: the median of its repetitions. */
void hg__write_dashboard(hg_sink *out, hg__dashboard format, const hg__context *context,
                         const hg__runner *runners, size_t count);

#endif
