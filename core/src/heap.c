#include "heap.h"

#include <string.h>

#include "harden.h"
#include "os.h"

enum { PICK_MAX = 4, DRAINED_MIN = 8, NEIGHBOURS_MIN = 8 };

void hg__geometry_init(struct hg__geometry table[HG_CLASS_COUNT], unsigned granule_shift) {
    for (unsigned class = 1; class < HG_CLASS_COUNT; class ++) {
        size_t size = hg__class_size(class), length, best = 1, best_waste = SIZE_MAX;
        /* The shortest slab of at least 4 slots that loses at most 1/16, else the least lossy. */
        for (length = 1; length <= 16; length++) {
            size_t bytes = length << granule_shift, waste = bytes % size * 4096 / bytes;
            if (bytes / size < 4)
                continue;
            if (waste < best_waste) {
                best_waste = waste;
                best = length;
            }
            if (waste <= 4096 / 16)
                break;
        }
        table[class].size = (uint32_t)size;
        table[class].inverse = ((uint64_t)1 << 40) / size + 1;
        table[class].length = (uint16_t)best;
        table[class].slot_count = (uint16_t)((best << granule_shift) / size);
    }
}

static size_t slot_of(const struct hg__geometry *geo, size_t offset) {
    return (size_t)((uint64_t)offset * geo->inverse >> 40);
}

static void link_partial(struct hg__heap *heap, size_t g) {
    struct hg__run *slab = hg__run(heap->arena, g);
    uint32_t *first = &heap->classes[slab->class].partial;
    slab->prev = 0;
    slab->next = *first;
    if (slab->next)
        hg__run(heap->arena, slab->next)->prev = (uint32_t)g;
    *first = (uint32_t)g;
}

static void unlink_partial(struct hg__heap *heap, size_t g) {
    struct hg__run *slab = hg__run(heap->arena, g);
    if (slab->next)
        hg__run(heap->arena, slab->next)->prev = slab->prev;
    if (slab->prev)
        hg__run(heap->arena, slab->prev)->next = slab->next;
    else
        heap->classes[slab->class].partial = slab->next;
}

static void add_free(struct hg__heap_class *of, size_t count) {
    __atomic_store_n(&of->free_count, of->free_count + count, __ATOMIC_RELAXED);
}

/* A new slab of `class`, all free, first in its list. Returns 0 iff there is no memory. */
static size_t slab_make(struct hg__heap *heap, unsigned class) {
    const struct hg__geometry *geo = &heap->geometry[class];
    struct hg__arena *a = heap->arena;
    bool zeroed;
    size_t g = hg__arena_take(a, geo->length, 1, HG__SLAB, &zeroed);
    if (!g)
        return 0;
    struct hg__run *slab = hg__run(a, g);
    slab->class = (uint8_t) class;
    slab->heap = (uint16_t)heap->index;
    slab->slot_count = slab->free_count = geo->slot_count;
    slab->holes = zeroed ? ~(uint64_t)0 : 0; /* pages never touched need not be given back either */
    for (size_t i = 0; i * 64 < geo->slot_count; i++) {
        size_t left = geo->slot_count - i * 64;
        slab->free[i] = left >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
    }
    uint32_t entry = hg__map_entry(class, geo->size, heap->index);
    for (size_t i = 0; i < geo->length; i++) {
        hg__run(a, g + i)->head = (uint32_t)g;
        hg__map_set(a, g + i, entry);
    }
    link_partial(heap, g);
    __atomic_store_n(&heap->classes[class].slab_count, hg__heap_slabs(heap, class) + 1,
                     __ATOMIC_RELAXED);
    add_free(&heap->classes[class], geo->slot_count);
    heap->classes[class].idle_count++;
    return g;
}

static void slab_release(struct hg__heap *heap, size_t g) {
    struct hg__run *slab = hg__run(heap->arena, g);
    struct hg__heap_class *of = &heap->classes[slab->class];
    unlink_partial(heap, g);
    __atomic_store_n(&of->slab_count, of->slab_count - 1, __ATOMIC_RELAXED);
    add_free(of, (size_t)0 - slab->slot_count);
    of->idle_count--;
    for (size_t i = 0; i < slab->length; i++)
        hg__map_set(heap->arena, g + i, 0);
    hg__harden_forget(heap->arena, hg__address(heap->arena, g),
                      (size_t)slab->length << heap->arena->shift);
    hg__arena_give(heap->arena, g);
}

