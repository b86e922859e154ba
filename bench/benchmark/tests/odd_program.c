/* Benchmarks that misbehave or are rare, for test_program.py; and a malloc that counts its calls.
 */
#include <heapgauge/benchmark.h>

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sanitizers bring a malloc of their own. */
#ifndef HG_SANITIZED
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

static atomic_long mallocs;

void *malloc(size_t size) {
    mallocs++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    mallocs++;
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    mallocs++;
    return __libc_realloc(block, size);
}

/* Counts what the library allocates while its loops run, its clock and counters included. */
static void quiet(hg_state *state) {
    static long between_runs;
    if (between_runs == 0)
        between_runs = mallocs;
    double since_the_first = (double)(mallocs - between_runs);
    long at_start = mallocs;
    while (hg_keep_running(state)) {
        hg_pause_timing(state);
        hg_resume_timing(state);
    }
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "counter_%02d", i);
        hg_set_counter(state, name, i, HG_COUNTER_PLAIN);
    }
    hg_set_label(state, "quiet");
    hg_set_counter(state, "mallocs_in_loop", (double)(mallocs - at_start), HG_COUNTER_PLAIN);
    hg_set_counter(state, "mallocs_since_first_run", since_the_first, HG_COUNTER_PLAIN);
}
HG_BENCHMARK(quiet);

/* Seen to count. */
static void loud(hg_state *state) {
    long at_start = mallocs;
    while (hg_keep_running(state)) {
        void *block = malloc(1);
        hg_do_not_optimize(block);
        free(block);
    }
    hg_set_counter(state, "mallocs_per_iteration", (double)(mallocs - at_start),
                   HG_COUNTER_AVG_ITERATIONS);
}
HG_BENCHMARK(loud);
#endif

static void well(hg_state *state) {
    while (hg_keep_running(state))
        hg_clobber_memory();
}
HG_BENCHMARK(well);
HG_BENCHMARK(well, hg_benchmark_name(b, "DISABLED_well"));

static void fails(hg_state *state) {
    hg_skip_with_error(state, "backend \"%s\" is not built,\nsorry", "foo");
}
HG_BENCHMARK(fails);

static void skips(hg_state *state) {
    hg_skip_with_message(state, "needs MTE hardware");
}
HG_BENCHMARK(skips);

static void without_loop(hg_state *state) {
    (void)state;
}
HG_BENCHMARK(without_loop);

static void leaves(hg_state *state) {
    while (hg_keep_running(state)) {
        if (hg_state_max_iterations(state) > 1)
            break;
    }
}
HG_BENCHMARK(leaves);

/* One thread of three fails: before the loop, or inside; the others must not wait for ever. */
static void one_fails(hg_state *state) {
    if (hg_state_range(state, 0) == 0 && hg_state_thread_index(state) == 1) {
        hg_skip_with_error(state, "thread 1 before the loop");
        return;
    }
    HG_ITERATE(state) {
        if (hg_state_range(state, 0) == 1 && hg_state_thread_index(state) == 2) {
            hg_skip_with_error(state, "thread 2 inside the loop");
            break;
        }
    }
}
HG_BENCHMARK(one_fails, hg_benchmark_arg(b, 0), hg_benchmark_arg(b, 1), hg_benchmark_threads(b, 3),
             hg_benchmark_iterations(b, 100));

static void not_finite(hg_state *state) {
    while (hg_keep_running(state)) {
    }
    hg_set_counter(state, "nan", NAN, HG_COUNTER_PLAIN);
    hg_set_counter(state, "infinite", INFINITY, HG_COUNTER_PLAIN);
    hg_set_counter(state, "inverse_of_zero", 0, HG_COUNTER_INVERT);
    hg_set_counter(state, "finite", 1, HG_COUNTER_PLAIN);
    hg_set_label(state, "bad \xff utf-8, tab\t, \"quote\"");
}
HG_BENCHMARK(not_finite, hg_benchmark_repetitions(b, 2));

/* Fails in its second repetition only. */
static void second_fails(hg_state *state) {
    static int runs;
    if (++runs == 2)
        hg_skip_with_error(state, "the second");
    while (hg_keep_running(state)) {
    }
    hg_set_counter(state, "only_here", 5, HG_COUNTER_PLAIN);
}
HG_BENCHMARK(second_fails, hg_benchmark_repetitions(b, 3), hg_benchmark_iterations(b, 4));

static void takes_argument(hg_state *state) {
    while (hg_keep_running(state)) {
    }
    hg_set_label(state, "%s", (const char *)hg_state_arg(state));
}

static void threads_rate(hg_state *state) {
    while (hg_keep_running(state))
        hg_set_iteration_time(state, 0.5);
    hg_set_items_processed(state, 100);
    hg_set_counter(state, "sum", 7, HG_COUNTER_PLAIN);
}
HG_BENCHMARK(threads_rate, hg_benchmark_threads(b, 2), hg_benchmark_iterations(b, 4),
             hg_benchmark_use_manual_time(b));

static void start_memory(void *arg) {
    (void)arg;
}
static void stop_memory(void *arg, hg_memory_result *result) {
    (void)arg;
    result->allocation_count = 32;
    result->max_bytes_used = 4096;
    result->net_heap_growth = 0;
}

/* Registers at run time and parses a flag of its own: what a harness with backends does. */
int main(int argc, char **argv) {
    static const hg_memory_manager manager = {start_memory, stop_memory, NULL};
    int status = hg_benchmark_initialize(&argc, argv);
    if (status != HG_BENCHMARK_OK || hg_benchmark_wants_exit())
        return status;
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--backend=", strlen("--backend=")) == 0) {
            char name[64];
            snprintf(name, sizeof name, "dynamic/backend:%s", argv[i] + strlen("--backend="));
            hg_benchmark_register(name, takes_argument, argv[i]);
        } else if (strcmp(argv[i], "--memory") == 0) {
            hg_benchmark_set_memory_manager(&manager);
        } else {
            argv[kept++] = argv[i];
        }
    }
    status = hg_benchmark_report_unrecognized(kept, argv);
    return status != HG_BENCHMARK_OK ? status : hg_benchmark_run_specified();
}
