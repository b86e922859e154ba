#include "cache.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "os.h"

enum {
    BIN_SIZE_MAX = 32 << 10, /* bytes of slots a bin may hold ... */
    BIN_COUNT_MAX = 1024,    /* ... and slots */
    BIN_COUNT_MIN = 16,
    BIN_COUNT_START = 2, /* at first, and after the cache was emptied */
    OUTBOX_COUNT = 128,
    DEPOT_SIZE_MIN = 256, /* a page where there is one thread: smaller slots are better packed */
    LEND_SPAN = 4,        /* classes above one that may lend to it */
    LENT_MAX = 8,         /* in a row */
    LENT_SLABS = 8,       /* a class of more slabs than these has uses for another one */
};

static void *no_cells[2];
#define NO_BINS                                                                                    \
    {                                                                                              \
        [0 ... HG__BIN_COUNT - 1] = { &no_cells[1], &no_cells[1] }                                 \
    }
static struct hg__cache boot = {.bins = NO_BINS, .foreign = UINT32_MAX};
static struct hg__cache dead = {.bins = NO_BINS, .foreign = UINT32_MAX};
__thread struct hg__cache *hg__thread = &boot;

static struct hg__heap main_heaps[HG__HEAPS_MAX];
static struct hg__lock registry_lock; /* guards the four below */
static struct hg__cache *all_caches;
static struct hg__cache *idle_caches;
static unsigned next_heap;
static bool started;            /* atomic */
static struct hg__cache *depot; /* atomic; made when first needed */
static struct hg__lock depot_locks[HG_CLASS_COUNT];
static pthread_key_t exit_key;
static bool exit_key_made;

static size_t capacity(unsigned class) {
    if (class == HG__OUTBOX)
        return OUTBOX_COUNT;
    if (class == 0)
        return 0;
    size_t count = BIN_SIZE_MAX / hg__class_size(class);
    size_t least = hg__class_size(class) > 32768 ? 4 : BIN_COUNT_MIN;
    return count > BIN_COUNT_MAX ? BIN_COUNT_MAX : count < least ? least : count;
}

/* Cells lie behind the record in order of class, each array after its NULL. */
static void **bin_bottom(struct hg__cache *cache, unsigned class) {
    static uint32_t offset[HG__BIN_COUNT + 1]; /* computed once, under the registry lock */
    if (!offset[HG__BIN_COUNT])
        for (unsigned i = 0; i < HG__BIN_COUNT; i++)
            offset[i + 1] = offset[i] + 1 + (uint32_t)capacity(i);
    return (void **)(void *)(cache + 1) + offset[class] + 1;
}

/* ---- life of the instance and of a thread's cache ---- */

/* glibc's fork takes the list lock of stdio after our handler ran, and a thread that holds it may
 * be waiting for one of our locks: take it first. Recursive, and absent elsewhere. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));

/* A program of one thread may fork in a signal handler, even out of our own code with a lock held
 * (glibc allows it too): no other thread can hold any, and the child goes on where the parent was. */
extern char __libc_single_threaded __attribute__((weak));

static bool is_alone(void) {
    return &__libc_single_threaded && __libc_single_threaded;
}

static bool fork_locked;

static void fork_prepare(void) {
    fork_locked = !is_alone();
    if (!fork_locked)
        return;
    if (_IO_list_lock && _IO_list_unlock)
        _IO_list_lock();
    hg__lock(&registry_lock);
    for (unsigned i = 0; i < hg__main.heap_count; i++)
        hg__lock(&main_heaps[i].lock);
    hg__lock(&hg__main.arena.lock);
}

static void fork_parent(void) {
    if (!fork_locked)
        return;
    hg__unlock(&hg__main.arena.lock);
    for (unsigned i = hg__main.heap_count; i-- > 0;)
        hg__unlock(&main_heaps[i].lock);
    hg__unlock(&registry_lock);
    if (_IO_list_lock && _IO_list_unlock)
        _IO_list_unlock();
}

/* The child has this thread alone, so locks are made anew rather than unlocked (a waiter may have
 * been counted in them). What other threads had cached stays in their caches, unused: a thread may
 * have been stopped in the middle of a push. */
static void fork_child(void) {
    if (!fork_locked)
        return;
    hg__main.arena.lock.state = 0;
    for (unsigned i = 0; i < hg__main.heap_count; i++)
        main_heaps[i].lock.state = 0;
    registry_lock.state = 0;
    /* glibc resets it only where the parent had several threads; a reset twice does no harm. */
    if (_IO_list_resetlock)
        _IO_list_resetlock();
}

