/* The hardened build (HG_HARDENED=1). In the plain build everything here compiles to nothing.
 *
 * One shadow byte for every 16 bytes of region says what begins there: nothing, a freed block, or a
 * live block and how much longer than asked for its memory is (the slack). So double frees, invalid
 * frees and frees with another layout are caught exactly, across threads too. Memory that is free
 * holds a fill, and so does the slack of a live block:
 *
 *   live               | ...... size ...... | df .. |    checked when it is freed, resized or moved
 *   free, in a cache   | 64 df |  ...       | 16 df |    checked when the slot is handed out again
 *   free, in its slab  | 64 df | df .. df   | 16 df |    the rest up to 1 KiB when it leaves the slab
 *
 * A small block of usual alignment has at least one byte of slack, so an overflow by one is seen. */
#ifndef HG__HARDEN_H
#define HG__HARDEN_H

#include "arena.h"

enum {
    HG__SHADOW_NONE = 0x00, /* nothing began here since the memory became a slab or run */
    HG__SHADOW_FREED_LARGE = 0x7d,
    HG__SHADOW_HOME = 0x7e,  /* as FREED, and back in its slab: filled up to HG__FILL_MOST */
    HG__SHADOW_FREED = 0x7f, /* a small block, its fill is in place */
    HG__SHADOW_LIVE = 0x80,  /* | slack below HG__SLACK_FAR */
    HG__SLACK_FAR = 0x40, /* the slack, that or more, is in the three bytes behind: 7 bits each */
    HG__ANY_CLASS = UINT8_MAX, /* the caller of free does not say the layout */
    HG__FILL = 0xdf,
    HG__FILL_HEAD = 64,   /* bytes filled at a free block's beginning; besides the last 16, ... */
    HG__FILL_LARGE = 256, /* bytes filled at the beginning of a freed large block */
    HG__FILL_MOST = 1024, /* ... and all below this while the slot is in its slab */
};

#if HG_HARDENED
#define HG__FILL_WORD (HG__FILL * (UINT64_MAX / 0xff))
typedef uint64_t hg__fill __attribute__((vector_size(16), may_alias));

static inline uint8_t *hg__shadow_of(const struct hg__arena *a, const void *p) {
    return &a->shadow[((uintptr_t)p - a->base) / HG__STEP];
}

/* What is filled of a slot in a cache: HG__FILL_HEAD bytes at its beginning, 16 at its end. The second
 * to fourth 16 bytes of the head begin at these offsets, by class; of a small slot some coincide. A
 * branch on the size would often be mispredicted. */
struct hg__fill_offsets {
    uint32_t at[3];
} __attribute__((aligned(1 << HG__MAP_CLASS_SHIFT)));
extern HG_HIDDEN const struct hg__fill_offsets hg__fill_offsets[HG_CLASS_COUNT];

static inline hg__fill *hg__fill_at(const void *p, size_t offset) {
    return (hg__fill *)(void *)((char *)(uintptr_t)p + offset);
}

/* `bin`: the offset of the bin of the slot's class, as in a map entry, and here of its line too. */
static inline const uint32_t *hg__fill_offsets_of(size_t bin) {
    return (const uint32_t *)(const void *)((const char *)hg__fill_offsets + bin);
}

static inline void hg__fill_set(void *p, size_t bin, size_t size) {
    const uint32_t *at = hg__fill_offsets_of(bin);
    *hg__fill_at(p, 0) = *hg__fill_at(p, at[0]) = *hg__fill_at(p, at[1]) = *hg__fill_at(p, at[2]) =
        *hg__fill_at(p, size - HG__STEP) = (hg__fill){HG__FILL_WORD, HG__FILL_WORD};
}

static inline bool hg__fill_is(const void *p, size_t bin, size_t size) {
    const uint32_t *at = hg__fill_offsets_of(bin);
    hg__fill fill = {HG__FILL_WORD, HG__FILL_WORD};
    hg__fill difference = (*hg__fill_at(p, 0) ^ fill) | (*hg__fill_at(p, at[0]) ^ fill) |
                          (*hg__fill_at(p, at[1]) ^ fill) | (*hg__fill_at(p, at[2]) ^ fill) |
                          (*hg__fill_at(p, size - HG__STEP) ^ fill);
    return (difference[0] | difference[1]) == 0;
}

/* A block is handed out for `size` bytes: checks what was free and marks it live. Returns `p`. */
HG_NOINLINE void *hg__harden_alloc_any(struct hg__arena *a, void *p, size_t size);
/* Of any pointer: aborts unless a live block begins there, of that class (0: large) and size if given,
 * and its slack is intact; marks it freed. */
HG_NOINLINE void hg__harden_free_any(struct hg__arena *a, void *p, unsigned expected, size_t size);
/* The size a live block was asked with; aborts if none begins there, its slack is not intact, or the
 * caller knows another `size` (SIZE_MAX: none). In the plain build `size`. */
