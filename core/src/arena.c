#include "arena.h"

#include <errno.h>
#include <string.h>

#include "harden.h"
#include "os.h"

enum {
    EXACT_BINS = 128,            /* one length each; then four per doubling */
    SCAN_MAX = 16,               /* runs looked at for the best fit */
    RETAIN_MIN_SIZE = 1 << 20,   /* dirty bytes always allowed */
    RETAIN_EXTRA_MAX = 64 << 20, /* dirty bytes allowed to a program that keeps missing them */
    COMMIT_STEP_SIZE = 4 << 20,
    HUGE_SIZE = 16 << 20, /* a run so long goes at once, unless such were missed before */
    RETAIN_FLOOD = 2,     /* times what is used: more dirty memory than that goes at once */
    RETAIN_SPAN_MS = 1000,
    RETAIN_SHARE = 8,        /* one of so many granules that were missed is kept the next time */
    DIRTY_SPAN_MS = 1000,    /* dirty memory not needed for so long may go */
    TRIM_MIN_SIZE = 4 << 20, /* growth or loss below this is not worth looking for holes */
    TRIM_SPAN_MS = 100,
};

static unsigned bin_of(size_t length) {
    if (length < EXACT_BINS)
        return (unsigned)length;
    unsigned log2 = 63 - (unsigned)__builtin_clzll((unsigned long long)length);
    unsigned bin = EXACT_BINS + (log2 - 7) * 4 + (unsigned)((length >> (log2 - 2)) & 3);
    return bin < HG__BINS ? bin : HG__BINS - 1;
}

static bool is_free(const struct hg__run *run) {
    return run->kind == HG__FREE;
}

/* Writes the boundary records of a run. */
static void mark(struct hg__arena *a, size_t g, size_t length, enum hg__run_kind kind) {
    struct hg__run *first = hg__run(a, g), *last = hg__run(a, g + length - 1);
    first->head = last->head = (uint32_t)g;
    first->kind = last->kind = (uint8_t)kind;
    first->length = (uint32_t)length;
}

static void link_free(struct hg__arena *a, size_t g, size_t length, size_t dirty) {
    mark(a, g, length, HG__FREE);
    unsigned bin = bin_of(length);
    struct hg__run *run = hg__run(a, g);
    run->dirty = dirty;
    struct hg__bins *bins = &a->bins[dirty != 0];
    run->prev = 0;
    run->next = bins->first[bin];
    if (run->next)
        hg__run(a, run->next)->prev = (uint32_t)g;
    bins->first[bin] = (uint32_t)g;
    bins->mask[bin / 64] |= (uint64_t)1 << bin % 64;
    a->dirty += dirty;
}

static void unlink_free(struct hg__arena *a, size_t g) {
    struct hg__run *run = hg__run(a, g);
    struct hg__bins *bins = &a->bins[run->dirty != 0];
    unsigned bin = bin_of(run->length);
    if (run->next)
        hg__run(a, run->next)->prev = run->prev;
    if (run->prev)
        hg__run(a, run->prev)->next = run->next;
    else if (!(bins->first[bin] = run->next))
        bins->mask[bin / 64] &= ~((uint64_t)1 << bin % 64);
    a->dirty -= run->dirty;
}

/* Makes [g, g + length) free:  [free][g..][free] => [---- free ----]. A run without dirty granules
 * at the frontier becomes never-used memory again. */
static void insert_free(struct hg__arena *a, size_t g, size_t length, size_t dirty) {
    size_t right = g + length;
    if (right < a->frontier && is_free(hg__run(a, right))) {
        length += hg__run(a, right)->length;
        dirty += hg__run(a, right)->dirty;
        unlink_free(a, right);
    }
    if (g > 1 && is_free(hg__run(a, g - 1))) {
        size_t left = hg__run(a, g - 1)->head;
        length += hg__run(a, left)->length;
        dirty += hg__run(a, left)->dirty;
        unlink_free(a, left);
        g = left;
    }
    if (dirty == 0 && g + length == a->frontier)
        a->frontier = g;
    else
        link_free(a, g, length, dirty);
}

