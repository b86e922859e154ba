/* libc operations as their layout twins. */
#include "oracle_private.h"

bool hg_op_to_layout(hg_op *op, bool slot_is_empty) {
    uint64_t size = op->size, align = 0, product;
    switch (op->kind) {
    case HG_OP_CALLOC:
    case HG_OP_REALLOCARRAY:
        if (__builtin_mul_overflow(op->size, op->arg, &product))
            return false;
        size = product;
        break;
    case HG_OP_ALIGNED_ALLOC:
    case HG_OP_POSIX_MEMALIGN:
    case HG_OP_MEMALIGN:
        align = op->arg;
        break;
    case HG_OP_PVALLOC:
        if (size > SIZE_MAX - HG__PAGE_BYTES)
            return false;
        size = (size + HG__PAGE_BYTES - 1) & ~(uint64_t)(HG__PAGE_BYTES - 1);
        align = HG__PAGE_BYTES;
        break;
    case HG_OP_VALLOC:
        align = HG__PAGE_BYTES;
        break;
    case HG_OP_USABLE_SIZE:
        return false;
    case HG_OP_MALLOC:
    case HG_OP_REALLOC:
        break;
    case HG_OP_FREE:
    case HG_OP_FREE_SIZED:
    case HG_OP_FREE_ALIGNED_SIZED:
        op->kind = HG_OP_DEALLOC;
        return op->slot != HG_SLOT_NONE;
    case HG_OP_NATIVE_ALLOC:
    case HG_OP_NATIVE_REALLOC:
    case HG_OP_NATIVE_FREE:
        return false;
    default:
        return true; /* already a layout operation, or one of the environment */
    }
    if (op->slot == HG_SLOT_NONE)
        return false;
    if (hg_op_reallocates(op->kind) && !slot_is_empty) {
        op->kind = size == 0 ? HG_OP_DEALLOC : HG_OP_LAYOUT_REALLOC;
    } else {
        if (size == 0)
            return false;
        op->kind = op->kind == HG_OP_CALLOC ? HG_OP_ALLOC_ZEROED : HG_OP_ALLOC;
    }
    op->size = size;
    op->arg = align ? align : hg__owed_by_malloc(size);
    return op->kind == HG_OP_DEALLOC ||
           (hg__is_power_of_two(op->arg) && hg_layout_is_valid((hg_layout){op->size, op->arg}));
}
