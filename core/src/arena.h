/* Layer 1: the arena. One contiguous region cut into granules, handed out in runs.
 *
 *   base                                    frontier        committed             granule_count
 *   | 0 | run | run | free | run | ... free |  never used   |    no access yet    |
 *
 * Out of line, one entry a granule: `map` (32 bits, read by free without a lock) and `runs` (a
 * record, valid in the first and last granule of a run; a slab keeps `head` valid in all of its
 * granules). Nothing is ever stored in the granules themselves. Granule 0 lies before the first
 * usable one and stands for "none", so that zeroed memory is an empty arena. The address space is
 * either reserved as a whole, or only chosen (map_step): then it is mapped piece by piece, and a piece
 * that something else came to lie in is left out, as a run in use (a program that lowers its RLIMIT_AS
 * must find no large reservation).
 *
 * Free neighbours are always merged. A free run knows how many of its granules may be resident:
 * about `dirty` of them, exactly none iff 0, and then it reads as zero. What goes back to the
 * operating system, and when, is decided in purge_if_due(). */
#ifndef HG__ARENA_H
#define HG__ARENA_H

#include "base.h"
#include "class.h"

enum {
    HG__GRANULE_SHIFT = 14,        /* 16 KiB; smaller ones cost slabs, larger ones footprint */
    HG__REGION_GRANULE_SHIFT = 12, /* over a caller's region, where slabs per class weigh more */
    HG__SMALL_GRANULE_SHIFT = 10,  /* ... and over one below: */
    HG__SMALL_REGION = 512 << 10,
    HG__BINS = 192,
    HG__FREED_LARGE = 32, /* large blocks that are watched for writes after they were freed */
    HG__PAGE = 4096,      /* what holes are made of; larger system pages only disable them */
};

/* map[g]: 0 nothing, large, or of a slab
 *
 *    | 0 | complement of owner : 6 | owner : 6 | class : 8 | 0 : 4 |
 *
 * where both owner fields are 0 if any thread may cache the slots, else the index of the heap whose
 * threads may: a slot below a cache line belongs to its heap, lest threads share a line. A thread
 * masks its own heap's two fields out; then the entry is the offset of the class's bin iff it may
 * cache the slot, for another heap differs in a bit of one field or the other. */
#define HG__MAP_LARGE UINT32_MAX
enum { HG__SHARED_SIZE_MIN = 64, HG__MAP_CLASS_SHIFT = 4, HG__HEAP_BITS = 6, HG__HEAPS_MAX = 64 };

static inline uint32_t hg__map_owner(unsigned heap) {
    return (heap | (HG__HEAPS_MAX - 1 - heap) << HG__HEAP_BITS) << (HG__MAP_CLASS_SHIFT + 8);
}

/* The class of an entry; no class (at least HG_CLASS_COUNT) iff it is large. */
static inline unsigned hg__map_class(uint32_t entry) {
    return entry >> HG__MAP_CLASS_SHIFT & 0xff;
}

/* The entry of a slab of `class`, of slots of `size` bytes. */
static inline uint32_t hg__map_entry(unsigned class, size_t size, unsigned heap) {
    return class << HG__MAP_CLASS_SHIFT | (size < HG__SHARED_SIZE_MIN ? hg__map_owner(heap) : 0);
}

enum hg__run_kind { HG__FREE, HG__SLAB, HG__LARGE, HG__META };

struct hg__run {
    uint32_t head;   /* first granule */
    uint32_t length; /* granules; in the first one */
    uint32_t next;   /* list of a bin, or of a heap's partial slabs */
    uint32_t prev;
    uint8_t kind;
    uint8_t class;       /* slab */
    uint16_t heap;       /* slab: index of the owner */
    uint16_t slot_count; /* slab */
    uint16_t free_count; /* slab: bits set in `free` */
    union {
        uint64_t holes; /* slab: pages given back, one bit each */
        uint64_t dirty; /* free: granules */
    };
    uint64_t free[]; /* slab: one bit a slot, 1 = free */
};

/* Heaps give holes back; caches give their slots back first. */
enum { HG__TRIM_HOLES = 1, HG__TRIM_CACHES = 2 };

struct hg__bins {
    uint64_t mask[HG__BINS / 64];
    uint32_t first[HG__BINS];
};

struct hg__arena {
    uintptr_t base;   /* of granule 0 */
    size_t committed; /* granules; below it map and runs may be read. Atomic. */
    uint32_t *map;
    char *runs;
    size_t stride; /* bytes of a run record */
    uint8_t *shadow;
    unsigned shift;
    size_t map_step; /* granules mapped at a time where nothing is reserved, else 0 */
    bool os;         /* else a caller's region: all committed, never purged */

