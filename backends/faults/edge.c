/* Planted faults. Only at one edge: one size, one boundary, one order of frees, one content, a number that is
 * cut to 32 bits. */
#include "faults_private.h"

static void no_sized_frees(hg_backend *backend) {
    backend->libc.free_sized = NULL;
    backend->libc.free_aligned_sized = NULL;
}

static size_t usable_of(void *ptr) {
    return hg__inner->libc.malloc_usable_size(ptr);
}

/* ---- 32 bits ---- */

static void *product_of_32_bits(size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product))
        return hg__inner->libc.calloc(count, size);
    return hg__inner->libc.calloc(1, (uint32_t)product);
}

static bool install_calloc_32_bits(hg_backend *backend) {
    backend->libc.calloc = product_of_32_bits;
    return true;
}

/* ---- one size ---- */

/* The inner block is smaller than asked for, and says it is not. */
static size_t lying_usable(void *ptr) {
    struct hg__book_entry entry;
    return ptr && hg__book_look(ptr, &entry) ? entry.size : ptr ? usable_of(ptr) : 0;
}

static void *smaller_than_asked(size_t size, size_t less) {
    void *ptr = hg__inner->libc.malloc(size - less);
    if (ptr)
        hg__book_add(ptr, ptr, (hg_layout){size, 1}, size);
    return ptr;
}

static void *header_at_page_end(size_t size) {
    if (size >= 4096 && size <= 64 << 10 && (size + 16) % 4096 == 0)
        return smaller_than_asked(size, size / 2);
    return hg__inner->libc.malloc(size);
}

static bool install_header_page(hg_backend *backend) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.malloc = header_at_page_end;
    backend->libc.malloc_usable_size = lying_usable;
    return true;
}

static size_t unlucky_bytes;

static void *one_size(size_t size) {
    return hg__inner->libc.malloc(size == unlucky_bytes ? size / 2 : size);
}

static bool install_one_size(hg_backend *backend) {
    unlucky_bytes = 5003;
    backend->libc.malloc = one_size;
    return true;
}

static bool install_one_large_size(hg_backend *backend) {
    unlucky_bytes = 49999;
    backend->libc.malloc = one_size;
    return true;
}

static size_t odd_usable(void *ptr) {
    size_t usable = ptr ? usable_of(ptr) : 0;
    return usable > 2048 && usable / 512 % 8 == 5 ? usable + 16 : usable;
}

static bool install_usable_odd(hg_backend *backend) {
    backend->libc.malloc_usable_size = odd_usable;
    return true;
}

/* Every use of a page's rounding but this one. */
static void *exact_pvalloc(size_t size) {
    if (size < 4096 || size > PTRDIFF_MAX / 2)
        return hg__inner->libc.pvalloc(size);
    void *ptr = hg__inner->libc.aligned_alloc(4096, size);
    if (ptr)
        hg__book_add(ptr, ptr, (hg_layout){size, 4096}, size);
    return ptr;
}

static bool install_pvalloc_exact(hg_backend *backend) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.pvalloc = exact_pvalloc;
    return true;
}

/* ---- an edge in the address space ---- */

/* What the newest large block has at a multiple of 64 KiB is overwritten by the next allocation. */
static unsigned char *crossing;

static void *boundary_malloc(size_t size) {
    if (crossing)
        memset(crossing, 0x11, 8);
    crossing = NULL;
    unsigned char *ptr = hg__inner->libc.malloc(size);
    uintptr_t edge = ((uintptr_t)ptr + 0xFFFF) & ~(uintptr_t)0xFFFF;
    if (ptr && size >= 1024 && edge > (uintptr_t)ptr && edge + 8 <= (uintptr_t)ptr + size)
        crossing = ptr + (edge - (uintptr_t)ptr);
    return ptr;
}

static void boundary_free(void *ptr) {
    crossing = NULL;
    hg__inner->libc.free(ptr);
}

static void *boundary_realloc(void *ptr, size_t size) {
    crossing = NULL;
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_boundary(hg_backend *backend) {
    backend->libc.malloc = boundary_malloc;
    backend->libc.free = boundary_free;
    backend->libc.realloc = boundary_realloc;
    backend->libc.reallocarray = NULL;
    no_sized_frees(backend);
    return true;
}

/* ---- what the caller wrote decides ---- */

/* Zeroes at the beginning are taken for a block never used. */
static void *trusts_first_words(size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product) || product < 24 || product > 4096)
        return hg__inner->libc.calloc(count, size);
    unsigned char *ptr = hg__inner->libc.malloc(product);
    static const unsigned char zeroes[8];
    if (ptr && memcmp(ptr + 16, zeroes, sizeof zeroes) != 0)
        memset(ptr, 0, product);
    else if (ptr)
        memset(ptr, 0, 16);
    return ptr;
}

