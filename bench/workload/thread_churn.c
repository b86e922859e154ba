/* thread_churn: threads come and go; each allocates some blocks, frees half of them and ends; who
 * started it frees the other half. Stresses the cost of a thread to the allocator: setting up its
 * cache, flushing it at its end. An iteration is one thread. */
#include "support.h"

#include <pthread.h>

enum { BLOCKS = 1000, SIZE_MAX_BYTES = 1024 };

struct visitor {
    void *(*allocate)(size_t);
    void (*release)(void *);
    struct hg_random random;
    struct hg_sizes sizes;
    void *blocks[BLOCKS];
};

static void *visit(void *argument) {
    struct visitor *self = argument;
    for (size_t i = 0; i < BLOCKS; i++) {
        self->blocks[i] = self->allocate(hg_sizes_draw(&self->sizes, &self->random));
        hg_workload_touch(self->blocks[i]);
    }
    for (size_t i = 0; i < BLOCKS; i += 2)
        self->release(self->blocks[i]);
    return NULL;
}

static void thread_churn(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    struct visitor *visitor = hg_workload_map(sizeof *visitor);
    visitor->allocate = hg_workload_backend(state)->libc.malloc;
    visitor->release = hg_workload_backend(state)->libc.free;
    visitor->random = hg_random_of(state, 16);
    hg_sizes_log_uniform(&visitor->sizes, 16, SIZE_MAX_BYTES);
    HG_WORKLOAD_LOOP(state) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, visit, visitor) != 0) {
            hg_skip_with_error(state, "no thread");
            continue;
        }
        pthread_join(thread, NULL);
        for (size_t i = 1; i < BLOCKS; i += 2)
            visitor->release(visitor->blocks[i]);
    }
    hg_workload_done(state, 2 * BLOCKS * hg_state_iterations(state));
    hg_workload_unmap(visitor, sizeof *visitor);
}

static void configure(hg_benchmark *b) {
    hg_benchmark_use_real_time(b); /* the work is done by threads of its own */
}

const struct hg_workload hg__workload_thread_churn = {
    "thread_churn",
    "threads come, allocate, go; others free what they leave: a thread's cost to the allocator",
    thread_churn,
    configure,
};
