/* The library in use: a range, threads, counters, a fitted curve, a skip. */
#include <heapgauge/benchmark.h>

#include <stdlib.h>
#include <string.h>

/* Copies blocks of range(0) bytes. */
static void copy(hg_state *state) {
    size_t size = (size_t)hg_state_range(state, 0);
    char *source = calloc(1, size), *target = calloc(1, size);
    if (!source || !target) {
        hg_skip_with_error(state, "no memory for two blocks of %zu bytes", size);
        free(source);
        free(target);
        return;
    }
    while (hg_keep_running(state)) {
        memcpy(target, source, size);
        hg_do_not_optimize(target);
        hg_clobber_memory();
    }
    free(source);
    free(target);
    hg_set_bytes_processed(state, (int64_t)(hg_state_iterations(state) * size));
    hg_set_complexity_n(state, (int64_t)size);
}
HG_BENCHMARK(copy, HG_ARG_NAMES(b, "size"), hg_benchmark_range(b, 1 << 10, 64 << 10),
             hg_benchmark_complexity(b, HG_O_AUTO));

/* One malloc and one free an iteration, on one and two threads. */
static void pair(hg_state *state) {
    HG_ITERATE(state) {
        void *block = malloc(64);
        hg_do_not_optimize(block);
        free(block);
    }
    hg_set_items_processed(state, (int64_t)hg_state_iterations(state));
}
HG_BENCHMARK(pair, hg_benchmark_thread_range(b, 1, 2), hg_benchmark_use_real_time(b));

/* What this machine can't do is skipped, and is no error. */
static void persistent_memory(hg_state *state) {
    hg_skip_with_message(state, "needs persistent memory");
}
HG_BENCHMARK(persistent_memory);

HG_BENCHMARK_MAIN()
