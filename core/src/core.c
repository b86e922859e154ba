/* The layout API: which layer serves a request, and the same for one instance among several. */
#include "heapgauge/core.h"

#include <errno.h>
#include <string.h>

#include "cache.h"
#include "os.h"

#if HG_OS
struct hg_core hg__main;
#endif

/* Without an operating system there is no process-wide instance. */
static inline bool is_main(const struct hg_core *core) {
    return HG_OS && core == &hg__main;
}

#define MOVE_SIZE_MIN  ((size_t)1 << 20)  /* from here moving page tables beats copying bytes */
#define PURGE_SIZE_MIN ((size_t)32 << 20) /* from here a block is hardly used whole at once */

/* The class that serves a layout, 0 iff it is large. */
static unsigned small_class(const struct hg_core *core, size_t size, size_t align) {
    size_t rounded = hg__round_up(hg__needed(size ? size : 1, align), align);
    if (rounded == 0 || rounded > hg__small_max(&core->arena) || align >> core->arena.shift > 1 ||
        (align >> core->arena.shift == 1 && rounded > align))
        return 0;
    return hg__class_of(rounded);
}

/* Whole granules of `size` bytes, at least 1. */
static size_t granules_of(const struct hg_core *core, size_t size) {
    size_t shift = core->arena.shift;
    return size ? ((size - 1) >> shift) + 1 : 1;
}

static void *large_alloc(struct hg_core *core, size_t size, size_t align, bool *zeroed) {
    struct hg__arena *a = &core->arena;
    size_t length = granules_of(core, size);
    size_t g = hg__arena_take(a, length, align, HG__LARGE, zeroed);
    if (!g)
        return NULL;
    return hg__harden_alloc_any(a, hg__address(a, g), size);
}

/* The same after emptying caches and slabs that nobody uses. */
static void *large_alloc_or_trim(struct hg_core *core, size_t size, size_t align, bool *zeroed) {
    void *p = large_alloc(core, size, align, zeroed);
    if (!p && size <= core->arena.granule_count << core->arena.shift) {
        if (is_main(core))
            hg__cache_flush();
        hg__core_trim(core, SIZE_MAX);
        p = large_alloc(core, size, align, zeroed);
    }
    return p;
}

/* No memory for another slab: a free slot of a larger class, as well aligned. NULL iff there is none.
 * It is freed as one of the smaller class, and goes home by its map entry all the same. */
static void *borrow(struct hg_core *core, unsigned class) {
    size_t align = hg__natural_align(hg__class_size(class));
    void *p = NULL;
    while (!HG_HARDENED && !p && ++class < HG_CLASS_COUNT)
        if (hg__natural_align(hg__class_size(class)) >= align &&
            core->own_heap.classes[class].partial)
            p = hg__heap_take(core->heaps, class, &p, 1, true) ? p : NULL;
    return p;
}

static void *alloc(struct hg_core *core, size_t size, size_t align, bool *zeroed) {
    hg_layout layout = {size, align};
    *zeroed = false;
    if (!hg_layout_is_valid(layout) || (is_main(core) && !hg__cache_start()))
        return NULL;
    if (align < core->min_align)
        align = core->min_align;
    unsigned class = small_class(core, size, align);
    if (class == 0)
        return large_alloc_or_trim(core, size, align, zeroed);
    void *p;
    if (is_main(core)) {
        if (!(p = hg__cache_pop(class)))
            p = hg__cache_refill(class);
    } else if (hg__heap_take(core->heaps, class, &p, 1, true) == 0) {
        hg__core_trim(core, SIZE_MAX);
        if (hg__heap_take(core->heaps, class, &p, 1, true) == 0)
            p = borrow(core, class);
    }
    return p ? hg__harden_alloc_any(&core->arena, p, size) : NULL;
}

static void *alloc_zeroed(struct hg_core *core, size_t size, size_t align) {
    bool zeroed;
    char *p = alloc(core, size, align, &zeroed);
    if (!p || zeroed)
        return p;
    /* A page dropped and faulted in again costs about three times a fill, but those never touched
     * stay away. */
    size_t whole = size >= PURGE_SIZE_MIN && core->arena.os ? size & ~(PURGE_SIZE_MIN - 1) : 0;
    if (whole && !hg__os_purge(p, whole))
        whole = 0;
    memset(p + whole, 0, size - whole);
    return p;
}

/* Frees small block `p` cached or kept as `class`. */
static void free_small(struct hg_core *core, void *p, unsigned class) {
    if (!is_main(core))
        hg__heap_put(core->heaps, &p, 1, class);
    else if (!hg__cache_push(hg__thread, class, p))
        hg__cache_overflow(class, p);
}

