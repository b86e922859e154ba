/* Reallocating operations. */
#include "oracle_private.h"

/* realloc(p, 0) of a live block: NULL means freed, else a block of size 0 (C25, by profile). */
static bool after_realloc_to_zero(hg_oracle *oracle, const hg_op *op, const struct hg__block *old,
                                  void *result) {
    hg__dismiss(oracle, op->slot);
    enum hg_zero_policy policy = oracle->backend->facts.realloc_zero;
    oracle->counts.checks++;
    if (op->kind == HG_OP_REALLOC && !oracle->was_short &&
        ((policy == HG_ZERO_NULL && result) || (policy == HG_ZERO_UNIQUE && !result)) &&
        hg__broken(oracle, "C25", 'M', "realloc(p, 0) returned %p, and when it was probed %s",
                   result, result ? "NULL" : "a block"))
        return true;
    if (!result)
        return false;
    struct hg__block block = *old;
    block.ptr = result;
    block.size = 0;
    block.align_log2 = 0;
    block.generation = oracle->blocks[op->slot].generation;
    if (hg__admit(oracle, op->slot, &block, false))
        return true;
    /* Streams hold that the slot is empty after it, as glibc has it. */
    hg__dismiss(oracle, op->slot);
    oracle->backend->libc.free(result);
    return false;
}

static bool failed_reallocation(hg_oracle *oracle, const hg_op *op, const struct hg__block *old,
                                const struct hg__call *call) {
    if (!old->ptr)
        return hg__judge_failure(oracle, call);
    const char *item = call->must_fail && op->kind == HG_OP_REALLOCARRAY ? "C27" : "C23";
    if (hg__content_lost(oracle, op->slot, old, old->ptr, old->usable, old->usable, item))
        return true;
    if (hg__usable_changed(oracle, old))
        return true;
    return hg__judge_failure(oracle, call);
}

bool hg__oracle_reallocate(hg_oracle *oracle, const hg_op *op) {
    static const struct hg__block nothing;
    bool unnamed = op->slot == HG_SLOT_NONE;
    struct hg__block old = unnamed ? nothing : oracle->blocks[op->slot];
    if (old.ptr &&
        (hg__content_lost(oracle, op->slot, &old, old.ptr, old.usable, old.usable, "C7") ||
         hg__usable_changed(oracle, &old)))
        return true;
    struct hg__call call;
    if (old.ptr) /* while the call runs its address may be reused by another thread */
        hg_intervals_remove(oracle->intervals, op->slot);
    rlim_t limit = hg__starve(oracle, op);
    hg__oracle_unlock(oracle);
    bool supported = hg__call_reallocate(oracle->backend, op, &old, &call);
    hg__oracle_lock(oracle);
    hg__feed(oracle, limit);
    oracle->op = *op;
    size_t extent = old.usable ? old.usable : 1;
    bool stays = !supported || (!call.result && !(call.size == 0 && !call.must_fail));
    if (old.ptr && (stays || call.size == 0 || call.must_fail)) {
        /* Back into the books. (A block that others took meanwhile shows when they are admitted.) */
        if (!hg_intervals_insert(oracle->intervals, (uintptr_t)old.ptr, (uintptr_t)old.ptr + extent,
                                 op->slot))
            return hg__broken(oracle, "H1", 'M', "no memory left for the oracle's tables");
    }
    if (!unnamed && !old.ptr && (!supported || !call.result))
        oracle->blocks[op->slot].refused = 1;
    if (!supported) {
        oracle->counts.unsupported++;
        return false;
    }
    if (call.result && call.must_fail)
        return hg__broken(oracle, call.must_fail_item, 'M',
                          "returned %p where the call must fail (size %llu, count %llu)",
                          call.result, (unsigned long long)op->size, (unsigned long long)op->arg);
    if (old.ptr && call.size == 0 && !call.must_fail)
        return after_realloc_to_zero(oracle, op, &old, call.result);
    if (!call.result) {
        call.may_refuse = call.size == 0;
        return failed_reallocation(oracle, op, &old, &call);
    }
    oracle->counts.succeeded++;
    struct hg__block block = {
        .ptr = call.result,
        .size = call.size,
        .op_index = oracle->op_index,
        .align_log2 = hg__log2_floor(call.align),
        .face = op->kind == HG_OP_LAYOUT_REALLOC ? HG__FACE_LAYOUT : HG__FACE_LIBC,
        .origin = HG__ORIGIN_PLAIN,
        .generation = old.generation,
        .reallocated = 1,
    };
    if (unnamed) {
        hg__free_block(oracle->backend, &block);
        return false;
    }
    if (!old.ptr)
        return hg__admit(oracle, op->slot, &block, false);
    oracle->counts.live_blocks--;
    oracle->counts.live_bytes -= old.size;
    oracle->budget -= (uint32_t)old.size;
    if (oracle->config.oracle_fault == HG_ORACLE_COUNTER_WRAPS)
        oracle->budget -= UINT32_C(1) << 30; /* counted off twice, and below zero */
    if (call.result == old.ptr)
        oracle->counts.stayed++;
    else
        oracle->counts.moved++;
    if (call.result != old.ptr && old.size > 0 && block.size > old.size &&
        block.size <= old.usable && block.size > old.usable / 2 && /* else it saves memory */
        hg__broken(oracle, "C28", 'Q', "a growth from %zu to %zu bytes moved, with %zu usable",
                   old.size, block.size, old.usable))
        return true;
    old.reallocated = 1;
    size_t kept = old.size < block.size ? old.size : block.size;
    bool face_is_layout = block.face == HG__FACE_LAYOUT;
    if (hg__misaligned(oracle, block.ptr, (size_t)1 << block.align_log2,
                       face_is_layout ? "C68" : "C2", 'M'))
        return true;
    if (hg__content_lost(oracle, op->slot, &old, block.ptr, old.usable, kept,
                         face_is_layout ? "C68" : "C22"))
        return true;
    block.generation++;
    return hg__admit(oracle, op->slot, &block, false);
}
