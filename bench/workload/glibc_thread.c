/* glibc_thread: on each thread 1024 slots; a random one is freed and filled again with a size that
 * falls off with its square, every byte written. After glibc's bench-malloc-thread. Stresses small
 * sizes on threads that share nothing, and now and then a large one. */
#include "support.h"

enum { SLOTS = 1024, SIZE_MIN = 4, SIZE_MAX_BYTES = 32768 };

/* P(size > s) ~ 1/s, so that the density falls off with the square: the inverse of it, as a table.
 */
static void inverse_square(struct hg_sizes *sizes) {
    for (size_t i = 0; i < HG_SIZES_COUNT; i++) {
        double size = SIZE_MIN / (1 - (double)i / HG_SIZES_COUNT);
        sizes->at[i] = size > SIZE_MAX_BYTES ? SIZE_MAX_BYTES : (uint32_t)size;
    }
}

static void glibc_thread(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    void **slots = hg_workload_map(SLOTS * sizeof *slots);
    struct hg_sizes *sizes = hg_workload_map(sizeof *sizes);
    inverse_square(sizes);
    struct hg_random random = hg_random_of(state, 7);
    for (size_t i = 0; i < SLOTS; i++)
        hg_workload_touch(slots[i] = allocate(hg_sizes_draw(sizes, &random)));
    HG_WORKLOAD_LOOP(state) {
        uint64_t draw = hg_random_next(&random);
        void **slot = &slots[draw % SLOTS];
        size_t size = sizes->at[(draw >> 32) % HG_SIZES_COUNT];
        release(*slot);
        *slot = allocate(size);
        memset(*slot, 1, size);
        hg_do_not_optimize(*slot);
    }
    hg_workload_done(state, 2 * hg_state_iterations(state));
    for (size_t i = 0; i < SLOTS; i++)
        release(slots[i]);
    hg_workload_unmap(slots, SLOTS * sizeof *slots);
    hg_workload_unmap(sizes, sizeof *sizes);
}

static void configure(hg_benchmark *b) {

    hg_benchmark_threads(b, 1);
    hg_benchmark_threads(b, 2);
}

const struct hg_workload hg__workload_glibc_thread = {
    "glibc_thread",
    "1024 slots a thread, sizes that fall off with their square: small sizes on several threads",
    glibc_thread,
    configure,
};