/* The fullest of the first few partial slabs, so that the emptier ones drain; 0 iff none. */
static size_t slab_pick(const struct hg__heap *heap, unsigned class) {
    size_t best = 0;
    unsigned least = UINT32_MAX;
    uint32_t g = heap->classes[class].partial;
    for (int seen = 0; g && seen < PICK_MAX; seen++) {
        const struct hg__run *slab = hg__run(heap->arena, g);
        if (slab->free_count < least) {
            least = slab->free_count;
            best = g;
        }
        g = slab->next;
    }
    return best;
}

/* Bits of the pages that [offset, offset + size) of a slab touches. */
static uint64_t pages_of(size_t offset, size_t size) {
    size_t first = offset / HG__PAGE, last = (offset + size - 1) / HG__PAGE;
    uint64_t upto = last >= 63 ? ~(uint64_t)0 : ((uint64_t)2 << last) - 1;
    return upto & ~(((uint64_t)1 << first) - 1);
}

/* Moves up to `want` lowest free slots of slab `g` to out[want-1], out[want-2], ...; unless `fresh`, only
 * those before the first that has a page not resident. */
static size_t slab_take(struct hg__heap *heap, size_t g, void **out, size_t want, bool fresh) {
    struct hg__run *slab = hg__run(heap->arena, g);
    size_t size = heap->geometry[slab->class].size, got = 0;
    char *base = hg__address(heap->arena, g);
    if (!HG_HARDENED && slab->free_count == slab->slot_count && (fresh || !slab->holes)) {
        /* All of it is free: no need to look at bits. */
        size_t most = want < slab->slot_count ? want : slab->slot_count;
        for (void **to = out + want; got < most; got++)
            *--to = base + got * size;
        for (size_t word = 0; word * 64 < most; word++)
            slab->free[word] &= most - word * 64 < 64 ? ~(uint64_t)0 << (most - word * 64) : 0;
        slab->holes &= ~pages_of(0, most * size);
    }
    for (size_t word = 0; got < want && word * 64 < slab->slot_count; word++)
        while (slab->free[word] && got < want) {
            size_t slot = word * 64 + (size_t)__builtin_ctzll(slab->free[word]);
            if (slab->holes) {
                uint64_t pages = pages_of(slot * size, size);
                if (!fresh && (slab->holes & pages)) {
                    word = slab->slot_count;
                    break;
                }
                slab->holes &= ~pages;
            }
            slab->free[word] &= slab->free[word] - 1;
            out[want - ++got] = base + slot * size;
            hg__harden_leave(heap->arena, base + slot * size, size);
        }
    if (got && slab->free_count == slab->slot_count)
        heap->classes[slab->class].idle_count--;
    slab->free_count = (uint16_t)(slab->free_count - got);
    add_free(&heap->classes[slab->class], (size_t)0 - got);
    if (slab->free_count == 0)
        unlink_partial(heap, g);
    return got;
}

size_t hg__heap_take(struct hg__heap *heap, unsigned class, void **out, size_t want, bool fresh) {
    size_t left = want, got;
    hg__lock(&heap->lock);
    heap->classes[class].active = true;
    while (left) {
        size_t g = slab_pick(heap, class);
        if (!g && (!fresh || !(g = slab_make(heap, class))))
            break;
        if (!(got = slab_take(heap, g, out, left, fresh)))
            break;
        left -= got;
    }
    hg__unlock(&heap->lock);
    if (left)
        memmove(out, out + left, (want - left) * sizeof *out);
    return want - left;
}

/* Sets the free bits of those at the front of slots[0 .. count) that lie side by side in the slab, `step`
 * bytes (a slot's size, up or down) from one to the next, if they are many. Returns how many. */