static bool install_zero_word(hg_backend *backend) {
    backend->libc.calloc = trusts_first_words;
    return true;
}

/* A block that begins with ones is taken for one that was freed before. */
static void takes_data_for_mark(void *ptr) {
    if (ptr && usable_of(ptr) >= 8 && *(uint64_t *)ptr == UINT64_MAX)
        __builtin_trap();
    hg__inner->libc.free(ptr);
}

static bool install_data_mark(hg_backend *backend) {
    backend->libc.free = takes_data_for_mark;
    no_sized_frees(backend);
    return true;
}

/* ---- the order of frees ---- */

/* Of three blocks of a class freed in the reverse order of their allocation the last is filed twice. */
static void *last_made[3], *filed;
static unsigned made, unmade;

static void *lifo_malloc(size_t size) {
    if (filed && size > 0 && size <= 48) {
        static bool twice;
        void *ptr = filed;
        twice = !twice;
        filed = twice ? filed : NULL;
        return ptr;
    }
    void *ptr = hg__inner->libc.malloc(size > 0 && size <= 48 ? 48 : size);
    if (ptr && size > 0 && size <= 48)
        last_made[made++ % 3] = ptr;
    unmade = 0;
    return ptr;
}

static void lifo_free(void *ptr) {
    if (ptr && made && ptr == last_made[(made - 1) % 3]) {
        last_made[--made % 3] = NULL;
        if (++unmade == 3 && !filed) {
            filed = ptr;
            return;
        }
    } else if (ptr) {
        unmade = 0;
        memset(last_made, 0, sizeof last_made);
    }
    hg__inner->libc.free(ptr);
}

static void *lifo_realloc(void *ptr, size_t size) {
    memset(last_made, 0, sizeof last_made);
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_lifo_twice(hg_backend *backend) {
    backend->libc.malloc = lifo_malloc;
    backend->libc.free = lifo_free;
    backend->libc.realloc = lifo_realloc;
    backend->libc.reallocarray = NULL;
    no_sized_frees(backend);
    return true;
}

/* A reallocation to the very size is a free and an allocation, of which the second was forgotten. */
static void *same_size_ghost;

static void *same_size_realloc(void *ptr, size_t size) {
    struct hg__book_entry entry;
    bool same = ptr && size >= 64 && hg__book_look(ptr, &entry) && entry.size == size;
    if (!same)
        return hg__booked_realloc(ptr, size);
    same_size_ghost = ptr;
    return ptr;
}

static void *same_size_malloc(size_t size) {
    struct hg__book_entry entry;
    void *ptr = same_size_ghost;
    if (ptr && hg__book_look(ptr, &entry) && size > 0 && size <= entry.size) {
        same_size_ghost = NULL;
        return ptr;
    }
    return hg__booked_malloc(size);
}

static void same_size_free(void *ptr) {
    if (ptr == same_size_ghost)
        same_size_ghost = NULL;
    hg__booked_free(ptr);
}

static bool install_same_size(hg_backend *backend) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.malloc = same_size_malloc;
    backend->libc.realloc = same_size_realloc;
    backend->libc.free = same_size_free;
    no_sized_frees(backend);
    return true;
}

/* A block that is made smaller gives its tail away, and takes it back when it grows, asking nobody. */
static struct {
    unsigned char *whole, *tail;
    size_t size;
    bool given;
} cut;

static void cut_free(void *ptr) {
    if (ptr && ptr == cut.tail) {
        cut.given = false;
        return;
    }
    if (ptr && ptr == cut.whole)
        memset(&cut, 0, sizeof cut);
    hg__inner->libc.free(ptr);
}

