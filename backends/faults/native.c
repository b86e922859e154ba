/* Planted faults in native calls. The reference allocator has none of these, so each fault begins with
 * sound ones made of the libc face, which "eq-native" plants as they are. */
#include "faults_private.h"

enum { ALIGN_LOG2_MASK = 63, ZERO = 0x40 };

static size_t real_size(const void *ptr) {
    return hg__inner->libc.malloc_usable_size((void *)ptr);
}

static size_t lesser(size_t a, size_t b) {
    return a < b ? a : b;
}

/* ---- jemalloc's, soundly ---- */

static void *sound_mallocx(size_t size, int flags) {
    size_t align = (size_t)1 << (flags & ALIGN_LOG2_MASK);
    void *ptr = align > 16 ? hg__inner->libc.aligned_alloc(align, size)
                           : hg__inner->libc.malloc(size < align ? align : size);
    if (ptr && flags & ZERO)
        memset(ptr, 0, real_size(ptr));
    return ptr;
}

static size_t sound_sallocx(const void *ptr, int flags) {
    (void)flags;
    return real_size(ptr);
}

static size_t sound_nallocx(size_t size, int flags) {
    void *ptr = sound_mallocx(size, flags & ~ZERO);
    size_t real = ptr ? real_size(ptr) : 0;
    hg__inner->libc.free(ptr);
    return real;
}

static void *rallocx_from(void *ptr, size_t size, int flags, size_t zero_from) {
    char *moved = sound_mallocx(size, flags & ~ZERO);
    if (!moved)
        return NULL;
    size_t real = real_size(moved);
    memset(moved, 0xEE, real);
    memcpy(moved, ptr, lesser(real_size(ptr), real));
    if (flags & ZERO && real > zero_from)
        memset(moved + zero_from, 0, real - zero_from);
    hg__inner->libc.free(ptr);
    return moved;
}

static void *sound_rallocx(void *ptr, size_t size, int flags) {
    return rallocx_from(ptr, size, flags, real_size(ptr));
}

static size_t sound_xallocx(void *ptr, size_t size, size_t extra, int flags) {
    (void)size;
    (void)extra;
    (void)flags;
    return real_size(ptr);
}

static void sound_dallocx(void *ptr, int flags) {
    (void)flags;
    hg__inner->libc.free(ptr);
}

static void sound_sdallocx(void *ptr, size_t size, int flags) {
    (void)size;
    (void)flags;
    hg__inner->libc.free(ptr);
}

/* ---- mimalloc's, soundly: the book knows what was asked for ---- */

static void *sound_aligned_at(size_t size, size_t align, size_t offset) {
    if (size > PTRDIFF_MAX - 2 * align)
        return NULL;
    char *real = hg__inner->libc.aligned_alloc(align, (size / align + 2) * align);
    if (!real)
        return NULL;
    char *given = real + (align - offset % align) % align;
    hg__book_add(given, real, (hg_layout){size, align}, size);
    return given;
}

static void *sound_zalloc_aligned_at(size_t size, size_t align, size_t offset) {
    void *ptr = sound_aligned_at(size, align, offset);
    return ptr ? memset(ptr, 0, size) : NULL;
}

static void *sound_zalloc(size_t size) {
    return sound_zalloc_aligned_at(size, 16, 0);
}

static void *moved_to(void *moved, void *ptr) {
    struct hg__book_entry from = {0}, to = {0};
    if (!moved)
        return NULL;
    hg__book_look(ptr, &from);
    hg__book_look(moved, &to);
    memcpy(moved, ptr, lesser(from.size, to.size));
    hg__booked_free(ptr);
    return moved;
}

static void *sound_realloc_aligned_at(void *ptr, size_t size, size_t align, size_t offset) {
    return moved_to(sound_aligned_at(size, align, offset), ptr);
}

static void *sound_rezalloc(void *ptr, size_t size) {
    return moved_to(sound_zalloc(size), ptr);
}

static void *sound_rezalloc_aligned(void *ptr, size_t size, size_t align) {
    return moved_to(sound_zalloc_aligned_at(size, align, 0), ptr);
}

static void *sound_expand(void *ptr, size_t size) {
    struct hg__book_entry entry;
    return hg__book_look(ptr, &entry) && size <= entry.size ? ptr : NULL;
}