bool hg__cache_start(void) {
    if (HG_LIKELY(__atomic_load_n(&started, __ATOMIC_ACQUIRE)))
        return true;
    hg__lock(&registry_lock);
    bool first = !started;
    size_t size = hg__os_reserve_hint();
    if (first && (hg__arena_open_unreserved(&hg__main.arena, size) ||
                  hg__arena_open(&hg__main.arena, size, 0))) {
        hg__geometry_init(hg__main.geometry, hg__main.arena.shift);
        unsigned count = hg__os_cpu_count();
        hg__main.heap_count = count < HG__HEAPS_MAX ? count : HG__HEAPS_MAX;
        hg__main.heaps = main_heaps;
        hg__main.min_align = HG__STEP;
        for (unsigned i = 0; i < hg__main.heap_count; i++) {
            main_heaps[i].index = i;
            main_heaps[i].arena = &hg__main.arena;
            main_heaps[i].geometry = hg__main.geometry;
        }
        __atomic_store_n(&started, true, __ATOMIC_RELEASE);
    }
    bool done = started;
    hg__unlock(&registry_lock);
    return done;
}

/* A bin's slots to the heaps. */
static void bin_flush(struct hg__cache *cache, unsigned class) {
    struct hg__bin *bin = &cache->bins[class];
    void **bottom = bin_bottom(cache, class);
    size_t count = (size_t)(bin->top - bottom);
    __atomic_store_n(&bin->top, bottom, __ATOMIC_RELAXED);
    hg__heap_put(main_heaps, bottom, count, class == HG__OUTBOX ? 0 : class);
}

/* All bins, and limits back to the start. */
static void flush(struct hg__cache *cache) {
    for (unsigned class = 1; class < HG__BIN_COUNT; class ++) {
        struct hg__bin *bin = &cache->bins[class];
        void **bottom = bin_bottom(cache, class);
        bin_flush(cache, class);
        if (class != HG__OUTBOX && bin->limit - bottom > BIN_COUNT_START)
            bin->limit = bottom + BIN_COUNT_START;
    }
}

static void thread_exit(void *value) {
    struct hg__cache *cache = value;
    hg__thread = &dead; /* later destructors go to the heap directly */
    flush(cache);
    hg__lock(&registry_lock);
    cache->next_idle = idle_caches;
    idle_caches = cache;
    hg__unlock(&registry_lock);
}

/* A cache record of fresh memory; NULL iff there is none. Called under the registry lock. */
static struct hg__cache *cache_make(void) {
    struct hg__arena *a = &hg__main.arena;
    size_t cells = 0;
    bool zeroed;
    for (unsigned i = 0; i < HG__BIN_COUNT; i++)
        cells += 1 + capacity(i);
    size_t size = sizeof(struct hg__cache) + cells * sizeof(void *);
    size_t length = hg__round_up(size, (size_t)1 << a->shift) >> a->shift;
    size_t g = hg__arena_take(a, length, 1, HG__META, &zeroed);
    if (!g)
        return NULL;
    struct hg__cache *cache = (struct hg__cache *)(void *)hg__address(a, g);
    if (!zeroed) /* the NULLs below the bottoms */
        memset((void *)cache, 0, size);
    for (unsigned i = 0; i < HG__BIN_COUNT; i++) {
        size_t limit = capacity(i);
        if (limit > BIN_COUNT_START && i != HG__OUTBOX)
            limit = BIN_COUNT_START;
        cache->bins[i].top = bin_bottom(cache, i);
        cache->bins[i].limit = cache->bins[i].top + limit;
    }
    for (size_t step = 0; step < HG__FAST_STEPS; step++)
        cache->bin_of_step[step] =
            (uint16_t)(hg__class_of((step + 1) * HG__STEP) * sizeof(struct hg__bin));
    cache->next = all_caches;
    all_caches = cache;
    return cache;
}

/* ---- the depot ----
 *
 * A cache without a thread, where one thread leaves a batch that another will want: such slots stay out
 * of their slabs. A lock a class, which is only tried: who finds it held goes to the heap, and so the
 * child of a fork can do without those that nobody is left to open. */

static struct hg__cache *depot_make(void) {
    hg__lock(&registry_lock);
    struct hg__cache *made = depot ? depot : cache_make();
    for (unsigned class = 1; made && made != depot && class < HG_CLASS_COUNT; class ++)
        made->bins[class].limit = bin_bottom(made, class) + capacity(class);
    __atomic_store_n(&depot, made, __ATOMIC_RELEASE);
    hg__unlock(&registry_lock);
    return made;
}

