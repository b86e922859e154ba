/* Planted faults. Right but for a narrow range: one alignment, one size, one function, one product. */
#include "faults_private.h"

/* ---- sizes within 16 of a power of two, alignments from 64 up ---- */

static void *near_power(size_t align, size_t size) {
    if (align < 64 || align > 1 << 20 || !hg__is_power_of_two(align) || size < 256 ||
        size > 1 << 24)
        return hg__inner->libc.aligned_alloc(align, size);
    size_t power = (size_t)1 << (63 - __builtin_clzll(size + 16));
    return size + 16 >= power && size < power && size % align != 0
               ? hg__half_aligned(align, size)
               : hg__inner->libc.aligned_alloc(align, size);
}

static bool install_near_power(hg_backend *backend) {
    hg__install_aligned(backend, near_power);
    return hg__keep_book(backend);
}

/* ---- memalign of a page for whole pages ---- */

static void *page_memalign(size_t align, size_t size) {
    return align == 4096 && size && size % 4096 == 0 && size < 1 << 24
               ? hg__half_aligned(align, size)
               : hg__inner->libc.memalign(align, size);
}

static bool install_memalign_page(hg_backend *backend) {
    backend->libc.memalign = page_memalign;
    return hg__keep_book(backend);
}

static void *small_valloc(size_t size) {
    return size && size <= 64 ? hg__inner->libc.aligned_alloc(64, size)
                              : hg__inner->libc.valloc(size);
}

static bool install_valloc_small(hg_backend *backend) {
    backend->libc.valloc = small_valloc;
    return true;
}

/* ---- usable size of aligned blocks only ---- */

static void *marked_aligned(size_t align, size_t size) {
    void *ptr = hg__inner->libc.aligned_alloc(align, size);
    if (ptr && align >= 64)
        hg__book_add(ptr, ptr, (hg_layout){size, align}, size);
    return ptr;
}

static size_t aligned_usable(void *ptr) {
    struct hg__book_entry entry;
    size_t usable = hg__inner->libc.malloc_usable_size(ptr);
    return ptr && hg__book_look(ptr, &entry) ? usable + 16 : usable;
}

static bool install_aligned_usable(hg_backend *backend) {
    hg__install_aligned(backend, marked_aligned);
    if (!hg__keep_book(backend))
        return false;
    backend->libc.malloc_usable_size = aligned_usable;
    return true;
}

/* ---- the layout face ---- */

static void *shrinks_unaligned(const hg_backend *self, void *ptr, hg_layout layout,
                               size_t new_size) {
    if (layout.align < 128 || new_size >= layout.size / 2)
        return hg__booked_layout_realloc(self, ptr, layout, new_size);
    hg_layout larger = {new_size + layout.align, layout.align};
    char *real = hg__inner->layout.alloc(hg__inner, larger);
    if (!real)
        return NULL;
    memcpy(real + 64, ptr, new_size);
    hg__booked_dealloc(self, ptr, layout);
    hg__book_add(real + 64, real, larger, new_size);
    return real + 64;
}

static bool install_layout_shrink_align(hg_backend *backend) {
    bool kept = hg__keep_book(backend);
    backend->layout.realloc = shrinks_unaligned;
    return kept;
}

/* Zeroes before it aligns: the last bytes of an over-aligned block are left as they were. */
static void *zeroes_first(const hg_backend *self, hg_layout layout) {
    (void)self;
    if (layout.align < 64 || layout.size <= layout.align)
        return hg__inner->layout.alloc_zeroed(hg__inner, layout);
    void *ptr = hg__inner->layout.alloc(hg__inner, layout);
    return ptr ? memset(ptr, 0, layout.size - layout.align / 2) : NULL;
}

static bool install_layout_zeroed_align(hg_backend *backend) {
    backend->layout.alloc_zeroed = zeroes_first;
    return true;
}

/* ---- one argument ---- */

static int accepts_four(void **out, size_t align, size_t size) {
    return hg__inner->libc.posix_memalign(out, align == 4 ? 8 : align, size);
}

static bool install_posix_four(hg_backend *backend) {
    backend->libc.posix_memalign = accepts_four;
    return true;
}

static void *page_class(size_t size) {
    return hg__inner->libc.malloc(size > 4080 && size < 4096 ? 3000 : size);
}

static bool install_page_class(hg_backend *backend) {
    backend->libc.malloc = page_class;
    backend->libc.free_sized = NULL;
    return true;
}

/* A product of exactly 2^64 is 0, and 0 is no overflow. */
static void *exact_calloc(size_t count, size_t size) {
    return count && size && count * size == 0 ? hg__inner->libc.calloc(1, 1)
                                              : hg__inner->libc.calloc(count, size);
}

static bool install_calloc_exact(hg_backend *backend) {
    backend->libc.calloc = exact_calloc;
    return true;
}

/* The size is kept in 32 bits. */
static void *short_malloc(size_t size) {
    return hg__inner->libc.malloc(size > UINT32_MAX && size < (size_t)1 << 40 ? (uint32_t)size
                                                                              : size);
}

static bool install_size_32_bits(hg_backend *backend) {
    backend->libc.malloc = short_malloc;
    return true;
}

/* Rounding up to 2 MiB wraps, long after the sum with the alignment was checked. */
static void *huge_malloc(size_t size) {
    size_t mask = ((size_t)2 << 20) - 1;
    return size > PTRDIFF_MAX && ((size + mask) & ~mask) < size ? hg__inner->libc.malloc(64)
                                                                : hg__inner->libc.malloc(size);
}

