/* fifo: a ring of live blocks; the oldest is freed, a new one takes its place. Stresses reuse after
 * a long while: the freed block is cold, and never the one just used. */
#include "support.h"

static void fifo(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    size_t live = (size_t)hg_state_range(state, 0), size = (size_t)hg_state_range(state, 1);
    void **ring = hg_workload_map(live * sizeof *ring);
    for (size_t i = 0; i < live; i++)
        hg_workload_touch(ring[i] = allocate(size));
    hg_workload_live(live * size);
    size_t oldest = 0;
    HG_WORKLOAD_LOOP(state) {
        release(ring[oldest]);
        ring[oldest] = allocate(size);
        hg_workload_touch(ring[oldest]);
        if (++oldest == live)
            oldest = 0;
    }
    hg_workload_done(state, 2 * hg_state_iterations(state));
    for (size_t i = 0; i < live; i++)
        release(ring[i]);
    hg_workload_unmap(ring, live * sizeof *ring);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "live", "size");
    HG_ARGS(b, 100, 64);
    HG_ARGS(b, 10000, 64);
    HG_ARGS(b, 10000, 1024);
    HG_ARGS(b, 1000000, 64);
}

const struct hg_workload hg__workload_fifo = {
    "fifo",
    "a ring of blocks, the oldest freed first: reuse of cold blocks",
    fifo,
    configure,
};