static void free_by_map(struct hg_core *core, void *p) {
    struct hg__arena *a = &core->arena;
    size_t g = hg__granule(a, p);
    if (g >= hg__committed(a)) /* not ours: perhaps of another heap in the process, so let it be */
        return;
    uint32_t entry = hg__map_get(a, g);
    unsigned class = hg__map_class(entry);
    if (entry == HG__MAP_LARGE && p == hg__address(a, g)) {
        hg__arena_give(a, g);
    } else if (class > 0 && class < HG_CLASS_COUNT) {
        bool remote =
            is_main(core) && (entry & hg__thread->foreign) != class << HG__MAP_CLASS_SHIFT;
        free_small(core, p, remote ? HG__OUTBOX : class);
    } else {
        hg__die("invalid free of", p, "not the start of a block");
    }
}

static void free_by_layout(struct hg_core *core, void *p, size_t size, size_t align) {
    if (align < core->min_align)
        align = core->min_align;
    unsigned class = small_class(core, size, align);
    hg__harden_free_any(&core->arena, p, class, size);
    if (class == 0)
        free_by_map(core, p);
    else
        free_small(core, p, class);
}

static size_t usable_size(const struct hg_core *core, const void *p) {
    const struct hg__arena *a = &core->arena;
    size_t g = hg__granule(a, p);
    if (g >= hg__committed(a))
        return 0;
    if (HG_HARDENED)
        return hg__harden_usable(a, p);
    uint32_t entry = hg__map_get(a, g);
    if (entry == HG__MAP_LARGE)
        return (size_t)hg__run(a, g)->length << a->shift;
    return hg__map_class(entry) < HG_CLASS_COUNT ? hg__class_size(hg__map_class(entry)) : 0;
}

/* May a slot of class `has` stay where it is as one of class `wants`? A sized free will later put
 * it among the slots of `wants`, so it must be as well aligned as these; and not twice as large. */
static bool may_stay(unsigned has, unsigned wants) {
    size_t size = hg__class_size(has), wanted = hg__class_size(wants);
    return has == wants || (!HG_HARDENED && has > wants && size / 2 <= wanted &&
                            hg__natural_align(size) >= hg__natural_align(wanted));
}

/* Moves a large block to a new run. */
static void *large_move(struct hg_core *core, void *p, size_t keep, size_t align, size_t size) {
    bool zeroed;
    struct hg__arena *a = &core->arena;
    char *to = large_alloc_or_trim(core, size, align, &zeroed);
    if (!to)
        return NULL;
    size_t from_g = hg__granule(a, p), to_g = hg__granule(a, to);
    size_t whole = keep & ~((size_t)HG__PAGE * 16 - 1); /* pages of any system up to 64 KiB */
    if (keep < MOVE_SIZE_MIN || !hg__arena_move(a, from_g, to_g, whole))
        whole = 0;
    memcpy(to + whole, (char *)p + whole, keep - whole);
    hg__harden_free_any(a, p, HG__ANY_CLASS, 0);
    hg__arena_give(a, from_g);
    return to;
}

static void *resize(struct hg_core *core, void *p, size_t old_size, size_t align, size_t size) {
    struct hg__arena *a = &core->arena;
    hg_layout layout = {size, align};
    if (!hg_layout_is_valid(layout))
        return NULL;
    if (align < core->min_align)
        align = core->min_align;
    size_t usable = usable_size(core, p), g = hg__granule(a, p);
    if (usable == 0 && !HG_HARDENED)
        hg__die("invalid realloc of", p, "not a block of this allocator");
    size_t keep = old_size < usable ? old_size : usable;
    keep = keep < size ? keep : size;
    unsigned class = small_class(core, size, align);
    bool large = hg__map_get(a, g) == HG__MAP_LARGE;
    if (large && class == 0) {
        size_t length = granules_of(core, size);
        if (length == hg__run(a, g)->length || hg__arena_resize(a, g, length)) {
            hg__harden_resize(a, p, size);
            return p;
        }
        return large_move(core, p, keep, align, size);
    }
    if (!large && class && may_stay(hg__map_class(hg__map_get(a, g)), class)) {
        hg__harden_resize(a, p, size);
        return p;
    }
    bool zeroed;
    void *to = is_main(core) ? hg__alloc(size, align) : alloc(core, size, align, &zeroed);
    if (!to)
        return NULL;
    memcpy(to, p, keep);
    if (is_main(core)) {
        hg__free(p);
    } else {
        hg__harden_free_any(a, p, HG__ANY_CLASS, 0);
        free_by_map(core, p);
    }
    return to;
}

size_t hg__core_trim(struct hg_core *core, size_t keep) {
    size_t size = 0;
    for (unsigned i = 0; i < core->heap_count; i++)
        size += hg__heap_trim(&core->heaps[i], true);
    return keep == SIZE_MAX ? size : size + hg__arena_purge(&core->arena, keep);
}

