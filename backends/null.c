/* The null backend: a bump pointer that never frees. What a workload costs on it is what the harness
 * itself costs. It is no allocator: small blocks are handed out from a ring of RING_BYTES a thread and
 * are handed out again after one turn, whether or not they were freed, so that the harness's writes stay
 * in cache as they do with an allocator that reuses memory; large ones all share one mapping. Content
 * is therefore not kept, and the oracle is never run on it. */
#include "adapter.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

enum { RING_BYTES = 16 << 10, SMALL_MAX = 2 << 10 };
static const size_t LARGE_BYTES = (size_t)1 << 40; /* address space only, touched by the workload */

static _Thread_local char *ring_next, *ring_end;
static char *large;

static void *reserve(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static __attribute__((noinline)) void *bump_slow(size_t size, size_t align) {
    if (size > SMALL_MAX || align > SMALL_MAX) {
        if (size > LARGE_BYTES / 2 || align > LARGE_BYTES / 2) {
            errno = ENOMEM;
            return NULL;
        }
        return (char *)(((uintptr_t)large + align - 1) & ~(align - 1));
    }
    if (!ring_end) {
        ring_next = reserve(RING_BYTES);
        if (!ring_next)
            return NULL;
        ring_end = ring_next + RING_BYTES;
    } else {
        ring_next = ring_end - RING_BYTES;
    }
    char *block = (char *)(((uintptr_t)ring_next + align - 1) & ~(align - 1));
    ring_next = block + size;
    return block;
}

static inline void *bump(size_t size, size_t align) {
    uintptr_t begin = ((uintptr_t)ring_next + align - 1) & ~(align - 1);
    if (size > SMALL_MAX || begin + size > (uintptr_t)ring_end)
        return bump_slow(size, align);
    ring_next = (char *)(begin + size);
    return (char *)begin;
}

static void *null_malloc(size_t size) {
    return bump(size, 16);
}

static void *null_calloc(size_t count, size_t size) {
    return bump(count * size, 16);
}

static void *null_realloc(void *ptr, size_t size) {
    (void)ptr;
    return bump(size, 16);
}

static void null_free(void *ptr) {
    (void)ptr;
}

static void *null_aligned_alloc(size_t align, size_t size) {
    return bump(size, align);
}

static int null_posix_memalign(void **out, size_t align, size_t size) {
    void *ptr = bump(size, align);
    if (!ptr)
        return ENOMEM;
    *out = ptr;
    return 0;
}

static void *null_page_alloc(size_t size) {
    return bump(size, 4096);
}

static void *null_reallocarray(void *ptr, size_t count, size_t size) {
    (void)ptr;
    return bump(count * size, 16);
}

static size_t null_usable_size(void *ptr) {
    (void)ptr;
    return 0;
}

static void null_free_sized(void *ptr, size_t size) {
    (void)ptr;
    (void)size;
}

static void null_free_aligned_sized(void *ptr, size_t align, size_t size) {
    (void)ptr;
    (void)align;
    (void)size;
}

static void *null_layout_alloc(const hg_backend *self, hg_layout layout) {
    (void)self;
    return bump(layout.size, layout.align);
}

static void *null_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                 size_t new_size) {
    (void)self;
    (void)ptr;
    return bump(new_size, layout.align);
}

static void null_layout_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    (void)ptr;
    (void)layout;
}

static enum hg_status null_open(hg_backend *backend, char *why, size_t why_size) {
    (void)why;
    (void)why_size;
    large = reserve(LARGE_BYTES);
    backend->libc = (struct hg_libc_face){
        .malloc = null_malloc,
        .calloc = null_calloc,
        .realloc = null_realloc,
        .free = null_free,
        .aligned_alloc = null_aligned_alloc,
        .posix_memalign = null_posix_memalign,
        .memalign = null_aligned_alloc,
        .valloc = null_page_alloc,
        .pvalloc = null_page_alloc,
        .reallocarray = null_reallocarray,
        .malloc_usable_size = null_usable_size,
        .free_sized = null_free_sized,
        .free_aligned_sized = null_free_aligned_sized,
    };
    backend->layout = (struct hg_layout_face){null_layout_alloc, null_layout_alloc,
                                              null_layout_realloc, null_layout_dealloc};
    backend->facts.version = "1";
    backend->facts.path = hg__file_of_address((const void *)(uintptr_t)null_open);
    backend->facts.align_min = 16;
    backend->facts.align_max = LARGE_BYTES / 2;
    backend->facts.malloc_zero = HG_ZERO_UNIQUE;
    backend->facts.realloc_zero = HG_ZERO_UNIQUE;
    backend->facts.frees = false;
    return HG_OK;
}

const struct hg_adapter hg__adapter_null = {
    "null",
    "never frees, promises nothing: shows the harness's own cost",
    NULL,
    null_open,
};
