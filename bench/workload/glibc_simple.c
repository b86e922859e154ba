/* glibc_simple: allocates a number of blocks of one size, writes every byte, frees half of them
 * first in first out and half last in first out. After glibc's bench-malloc-simple. Stresses the
 * single-threaded fast path at depths inside and beyond a thread cache. */
#include "support.h"

static void glibc_simple(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    size_t count = (size_t)hg_state_range(state, 0), size = (size_t)hg_state_range(state, 1);
    void **blocks = hg_workload_map(count * sizeof *blocks);
    HG_WORKLOAD_LOOP(state) {
        for (size_t i = 0; i < count; i++) {
            blocks[i] = allocate(size);
            memset(blocks[i], (int)i, size);
            hg_do_not_optimize(blocks[i]);
        }
        for (size_t i = 0; i < count / 2; i++)
            release(blocks[i]);
        for (size_t i = count; i-- > count / 2;)
            release(blocks[i]);
    }
    hg_workload_done(state, 2 * count * hg_state_iterations(state));
    hg_workload_unmap(blocks, count * sizeof *blocks);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "blocks", "size");
    HG_ARGS_PRODUCT(b, HG_ARG_LIST(25, 400, 1600), HG_ARG_LIST(16, 64));
}

const struct hg_workload hg__workload_glibc_simple = {
    "glibc_simple",
    "one size, every byte written, freed half in and half against order: the fast path at depth",
    glibc_simple,
    configure,
};
