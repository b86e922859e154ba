/* false_sharing: each thread allocates a block of 8 bytes, writes it many times, frees it.
 * passive:1 begins with a block that the main thread allocated for it, next to those of the others.
 * After Hoard's cache-thrash and cache-scratch. Stresses placement: blocks of different threads in
 * one cache line make every write of one a miss of the other. An iteration is one block. */
#include "support.h"

enum { WRITES = 1000, SIZE = 8, THREADS_MAX = 64 };

static void *given[THREADS_MAX];

static void setup(hg_state *state) {
    const hg_backend *backend = hg_workload_backend(state);
    bool passive = hg_state_range(state, 0) != 0 && backend->libc.malloc && backend->libc.free;
    for (int i = 0; i < hg_state_threads(state); i++)
        given[i] = passive ? backend->libc.malloc(SIZE) : NULL;
}

static void false_sharing(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    void *first = given[hg_state_thread_index(state)];
    if (first)
        release(first); /* so that the next malloc may give it out again, here */
    HG_WORKLOAD_LOOP(state) {
        volatile char *block = allocate(SIZE);
        for (int i = 0; i < WRITES; i++)
            block[i % SIZE]++;
        release((void *)(uintptr_t)block);
    }
    hg_workload_done(state, 2 * hg_state_iterations(state));
}

static void configure(hg_benchmark *b) {
    HG_ARG_NAMES(b, "passive");
    hg_benchmark_arg(b, 0);
    hg_benchmark_arg(b, 1);
    hg_benchmark_threads(b, 2);
    hg_benchmark_setup(b, setup);
}

const struct hg_workload hg__workload_false_sharing = {
    "false_sharing",
    "threads write small blocks of their own all the time: do they share cache lines?",
    false_sharing,
    configure,
};