/* First granule >= g whose address is a multiple of `align` (>= a granule). */
static size_t align_up(const struct hg__arena *a, size_t g, size_t align) {
    uintptr_t at = hg__round_up(a->base + (g << a->shift), align);
    return (at - a->base) >> a->shift;
}

/* The best of a few: the shortest fitting run, the lower address among equals. */
static size_t best_in_bin(const struct hg__arena *a, uint32_t g, size_t length, size_t align) {
    size_t best = 0, best_length = SIZE_MAX;
    for (int seen = 0; g && seen < SCAN_MAX; g = hg__run(a, g)->next, seen++) {
        const struct hg__run *run = hg__run(a, g);
        if (align_up(a, g, align) - g + length > run->length)
            continue;
        if (run->length < best_length || (run->length == best_length && g < best)) {
            best = g;
            best_length = run->length;
        }
    }
    return best;
}

/* A free run that holds `length` granules aligned, in the order of bins; 0 iff none was found. */
static size_t find(const struct hg__arena *a, bool dirty, size_t length, size_t align) {
    const struct hg__bins *bins = &a->bins[dirty];
    unsigned bin = bin_of(length);
    uint64_t mask = bins->mask[bin / 64] & (~(uint64_t)0 << bin % 64);
    for (unsigned word = bin / 64;;) {
        for (; mask; mask &= mask - 1) {
            bin = word * 64 + (unsigned)__builtin_ctzll(mask);
            size_t g = best_in_bin(a, bins->first[bin], length, align);
            if (g)
                return g;
        }
        if (++word == HG__BINS / 64)
            return 0;
        mask = bins->mask[word];
    }
}

/* Makes the entries of granules below `target` accessible in a table of `each` bytes a granule. */
static bool commit_table(const struct hg__arena *a, void *table, size_t each, size_t target) {
    return hg__os_commit((char *)table + a->committed * each, (target - a->committed) * each,
                         target << a->shift);
}

/* Something else lies in [committed, end): what is before it becomes a free run, that itself one in
 * use, and memory goes on behind it. */
static void leave_out(struct hg__arena *a, size_t end) {
    size_t gap = a->frontier, from = a->committed > gap ? a->committed : gap;
    a->frontier = end;
    mark(a, from, end - from, HG__META);
    a->used += end - from;
    __atomic_store_n(&a->committed, end, __ATOMIC_RELAXED);
    if (from > gap)
        insert_free(a, gap, from - gap, 0);
}

/* Maps `count` more granules, with their share of the metadata, all or nothing. Returns 0 or errno. */
static int map_more(struct hg__arena *a, size_t count) {
    size_t from = a->committed;
    const struct {
        char *at;
        size_t each;
    } parts[] = {
        {(char *)a->map, sizeof *a->map},
        {a->runs, a->stride},
        {(char *)a->shadow, HG_HARDENED ? ((size_t)1 << a->shift) / HG__STEP : 0},
        {hg__address(a, 0), (size_t)1 << a->shift},
    };
    enum { PARTS = sizeof parts / sizeof *parts };
    int error = 0, done = 0;
    for (; done < PARTS && !error; done++)
        if (parts[done].each)
            error =
                hg__os_map_at(parts[done].at + from * parts[done].each, count * parts[done].each);
    if (error == EEXIST && done == PARTS && from) {
        leave_out(a, from + count);
    } else if (error) {
        for (done--; done-- > 0;)
            if (parts[done].each)
                hg__os_release(parts[done].at + from * parts[done].each, count * parts[done].each);
    } else {
        __atomic_store_n(&a->committed, from + count, __ATOMIC_RELAXED);
    }
    return error;
}

/* commit() where nothing is reserved. Steps are such that all pieces are whole pages. */
static bool commit_unreserved(struct hg__arena *a, size_t end) {
    size_t least = hg__round_up(end - a->committed, a->map_step);
    size_t more = hg__round_up(end - a->committed + a->committed / 8, a->map_step);
    size_t room = a->granule_count - a->committed;
    if (least > room)
        return false;
    int error = more > room ? ENOMEM : map_more(a, more);
    return error == 0 || (error == ENOMEM && more > least && map_more(a, least) == 0);
}