/* How many slots are there about now. */
static size_t depot_count(unsigned class) {
    struct hg__cache *in = __atomic_load_n(&depot, __ATOMIC_ACQUIRE);
    return in ? (size_t)(__atomic_load_n(&in->bins[class].top, __ATOMIC_RELAXED) -
                         bin_bottom(in, class))
              : 0;
}

/* Leaves a batch there; false iff it does not fit. */
static bool depot_put(unsigned class, void **slots, size_t count) {
    if (hg__class_size(class) < (is_alone() ? HG__PAGE : DEPOT_SIZE_MIN))
        return false;
    struct hg__cache *to = __atomic_load_n(&depot, __ATOMIC_ACQUIRE);
    if ((!to && !(to = depot_make())) || !hg__try_lock(&depot_locks[class]))
        return false;
    struct hg__bin *bin = &to->bins[class];
    bool fits = count <= (size_t)(bin->limit - bin->top);
    if (fits) {
        memcpy((void *)bin->top, (void *)slots, count * sizeof *slots);
        __atomic_store_n(&bin->top, bin->top + count, __ATOMIC_RELAXED);
    }
    hg__unlock(&depot_locks[class]);
    return fits;
}

/* Moves up to `want` slots from there to `out`. Returns how many. */
static size_t depot_take(unsigned class, void **out, size_t want) {
    if (depot_count(class) == 0 || !hg__try_lock(&depot_locks[class]))
        return 0;
    struct hg__bin *bin = &__atomic_load_n(&depot, __ATOMIC_ACQUIRE)->bins[class];
    size_t count = depot_count(class), got = want < count ? want : count;
    __atomic_store_n(&bin->top, bin->top - got, __ATOMIC_RELAXED);
    memcpy((void *)out, (void *)bin->top, got * sizeof *out);
    hg__unlock(&depot_locks[class]);
    return got;
}

static void depot_flush(unsigned class) {
    if (depot_count(class) == 0 || !hg__try_lock(&depot_locks[class]))
        return;
    bin_flush(__atomic_load_n(&depot, __ATOMIC_ACQUIRE), class);
    hg__unlock(&depot_locks[class]);
}

void hg__cache_flush(void) {
    if (hg__thread != &boot && hg__thread != &dead)
        flush(hg__thread);
    for (unsigned class = 1; class < HG_CLASS_COUNT; class ++)
        depot_flush(class);
}

/* ---- life of a thread's cache, continued ---- */

/* pthread calls that may allocate, hence with no lock held and the cache in place. */
static void register_exit(struct hg__cache *cache) {
    static struct hg__lock once;
    static bool registered;
    hg__lock(&once);
    bool first = !registered;
    if (first)
        exit_key_made = pthread_key_create(&exit_key, thread_exit) == 0;
    registered = true;
    hg__unlock(&once);
    if (first)
        pthread_atfork(fork_prepare, fork_parent, fork_child);
    if (exit_key_made)
        pthread_setspecific(exit_key, cache);
}

/* Gives the calling thread a cache, an idle one first. False iff it must do without: no memory, or
 * its destructors have run. */
static bool attach(void) {
    if (hg__thread != &boot)
        return hg__thread != &dead;
    if (!hg__cache_start())
        return false;
    int saved = errno;
    hg__lock(&registry_lock);
    struct hg__cache *cache = idle_caches;
    if (cache)
        idle_caches = cache->next_idle;
    else
        cache = cache_make();
    if (cache) {
        cache->heap = &main_heaps[next_heap++ % hg__main.heap_count];
        cache->shared_heap = &main_heaps[0];
        cache->foreign = ~hg__map_owner(cache->heap->index);
    }
    hg__unlock(&registry_lock);
    if (cache) {
        hg__thread = cache;
        register_exit(cache);
    }
    errno = saved;
    return cache != NULL;
}

/* ---- slow paths ---- */

/* The arena asks for memory back. While memory grows caches stay as they are: their slots are
 * resident, and others would have to become so in their place. */
static void trim_if_due(void) {
    struct hg__arena *a = &hg__main.arena;
    if (HG_LIKELY(!__atomic_load_n(&a->trim_due, __ATOMIC_RELAXED)))
        return;
    uint8_t due = __atomic_exchange_n(&a->trim_due, 0, __ATOMIC_RELAXED);
    if (due & HG__TRIM_CACHES)
        hg__cache_flush();
    for (unsigned i = 0; i < hg__main.heap_count && due & HG__TRIM_HOLES; i++)
        hg__heap_trim(&main_heaps[i], false);
}

