/* A benchmark library in plain C whose flags, names and output files are Google Benchmark's
 * (1.9.5).
 *
 *     #include <heapgauge/benchmark.h>
 *
 *     static void copy(hg_state *state) {
 *         size_t size = (size_t)hg_state_range(state, 0);
 *         while (hg_keep_running(state)) {
 *             memcpy(target, source, size);
 *             hg_clobber_memory();
 *         }
 *         hg_set_bytes_processed(state, (int64_t)(hg_state_iterations(state) * size));
 *     }
 *     HG_BENCHMARK(copy, hg_benchmark_range(b, 8, 8 << 10), hg_benchmark_threads(b, 2));
 *     HG_BENCHMARK_MAIN()
 *
 * Shared preconditions. Strings passed in are copied; pointers to functions and the `arg` of
 * hg_benchmark_register() must outlive hg_benchmark_run_specified(). A handle belongs to the
 * library and lives as long as the process. Registering, initialising and running are for one
 * thread at a time; functions that take an hg_state are for the thread that was given that state. A
 * misuse (an empty range, two arities in one family, ...) prints what is wrong and aborts.
 *
 * The library takes its own memory from mmap, and nothing calls malloc between the start and the
 * stop of the clock, so that an allocator under test sees only the calls of the benchmark.
 */
#ifndef HEAPGAUGE_BENCHMARK_H
#define HEAPGAUGE_BENCHMARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Exit statuses of hg_benchmark_main(), and what the functions that return an int return. */
enum {
    HG_BENCHMARK_OK = 0,    /* every benchmark ran (skipping with a message is well) */
    HG_BENCHMARK_ERROR = 1, /* at least one benchmark reported an error */
    HG_BENCHMARK_USAGE = 2, /* bad flag, nothing matched, unwritable file, no such counter */
};

/* Unit in which times are reported; ns unless set by family or by --benchmark_time_unit. */
typedef enum hg_time_unit {
    HG_UNIT_NS,
    HG_UNIT_US,
    HG_UNIT_MS,
    HG_UNIT_S,
} hg_time_unit;

/* How a counter's value becomes the number reported. Applied in this order: rate, average over
 * threads, iteration invariant, average over iterations, invert. Values set by several threads are
 * summed first (so a gauge of the whole process is for thread 0 alone to set). */
enum {
    HG_COUNTER_PLAIN = 0,
    HG_COUNTER_IS_RATE = 1 << 0,     /* divided by seconds; over threads the rate is global */
    HG_COUNTER_AVG_THREADS = 1 << 1, /* divided by the number of threads */
    HG_COUNTER_ITERATION_INVARIANT = 1 << 2, /* multiplied by iterations */
    HG_COUNTER_AVG_ITERATIONS = 1 << 3,      /* divided by iterations */
    HG_COUNTER_INVERT = 1 << 4,              /* 1 / value, last */
    HG_COUNTER_1024 = 1 << 5,                /* the console scales by 1024 (Ki, Mi), not 1000 */
    HG_COUNTER_AVG_THREADS_RATE = HG_COUNTER_IS_RATE | HG_COUNTER_AVG_THREADS,
    HG_COUNTER_ITERATION_INVARIANT_RATE = HG_COUNTER_IS_RATE | HG_COUNTER_ITERATION_INVARIANT,
    HG_COUNTER_AVG_ITERATIONS_RATE = HG_COUNTER_IS_RATE | HG_COUNTER_AVG_ITERATIONS,
};

/* Curve fitted to times against hg_set_complexity_n(). */
typedef enum hg_complexity {
    HG_O_NONE,
    HG_O_1,
    HG_O_N,
    HG_O_N_SQUARED,
    HG_O_N_CUBED,
    HG_O_LOG_N,
    HG_O_N_LOG_N,
    HG_O_AUTO,   /* the best fit of those above */
    HG_O_LAMBDA, /* set by hg_benchmark_complexity_fn() */
} hg_complexity;

typedef struct hg_benchmark hg_benchmark;
typedef struct hg_state hg_state;

typedef void hg_benchmark_fn(hg_state *state);
typedef double hg_complexity_fn(int64_t n);
/* Statistic of `count` >= 2 values, one per repetition. */
typedef double hg_statistic_fn(const double *values, size_t count, void *arg);

/* ---- Registering --------------------------------------------------------------------------- */

/* Registers a family: `fn` under `name`. `arg` is handed to it by hg_state_arg(); it stays the
 * caller's. */
hg_benchmark *hg_benchmark_register(const char *name, hg_benchmark_fn *fn, void *arg);

/* Registers function `fn` under its own name before main; further arguments are setters on the
 * handle `b`, in order:
 *     HG_BENCHMARK(pair);
 *     HG_BENCHMARK(pair, hg_benchmark_range(b, 8, 1024), hg_benchmark_use_real_time(b)); */
