/* aligned: random replacement in a live set, each block of one alignment and of sizes around one
 * size, on the layout face. Stresses alignment as an axis of its own: what an over-aligned block
 * costs against an ordinary one of its size (align:16 is the line to compare with). */
#include "support.h"

enum { LIVE = 1000 };

static void aligned(hg_state *state) {
    if (!hg_workload_needs_layout(state))
        return;
    const hg_backend *backend = hg_workload_backend(state);
    size_t align = (size_t)hg_state_range(state, 0), size = (size_t)hg_state_range(state, 1);
    struct block {
        void *ptr;
        hg_layout layout;
    } *blocks = hg_workload_map(LIVE * sizeof *blocks);
    struct hg_random random = hg_random_of(state, 6);
    uint64_t live_bytes = 0;
    for (size_t i = 0; i < LIVE; i++) {
        blocks[i].layout = (hg_layout){size - hg_random_below(&random, size / 2), align};
        blocks[i].ptr = backend->layout.alloc(backend, blocks[i].layout);
        hg_workload_touch(blocks[i].ptr);
        live_bytes += blocks[i].layout.size;
    }
    hg_workload_live(live_bytes);
    HG_WORKLOAD_LOOP(state) {
        uint64_t draw = hg_random_next(&random);
        struct block *block = &blocks[(uint32_t)draw % LIVE];
        backend->layout.dealloc(backend, block->ptr, block->layout);
        block->layout.size = size - (size_t)(draw >> 32) % (size / 2);
        block->ptr = backend->layout.alloc(backend, block->layout);
        hg_workload_touch(block->ptr);
    }
    hg_workload_done(state, 2 * hg_state_iterations(state));
    for (size_t i = 0; i < LIVE; i++)
        backend->layout.dealloc(backend, blocks[i].ptr, blocks[i].layout);
    hg_workload_unmap(blocks, LIVE * sizeof *blocks);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "align", "size");
    HG_ARGS_PRODUCT(b, HG_ARG_LIST(16, 64, 256, 4096), HG_ARG_LIST(24, 200, 3000));
}

const struct hg_workload hg__workload_aligned = {
    "aligned",
    "alignment x size, random replacement on the layout face: what over-alignment costs",
    aligned,
    configure,
};