/* Makes granules below `end` accessible, with their share of the metadata. When it fails the frontier
 * may have moved: then another try is worth it. */
static bool commit(struct hg__arena *a, size_t end) {
    if (end <= a->committed)
        return true;
    if (end > a->granule_count)
        return false;
    if (a->map_step)
        return commit_unreserved(a, end);
    size_t step = ((size_t)COMMIT_STEP_SIZE >> a->shift) + a->committed / 8;
    size_t target = a->committed + step > end ? a->committed + step : end;
    if (target > a->granule_count)
        target = a->granule_count;
    for (;; target = end) {
        bool ok = hg__os_commit(hg__address(a, a->committed), (target - a->committed) << a->shift,
                                target << a->shift);
        ok = ok && commit_table(a, a->map, sizeof *a->map, target);
        ok = ok && commit_table(a, a->runs, a->stride, target);
        if (HG_HARDENED)
            ok = ok && commit_table(a, a->shadow, ((size_t)1 << a->shift) / HG__STEP, target);
        if (ok)
            break;
        if (target == end)
            return false;
    }
    __atomic_store_n(&a->committed, target, __ATOMIC_RELAXED);
    return true;
}

/* Takes aligned memory beyond the frontier; 0 iff there is none. */
static size_t take_frontier(struct hg__arena *a, size_t length, size_t align) {
    size_t g, gap;
    do {
        gap = a->frontier;
        g = align_up(a, gap, align);
        if (g > a->granule_count || length > a->granule_count - g)
            return 0;
    } while (!commit(a, g + length) && a->frontier != gap);
    if (g + length > a->committed)
        return 0;
    a->frontier = g + length;
    mark(a, g, length, HG__META); /* in use, so that the gap is not joined to it */
    if (g > gap)
        insert_free(a, gap, g - gap, a->os ? 0 : g - gap);
    return g;
}

/* Takes `length` aligned granules out of free run `g`, giving back what is over at both ends; each
 * end keeps its share of the dirty ones, and at least one lest it pass for clean. */
static size_t take_from(struct hg__arena *a, size_t g, size_t length, size_t align, bool *zeroed) {
    size_t whole = hg__run(a, g)->length, dirty = hg__run(a, g)->dirty;
    size_t end = g + whole, at = align_up(a, g, align), rest = at + length;
    unlink_free(a, g);
    if (at > g)
        link_free(a, g, at - g, (dirty * (at - g) + whole - 1) / whole);
    if (end > rest)
        link_free(a, rest, end - rest, (dirty * (end - rest) + whole - 1) / whole);
    *zeroed = dirty == 0;
    return at;
}

/* The dirty run to give back when `excess` granules are too many: the shortest that suffices, else
 * one of the longest. There is one. */
static size_t purge_choice(const struct hg__arena *a, size_t excess) {
    size_t g = find(a, true, excess, (size_t)1 << a->shift);
    for (size_t word = HG__BINS / 64; !g && word-- > 0;) {
        uint64_t mask = a->bins[1].mask[word];
        if (mask)
            g = a->bins[1].first[word * 64 + 63 - (unsigned)__builtin_clzll(mask)];
    }
    return g;
}

/* Gives dirty runs back until at most `keep` granules are dirty. Returns bytes. */
static size_t purge_to(struct hg__arena *a, size_t keep) {
    size_t size = 0;
    while (a->os && a->dirty > keep) {
        size_t excess = a->dirty - keep, g = purge_choice(a, excess);
        size_t length = hg__run(a, g)->length, dirty = hg__run(a, g)->dirty;
        /* Only the end of a much longer run, if it is known what is dirty there. */
        size_t part = dirty == length && excess < length / 2 ? excess : length;
        if (!hg__os_purge(hg__address(a, g + length - part), part << a->shift))
            break; /* locked memory: the next would fail as well */
        size_t left = part < length ? dirty - part : 0;
        size += (dirty - left) << a->shift;
        unlink_free(a, g);
        insert_free(a, g, length, left);
    }
    a->purged_size += size;
    return size;
}