#define HG_BENCHMARK(...)               HG__BENCHMARK(__VA_ARGS__, (void)0)
#define HG__BENCHMARK(fn, ...)          HG__BENCHMARK_AT(fn, __LINE__, __VA_ARGS__)
#define HG__BENCHMARK_AT(fn, line, ...) HG__BENCHMARK_CTOR(fn, line, __VA_ARGS__)
#define HG__BENCHMARK_CTOR(fn, line, ...)                                                          \
    __attribute__((constructor)) static void hg__register_##fn##_##line(void) {                    \
        hg_benchmark *b = hg_benchmark_register(#fn, fn, NULL);                                    \
        (void)b;                                                                                   \
        (__VA_ARGS__);                                                                             \
    }                                                                                              \
    struct hg__swallow_semicolon

/* Setters. Each returns its handle. */

/* Renames the family. */
hg_benchmark *hg_benchmark_name(hg_benchmark *b, const char *name);

/* Adds one argument list of `count` numbers: one more instance (per thread count) of the family. */
hg_benchmark *hg_benchmark_args(hg_benchmark *b, size_t count, const int64_t *args);
#define HG_ARGS(b, ...)                                                                            \
    hg_benchmark_args((b), sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                     \
                      (const int64_t[]){__VA_ARGS__})
/* Same with one number. */
hg_benchmark *hg_benchmark_arg(hg_benchmark *b, int64_t arg);

/* Names the arguments (`size:64`); a NULL or "" leaves that one bare. */
hg_benchmark *hg_benchmark_arg_names(hg_benchmark *b, size_t count, const char *const *names);
#define HG_ARG_NAMES(b, ...)                                                                       \
    hg_benchmark_arg_names((b), sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),            \
                           (const char *const[]){__VA_ARGS__})

/* Adds `low`, the powers of the multiplier strictly between, and `high`. Needs low <= high. */
hg_benchmark *hg_benchmark_range(hg_benchmark *b, int64_t low, int64_t high);
/* Multiplier of the range() and ranges() that follow; 8 unless set. Needs >= 2. */
hg_benchmark *hg_benchmark_range_multiplier(hg_benchmark *b, int64_t multiplier);
/* Adds start, start + step, ... up to and with `limit`. Needs start <= limit, step > 0. */
hg_benchmark *hg_benchmark_dense_range(hg_benchmark *b, int64_t start, int64_t limit, int64_t step);
/* Adds the product of `count` ranges {low, high}; the first varies fastest. */
hg_benchmark *hg_benchmark_ranges(hg_benchmark *b, size_t count, const int64_t (*ranges)[2]);

