/* realloc: several vectors grow in turn, by half their size, up to a largest size, then start anew.
 * Stresses growth in place, the copy where that fails, and remapping of large blocks; the other
 * vectors stand in each one's way. */
#include "support.h"

enum { VECTORS = 16, FIRST_SIZE = 16 };

static void grow(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    const hg_backend *backend = hg_workload_backend(state);
    if (!backend->libc.realloc) {
        hg_skip_with_message(state, "%s has no realloc", backend->facts.name);
        return;
    }
    void *(*const resize)(void *, size_t) = backend->libc.realloc;
    void (*const release)(void *) = backend->libc.free;
    size_t size_max = (size_t)hg_state_range(state, 0);
    void *vectors[VECTORS] = {NULL};
    size_t sizes[VECTORS] = {0};
    size_t next = 0;
    /* Each realloc is one call; a vector at its end is freed, one more. */
    uint64_t freed = 0;
    HG_WORKLOAD_LOOP(state) {
        size_t size = sizes[next] + sizes[next] / 2;
        if (size > size_max) {
            release(vectors[next]);
            vectors[next] = NULL;
            freed++;
            size = 0;
        }
        /* Staggered, or all would end at once. */
        if (size == 0)
            size = FIRST_SIZE + next * 8;
        vectors[next] = resize(vectors[next], size);
        hg_workload_touch((char *)vectors[next] + size - 1);
        sizes[next] = size;
        next = (next + 1) % VECTORS;
    }
    hg_workload_done(state, hg_state_iterations(state) + freed);
    for (size_t i = 0; i < VECTORS; i++)
        release(vectors[i]);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "size_max");
    hg_benchmark_arg(b, 1024);
    hg_benchmark_arg(b, 65536);
    hg_benchmark_arg(b, 4 << 20);
}

const struct hg_workload hg__workload_realloc = {
    "realloc",
    "vectors that grow in turn: growth in place, copying, remapping",
    grow,
    configure,
};