static bool request_fails(struct hg__arena *a) {
    a->request_count++;
    return a->fail_at && a->request_count >= a->fail_at;
}

/* `length` granules of memory that is not resident are wanted: what is dirty gives way where
 * memory would otherwise grow a quarter beyond what was ever in use. */
static void make_room(struct hg__arena *a, size_t length) {
    size_t peak = a->used + length > a->peak ? a->used + length : a->peak;
    size_t most = peak + peak / 4 + ((size_t)RETAIN_MIN_SIZE >> a->shift);
    size_t will = a->used + length + a->dirty;
    if (will > most && a->dirty)
        purge_to(a, will - most < a->dirty ? a->dirty - (will - most) : 0);
}

static size_t take(struct hg__arena *a, size_t length, size_t align, bool *zeroed) {
    size_t g = find(a, true, length, align);
    if (g) {
        g = take_from(a, g, length, align, zeroed);
        if (a->dirty < a->dirty_low)
            a->dirty_low = a->dirty;
        return g;
    }
    make_room(a, length);
    *zeroed = a->os;
    g = find(a, false, length, align);
    return g ? take_from(a, g, length, align, zeroed) : take_frontier(a, length, align);
}

/* `used` changed. Holes are looked for before memory grows by a quarter more than ever, and when half
 * is gone, which leaves slabs with few slots in use; seldom, because what is given back and then
 * wanted again costs a page fault each. Caches are emptied whenever half is gone, and kept short until
 * memory is taken again, for then each of their slots may be all that keeps a slab. */
static void count_use(struct hg__arena *a, size_t more, size_t less) {
    size_t least = (size_t)TRIM_MIN_SIZE >> a->shift;
    uint8_t due = HG__TRIM_HOLES;
    a->used = a->used + more - less;
    if (a->used > a->peak)
        a->peak = a->used;
    if (a->used / 2 > a->drop_mark)
        a->drop_mark = a->used / 2;
    if (more && a->draining)
        __atomic_store_n(&a->draining, false, __ATOMIC_RELAXED);
    if (a->used > a->grow_mark) {
        a->grow_mark = a->used + a->used / 4 + least;
    } else if (a->used + least / 2 < a->drop_mark) {
        uint64_t now = hg__os_now_ms();
        bool seldom = now - a->trim_ms >= TRIM_SPAN_MS;
        a->drop_mark = a->used / 2;
        a->trim_ms = seldom ? now : a->trim_ms;
        due = seldom ? HG__TRIM_HOLES | HG__TRIM_CACHES : HG__TRIM_CACHES;
        __atomic_store_n(&a->draining, a->os, __ATOMIC_RELAXED);
    } else {
        return;
    }
    __atomic_store_n(&a->trim_due, a->os ? due : 0, __ATOMIC_RELAXED);
}

/* That many granules of what is taken are not resident: as far as as many were purged just now, that
 * was too early. Keep some of it from now on, all if that happens again and again. */
static void count_missed(struct hg__arena *a, size_t length) {
    size_t most = ((size_t)RETAIN_EXTRA_MAX >> a->shift) + a->used / 2;
    if (!a->missable || hg__os_now_ms() - a->purge_ms >= RETAIN_SPAN_MS)
        return;
    size_t missed = length < a->missable ? length : a->missable;
    a->missable -= missed;
    a->retain_extra += (missed + RETAIN_SHARE - 1) / RETAIN_SHARE;
    if (a->retain_extra > most)
        a->retain_extra = most;
}

