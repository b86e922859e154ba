/* Planted faults. Alignment: too little of it, too much taken for granted, none of it checked. */
#include "faults_private.h"

void *hg__half_aligned(size_t align, size_t size) {
    if (align < 32 || !hg__is_power_of_two(align) || size > PTRDIFF_MAX - 2 * align)
        return hg__inner->libc.aligned_alloc(align, size);
    char *real = hg__inner->libc.aligned_alloc(align, (size / align + 2) * align);
    if (!real)
        return NULL;
    hg__book_add(real + align / 2, real, (hg_layout){size + align, align}, size);
    return real + align / 2;
}

static void *half_aligned_layout(const hg_backend *self, hg_layout layout) {
    (void)self;
    if (layout.align < 32)
        return hg__inner->layout.alloc(hg__inner, layout);
    hg_layout larger = {layout.size + layout.align, layout.align};
    char *real = hg__inner->layout.alloc(hg__inner, larger);
    if (!real)
        return NULL;
    hg__book_add(real + layout.align / 2, real, larger, layout.size);
    return real + layout.align / 2;
}

static bool install_align_mask(hg_backend *backend) {
    hg__install_aligned(backend, hg__half_aligned);
    backend->layout.alloc = half_aligned_layout;
    return hg__keep_book(backend);
}

static void *small_ignores_align(size_t align, size_t size) {
    if (size < align && size > 0 && hg__is_power_of_two(align)) {
        void *ptr = hg__inner->libc.malloc(size);
        if (ptr)
            hg__book_add(ptr, ptr, (hg_layout){size, 1}, size);
        return ptr;
    }
    return hg__inner->libc.aligned_alloc(align, size);
}

static void *small_ignores_align_layout(const hg_backend *self, hg_layout layout) {
    (void)self;
    if (layout.size >= layout.align)
        return hg__inner->layout.alloc(hg__inner, layout);
    hg_layout plain = {layout.size, 1};
    void *ptr = hg__inner->layout.alloc(hg__inner, plain);
    if (ptr)
        hg__book_add(ptr, ptr, plain, layout.size);
    return ptr;
}

static bool install_align_small(hg_backend *backend) {
    hg__install_aligned(backend, small_ignores_align);
    backend->layout.alloc = small_ignores_align_layout;
    return hg__keep_book(backend);
}

/* Above `cap` an alignment is served as `cap`, and never better than that. */
static size_t align_cap;

static void *capped(size_t align, size_t size) {
    if (align <= align_cap || !hg__is_power_of_two(align) || size > PTRDIFF_MAX - 4 * align)
        return hg__inner->libc.aligned_alloc(align, size);
    char *real = hg__inner->libc.aligned_alloc(align, (size / align + 2) * align);
    if (!real)
        return NULL;
    hg__book_add(real + align_cap, real, (hg_layout){size + align, align}, size);
    return real + align_cap;
}

static void *capped_layout(const hg_backend *self, hg_layout layout) {
    (void)self;
    if (layout.align <= align_cap)
        return hg__inner->layout.alloc(hg__inner, layout);
    hg_layout larger = {layout.size + layout.align, layout.align};
    char *real = hg__inner->layout.alloc(hg__inner, larger);
    if (!real)
        return NULL;
    hg__book_add(real + align_cap, real, larger, layout.size);
    return real + align_cap;
}

static bool install_align_cap(hg_backend *backend, size_t cap) {
    align_cap = cap;
    hg__install_aligned(backend, capped);
    backend->layout.alloc = capped_layout;
    return hg__keep_book(backend);
}

static bool install_align_page(hg_backend *backend) {
    return install_align_cap(backend, 4096);
}

static bool install_align_huge_page(hg_backend *backend) {
    return install_align_cap(backend, (size_t)2 << 20);
}

/* The kernel's story (C76): slab objects are aligned to the largest power of two that divides their
 * size, so a size rounded up to a power of two is aligned to itself; without padding the layout to its
 * alignment first, a size below the alignment gets too little. */
static void *not_padded_layout(const hg_backend *self, hg_layout layout) {
    (void)self;
    size_t size = 1;
    while (size < layout.size)
        size *= 2;
    hg_layout slab = {size, size < layout.align ? size : layout.align};
    void *ptr = hg__inner->layout.alloc(hg__inner, slab);
    if (ptr)
        hg__book_add(ptr, ptr, slab, layout.size);
    return ptr;
}

