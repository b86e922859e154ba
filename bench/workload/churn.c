/* churn: a set of live blocks of mixed sizes; a random one is freed, another of a random size takes
 * its place. Stresses what a long-running program does all day: size classes, page search, cache
 * misses on the allocator's own data, and how these grow with the live set. */
#include "support.h"

static void churn(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    size_t live = (size_t)hg_state_range(state, 0);
    void **slots = hg_workload_map(live * sizeof *slots);
    struct hg_sizes *sizes = hg_workload_map(sizeof *sizes);
    hg_sizes_log_uniform(sizes, 16, (size_t)hg_state_range(state, 1));
    struct hg_random random = hg_random_of(state, 3);
    uint64_t live_bytes = 0;
    for (size_t i = 0; i < live; i++) {
        size_t size = hg_sizes_draw(sizes, &random);
        live_bytes += size;
        slots[i] = allocate(size);
        memset(slots[i], 1, size);
    }
    hg_workload_live_share(state, live_bytes);
    HG_WORKLOAD_LOOP(state) {
        void **slot = &slots[hg_random_below(&random, live)];
        release(*slot);
        *slot = allocate(hg_sizes_draw(sizes, &random));
        hg_workload_touch(*slot);
    }
    hg_workload_done(state, 2 * hg_state_iterations(state));
    for (size_t i = 0; i < live; i++)
        release(slots[i]);
    hg_workload_unmap(slots, live * sizeof *slots);
    hg_workload_unmap(sizes, sizeof *sizes);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "live", "size_max");
    HG_ARGS(b, 1000, 1024);
    HG_ARGS(b, 10000, 1024);
    HG_ARGS(b, 100000, 1024);
    HG_ARGS(b, 1000000, 1024);
    HG_ARGS(b, 10000, 64);
    HG_ARGS(b, 10000, 65536);
}

const struct hg_workload hg__workload_churn = {
    "churn",
    "random replacement in a live set of mixed sizes: size classes and search, against live set size",
    churn,
    configure,
};

static void configure_threads(hg_benchmark *b) {
    HG_ARG_NAMES(b, "live", "size_max");
    HG_ARGS(b, 10000, 1024);
    hg_benchmark_threads(b, 2);
    hg_benchmark_threads(b, 4);
}

const struct hg_workload hg__workload_churn_threads = {
    "churn_threads",
    "churn on several threads, each with a live set of its own: what threads share in the allocator",
    churn,
    configure_threads,
};

/* ---- for heapgauge bench --scaling: not in the suite ---- */

static void configure_blocks(hg_benchmark *b) {
    HG_ARG_NAMES(b, "live", "size_max");
    for (int64_t live = 100; live <= 10000000; live *= 10)
        HG_ARGS(b, live, 128);
}

const struct hg_workload hg__workload_scaling_blocks = {
    "scaling_blocks",
    "churn of small blocks, 100 to 10 million of them",
    churn,
    configure_blocks,
};

static void configure_bytes(hg_benchmark *b) {
    HG_ARG_NAMES(b, "live", "size_max");
    for (int64_t size_max = 64; size_max <= 1048576; size_max *= 4)
        HG_ARGS(b, 1000, size_max);
}

const struct hg_workload hg__workload_scaling_bytes = {
    "scaling_bytes",
    "churn of 1000 blocks, up to 64 bytes to 1 MiB large",
    churn,
    configure_bytes,
};

static void configure_scaling_threads(hg_benchmark *b) {
    enum { THREADS_MAX = 16 };
    HG_ARG_NAMES(b, "live", "size_max");
    HG_ARGS(b, 1000, 1024);
    hg_benchmark_use_real_time(b);
    for (int threads = 1; threads <= THREADS_MAX; threads++)
        hg_benchmark_threads(b, threads);
}

const struct hg_workload hg__workload_scaling_threads = {
    "scaling_threads",
    "churn on 1 to 16 threads, each with a live set of its own",
    churn,
    configure_scaling_threads,
};