typedef struct hg_arg_list {
    size_t count;
    const int64_t *values;
} hg_arg_list;
#define HG_ARG_LIST(...)                                                                           \
    {                                                                                              \
        sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[]) {                    \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
/* Adds the product of `count` lists; the first varies fastest. */
hg_benchmark *hg_benchmark_args_product(hg_benchmark *b, size_t count, const hg_arg_list *lists);
#define HG_ARGS_PRODUCT(b, ...)                                                                    \
    hg_benchmark_args_product((b), sizeof((hg_arg_list[]){__VA_ARGS__}) / sizeof(hg_arg_list),     \
                              (const hg_arg_list[]){__VA_ARGS__})

/* Runs on that many threads at once, released by a barrier (>= 1). May be given several times. */
hg_benchmark *hg_benchmark_threads(hg_benchmark *b, int threads);
/* Thread counts low, its doublings strictly between, and high. */
hg_benchmark *hg_benchmark_thread_range(hg_benchmark *b, int low, int high);
/* Thread counts low, low + step, ..., and high. */
hg_benchmark *hg_benchmark_dense_thread_range(hg_benchmark *b, int low, int high, int step);
/* As many threads as online CPUs. */
hg_benchmark *hg_benchmark_thread_per_cpu(hg_benchmark *b);

/* Shortest time of one repetition, seconds (> 0). Before --benchmark_min_time. */
hg_benchmark *hg_benchmark_min_time(hg_benchmark *b, double seconds);
/* Shortest warm-up before the first repetition, seconds (>= 0); its results are discarded. */
hg_benchmark *hg_benchmark_min_warmup_time(hg_benchmark *b, double seconds);
/* Fixes the iterations of each thread (>= 1): no estimation. */
hg_benchmark *hg_benchmark_iterations(hg_benchmark *b, uint64_t iterations);
/* Number of repetitions (>= 1). Before --benchmark_repetitions. */
hg_benchmark *hg_benchmark_repetitions(hg_benchmark *b, int repetitions);
hg_benchmark *hg_benchmark_unit(hg_benchmark *b, hg_time_unit unit);
/* Iterations and rates follow wall-clock time instead of CPU time. */
hg_benchmark *hg_benchmark_use_real_time(hg_benchmark *b);
/* CPU time is that of the whole process, threads started by the benchmark included. */
hg_benchmark *hg_benchmark_measure_process_cpu_time(hg_benchmark *b);
/* Time is what the benchmark gives to hg_set_iteration_time(). */
hg_benchmark *hg_benchmark_use_manual_time(hg_benchmark *b);
/* Reports (to file and display, or to the display alone) aggregates only, where there are some. */
hg_benchmark *hg_benchmark_report_aggregates_only(hg_benchmark *b);
hg_benchmark *hg_benchmark_display_aggregates_only(hg_benchmark *b);
/* Fits a curve to the family's times: rows `<family>_BigO` and `_RMS`. */
hg_benchmark *hg_benchmark_complexity(hg_benchmark *b, hg_complexity complexity);
hg_benchmark *hg_benchmark_complexity_fn(hg_benchmark *b, hg_complexity_fn *curve);
/* Called in the main thread before the threads start and after they end, for every run of the
 * iteration estimate; untimed. `state` knows range, threads and arg; nothing else may be used. */
hg_benchmark *hg_benchmark_setup(hg_benchmark *b, hg_benchmark_fn *setup);
hg_benchmark *hg_benchmark_teardown(hg_benchmark *b, hg_benchmark_fn *teardown);
/* Adds an aggregate after mean, median, stddev and cv; `percentage` says its value is a fraction.
 */
hg_benchmark *hg_benchmark_statistic(hg_benchmark *b, const char *name, hg_statistic_fn *fn,
                                     void *arg, bool percentage);

/* ---- Running ------------------------------------------------------------------------------- */

/* Everything a main() does: flags, run, reports. Returns the exit status (HG_BENCHMARK_*). */
int hg_benchmark_main(int argc, char **argv);
#define HG_BENCHMARK_MAIN()                                                                        \
    int main(int argc, char **argv) {                                                              \
        return hg_benchmark_main(argc, argv);                                                      \
    }

/* Reads the environment, then takes the flags that are the library's out of argv; argv[0] and what
 * it doesn't know stay, in order, for the caller to parse before or after. `--help` prints the
 * usage and sets hg_benchmark_wants_exit(). Returns HG_BENCHMARK_OK, or HG_BENCHMARK_USAGE after a
 * message. */
int hg_benchmark_initialize(int *argc, char **argv) __attribute__((warn_unused_result));
/* True after --help: there is nothing to run. */
bool hg_benchmark_wants_exit(void);
/* Lines put before the library's own in --help; the text is not copied. */
void hg_benchmark_set_usage(const char *usage);
/* Cuts the loops of benchmarks of one thread, where they ask for one iteration at a time, into `count`
 * slices: calls between(context, i) before the i-th, from 0, and between(context, count) behind the last,
 * with the clock of the first stopped. For measurements that take turns with another process. NULL: not. */
void hg_benchmark_set_slices(uint64_t count, void (*between)(void *context, uint64_t index),
                             void *context);
/* Reports what is left in argv. Returns HG_BENCHMARK_OK iff nothing is. */
int hg_benchmark_report_unrecognized(int argc, char **argv) __attribute__((warn_unused_result));
/* Runs (or lists) what the flags chose and writes every report. Returns the exit status. */
int hg_benchmark_run_specified(void) __attribute__((warn_unused_result));

/* Adds `key: value` to the context of every report; a second value of a key replaces the first. */
void hg_benchmark_add_context(const char *key, const char *value);

/* What a memory manager counted between start() and stop(). */
typedef struct hg_memory_result {
    int64_t allocation_count;
    int64_t max_bytes_used;
    int64_t total_allocated_bytes; /* HG_MEMORY_UNKNOWN: left out */
    int64_t net_heap_growth;       /* bytes; HG_MEMORY_UNKNOWN: left out */
} hg_memory_result;
#define HG_MEMORY_UNKNOWN INT64_MIN

/* Hook around one further, untimed run of at most 16 iterations on one thread. */
typedef struct hg_memory_manager {
    void (*start)(void *arg);
    void (*stop)(void *arg, hg_memory_result *result);
    void *arg;
} hg_memory_manager;
/* Registers the hook, NULL for none; the struct must outlive the run. JSON only, as the original.
 */
void hg_benchmark_set_memory_manager(const hg_memory_manager *manager);

/* ---- Inside a benchmark -------------------------------------------------------------------- */

/* The struct is here for the inlined loop alone; all its fields are the library's. */
struct hg_state {
    uint64_t remaining; /* iterations left before the library must be asked */
    uint64_t batch_leftover;
    uint64_t max_iterations;
    uint64_t held_back; /* iterations of slices to come, see hg_benchmark_set_slices() */
    bool started;
    bool finished;
    bool skipped;
    struct hg__run_state *run;
};

bool hg__keep_running_slow(hg_state *state, uint64_t count, bool is_batch);

/* True while there is an iteration to do. The first call waits for the other threads and starts the
 * clock, the last one stops it. Cost: a load, a decrement, a store, a branch; the count lives in
 * memory, which is free where the CPU forwards stores at once, and a few cycles where it doesn't:
 * see HG_ITERATE. The empty asm keeps the compiler from folding a loop with nothing in it into a
 * subtraction. */
static inline bool hg_keep_running(hg_state *state) {
    uint64_t left = state->remaining;
    if (__builtin_expect(left != 0, 1)) {
        __asm__ volatile("" : "+r"(left));
        state->remaining = left - 1;
        return true;
    }
    return hg__keep_running_slow(state, 1, false);
}

/* Same for a body that does `count` iterations at once (count > 0). May do up to count - 1 too
 * many; hg_state_iterations() tells the truth. */
static inline bool hg_keep_running_batch(hg_state *state, uint64_t count) {
    uint64_t left = state->remaining;
    if (__builtin_expect(left >= count, 1)) {
        __asm__ volatile("" : "+r"(left));
        state->remaining = left - count;
        return true;
    }
    return hg__keep_running_slow(state, count, true);
}

uint64_t hg__loop_begin(hg_state *state);
void hg__loop_end(hg_state *state);

static inline bool hg__loop_next(hg_state *state, uint64_t *left) {
    if (__builtin_expect(*left != 0, 1)) {
        __asm__ volatile("" : "+r"(*left));
        --*left;
        return true;
    }
    hg__loop_end(state);
    return false;
}

/* `HG_ITERATE(state) { body }`: as while (hg_keep_running(state)), with the count in a register
 * whatever the body does: for bodies of a nanosecond. Leave it early only after a hg_skip_...(). */
#define HG_ITERATE(state)                                                                          \
    for (uint64_t hg__left = hg__loop_begin(state); hg__loop_next((state), &hg__left);)

/* Argument `index` of this instance. Needs index < the number of arguments. */
int64_t hg_state_range(const hg_state *state, size_t index);
void *hg_state_arg(const hg_state *state);
/* The full name of the instance: "pair/size:64/threads:2". */
const char *hg_state_name(const hg_state *state);
int hg_state_threads(const hg_state *state);
/* 0 .. threads - 1. */
int hg_state_thread_index(const hg_state *state);
/* Iterations that this thread has done; after the loop, and anywhere in HG_ITERATE, all of them. */
uint64_t hg_state_iterations(const hg_state *state);
/* Iterations that this thread is to do, known before the loop. */
uint64_t hg_state_max_iterations(const hg_state *state);

/* Stop and restart the clock of this thread inside the loop. Costs two clock readings each: not for
 * bodies under a microsecond. */
void hg_pause_timing(hg_state *state);
void hg_resume_timing(hg_state *state);
/* Adds to the manual time of this thread, seconds. */
void hg_set_iteration_time(hg_state *state, double seconds);

/* Ends the benchmark without a result: as an error (exit status 1), or as not applicable here. Call
 * it before the loop and return, or inside and leave the loop. The first message is kept. Also
 * resets what the loop had left, so that hg_keep_running() then says false. */
void hg_skip_with_error(hg_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void hg_skip_with_message(hg_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* True iff this thread called one of them. */
bool hg_state_is_skipped(const hg_state *state);

/* Text at the end of the row; with several threads the lowest that sets one wins. */
void hg_set_label(hg_state *state, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sets a counter (value, HG_COUNTER_* flags). Not finite: left out of the reports. */
void hg_set_counter(hg_state *state, const char *name, double value, unsigned flags);
/* items_per_second and bytes_per_second from this thread's totals. */
void hg_set_items_processed(hg_state *state, int64_t items);
void hg_set_bytes_processed(hg_state *state, int64_t bytes);
/* The N of the complexity fit. */
void hg_set_complexity_n(hg_state *state, int64_t n);

/* The compiler must have computed `value` (a scalar or a pointer) here, and may not assume that
 * what it points to is unchanged afterwards. No instruction of its own. */
#ifdef __cplusplus
#define hg_do_not_optimize(value)                                                                  \
    do {                                                                                           \
        auto hg__value = (value);                                                                  \
        __asm__ volatile("" : : "g"(hg__value) : "memory");                                        \
    } while (0)
#else
#define hg_do_not_optimize(value)                                                                  \
    do {                                                                                           \
        __auto_type hg__value = (value);                                                           \
        __asm__ volatile("" : : "g"(hg__value) : "memory");                                        \
    } while (0)
#endif

/* Everything in memory may have been read and written here. No instruction of its own. */
static inline void hg_clobber_memory(void) {
    __asm__ volatile("" : : : "memory");
}

#ifdef __cplusplus
}
#endif

#endif
