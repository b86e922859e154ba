/* larson: on each lineage of threads 1000 slots; a random one is freed and filled again, LIFETIME
 * times; then the thread ends and a new one goes on with the slots it left. After Larson and
 * Krishnan's server simulation. Stresses blocks that outlive their thread: what becomes of a dead
 * thread's cache, and frees of blocks that another thread allocated. An iteration is one thread's
 * life. */
#include "support.h"

#include <pthread.h>

enum { SLOTS = 1000, LIFETIME = 20000 };

struct lineage {
    void *(*allocate)(size_t);
    void (*release)(void *);
    struct hg_sizes *sizes;
    struct hg_random random;
    void *slots[SLOTS];
};

static void *live_once(void *argument) {
    struct lineage *self = argument;
    for (size_t i = 0; i < LIFETIME; i++) {
        void **slot = &self->slots[hg_random_below(&self->random, SLOTS)];
        self->release(*slot);
        char *block = self->allocate(hg_sizes_draw(self->sizes, &self->random));
        hg_workload_touch(block);
        *slot = block;
    }
    return NULL;
}

static void larson(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    struct lineage *lineage = hg_workload_map(sizeof *lineage);
    lineage->allocate = hg_workload_backend(state)->libc.malloc;
    lineage->release = hg_workload_backend(state)->libc.free;
    lineage->sizes = hg_workload_map(sizeof *lineage->sizes);
    lineage->random = hg_random_of(state, 10);
    size_t size_max = (size_t)hg_state_range(state, 0);
    for (size_t i = 0; i < HG_SIZES_COUNT; i++)
        lineage->sizes->at[i] = (uint32_t)(8 + i * (size_max - 8) / (HG_SIZES_COUNT - 1));
    uint64_t live_bytes = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        size_t size = hg_sizes_draw(lineage->sizes, &lineage->random);
        memset(lineage->slots[i] = lineage->allocate(size), 1, size);
        live_bytes += size;
    }
    hg_workload_live_share(state, live_bytes);
    HG_WORKLOAD_LOOP(state) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, live_once, lineage) != 0) {
            hg_skip_with_error(state, "no thread");
            continue;
        }
        pthread_join(thread, NULL);
    }
    hg_workload_done(state, 2 * LIFETIME * hg_state_iterations(state));
    for (size_t i = 0; i < SLOTS; i++)
        lineage->release(lineage->slots[i]);
    hg_workload_unmap(lineage->sizes, sizeof *lineage->sizes);
    hg_workload_unmap(lineage, sizeof *lineage);
}

static void configure(hg_benchmark *b) {
    HG_ARG_NAMES(b, "size_max");
    hg_benchmark_arg(b, 64);
    hg_benchmark_arg(b, 1000);
    hg_benchmark_threads(b, 1);
    hg_benchmark_threads(b, 2);
    hg_benchmark_use_real_time(b); /* the work is done by threads of its own */
}

const struct hg_workload hg__workload_larson = {
    "larson",
    "threads die and leave their blocks to the next: orphaned caches, frees from elsewhere",
    larson,
    configure,
};
