/* lifo: allocates a number of blocks, frees them in reverse order. Stresses depth: how a free list
 * or thread cache copes with more blocks at once than it holds. */
#include "support.h"

static void lifo(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    size_t count = (size_t)hg_state_range(state, 0), size = (size_t)hg_state_range(state, 1);
    void **blocks = hg_workload_map(count * sizeof *blocks);
    HG_WORKLOAD_LOOP(state) {
        for (size_t i = 0; i < count; i++) {
            blocks[i] = allocate(size);
            hg_workload_touch(blocks[i]);
        }
        for (size_t i = count; i-- > 0;)
            release(blocks[i]);
    }
    hg_workload_done(state, 2 * count * hg_state_iterations(state));
    hg_workload_unmap(blocks, count * sizeof *blocks);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "blocks", "size");
    HG_ARGS_PRODUCT(b, HG_ARG_LIST(100, 10000), HG_ARG_LIST(16, 256));
}

const struct hg_workload hg__workload_lifo = {
    "lifo",
    "a stack of blocks, freed in reverse order: depth of free lists and thread caches",
    lifo,
    configure,
};
