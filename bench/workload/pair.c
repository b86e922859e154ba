/* pair: allocate and free one block of a size, again and again. Stresses the fast path alone: the
 * block is always the one just freed, hot in every cache. */
#include "workload.h"

static void pair(hg_state *state) {
    const hg_backend *backend = hg_workload_backend(state);
    void *(*volatile allocate)(size_t) = backend->libc.malloc;
    void (*volatile release)(void *) = backend->libc.free;
    size_t size = (size_t)hg_state_range(state, 0);
    if (!allocate || !release) {
        hg_skip_with_message(state, "%s has no malloc and free", backend->facts.name);
        return;
    }
    void *(*const malloc_now)(size_t) = allocate;
    void (*const free_now)(void *) = release;
    HG_WORKLOAD_LOOP(state) {
        void *ptr = malloc_now(size);
        hg_workload_touch(ptr);
        free_now(ptr);
    }
    hg_workload_done(state, 2 * hg_state_iterations(state));
}

static void configure(hg_benchmark *b) {
    HG_ARG_NAMES(b, "size");
    hg_benchmark_range_multiplier(b, 4);
    hg_benchmark_range(b, 16, 65536);
}

const struct hg_workload hg__workload_pair = {
    "pair",
    "malloc and free of one block at once: the fast path alone",
    pair,
    configure,
};
