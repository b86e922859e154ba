/* one_freer: all threads but one allocate, that one frees everything. Stresses the extreme of
 * imbalance: one thread's frees must find their way back to many owners. An iteration of the freer
 * is one block of each of the others. */
#include "support.h"

enum { THREADS_MAX = 16 };

static struct hg_queue *queues; /* from each producer */

static void setup(hg_state *state) {
    (void)state;
    queues = hg_workload_map(sizeof *queues * THREADS_MAX);
}

static void teardown(hg_state *state) {
    (void)state;
    hg_workload_unmap(queues, sizeof *queues * THREADS_MAX);
}

static uintptr_t pop(struct hg_queue *queue) {
    uintptr_t item;
    for (unsigned waited = 0; !hg_queue_pop(queue, &item);)
        hg_workload_wait(&waited);
    return item;
}

static void push(struct hg_queue *queue, uintptr_t item) {
    for (unsigned waited = 0; !hg_queue_push(queue, item);)
        hg_workload_wait(&waited);
}

static void produce(hg_state *state) {
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    struct hg_sizes *sizes = hg_workload_map(sizeof *sizes);
    hg_sizes_log_uniform(sizes, 16, 512);
    struct hg_random random = hg_random_of(state, 14);
    struct hg_queue *queue = &queues[hg_state_thread_index(state)];
    HG_WORKLOAD_LOOP(state) {
        void *block = allocate(hg_sizes_draw(sizes, &random));
        hg_workload_touch(block);
        push(queue, (uintptr_t)block);
    }
    hg_workload_done(state, hg_state_iterations(state));
    hg_workload_unmap(sizes, sizeof *sizes);
}

static void free_all(hg_state *state) {
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    size_t producers = (size_t)hg_state_threads(state) - 1;
    HG_WORKLOAD_LOOP(state) {
        for (size_t i = 1; i <= producers; i++)
            release((void *)pop(&queues[i]));
    }
    hg_workload_done(state, producers * hg_state_iterations(state));
}

static void one_freer(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    if (hg_state_thread_index(state) == 0)
        free_all(state);
    else
        produce(state);
}

static void configure(hg_benchmark *b) {
    hg_benchmark_threads(b, 2);
    hg_benchmark_threads(b, 4);
    hg_benchmark_setup(b, setup);
    hg_benchmark_teardown(b, teardown);
}

const struct hg_workload hg__workload_one_freer = {
    "one_freer",
    "many threads allocate, one frees it all: blocks on their way back to many owners",
    one_freer,
    configure,
};