static bool install_huge_rounding(hg_backend *backend) {
    backend->libc.malloc = huge_malloc;
    return true;
}

static void *null_realloc(void *ptr, size_t size) {
    return hg__inner->libc.realloc(ptr, ptr || size < 1024 || size > 1 << 20 ? size : size - 512);
}

static bool install_realloc_null(hg_backend *backend) {
    backend->libc.realloc = null_realloc;
    return true;
}

static void *quiet_realloc(void *ptr, size_t size) {
    int error = errno;
    void *moved = hg__inner->libc.realloc(ptr, size);
    if (!moved && ptr && size)
        errno = error;
    return moved;
}

static bool install_realloc_errno(hg_backend *backend) {
    backend->libc.realloc = quiet_realloc;
    return true;
}

static void *frees_on_overflow(void *ptr, size_t count, size_t size) {
    size_t product;
    if (!__builtin_mul_overflow(count, size, &product))
        return hg__inner->libc.reallocarray(ptr, count, size);
    if (ptr)
        memset(ptr, 0xDD, 1);
    hg__inner->libc.free(ptr);
    errno = ENOMEM;
    return NULL;
}

static bool install_reallocarray_frees(hg_backend *backend) {
    backend->libc.reallocarray = frees_on_overflow;
    return true;
}

static void *shared_zero_calloc(size_t count, size_t size) {
    static void *zero;
    if (count && size)
        return hg__inner->libc.calloc(count, size);
    return zero ? zero : (zero = hg__inner->libc.malloc(1));
}

static bool install_calloc_zero_shared(hg_backend *backend) {
    backend->libc.calloc = shared_zero_calloc;
    return true;
}

/* 2^k - 1 is a power of two to who clears one bit too few. */
static void *accepts_ones(size_t align, size_t size) {
    return align > 64 && hg__is_power_of_two(align + 1)
               ? hg__inner->libc.malloc(size)
               : hg__inner->libc.aligned_alloc(align, size);
}

static bool install_align_minus_one(hg_backend *backend) {
    backend->libc.aligned_alloc = accepts_ones;
    return true;
}

/* ---- equivalents ---- */

static void *booked_aligned(size_t align, size_t size) {
    return hg__inner->libc.aligned_alloc(align, size);
}

static bool install_exact_usable(hg_backend *backend) {
    hg__install_aligned(backend, booked_aligned);
    if (!hg__keep_book(backend))
        return false;
    backend->libc.malloc = hg__booked_malloc; /* whose usable size is what was asked for */
    return true;
}

static const struct hg__planted rows[] = {
    {{"near-power", "C1", "C30,C1", "libc", "", 3,
      "sizes just below a power of two get half the alignment"},
     install_near_power},
    {{"memalign-page", "C43", "C30,C1", "libc", "", 3,
      "memalign of a page for whole pages gives half a page"},
     install_memalign_page},
    {{"valloc-small", "C43", "C43", "libc", "", 2, "valloc of up to 64 bytes is aligned to 64"},
     install_valloc_small},
    {{"aligned-usable", "C41", "C41,C5,C7", "libc", "", 3,
      "the usable size of aligned blocks only is too large"},
     install_aligned_usable},
    {{"layout-shrink-align", "C68", "C68", "layout", "", 3,
      "a shrinking layout realloc keeps an alignment of 64 at most"},
     install_layout_shrink_align},
    {{"layout-zeroed-align", "C67", "C67", "layout", "", 3,
      "zeroed memory of a large alignment ends dirty"},
     install_layout_zeroed_align},
    {{"posix-four", "C36", "C36", "libc", "", 2, "posix_memalign accepts alignment 4"},
     install_posix_four},
    {{"page-class", "C40", "C40", "libc", "", 3, "sizes just below a page get the class below"},
     install_page_class},
    {{"calloc-exact", "C18", "C18", "libc", "", 3, "calloc takes a product of exactly 2^64 for 0"},
     install_calloc_exact},
    {{"size-32-bits", "C40", "C40,C4,C5,crash", "libc", "", 3,
      "malloc keeps the low 32 bits of the size"},
     install_size_32_bits},
    {{"huge-rounding", "C15", "C11", "libc", "", 3, "rounding up to 2 MiB wraps"},
     install_huge_rounding},
    {{"realloc-null", "C21", "C40", "libc", "", 2,
      "realloc(NULL, size) of 1 KiB and more gets too little"},
     install_realloc_null},
    {{"realloc-errno", "C13", "C13", "libc", "", 2, "realloc fails without setting errno"},
     install_realloc_errno},
    {{"reallocarray-frees", "C27", "C27,C7,C4,C41,C22,crash", "libc", "", 2,
      "reallocarray frees the block when its product overflows"},
     install_reallocarray_frees},
    {{"calloc-zero-shared", "C19", "C8,V,crash", "libc", "", 2,
      "calloc of nothing returns the same pointer each time"},
     install_calloc_zero_shared},
    {{"align-minus-one", "C31", "C31", "libc", "", 2, "aligned_alloc accepts 2^k - 1"},
     install_align_minus_one},
    {{"eq-exact-usable", NULL, NULL, "libc", "", 0,
      "equivalent: the usable size is what was asked for"},
     install_exact_usable},
};

HG__FAULT_GROUP(narrow);
