#include "adapter.h"

#include <string.h>

enum { MIN_ALIGN = 16 }; /* alignof(max_align_t) on the platforms we run on */

/* malloc's own guarantee: any alignment up to MIN_ALIGN that is not above the size (C2). */
static bool malloc_suffices(size_t align, size_t size) {
    return align <= MIN_ALIGN && align <= size;
}

static void *aligned(const struct hg_libc_face *libc, size_t align, size_t size) {
    if (align < sizeof(void *))
        align = sizeof(void *);
    if (libc->posix_memalign) {
        void *ptr = NULL;
        return libc->posix_memalign(&ptr, align, size) == 0 ? ptr : NULL;
    }
    if (libc->aligned_alloc) /* C11: the size is to be a multiple of the alignment */
        return libc->aligned_alloc(align, (size + align - 1) & ~(align - 1));
    if (libc->memalign)
        return libc->memalign(align, size);
    return NULL;
}

static void *over_libc_alloc(const hg_backend *self, hg_layout layout) {
    if (malloc_suffices(layout.align, layout.size))
        return self->libc.malloc(layout.size);
    return aligned(&self->libc, layout.align, layout.size);
}

static void *over_libc_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    if (malloc_suffices(layout.align, layout.size))
        return self->libc.calloc(1, layout.size);
    void *ptr = aligned(&self->libc, layout.align, layout.size);
    return ptr ? memset(ptr, 0, layout.size) : NULL;
}

static void over_libc_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)layout;
    self->libc.free(ptr);
}

static void *over_libc_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                               size_t new_size) {
    if (malloc_suffices(layout.align, new_size))
        return self->libc.realloc(ptr, new_size);
    void *moved = aligned(&self->libc, layout.align, new_size);
    if (!moved)
        return NULL;
    memcpy(moved, ptr, layout.size < new_size ? layout.size : new_size);
    self->libc.free(ptr);
    return moved;
}

const struct hg_layout_face hg__layout_over_libc = {
    over_libc_alloc,
    over_libc_alloc_zeroed,
    over_libc_realloc,
    over_libc_dealloc,
};
