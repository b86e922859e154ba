/* Freeing operations. */
#include "oracle_private.h"

bool hg__oracle_release(hg_oracle *oracle, const hg_op *op) {
    const hg_backend *backend = oracle->backend;
    if (op->slot == HG_SLOT_NONE || !oracle->blocks[op->slot].ptr) {
        errno = HG__ERRNO_SENTINEL; /* C45: no operation at all */
        if (op->kind == HG_OP_FREE && backend->libc.free)
            backend->libc.free(NULL);
        else if (op->kind == HG_OP_FREE_SIZED && backend->libc.free_sized)
            backend->libc.free_sized(NULL, 1);
        else if (op->kind == HG_OP_FREE_ALIGNED_SIZED && backend->libc.free_aligned_sized)
            backend->libc.free_aligned_sized(NULL, 64, 1);
        oracle->counts.checks++;
        if (errno != HG__ERRNO_SENTINEL)
            return hg__broken(oracle, "C45", 'M', "%s(NULL) set errno to %d",
                              hg_op_kind_name(op->kind), errno);
        return false;
    }
    struct hg__block block = oracle->blocks[op->slot];
    if (hg__content_lost(oracle, op->slot, &block, block.ptr, block.usable, block.usable, "C7") ||
        hg__usable_changed(oracle, &block))
        return true;
    hg__dismiss(oracle, op->slot);
    hg__oracle_unlock(oracle);
    errno = HG__ERRNO_SENTINEL;
    if (op->kind == HG_OP_FREE_SIZED && backend->libc.free_sized &&
        block.origin == HG__ORIGIN_PLAIN)
        backend->libc.free_sized(block.ptr, block.size);
    else if (op->kind == HG_OP_FREE_ALIGNED_SIZED && backend->libc.free_aligned_sized &&
             block.origin == HG__ORIGIN_ALIGNED_ALLOC)
        backend->libc.free_aligned_sized(block.ptr, (size_t)1 << block.align_log2, block.size);
    else
        hg__free_block(backend, &block);
    int error = errno;
    hg__oracle_lock(oracle);
    oracle->op = *op;
    oracle->counts.checks++;
    if (error != HG__ERRNO_SENTINEL && block.face == HG__FACE_LIBC &&
        oracle->config.oracle_fault != HG_ORACLE_NO_ERRNO)
        return hg__broken(oracle, "C46", 'M', "free changed errno to %d", error);
    return false;
}
