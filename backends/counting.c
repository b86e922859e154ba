/* The counting decorator: passes every call on and counts it, so that "operations asked" can be held
 * against "calls that arrived" (a compiler may remove malloc/free pairs; a harness may skip). */
#include "adapter.h"
#include "counting.h"

#include <stdatomic.h>

static const hg_backend *inner;
static atomic_uint_fast64_t counts[HG_COUNT_KINDS];

static void count(enum hg_count_kind kind) {
    atomic_fetch_add_explicit(&counts[kind], 1, memory_order_relaxed);
}

uint64_t hg_counting_get(enum hg_count_kind kind) {
    return atomic_load_explicit(&counts[kind], memory_order_relaxed);
}

uint64_t hg_counting_total(void) {
    uint64_t total = 0;
    for (int kind = 0; kind < HG_COUNT_KINDS; kind++)
        total += hg_counting_get(kind);
    return total;
}

static void *counting_malloc(size_t size) {
    count(HG_COUNT_ALLOC);
    return inner->libc.malloc(size);
}

static void *counting_calloc(size_t n, size_t size) {
    count(HG_COUNT_ALLOC);
    return inner->libc.calloc(n, size);
}

static void *counting_realloc(void *ptr, size_t size) {
    count(HG_COUNT_REALLOC);
    return inner->libc.realloc(ptr, size);
}

static void counting_free(void *ptr) {
    count(HG_COUNT_FREE);
    inner->libc.free(ptr);
}

static void *counting_aligned_alloc(size_t align, size_t size) {
    count(HG_COUNT_ALLOC);
    return inner->libc.aligned_alloc(align, size);
}

static int counting_posix_memalign(void **out, size_t align, size_t size) {
    count(HG_COUNT_ALLOC);
    return inner->libc.posix_memalign(out, align, size);
}

static void *counting_memalign(size_t align, size_t size) {
    count(HG_COUNT_ALLOC);
    return inner->libc.memalign(align, size);
}

static void *counting_valloc(size_t size) {
    count(HG_COUNT_ALLOC);
    return inner->libc.valloc(size);
}

static void *counting_pvalloc(size_t size) {
    count(HG_COUNT_ALLOC);
    return inner->libc.pvalloc(size);
}

static void *counting_reallocarray(void *ptr, size_t n, size_t size) {
    count(HG_COUNT_REALLOC);
    return inner->libc.reallocarray(ptr, n, size);
}

static size_t counting_usable_size(void *ptr) {
    count(HG_COUNT_OTHER);
    return inner->libc.malloc_usable_size(ptr);
}

static void counting_free_sized(void *ptr, size_t size) {
    count(HG_COUNT_FREE);
    inner->libc.free_sized(ptr, size);
}

static void counting_free_aligned_sized(void *ptr, size_t align, size_t size) {
    count(HG_COUNT_FREE);
    inner->libc.free_aligned_sized(ptr, align, size);
}

static void *counting_layout_alloc(const hg_backend *self, hg_layout layout) {
    (void)self;
    count(HG_COUNT_ALLOC);
    return inner->layout.alloc(inner, layout);
}

static void *counting_layout_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    (void)self;
    count(HG_COUNT_ALLOC);
    return inner->layout.alloc_zeroed(inner, layout);
}

static void *counting_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                     size_t new_size) {
    (void)self;
    count(HG_COUNT_REALLOC);
    return inner->layout.realloc(inner, ptr, layout, new_size);
}

static void counting_layout_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    count(HG_COUNT_FREE);
    inner->layout.dealloc(inner, ptr, layout);
}

static size_t counting_purge(const hg_backend *self) {
    (void)self;
    return inner->purge(inner);
}

#define WRAP(face, function, wrapper)                                                              \
    if (inner->face.function)                                                                      \
        backend->face.function = (wrapper);

enum hg_status hg__counting_open(const hg_backend *wrapped, hg_backend *backend) {
    if (inner)
        return HG_ERR_USAGE; /* one a process */
    inner = wrapped;
    WRAP(libc, malloc, counting_malloc)
    WRAP(libc, calloc, counting_calloc)
    WRAP(libc, realloc, counting_realloc)
    WRAP(libc, free, counting_free)
    WRAP(libc, aligned_alloc, counting_aligned_alloc)
    WRAP(libc, posix_memalign, counting_posix_memalign)
    WRAP(libc, memalign, counting_memalign)
    WRAP(libc, valloc, counting_valloc)
    WRAP(libc, pvalloc, counting_pvalloc)
    WRAP(libc, reallocarray, counting_reallocarray)
    WRAP(libc, malloc_usable_size, counting_usable_size)
    WRAP(libc, free_sized, counting_free_sized)
    WRAP(libc, free_aligned_sized, counting_free_aligned_sized)
    WRAP(layout, alloc, counting_layout_alloc)
    WRAP(layout, alloc_zeroed, counting_layout_alloc_zeroed)
    WRAP(layout, realloc, counting_layout_realloc)
    WRAP(layout, dealloc, counting_layout_dealloc)
    if (inner->purge)
        backend->purge = counting_purge;
    return HG_OK;
}