static bool install_kernel_no_pad(hg_backend *backend) {
    backend->layout.alloc = not_padded_layout;
    return hg__keep_book(backend);
}

static void *fundamental_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                        size_t new_size) {
    hg_layout plain = {new_size, layout.align < 16 ? layout.align : 16};
    void *moved = hg__inner->layout.alloc(hg__inner, plain);
    if (!moved)
        return NULL;
    hg__book_add(moved, moved, plain, new_size);
    memcpy(moved, ptr, layout.size < new_size ? layout.size : new_size);
    hg__booked_dealloc(self, ptr, layout);
    return moved;
}

static bool install_layout_realloc_align(hg_backend *backend) {
    bool kept = hg__keep_book(backend);
    backend->layout.realloc = fundamental_layout_realloc;
    return kept;
}

static void *any_align(size_t align, size_t size) {
    if (!hg__is_power_of_two(align))
        return hg__inner->libc.malloc(size);
    return hg__inner->libc.aligned_alloc(align, size);
}

static bool install_bad_align_accepted(hg_backend *backend) {
    backend->libc.aligned_alloc = any_align;
    return true;
}

static void *eight_aligned(size_t size) {
    char *real = size >= 16 && size <= 64 ? hg__inner->libc.malloc(size + 16) : NULL;
    if (!real)
        return hg__inner->libc.malloc(size);
    hg__book_add(real + 8, real, (hg_layout){size, 8}, size);
    return real + 8;
}

static bool install_malloc_eight(hg_backend *backend) {
    backend->libc.malloc = eight_aligned;
    return hg__keep_book(backend);
}

static void *eight_aligned_zeroed(size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product) || product < 16 || product > 4096)
        return hg__inner->libc.calloc(count, size);
    char *real = hg__inner->libc.calloc(1, product + 16);
    if (!real)
        return NULL;
    hg__book_add(real + 8, real, (hg_layout){product, 8}, product);
    return real + 8;
}

static bool install_calloc_eight(hg_backend *backend) {
    backend->libc.calloc = eight_aligned_zeroed;
    return hg__keep_book(backend);
}

static void *refuses_small_align(size_t align, size_t size) {
    if (align < sizeof(void *)) {
        errno = EINVAL;
        return NULL;
    }
    return hg__inner->libc.aligned_alloc(align, size);
}

static bool install_small_align_refused(hg_backend *backend) {
    backend->libc.aligned_alloc = refuses_small_align;
    return true;
}

static const struct hg__planted rows[] = {
    {{"align-mask", "C1", "C1,C30", "libc", "", 1,
      "alignments from 32 up are served one power of two too small"},
     install_align_mask},
    {{"align-small", "C1", "C1,C30", "libc", "", 2,
      "alignment is ignored when the size is below it"},
     install_align_small},
    {{"align-page", "C1", "C30", "libc", "", 2, "an alignment above a page is served as a page"},
     install_align_page},
    {{"align-huge-page", "C1", "C30", "libc", "", 2, "an alignment above 2 MiB is served as 2 MiB"},
     install_align_huge_page},
    {{"kernel-no-pad", "C76", "C65,C68", "layout", "", 2,
      "size rounded to a power of two without padding the layout first"},
     install_kernel_no_pad},
    {{"layout-realloc-align", "C68", "C68", "layout", "", 2,
      "layout realloc keeps only the fundamental alignment"},
     install_layout_realloc_align},
    {{"bad-align-accepted", "C31", "C31", "libc", "", 1,
      "aligned_alloc accepts an alignment that is no power of two"},
     install_bad_align_accepted},
    {{"malloc-eight", "C2", "C2", "libc", "", 1, "malloc of 16 to 64 bytes is aligned to 8"},
     install_malloc_eight},
    {{"calloc-eight", "C20", "C20", "libc", "", 1, "calloc is aligned to 8"}, install_calloc_eight},
    {{"small-align-refused", "C30", "C30,C13", "libc", "", 1,
      "aligned_alloc refuses alignments 1, 2 and 4"},
     install_small_align_refused},
};

HG__FAULT_GROUP(align);
