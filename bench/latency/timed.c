#include "timed.h"

#include "tick.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A thread's histograms, each made when first needed. Sets of threads that ended are used again. */
struct set {
    struct set *next, *next_free;
    hg_histogram *at[HG_TIMED_KINDS][HG_TIMED_CLASSES];
};

static const hg_backend *inner;
static atomic_bool recording;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t key;
static struct set *sets, *free_sets;
static _Thread_local struct set *my_set;

/* ---- histograms ---- */

static void *map(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("heapgauge: memory for histograms");
        abort();
    }
    return memory;
}

static void return_set(void *set) {
    struct set *mine = set;
    pthread_mutex_lock(&lock);
    mine->next_free = free_sets;
    free_sets = mine;
    pthread_mutex_unlock(&lock);
    my_set = NULL;
}

static __attribute__((noinline)) struct set *take_set(void) {
    pthread_mutex_lock(&lock);
    struct set *set = free_sets;
    if (set) {
        free_sets = set->next_free;
    } else {
        set = map(sizeof *set);
        set->next = sets;
        sets = set;
    }
    pthread_mutex_unlock(&lock);
    pthread_setspecific(key, set);
    return my_set = set;
}

static unsigned class_of(size_t size) {
    unsigned class = size <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(size - 1);
    return class < HG_TIMED_CLASS_ANY ? class : HG_TIMED_CLASS_ANY - 1;
}

static void record(enum hg_timed_kind kind, unsigned size_class, uint64_t ticks) {
    if (!atomic_load_explicit(&recording, memory_order_relaxed))
        return;
    struct set *set = my_set ? my_set : take_set();
    hg_histogram **histogram = &set->at[kind][size_class];
    if (!*histogram)
        *histogram = map(sizeof **histogram);
    hg_histogram_record(*histogram, ticks);
}

void hg_timed_start(void) {
    pthread_mutex_lock(&lock);
    for (struct set *set = sets; set; set = set->next)
        for (unsigned kind = 0; kind < HG_TIMED_KINDS; kind++)
            for (unsigned class = 0; class < HG_TIMED_CLASSES; class ++)
                if (set->at[kind][class])
                    hg_histogram_clear(set->at[kind][class]);
    pthread_mutex_unlock(&lock);
    atomic_store(&recording, true);
}

void hg_timed_stop(void) {
    atomic_store(&recording, false);
}

bool hg_timed_sum(enum hg_timed_kind kind, unsigned size_class, hg_histogram *sum) {
    hg_histogram_clear(sum);
    pthread_mutex_lock(&lock);
    for (const struct set *set = sets; set; set = set->next)
        if (set->at[kind][size_class])
            hg_histogram_add(sum, set->at[kind][size_class]);
    pthread_mutex_unlock(&lock);
    return sum->total > 0;
}

const char *hg_timed_kind_name(enum hg_timed_kind kind) {
    static const char *const names[HG_TIMED_KINDS] = {
        "malloc", "calloc", "realloc", "aligned", "free", "alloc", "layout-realloc", "dealloc",
    };
    return names[kind];
}

/* ---- the calls ---- */

#define TIMED(kind, size_class, call)                                                              \
    do {                                                                                           \
        uint64_t hg__begin = hg_tick_begin();                                                      \
        call;                                                                                      \
        record((kind), (size_class), hg_tick_since(hg__begin));                                    \
    } while (0)

static void *timed_malloc(size_t size) {
    void *ptr;
    TIMED(HG_TIMED_MALLOC, class_of(size), ptr = inner->libc.malloc(size));
    return ptr;
}

static void *timed_calloc(size_t count, size_t size) {
    void *ptr;
    TIMED(HG_TIMED_CALLOC, class_of(count * size), ptr = inner->libc.calloc(count, size));
    return ptr;
}

static void *timed_realloc(void *old, size_t size) {
    void *ptr;
    TIMED(HG_TIMED_REALLOC, class_of(size), ptr = inner->libc.realloc(old, size));
    return ptr;
}

static void timed_free(void *ptr) {
    TIMED(HG_TIMED_FREE, HG_TIMED_CLASS_ANY, inner->libc.free(ptr));
}

static void *timed_aligned_alloc(size_t align, size_t size) {
    void *ptr;
    TIMED(HG_TIMED_ALIGNED, class_of(size), ptr = inner->libc.aligned_alloc(align, size));
    return ptr;
}

static int timed_posix_memalign(void **out, size_t align, size_t size) {
    int error;
    TIMED(HG_TIMED_ALIGNED, class_of(size), error = inner->libc.posix_memalign(out, align, size));
    return error;
}

static void timed_free_sized(void *ptr, size_t size) {
    TIMED(HG_TIMED_FREE, class_of(size), inner->libc.free_sized(ptr, size));
}

static void timed_free_aligned_sized(void *ptr, size_t align, size_t size) {
    TIMED(HG_TIMED_FREE, class_of(size), inner->libc.free_aligned_sized(ptr, align, size));
}

static void *timed_layout_alloc(const hg_backend *self, hg_layout layout) {
    (void)self;
    void *ptr;
    TIMED(HG_TIMED_LAYOUT_ALLOC, class_of(layout.size), ptr = inner->layout.alloc(inner, layout));
    return ptr;
}

static void *timed_layout_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    (void)self;
    void *ptr;
    TIMED(HG_TIMED_LAYOUT_ALLOC, class_of(layout.size),
          ptr = inner->layout.alloc_zeroed(inner, layout));
    return ptr;
}

static void *timed_layout_realloc(const hg_backend *self, void *old, hg_layout layout,
                                  size_t new_size) {
    (void)self;
    void *ptr;
    TIMED(HG_TIMED_LAYOUT_REALLOC, class_of(new_size),
          ptr = inner->layout.realloc(inner, old, layout, new_size));
    return ptr;
}

static void timed_layout_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    TIMED(HG_TIMED_LAYOUT_DEALLOC, class_of(layout.size),
          inner->layout.dealloc(inner, ptr, layout));
}

#define WRAP(face, function, wrapper)                                                              \
    if (inner->face.function)                                                                      \
    timed.face.function = (wrapper)

const hg_backend *hg_timed_wrap(const hg_backend *wrapped) {
    static hg_backend timed;
    if (inner || pthread_key_create(&key, return_set) != 0)
        return NULL;
    inner = wrapped;
    timed = *wrapped;
    WRAP(libc, malloc, timed_malloc);
    WRAP(libc, calloc, timed_calloc);
    WRAP(libc, realloc, timed_realloc);
    WRAP(libc, free, timed_free);
    WRAP(libc, aligned_alloc, timed_aligned_alloc);
    WRAP(libc, posix_memalign, timed_posix_memalign);
    WRAP(libc, free_sized, timed_free_sized);
    WRAP(libc, free_aligned_sized, timed_free_aligned_sized);
    WRAP(layout, alloc, timed_layout_alloc);
    WRAP(layout, alloc_zeroed, timed_layout_alloc_zeroed);
    WRAP(layout, realloc, timed_layout_realloc);
    WRAP(layout, dealloc, timed_layout_dealloc);
    return &timed;
}
