/* The null backend: an allocator that costs as little as one behind a pointer can. Every request gets the
 * thread's one block, whatever its size and alignment; a free does nothing. What a workload costs on it is
 * a lower bound on what the harness costs: loop, calls through the pointer, the workload's own writes, all
 * of which hit the cache. What is above it is the allocator's, cache misses on its blocks included.
 * Content is not kept, blocks overlap, and the oracle is never run on it. */
#include "adapter.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

/* Address space, of which only what a workload writes becomes resident. Threads beyond BLOCKS share. */
enum {
    BLOCKS = 64,
    FIRST_TOUCHED_BYTES = 1 << 20 /* of the first thread's: no page faults in a short stream */
};
static const size_t BLOCK_BYTES = (size_t)16 << 30;

static char *blocks;
static atomic_uint blocks_given;

/* A request is served by `block` iff it is below `limit`: 0 in a thread's first call. */
static _Thread_local char *block;
static _Thread_local size_t limit;

static bool reserve_blocks(void) {
    size_t size = BLOCK_BYTES * (BLOCKS + 1); /* one to align by */
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    blocks = memory + (-(uintptr_t)memory & (BLOCK_BYTES - 1));
    madvise(blocks, BLOCK_BYTES * BLOCKS, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < BLOCKS; i++)
        *(volatile char *)(blocks + i * BLOCK_BYTES) = 0; /* no page fault in a new thread */
    for (size_t offset = 0; offset < FIRST_TOUCHED_BYTES; offset += 4096)
        *(volatile char *)(blocks + offset) = 0;
    return true;
}

static __attribute__((noinline)) void *serve_slow(size_t size) {
    if (size > BLOCK_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    limit = BLOCK_BYTES + 1;
    block = blocks + atomic_fetch_add(&blocks_given, 1) % BLOCKS * BLOCK_BYTES;
    return block;
}

static inline void *serve(size_t size) {
    return size < limit ? block : serve_slow(size);
}

static void *null_malloc(size_t size) {
    return serve(size);
}

static void *null_calloc(size_t count, size_t size) {
    return serve(count * size);
}

static void *null_realloc(void *ptr, size_t size) {
    (void)ptr;
    return serve(size);
}

static void null_free(void *ptr) {
    (void)ptr;
}

static void *null_aligned_alloc(size_t align, size_t size) {
    (void)align; /* a block is aligned to all of BLOCK_BYTES */
    return serve(size);
}

static int null_posix_memalign(void **out, size_t align, size_t size) {
    (void)align;
    void *ptr = serve(size);
    if (!ptr)
        return ENOMEM;
    *out = ptr;
    return 0;
}

static void *null_page_alloc(size_t size) {
    return serve(size);
}

static void *null_reallocarray(void *ptr, size_t count, size_t size) {
    (void)ptr;
    return serve(count * size);
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
    return serve(layout.size);
}

static void *null_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                 size_t new_size) {
    (void)self;
    (void)ptr;
    (void)layout;
    return serve(new_size);
}

static void null_layout_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    (void)ptr;
    (void)layout;
}

static enum hg_status null_open(hg_backend *backend, char *why, size_t why_size) {
    if (!reserve_blocks()) {
        snprintf(why, why_size, "no address space of %zu GiB", (BLOCK_BYTES >> 30) * (BLOCKS + 1));
        return HG_ERR_UNAVAILABLE;
    }
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
    backend->facts.version = "2";
    backend->facts.path = hg__file_of_address((const void *)(uintptr_t)null_open);
    backend->facts.align_min = 16;
    backend->facts.align_max = BLOCK_BYTES;
    backend->facts.malloc_zero = HG_ZERO_UNIQUE;
    backend->facts.realloc_zero = HG_ZERO_UNIQUE;
    backend->facts.frees = false;
    return HG_OK;
}

const struct hg_adapter hg__adapter_null = {
    "null", "never frees, promises nothing: shows the harness's own cost", NULL, NULL, null_open,
};