/* ---- the process-wide instance ---- */

#if HG_OS

void *hg__alloc_slow(size_t size, size_t align) {
    bool zeroed;
    if (hg__needed(size, align) - 1 < HG__SMALL_MAX &&
        align <= HG__STEP) { /* a second fast path, for the other classes */
        void *p = hg__cache_pop(hg__class_of(hg__needed(size, align)));
        if (HG_LIKELY(p != NULL))
            return hg__harden_alloc_any(&hg__main.arena, p, size);
    }
    return alloc(&hg__main, size, align, &zeroed);
}

void *hg__alloc_zeroed(size_t size, size_t align) {
    if (size > HG__FAST_MAX)
        return alloc_zeroed(&hg__main, size, align);
    void *p = hg__alloc(size, align);
    return p ? memset(p, 0, size) : p;
}

void hg__free_slow(void *p) {
    int saved = errno;
    if (p)
        free_by_map(&hg__main, p);
    errno = saved;
}

#if HG_HARDENED
void hg__free_unsure(void *p, unsigned expected, size_t size) {
    if (p)
        hg__harden_free_any(&hg__main.arena, p, expected, size);
    hg__free_slow(p);
}
#endif

void hg__free_sized_slow(void *p, size_t size, size_t align) {
    int saved = errno;
    if (p)
        free_by_layout(&hg__main, p, size, align);
    errno = saved;
}

/* From one small class to another goes straight through the cache. */
static void *resize_small(void *p, unsigned has, size_t keep, size_t new_size) {
    unsigned wants = hg__class_of(hg__needed(new_size, 1));
    if (may_stay(has, wants)) {
        hg__harden_resize(&hg__main.arena, p, new_size);
        return p;
    }
    void *to = hg__alloc(new_size, 1);
    if (HG_LIKELY(to != NULL)) {
        memcpy(to, p, keep < new_size ? keep : new_size);
        hg__free(p);
    }
    return to;
}

void *hg__realloc(void *p, size_t old_size, size_t align, size_t new_size) {
    size_t g = hg__granule(&hg__main.arena, p);
    old_size = hg__harden_check(&hg__main.arena, p, old_size);
    if (g < hg__committed(&hg__main.arena) && align <= HG__STEP &&
        hg__needed(new_size, 1) - 1 < HG__SMALL_MAX) {
        unsigned has = hg__map_class(hg__map_get(&hg__main.arena, g));
        size_t usable = has < HG_CLASS_COUNT ? hg__class_size(has) : 0;
        if (usable)
            return resize_small(p, has, old_size < usable ? old_size : usable, new_size);
    }
    return resize(&hg__main, p, old_size, align, new_size);
}

void *hg_alloc(hg_layout layout) {
    return hg__alloc(layout.size, layout.align);
}

void *hg_alloc_zeroed(hg_layout layout) {
    return hg__alloc_zeroed(layout.size, layout.align);
}

void hg_dealloc(void *block, hg_layout layout) {
    hg__free_sized(block, layout.size, layout.align);
}

void *hg_realloc(void *block, hg_layout old, size_t new_size) {
    if (!block)
        return hg__alloc(new_size, old.align);
    return hg__realloc(block, old.size, old.align, new_size);
}

size_t hg_usable_size(const void *block) {
    return block ? usable_size(&hg__main, block) : 0;
}

size_t hg_purge(void) {
    hg__cache_flush();
    return hg_core_purge(&hg__main);
}

void hg_stats_get(struct hg_stats *out) {
    hg_core_stats_get(&hg__main, out);
}

bool hg_validate(char *why, size_t why_size) {
    return hg_core_validate(&hg__main, why, why_size);
}

void hg_fail_page_request(uint64_t nth) {
    hg_core_fail_page_request(&hg__main, nth);
}

/* Exported by the preloadable libraries too: a loader asks which version it holds. */
__attribute__((visibility("default"))) const char *hg_core_version(void) {
    return HG_VERSION;
}

#endif

/* ---- one instance among several ---- */

static bool config_is_valid(const struct hg_core_config *config) {
    size_t align = config->min_align;
    return align == 0 || (align >= 8 && align <= 128 && (align & (align - 1)) == 0);
}

static hg_core *set_up(hg_core *core, const struct hg__arena *arena,
                       const struct hg_core_config *config) {
    memset(core, 0, sizeof *core);
    core->arena = *arena;
    core->arena.fail_at = config->fail_page_request;
    core->min_align = config->min_align ? config->min_align : HG__STEP;
    hg__geometry_init(core->geometry, core->arena.shift);
    core->heaps = &core->own_heap;
    core->heap_count = 1;
    core->own_heap.arena = &core->arena;
    core->own_heap.geometry = core->geometry;
    return core;
}

