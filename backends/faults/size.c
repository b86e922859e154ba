/* Planted faults. Sizes: arithmetic that wraps, classes a step too small, usable sizes that are not. */
#include "faults_private.h"

static void *unchecked_calloc(size_t count, size_t size) {
    size_t product = count * size;
    return hg__inner->libc.calloc(1, product > PTRDIFF_MAX ? 64 : product);
}

static bool install_calloc_overflow(hg_backend *backend) {
    backend->libc.calloc = unchecked_calloc;
    return true;
}

static void *wrapping_malloc(size_t size) {
    return hg__inner->libc.malloc(size > SIZE_MAX - 64 ? size + 64 : size);
}

static bool install_header_wraps(hg_backend *backend) {
    backend->libc.malloc = wrapping_malloc;
    return true;
}

static void *class_too_small(size_t size) {
    return hg__inner->libc.malloc(size == 1025 ? 1008 : size);
}

static bool install_class_edge(hg_backend *backend) {
    backend->libc.malloc = class_too_small;
    backend->libc.free_sized = NULL;
    return true;
}

static size_t usable_with_header(void *ptr) {
    size_t usable = hg__inner->libc.malloc_usable_size(ptr);
    return ptr ? usable + 16 : usable;
}

static bool install_usable_too_large(hg_backend *backend) {
    backend->libc.malloc_usable_size = usable_with_header;
    return true;
}

static void *larger_minimum(size_t size) {
    return hg__inner->libc.malloc(size < 64 ? 64 : size);
}

static bool install_larger_minimum(hg_backend *backend) {
    backend->libc.malloc = larger_minimum;
    backend->libc.free_sized = NULL;
    return true;
}

static void *extra_alignment(size_t size) {
    return size >= 64 && size <= PTRDIFF_MAX - 64
               ? hg__inner->libc.aligned_alloc(64, (size + 63) & ~(size_t)63)
               : hg__inner->libc.malloc(size);
}

static bool install_extra_alignment(hg_backend *backend) {
    backend->libc.malloc = extra_alignment;
    backend->libc.free_sized = NULL;
    return true;
}

static void *sum_wraps(size_t align, size_t size) {
    if (hg__is_power_of_two(align) && size > SIZE_MAX - align)
        return hg__inner->libc.aligned_alloc(align, 2 * align);
    return hg__inner->libc.aligned_alloc(align, size);
}

static bool install_align_sum_wraps(hg_backend *backend) {
    backend->libc.aligned_alloc = sum_wraps;
    return true;
}

static void *page_wraps(size_t size) {
    return hg__inner->libc.pvalloc((size + 4095) & ~(size_t)4095);
}

static bool install_pvalloc_wraps(hg_backend *backend) {
    backend->libc.pvalloc = page_wraps;
    return true;
}

static void *unchecked_array(void *ptr, size_t count, size_t size) {
    size_t product = count * size;
    if (ptr)
        return hg__inner->libc.reallocarray(ptr, count, size);
    return hg__inner->libc.malloc(product > PTRDIFF_MAX ? 64 : product);
}

static bool install_reallocarray_overflow(hg_backend *backend) {
    backend->libc.reallocarray = unchecked_array;
    return true;
}

static size_t usable_of_null(void *ptr) {
    return ptr ? hg__inner->libc.malloc_usable_size(ptr) : 8;
}

static bool install_usable_null(hg_backend *backend) {
    backend->libc.malloc_usable_size = usable_of_null;
    return true;
}

/* Every hundredth answer is 8 less, for blocks of malloc, where that is still enough. */
static unsigned usable_questions;

static void *with_room(size_t size) {
    if (size <= 512 || size > PTRDIFF_MAX - 16)
        return hg__inner->libc.malloc(size);
    void *ptr = hg__inner->libc.malloc(size + 16);
    if (ptr)
        hg__book_add(ptr, ptr, (hg_layout){size, 1}, size);
    return ptr;
}

static size_t usable_drifts(void *ptr) {
    struct hg__book_entry entry;
    size_t usable = hg__inner->libc.malloc_usable_size(ptr);
    return ptr && hg__book_look(ptr, &entry) && ++usable_questions % 100 == 0 ? usable - 8 : usable;
}

static bool install_usable_changes(hg_backend *backend) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.malloc = with_room;
    backend->libc.malloc_usable_size = usable_drifts;
    return true;
}

static const struct hg__planted rows[] = {
    {{"align-sum-wraps", "C34", "C34,C11", "libc", "", 2,
      "size plus alignment wraps to a small block"},
     install_align_sum_wraps},
    {{"reallocarray-overflow", "C27", "C27", "libc", "", 1,
      "reallocarray does not check its product"},
     install_reallocarray_overflow},
    {{"calloc-overflow", "C18", "C18,C11", "libc", "", 1, "calloc does not check its product"},
     install_calloc_overflow},
    {{"header-wraps", "C15", "C11", "libc", "", 2, "size plus header wraps to a small block"},
     install_header_wraps},
    {{"pvalloc-wraps", "C43", "C43", "libc", "", 2, "pvalloc's rounding wraps to a small block"},
     install_pvalloc_wraps},
    {{"class-edge", "C40", "C40", "libc", "", 3,
      "the size class of 1025 bytes is one step too small"},
     install_class_edge},
    {{"usable-too-large", "C41", "C5,C7,C41,C22", "libc", "", 2, "usable size counts the header"},
     install_usable_too_large},
    {{"usable-null", "C40", "C40", "libc", "", 1, "the usable size of NULL is 8"},
     install_usable_null},
    {{"usable-changes", "C42", "C42", "libc", "", 3, "the usable size of a live block changes"},
     install_usable_changes},
    {{"eq-larger-minimum", NULL, NULL, "libc", "", 0, "equivalent: a larger minimum block"},
     install_larger_minimum},
    {{"eq-extra-alignment", NULL, NULL, "libc", "", 0, "equivalent: more alignment than owed"},
     install_extra_alignment},
};

HG__FAULT_GROUP(size);
