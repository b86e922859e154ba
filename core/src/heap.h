/* Layer 2: heaps, about one per processor. A heap owns slabs: runs of granules cut into slots of
 * one class, with a bitmap of free slots out of line. Slots move between a heap and the caches
 * above in batches, one lock a batch; threads that end leave nothing behind but an emptied cache.
 *
 *   heap -- class c -- partial: slab -> slab -> ...    (those with a free slot; full ones are in no
 *                      [..##.#.#][.......#]             list and are found again by their map
 * entry)
 *
 * Lowest slots first and the fullest of a few slabs, so that live data packs and the rest drains.
 * Since free slots hold nothing, whole pages of them ("holes") can be given back in mid-slab.
 *
 * Lock order everywhere: cache registry, depot (tried only), heaps by index, arena. */
#ifndef HG__HEAP_H
#define HG__HEAP_H

#include "arena.h"

/* How a class is laid out; depends on the granule, so one table an instance. */
struct hg__geometry {
    uint64_t inverse; /* 2^40 / size + 1: offset * inverse >> 40 == offset / size within a slab */
    uint32_t size;
    uint16_t slot_count;
    uint16_t length; /* granules of a slab */
};

struct hg__heap_class {
    uint32_t partial;    /* first slab with a free slot */
    uint32_t slab_count; /* including full ones; read without the lock, too */
    size_t free_count;   /* slots; read without the lock, too */
    uint32_t idle_count; /* slabs without a live slot, at most 1 between calls */
    bool active;         /* slots were taken since the last trim */
};

struct hg__heap {
    struct hg__lock lock;
    uint32_t index;
    struct hg__arena *arena;
    const struct hg__geometry *geometry;
    struct hg__heap_class classes[HG_CLASS_COUNT];
} __attribute__((aligned(64)));

void hg__geometry_init(struct hg__geometry table[HG_CLASS_COUNT], unsigned granule_shift);
/* Largest class size served from slabs; above it runs are as good. */
static inline size_t hg__small_max(const struct hg__arena *a) {
    return a->os ? HG__SMALL_MAX : (size_t)2 << a->shift;
}

/* Takes up to `want` free slots of `class`; out[got-1] is the lowest address. Returns how many. With
 * `fresh` fewer than one iff there is no memory; without, none is taken whose pages are known not to be
 * resident, nor is a slab made. */
size_t hg__heap_take(struct hg__heap *heap, unsigned class, void **out, size_t want, bool fresh);
/* How many slabs of `class` there are about now. */
static inline uint32_t hg__heap_slabs(const struct hg__heap *heap, unsigned class) {
    return __atomic_load_n(&heap->classes[class].slab_count, __ATOMIC_RELAXED);
}
/* Gives slots back, each to the heap of `heaps` that owns it. `class` is the class they were cached
 * as, 0 if they may differ: a slot smaller than that is corruption, and fatal. */
void hg__heap_put(struct hg__heap *heaps, void **slots, size_t count, unsigned class);
/* True iff of many slabs of `class` nearly all is free, `cached` slots counted too, as far as can be seen
 * without the lock: then each slot kept in a cache pins a slab of its own. */
bool hg__heap_is_drained(const struct hg__heap *heap, unsigned class, size_t cached);
/* Releases idle slabs, and holes: unless `all`, only those of classes of which nothing was taken
 * since the last trim, for the others will soon be wanted again. Returns the bytes of the holes. */
size_t hg__heap_trim(struct hg__heap *heap, bool all);
/* True iff `p` begins a slot of a slab; sets its class and whether its bitmap has it as free. */
bool hg__heap_find(const struct hg__arena *a, const struct hg__geometry *geometry, const void *p,
                   unsigned *class, bool *is_free);
/* Marks a cached slot's bit, or clears it; false iff it already was so. For the validators. */
bool hg__heap_set_bit(const struct hg__arena *a, const struct hg__geometry *geometry, const void *p,
                      bool value);
bool hg__heap_validate(const struct hg__heap *heap, struct hg__why *why);

#endif
