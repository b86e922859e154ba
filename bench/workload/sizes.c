/* sizes: every size from 1 to a largest one, in a scattered order, through a small ring of live
 * blocks. Stresses the map from size to size class: its code, its tables, and the many classes
 * being in use at once, of which each cache holds few. */
#include "support.h"

enum { RING = 512 };

/* The sizes 1 .. count, each once, shuffled. */
static uint32_t *shuffled_sizes(hg_state *state, size_t count) {
    uint32_t *sizes = hg_workload_map(count * sizeof *sizes);
    struct hg_random random = hg_random_of(state, 5);
    for (size_t i = 0; i < count; i++) {
        size_t other = hg_random_below(&random, i + 1);
        sizes[i] = sizes[other];
        sizes[other] = (uint32_t)i + 1;
    }
    return sizes;
}

static void sweep(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    size_t count = (size_t)hg_state_range(state, 0);
    uint32_t *sizes = shuffled_sizes(state, count);
    void *ring[RING];
    for (size_t i = 0; i < RING; i++)
        hg_workload_touch(ring[i] = allocate(sizes[i % count]));
    size_t next = 0, oldest = 0;
    HG_WORKLOAD_LOOP(state) {
        release(ring[oldest]);
        ring[oldest] = allocate(sizes[next]);
        hg_workload_touch(ring[oldest]);
        oldest = (oldest + 1) % RING;
        if (++next == count)
            next = 0;
    }
    hg_workload_done(state, 2 * hg_state_iterations(state));
    for (size_t i = 0; i < RING; i++)
        release(ring[i]);
    hg_workload_unmap(sizes, count * sizeof *sizes);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "size_max");
    hg_benchmark_arg(b, 128);
    hg_benchmark_arg(b, 1024);
    hg_benchmark_arg(b, 32768);
}

const struct hg_workload hg__workload_sizes = {
    "sizes",
    "every size up to a largest one, scattered: the map from size to size class",
    sweep,
    configure,
};
