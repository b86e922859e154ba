/* What each kind of operation is, inline: for the code that handles every operation of a stream. */
#ifndef HG_OPERATION_FACTS_H
#define HG_OPERATION_FACTS_H

#include "heapgauge/native.h"
#include "heapgauge/operation.h"
#include "heapgauge/trace.h"

enum {
    HG__OP_SLOT = 1,      /* names a block */
    HG__OP_SIZE = 2,      /* uses size */
    HG__OP_ARG = 4,       /* uses arg */
    HG__OP_MAKES = 8,     /* fills an empty slot */
    HG__OP_ENDS = 16,     /* empties its slot */
    HG__OP_MOVES = 32,    /* may change the block in its slot */
    HG__OP_UNSTORED = 64, /* never stands in a trace */
    HG__OP_KNOWN = 128    /* there is such a kind */
};

/* By kind; 0 where there is no such kind. */
extern const uint8_t hg__op_facts[32];

/* Does the operation stand for a block by its slot? (The slot of a wait is a thread number.) */
static inline bool hg__op_names_block(unsigned kind) {
    return hg__op_facts[kind & 31] & HG__OP_SLOT && kind != HG_OP_WAIT;
}

static inline bool hg__op_is_native(unsigned kind) {
    return kind >= HG_OP_NATIVE_ALLOC && kind <= HG_OP_NATIVE_LOOK;
}

/* An allocation or reallocation whose block is touched in part: HG_OPF_PARTLY, `size` all the bytes asked for,
 * and in `arg` the bytes to touch and the base-2 logarithm of the alignment. Left as it is where the alignment
 * is none. */
static inline void hg__op_mark_partly(hg_op *op, uint64_t touched) {
    const bool is_product = op->kind == HG_OP_CALLOC || op->kind == HG_OP_REALLOCARRAY;
    const uint64_t align = is_product || op->arg == 0 ? 1 : op->arg;
    if (align & (align - 1))
        return;
    if (is_product)
        op->size *= op->arg;
    op->arg = touched << 6 | (unsigned)__builtin_ctzll(align);
    op->flags |= HG_OPF_PARTLY;
}

/* The operation as it was (calloc of one element); returns the bytes to touch. */
static inline uint64_t hg__op_unmark_partly(hg_op *op) {
    const uint64_t touched = op->arg >> 6;
    op->arg = hg__op_facts[op->kind & 31] & HG__OP_ARG ? UINT64_C(1) << (op->arg & 63) : 0;
    op->flags &= (uint8_t)~HG_OPF_PARTLY;
    return touched;
}

/* hg_op_bytes */
static inline uint64_t hg__op_bytes(const hg_op *op) {
    if (!(hg__op_facts[op->kind & 31] & (HG__OP_MAKES | HG__OP_MOVES)))
        return 0;
    if (op->kind != HG_OP_CALLOC && op->kind != HG_OP_REALLOCARRAY)
        return op->size;
    uint64_t product;
    return __builtin_mul_overflow(op->size, op->arg, &product) ? UINT64_MAX : product;
}

/* hg_op_is_well_formed */
static inline bool hg__op_is_well_formed(const hg_op *op) {
    if (op->kind >= HG_OP_KIND_COUNT || (op->flags & ~HG_OPF_FAILED) ||
        op->thread >= HG_TRACE_THREADS_MAX)
        return false;
    const unsigned facts = hg__op_facts[op->kind];
    const bool failed = op->flags & HG_OPF_FAILED;
    const bool slot_is_none = op->slot == HG_SLOT_NONE;
    if (!slot_is_none && (op->slot >= HG_TRACE_SLOTS_MAX || !(facts & HG__OP_SLOT)))
        return false;
    if ((op->size != 0 && !(facts & HG__OP_SIZE)) || (op->arg != 0 && !(facts & HG__OP_ARG)))
        return false;
    if (hg__op_is_native(op->kind) && !hg_native_arg_is_sound(op->kind, op->arg))
        return false;
    if (facts & HG__OP_MAKES)
        return failed == slot_is_none;
    if (facts & HG__OP_MOVES)
        return failed || !slot_is_none;
    if (failed)
        return false;
    if (op->kind == HG_OP_THREAD_START)
        return op->arg < HG_TRACE_THREADS_MAX;
    if (op->kind == HG_OP_WAIT) /* its slot is a thread number */
        return op->slot < HG_TRACE_THREADS_MAX;
    return true;
}

#endif
