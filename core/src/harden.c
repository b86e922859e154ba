#include "harden.h"

#include <string.h>

#if HG_HARDENED
/* Bytes from `p`, which begins a slot or a large block, to the end of that; its class, 0 if large. */
static size_t extent_of(const struct hg__arena *a, const void *p, unsigned *class) {
    size_t g = hg__granule(a, p);
    uint32_t entry = hg__map_get(a, g);
    *class = entry == HG__MAP_LARGE ? 0 : hg__map_class(entry);
    return *class ? hg__class_size(*class) : (size_t)hg__run(a, g)->length << a->shift;
}

static uint8_t state_of(const struct hg__arena *a, const void *p) {
    return __atomic_load_n(hg__shadow_of(a, p), __ATOMIC_RELAXED);
}

static size_t slack_of(const struct hg__arena *a, const void *p) {
    const uint8_t *shadow = hg__shadow_of(a, p);
    size_t slack = (size_t)(state_of(a, p) - HG__SHADOW_LIVE);
    if (slack == HG__SLACK_FAR)
        slack = (size_t)shadow[1] | (size_t)shadow[2] << 7 | (size_t)shadow[3] << 14;
    return slack;
}

/* Far slack is found only in blocks of four shadow bytes and more; none of the three passes for a
 * state of a live block. */
static void set_live(const struct hg__arena *a, const void *p, size_t slack) {
    uint8_t *shadow = hg__shadow_of(a, p);
    for (unsigned i = 1; slack >= HG__SLACK_FAR && i <= 3; i++)
        shadow[i] = (uint8_t)(slack >> 7 * (i - 1) & 0x7f);
    size_t state = HG__SHADOW_LIVE | (slack < HG__SLACK_FAR ? slack : HG__SLACK_FAR);
    __atomic_store_n(shadow, (uint8_t)state, __ATOMIC_RELAXED);
}

/* The slack's first bytes and its last: what an overflow writes first, and where a stray index ends. */
static void slack_set(uint8_t *p, size_t extent, size_t slack) {
    if (slack) {
        memset(p + extent - slack, HG__FILL, slack < HG__STEP ? slack : HG__STEP);
        p[extent - 1] = HG__FILL;
    }
}

static void slack_check(const uint8_t *p, size_t extent, size_t slack) {
    const uint8_t *end = p + extent - slack;
    for (size_t i = 0; i < HG__STEP && i < slack; i++)
        if (HG_UNLIKELY(end[i] != HG__FILL))
            hg__die("overflow of the block at", p, "bytes behind its end were written");
    if (HG_UNLIKELY(slack && p[extent - 1] != HG__FILL))
        hg__die("overflow of the block at", p, "bytes behind its end were written");
}

/* Bytes filled at the beginning of a free block; of a longer one the last 16 are as well. */
static size_t head_of(size_t extent) {
    return extent < HG__FILL_HEAD ? extent : HG__FILL_HEAD;
}

static HG_COLD void die_written(const uint8_t *p) {
    while (*p == HG__FILL)
        p++;
    hg__die("write after free to", p, "a freed block was written to before its reuse");
}

void hg__harden_alloc_any(struct hg__arena *a, void *p, size_t size) {
    unsigned class;
    size_t extent = extent_of(a, p, &class), head = head_of(extent);
    uint8_t before = state_of(a, p), *tail = (uint8_t *)p + extent - HG__STEP;
    if (HG_UNLIKELY(before & HG__SHADOW_LIVE))
        hg__die("double free of", p, "two threads freed it at once: it is handed out again");
    if (before == HG__SHADOW_FREED) {
        if (HG_UNLIKELY(!hg__fill_is(p, head)))
            die_written(p);
        if (HG_UNLIKELY(!hg__fill_is(tail, HG__STEP)))
            die_written(tail);
    }
    set_live(a, p, extent - size);
    slack_set(p, extent, extent - size);
}

