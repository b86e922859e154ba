/* The fast path of the process-wide instance, for layouts that the compiler knows: included by
 * core.h, which says what the functions promise. What is declared here besides is private to the
 * allocator, and changes with it: a program must be built with the header of the library it links.
 *
 * A thread's cache begins with a bin for each size class, a stack of free slots that grows upwards
 * with a NULL below its bottom; bin n serves n * 16 bytes up to 512. */
#ifndef HEAPGAUGE_CORE_INLINE_H
#define HEAPGAUGE_CORE_INLINE_H

#include "heapgauge/layout.h"

struct hg__bin {
    void **top;                 /* next cell to fill; only the owner moves it, others may look */
    void **limit;               /* full here; within the array */
} __attribute__((aligned(16))); /* on every machine: its number times 16 is its offset */

extern __thread struct hg__cache *hg__thread
    __attribute__((visibility("hidden"), tls_model("initial-exec")));

#define HG__INLINE extern inline __attribute__((gnu_inline, always_inline))

/* The slot on top, or NULL iff the bin is empty. */
HG__INLINE void *hg__bin_pop(struct hg__bin *bin) {
    void **top = bin->top;
    void *p = top[-1];
    if (__builtin_expect(p != NULL, 1))
        __atomic_store_n(&bin->top, top - 1, __ATOMIC_RELAXED);
    return p;
}

/* Puts a slot into a bin; false iff the bin is full. */
HG__INLINE bool hg__bin_push(struct hg__bin *bin, void *p) {
    void **top = bin->top;
    if (__builtin_expect(top == bin->limit, 0))
        return false;
    *top = p;
    __atomic_store_n(&bin->top, top + 1, __ATOMIC_RELAXED);
    return true;
}

/* Left out inside the library, and for one that checks every call (HG_CORE_INLINE=0). */
#if HG_CORE_INLINE
/* The number of the bin for a layout known here to be valid; 0 iff it is not known or not small. */
#define HG__KNOWN_BIN(layout)                                                                      \
    (__builtin_constant_p((layout).size) && __builtin_constant_p((layout).align) &&                \
             (((layout).size - 1) | ((layout).align - 1)) < 512                                    \
         ? (((layout).size - 1) | ((layout).align - 1)) / 16 + 1                                   \
         : 0)

void *hg__alloc_call(hg_layout layout) __asm__("hg_alloc");
void hg__dealloc_call(void *block, hg_layout layout) __asm__("hg_dealloc");

HG__INLINE void *hg_alloc(hg_layout layout) {
    size_t bin = HG__KNOWN_BIN(layout);
    if (bin) {
        void *p = hg__bin_pop((struct hg__bin *)(void *)hg__thread + bin);
        if (__builtin_expect(p != NULL, 1))
            return p;
    }
    return hg__alloc_call(layout);
}

HG__INLINE void hg_dealloc(void *block, hg_layout layout) {
    size_t bin = HG__KNOWN_BIN(layout);
    if (!bin || !block || !hg__bin_push((struct hg__bin *)(void *)hg__thread + bin, block))
        hg__dealloc_call(block, layout);
}
#endif

#endif