static void grow_limit(struct hg__cache *cache, unsigned class) {
    struct hg__bin *bin = &cache->bins[class];
    void **bottom = bin_bottom(cache, class);
    size_t limit = 2 * (size_t)(bin->limit - bottom), most = capacity(class);
    bin->limit = bottom + (limit < most ? limit : most);
}

/* A slot from whichever heap has one, after giving back all that is idle; NULL iff none. */
static void *take_anywhere(unsigned class) {
    void *p = NULL;
    hg__cache_flush();
    hg__core_trim(&hg__main, SIZE_MAX);
    for (unsigned i = 0; i < hg__main.heap_count && !p; i++)
        if (hg__heap_take(&main_heaps[i], class, &p, 1, true) == 0)
            p = NULL;
    return p;
}

/* A cached slot of a somewhat larger class, as well aligned, when one of `class` would cost pages not
 * resident and it has few slabs: a program of many sizes would keep a few blocks of each. It is freed
 * as one of its own class, so a class that lives on loans takes slots of its own now and then. NULL iff
 * there is none. */
static void *lend(struct hg__cache *cache, const struct hg__heap *heap, unsigned class) {
    size_t align = hg__natural_align(hg__class_size(class));
    void *p = NULL;
    unsigned last = class + LEND_SPAN < HG_CLASS_COUNT - 1 ? class + LEND_SPAN : HG_CLASS_COUNT - 1;
    if (HG_HARDENED || hg__class_size(class) < HG__SHARED_SIZE_MIN ||
        hg__heap_slabs(heap, class) > LENT_SLABS || cache->lent[class] >= LENT_MAX)
        return NULL;
    for (unsigned from = class + 1; from <= last && !p; from++)
        if (hg__natural_align(hg__class_size(from)) >= align)
            p = hg__cache_pop(from);
    cache->lent[class] = (uint8_t)(cache->lent[class] + (p != NULL));
    return p;
}

static struct hg__heap *heap_of(const struct hg__cache *cache, unsigned class) {
    return hg__class_size(class) < HG__SHARED_SIZE_MIN ? cache->heap : cache->shared_heap;
}

/* The heap to take slots from. What any thread may cache comes from the first one for all threads, for
 * together they need fewer slabs, until this thread finds another one there. */
static struct hg__heap *heap_for(struct hg__cache *cache, unsigned class) {
    if (HG_UNLIKELY(heap_of(cache, class) == cache->shared_heap &&
                    hg__is_locked(&cache->shared_heap->lock)))
        cache->shared_heap = cache->heap;
    return heap_of(cache, class);
}

void *hg__cache_refill(unsigned class) {
    void *p;
    if (!attach()) {
        if (!__atomic_load_n(&started, __ATOMIC_ACQUIRE))
            return NULL;
        return hg__heap_take(&main_heaps[0], class, &p, 1, true) ? p : take_anywhere(class);
    }
    trim_if_due();
    struct hg__cache *cache = hg__thread;
    if ((p = hg__cache_pop(class))) /* attach() may have allocated and freed */
        return p;
    void **bottom = bin_bottom(cache, class);
    size_t want = (size_t)(cache->bins[class].limit - bottom + 1) / 2;
    struct hg__heap *heap = heap_for(cache, class);
    size_t got = depot_take(class, bottom, want);
    if (got == 0)
        got = hg__heap_take(heap, class, bottom, want, false);
    if (got == 0) {
        if ((p = lend(cache, heap, class)))
            return p;
        cache->lent[class] = 0;
        if (hg__class_size(class) >= HG__PAGE)
            want = 1;
        got = hg__heap_take(heap, class, bottom, want, true);
        if (got == 0)
            return take_anywhere(class);
    }
    grow_limit(cache, class);
    __atomic_store_n(&cache->bins[class].top, bottom + got - 1, __ATOMIC_RELAXED);
    return bottom[got - 1];
}

