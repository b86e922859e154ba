/* Planted faults. Blocks over one another, bytes that change, zeroes that are none. */
#include "faults_private.h"

static void *grow_into_neighbour(void *ptr, size_t size) {
    struct hg__book_entry entry;
    if (!ptr || !hg__book_look(ptr, &entry) || size <= entry.size || size > entry.size + 64)
        return hg__booked_realloc(ptr, size);
    hg__book_take(ptr, &entry);
    hg__book_add(ptr, entry.real, entry.layout, size);
    return ptr;
}

static void *grow_layout_into_neighbour(const hg_backend *self, void *ptr, hg_layout layout,
                                        size_t new_size) {
    struct hg__book_entry entry;
    if (new_size <= layout.size || new_size > layout.size + 64)
        return hg__booked_layout_realloc(self, ptr, layout, new_size);
    if (!hg__book_take(ptr, &entry))
        entry = (struct hg__book_entry){ptr, ptr, layout, layout.size};
    hg__book_add(ptr, entry.real, entry.layout, new_size);
    return ptr;
}

static bool install_grow_in_place(hg_backend *backend) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.malloc = hg__booked_malloc;
    backend->libc.realloc = grow_into_neighbour;
    backend->layout.realloc = grow_layout_into_neighbour;
    return true;
}

/* Every 50th free of a block of 33..64 bytes puts it into the free list twice: two later requests of
 * that size get the same block. */
static void *twice;
static int twice_left;
static unsigned twice_frees;

static void *twice_malloc(size_t size) {
    if (twice_left > 0 && size > 32 && size <= 64) {
        void *ptr = twice;
        if (--twice_left == 0)
            twice = NULL;
        return ptr;
    }
    return hg__inner->libc.malloc(size);
}

static void twice_free(void *ptr) {
    if (ptr && !twice && hg__inner->libc.malloc_usable_size(ptr) == 64 && ++twice_frees % 50 == 0) {
        twice = ptr;
        twice_left = 2;
        return;
    }
    hg__inner->libc.free(ptr);
}

static bool install_double_insert(hg_backend *backend) {
    backend->libc.malloc = twice_malloc;
    backend->libc.free = twice_free;
    backend->libc.free_sized = NULL;
    return true;
}

/* Freeing a block of 48 bytes writes one byte before it. */
static void free_writes_before(void *ptr) {
    if (ptr && hg__inner->libc.malloc_usable_size(ptr) == 48 && (uintptr_t)ptr % 4096 != 0)
        ((volatile char *)ptr)[-1] = 0x5A;
    hg__inner->libc.free(ptr);
}

static bool install_free_writes(hg_backend *backend) {
    backend->libc.free = free_writes_before;
    backend->libc.free_sized = NULL;
    return true;
}

/* An aligned block's header lies over the end of the aligned block before it. */
static void *last_aligned;

static void *header_over_end(size_t align, size_t size) {
    void *ptr = hg__inner->libc.aligned_alloc(align, size);
    struct hg__book_entry entry;
    if (last_aligned && hg__book_look(last_aligned, &entry) && entry.size > 0)
        ((volatile char *)last_aligned)[entry.size - 1] ^= 0x55;
    if (ptr && align >= 32) {
        hg__book_add(ptr, ptr, (hg_layout){size, align}, size);
        last_aligned = ptr;
    }
    return ptr;
}

static bool install_header_overwrites(hg_backend *backend) {
    hg__install_aligned(backend, header_over_end);
    return hg__keep_book(backend);
}

static void *dirty_calloc(size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product)) {
        errno = ENOMEM;
        return NULL;
    }
    return hg__inner->libc.malloc(product);
}

static void *dirty_layout(const hg_backend *self, hg_layout layout) {
    (void)self;
    return hg__inner->layout.alloc(hg__inner, layout);
}

static bool install_calloc_dirty(hg_backend *backend) {
    backend->libc.calloc = dirty_calloc;
    backend->layout.alloc_zeroed = dirty_layout;
    return true;
}

static void *tail_calloc(size_t count, size_t size) {
    void *ptr = dirty_calloc(count, size);
    return ptr ? memset(ptr, 0, count * size & ~(size_t)7) : NULL;
}

static void *tail_layout(const hg_backend *self, hg_layout layout) {
    void *ptr = dirty_layout(self, layout);
    return ptr ? memset(ptr, 0, layout.size & ~(size_t)7) : NULL;
}