static void sound_free_size(void *ptr, size_t size) {
    (void)size;
    hg__booked_free(ptr);
}

/* ---- C++'s and statistics, soundly ---- */

static void *sound_new(size_t size, const void *nothrow) {
    (void)nothrow;
    return hg__inner->libc.malloc(size ? size : 1);
}

static void *sound_new_aligned(size_t size, size_t align, const void *nothrow) {
    (void)nothrow;
    return hg__inner->libc.aligned_alloc(align, size ? size : 1);
}

static void plain_delete(void *ptr) {
    hg__inner->libc.free(ptr);
}

static void delete_with(void *ptr, size_t size_or_align) {
    (void)size_or_align;
    hg__inner->libc.free(ptr);
}

static void delete_with_both(void *ptr, size_t size, size_t align) {
    (void)size;
    (void)align;
    hg__inner->libc.free(ptr);
}

static size_t sound_good_size(size_t size) {
    return sound_nallocx(size, 0);
}

static struct hg_mallinfo2 sound_mallinfo2(void) {
    struct hg_mallinfo2 info = {{0}};
    info.fields[HG_MALLINFO_UORDBLKS] = (size_t)1 << 40; /* more than ever lives */
    return info;
}

static bool install_native(hg_backend *backend) {
    backend->native = (struct hg_native_face){
        .mallocx = sound_mallocx,
        .rallocx = sound_rallocx,
        .xallocx = sound_xallocx,
        .sallocx = sound_sallocx,
        .dallocx = sound_dallocx,
        .sdallocx = sound_sdallocx,
        /* No nallocx: the inner backend may serve one size from several classes. */
        .mi_malloc_aligned_at = sound_aligned_at,
        .mi_zalloc_aligned_at = sound_zalloc_aligned_at,
        .mi_zalloc = sound_zalloc,
        .mi_realloc_aligned_at = sound_realloc_aligned_at,
        .mi_rezalloc = sound_rezalloc,
        .mi_rezalloc_aligned = sound_rezalloc_aligned,
        .mi_expand = sound_expand,
        .mi_free = hg__booked_free,
        .mi_free_size = sound_free_size,
        .mi_good_size = sound_good_size,
        .new_ = sound_new,
        .new_array = sound_new,
        .new_aligned = sound_new_aligned,
        .delete_ = plain_delete,
        .delete_array = plain_delete,
        .delete_sized = delete_with,
        .delete_array_sized = delete_with,
        .delete_aligned = delete_with,
        .delete_sized_aligned = delete_with_both,
        .mallinfo2 = sound_mallinfo2,
    };
    return hg__keep_book(backend);
}

/* ---- the faults ---- */

static size_t low_nallocx(size_t size, int flags) {
    size_t real = sound_nallocx(size, flags);
    return real > 1024 ? real - 16 : real;
}

static bool install_nallocx_low(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.nallocx = low_nallocx;
    return kept;
}

/* Zeroes what was asked for, not the real size. */
static void *short_mallocx(size_t size, int flags) {
    void *ptr = sound_mallocx(size, flags & ~ZERO);
    return ptr && flags & ZERO ? memset(ptr, 0, size) : ptr;
}

static bool install_mallocx_zero(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.mallocx = short_mallocx;
    return kept;
}

static void *late_rallocx(void *ptr, size_t size, int flags) {
    return rallocx_from(ptr, size, flags, real_size(ptr) + 8);
}

static bool install_rallocx_zero(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.rallocx = late_rallocx;
    return kept;
}

static void *unaligned_rallocx(void *ptr, size_t size, int flags) {
    return sound_rallocx(ptr, size, flags & ZERO);
}

static bool install_rallocx_align(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.rallocx = unaligned_rallocx;
    return kept;
}

/* Says it grew. */
static size_t lying_xallocx(void *ptr, size_t size, size_t extra, int flags) {
    (void)extra;
    (void)flags;
    size_t real = real_size(ptr);
    return size > real && size <= real + 64 ? size : real;
}

static bool install_xallocx_lies(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.xallocx = lying_xallocx;
    return kept;
}

static void *ignores_offset(size_t size, size_t align, size_t offset) {
    (void)offset;
    return sound_aligned_at(size, align, 0);
}

static bool install_aligned_at(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.mi_malloc_aligned_at = ignores_offset;
    return kept;
}

