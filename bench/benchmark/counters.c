#include "internal.h"

#include <math.h>
#include <string.h>

const hg__counter *hg__counters_find(const hg__counters *counters, const char *name) {
    for (size_t i = 0; i < counters->count; i++) {
        if (strcmp(counters->items[i].name, name) == 0)
            return &counters->items[i];
    }
    return NULL;
}

static void make_room(hg__counters *counters, hg__allocator *alloc) {
    if (counters->count < counters->capacity)
        return;
    size_t capacity = counters->capacity ? 2 * counters->capacity : 8;
    hg__counter *larger = alloc(capacity * sizeof *larger);
    if (counters->count > 0)
        memcpy(larger, counters->items, counters->count * sizeof *larger);
    counters->items = larger;
    counters->capacity = capacity;
}

static const char *copy_name(const char *name, hg__allocator *alloc) {
    size_t size = strlen(name) + 1;
    return memcpy(alloc(size), name, size);
}

hg__counter *hg__counters_get(hg__counters *counters, const char *name, hg__allocator *alloc) {
    size_t at = 0;
    while (at < counters->count && strcmp(counters->items[at].name, name) < 0)
        at++;
    if (at < counters->count && strcmp(counters->items[at].name, name) == 0)
        return &counters->items[at];
    make_room(counters, alloc);
    memmove(&counters->items[at + 1], &counters->items[at],
            (counters->count - at) * sizeof counters->items[0]);
    counters->count++;
    counters->items[at] = (hg__counter){.name = copy_name(name, alloc)};
    return &counters->items[at];
}

void hg__counters_add(hg__counters *into, const hg__counters *from, hg__allocator *alloc) {
    for (size_t i = 0; i < from->count; i++) {
        hg__counter *counter = hg__counters_get(into, from->items[i].name, alloc);
        counter->value += from->items[i].value;
        counter->flags |= from->items[i].flags;
    }
}

static double finish(const hg__counter *counter, double iterations, double seconds,
                     double threads) {
    double value = counter->value;
    if (counter->flags & HG_COUNTER_IS_RATE)
        value /= seconds / threads;
    if (counter->flags & HG_COUNTER_AVG_THREADS)
        value /= threads;
    if (counter->flags & HG_COUNTER_ITERATION_INVARIANT)
        value *= iterations;
    if (counter->flags & HG_COUNTER_AVG_ITERATIONS)
        value /= iterations;
    if (counter->flags & HG_COUNTER_INVERT)
        value = 1 / value;
    return value;
}

void hg__counters_finish(hg__counters *counters, uint64_t iterations, double seconds, int threads) {
    size_t kept = 0;
    for (size_t i = 0; i < counters->count; i++) {
        hg__counter counter = counters->items[i];
        counter.value = finish(&counter, (double)iterations, seconds, threads);
        if (isfinite(counter.value))
            counters->items[kept++] = counter;
    }
    counters->count = kept;
}

bool hg__counters_same_names(const hg__counters *a, const hg__counters *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i].name, b->items[i].name) != 0)
            return false;
    }
    return true;
}