static bool install_calloc_tail(hg_backend *backend) {
    backend->libc.calloc = tail_calloc;
    backend->layout.alloc_zeroed = tail_layout;
    return true;
}

static void *shared_zero(size_t size) {
    static void *zero;
    if (size)
        return hg__inner->libc.malloc(size);
    if (!zero)
        zero = hg__inner->libc.malloc(1);
    return zero;
}

static bool install_zero_shared(hg_backend *backend) {
    backend->libc.malloc = shared_zero;
    return true;
}

static void *of_the_stack(size_t size) {
    return size == 24 ? (void *)(((uintptr_t)__builtin_frame_address(0) - 2048) & ~(uintptr_t)15)
                      : hg__inner->libc.malloc(size);
}

static void keeps_stack(void *ptr) {
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    if ((uintptr_t)ptr < frame - (64 << 10) || (uintptr_t)ptr > frame)
        hg__inner->libc.free(ptr);
}

static bool install_stack_memory(hg_backend *backend) {
    backend->libc.malloc = of_the_stack;
    backend->libc.free = keeps_stack;
    backend->libc.free_sized = NULL;
    return true;
}

static bool install_layout_dirty(hg_backend *backend) {
    backend->layout.alloc_zeroed = dirty_layout;
    return true;
}

/* Every 257th block of 97..112 bytes lies over the one before it. */
static unsigned rare_count;
static void *rare_before;

static void *rare_malloc(size_t size) {
    if (size <= 96 || size > 112)
        return hg__inner->libc.malloc(size);
    if (++rare_count % 257 == 0 && rare_before) {
        void *ptr = rare_before;
        rare_before = NULL;
        return ptr;
    }
    return rare_before = hg__inner->libc.malloc(size);
}

static void rare_free(void *ptr) {
    if (ptr == rare_before)
        rare_before = NULL;
    hg__inner->libc.free(ptr);
}

static void *rare_realloc(void *ptr, size_t size) {
    if (ptr == rare_before)
        rare_before = NULL;
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_rare_overlap(hg_backend *backend) {
    backend->libc.malloc = rare_malloc;
    backend->libc.free = rare_free;
    backend->libc.realloc = rare_realloc;
    backend->libc.reallocarray = NULL;
    backend->libc.free_sized = NULL;
    return true;
}

/* Usable size of the smallest blocks reaches into the next, though nobody writes there. */
static size_t usable_reaches(void *ptr) {
    size_t usable = hg__inner->libc.malloc_usable_size(ptr);
    return ptr && usable == 16 ? 32 : usable;
}

static bool install_usable_overlaps(hg_backend *backend) {
    backend->libc.malloc_usable_size = usable_reaches;
    return true;
}

static const struct hg__planted rows[] = {
    {{"grow-in-place", "C4", "C4,C5,C7,C41", "libc", "", 3,
      "realloc grows up to 64 bytes in place over whatever follows"},
     install_grow_in_place},
    {{"double-insert", "C4", "C4,C5,C8,C7,C40,C41,C22,crash", "libc", "", 3,
      "a freed block enters the free list twice"},
     install_double_insert},
    {{"rare-overlap", "C4", "C4,C5,C7,C40,C41,C22,crash", "libc", "long", 4,
      "every 257th block of a class lies over the one before"},
     install_rare_overlap},
    {{"usable-overlaps", "C5", "C5,C41,C7", "libc", "", 2,
      "the usable size of the smallest blocks reaches into the next"},
     install_usable_overlaps},
    {{"stack-memory", "C6", "C6", "libc", "", 2, "a block of 24 bytes lies on the caller's stack"},
     install_stack_memory},
    {{"header-overwrites", "C7", "C7,C41,C22", "libc", "", 3,
      "an aligned block's header lies over the end of another block"},
     install_header_overwrites},
    {{"free-writes", "C7", "C7,C41,C22", "libc", "", 3, "free writes one byte before the block"},
     install_free_writes},
    {{"calloc-dirty", "C17", "C17,C67", "libc", "", 2, "calloc takes recycled memory for fresh"},
     install_calloc_dirty},
    {{"calloc-tail", "C17", "C17,C67", "libc", "", 2, "calloc misses the last partial word"},
     install_calloc_tail},
    {{"layout-dirty", "C67", "C67", "layout", "", 2, "the layout face's zeroed memory is not"},
     install_layout_dirty},
    {{"zero-shared", "C8", "C8", "libc", "", 1, "malloc(0) returns the same pointer each time"},
     install_zero_shared},
};

HG__FAULT_GROUP(content);
