/* The adversaries. Each keeps its tables in mmap, present before the baseline is read, and frees
 * everything at its end. */
#include "frag.h"

#include "../workload/support.h"

#include "heapgauge/meter.h"

#include <math.h>

struct block {
    void *ptr;
    size_t size;
};

struct table {
    size_t count, capacity;
    struct block *blocks;
};

/* Makes the table, and reads the baseline: all that the process has besides the heap is there now.
 */
static struct table begin(struct hg_frag_heap *heap, size_t capacity) {
    struct table table = {0, capacity, hg_workload_map(capacity * sizeof *table.blocks)};
    hg_rss_settle_files();
    heap->result->baseline_bytes = hg_rss_bytes();
    return table;
}

static bool add(struct hg_frag_heap *heap, struct table *table, size_t size) {
    if (table->count == table->capacity)
        return false;
    void *ptr = hg_frag_alloc(heap, size);
    if (!ptr)
        return false;
    table->blocks[table->count++] = (struct block){ptr, size};
    return true;
}

static void remove_at(struct hg_frag_heap *heap, struct table *table, size_t index) {
    struct block block = table->blocks[index];
    table->blocks[index] = table->blocks[--table->count];
    hg_frag_free(heap, block.ptr, block.size);
}

/* Fills up to `live_bytes` with blocks of one size. */
static void fill(struct hg_frag_heap *heap, struct table *table, size_t size, uint64_t live_bytes) {
    while (heap->live_bytes + size <= live_bytes && add(heap, table, size))
        continue;
}

/* Frees those of which keep() says so; the others close ranks, in order. */
static void sieve(struct hg_frag_heap *heap, struct table *table,
                  bool (*keep)(const struct block *block, size_t index, const void *context),
                  const void *context) {
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        struct block block = table->blocks[i];
        if (keep(&block, i, context))
            table->blocks[kept++] = block;
        else
            hg_frag_free(heap, block.ptr, block.size);
    }
    table->count = kept;
}

static bool keep_odd(const struct block *block, size_t index, const void *context) {
    (void)block;
    (void)context;
    return index % 2 == 1;
}

static bool keep_none(const struct block *block, size_t index, const void *context) {
    (void)block;
    (void)index;
    (void)context;
    return false;
}

static void end(struct hg_frag_heap *heap, struct table *table) {
    hg_frag_end(heap);
    sieve(heap, table, keep_none, NULL);
}

/* ---- Robson ---- */

enum { UNIT = 16, ROBSON_STAGES = 12 };

/* Words of UNIT bytes at `offset` modulo `modulus`. */
struct residue {
    uintptr_t offset, modulus;
};

/* True iff a block covers one of these words. */
static bool covers(const struct block *block, size_t index, const void *context) {
    (void)index;
    const struct residue *residue = context;
    uintptr_t word = (uintptr_t)block->ptr / UNIT, words = block->size / UNIT;
    uintptr_t next = (residue->offset - word) & (residue->modulus - 1); /* words to the next such */
    return next < words;
}

/* Bytes up to the modulus that blocks at this residue hold back: the more, the worse for the heap.
 */
static uint64_t held_back(const struct table *table, const struct residue *residue) {
    uint64_t sum = 0;
    for (size_t i = 0; i < table->count; i++)
        if (covers(&table->blocks[i], i, residue))
            sum += residue->modulus * UNIT - table->blocks[i].size;
    return sum;
}

/* Stage i fills the heap with blocks of 2^i units, after freeing every block that covers no word at
 * some residue modulo 2^i: of the two residues that extend the last one it takes that which holds
 * back more. So no hole is ever large enough for the next stage. (J. M. Robson, J. ACM 21 (1974).)
 */
static void robson(struct hg_frag_heap *heap, uint64_t live_bytes_max) {
    struct table table = begin(heap, live_bytes_max / UNIT);
    struct residue residue = {0, 1};
    fill(heap, &table, UNIT, live_bytes_max);
    hg_frag_mark(heap);
    for (int stage = 1; stage <= ROBSON_STAGES; stage++) {
        struct residue low = {residue.offset, residue.modulus * 2};
        struct residue high = {residue.offset + residue.modulus, residue.modulus * 2};
        residue = held_back(&table, &low) >= held_back(&table, &high) ? low : high;
        sieve(heap, &table, covers, &residue);
        fill(heap, &table, (size_t)UNIT << stage, live_bytes_max);
        hg_frag_mark(heap);
    }
    end(heap, &table);
}

/* ---- swiss cheese ---- */