static size_t put_neighbours(struct hg__run *slab, const struct hg__geometry *geo, const char *base,
                             void **slots, size_t count, ptrdiff_t step) {
    size_t run = 2, span = geo->size * (size_t)slab->slot_count;
    while (run < count && (char *)slots[run] - (char *)slots[run - 1] == step)
        run++;
    size_t first = (size_t)((char *)slots[0] - base),
           last = (size_t)((char *)slots[run - 1] - base);
    if (run < NEIGHBOURS_MIN || first >= span || last >= span)
        return 0;
    size_t low = slot_of(geo, first < last ? first : last), high = low + run - 1;
    for (size_t word = low / 64; word <= high / 64; word++) {
        uint64_t bits = ~(uint64_t)0;
        if (word == low / 64)
            bits <<= low % 64;
        if (word == high / 64)
            bits &= ~(uint64_t)0 >> (63 - high % 64);
        if (HG_UNLIKELY(slab->free[word] & bits))
            hg__die("double free of",
                    base +
                        (word * 64 + (size_t)__builtin_ctzll(slab->free[word] & bits)) * geo->size,
                    "the slot is already free");
        slab->free[word] |= bits;
    }
    return run;
}

/* Sets the free bits of those of slots[0 .. count) that come before the first one of another slab,
 * and releases the slab if that makes it the second idle one of its class, or the first while memory
 * drains. Returns how many. */
static size_t slab_put(struct hg__heap *heap, struct hg__run *slab, void **slots, size_t count) {
    struct hg__heap_class *of = &heap->classes[slab->class];
    const struct hg__geometry *geo = &heap->geometry[slab->class];
    const char *base = hg__address(heap->arena, slab->head);
    size_t span = (size_t)slab->length << heap->arena->shift, done;
    ptrdiff_t step = count > 1 ? (char *)slots[1] - (char *)slots[0] : 0;
    done = step == (ptrdiff_t)geo->size || -step == (ptrdiff_t)geo->size
               ? put_neighbours(slab, geo, base, slots, count, step)
               : 0;
    for (; done < count; done++) {
        size_t offset = (size_t)((char *)slots[done] - base), slot = slot_of(geo, offset);
        uint64_t bit = (uint64_t)1 << slot % 64;
        if (offset >= span)
            break;
        if (HG_UNLIKELY(slot >= slab->slot_count || (slab->free[slot / 64] & bit)))
            hg__die("double free of", slots[done], "the slot is already free");
        slab->free[slot / 64] |= bit;
    }
    if (slab->free_count == 0)
        link_partial(heap, slab->head);
    slab->free_count = (uint16_t)(slab->free_count + done);
    add_free(of, done);
    if (slab->free_count == slab->slot_count &&
        (++of->idle_count > 1 || __atomic_load_n(&heap->arena->draining, __ATOMIC_RELAXED)))
        slab_release(heap, slab->head);
    else
        for (size_t i = 0; i < done && HG_HARDENED; i++)
            hg__harden_home(heap->arena, slots[i], geo->size);
    return done;
}

/* The slab that slot `p`, cached as `class`, is of. */
static struct hg__run *slab_of(const struct hg__arena *a, const void *p, unsigned class) {
    size_t g = hg__granule(a, p);
    unsigned true_class = g < hg__committed(a) ? hg__map_class(hg__map_get(a, g)) : 0;
    if (HG_UNLIKELY(true_class == 0 || true_class >= HG_CLASS_COUNT || true_class < class))
        hg__die("free of", p, "not a block of the size given");
    return hg__run(a, hg__run(a, g)->head);
}

/* Are 7 of 8 slots free in many slabs? */
bool hg__heap_is_drained(const struct hg__heap *heap, unsigned class, size_t cached) {
    size_t slabs = hg__heap_slabs(heap, class);
    size_t free = __atomic_load_n(&heap->classes[class].free_count, __ATOMIC_RELAXED);
    return slabs >= DRAINED_MIN &&
           free + cached >= slabs * heap->geometry[class].slot_count / 8 * 7;
}