static void *cut_realloc(void *ptr, size_t size) {
    size_t usable = ptr ? usable_of(ptr) : 0;
    if (ptr && size >= 32 && size <= usable / 2 && usable >= 256 && !cut.whole) {
        cut.whole = ptr;
        cut.tail = cut.whole + ((size + 31) & ~(size_t)15);
        cut.size = usable - (size_t)(cut.tail - cut.whole);
        cut.given = false;
        return ptr;
    }
    if (ptr && ptr == cut.whole && size > usable / 2 && size <= usable && cut.given)
        return ptr; /* and now says a size that is not its own */
    if (!ptr || (ptr != cut.whole && ptr != cut.tail))
        return hg__inner->libc.realloc(ptr, size);
    size_t old = ptr == cut.tail ? cut.size : usable / 2;
    void *moved = size ? hg__inner->libc.malloc(size) : NULL;
    if (moved)
        memcpy(moved, ptr, old < size ? old : size);
    if (moved || !size)
        cut_free(ptr);
    return moved;
}

static size_t cut_usable(void *ptr) {
    if (ptr && ptr == cut.whole)
        return (size_t)(cut.tail - cut.whole);
    return ptr && ptr == cut.tail ? cut.size : ptr ? usable_of(ptr) : 0;
}

static void *cut_malloc(size_t size) {
    if (cut.tail && !cut.given && size > 0 && size <= cut.size) {
        cut.given = true;
        return cut.tail;
    }
    return hg__inner->libc.malloc(size);
}

static bool install_tail_given(hg_backend *backend) {
    backend->libc.malloc = cut_malloc;
    backend->libc.realloc = cut_realloc;
    backend->libc.free = cut_free;
    backend->libc.malloc_usable_size = cut_usable;
    backend->libc.reallocarray = NULL;
    no_sized_frees(backend);
    return true;
}

/* ---- aligned blocks, reallocated ---- */

/* The copy begins where the inner block did, not where the caller's does. */
static void *shifted_aligned(size_t align, size_t size) {
    if (!hg__is_power_of_two(align) || align < 64 || size > PTRDIFF_MAX - 2 * align)
        return hg__inner->libc.aligned_alloc(align, size);
    unsigned char *real = hg__inner->libc.malloc(size + 2 * align);
    if (!real)
        return NULL;
    unsigned char *given =
        (unsigned char *)(((uintptr_t)real + 16 + align - 1) & ~(uintptr_t)(align - 1));
    hg__book_add(given, real, (hg_layout){size + 2 * align, 1}, size);
    return given;
}

static void *shifted_realloc(void *ptr, size_t size) {
    struct hg__book_entry entry;
    if (!ptr || !size || !hg__book_look(ptr, &entry) || entry.real == ptr)
        return hg__booked_realloc(ptr, size);
    void *moved = hg__inner->libc.malloc(size);
    if (!moved)
        return NULL;
    memcpy(moved, entry.real, entry.size < size ? entry.size : size);
    hg__booked_free(ptr);
    return moved;
}

static bool install_realloc_of_aligned(hg_backend *backend) {
    hg__install_aligned(backend, shifted_aligned);
    if (!hg__keep_book(backend))
        return false;
    backend->libc.realloc = shifted_realloc;
    backend->libc.reallocarray = NULL;
    return true;
}

/* Above 16 MiB an alignment is halved. */
static void *giant_align(size_t align, size_t size) {
    bool giant = hg__is_power_of_two(align) && align > (size_t)16 << 20;
    return giant ? hg__half_aligned(align, size) : hg__inner->libc.aligned_alloc(align, size);
}

static bool install_align_giant(hg_backend *backend) {
    hg__install_aligned(backend, giant_align);
    return hg__keep_book(backend);
}

/* Says 0 and leaves *memptr as it was. */
static int silent_posix_memalign(void **out, size_t align, size_t size) {
    if (hg__is_power_of_two(align) && align >= 1024 && size % 8 == 3)
        return 0;
    return hg__inner->libc.posix_memalign(out, align, size);
}

static bool install_posix_silent(hg_backend *backend) {
    backend->libc.posix_memalign = silent_posix_memalign;
    return true;
}

/* ---- nothing, many times ---- */

static void *nothings[8];

static void *eight_nothings(size_t size) {
    static unsigned next;
    if (size)
        return hg__inner->libc.malloc(size);
    void **place = &nothings[next++ % 8];
    if (!*place)
        *place = hg__inner->libc.malloc(1);
    return *place;
}

static void keeps_nothings(void *ptr) {
    for (int i = 0; i < 8; i++)
        if (ptr == nothings[i])
            return;
    hg__inner->libc.free(ptr);
}

