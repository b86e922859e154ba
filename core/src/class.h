/* Size classes: 16-byte steps to 512 bytes, then eight per doubling to 64 KiB; waste is at most 15
 * bytes or 1/9 of the slot.
 *
 * Alignment theorem. For a power of two `align` up to a granule, hg__class_size(hg__class_of(r))
 * with r = round_up(size, align) is a multiple of `align`: if align <= the class's step, every
 * class there is a multiple of the step; otherwise r, a multiple of align > step, is itself a
 * class. With slabs beginning at granule boundaries every slot of that class is therefore aligned,
 * at no cost. core/tests checks this exhaustively. */
#ifndef HG__CLASS_H
#define HG__CLASS_H

#include <stddef.h>
#include <stdint.h>

#include "heapgauge/core.h"

enum {
    HG__STEP = 16,
    HG__LINEAR_MAX = 512,
    HG__SMALL_MAX = 65536,
    HG__LINEAR_COUNT = HG__LINEAR_MAX / HG__STEP,
    HG__FAST_MAX = 8192, /* up to here a table tells the class */
    HG__FAST_STEPS = HG__FAST_MAX / HG__STEP,
};

/* Class for `size` <= HG__SMALL_MAX. Class 0 for size 0: its cache bin is always empty and full, so
 * size 0 takes the slow paths, which treat it as 1, without a test on the fast ones. */
static inline unsigned hg__class_of(size_t size) {
    if (__builtin_expect(size <= HG__LINEAR_MAX, 1))
        return (unsigned)((size + HG__STEP - 1) / HG__STEP);
    unsigned log2 = 63 - (unsigned)__builtin_clzll((unsigned long long)(size - 1));
    return HG__LINEAR_COUNT + (log2 - 9) * 8 + (unsigned)(((size - 1) >> (log2 - 3)) & 7) + 1;
}

/* Bytes a slot must have for a layout: in the hardened build one more, to see an overflow by,
 * unless that would cost a whole alignment. */
static inline size_t hg__needed(size_t size, size_t align) {
    return size + (HG_HARDENED && align <= HG__STEP);
}

/* Slot size of a class, bytes. */
static inline size_t hg__class_size(unsigned class) {
    if (class <= HG__LINEAR_COUNT)
        return (size_t) class * HG__STEP;
    unsigned k = class - HG__LINEAR_COUNT - 1;
    return (size_t)(8 + k % 8 + 1) << (6 + k / 8);
}

/* The largest power of two that divides `size` (not 0). */
static inline size_t hg__natural_align(size_t size) {
    return size & (0 - size);
}

/* `size` rounded up to a multiple of `align`; wraps to 0 iff that exceeds SIZE_MAX. */
static inline size_t hg__round_up(size_t size, size_t align) {
    return (size + align - 1) & (0 - align);
}

#endif