size_t hg__arena_take(struct hg__arena *a, size_t length, size_t align, enum hg__run_kind kind,
                      bool *zeroed) {
    size_t granule = (size_t)1 << a->shift;
    if (align < granule)
        align = granule;
    hg__lock(&a->lock);
    size_t g = 0, dirty = a->dirty;
    if (!request_fails(a) && length <= a->granule_count && (align >> a->shift) <= a->granule_count)
        g = take(a, length, align, zeroed);
    if (g) {
        hg__harden_take(a, g, length);
        mark(a, g, length, kind);
        count_use(a, length, 0);
        if (kind == HG__LARGE) {
            hg__map_set(a, g, HG__MAP_LARGE);
            a->large_count++;
            a->large_granules += length;
        }
        if (dirty - a->dirty < length)
            count_missed(a, length - (dirty - a->dirty));
    }
    hg__unlock(&a->lock);
    return g;
}

/* Dirty memory up to an eighth of what is used may wait for its next use, and more for as long as
 * it is used again: only what was never needed during DIRTY_SPAN_MS goes. When two thirds of the
 * memory are free at once (half are after many a garbage collection, and wanted again) all goes but
 * that eighth, for without a thread of our own there may be no later call; so it does when a huge run
 * is given back, which a program may not need twice. A program that takes memory soon after it was
 * purged is allowed more. `given`: granules just freed. */
static void purge_if_due(struct hg__arena *a, size_t given) {
    size_t limit = a->used / 8 + ((size_t)RETAIN_MIN_SIZE >> a->shift) + a->retain_extra;
    if (!a->os || a->dirty <= limit) {
        a->over_ms = 0;
        return;
    }
    bool flood =
        a->dirty > limit + RETAIN_FLOOD * a->used + ((size_t)RETAIN_MIN_SIZE >> a->shift) ||
        (given >= (size_t)HUGE_SIZE >> a->shift && given / RETAIN_SHARE > a->retain_extra);
    uint64_t now = hg__os_now_ms();
    if (!a->over_ms) {
        a->over_ms = now;
        a->dirty_low = a->dirty;
    }
    if (!flood && now - a->over_ms < DIRTY_SPAN_MS)
        return;
    if (now - a->purge_ms > RETAIN_SPAN_MS)
        a->retain_extra /= 2;
    size_t keep = flood || limit > a->dirty - a->dirty_low ? limit : a->dirty - a->dirty_low;
    if (now - a->purge_ms > RETAIN_SPAN_MS)
        a->missable = 0;
    a->purge_ms = now;
    a->missable += purge_to(a, keep) >> a->shift;
    a->over_ms = now;
    a->dirty_low = a->dirty;
}

static void give(struct hg__arena *a, size_t g) {
    struct hg__run *run = hg__run(a, g);
    size_t length = run->length;
    count_use(a, 0, length);
    if (run->kind == HG__LARGE) {
        hg__map_set(a, g, 0);
        hg__harden_give(a, g);
        a->large_count--;
        a->large_granules -= length;
    }
    insert_free(a, g, length, length);
}

void hg__arena_give(struct hg__arena *a, size_t g) {
    hg__lock(&a->lock);
    size_t length = hg__run(a, g)->length;
    give(a, g);
    purge_if_due(a, length);
    hg__unlock(&a->lock);
}

/* Free granules right of `at`, up to `need`; memory beyond the frontier counts. */
static size_t room_at(struct hg__arena *a, size_t at, size_t need) {
    size_t room = 0;
    if (at < a->frontier && is_free(hg__run(a, at)))
        room = hg__run(a, at)->length;
    if (at + room >= a->frontier && room < need && commit(a, at + need))
        room = need;
    return room;
}

/* Removes `need` granules at `at` from the free run there and the frontier; room_at() found them.
 */
static void absorb(struct hg__arena *a, size_t at, size_t need) {
    if (at < a->frontier) {
        size_t length = hg__run(a, at)->length;
        bool zeroed;
        take_from(a, at, length < need ? length : need, (size_t)1 << a->shift, &zeroed);
        need -= length < need ? length : need;
    }
    a->frontier += need;
}

