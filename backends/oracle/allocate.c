/* Allocating operations: what came back is judged and taken into the books. */
#include "oracle_private.h"

#include <string.h>

/* A request that memory is there for came back empty-handed. */
static bool is_refusal(const hg_oracle *oracle, const struct hg__call *call) {
    return !call->must_fail && !call->may_refuse && !oracle->config.may_fail &&
           !oracle->was_short && call->size > 0 && call->size <= (size_t)256 << 20 &&
           call->align <= (size_t)64 << 20;
}

static bool refused(hg_oracle *oracle, const struct hg__call *call) {
    oracle->counts.failed_for_memory++;
    if (oracle->op.kind == HG_OP_ALIGNED_ALLOC)
        return hg__broken(oracle, "C30", 'M',
                          "refused %zu bytes aligned to %zu, which must be supported", call->size,
                          call->align);
    return hg__broken(oracle, "C12", 'M', "refused %zu bytes although memory is there", call->size);
}

/* NULL came back: was that owed, allowed, or a refusal? True iff the run ends. */
bool hg__judge_failure(hg_oracle *oracle, const struct hg__call *call) {
    oracle->counts.checks++;
    if (oracle->config.oracle_fault == HG_ORACLE_NO_FAILURES)
        return false;
    bool refused_zero = call->size == 0 && !call->must_fail;
    if (call->clobbered_out &&
        hg__broken(oracle, "C37", 'M', "posix_memalign failed with %d and changed *memptr",
                   call->error))
        return true;
    if (oracle->op.kind == HG_OP_POSIX_MEMALIGN && call->must_fail) {
        int owed = strcmp(call->must_fail_item, "C36") == 0 ? EINVAL : ENOMEM;
        bool both = owed == EINVAL && call->size > PTRDIFF_MAX; /* two reasons: either will do */
        if (call->error != owed && !(both && call->error == ENOMEM) &&
            hg__broken(oracle, "C36", 'M', "posix_memalign returned %d where %d is owed",
                       call->error, owed))
            return true;
    }
    if (is_refusal(oracle, call))
        return refused(oracle, call);
    bool bad_align = call->must_fail && strcmp(call->must_fail_item, "C31") == 0;
    /* POSIX says so of its own functions only. */
    bool is_posix = oracle->op.kind != HG_OP_MEMALIGN && oracle->op.kind != HG_OP_VALLOC &&
                    oracle->op.kind != HG_OP_PVALLOC;
    bool looks = oracle->config.oracle_fault != HG_ORACLE_NO_ERRNO;
    if (looks && call->sets_errno && !refused_zero && !call->may_refuse && call->error != ENOMEM &&
        !(bad_align && call->error == EINVAL) && /* POSIX.1-2024 */
        hg__broken(oracle, "C13", is_posix ? 'M' : 'Q',
                   "NULL with errno %d where ENOMEM (%d) is owed",
                   call->error == HG__ERRNO_SENTINEL ? 0 : call->error, ENOMEM))
        return true;
    if (call->must_fail) {
        oracle->counts.failed_as_owed++;
        return false;
    }
    oracle->counts.failed_for_memory++;
    if (oracle->op.kind == HG_OP_POSIX_MEMALIGN && call->error != ENOMEM && !call->may_refuse &&
        !refused_zero &&
        hg__broken(oracle, "C36", 'M',
                   "posix_memalign returned %d for lack of memory (ENOMEM is %d)", call->error,
                   ENOMEM))
        return true;
    if (call->size == 0 && oracle->op.kind == HG_OP_MALLOC &&
        oracle->backend->facts.malloc_zero == HG_ZERO_UNIQUE && !oracle->was_short &&
        hg__broken(oracle, "C8", 'Q', "malloc(0) gave a block before, and now NULL"))
        return true;
    return false;
}

static enum hg__block_origin origin_of(unsigned kind) {
    switch (kind) {
    case HG_OP_ALIGNED_ALLOC:
        return HG__ORIGIN_ALIGNED_ALLOC;
    case HG_OP_MALLOC:
    case HG_OP_CALLOC:
    case HG_OP_REALLOC:
    case HG_OP_REALLOCARRAY:
        return HG__ORIGIN_PLAIN;
    default:
        return HG__ORIGIN_OTHER;
    }
}

bool hg__oracle_allocate(hg_oracle *oracle, const hg_op *op) {
    struct hg__call call;
    rlim_t limit = hg__starve(oracle, op);
    hg__oracle_unlock(oracle);
    bool supported = hg__call_allocate(oracle->backend, op, &call);
    hg__oracle_lock(oracle);
    hg__feed(oracle, limit);
    if (!supported) {
        oracle->counts.unsupported++;
        if (op->slot != HG_SLOT_NONE)
            oracle->blocks[op->slot].refused = 1;
        return false;
    }
    oracle->op = *op;
    if (call.silent && hg__broken(oracle, "C39", 'M', "posix_memalign returned 0 and no block"))
        return true;
    if (!call.result) {
        if (op->slot != HG_SLOT_NONE)
            oracle->blocks[op->slot].refused = 1;
        return hg__judge_failure(oracle, &call);
    }
    struct hg__block block = {
        .ptr = call.result,
        .size = call.size,
        .op_index = oracle->op_index,
        .align_log2 = call.align ? hg__log2_floor(call.align) : 0,
        .face = op->kind >= HG_OP_ALLOC ? HG__FACE_LAYOUT : HG__FACE_LIBC,
        .origin = (uint8_t)origin_of(op->kind),
    };
    if (call.must_fail) {
        bool ends =
            hg__broken(oracle, call.must_fail_item, 'M',
                       "returned %p where the call must fail (size %llu, alignment or count %llu)",
                       call.result, (unsigned long long)op->size, (unsigned long long)op->arg);
        if (!ends) /* waived: hand it back, its extent is not defined */
            hg__free_block(oracle->backend, &block);
        return ends;
    }
    oracle->counts.succeeded++;
    if (call.error != HG__ERRNO_SENTINEL && call.sets_errno &&
        hg__broken(oracle, "C9", 'Q', "a call that succeeded set errno to %d", call.error))
        return true;
    if (op->slot == HG_SLOT_NONE) {
        if (hg__unkept_is_wrong(oracle, &block))
            return true;
        hg__free_block(oracle->backend, &block);
        return false;
    }
    block.generation = oracle->blocks[op->slot].generation;
    return hg__admit(oracle, op->slot, &block, call.zeroed);
}
