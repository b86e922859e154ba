/* What workloads share: random numbers, size distributions, tables outside the heap under test,
 * queues between threads. Private to bench/workload.
 *
 * Everything here keeps its own memory in mmap, so that the allocator under test sees the
 * workload's calls alone, and keeps nothing in the blocks themselves: a workload runs on the null
 * backend, whose blocks overlap, unless it says hg_workload_needs_content(). */
#ifndef HG_WORKLOAD_SUPPORT_H
#define HG_WORKLOAD_SUPPORT_H

#include "workload.h"

#include <stdatomic.h>
#include <string.h>

/* ---- random numbers: splitmix64, a nanosecond each ---- */

struct hg_random {
    uint64_t state;
};

/* A sequence of its own for each thread and each `salt`; the same on every backend, in every run.
 */
struct hg_random hg_random_of(const hg_state *state, uint64_t salt);

static inline uint64_t hg_random_next(struct hg_random *random) {
    uint64_t x = random->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* 0 .. bound - 1. */
static inline size_t hg_random_below(struct hg_random *random, size_t bound) {
    return (size_t)((unsigned __int128)hg_random_next(random) * bound >> 64);
}

/* ---- size distributions: quantiles in a table, drawn by index ---- */

enum { HG_SIZES_COUNT = 4096 };
struct hg_sizes {
    uint32_t at[HG_SIZES_COUNT]; /* bytes, ascending */
};

/* A point of a distribution: this part of all requests is of `size` bytes or less. */
struct hg_size_knot {
    double part;
    double size;
};

/* Log-linear between the knots; the first is at part 0, the last at part 1. */
void hg_sizes_from_knots(struct hg_sizes *sizes, const struct hg_size_knot *knots);
/* As many requests in each doubling of size. */
void hg_sizes_log_uniform(struct hg_sizes *sizes, size_t low, size_t high);
/* Production-like; where it is from stands at its definition. */
void hg_sizes_production(struct hg_sizes *sizes);

static inline size_t hg_sizes_draw(const struct hg_sizes *sizes, struct hg_random *random) {
    return sizes->at[hg_random_next(random) % HG_SIZES_COUNT];
}

/* ---- memory of the workload's own ---- */

/* Zeroed, every page present: no page fault of it falls into the timed loop. Aborts if there is
 * none. */
void *hg_workload_map(size_t size);
void hg_workload_unmap(void *memory, size_t size);

/* ---- what a workload needs ---- */

/* False, and the benchmark is skipped with a message, unless the backend has malloc and free. */
bool hg_workload_needs_malloc(hg_state *state);
/* Same for the layout face. */
bool hg_workload_needs_layout(hg_state *state);
/* Same for blocks that keep what is written to them: all backends but null. */
bool hg_workload_needs_content(hg_state *state);

/* For threads that each hold a live set: to be called once by each, when its set is complete,
 * before its loop. The last one reads the memory, while the others wait for the loop to start. */
void hg_workload_live_share(const hg_state *state, uint64_t bytes);

/* ---- a queue from one thread to one other ---- */

enum { HG_QUEUE_CAPACITY = 4096 };
struct hg_queue {
    _Alignas(64) atomic_size_t pushed;
    size_t popped_seen; /* the pusher's copy */
    _Alignas(64) atomic_size_t popped;
    size_t pushed_seen; /* the popper's copy */
    _Alignas(64) uintptr_t items[HG_QUEUE_CAPACITY];
};

/* False iff it is full. */
static inline bool hg_queue_push(struct hg_queue *queue, uintptr_t item) {
    size_t pushed = atomic_load_explicit(&queue->pushed, memory_order_relaxed);
    if (pushed - queue->popped_seen == HG_QUEUE_CAPACITY) {
        queue->popped_seen = atomic_load_explicit(&queue->popped, memory_order_acquire);
        if (pushed - queue->popped_seen == HG_QUEUE_CAPACITY)
            return false;
    }
    queue->items[pushed % HG_QUEUE_CAPACITY] = item;
    atomic_store_explicit(&queue->pushed, pushed + 1, memory_order_release);
    return true;
}

/* False iff it is empty. */
static inline bool hg_queue_pop(struct hg_queue *queue, uintptr_t *item) {
    size_t popped = atomic_load_explicit(&queue->popped, memory_order_relaxed);
    if (popped == queue->pushed_seen) {
        queue->pushed_seen = atomic_load_explicit(&queue->pushed, memory_order_acquire);
        if (popped == queue->pushed_seen)
            return false;
    }
    *item = queue->items[popped % HG_QUEUE_CAPACITY];
    atomic_store_explicit(&queue->popped, popped + 1, memory_order_release);
    return true;
}

/* Waits a moment for another thread; count starts at 0. Never sleeps: after a while it gives the
 * CPU away, for where threads are more than CPUs. */
void hg_workload_wait(unsigned *count);

/* ---- a program: code that allocates through this ---- */

struct hg_program {
    void *(*malloc)(size_t size);
    void *(*realloc)(void *ptr, size_t size);
    void (*free)(void *ptr);
    uint64_t calls;
};

/* The functions of the backend of a state; no calls yet. */
struct hg_program hg_program_of(const hg_state *state);

static inline void *hg_program_alloc(struct hg_program *program, size_t size) {
    program->calls++;
    return program->malloc(size);
}

static inline void *hg_program_realloc(struct hg_program *program, void *ptr, size_t size) {
    program->calls++;
    return program->realloc(ptr, size);
}

static inline void hg_program_free(struct hg_program *program, void *ptr) {
    program->calls++;
    program->free(ptr);
}

#endif
