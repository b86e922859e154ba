/* aligned_realloc: an over-aligned buffer grows by halves to a largest size and is freed, on the
 * layout face, whose realloc owes the alignment. Stresses what C's realloc can't do: most
 * allocators have no call for it and must allocate, copy and free. */
#include "support.h"

enum { FIRST_SIZE = 64 };

static void aligned_realloc(hg_state *state) {
    if (!hg_workload_needs_layout(state))
        return;
    const hg_backend *backend = hg_workload_backend(state);
    size_t align = (size_t)hg_state_range(state, 0), size_max = (size_t)hg_state_range(state, 1);
    uint64_t calls = 0;
    HG_WORKLOAD_LOOP(state) {
        hg_layout layout = {FIRST_SIZE, align};
        void *ptr = backend->layout.alloc(backend, layout);
        for (size_t size = FIRST_SIZE; size < size_max; calls++) {
            size += size / 2;
            ptr = backend->layout.realloc(backend, ptr, layout, size);
            layout.size = size;
            hg_workload_touch((char *)ptr + size - 1);
        }
        backend->layout.dealloc(backend, ptr, layout);
        calls += 2;
    }
    hg_workload_done(state, calls);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "align", "size_max");
    HG_ARGS_PRODUCT(b, HG_ARG_LIST(16, 64, 4096), HG_ARG_LIST(1024, 65536));
}

const struct hg_workload hg__workload_aligned_realloc = {
    "aligned_realloc",
    "an over-aligned buffer that grows: realloc that owes the alignment",
    aligned_realloc,
    configure,
};
