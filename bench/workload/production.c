/* production: random replacement with production-like sizes; one free in five is left to another
 * thread. Stresses the whole allocator in the proportions of a server: many small requests, few
 * large ones that hold most of the bytes, some blocks freed elsewhere. The distribution is
 * hg_sizes_production(), which states its source. An iteration is one block allocated; the others'
 * blocks are freed as they come. */
#include "support.h"

enum { LIVE = 50000, THREADS_MAX = 8, ONE_IN = 5, WRITE_MAX = 256 };

static struct hg_queue (*queues)[THREADS_MAX]; /* from each thread to each */

static void setup(hg_state *state) {
    (void)state;
    queues = hg_workload_map(sizeof *queues * THREADS_MAX);
}

static void teardown(hg_state *state) {
    const hg_backend *backend = hg_workload_backend(state);
    uintptr_t item;
    for (size_t from = 0; from < THREADS_MAX; from++)
        for (size_t to = 0; to < THREADS_MAX; to++)
            while (hg_queue_pop(&queues[from][to], &item))
                backend->libc.free((void *)item);
    hg_workload_unmap(queues, sizeof *queues * THREADS_MAX);
}

struct worker {
    size_t self, count;
    void *(*allocate)(size_t);
    void (*release)(void *);
    struct hg_random random;
    uint64_t freed;
    struct hg_sizes sizes;
    void *slots[LIVE];
};

static uint64_t fill(struct worker *worker, size_t slot, size_t write_max) {
    size_t size = hg_sizes_draw(&worker->sizes, &worker->random);
    worker->slots[slot] = worker->allocate(size);
    memset(worker->slots[slot], 1, size < write_max ? size : write_max);
    hg_do_not_optimize(worker->slots[slot]);
    return size;
}

/* Here, or by another thread: who doesn't take it for want of room leaves it to us. */
static void dispose(struct worker *worker, void *block) {
    uint64_t draw = hg_random_next(&worker->random);
    if (worker->count > 1 && draw % ONE_IN == 0) {
        size_t to = (worker->self + 1 + (draw >> 32) % (worker->count - 1)) % worker->count;
        if (hg_queue_push(&queues[worker->self][to], (uintptr_t)block))
            return;
    }
    worker->release(block);
    worker->freed++;
}

static void free_for_others(struct worker *worker) {
    uintptr_t item;
    for (size_t from = 0; from < worker->count; from++) {
        if (from == worker->self || !hg_queue_pop(&queues[from][worker->self], &item))
            continue;
        worker->release((void *)item);
        worker->freed++;
    }
}

static void production(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    struct worker *worker = hg_workload_map(sizeof *worker);
    worker->self = (size_t)hg_state_thread_index(state);
    worker->count = (size_t)hg_state_threads(state);
    worker->allocate = hg_workload_backend(state)->libc.malloc;
    worker->release = hg_workload_backend(state)->libc.free;
    worker->random = hg_random_of(state, 15);
    hg_sizes_production(&worker->sizes);
    uint64_t live_bytes = 0;
    for (size_t i = 0; i < LIVE; i++)
        live_bytes += fill(worker, i, SIZE_MAX);
    hg_workload_live_share(state, live_bytes);
    HG_WORKLOAD_LOOP(state) {
        size_t slot = hg_random_below(&worker->random, LIVE);
        dispose(worker, worker->slots[slot]);
        fill(worker, slot, WRITE_MAX);
        free_for_others(worker);
    }
    hg_workload_done(state, hg_state_iterations(state) + worker->freed);
    for (size_t i = 0; i < LIVE; i++)
        worker->release(worker->slots[i]);
    hg_workload_unmap(worker, sizeof *worker);
}

static void configure(hg_benchmark *b) {
    hg_benchmark_threads(b, 1);
    hg_benchmark_threads(b, 2);
    hg_benchmark_setup(b, setup);
    hg_benchmark_teardown(b, teardown);
}

const struct hg_workload hg__workload_production = {
    "production",
    "production-like sizes, one free in five on another thread: the mix of a server",
    production,
    configure,
};
