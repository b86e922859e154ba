/* Native calls (native.h) as C. Private to fuzz. */
#ifndef HG_FUZZ_EMIT_NATIVE_H
#define HG_FUZZ_EMIT_NATIVE_H

#include <stdio.h>

#include "heapgauge/operation.h"

/* What the emitter must know of a slot: how its native block was made. */
struct hg_emit_block {
    uint8_t function, asked_log2;
    uint64_t size;
};

/* The helpers that the emitted operations call; after the runtime and before the operations. */
void hg_emit_native_runtime(FILE *out);

/* One operation as statements; `block` is that of its slot (NULL: it has none), and is brought up to
 * date. */
void hg_emit_native_op(FILE *out, const hg_op *op, struct hg_emit_block *block);

#endif