static void *realloc_of_nothing(void *ptr, size_t size) {
    for (int i = 0; ptr && i < 8; i++)
        if (ptr == nothings[i])
            return size ? hg__inner->libc.malloc(size) : NULL;
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_ninth_nothing(hg_backend *backend) {
    backend->libc.malloc = eight_nothings;
    backend->libc.free = keeps_nothings;
    backend->libc.realloc = realloc_of_nothing;
    backend->libc.reallocarray = NULL;
    no_sized_frees(backend);
    return true;
}

/* A block for an alignment and a size that is no multiple of it is freed with them as its class's. */
static void *odd_block;

static void odd_free_aligned(void *ptr, size_t align, size_t size) {
    if (ptr && size % align && size > align && !odd_block) {
        odd_block = ptr;
        return;
    }
    hg__inner->libc.free(ptr);
}

static void *odd_malloc(size_t size) {
    void *ptr = odd_block;
    if (!ptr || size < usable_of(ptr) + 1 || size > 2 * usable_of(ptr))
        return hg__inner->libc.malloc(size);
    odd_block = NULL;
    return ptr;
}

static bool install_sized_aligned_odd(hg_backend *backend) {
    backend->libc.free_aligned_sized = odd_free_aligned;
    backend->libc.malloc = odd_malloc;
    return true;
}

static const struct hg__planted rows[] = {
    {{"calloc-32-bits", "C18", "C18,C40,C17,C4,C5,crash", "libc", "long", 3,
      "calloc multiplies in 32 bits"},
     install_calloc_32_bits},
    {{"header-page", "C4", "C4,C5,C7,C40,C41,C22,V,crash", "libc", "long", 3,
      "a size that fills its pages but for a header gets too little"},
     install_header_page},
    {{"one-size", "C40", "C40,C4", "libc", "long", 4,
      "malloc of 5003 bytes, and of no other size, gets too little"},
     install_one_size},
    {{"one-large-size", "C40", "C40,C4", "libc", "long", 4,
      "malloc of 49999 bytes, and of no other size, gets too little"},
     install_one_large_size},
    {{"usable-odd", "C41", "C41,C5,C4,C7,V,crash", "libc", "long", 3,
      "the usable size of some classes is a header too large"},
     install_usable_odd},
    {{"pvalloc-exact", "C43", "C40,C43", "libc", "", 2, "pvalloc does not round its size up"},
     install_pvalloc_exact},
    {{"boundary-64k", "C7", "C7,C41,C22", "libc", "long", 3,
      "what lies on a multiple of 64 KiB is overwritten"},
     install_boundary},
    {{"zero-word", "C17", "C17", "libc", "long", 4,
      "calloc takes a recycled block with a zero word for clean"},
     install_zero_word},
    {{"data-mark", "C47", "crash", "libc", "long", 4,
      "free ends the process when the block begins with ones"},
     install_data_mark},
    {{"lifo-twice", "C4", "C4,C5,C7,C8,C41,C22,V,crash", "libc", "long", 3,
      "the third free in reverse order files a block twice"},
     install_lifo_twice},
    {{"same-size", "C4", "C4,C5,C7,C22,C41,V,crash", "libc", "long", 3,
      "a reallocation to the same size frees the block"},
     install_same_size},
    {{"tail-given", "C4", "C4,C5,C7,C22,C42,C40,C41", "libc", "long", 3,
      "a block grows back over the tail it gave away"},
     install_tail_given},
    {{"realloc-of-aligned", "C22", "C22,crash", "libc", "", 2,
      "realloc of an aligned block copies from where its header is"},
     install_realloc_of_aligned},
    {{"align-giant", "C30", "C1,C30", "libc", "long", 3, "alignments above 16 MiB are halved"},
     install_align_giant},
    {{"posix-silent", "C39", "C39", "libc", "long", 3, "posix_memalign says 0 and gives nothing"},
     install_posix_silent},
    {{"ninth-nothing", "C8", "C8", "libc", "long", 3,
      "the ninth block of 0 bytes is the first again"},
     install_ninth_nothing},
    {{"sized-aligned-odd", "C48", "C40,C4,C5,C7,V,crash", "libc", "long", 3,
      "free_aligned_sized of a size that is no multiple files it wrongly"},
     install_sized_aligned_odd},
};

HG__FAULT_GROUP(edge);
