#define _GNU_SOURCE
#include "turns.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#include "decode.h"

struct turns;

struct worker {
    struct turns *turns;
    pthread_t thread;
    sem_t go;
    bool runs;
};

/* The one run that is handed to whose turn it is. Only the thread whose turn it is touches this. */
struct turns {
    hg_oracle *oracle;
    const hg_op *ops;
    size_t count;
    uint64_t index;
    enum hg_status status;
    sem_t done;
    struct worker workers[HG_FUZZ_THREADS_MAX];
};

static pthread_key_t at_exit_key;
static pthread_once_t at_exit_once = PTHREAD_ONCE_INIT;

/* C53: in a destructor of thread-specific data, after most of the thread is gone. */
static void allocate_once_more(void *argument) {
    static const hg_op farewell[] = {
        {.kind = HG_OP_MALLOC, .slot = HG_SLOT_NONE, .size = 200},
        {.kind = HG_OP_CALLOC, .slot = HG_SLOT_NONE, .size = 24, .arg = 3},
    };
    struct turns *turns = argument;
    for (size_t i = 0; i < 2 && turns->status == HG_OK; i++)
        turns->status = hg_oracle_perform(turns->oracle, &farewell[i], turns->index);
}

static void make_key(void) {
    pthread_key_create(&at_exit_key, allocate_once_more);
}

static void perform_run(struct turns *turns) {
    for (size_t i = 0; i < turns->count && turns->status == HG_OK; i++)
        turns->status = hg_oracle_perform(turns->oracle, &turns->ops[i], turns->index + i);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct turns *turns = worker->turns;
    pthread_setspecific(at_exit_key, turns);
    for (bool ends = false; !ends;) {
        sem_wait(&worker->go);
        ends = !worker->runs;
        if (!ends) {
            perform_run(turns);
            sem_post(&turns->done);
        }
    }
    return NULL;
}

static bool start(struct turns *turns, unsigned thread) {
    struct worker *worker = &turns->workers[thread];
    if (worker->runs)
        return true;
    worker->turns = turns;
    sem_init(&worker->go, 0, 0);
    worker->runs = pthread_create(&worker->thread, NULL, work, worker) == 0;
    return worker->runs;
}

static void stop(struct worker *worker) {
    if (!worker->runs)
        return;
    worker->runs = false;
    sem_post(&worker->go);
    pthread_join(worker->thread, NULL);
    sem_destroy(&worker->go);
}

/* One thread's operations in a row, at ops[0..count). */
static void take_turn(struct turns *turns, const hg_op *ops, size_t count, uint64_t index) {
    turns->ops = ops;
    turns->count = count;
    turns->index = index;
    unsigned thread = ops->thread % HG_FUZZ_THREADS_MAX;
    if (thread == 0 || !start(turns, thread)) { /* no thread to be had: this one does it */
        perform_run(turns);
        return;
    }
    sem_post(&turns->workers[thread].go);
    sem_wait(&turns->done);
    if (ops[count - 1].kind == HG_OP_THREAD_END)
        stop(&turns->workers[thread]);
}

enum hg_status hg_turns_play(hg_oracle *oracle, const hg_op *ops, size_t count,
                             uint64_t first_index) {
    struct turns turns = {.oracle = oracle, .status = HG_OK};
    pthread_once(&at_exit_once, make_key);
    sem_init(&turns.done, 0, 0);
    for (size_t begin = 0; begin < count && turns.status == HG_OK;) {
        size_t end = begin;
        bool ends = false;
        while (end < count && !ends && ops[end].thread == ops[begin].thread)
            ends = ops[end++].kind == HG_OP_THREAD_END;
        take_turn(&turns, ops + begin, end - begin, first_index + begin);
        begin = end;
    }
    for (unsigned i = 0; i < HG_FUZZ_THREADS_MAX; i++)
        stop(&turns.workers[i]);
    sem_destroy(&turns.done);
    return turns.status;
}
