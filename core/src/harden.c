#include "harden.h"

#include <string.h>

#if HG_HARDENED
#define FILL_WORD (HG__FILL * (UINT64_MAX / 0xff))

static uint8_t *shadow_of(const struct hg__arena *a, const void *p) {
    return &a->shadow[((uintptr_t)p - a->base) / HG__STEP];
}

/* Bytes of small block `p` that are filled while it is free; 0 for a large one. */
static size_t fill_size(const struct hg__arena *a, const void *p) {
    uint32_t entry = hg__map_get(a, hg__granule(a, p));
    if (entry == HG__MAP_LARGE || entry == 0)
        return 0;
    size_t size = hg__class_size(hg__map_class(entry));
    return size < HG__FILL_MAX ? size : HG__FILL_MAX;
}

/* The word of the fill that was written to. */
static HG_COLD void die_written(const uint64_t *word) {
    while (*word == FILL_WORD)
        word++;
    hg__die("write after free to", word, "a freed block was written to before its reuse");
}

void hg__harden_alloc(struct hg__arena *a, void *p, unsigned class) {
    uint8_t *shadow = shadow_of(a, p);
    uint8_t before = __atomic_load_n(shadow, __ATOMIC_RELAXED);
    if (HG_UNLIKELY(before & HG__SHADOW_LIVE))
        hg__die("internal error: a live block is handed out again:", p, NULL);
    __atomic_store_n(shadow, HG__SHADOW_LIVE | class, __ATOMIC_RELAXED);
    if (before != HG__SHADOW_FREED)
        return;
    uint64_t difference = 0; /* without an early exit the compiler takes many words at once */
    for (size_t i = 0, count = fill_size(a, p) / 8; i < count; i += 2)
        difference |= (((uint64_t *)p)[i] ^ FILL_WORD) | (((uint64_t *)p)[i + 1] ^ FILL_WORD);
    if (HG_UNLIKELY(difference))
        die_written(p);
}

void hg__harden_free(struct hg__arena *a, void *p, unsigned class) {
    size_t g = hg__granule(a, p);
    if (g >= hg__committed(a) || g == 0)
        hg__die("invalid free of", p, "not memory of this allocator");
    if ((uintptr_t)p % HG__STEP != 0)
        hg__die("invalid free of", p, "not the start of a block");
    size_t fill = fill_size(a, p);
    uint8_t after = fill ? HG__SHADOW_FREED : HG__SHADOW_NONE;
    uint8_t *shadow = shadow_of(a, p);
    uint8_t before = __atomic_load_n(shadow, __ATOMIC_RELAXED);
    if (before & HG__SHADOW_LIVE && class != HG__ANY_CLASS && (before & 0x7f) != class)
        hg__die("wrong layout in free of", p, "the block was allocated with another size class");
    if (!(before & HG__SHADOW_LIVE)) {
        if (before == HG__SHADOW_FREED)
            hg__die("double free of", p, "the block is already free");
        hg__die("invalid free of", p, "no live block begins there");
    }
    /* No locked exchange: of two threads that free a block in the same instant both may pass here,
     * and the slot is then found twice when it is handed out or comes home to its slab. */
    __atomic_store_n(shadow, after, __ATOMIC_RELAXED);
    uint64_t *word = p;
    for (size_t i = 0; i < fill / 8; i += 2)
        word[i] = word[i + 1] = FILL_WORD;
}

void hg__harden_resize(struct hg__arena *a, void *p, unsigned class) {
    uint8_t *shadow = shadow_of(a, p);
    if ((uintptr_t)p % HG__STEP != 0 ||
        !(__atomic_load_n(shadow, __ATOMIC_RELAXED) & HG__SHADOW_LIVE))
        hg__die("invalid realloc of", p, "no live block begins there");
    __atomic_store_n(shadow, HG__SHADOW_LIVE | class, __ATOMIC_RELAXED);
}

void hg__harden_forget(struct hg__arena *a, const void *p, size_t size) {
    memset(shadow_of(a, p), HG__SHADOW_NONE, (size + HG__STEP - 1) / HG__STEP);
}
#else
/* ISO C wants a declaration in every file. */
typedef int hg__harden_plain;
#endif