void hg__heap_put(struct hg__heap *heaps, void **slots, size_t count, unsigned class) {
    struct hg__arena *a = heaps->arena;
    /* One round an owner; the others' slots move to the front for the next round. */
    while (count) {
        struct hg__heap *heap = &heaps[slab_of(a, slots[0], class)->heap];
        size_t kept = 0;
        hg__lock(&heap->lock);
        for (size_t i = 0; i < count;) {
            struct hg__run *slab = slab_of(a, slots[i], class);
            if (&heaps[slab->heap] == heap)
                i += slab_put(heap, slab, slots + i, count - i);
            else
                slots[kept++] = slots[i++];
        }
        hg__unlock(&heap->lock);
        count = kept;
    }
}

/* True iff slots first..last (beyond the end counts as free) are all free. */
static bool all_free(const struct hg__run *slab, size_t first, size_t last) {
    for (size_t slot = first; slot <= last && slot < slab->slot_count; slot++)
        if (!(slab->free[slot / 64] >> slot % 64 & 1))
            return false;
    return true;
}

static size_t purge_holes(struct hg__heap *heap, size_t g) {
    struct hg__run *slab = hg__run(heap->arena, g);
    const struct hg__geometry *geo = &heap->geometry[slab->class];
    char *base = hg__address(heap->arena, g);
    size_t page_count = ((size_t)slab->length << heap->arena->shift) / HG__PAGE, size = 0;
    for (size_t page = 0, end; page < page_count; page = end) {
        for (end = page;
             end < page_count && !(slab->holes >> end & 1) &&
             all_free(slab, slot_of(geo, end * HG__PAGE), slot_of(geo, (end + 1) * HG__PAGE - 1));
             end++)
            ;
        if (end == page) {
            end++;
            continue;
        }
        if (!hg__os_purge(base + page * HG__PAGE, (end - page) * HG__PAGE))
            return size;
        slab->holes |= pages_of(page * HG__PAGE, (end - page) * HG__PAGE);
        size += (end - page) * HG__PAGE;
        /* The fill of the freed slots there is gone; do not look for it. */
        size_t from = slot_of(geo, page * HG__PAGE) * geo->size;
        hg__harden_forget(heap->arena, base + from, end * HG__PAGE - from);
    }
    return size;
}

/* Is an eighth or more of a class's memory free? Below that holes are not worth their calls. */
static bool has_many_free(const struct hg__heap *heap, unsigned class) {
    const struct hg__heap_class *of = &heap->classes[class];
    return of->free_count >= (size_t)of->slab_count * heap->geometry[class].slot_count / 8;
}

size_t hg__heap_trim(struct hg__heap *heap, bool all) {
    size_t size = 0;
    bool can_purge = heap->arena->os && hg__os_page_size() == HG__PAGE;
    hg__lock(&heap->lock);
    for (unsigned class = 1; class < HG_CLASS_COUNT; class ++) {
        struct hg__heap_class *of = &heap->classes[class];
        bool holes = can_purge && (all || (!of->active && has_many_free(heap, class)));
        of->active = false;
        for (uint32_t g = of->partial, next; g; g = next) {
            const struct hg__run *slab = hg__run(heap->arena, g);
            next = slab->next;
            if (slab->free_count == slab->slot_count)
                slab_release(heap, g);
            else if (holes && (size_t)slab->free_count * heap->geometry[class].size >= HG__PAGE)
                size += purge_holes(heap, g);
        }
    }
    hg__unlock(&heap->lock);
    return size;
}

/* The slab and slot that `p` begins; false iff it begins none. */
static bool find_slot(const struct hg__arena *a, const struct hg__geometry *geometry, const void *p,
                      struct hg__run **slab, size_t *slot) {
    size_t g = hg__granule(a, p);
    if (g >= hg__committed(a))
        return false;
    unsigned class = hg__map_class(hg__map_get(a, g));
    if (class == 0 || class >= HG_CLASS_COUNT)
        return false;
    size_t head = hg__run(a, g)->head;
    size_t offset = (size_t)((const char *)p - hg__address(a, head));
    *slab = hg__run(a, head);
    *slot = slot_of(&geometry[class], offset);
    return *slot * geometry[class].size == offset && *slot < (*slab)->slot_count;
}

