/* The inline functions of layout.h as symbols, for layout.rs. */
#include "heapgauge/layout.h"

bool wrapped_make(size_t size, size_t align, hg_layout *out);
bool wrapped_make(size_t size, size_t align, hg_layout *out) {
    return hg_layout_make(size, align, out);
}

bool wrapped_is_valid(hg_layout layout);
bool wrapped_is_valid(hg_layout layout) {
    return hg_layout_is_valid(layout);
}

size_t wrapped_padding(hg_layout layout, size_t align);
size_t wrapped_padding(hg_layout layout, size_t align) {
    return hg_layout_padding(layout, align);
}

hg_layout wrapped_pad(hg_layout layout);
hg_layout wrapped_pad(hg_layout layout) {
    return hg_layout_pad(layout);
}

bool wrapped_align_to(hg_layout layout, size_t align, hg_layout *out);
bool wrapped_align_to(hg_layout layout, size_t align, hg_layout *out) {
    return hg_layout_align_to(layout, align, out);
}

bool wrapped_extend(hg_layout first, hg_layout next, hg_layout *out, size_t *offset);
bool wrapped_extend(hg_layout first, hg_layout next, hg_layout *out, size_t *offset) {
#if defined(HG_LAYOUT_FAULT) /* planted: the limit is that of the size, not of the padded size */
    size_t align = first.align > next.align ? first.align : next.align;
    size_t begin = first.size + hg_layout_padding(first, next.align);
    if (begin + next.size > PTRDIFF_MAX)
        return false;
    *out = (hg_layout){begin + next.size, align};
    *offset = begin;
    return true;
#else
    return hg_layout_extend(first, next, out, offset);
#endif
}

bool wrapped_repeat(hg_layout element, size_t count, hg_layout *out, size_t *stride);
bool wrapped_repeat(hg_layout element, size_t count, hg_layout *out, size_t *stride) {
    return hg_layout_repeat(element, count, out, stride);
}