static void *dirty_rezalloc(void *ptr, size_t size) {
    char *moved = sound_aligned_at(size, 16, 0);
    if (moved)
        memset(moved, 0xEE, size);
    return moved_to(moved, ptr);
}

static bool install_rezalloc_tail(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.mi_rezalloc = dirty_rezalloc;
    return kept;
}

static void *moving_expand(void *ptr, size_t size) {
    return sound_realloc_aligned_at(ptr, size, 16, 0);
}

static bool install_expand_moves(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.mi_expand = moving_expand;
    return kept;
}

/* An empty array is freed into the smallest class, whatever its alignment made of it. */
static void *empty_array;

static void delete_empty(void *ptr, size_t size, size_t align) {
    (void)align;
    if (ptr && size == 0 && !empty_array)
        empty_array = ptr;
    else
        hg__inner->libc.free(ptr);
}

static void *takes_empty(size_t size, const void *nothrow) {
    void *ptr = empty_array;
    if (!ptr || size <= real_size(ptr) || size > 256)
        return sound_new(size, nothrow);
    empty_array = NULL;
    return ptr;
}

static bool install_delete_empty(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.delete_sized_aligned = delete_empty;
    backend->native.new_ = takes_empty;
    return kept;
}

static void *new_unaligned(size_t size, size_t align, const void *nothrow) {
    (void)align;
    return sound_new(size, nothrow);
}

static bool install_new_align(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.new_aligned = new_unaligned;
    return kept;
}

static size_t off_good_size(size_t size) {
    return sound_good_size(size) + 16;
}

static bool install_good_size(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.mi_good_size = off_good_size;
    return kept;
}

static size_t small_good_size(size_t size) {
    return size > 100 ? size - 1 : sound_good_size(size);
}

static bool install_good_size_low(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.mi_good_size = small_good_size;
    return kept;
}

static struct hg_mallinfo2 negative_mallinfo2(void) {
    struct hg_mallinfo2 info = sound_mallinfo2();
    info.fields[HG_MALLINFO_HBLKHD] = (size_t)-4096;
    return info;
}

static bool install_mallinfo_negative(hg_backend *backend) {
    bool kept = install_native(backend);
    backend->native.mallinfo2 = negative_mallinfo2;
    return kept;
}

static const struct hg__planted rows[] = {
    {{"nallocx-low", "C60", "C60,C62", "native", "native", 2, "nallocx foretells 16 bytes too few"},
     install_nallocx_low},
    {{"mallocx-zero", "C60", "C60", "native", "native", 2,
      "mallocx zeroes what was asked for, not the real size"},
     install_mallocx_zero},
    {{"rallocx-zero", "C60", "C60", "native", "native", 3,
      "rallocx begins to zero 8 bytes too late"},
     install_rallocx_zero},
    {{"rallocx-align", "C60", "C60", "native", "native", 3, "rallocx ignores the alignment"},
     install_rallocx_align},
    {{"xallocx-lies", "C60", "C60", "native", "native", 3, "xallocx says it grew, and did not"},
     install_xallocx_lies},
    {{"aligned-at", "C61", "C61", "native", "native", 2, "mi_malloc_aligned_at ignores the offset"},
     install_aligned_at},
    {{"rezalloc-tail", "C61", "C61", "native", "native", 3, "mi_rezalloc leaves the tail dirty"},
     install_rezalloc_tail},
    {{"expand-moves", "C61", "C61", "native", "native", 2, "mi_expand moves the block"},
     install_expand_moves},
    {{"delete-empty", "C49", "C4,C7,C49,C41,C5,crash", "native", "native", 4,
      "sized delete of an empty array files it under another class"},
     install_delete_empty},
    {{"new-align", "C49", "C49", "native", "native", 1, "operator new ignores its alignment"},
     install_new_align},
    {{"good-size", "C44", "C44", "native", "strict", 1, "mi_good_size is not the usable size"},
     install_good_size},
    {{"good-size-low", "C62", "C62", "native", "native", 1,
      "mi_good_size is less than was asked for"},
     install_good_size_low},
    {{"mallinfo-negative", "C59", "C59", "native", "native", 2,
      "a counter of mallinfo2 has gone below zero"},
     install_mallinfo_negative},
    {{"eq-native", NULL, NULL, "native", "native", 0, "equivalent: native calls made of libc's"},
     install_native},
};

HG__FAULT_GROUP(native);
