/* Layer 3: caches, one per thread, of the process-wide instance. Per class a stack of free slots in
 * an array; taking one is a load, a test and a store, giving one back the same plus a load of the
 * map.
 *
 *   bin of class c:    NULL | p | p | p | . | . | . . .      [first = cell after the NULL]
 *                             bottom      ^top      ^limit       ^ end of the array
 *
 * Empty is found by loading the NULL below the bottom, full by top == limit. The limit grows from 8
 * with use. Free slots themselves are neither read nor written. A slot smaller than a cache line
 * that belongs to another thread's heap goes to the outbox, an array like the others, and home in
 * batches. A batch that is too much for one cache waits for another one in the depot, a cache without a
 * thread.
 *
 * A thread without a cache has one of two constant ones, in which every bin is empty and full at
 * once, so that it takes the slow paths: `boot` before its first call, `dead` after its destructors
 * ran. */
#ifndef HG__CACHE_H
#define HG__CACHE_H

#include "heapgauge/core_inline.h"

#include "harden.h"
#include "instance.h"

enum { HG__OUTBOX = HG_CLASS_COUNT, HG__BIN_COUNT = HG_CLASS_COUNT + 1 };

_Static_assert(sizeof(struct hg__bin) == 1 << HG__MAP_CLASS_SHIFT, "a map entry is a bin's offset");

struct hg__cache {
    struct hg__bin bins[HG__BIN_COUNT];
    uint32_t foreign; /* of a map entry, all bits but those that say: of this thread's heap */
    uint16_t bin_of_step[HG__FAST_STEPS]; /* offset of the bin for a size, in steps */
    uint8_t lent[HG_CLASS_COUNT];         /* slots in a row that larger classes lent: see lend */
    struct hg__heap *heap;
    struct hg__heap *shared_heap; /* for classes from HG__SHARED_SIZE_MIN up: see heap_for */
    struct hg__cache *next;       /* all caches ever made */
    struct hg__cache *next_idle;  /* those without a thread */
};

/* A cached slot of `class`, or NULL iff the bin is empty. */
static inline void *hg__cache_pop(unsigned class) {
    return hg__bin_pop(&hg__thread->bins[class]);
}

/* The bin whose offset a map entry or bin_of_step tells. */
static inline struct hg__bin *hg__bin_at(struct hg__cache *cache, size_t offset) {
    return (struct hg__bin *)(void *)((char *)cache + offset);
}

/* Which step of HG__STEP bytes the last byte of a slot for `size` and `align` lies in: the size
 * rounded up to a multiple of `align`, less 1. Rounding down by one first takes a single operation,
 * and sends size 0 and all that wraps to where large sizes go: the slow path. */
static inline size_t hg__last_step(size_t size, size_t align) {
    size_t step = ((hg__needed(size, align) - 1) | (align - 1)) / HG__STEP;
    __asm__("" : "+r"(step)); /* else the compiler keeps both this and what it divided */
    return step;
}

/* The size of a slot whose bin has that offset. */
static inline size_t hg__slot_size(size_t offset) {
    return hg__main.geometry[offset >> HG__MAP_CLASS_SHIFT].size;
}

/* The bin for such a step < HG__FAST_STEPS. */
static inline struct hg__bin *hg__bin_of(struct hg__cache *cache, size_t step) {
    return hg__bin_at(cache, cache->bin_of_step[step]);
}

static inline bool hg__cache_push(struct hg__cache *cache, unsigned bin_index, void *p) {
    return hg__bin_push(&cache->bins[bin_index], p);
}

/* The paths of core.c behind the fast ones; `class` is what the caller found, 0 included. */
HG_NOINLINE void *hg__alloc_slow(size_t size, size_t align);
HG_NOINLINE void hg__free_slow(void *p);
/* The same where the hardened build has not looked yet. */
#if HG_HARDENED
HG_NOINLINE void hg__free_unsure(void *p, unsigned expected, size_t size);
#else
#define hg__free_unsure(p, expected, size) hg__free_slow(p)
#endif
HG_NOINLINE void hg__free_sized_slow(void *p, size_t size, size_t align);
void *hg__alloc_zeroed(size_t size, size_t align);
/* Resizes a block of the process-wide instance; `old_size` bytes at most are kept. */
void *hg__realloc(void *p, size_t old_size, size_t align, size_t new_size);

/* A block of the process-wide instance for a size and a power of two. NULL iff there is no memory.
 */
static inline void *hg__alloc(size_t size, size_t align) {
    size_t step = hg__last_step(size, align);
    if (HG_LIKELY(step < HG__FAST_STEPS)) {
        size_t offset = hg__thread->bin_of_step[step];
        void *p = hg__bin_pop(hg__bin_at(hg__thread, offset));
        if (HG_LIKELY(p != NULL))
            return hg__harden_alloc(&hg__main.arena, p, offset, hg__slot_size(offset), size);
    }
    return hg__alloc_slow(size, align);
}

/* Frees a block whose size is not known: the map tells its class. In the hardened build `expected`
 * and `size` say what the caller knows. */
static inline void hg__free_as(void *p, unsigned expected, size_t size) {
    struct hg__cache *cache = hg__thread;
    size_t g = ((uintptr_t)p - hg__main.arena.base) >> HG__GRANULE_SHIFT;
    if (HG_HARDENED) /* the fill's second line: its address is known here, the class much later */
        __builtin_prefetch((char *)p + HG__FILL_HEAD - HG__STEP, 1);
    if (HG_LIKELY(hg__is_committed(&hg__main.arena, g))) {
        uint32_t offset = hg__map_get(&hg__main.arena, g) & cache->foreign;
        if (HG_LIKELY(offset < HG_CLASS_COUNT * sizeof(struct hg__bin))) {
            if (HG_LIKELY(hg__harden_free(&hg__main.arena, p, offset, hg__slot_size(offset),
                                          expected, size))) {
                if (HG_UNLIKELY(!hg__bin_push(hg__bin_at(cache, offset), p)))
                    hg__free_slow(p);
                return;
            }
        }
    }
    hg__free_unsure(p, expected, size);
}

static inline void hg__free(void *p) {
    hg__free_as(p, HG__ANY_CLASS, 0);
}

/* Frees a block by its layout alone: no metadata is read. */
static inline void hg__free_sized(void *p, size_t size, size_t align) {
    size_t step = hg__last_step(size, align);
    if (HG_HARDENED && step < HG__FAST_STEPS)
        hg__free_as(p, hg__class_of((step + 1) * HG__STEP), size);
    else if (HG_UNLIKELY(HG_HARDENED || !p || step >= HG__FAST_STEPS ||
                         !hg__bin_push(hg__bin_of(hg__thread, step), p)))
        hg__free_sized_slow(p, size, align);
}

/* Takes a slot of `class` when the bin is empty, refilling it. NULL iff there is no memory. */
HG_NOINLINE void *hg__cache_refill(unsigned class);
/* Puts a slot into a bin that was full, growing it or emptying half of it. */
HG_NOINLINE void hg__cache_overflow(unsigned bin_index, void *p);
/* Empties the calling thread's cache. */
void hg__cache_flush(void);
/* Makes sure the process-wide instance exists. False iff there is no memory at all. */
bool hg__cache_start(void);
/* Free slots in all caches, bytes; by class into `counts` (may be NULL). */
size_t hg__cache_count(size_t counts[HG_CLASS_COUNT]);
bool hg__cache_validate(struct hg__why *why);

#endif
