/* sh6, sh8: an array is filled with blocks; when it is full all but a window of it is freed, below
 * the window in the order of allocation, above it in the reverse; the window moves on. After
 * MicroQuill's SmartHeap benchmarks, from their description. Stresses mixed lifetimes: most blocks
 * die young, in both orders, and the survivors sit between them. sh6 walks through falling series
 * of sizes; sh8 draws from a histogram with a heavy end, and every tenth block is a small one that
 * the next thread frees. */
#include "support.h"

enum { SLOTS = 5000, WINDOW = SLOTS / 5, THREADS_MAX = 16 };

struct ring {
    void *(*allocate)(size_t);
    void (*release)(void *);
    size_t next;   /* slot to fill */
    size_t window; /* first slot of those that survive; a multiple of WINDOW */
    uint64_t calls;
    void *slots[SLOTS];
};

static struct ring *ring_of(const hg_state *state) {
    struct ring *ring = hg_workload_map(sizeof *ring);
    ring->allocate = hg_workload_backend(state)->libc.malloc;
    ring->release = hg_workload_backend(state)->libc.free;
    return ring;
}

static void free_slot(struct ring *ring, size_t slot) {
    if (!ring->slots[slot])
        return;
    ring->release(ring->slots[slot]);
    ring->slots[slot] = NULL;
    ring->calls++;
}

static void turn(struct ring *ring) {
    ring->window = (ring->window + WINDOW) % SLOTS;
    for (size_t i = 0; i < ring->window; i++)
        free_slot(ring, i);
    for (size_t i = SLOTS; i-- > ring->window + WINDOW;)
        free_slot(ring, i);
    ring->next = 0;
}

static void fill(struct ring *ring, size_t size) {
    while (ring->next < SLOTS && ring->slots[ring->next])
        ring->next++;
    if (ring->next == SLOTS) {
        turn(ring);
        while (ring->slots[ring->next])
            ring->next++;
    }
    char *block = ring->allocate(size);
    hg_workload_touch(block);
    hg_workload_touch(block + size - 1);
    ring->slots[ring->next++] = block;
    ring->calls++;
}

static void end(struct ring *ring) {
    for (size_t i = 0; i < SLOTS; i++)
        free_slot(ring, i);
    hg_workload_unmap(ring, sizeof *ring);
}

/* An iteration: one series from `base` down to 1. */
static void series(struct ring *ring, size_t base) {
    for (size_t size = base; size > 0; size /= 2)
        for (int i = size < 100 ? 250 : 50; i > 0; i--)
            fill(ring, size);
}

static void sh6(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    struct ring *ring = ring_of(state);
    size_t base = 1;
    HG_WORKLOAD_LOOP(state) {
        series(ring, base);
        base = base * 3 / 2 + 1;
        if (base >= 1000)
            base = 1;
    }
    hg_workload_done(state, ring->calls);
    end(ring);
}

/* Of 12334 blocks, so many are of that size. */
static const struct {
    uint16_t count;
    uint32_t size;
} histogram[] = {
    {1000, 8}, {5000, 16}, {1000, 48}, {100, 72}, {100, 148}, {100, 200},
    {10, 520}, {5, 1056},  {3, 4096},  {1, 9162}, {1, 34562}, {1, 168524},
};

static size_t draw(struct hg_random *random) {
    size_t total = 0, i = 0;
    for (size_t j = 0; j < sizeof histogram / sizeof *histogram; j++)
        total += histogram[j].count;
    size_t at = hg_random_below(random, total);
    while (at >= histogram[i].count)
        at -= histogram[i++].count;
    return histogram[i].size;
}

static struct hg_queue *queues; /* into each thread, from the one before it */

static void setup(hg_state *state) {
    (void)state;
    queues = hg_workload_map(sizeof *queues * THREADS_MAX);
}

static void teardown(hg_state *state) {
    uintptr_t item;
    for (size_t i = 0; i < THREADS_MAX; i++)
        while (hg_queue_pop(&queues[i], &item))
            hg_workload_backend(state)->libc.free((void *)item);
    hg_workload_unmap(queues, sizeof *queues * THREADS_MAX);
}

/* A small block to the next thread; one from the thread before, freed. */
static void pass_on(struct ring *ring, size_t self, size_t threads) {
    char *block = ring->allocate(8);
    hg_workload_touch(block);
    ring->calls++;
    if (!hg_queue_push(&queues[(self + 1) % threads], (uintptr_t)block)) {
        ring->release(block);
        ring->calls++;
    }
    uintptr_t item;
    if (hg_queue_pop(&queues[self], &item)) {
        ring->release((void *)item);
        ring->calls++;
    }
}

/* An iteration: ten blocks, and one passed on. */
static void sh8(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    struct ring *ring = ring_of(state);
    struct hg_random random = hg_random_of(state, 17);
    size_t self = (size_t)hg_state_thread_index(state), threads = (size_t)hg_state_threads(state);
    HG_WORKLOAD_LOOP(state) {
        for (int i = 0; i < 10; i++)
            fill(ring, draw(&random));
        pass_on(ring, self, threads);
    }
    hg_workload_done(state, ring->calls);
    end(ring);
}

static void configure_sh6(hg_benchmark *b) {
    hg_benchmark_threads(b, 1);
    hg_benchmark_threads(b, 2);
}

static void configure_sh8(hg_benchmark *b) {
    hg_benchmark_threads(b, 1);
    hg_benchmark_threads(b, 2);
    hg_benchmark_setup(b, setup);
    hg_benchmark_teardown(b, teardown);
}

const struct hg_workload hg__workload_sh6 = {
    "sh6",
    "falling series of sizes, freed in both orders around a window that survives: mixed lifetimes",
    sh6,
    configure_sh6,
};

const struct hg_workload hg__workload_sh8 = {
    "sh8",
    "a histogram of sizes with a heavy end, as sh6, and small blocks freed by the next thread",
    sh8,
    configure_sh8,
};
