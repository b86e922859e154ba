/* pareto: slots picked by a folded 80/20 rule; an empty one is filled and written, an occupied one
 * is read and freed. After OLogN's alloc-test. Stresses skewed lifetimes: some slots turn over all
 * the time, most hardly ever, so that old blocks pin pages among young ones. */
#include "support.h"

/* Four of five times in the first fifth; of that, and of the rest, again so. */
static size_t pick(struct hg_random *random, size_t count) {
    uint64_t draw = hg_random_next(random);
    size_t begin = 0;
    for (int fold = 0; fold < 6 && count >= 5; fold++, draw >>= 8) {
        size_t fifth = count / 5;
        if ((draw & 255) < 205) {
            count = fifth;
        } else {
            begin += fifth;
            count -= fifth;
        }
    }
    return begin + (size_t)(draw & 0xffff) * count / 0x10000;
}

/* Median 9, p90 about 45, p99 about 440, none above 1024 bytes. */
static const struct hg_size_knot knots[] = {
    {0, 1}, {0.5, 9}, {0.9, 45}, {0.99, 441}, {1, 1024},
};

static uint64_t read_all(const unsigned char *block, size_t size) {
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += block[i];
    return sum;
}

static void pareto(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    void (*const release)(void *) = hg_workload_backend(state)->libc.free;
    size_t count = (size_t)hg_state_range(state, 0) / (size_t)hg_state_threads(state);
    struct slot {
        void *ptr;
        size_t size;
    } *slots = hg_workload_map(count * sizeof *slots);
    struct hg_sizes *sizes = hg_workload_map(sizeof *sizes);
    hg_sizes_from_knots(sizes, knots);
    struct hg_random random = hg_random_of(state, 8);
    uint64_t live_bytes = 0;
    for (size_t i = 0; i < count; i += 2) {
        slots[i].size = hg_sizes_draw(sizes, &random);
        slots[i].ptr = allocate(slots[i].size);
        memset(slots[i].ptr, 1, slots[i].size);
        live_bytes += slots[i].size;
    }
    hg_workload_live_share(state, live_bytes);
    uint64_t sum = 0;
    HG_WORKLOAD_LOOP(state) {
        struct slot *slot = &slots[pick(&random, count)];
        if (slot->ptr) {
            sum += read_all(slot->ptr, slot->size);
            release(slot->ptr);
            slot->ptr = NULL;
        } else {
            slot->size = hg_sizes_draw(sizes, &random);
            slot->ptr = allocate(slot->size);
            memset(slot->ptr, 1, slot->size);
        }
    }
    hg_do_not_optimize(sum);
    hg_workload_done(state, hg_state_iterations(state));
    for (size_t i = 0; i < count; i++)
        if (slots[i].ptr)
            release(slots[i].ptr);
    hg_workload_unmap(slots, count * sizeof *slots);
    hg_workload_unmap(sizes, sizeof *sizes);
}

static void configure(hg_benchmark *b) {

    HG_ARG_NAMES(b, "slots");
    hg_benchmark_arg(b, 1 << 18);
    hg_benchmark_threads(b, 1);
    hg_benchmark_threads(b, 2);
}

const struct hg_workload hg__workload_pareto = {
    "pareto",
    "slots by an 80/20 rule, every byte written and read: skewed lifetimes, locality",
    pareto,
    configure,
};
