/* Layouts: what a request is. A size in bytes and an alignment, which is a power of two and a
 * promise.
 *
 * The arithmetic follows Rust's core::alloc::Layout
 * (doc.rust-lang.org/core/alloc/struct.Layout.html): a layout is valid iff its alignment is a power
 * of two and its size, rounded up to a multiple of the alignment, is at most PTRDIFF_MAX. Size may
 * be 0 and may be smaller than the alignment. All functions here are pure, constant-time and
 * callable from any thread. Out-parameters are written only on success. */
#ifndef HEAPGAUGE_LAYOUT_H
#define HEAPGAUGE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hg_layout {
    size_t size;  /* bytes asked for */
    size_t align; /* bytes; a power of two */
} hg_layout;

/* True iff `layout` keeps the two rules above. */
static inline bool hg_layout_is_valid(hg_layout layout) {
    return layout.align != 0 && (layout.align & (layout.align - 1)) == 0 &&
           layout.align <= (size_t)PTRDIFF_MAX + 1 &&
           layout.size <= (size_t)PTRDIFF_MAX + 1 - layout.align;
}

/* Bytes to add to the size to reach a multiple of `align` (a power of two): 0 .. align-1. */
static inline size_t hg_layout_padding(hg_layout layout, size_t align) {
    return (0 - layout.size) & (align - 1);
}

/* Makes a layout from its parts. False iff they do not form a valid one. */
static inline bool hg_layout_make(size_t size, size_t align, hg_layout *out) {
    hg_layout layout = {size, align};
    if (!hg_layout_is_valid(layout))
        return false;
    *out = layout;
    return true;
}

/* The same layout with its size rounded up to a multiple of its alignment; cannot overflow. */
static inline hg_layout hg_layout_pad(hg_layout layout) {
    hg_layout padded = {layout.size + hg_layout_padding(layout, layout.align), layout.align};
    return padded;
}

/* The same size with at least `align`. False iff `align` is no power of two or the result is
 * invalid. */
static inline bool hg_layout_align_to(hg_layout layout, size_t align, hg_layout *out) {
    if (align == 0 || (align & (align - 1)) != 0)
        return false;
    return hg_layout_make(layout.size, layout.align > align ? layout.align : align, out);
}

/* `first` followed by `next`, as fields of a C struct: *offset is where `next` begins.
 * The result is not padded at its end. False iff it is not a valid layout. */
static inline bool hg_layout_extend(hg_layout first, hg_layout next, hg_layout *out,
                                    size_t *offset) {
    size_t align = first.align > next.align ? first.align : next.align;
    size_t begin = first.size + hg_layout_padding(first, next.align);
    if (begin < first.size || begin + next.size < begin)
        return false;
    if (!hg_layout_make(begin + next.size, align, out))
        return false;
    *offset = begin;
    return true;
}

/* `count` padded copies of `element` in a row; *stride is the distance from one to the next.
 * False iff it is not a valid layout. */
static inline bool hg_layout_repeat(hg_layout element, size_t count, hg_layout *out,
                                    size_t *stride) {
    size_t padded = hg_layout_pad(element).size;
    size_t total;
    if (__builtin_mul_overflow(padded, count, &total) || !hg_layout_make(total, element.align, out))
        return false;
    *stride = padded;
    return true;
}

#ifdef __cplusplus
}
#endif
#endif
