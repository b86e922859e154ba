/* The reference allocator: layouts in, blocks out.
 *
 * Terms. A *block* is what a caller holds. A *small* block is a slot of a slab; a *large* block is
 * a run of whole granules. Sizes and alignments are in bytes. A layout must be valid
 * (hg_layout_is_valid); where a function says "valid layout" anything else is the caller's mistake.
 *
 * Common to every function that allocates:
 *   - the block begins at a multiple of the layout's alignment (and of the instance's minimum), and
 *     [block, block + size) overlaps no other live block;
 *   - a size of 0 gives a block of its own, to be freed like any other;
 *   - failure returns NULL, prints nothing, changes nothing that is live, and leaves errno alone
 *     (the libc face in libc.h sets it);
 *   - the memory belongs to the caller until it is given back with the layout it was asked with.
 * hg_dealloc and hg_core_dealloc keep errno.
 *
 * Two sets of functions: hg_*() work on the process-wide instance, from any thread at any time
 * (also before constructors and in a thread's last destructors); hg_core_*() on one of several
 * independent instances, from any thread unless said otherwise. None is async-signal-safe. The
 * rules are those of Rust's core::alloc::GlobalAlloc, made total over size 0. */
#ifndef HEAPGAUGE_CORE_H
#define HEAPGAUGE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heapgauge/layout.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { HG_CLASS_COUNT = 89 }; /* size classes; class 0 is unused */

struct hg_class_stats {
    size_t slot_size;  /* bytes */
    size_t slot_count; /* slots in all slabs of this class */
    size_t live_count; /* slots held by callers */
};

/* A snapshot; exact when no other thread allocates meanwhile. Sizes in bytes. */
struct hg_stats {
    size_t reserved_size;   /* address space set aside for blocks */
    size_t committed_size;  /* of it, readable and writable */
    size_t used_size;       /* in slabs, large blocks and thread caches */
    size_t dirty_size;      /* free, not given back to the operating system */
    size_t live_size;       /* held by callers, as slots and granules */
    size_t cached_size;     /* free slots in thread caches */
    size_t large_size;      /* of live_size, in large blocks */
    size_t large_count;     /* large blocks */
    uint64_t request_count; /* page requests so far, including failed ones */
    uint64_t purged_size;   /* given back so far */
    struct hg_class_stats classes[HG_CLASS_COUNT];
};

/* Allocates a block for a valid layout. Returns NULL iff there is no memory, or the size padded to
 * the alignment exceeds PTRDIFF_MAX. Usual cost: one load, one test, one store. */
void *hg_alloc(hg_layout layout);

/* As hg_alloc, and the first `size` bytes are zero. */
void *hg_alloc_zeroed(hg_layout layout);

/* Gives back a block; `layout` must be the one it was allocated with (with the size of its last
 * realloc). NULL is ignored. Reads no metadata in the usual case. */
void hg_dealloc(void *block, hg_layout layout);

/* Resizes a block to `new_size` bytes, keeping its alignment and the first min(old, new) bytes.
 * Returns NULL iff there is no memory or the new layout is invalid; the block is then untouched and
 * still owned with its old layout. Otherwise the block now has the layout {new_size, old.align} and
 * the old pointer is dead unless equal. A NULL block is allocated. */
void *hg_realloc(void *block, hg_layout old, size_t new_size);

/* Bytes that may be used at `block`: at least its size, constant while it lives. 0 iff `block` is
 * NULL or not the start of memory of this instance. */
size_t hg_usable_size(const void *block);

/* Empties the calling thread's cache and gives all free whole pages back to the operating system.
 * Returns the bytes given back. */
size_t hg_purge(void);

/* Fills in `out`. Costs a walk over heaps and caches; nothing is counted on the fast path. */
void hg_stats_get(struct hg_stats *out);

/* Checks the whole state, layer by layer: every granule belongs to one run, every slot is live,
 * free in a bitmap or in exactly one cache, every count adds up. Returns false iff something does
 * not hold, with a sentence in `why` (cut to `why_size`, always terminated; may be NULL with 0).
 * Other threads must be quiet. */
bool hg_validate(char *why, size_t why_size);

/* Makes the `nth` page request from now (1 = the next) and all after it fail; 0 ends that. A page
 * request is the arena being asked for a run of granules, or to enlarge one. For tests. */
void hg_fail_page_request(uint64_t nth);

/* Version of this library, "major.minor.patch"; static storage. */
const char *hg_core_version(void);

/* An independent instance with its own address space and locks, without thread caches. */
typedef struct hg_core hg_core;

struct hg_core_config {
    size_t min_align;           /* every block's least alignment: a power of two 8..128; 0 = 16 */
    size_t reserve_size;        /* address space to set aside; 0 = as the process-wide instance */
    uint64_t fail_page_request; /* as hg_fail_page_request, from the start; 0 = never */
};

/* Creates an instance over memory of the operating system. `config` may be NULL (all defaults).
 * Returns NULL iff the configuration is invalid or there is no memory. The caller destroys it. */
hg_core *hg_core_create(const struct hg_core_config *config);

/* Creates an instance inside the caller's `size` bytes at `mem`: no operating system call, nothing
 * outside is touched, no alignment of `mem` needed. Returns NULL iff the configuration is invalid
 * or the region is too small for metadata and one granule (about 24 KiB). */
hg_core *hg_core_over_region(void *mem, size_t size, const struct hg_core_config *config);

/* Ends an instance and every block in it; a caller's region is the caller's again. Not thread-safe
 * towards the same instance. NULL is ignored. */
void hg_core_destroy(hg_core *core);

/* The functions above, on one instance. */
void *hg_core_alloc(hg_core *core, hg_layout layout);
void *hg_core_alloc_zeroed(hg_core *core, hg_layout layout);
void hg_core_dealloc(hg_core *core, void *block, hg_layout layout);
void *hg_core_realloc(hg_core *core, void *block, hg_layout old, size_t new_size);
size_t hg_core_usable_size(hg_core *core, const void *block);
size_t hg_core_purge(hg_core *core);
void hg_core_stats_get(hg_core *core, struct hg_stats *out);
bool hg_core_validate(hg_core *core, char *why, size_t why_size);
void hg_core_fail_page_request(hg_core *core, uint64_t nth);

/* With optimization, hg_alloc and hg_dealloc of layouts known to the compiler are inlined. */
#ifndef HG_CORE_INLINE
#if defined(__GNUC__) && defined(__OPTIMIZE__) && defined(__ELF__)
#define HG_CORE_INLINE 1
#else
#define HG_CORE_INLINE 0
#endif
#endif
#if HG_CORE_INLINE
#include "heapgauge/core_inline.h"
#endif

#ifdef __cplusplus
}
#endif
#endif