/* Small blocks, every other one freed; then blocks too large for the holes. */
static void swiss_cheese(struct hg_frag_heap *heap, uint64_t live_bytes_max) {
    enum { SMALL = 128, LARGE = 192 };
    struct table table = begin(heap, live_bytes_max / SMALL + 1);
    fill(heap, &table, SMALL, live_bytes_max);
    hg_frag_mark(heap);
    sieve(heap, &table, keep_odd, NULL);
    hg_frag_mark(heap);
    fill(heap, &table, LARGE, live_bytes_max);
    hg_frag_mark(heap);
    end(heap, &table);
}

/* ---- size shift ---- */

/* A program whose blocks double in size from phase to phase, while every other old one stays. */
static void size_shift(struct hg_frag_heap *heap, uint64_t live_bytes_max) {
    enum { FIRST = 64, LAST = 64 << 10 };
    struct table table = begin(heap, live_bytes_max / FIRST + 1);
    for (size_t size = FIRST; size <= LAST; size *= 2) {
        fill(heap, &table, size, live_bytes_max);
        hg_frag_mark(heap);
        sieve(heap, &table, keep_odd, NULL);
    }
    end(heap, &table);
}

/* ---- peak and drain ---- */

static void fill_mixed(struct hg_frag_heap *heap, struct table *table, const struct hg_sizes *sizes,
                       struct hg_random *random, uint64_t live_bytes) {
    while (heap->live_bytes < live_bytes && add(heap, table, hg_sizes_draw(sizes, random)))
        continue;
}

static void drain(struct hg_frag_heap *heap, struct table *table, struct hg_random *random,
                  uint64_t live_bytes) {
    while (heap->live_bytes > live_bytes && table->count > 0)
        remove_at(heap, table, hg_random_below(random, table->count));
}

/* Production-like sizes up to the peak, then random frees to a tenth; half as high again, and down
 * again. */
static void peak_and_drain(struct hg_frag_heap *heap, uint64_t live_bytes_max) {
    struct hg_random random = {1};
    struct hg_sizes *sizes = hg_workload_map(sizeof *sizes);
    hg_sizes_production(sizes);
    struct table table = begin(heap, live_bytes_max / 64 + 1);
    fill_mixed(heap, &table, sizes, &random, live_bytes_max);
    hg_frag_mark(heap);
    drain(heap, &table, &random, live_bytes_max / 10);
    hg_frag_mark(heap);
    fill_mixed(heap, &table, sizes, &random, live_bytes_max / 2);
    hg_frag_mark(heap);
    drain(heap, &table, &random, live_bytes_max / 10);
    hg_frag_mark(heap);
    end(heap, &table);
    hg_workload_unmap(sizes, sizeof *sizes);
}

/* ---- the aging server ---- */

/* Hours of a server in a million operations: in each phase the sizes are others by some factor,
 * most blocks are young when they die, and a few stay for good, until a part of these goes as well.
 */
static void aging_server(struct hg_frag_heap *heap, uint64_t live_bytes_max) {
    enum { PHASES = 12, OPERATIONS = 50000, YOUNG = 2000 };
    struct hg_random random = {2};
    struct hg_sizes *sizes = hg_workload_map(sizeof *sizes);
    struct table table = begin(heap, live_bytes_max / 64 + 1);
    for (int phase = 0; phase < PHASES; phase++) {
        hg_sizes_production(sizes);
        double factor = pow(2, (double)(phase * 5 % 7) / 2 - 1.5);
        for (size_t i = 0; i < HG_SIZES_COUNT; i++)
            sizes->at[i] = (uint32_t)fmax(8, sizes->at[i] * factor);
        for (int i = 0; i < OPERATIONS; i++) {
            add(heap, &table, hg_sizes_draw(sizes, &random));
            while (heap->live_bytes > live_bytes_max * 3 / 4 && table.count > 0) {
                bool young = hg_random_below(&random, 10) > 0 && table.count > YOUNG;
                size_t index = young ? table.count - 1 - hg_random_below(&random, YOUNG)
                                     : hg_random_below(&random, table.count);
                remove_at(heap, &table, index);
            }
        }
        hg_frag_mark(heap);
        drain(heap, &table, &random, live_bytes_max / 2);
    }
    fill_mixed(heap, &table, sizes, &random, live_bytes_max);
    end(heap, &table);
    hg_workload_unmap(sizes, sizeof *sizes);
}

/* ---- all ---- */

static const struct hg_adversary adversaries[] = {
    {"robson", "Robson's construction: the holes are always just too small", robson},
    {"swiss-cheese", "small blocks, every other one freed, then blocks too large for the holes",
     swiss_cheese},
    {"size-shift", "blocks double in size from phase to phase, half of the old ones stay",
     size_shift},
    {"peak-drain", "production-like sizes to a peak, random frees to a tenth, twice",
     peak_and_drain},
    {"aging", "a server: sizes drift, most blocks die young, some stay", aging_server},
};

const struct hg_adversary *hg_adversary_at(size_t index) {
    return index < sizeof adversaries / sizeof *adversaries ? &adversaries[index] : NULL;
}
