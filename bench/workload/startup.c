/* startup: eight fresh threads meet at a barrier, and each makes the first allocation of its life,
 * and frees it. Stresses initialisation: what a thread's first call costs, when all come at once.
 * Most of an iteration is the making of threads; hold it against the null backend. */
#include "support.h"

#include <stdlib.h>

#include <pthread.h>

enum { THREADS = 8, SIZE = 64 };

struct start {
    pthread_barrier_t *barrier;
    void *(*allocate)(size_t);
    void (*release)(void *);
};

static void *first_call(void *argument) {
    const struct start *start = argument;
    pthread_barrier_wait(start->barrier);
    void *block = start->allocate(SIZE);
    hg_workload_touch(block);
    start->release(block);
    return NULL;
}

static void startup(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, THREADS);
    struct start start = {
        .barrier = &barrier,
        .allocate = hg_workload_backend(state)->libc.malloc,
        .release = hg_workload_backend(state)->libc.free,
    };
    HG_WORKLOAD_LOOP(state) {
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++)
            if (pthread_create(&threads[i], NULL, first_call, &start) != 0)
                abort(); /* the others wait at the barrier for ever */
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    hg_workload_done(state, 2 * THREADS * hg_state_iterations(state));
    pthread_barrier_destroy(&barrier);
}

static void configure(hg_benchmark *b) {
    hg_benchmark_use_real_time(b); /* the work is done by threads of its own */
}

const struct hg_workload hg__workload_startup = {
    "startup",
    "the first allocation of eight fresh threads at once: initialisation",
    startup,
    configure,
};
