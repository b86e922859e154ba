/* calloc: zeroed blocks through a ring, each dirtied before it is freed. Stresses zeroing: whether
 * memory that is known to be zero is zeroed again, and how. */
#include "support.h"

enum { RING = 64, DIRT_STEP = 64 };

static void dirty(char *block, size_t size) {
    for (size_t i = 0; i < size; i += DIRT_STEP)
        hg_workload_touch(block + i);
}

static void zeroed(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    const hg_backend *backend = hg_workload_backend(state);
    if (!backend->libc.calloc) {
        hg_skip_with_message(state, "%s has no calloc", backend->facts.name);
        return;
    }
    void *(*const allocate)(size_t, size_t) = backend->libc.calloc;
    void (*const release)(void *) = backend->libc.free;
    size_t size = (size_t)hg_state_range(state, 0);
    void *ring[RING];
    for (size_t i = 0; i < RING; i++)
        dirty(ring[i] = allocate(1, size), size);
    hg_workload_live(RING * size);
    size_t oldest = 0;
    HG_WORKLOAD_LOOP(state) {
        release(ring[oldest]);
        ring[oldest] = allocate(1, size);
        dirty(ring[oldest], size);
        oldest = (oldest + 1) % RING;
    }
    hg_workload_done(state, 2 * hg_state_iterations(state));
    for (size_t i = 0; i < RING; i++)
        release(ring[i]);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "size");
    hg_benchmark_arg(b, 64);
    hg_benchmark_arg(b, 1024);
    hg_benchmark_arg(b, 65536);
    hg_benchmark_arg(b, 1 << 20);
}

const struct hg_workload hg__workload_calloc = {
    "calloc",
    "zeroed blocks, dirtied before they are freed: the cost of zeroing",
    zeroed,
    configure,
};
