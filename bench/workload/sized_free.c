/* sized_free: churn on the layout face: the free says the size of its block. Stresses what an
 * allocator makes of that knowledge: it need not look the block up. Compare with churn of the same
 * arguments. */
#include "support.h"

static void sized_free(hg_state *state) {
    if (!hg_workload_needs_layout(state))
        return;
    const hg_backend *backend = hg_workload_backend(state);
    size_t live = (size_t)hg_state_range(state, 0);
    struct block {
        void *ptr;
        size_t size;
    } *blocks = hg_workload_map(live * sizeof *blocks);
    struct hg_sizes *sizes = hg_workload_map(sizeof *sizes);
    hg_sizes_log_uniform(sizes, 16, (size_t)hg_state_range(state, 1));
    struct hg_random random = hg_random_of(state, 3);
    uint64_t live_bytes = 0;
    for (size_t i = 0; i < live; i++) {
        blocks[i].size = hg_sizes_draw(sizes, &random);
        blocks[i].ptr = backend->layout.alloc(backend, (hg_layout){blocks[i].size, 8});
        memset(blocks[i].ptr, 1, blocks[i].size);
        live_bytes += blocks[i].size;
    }
    hg_workload_live(live_bytes);
    HG_WORKLOAD_LOOP(state) {
        struct block *block = &blocks[hg_random_below(&random, live)];
        backend->layout.dealloc(backend, block->ptr, (hg_layout){block->size, 8});
        block->size = hg_sizes_draw(sizes, &random);
        block->ptr = backend->layout.alloc(backend, (hg_layout){block->size, 8});
        hg_workload_touch(block->ptr);
    }
    hg_workload_done(state, 2 * hg_state_iterations(state));
    for (size_t i = 0; i < live; i++)
        backend->layout.dealloc(backend, blocks[i].ptr, (hg_layout){blocks[i].size, 8});
    hg_workload_unmap(blocks, live * sizeof *blocks);
    hg_workload_unmap(sizes, sizeof *sizes);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "live", "size_max");
    HG_ARGS(b, 10000, 1024);
    HG_ARGS(b, 100000, 1024);
}

const struct hg_workload hg__workload_sized_free = {
    "sized_free",
    "churn with frees that say the size: what the allocator makes of it",
    sized_free,
    configure,
};
