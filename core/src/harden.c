#include "harden.h"

#include <string.h>

#if HG_HARDENED
const struct hg__fill_offsets hg__fill_offsets[HG_CLASS_COUNT] = {
    [1] = {{0, 0, 0}},
    [2] = {{16, 16, 16}},
    [3] = {{16, 32, 32}},
    [4 ... HG_CLASS_COUNT - 1] = {{16, 32, 48}},
};

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

static void slack_check(const uint8_t *p, size_t extent, size_t slack) {
    if (HG_UNLIKELY(slack && (p[extent - slack] != HG__FILL || p[extent - 1] != HG__FILL)))
        hg__die("overflow of the block at", p, "bytes behind its end were written");
}

/* Dies at the first byte from `p` to `end` that is not the fill; else returns. */
static HG_COLD void die_written(const void *p, const void *end) {
    for (const uint8_t *at = p; at < (const uint8_t *)end; at++)
        if (*at != HG__FILL)
            hg__die("write after free to", at, "a freed block was written to before its reuse");
}

void *hg__harden_alloc_any(struct hg__arena *a, void *p, size_t size) {
    unsigned class;
    size_t extent = extent_of(a, p, &class);
    uint8_t before = state_of(a, p);
    if (HG_UNLIKELY(before & HG__SHADOW_LIVE))
        hg__die("double free of", p, "two threads freed it at once: it is handed out again");
    if (before == HG__SHADOW_FREED &&
        HG_UNLIKELY(!hg__fill_is(p, (size_t) class << HG__MAP_CLASS_SHIFT, extent))) {
        const char *end = (const char *)p + extent;
        die_written(p, extent < HG__FILL_HEAD ? end : (const char *)p + HG__FILL_HEAD);
        die_written(end - HG__STEP, end);
    }
    hg__set_live(hg__shadow_of(a, p), p, extent, size);
    return p;
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
    if (state >= HG__SHADOW_FREED_LARGE && state <= HG__SHADOW_FREED)
        hg__die(what_if_freed, p, "the block is already free");
    if (!(state & HG__SHADOW_LIVE))
        hg__die(what, p, "no live block begins there");
    size_t extent = extent_of(a, p, class), slack = hg__slack_get(hg__shadow_of(a, p));
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
    if (class)
        hg__fill_set(p, (size_t) class << HG__MAP_CLASS_SHIFT, extent);
    else /* a slab there must not find states of its slots */
        memset(hg__shadow_of(a, p) + 1, HG__SHADOW_NONE, 3);
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
               ? extent_of(a, p, &class) - hg__slack_get(hg__shadow_of(a, p))
               : 0;
}

void hg__harden_resize(struct hg__arena *a, void *p, size_t size) {
    unsigned class;
    size_t extent = extent_of(a, p, &class);
    hg__set_live(hg__shadow_of(a, p), p, extent, size);
}

void hg__harden_forget(struct hg__arena *a, const void *p, size_t size) {
    memset(hg__shadow_of(a, p), HG__SHADOW_NONE, (size + HG__STEP - 1) / HG__STEP);
}

/* The end of what is filled of a slot while it is in its slab; its own last 16 bytes are besides. */
static const hg__fill *middle_end(const void *p, size_t size) {
    size_t end =
        size - HG__STEP < HG__FILL_MOST - HG__STEP ? size - HG__STEP : HG__FILL_MOST - HG__STEP;
    return (const hg__fill *)(const void *)((const char *)p + end);
}

void hg__harden_home(struct hg__arena *a, void *p, size_t size) {
    if (state_of(a, p) != HG__SHADOW_FREED)
        return;
    const hg__fill *end = middle_end(p, size);
    for (hg__fill *at = (hg__fill *)p + HG__FILL_HEAD / HG__STEP; at < end; at++)
        *at = (hg__fill){HG__FILL_WORD, HG__FILL_WORD};
    __atomic_store_n(hg__shadow_of(a, p), HG__SHADOW_HOME, __ATOMIC_RELAXED);
}

void hg__harden_leave(struct hg__arena *a, void *p, size_t size) {
    if (state_of(a, p) != HG__SHADOW_HOME)
        return;
    const hg__fill *end = middle_end(p, size);
    hg__fill difference = {0};
    for (const hg__fill *at = (hg__fill *)p + HG__FILL_HEAD / HG__STEP; at < end; at++)
        difference |= *at ^ (hg__fill) { HG__FILL_WORD, HG__FILL_WORD };
    if (HG_UNLIKELY(difference[0] | difference[1]))
        die_written((const char *)p + HG__FILL_HEAD, end);
    __atomic_store_n(hg__shadow_of(a, p), HG__SHADOW_FREED, __ATOMIC_RELAXED);
}

/* Large blocks' memory may have gone back to the system, and then reads as zero. */
static bool is_zero(const uint8_t *p, size_t size) {
    return *p == 0 && memcmp(p, p + 1, size - 1) == 0;
}

void hg__harden_give(struct hg__arena *a, size_t g) {
    a->freed_large[a->freed_large_next++ % HG__FREED_LARGE] = (uint32_t)g;
    memset(hg__address(a, g), HG__FILL, HG__FILL_LARGE);
}

void hg__harden_take(struct hg__arena *a, size_t g, size_t length) {
    for (unsigned i = 0; i < HG__FREED_LARGE; i++)
        if (a->freed_large[i] - g < length) {
            const uint8_t *p = (const uint8_t *)hg__address(a, a->freed_large[i]);
            a->freed_large[i] = 0;
            if (!is_zero(p, HG__FILL_LARGE))
                die_written(p, p + HG__FILL_LARGE);
        }
}
#else
/* ISO C wants a declaration in every file. */
typedef int hg__harden_plain;
#endif
