/* Calls that only some allocators have: jemalloc's mallocx family (jemalloc(3)), mimalloc's aligned,
 * zeroing and expanding calls (mimalloc.h), C++'s operators new and delete, statistics.
 *
 * As an operation each is HG_OP_NATIVE_ALLOC, _REALLOC, _FREE or _LOOK; its `arg` says which function and
 * holds what else is passed. Blocks of a family are used and freed by calls of that family only. */
#ifndef HEAPGAUGE_NATIVE_H
#define HEAPGAUGE_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers stand in traces: never renumber, only append. */
enum hg_native {
    HG_NATIVE_MALLOCX = 0,
    HG_NATIVE_RALLOCX = 1,
    HG_NATIVE_XALLOCX = 2,
    HG_NATIVE_DALLOCX = 3,
    HG_NATIVE_SDALLOCX = 4,
    HG_NATIVE_NALLOCX = 5, /* also tcmalloc's */
    HG_NATIVE_MI_MALLOC_ALIGNED_AT = 6,
    HG_NATIVE_MI_ZALLOC_ALIGNED_AT = 7,
    HG_NATIVE_MI_ZALLOC = 8,
    HG_NATIVE_MI_REALLOC_ALIGNED_AT = 9,
    HG_NATIVE_MI_REZALLOC = 10,         /* of a block of mi_zalloc... only */
    HG_NATIVE_MI_REZALLOC_ALIGNED = 11, /* likewise */
    HG_NATIVE_MI_EXPAND = 12,
    HG_NATIVE_MI_FREE = 13,
    HG_NATIVE_MI_FREE_SIZE = 14,
    HG_NATIVE_MI_HEAP_MALLOC =
        15, /* in a heap of its own, which is deleted at once: the block lives on */
    HG_NATIVE_MI_GOOD_SIZE = 16,
    HG_NATIVE_NEW = 17, /* operator new(size, nothrow) */
    HG_NATIVE_NEW_ARRAY = 18,
    HG_NATIVE_NEW_ALIGNED = 19,
    HG_NATIVE_DELETE = 20, /* operator delete or delete[], with the alignment where new had it */
    HG_NATIVE_DELETE_SIZED = 21,
    HG_NATIVE_MALLINFO = 22, /* mallinfo2 where there is one */
    HG_NATIVE_MALLOC_INFO = 23,
    HG_NATIVE_COUNT = 24,
};

enum hg_native_family {
    HG_NATIVE_JEMALLOC,
    HG_NATIVE_MIMALLOC,
    HG_NATIVE_CXX,
    HG_NATIVE_STATISTICS,
};

/* glibc's struct mallinfo2 and struct mallinfo, whose fields all have one type: mallinfo(3). */
enum { HG_MALLINFO_UORDBLKS = 7, HG_MALLINFO_HBLKHD = 4, HG_MALLINFO_FIELDS = 10 };
struct hg_mallinfo2 {
    size_t fields[HG_MALLINFO_FIELDS];
};
struct hg_mallinfo {
    int fields[HG_MALLINFO_FIELDS];
};

/* The library's own functions; NULL where it defines none. */
struct hg_native_face {
    void *(*mallocx)(size_t size, int flags);
    void *(*rallocx)(void *ptr, size_t size, int flags);
    size_t (*xallocx)(void *ptr, size_t size, size_t extra, int flags);
    size_t (*sallocx)(const void *ptr, int flags);
    void (*dallocx)(void *ptr, int flags);
    void (*sdallocx)(void *ptr, size_t size, int flags);
    size_t (*nallocx)(size_t size, int flags);

    void *(*mi_malloc_aligned_at)(size_t size, size_t align, size_t offset);
    void *(*mi_zalloc_aligned_at)(size_t size, size_t align, size_t offset);
    void *(*mi_zalloc)(size_t size);
    void *(*mi_realloc_aligned_at)(void *ptr, size_t size, size_t align, size_t offset);
    void *(*mi_rezalloc)(void *ptr, size_t size);
    void *(*mi_rezalloc_aligned)(void *ptr, size_t size, size_t align);
    void *(*mi_expand)(void *ptr, size_t size);
    void (*mi_free)(void *ptr);
    void (*mi_free_size)(void *ptr, size_t size);
    void *(*mi_heap_new)(void);
    void *(*mi_heap_malloc_aligned)(void *heap, size_t size, size_t align);
    void (*mi_heap_delete)(void *heap);
    size_t (*mi_good_size)(size_t size);
    size_t (*mi_usable_size)(const void *ptr);

    void *(*new_)(size_t size, const void *nothrow);
    void *(*new_array)(size_t size, const void *nothrow);
    void *(*new_aligned)(size_t size, size_t align, const void *nothrow);
    void (*delete_)(void *ptr);
    void (*delete_array)(void *ptr);
    void (*delete_sized)(void *ptr, size_t size);
    void (*delete_array_sized)(void *ptr, size_t size);
    void (*delete_aligned)(void *ptr, size_t align);
    void (*delete_sized_aligned)(void *ptr, size_t size, size_t align);

    struct hg_mallinfo2 (*mallinfo2)(void);
    struct hg_mallinfo (*mallinfo)(void);
    int (*malloc_info)(int options, void *stream);

    int (*malloc_trim)(size_t pad);
    void (*mi_collect)(bool force);
    void (*release_free_memory)(void); /* tcmalloc */
};

/* The i-th entry point: its symbol, where its pointer stands in the struct (bytes). NULL past the end. */
const char *hg_native_symbol(size_t index, size_t *offset);

/* ---- arg ---- */

static inline uint64_t hg_native_arg(enum hg_native function, unsigned align_log2, bool zero,
                                     uint32_t offset) {
    return (uint64_t)function | (uint64_t)align_log2 << 8 | (uint64_t)zero << 16 |
           (uint64_t)offset << 32;
}
static inline unsigned hg_native_function(uint64_t arg) {
    return (unsigned)(arg & 0xFF);
}
static inline unsigned hg_native_align_log2(uint64_t arg) {
    return (unsigned)(arg >> 8 & 0xFF);
}
static inline bool hg_native_zero(uint64_t arg) {
    return arg >> 16 & 1;
}
static inline uint32_t hg_native_offset(uint64_t arg) {
    return (uint32_t)(arg >> 32);
}

/* What a function is; NULL past the end. */
struct hg_native_facts {
    const char *name; /* as it stands in text */
    uint8_t kind;     /* HG_OP_NATIVE_... */
    uint8_t family;   /* enum hg_native_family */
    bool takes_align, takes_zero, takes_offset;
    bool zeroes; /* whatever the flag says */
};
const struct hg_native_facts *hg_native_facts(unsigned function);

/* True iff `face` has what the operation needs, for it and for freeing its blocks. */
bool hg_native_is_there(const struct hg_native_face *face, unsigned function);

/* True iff `arg` is one an operation of that kind can have. */
bool hg_native_arg_is_sound(unsigned kind, uint64_t arg);

#ifdef __cplusplus
}
#endif
#endif
