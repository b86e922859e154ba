/* How a layout becomes the size to ask of an allocator that takes sizes only, such as the kernel's
 * krealloc. Such an allocator promises two things about addresses: every block is aligned to some small
 * minimum; and a block whose size is a power of two is aligned to that size (Linux since 5.4, commit
 * 59bb47985c1d; since 6.11 also: to the largest power of two that divides the size).
 *
 *   raw       the size as it is. Wrong as soon as the alignment is above the minimum: 96 bytes aligned to
 *             64 come from slots of 96, every other of which lies 32 bytes off (Rust-for-Linux issue 974)
 *   padded    the size rounded up to a multiple of the alignment. 160 bytes aligned to 32 stay 160, no
 *             power of two: right only by the promise of 6.11
 *   unpadded  the size rounded up to a power of two, when the alignment is above the minimum. 8 bytes
 *             aligned to 64 become 8, which are aligned to 8
 *   aligned   padded, then rounded up to a power of two when the alignment is above the minimum: the
 *             size is now a power of two not below the alignment, so its own promise covers it. This is
 *             what krealloc_aligned in Rust-for-Linux did (2023-2024)
 *
 * Pure functions of their arguments; shared with the kernel. */
#ifndef HG_SLAB_RULE_H
#define HG_SLAB_RULE_H

#include "heapgauge/layout.h"

enum hg_slab_rule { HG_SLAB_RAW, HG_SLAB_PADDED, HG_SLAB_UNPADDED, HG_SLAB_ALIGNED };

/* The power of two at or above `size`; SIZE_MAX if there is none. */
static inline size_t hg__power_of_two_above(size_t size) {
    if (size <= 1)
        return 1;
    if (size > SIZE_MAX / 2 + 1)
        return SIZE_MAX;
    return (size_t)1 << (64 - __builtin_clzll((unsigned long long)size - 1));
}

/* Bytes to ask for. `slab_min` is the alignment that every block has, a power of two. The layout is valid
 * and of size > 0. A size that no allocator has (SIZE_MAX) where rounding overflows. */
static inline size_t hg__slab_size(enum hg_slab_rule rule, hg_layout layout, size_t slab_min) {
    size_t size = layout.size;
    if (rule == HG_SLAB_PADDED || rule == HG_SLAB_ALIGNED)
        size = hg_layout_pad(layout).size;
    if ((rule == HG_SLAB_UNPADDED || rule == HG_SLAB_ALIGNED) && layout.align > slab_min)
        size = hg__power_of_two_above(size);
    return size;
}

#endif