size_t hg__harden_check(const struct hg__arena *a, const void *p, size_t size);
/* The same of memory of this arena; 0 if no live block begins there. */
size_t hg__harden_usable(const struct hg__arena *a, const void *p);
/* A live block changes its size where it stands. */
void hg__harden_resize(struct hg__arena *a, void *p, size_t size);
/* A slab's memory goes back to the arena, or to the system. */
void hg__harden_forget(struct hg__arena *a, const void *p, size_t size);
/* A free slot of `size` bytes comes home to its slab, or leaves it for a cache. */
void hg__harden_home(struct hg__arena *a, void *p, size_t size);
void hg__harden_leave(struct hg__arena *a, void *p, size_t size);
/* A large block goes back to the arena: its head is filled, and checked when any of it is taken again,
 * unless HG__FREED_LARGE others were freed meanwhile. Both under the arena's lock. */
void hg__harden_give(struct hg__arena *a, size_t g);
void hg__harden_take(struct hg__arena *a, size_t g, size_t length);

/* The slack of a live block. One of HG__SLACK_FAR or more has four shadow bytes and more; none of the
 * three behind passes for the state of a live block. */
static inline size_t hg__slack_get(const uint8_t *shadow) {
    size_t slack = (size_t)__atomic_load_n(shadow, __ATOMIC_RELAXED) - HG__SHADOW_LIVE;
    if (slack == HG__SLACK_FAR)
        slack = (size_t)shadow[1] | (size_t)shadow[2] << 7 | (size_t)shadow[3] << 14;
    return slack;
}

static inline void hg__slack_set(uint8_t *shadow, size_t slack) {
    if (slack >= HG__SLACK_FAR) {
        shadow[1] = slack & 0x7f;
        shadow[2] = slack >> 7 & 0x7f;
        shadow[3] = slack >> 14 & 0x7f;
        slack = HG__SLACK_FAR;
    }
    __atomic_store_n(shadow, (uint8_t)(HG__SHADOW_LIVE | slack), __ATOMIC_RELAXED);
}

/* Makes the block at `p` live. Of its slack the first byte is what an overflow writes first, the last
 * what many a stray index does. */
static inline void hg__set_live(uint8_t *shadow, uint8_t *p, size_t extent, size_t size) {
    hg__slack_set(shadow, extent - size);
    if (HG_LIKELY(extent != size))
        p[size] = p[extent - 1] = HG__FILL;
}

/* hg__harden_alloc_any, quickly for a slot of the class of `bin`, of `extent` bytes. Returns `p`. */
static inline void *hg__harden_alloc(struct hg__arena *a, void *p, size_t bin, size_t extent,
                                     size_t size) {
    uint8_t *shadow = hg__shadow_of(a, p);
    if (HG_UNLIKELY(__atomic_load_n(shadow, __ATOMIC_RELAXED) != HG__SHADOW_FREED ||
                    !hg__fill_is(p, bin, extent)))
        return hg__harden_alloc_any(a, p, size);
    hg__set_live(shadow, p, extent, size);
    return p;
}

/* hg__harden_free_any, quickly for a slot of `bin` and `extent` bytes that the map tells. False iff
 * that one has to look. */
static inline bool hg__harden_free(struct hg__arena *a, void *p, size_t bin, size_t extent,
                                   unsigned expected, size_t size) {
    uint8_t *shadow = hg__shadow_of(a, p);
    size_t slack = hg__slack_get(shadow);
    const uint8_t *end = (uint8_t *)p + extent;
    /* No locked exchange: of two threads that free a block in the same instant both may pass here,
     * and the slot is found twice when it is handed out or comes home to its slab. */
    if (HG_UNLIKELY(slack - 1 >= extent || (uintptr_t)p % HG__STEP != 0 || end[-1] != HG__FILL ||
                    end[-slack] != HG__FILL ||
                    (expected != HG__ANY_CLASS &&
                     (expected != bin >> HG__MAP_CLASS_SHIFT || size != extent - slack))))
        return false;
    __atomic_store_n(shadow, HG__SHADOW_FREED, __ATOMIC_RELAXED);
    hg__fill_set(p, bin, extent);
    return true;
}
#else
#define hg__harden_alloc(a, p, bin, extent, size)          ((void)(extent), (void)(size), (p))
#define hg__harden_alloc_any(a, p, size)                   ((void)(size), (p))
#define hg__harden_free(a, p, bin, extent, expected, size) ((void)(expected), (void)(size), true)
#define hg__harden_free_any(a, p, expected, size)          ((void)(expected), (void)(size))
#define hg__harden_check(a, p, size)                       (size)
#define hg__harden_usable(a, p)                            ((size_t)0)
#define hg__harden_resize(a, p, size)                      ((void)(size))
#define hg__harden_forget(a, p, size)                      ((void)(size))
#define hg__harden_home(a, p, size)                        ((void)(size))
#define hg__harden_leave(a, p, size)                       ((void)(size))
#define hg__harden_give(a, g)                              ((void)0)
#define hg__harden_take(a, g, length)                      ((void)0)
#endif
#endif