void hg__cache_overflow(unsigned class, void *p) {
    int saved = errno;
    if (!attach()) {
        hg__heap_put(main_heaps, &p, 1, class == HG__OUTBOX ? 0 : class);
    } else {
        struct hg__cache *cache = hg__thread;
        struct hg__bin *bin = &cache->bins[class];
        void **bottom = bin_bottom(cache, class);
        size_t count = (size_t)(bin->top - bottom), most = capacity(class);
        bool drained =
            count == most && class != HG__OUTBOX &&
            hg__heap_is_drained(heap_of(cache, class), class, count + depot_count(class));
        bool draining = drained || __atomic_load_n(&hg__main.arena.draining, __ATOMIC_RELAXED);
        if (count < most && !draining) {
            grow_limit(cache, class);
        } else {
            /* The older half, so that what is warm stays; while memory drains, all. */
            bool all = class == HG__OUTBOX || draining;
            size_t flushed = all ? count : (count + 1) / 2;
            /* A fork between here and the end must not find slots both here and in their slabs. */
            __atomic_store_n(&bin->top, bottom, __ATOMIC_RELAXED);
            if (all || !depot_put(class, bottom, flushed))
                hg__heap_put(main_heaps, bottom, flushed, class == HG__OUTBOX ? 0 : class);
            memmove(bottom, bottom + flushed, (count - flushed) * sizeof *bottom);
            if (drained) {
                depot_flush(class);
                bin->limit = bottom + BIN_COUNT_START;
            }
            __atomic_store_n(&bin->top, bottom + (count - flushed), __ATOMIC_RELAXED);
        }
        hg__cache_push(cache, class, p);
        trim_if_due();
    }
    errno = saved;
}

/* ---- looking in from outside ---- */

/* The outbox is left out: its slots count as live until they are home. */
size_t hg__cache_count(size_t counts[HG_CLASS_COUNT]) {
    size_t size = 0;
    hg__lock(&registry_lock);
    for (struct hg__cache *cache = all_caches; cache; cache = cache->next)
        for (unsigned class = 1; class < HG_CLASS_COUNT; class ++) {
            void **top = __atomic_load_n(&cache->bins[class].top, __ATOMIC_RELAXED);
            size_t count = (size_t)(top - bin_bottom(cache, class));
            size += count * hg__class_size(class);
            if (counts)
                counts[class] += count;
        }
    hg__unlock(&registry_lock);
    return size;
}

static bool validate_bin(struct hg__cache *cache, unsigned class, struct hg__why *why) {
    struct hg__bin *bin = &cache->bins[class];
    void **bottom = bin_bottom(cache, class);
    if (bottom[-1] != NULL)
        return hg__wrong(why, "cache: the NULL below a bin is gone", class, 0);
    if (bin->top < bottom || bin->top > bin->limit || bin->limit > bottom + capacity(class))
        return hg__wrong(why, "cache: a bin's bounds are out of order", class,
                         (size_t)(bin->top - bottom));
    for (void **cell = bottom; cell < bin->top; cell++) {
        unsigned true_class;
        bool is_free;
        if (!hg__heap_find(&hg__main.arena, hg__main.geometry, *cell, &true_class, &is_free))
            return hg__wrong(why, "cache: holds what is no slot", class, (size_t)*cell);
        if (is_free)
            return hg__wrong(why, "cache: a slot is also free in its slab", class, (size_t)*cell);
        if (class != HG__OUTBOX && true_class != class &&
            (true_class < class || hg__natural_align(hg__class_size(true_class)) <
                                       hg__natural_align(hg__class_size(class))))
            return hg__wrong(why, "cache: a slot is in a bin of another class", class, true_class);
    }
    return true;
}

/* Marks every cached slot free in its slab, to find those that are in two places; then unmarks. */
static bool validate_distinct(struct hg__why *why) {
    bool distinct = true;
    for (int pass = 0; pass < 2; pass++)
        for (struct hg__cache *cache = all_caches; cache; cache = cache->next)
            for (unsigned class = 1; class < HG__BIN_COUNT; class ++)
                for (void **cell = bin_bottom(cache, class); cell < cache->bins[class].top; cell++)
                    if (!hg__heap_set_bit(&hg__main.arena, hg__main.geometry, *cell, pass == 0) &&
                        pass == 0)
                        distinct =
                            hg__wrong(why, "cache: a slot is cached twice", class, (size_t)*cell);
    return distinct;
}

bool hg__cache_validate(struct hg__why *why) {
    bool ok = true;
    hg__lock(&registry_lock);
    for (struct hg__cache *cache = all_caches; cache && ok; cache = cache->next)
        for (unsigned class = 1; class < HG__BIN_COUNT && ok; class ++)
            ok = validate_bin(cache, class, why);
    ok = ok && validate_distinct(why);
    hg__unlock(&registry_lock);
    return ok;
}