    struct hg__lock lock; /* guards all below, and map and runs of free and large runs */
    size_t granule_count;
    size_t frontier;
    size_t used;         /* granules */
    size_t dirty;        /* granules */
    size_t peak;         /* granules: most ever used */
    size_t dirty_low;    /* least `dirty` since over_ms; see purge_if_due */
    size_t retain_extra; /* granules kept dirty because lately missed */
    size_t missable;     /* granules purged lately that nobody missed yet */
    size_t grow_mark;    /* `used` above or ... */
    size_t drop_mark;    /* ... below which heaps are to be trimmed next; see count_use */
    uint8_t trim_due;    /* atomic; HG__TRIM_...: what the layers above should do next */
    bool draining;       /* atomic; half is gone, and nothing was taken since: see count_use */
    uint64_t over_ms;    /* when `dirty` came to be more than wanted; 0 while it is not */
    uint64_t purge_ms;   /* when something was last purged */
    uint64_t trim_ms;    /* when heaps were last to be trimmed */
    size_t large_count;
    size_t large_granules;
    uint64_t request_count;
    uint64_t fail_at; /* requests beyond this number fail; 0 = none */
    uint64_t purged_size;
    void *mapping;
    size_t mapping_size;
    struct hg__bins bins[2]; /* of free runs by length: clean, dirty */
#if HG_HARDENED
    uint32_t freed_large[HG__FREED_LARGE]; /* the last ones, where they began; see harden.h */
    unsigned freed_large_next;
#endif
};

static inline struct hg__run *hg__run(const struct hg__arena *a, size_t g) {
    return (struct hg__run *)(void *)(a->runs + g * a->stride);
}

static inline char *hg__address(const struct hg__arena *a, size_t g) {
    return (char *)(a->base + (g << a->shift));
}

/* Granule of an address; at least a->committed iff it is not ours. */
static inline size_t hg__granule(const struct hg__arena *a, const void *p) {
    return ((uintptr_t)p - a->base) >> a->shift;
}

static inline uint32_t hg__map_get(const struct hg__arena *a, size_t g) {
    return __atomic_load_n(&a->map[g], __ATOMIC_RELAXED);
}

/* Set before the block's address is published: the program's own hand-over orders the two. */
static inline void hg__map_set(struct hg__arena *a, size_t g, uint32_t entry) {
    __atomic_store_n(&a->map[g], entry, __ATOMIC_RELAXED);
}

static inline size_t hg__committed(const struct hg__arena *a) {
    return __atomic_load_n(&a->committed, __ATOMIC_RELAXED);
}

/* True iff granule `g` is below hg__committed(). */
static inline bool hg__is_committed(const struct hg__arena *a, size_t g) {
#if defined(__x86_64__) && defined(__LP64__)
    bool below; /* compilers load an atomic into a register first: one instruction of free's */
    __asm__("cmp %2, %1" : "=@ccb"(below) : "r"(g), "m"(a->committed));
    return below;
#else
    return g < hg__committed(a);
#endif
}

/* Bytes of a slab's bitmap never exceed a granule of 16-byte slots. */
static inline size_t hg__bitmap_words(unsigned shift) {
    return ((size_t)1 << shift) / HG__STEP / 64;
}

/* Opens an arena of up to `size` bytes of which nothing is reserved. False iff that cannot be done
 * here. It is never closed. */
bool hg__arena_open_unreserved(struct hg__arena *a, size_t size);
/* Reserves `size` bytes, or as nearly as is granted. `front` bytes before the metadata are
 * committed for the caller (its address: a->mapping). False iff nothing is to be had. */
bool hg__arena_open(struct hg__arena *a, size_t size, size_t front);
/* The same inside memory of the caller, no system call. False iff too small. */
bool hg__arena_open_region(struct hg__arena *a, char *memory, size_t size);
void hg__arena_close(struct hg__arena *a);

/* Takes a run of `length` granules beginning at a multiple of `align` bytes. Returns its first
 * granule, 0 iff there is none; *zeroed tells whether its bytes are known to be zero. */
size_t hg__arena_take(struct hg__arena *a, size_t length, size_t align, enum hg__run_kind kind,
                      bool *zeroed);
void hg__arena_give(struct hg__arena *a, size_t g);
/* Changes the length of a run in use where it stands. False iff its right neighbour is in the way;
 * shrinking always succeeds. */
bool hg__arena_resize(struct hg__arena *a, size_t g, size_t length);
/* Gives dirty runs back until at most `keep` dirty granules remain. Returns bytes. */
size_t hg__arena_purge(struct hg__arena *a, size_t keep);
/* Moves the pages of large run `from` to run `to`, where `from` is about to be given back. */
bool hg__arena_move(struct hg__arena *a, size_t from, size_t to, size_t size);
bool hg__arena_validate(struct hg__arena *a, struct hg__why *why);

#endif
