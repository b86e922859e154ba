/* xmalloc: half of the threads allocate batches of blocks and write them, the other half free them.
 * After xmalloc-test by Lever and Boreham. Stresses the one-way street: no block is ever freed by
 * the thread that allocated it, caches fill on one side and run dry on the other. An iteration is
 * one batch. */
#include "support.h"

#include <pthread.h>

enum { BATCH = 1024, BATCHES_MAX = 100, WRITE_MAX = 128 };

struct batch {
    void *header; /* the batch's own block, as the original has one */
    void *blocks[BATCH];
};

/* A stack, as in the original: the youngest batch is freed first, while it is in cache. */
static struct {
    pthread_mutex_t lock;
    size_t count, spare_count;
    struct batch *full[BATCHES_MAX], *spare[BATCHES_MAX];
    struct batch batches[BATCHES_MAX];
} * shared;

static void setup(hg_state *state) {
    (void)state;
    shared = hg_workload_map(sizeof *shared);
    pthread_mutex_init(&shared->lock, NULL);
    for (size_t i = 0; i < BATCHES_MAX; i++)
        shared->spare[shared->spare_count++] = &shared->batches[i];
}

static void teardown(hg_state *state) {
    (void)state;
    hg_workload_unmap(shared, sizeof *shared);
}

static struct batch *take(struct batch **stack, size_t *count) {
    struct batch *batch = NULL;
    for (unsigned waited = 0; !batch; hg_workload_wait(&waited)) {
        pthread_mutex_lock(&shared->lock);
        if (*count > 0)
            batch = stack[--*count];
        pthread_mutex_unlock(&shared->lock);
        if (batch)
            break;
    }
    return batch;
}

static void give(struct batch **stack, size_t *count, struct batch *batch) {
    pthread_mutex_lock(&shared->lock);
    stack[(*count)++] = batch;
    pthread_mutex_unlock(&shared->lock);
}

static void produce(hg_state *state, const struct hg_sizes *sizes) {
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    struct hg_random random = hg_random_of(state, 11);
    HG_WORKLOAD_LOOP(state) {
        struct batch *batch = take(shared->spare, &shared->spare_count);
        batch->header = allocate(sizeof *batch);
        hg_workload_touch(batch->header);
        for (size_t i = 0; i < BATCH; i++) {
            size_t size = hg_sizes_draw(sizes, &random);
            batch->blocks[i] = allocate(size);
            memset(batch->blocks[i], 1, size < WRITE_MAX ? size : WRITE_MAX);
            hg_do_not_optimize(batch->blocks[i]);
        }
        give(shared->full, &shared->count, batch);
    }
}

static void consume(hg_state *state) {
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    HG_WORKLOAD_LOOP(state) {
        struct batch *batch = take(shared->full, &shared->count);
        for (size_t i = 0; i < BATCH; i++)
            release(batch->blocks[i]);
        release(batch->header);
        give(shared->spare, &shared->spare_count, batch);
    }
}

static void xmalloc(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    struct hg_sizes *sizes = hg_workload_map(sizeof *sizes);
    hg_sizes_log_uniform(sizes, (size_t)hg_state_range(state, 0), (size_t)hg_state_range(state, 1));
    if (hg_state_thread_index(state) % 2 == 0)
        produce(state, sizes);
    else
        consume(state);
    hg_workload_done(state, (BATCH + 1) * hg_state_iterations(state));
    hg_workload_unmap(sizes, sizeof *sizes);
}

static void configure(hg_benchmark *b) {
    HG_ARG_NAMES(b, "size_min", "size_max");
    HG_ARGS(b, 64, 64);
    HG_ARGS(b, 8, 2048);
    hg_benchmark_threads(b, 2);
    hg_benchmark_setup(b, setup);
    hg_benchmark_teardown(b, teardown);
}

const struct hg_workload hg__workload_xmalloc = {
    "xmalloc",
    "half of the threads allocate, the other half frees: one-way traffic",
    xmalloc,
    configure,
};