bool hg__heap_find(const struct hg__arena *a, const struct hg__geometry *geometry, const void *p,
                   unsigned *class, bool *is_free) {
    struct hg__run *slab;
    size_t slot;
    if (!find_slot(a, geometry, p, &slab, &slot))
        return false;
    *class = slab->class;
    *is_free = slab->free[slot / 64] >> slot % 64 & 1;
    return true;
}

bool hg__heap_set_bit(const struct hg__arena *a, const struct hg__geometry *geometry, const void *p,
                      bool value) {
    struct hg__run *slab;
    size_t slot;
    if (!find_slot(a, geometry, p, &slab, &slot))
        return false;
    uint64_t bit = (uint64_t)1 << slot % 64, old = slab->free[slot / 64];
    slab->free[slot / 64] = value ? old | bit : old & ~bit;
    return ((old & bit) != 0) != value;
}

static bool validate_slab(const struct hg__heap *heap, size_t g, struct hg__why *why) {
    const struct hg__run *slab = hg__run(heap->arena, g);
    const struct hg__geometry *geo = &heap->geometry[slab->class];
    size_t set = 0;
    if (slab->slot_count != geo->slot_count || slab->length != geo->length)
        return hg__wrong(why, "heap: a slab has not its class's shape", g, slab->class);
    for (size_t i = 0; i < hg__bitmap_words(heap->arena->shift); i++) {
        uint64_t word = i * 64 < slab->slot_count ? slab->free[i] : 0;
        size_t left = slab->slot_count - i * 64;
        if (i * 64 < slab->slot_count && left < 64 && word >> left)
            return hg__wrong(why, "heap: a bit is set beyond the last slot", g, i);
        set += (size_t)__builtin_popcountll(word);
    }
    if (set != slab->free_count)
        return hg__wrong(why, "heap: bitmap and free count of a slab disagree", g, set);
    uint32_t entry = hg__map_entry(slab->class, geo->size, heap->index);
    for (size_t i = 0; i < slab->length; i++)
        if (hg__run(heap->arena, g + i)->head != g || hg__map_get(heap->arena, g + i) != entry)
            return hg__wrong(why, "heap: map or head of a slab's granule is wrong", g, i);
    return true;
}

bool hg__heap_validate(const struct hg__heap *heap, struct hg__why *why) {
    const struct hg__arena *a = heap->arena;
    size_t slabs[HG_CLASS_COUNT] = {0}, partial[HG_CLASS_COUNT] = {0}, idle[HG_CLASS_COUNT] = {0};
    size_t free_count[HG_CLASS_COUNT] = {0};
    for (size_t g = 1; g < a->frontier; g += hg__run(a, g)->length) {
        const struct hg__run *slab = hg__run(a, g);
        if (slab->kind != HG__SLAB || slab->heap != heap->index)
            continue;
        if (slab->class == 0 || slab->class >= HG_CLASS_COUNT)
            return hg__wrong(why, "heap: a slab of no class", g, slab->class);
        if (!validate_slab(heap, g, why))
            return false;
        slabs[slab->class]++;
        partial[slab->class] += slab->free_count != 0;
        idle[slab->class] += slab->free_count == slab->slot_count;
        free_count[slab->class] += slab->free_count;
    }
    for (unsigned class = 1; class < HG_CLASS_COUNT; class ++) {
        const struct hg__heap_class *of = &heap->classes[class];
        size_t listed = 0;
        uint32_t prev = 0;
        for (uint32_t g = of->partial; g; prev = g, g = hg__run(a, g)->next, listed++) {
            const struct hg__run *slab = hg__run(a, g);
            if (slab->kind != HG__SLAB || slab->class != class || slab->heap != heap->index ||
                slab->free_count == 0 || slab->prev != prev || listed > partial[class])
                return hg__wrong(why, "heap: a partial list holds what it should not", g, class);
        }
        if (listed != partial[class])
            return hg__wrong(why, "heap: a slab with free slots is not listed", class, listed);
        if (of->slab_count != slabs[class] || of->free_count != free_count[class])
            return hg__wrong(why, "heap: counts of a class are off", class, of->free_count);
        if (of->idle_count != idle[class] || idle[class] > 1)
            return hg__wrong(why, "heap: idle slabs are miscounted", class, idle[class]);
    }
    return true;
}