#if HG_OS
hg_core *hg_core_create(const struct hg_core_config *config) {
    static const struct hg_core_config defaults;
    struct hg__arena arena = {0};
    config = config ? config : &defaults;
    size_t size = config->reserve_size ? config->reserve_size : hg__os_reserve_hint();
    if (!config_is_valid(config) || !hg__arena_open(&arena, size, sizeof(hg_core)))
        return NULL;
    return set_up(arena.mapping, &arena, config);
}
#endif

hg_core *hg_core_over_region(void *mem, size_t size, const struct hg_core_config *config) {
    static const struct hg_core_config defaults;
    struct hg__arena arena = {0};
    config = config ? config : &defaults;
    size_t front = hg__round_up((uintptr_t)mem, _Alignof(hg_core)) - (uintptr_t)mem;
    if (!mem || !config_is_valid(config) || size < front + sizeof(hg_core))
        return NULL;
    char *core = (char *)mem + front;
    if (!hg__arena_open_region(&arena, core + sizeof(hg_core), size - front - sizeof(hg_core)))
        return NULL;
    return set_up((hg_core *)(void *)core, &arena, config);
}

void hg_core_destroy(hg_core *core) {
    if (core) {
        struct hg__arena arena = core->arena; /* the record lies in what is released */
        hg__arena_close(&arena);
    }
}

void *hg_core_alloc(hg_core *core, hg_layout layout) {
    bool zeroed;
    return alloc(core, layout.size, layout.align, &zeroed);
}

void *hg_core_alloc_zeroed(hg_core *core, hg_layout layout) {
    return alloc_zeroed(core, layout.size, layout.align);
}

void hg_core_dealloc(hg_core *core, void *block, hg_layout layout) {
    if (block)
        free_by_layout(core, block, layout.size, layout.align);
}

void *hg_core_realloc(hg_core *core, void *block, hg_layout old, size_t new_size) {
    if (!block)
        return hg_core_alloc(core, (hg_layout){new_size, old.align});
    old.size = hg__harden_check(&core->arena, block, old.size);
    return resize(core, block, old.size, old.align, new_size);
}

size_t hg_core_usable_size(hg_core *core, const void *block) {
    return block ? usable_size(core, block) : 0;
}

size_t hg_core_purge(hg_core *core) {
    return hg__core_trim(core, 0);
}

void hg_core_stats_get(hg_core *core, struct hg_stats *out) {
    struct hg__arena *a = &core->arena;
    size_t cached[HG_CLASS_COUNT] = {0};
    memset(out, 0, sizeof *out);
    if (is_main(core))
        out->cached_size = hg__cache_count(cached);
    for (unsigned i = 0; i < core->heap_count; i++) {
        struct hg__heap *heap = &core->heaps[i];
        hg__lock(&heap->lock);
        for (unsigned class = 1; class < HG_CLASS_COUNT; class ++) {
            const struct hg__heap_class *of = &heap->classes[class];
            size_t slots = of->slab_count * (size_t)core->geometry[class].slot_count;
            out->classes[class].slot_count += slots;
            out->classes[class].live_count += slots - of->free_count;
        }
        hg__unlock(&heap->lock);
    }
    for (unsigned class = 1; class < HG_CLASS_COUNT; class ++) {
        struct hg_class_stats *of = &out->classes[class];
        of->slot_size = hg__class_size(class);
        of->live_count -= cached[class] < of->live_count ? cached[class] : of->live_count;
        out->live_size += of->live_count * of->slot_size;
    }
    hg__lock(&a->lock);
    out->reserved_size = a->granule_count << a->shift;
    out->committed_size = a->committed << a->shift;
    out->used_size = a->used << a->shift;
    out->dirty_size = a->dirty << a->shift;
    out->large_size = a->large_granules << a->shift;
    out->large_count = a->large_count;
    out->request_count = a->request_count;
    out->purged_size = a->purged_size;
    hg__unlock(&a->lock);
    out->live_size += out->large_size;
}

bool hg_core_validate(hg_core *core, char *why, size_t why_size) {
    struct hg__why into = {why, why_size};
    if (why_size)
        *why = 0;
    if (core->arena.granule_count == 0) /* nothing was ever allocated */
        return true;
    bool ok = hg__arena_validate(&core->arena, &into);
    for (unsigned i = 0; ok && i < core->heap_count; i++)
        ok = hg__heap_validate(&core->heaps[i], &into);
    return ok && (!is_main(core) || hg__cache_validate(&into));
}

void hg_core_fail_page_request(hg_core *core, uint64_t nth) {
    hg__lock(&core->arena.lock);
    core->arena.fail_at = nth ? core->arena.request_count + nth : 0;
    hg__unlock(&core->arena.lock);
}
