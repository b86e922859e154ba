/* large: blocks of 64 KiB to 16 MiB through a small ring, sizes jittered by half, one byte a page
 * written. Stresses the way to the kernel: mapping, page faults, how much is kept for reuse. */
#include "support.h"

enum { RING = 8, PAGE = 4096 };

static void write_pages(char *block, size_t size) {
    for (size_t i = 0; i < size; i += PAGE)
        hg_workload_touch(block + i);
}

static size_t jittered(struct hg_random *random, size_t size) {
    return size - hg_random_below(random, size / 2);
}

static void large(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    size_t size_max = (size_t)hg_state_range(state, 0);
    struct hg_random random = hg_random_of(state, 9);
    void *ring[RING];
    uint64_t live_bytes = 0;
    for (size_t i = 0; i < RING; i++) {
        size_t size = jittered(&random, size_max);
        write_pages(ring[i] = allocate(size), size);
        live_bytes += size;
    }
    hg_workload_live(live_bytes);
    size_t oldest = 0;
    HG_WORKLOAD_LOOP(state) {
        size_t size = jittered(&random, size_max);
        release(ring[oldest]);
        ring[oldest] = allocate(size);
        write_pages(ring[oldest], size);
        oldest = (oldest + 1) % RING;
    }
    hg_workload_done(state, 2 * hg_state_iterations(state));
    for (size_t i = 0; i < RING; i++)
        release(ring[i]);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "size_max");
    hg_benchmark_range_multiplier(b, 4);
    hg_benchmark_range(b, 65536, 16 << 20);
}

const struct hg_workload hg__workload_large = {
    "large",
    "64 KiB to 16 MiB, every page written: mapping, page faults, reuse of large blocks",
    large,
    configure,
};