/* Aborts unless a live block begins at `p` and its slack is intact. */
static size_t check_live(const struct hg__arena *a, const void *p, const char *what,
                         const char *what_if_freed, unsigned *class) {
    size_t g = hg__granule(a, p);
    if (g >= hg__committed(a) || g == 0)
        hg__die(what, p, "not memory of this allocator");
    if ((uintptr_t)p % HG__STEP != 0)
        hg__die(what, p, "not the start of a block");
    uint8_t state = state_of(a, p);
    if (state == HG__SHADOW_FREED || state == HG__SHADOW_FREED_LARGE)
        hg__die(what_if_freed, p, "the block is already free");
    if (!(state & HG__SHADOW_LIVE))
        hg__die(what, p, "no live block begins there");
    size_t extent = extent_of(a, p, class), slack = slack_of(a, p);
    slack_check(p, extent, slack);
    return extent - slack;
}

void hg__harden_free_any(struct hg__arena *a, void *p, unsigned expected, size_t size) {
    unsigned class;
    size_t asked = check_live(a, p, "invalid free of", "double free of", &class);
    if (expected != HG__ANY_CLASS && (expected != class || asked != size))
        hg__die("wrong layout in free of", p, "the block was allocated with another layout");
    size_t extent = extent_of(a, p, &class);
    __atomic_store_n(hg__shadow_of(a, p), class ? HG__SHADOW_FREED : HG__SHADOW_FREED_LARGE,
                     __ATOMIC_RELAXED);
    if (class) {
        hg__fill_set(p, head_of(extent));
        hg__fill_set((uint8_t *)p + extent - HG__STEP, HG__STEP);
    } else { /* a slab there must not find states of its slots */
        memset(hg__shadow_of(a, p) + 1, HG__SHADOW_NONE, 3);
    }
}

size_t hg__harden_check(const struct hg__arena *a, const void *p, size_t size) {
    unsigned class;
    size_t asked = check_live(a, p, "invalid realloc of", "invalid realloc of", &class);
    if (size != SIZE_MAX && size != asked)
        hg__die("wrong layout in realloc of", p, "the block has another size");
    return asked;
}

size_t hg__harden_usable(const struct hg__arena *a, const void *p) {
    unsigned class;
    return (uintptr_t)p % HG__STEP == 0 && state_of(a, p) & HG__SHADOW_LIVE
               ? extent_of(a, p, &class) - slack_of(a, p)
               : 0;
}

void hg__harden_resize(struct hg__arena *a, void *p, size_t size) {
    unsigned class;
    size_t extent = extent_of(a, p, &class);
    set_live(a, p, extent - size);
    slack_set(p, extent, extent - size);
}

void hg__harden_forget(struct hg__arena *a, const void *p, size_t size) {
    memset(hg__shadow_of(a, p), HG__SHADOW_NONE, (size + HG__STEP - 1) / HG__STEP);
}
/* Large blocks' memory may have gone back to the system, and then reads as zero. */
static bool is_zero(const uint8_t *p, size_t size) {
    return *p == 0 && memcmp(p, p + 1, size - 1) == 0;
}

void hg__harden_give(struct hg__arena *a, size_t g) {
    a->freed_large[a->freed_large_next++ % HG__FREED_LARGE] = (uint32_t)g;
    hg__fill_set(hg__address(a, g), HG__FILL_HEAD);
}

void hg__harden_take(struct hg__arena *a, size_t g, size_t length) {
    for (unsigned i = 0; i < HG__FREED_LARGE; i++)
        if (a->freed_large[i] - g < length) {
            const uint8_t *p = (const uint8_t *)hg__address(a, a->freed_large[i]);
            a->freed_large[i] = 0;
            if (HG_UNLIKELY(!hg__fill_is(p, HG__FILL_HEAD) && !is_zero(p, HG__FILL_HEAD)))
                die_written(p);
        }
}
#else
/* ISO C wants a declaration in every file. */
typedef int hg__harden_plain;
#endif
