/* Performing native calls. Private to backends. The face must have the function (hg_native_is_there). */
#ifndef HG_NATIVE_CALL_H
#define HG_NATIVE_CALL_H

#include "heapgauge/native.h"
#include "heapgauge/operation.h"

void *hg__native_allocate(const struct hg_native_face *face, const hg_op *op);

/* *real_size is set by xallocx only, which leaves the block where it is. */
void *hg__native_reallocate(const struct hg_native_face *face, const hg_op *op, void *old,
                            size_t *real_size);

/* Frees a block that the function `origin` made, by `function` of the same family. */
void hg__native_free(const struct hg_native_face *face, unsigned function, unsigned origin,
                     void *ptr, size_t size, unsigned align_log2);

/* The function that frees any block of origin's family. */
unsigned hg__native_plain_free(unsigned origin);

/* nallocx, mi_good_size: the size it says malloc(op->size) really has. */
size_t hg__native_good_size(const struct hg_native_face *face, const hg_op *op);

#endif