bool hg__arena_resize(struct hg__arena *a, size_t g, size_t length) {
    hg__lock(&a->lock);
    struct hg__run *run = hg__run(a, g);
    enum hg__run_kind kind = run->kind;
    size_t old = run->length;
    bool done = true;
    if (length > old) {
        size_t need = length - old;
        done = !request_fails(a) && length <= a->granule_count && room_at(a, g + old, need) >= need;
        if (done) {
            absorb(a, g + old, need);
            hg__harden_take(a, g + old, need);
            mark(a, g, length, kind);
            count_use(a, need, 0);
            count_missed(a, need);
            a->large_granules += need;
        }
    } else if (length < old) {
        mark(a, g, length, kind);
        count_use(a, 0, old - length);
        a->large_granules -= old - length;
        insert_free(a, g + length, old - length, old - length);
        purge_if_due(a, old - length);
    }
    hg__unlock(&a->lock);
    return done;
}

size_t hg__arena_purge(struct hg__arena *a, size_t keep) {
    hg__lock(&a->lock);
    size_t size = purge_to(a, keep);
    hg__unlock(&a->lock);
    return size;
}

bool hg__arena_move(struct hg__arena *a, size_t from, size_t to, size_t size) {
    return a->os && hg__os_move(hg__address(a, from), hg__address(a, to), size);
}

/* Bytes of metadata for `count` granules (numbered 1 ..), plus slack for page alignment. */
static size_t meta_size(size_t count, unsigned shift, size_t stride) {
    size_t shadow = HG_HARDENED ? (count + 1) << shift >> 4 : 0;
    return (count + 1) * (sizeof(uint32_t) + stride) + shadow;
}

/* Lays out [meta | granules] in `size` bytes at `at`; the tables begin at multiples of `page`. */
static bool lay_out(struct hg__arena *a, char *at, size_t size, unsigned shift, size_t page) {
    size_t granule = (size_t)1 << shift;
    a->shift = shift;
    a->stride = sizeof(struct hg__run) + hg__bitmap_words(shift) * sizeof(uint64_t);
    if (size < 4 * page + 2 * granule)
        return false;
    size_t count = (size - 4 * page - granule) >> shift;
    while (count &&
           meta_size(count, shift, a->stride) + 4 * page + granule + (count << shift) > size)
        count -= count / 64 + 1;
    if (count == 0 || count >= UINT32_MAX)
        return false;
    uintptr_t next = hg__round_up((uintptr_t)at, page);
    a->map = (uint32_t *)next;
    next = hg__round_up(next + (count + 1) * sizeof(uint32_t), page);
    a->runs = (char *)next;
    next += (count + 1) * a->stride;
    if (HG_HARDENED) {
        a->shadow = (uint8_t *)hg__round_up(next, page);
        next = (uintptr_t)a->shadow + ((count + 1) << shift >> 4);
    }
    a->base = hg__round_up(next, granule) - granule;
    a->granule_count = count + 1;
    a->frontier = 1;
    a->grow_mark = (size_t)TRIM_MIN_SIZE >> shift;
    return true;
}

bool hg__arena_open(struct hg__arena *a, size_t size, size_t front) {
    size_t page = hg__os_page_size();
    front = hg__round_up(front, page);
    char *mapping;
    while (!(mapping = hg__os_reserve(size)))
        if ((size -= size / 4) < ((size_t)1 << 18))
            return false;
    a->mapping = mapping;
    a->mapping_size = size;
    a->map_step = 0;
    a->os = true;
    a->committed = 1;
    if (lay_out(a, mapping + front, size - front, HG__GRANULE_SHIFT, page) &&
        (!front || hg__os_commit(mapping, front, front)))
        return true;
    hg__os_release(mapping, size);
    return false;
}

bool hg__arena_open_unreserved(struct hg__arena *a, size_t size) {
    size_t page = hg__os_page_size();
    for (unsigned attempt = 0; attempt < 4 && !a->os; attempt++) {
        char *at = hg__os_quiet_address(attempt);
        if (!at || !lay_out(a, at, size, HG__GRANULE_SHIFT, page))
            return false;
        a->map_step = page / sizeof *a->map;
        a->os = commit(a, 1);
    }
    return a->os;
}

bool hg__arena_open_region(struct hg__arena *a, char *memory, size_t size) {
    unsigned shift = size < HG__SMALL_REGION ? HG__SMALL_GRANULE_SHIFT : HG__REGION_GRANULE_SHIFT;
    if (!lay_out(a, memory, size, shift, 16))
        return false;
    memset(a->map, 0, a->granule_count * sizeof *a->map);
    if (HG_HARDENED)
        memset(a->shadow, 0, a->granule_count << a->shift >> 4);
    a->committed = a->granule_count;
    return true;
}

void hg__arena_close(struct hg__arena *a) {
    if (a->os)
        hg__os_release(a->mapping, a->mapping_size);
}

static bool validate_bins(struct hg__arena *a, size_t *granules, struct hg__why *why) {
    size_t dirty = 0;
    for (unsigned i = 0; i < 2 * HG__BINS; i++) {
        const struct hg__bins *bins = &a->bins[i / HG__BINS];
        unsigned bin = i % HG__BINS;
        if ((bins->first[bin] != 0) != (bins->mask[bin / 64] >> bin % 64 & 1))
            return hg__wrong(why, "arena: mask and list of a bin disagree", bin, bins->first[bin]);
        uint32_t prev = 0;
        for (uint32_t g = bins->first[bin]; g; prev = g, g = hg__run(a, g)->next) {
            const struct hg__run *run = hg__run(a, g);
            if (g >= a->frontier || !is_free(run) || bin_of(run->length) != bin ||
                run->prev != prev || (run->dirty != 0) != (i >= HG__BINS))
                return hg__wrong(why, "arena: a binned run is in the wrong place", g, bin);
            if (run->dirty > run->length)
                return hg__wrong(why, "arena: more dirty than there is", g, (size_t)run->dirty);
            *granules += run->length;
            dirty += run->dirty;
        }
    }
    if (dirty != a->dirty)
        return hg__wrong(why, "arena: dirty count is off", dirty, a->dirty);
    return true;
}

bool hg__arena_validate(struct hg__arena *a, struct hg__why *why) {
    size_t counted[HG__META + 1] = {0}, binned = 0, large = 0;
    unsigned before = HG__META;
    for (size_t g = 1, length; g < a->frontier; g += length) {
        const struct hg__run *run = hg__run(a, g);
        length = run->length;
        if (length == 0 || length > a->frontier - g || run->kind > HG__META || run->head != g)
            return hg__wrong(why, "arena: runs do not tile the memory", g, length);
        const struct hg__run *last = hg__run(a, g + length - 1);
        if (last->head != g || last->kind != run->kind)
            return hg__wrong(why, "arena: both ends of a run disagree", g, last->head);
        if (is_free(run) && before == HG__FREE)
            return hg__wrong(why, "arena: two free neighbours are not merged", g, run->kind);
        before = run->kind;
        counted[run->kind] += length;
        large += run->kind == HG__LARGE;
        uint32_t entry = hg__map_get(a, g);
        if ((run->kind == HG__LARGE) != (entry == HG__MAP_LARGE))
            return hg__wrong(why, "arena: the map does not know a large run", g, entry);
        for (size_t i = 1; i < length && i < 64 && run->kind != HG__SLAB; i++)
            if (hg__map_get(a, g + i) != 0)
                return hg__wrong(why, "arena: the map has an entry inside a run", g, i);
        if (run->kind != HG__SLAB && run->kind != HG__LARGE && entry != 0)
            return hg__wrong(why, "arena: the map has an entry for memory not handed out", g,
                             entry);
    }
    if (!validate_bins(a, &binned, why))
        return false;
    if (binned != counted[HG__FREE])
        return hg__wrong(why, "arena: a free run is in no bin", binned, counted[HG__FREE]);
    if (counted[HG__SLAB] + counted[HG__LARGE] + counted[HG__META] != a->used)
        return hg__wrong(why, "arena: used count is off", counted[HG__SLAB], a->used);
    if (counted[HG__LARGE] != a->large_granules || large != a->large_count)
        return hg__wrong(why, "arena: large count is off", large, a->large_count);
    return true;
}
