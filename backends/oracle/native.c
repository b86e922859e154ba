/* Native calls: mallocx and its family (C60), mimalloc's own calls (C61), C++'s operators (C49), sizes
 * foretold (C44, C62), statistics (C59). */
#define _GNU_SOURCE
#include "oracle_private.h"

#include "../native_call.h"

#include <stdio.h>
#include <string.h>

static const char *item_of(unsigned family) {
    return family == HG_NATIVE_JEMALLOC ? "C60" : family == HG_NATIVE_MIMALLOC ? "C61" : "C49";
}

bool hg__native_may_use(const struct hg__block *block, const hg_op *op) {
    if (!block->ptr || block->face != HG__FACE_NATIVE)
        return false;
    unsigned function = hg_native_function(op->arg);
    const struct hg_native_facts *made_by = hg_native_facts(block->native);
    const struct hg_native_facts *facts = hg_native_facts(function);
    if (made_by->family != facts->family)
        return false;
    if (function == HG_NATIVE_MI_REZALLOC || function == HG_NATIVE_MI_REZALLOC_ALIGNED)
        return block->zeroed; /* of any other block the tail is not promised */
    return function != HG_NATIVE_MI_EXPAND || (block->asked_log2 == 0 && block->offset == 0);
}

/* What xallocx and sallocx call the real size, and mi_usable_size: false iff it can't be asked. */
bool hg__native_usable(const hg_oracle *oracle, const struct hg__block *block, size_t *usable) {
    const struct hg_native_face *face = &oracle->backend->native;
    switch (hg_native_facts(block->native)->family) {
    case HG_NATIVE_JEMALLOC:
        *usable = face->sallocx(block->ptr, 0);
        return true;
    case HG_NATIVE_MIMALLOC:
        if (!face->mi_usable_size || block->zeroed) /* what lies beyond the size stays zero */
            return false;
        *usable = face->mi_usable_size(block->ptr);
        return true;
    default:
        return false;
    }
}

void hg__native_free_block(const hg_backend *backend, const struct hg__block *block) {
    hg__native_free(&backend->native, hg__native_plain_free(block->native), block->native,
                    block->ptr, block->size, block->asked_log2);
}

/* ---- allocating ---- */

static size_t align_owed(const hg_op *op) {
    const struct hg_native_facts *facts = hg_native_facts(hg_native_function(op->arg));
    size_t align = (size_t)1 << hg_native_align_log2(op->arg);
    if (hg_native_offset(op->arg)) /* p + offset is what is aligned */
        return align;
    size_t plain = hg__owed_by_malloc(op->size);
    return facts->takes_align && align > plain ? align : plain;
}

static struct hg__call call_for(const hg_op *op) {
    return (struct hg__call){
        .size = op->size,
        .align = align_owed(op),
        .must_fail = op->size > PTRDIFF_MAX,
        .must_fail_item = "C11",
        .may_refuse = op->size == 0 || hg_native_align_log2(op->arg) > 12,
        .zeroed = hg_native_zero(op->arg) || hg_native_facts(hg_native_function(op->arg))->zeroes,
    };
}

/* The same size computation as the call's own (jemalloc(3)). */
static bool size_foretold_wrongly(hg_oracle *oracle, const struct hg__block *block,
                                  const hg_op *op) {
    const struct hg_native_face *face = &oracle->backend->native;
    if (hg_native_function(op->arg) != HG_NATIVE_MALLOCX || !face->nallocx)
        return false;
    size_t foretold = face->nallocx(op->size, (int)hg_native_align_log2(op->arg));
    size_t real = face->sallocx(block->ptr, (int)hg_native_align_log2(op->arg));
    oracle->counts.checks++;
    return foretold != real &&
           hg__broken(oracle, "C60", 'M', "nallocx says %zu, and sallocx of the block %zu",
                      foretold, real);
}

static bool allocate(hg_oracle *oracle, const hg_op *op) {
    struct hg__call call = call_for(op);
    rlim_t limit = hg__starve(oracle, op);
    hg__oracle_unlock(oracle);
    call.result = hg__native_allocate(&oracle->backend->native, op);
    hg__oracle_lock(oracle);
    hg__feed(oracle, limit);
    oracle->op = *op;
    if (!call.result) {
        if (op->slot != HG_SLOT_NONE)
            oracle->blocks[op->slot].refused = 1;
        return hg__judge_failure(oracle, &call);
    }
    struct hg__block block = {
        .ptr = call.result,
        .size = op->size,
        .op_index = oracle->op_index,
        .align_log2 = hg__log2_floor(call.align),
        .face = HG__FACE_NATIVE,
        .origin = HG__ORIGIN_OTHER,
        .native = (uint8_t)hg_native_function(op->arg),
        .asked_log2 = (uint8_t)hg_native_align_log2(op->arg),
        .offset = hg_native_offset(op->arg),
        .zeroed = hg_native_facts(hg_native_function(op->arg))->zeroes,
    };
    if (call.must_fail)
        return hg__broken(oracle, "C11", 'M', "returned %p for %llu bytes", call.result,
                          (unsigned long long)op->size);
    oracle->counts.succeeded++;
    if (op->slot == HG_SLOT_NONE) {
        bool ends = hg__unkept_is_wrong(oracle, &block);
        hg__native_free_block(oracle->backend, &block);
        return ends;
    }
    if (size_foretold_wrongly(oracle, &block, op))
        return true;
    block.generation = oracle->blocks[op->slot].generation;
    return hg__admit(oracle, op->slot, &block, call.zeroed);
}

/* ---- reallocating ---- */

/* jemalloc: the real size before is the boundary between bytes left alone and bytes zeroed; mimalloc's
 * rezalloc: the size before. */
static bool tail_not_zero(hg_oracle *oracle, const hg_op *op, const struct hg__block *old,
                          const struct hg__block *block, const char *item) {
    const struct hg_native_facts *facts = hg_native_facts(hg_native_function(op->arg));
    size_t from = facts->zeroes ? old->size : old->usable, to = block->size;
    if (facts->family == HG_NATIVE_JEMALLOC && !hg__native_usable(oracle, block, &to))
        return false;
    return (facts->zeroes || hg_native_zero(op->arg)) && to > from &&
           hg__not_zero(oracle, block, from, to, item);
}

/* In place: what the call says of the block must hold, and the block must not have moved. */
static bool resized_wrongly(hg_oracle *oracle, const hg_op *op, const struct hg__block *old,
                            const struct hg__block *block, size_t real) {
    oracle->counts.checks++;
    if (hg_native_function(op->arg) == HG_NATIVE_MI_EXPAND)
        return block->ptr != old->ptr &&
               hg__broken(oracle, "C61", 'M', "mi_expand moved the block");
    size_t seen = oracle->backend->native.sallocx(old->ptr, 0);
    if (seen != real &&
        hg__broken(oracle, "C60", 'M', "xallocx says %zu, and sallocx %zu", real, seen))
        return true;
    return real < op->size && real != old->usable &&
           hg__broken(oracle, "C60", 'M',
                      "xallocx could not grow the block to %llu, yet changed it from %zu to %zu",
                      (unsigned long long)op->size, old->usable, real);
}

static struct hg__block block_after(const hg_oracle *oracle, const hg_op *op,
                                    const struct hg__block *old, void *result, size_t size) {
    bool in_place = hg_native_function(op->arg) == HG_NATIVE_XALLOCX ||
                    hg_native_function(op->arg) == HG_NATIVE_MI_EXPAND;
    struct hg__block block = *old;
    block.ptr = result;
    block.size = size;
    block.op_index = oracle->op_index;
    block.reallocated = 1;
    if (!in_place) {
        block.align_log2 = hg__log2_floor(align_owed(op));
        block.asked_log2 = (uint8_t)hg_native_align_log2(op->arg);
        block.offset = hg_native_offset(op->arg);
        block.zeroed = hg_native_facts(hg_native_function(op->arg))->zeroes;
    } else if (hg__owed_by_malloc(size) < (size_t)1 << block.align_log2 && size < old->size) {
        block.align_log2 = hg__log2_floor(hg__owed_by_malloc(size));
    }
    if (size < old->size && result == old->ptr) /* what the program wrote beyond stays, in place: no
                                                    zeroes are owed there */
        block.zeroed = 0;
    return block;
}

static bool failed(hg_oracle *oracle, const hg_op *op, const struct hg__block *old,
                   struct hg__call *call) {
    size_t extent = old->usable ? old->usable : 1;
    if (!hg_intervals_insert(oracle->intervals, (uintptr_t)old->ptr, (uintptr_t)old->ptr + extent,
                             op->slot))
        return hg__broken(oracle, "H1", 'M', "no memory left for the oracle's tables");
    if (hg__content_lost(oracle, op->slot, old, old->ptr, old->usable, old->usable, "C23"))
        return true;
    call->may_refuse |= hg_native_function(op->arg) == HG_NATIVE_MI_EXPAND;
    return hg__judge_failure(oracle, call);
}

static bool reallocate(hg_oracle *oracle, const hg_op *op) {
    struct hg__block old = oracle->blocks[op->slot];
    const char *item = item_of(hg_native_facts(old.native)->family);
    if (hg__content_lost(oracle, op->slot, &old, old.ptr, old.usable, old.usable, "C7"))
        return true;
    struct hg__call call = call_for(op);
    size_t real = SIZE_MAX;
    hg_intervals_remove(oracle->intervals, op->slot);
    rlim_t limit = hg__starve(oracle, op);
    hg__oracle_unlock(oracle);
    hg_op called = *op;
    if (hg_native_function(op->arg) == HG_NATIVE_XALLOCX) /* as it was allocated */
        called.arg |= (uint64_t)old.asked_log2 << 8;
    call.result = hg__native_reallocate(&oracle->backend->native, &called, old.ptr, &real);
    hg__oracle_lock(oracle);
    hg__feed(oracle, limit);
    oracle->op = *op;
    if (!call.result)
        return failed(oracle, op, &old, &call);
    bool too_small = real < op->size; /* xallocx could not: the block is as it was */
    if (call.must_fail && !too_small)
        return hg__broken(oracle, "C11", 'M', "returned %p for %llu bytes", call.result,
                          (unsigned long long)op->size);
    struct hg__block block =
        block_after(oracle, op, &old, call.result, too_small ? old.size : op->size);
    bool in_place = real != SIZE_MAX || hg_native_function(op->arg) == HG_NATIVE_MI_EXPAND;
    if (in_place && resized_wrongly(oracle, op, &old, &block, real))
        return true;
    oracle->counts.succeeded++;
    oracle->counts.live_blocks--;
    oracle->counts.live_bytes -= old.size;
    oracle->budget -= (uint32_t)old.size;
    if (block.ptr == old.ptr)
        oracle->counts.stayed++;
    else
        oracle->counts.moved++;
    if (hg__block_misaligned(oracle, &block))
        return true;
    /* jemalloc's real size is the program's to use, so all of it is kept. */
    size_t whole =
        hg_native_facts(old.native)->family == HG_NATIVE_JEMALLOC ? old.usable : old.size;
    size_t kept = whole < block.size ? whole : block.size;
    if (hg__content_lost(oracle, op->slot, &old, block.ptr, old.usable, kept, item) ||
        tail_not_zero(oracle, op, &old, &block, item))
        return true;
    block.generation++;
    return hg__admit(oracle, op->slot, &block, false);
}

/* ---- freeing ---- */

static bool release(hg_oracle *oracle, const hg_op *op) {
    struct hg__block block = oracle->blocks[op->slot];
    unsigned function = hg_native_function(op->arg);
    size_t size = block.size;
    if (function == HG_NATIVE_MI_FREE_SIZE && (block.asked_log2 || block.offset))
        function = HG_NATIVE_MI_FREE; /* it is for blocks without an alignment */
    if (hg__content_lost(oracle, op->slot, &block, block.ptr, block.usable, block.usable, "C7") ||
        hg__usable_changed(oracle, &block))
        return true;
    /* Any size from the one asked for to the real one will do; by turns it is either. */
    if (function == HG_NATIVE_SDALLOCX && block.generation % 2)
        size = block.usable;
    hg__dismiss(oracle, op->slot);
    hg__oracle_unlock(oracle);
    hg__native_free(&oracle->backend->native, function, block.native, block.ptr, size,
                    block.asked_log2);
    hg__oracle_lock(oracle);
    return false;
}

/* ---- looking ---- */

static bool foretells_wrongly(hg_oracle *oracle, const hg_op *op) {
    const struct hg_libc_face *libc = &oracle->backend->libc;
    if (op->size == 0 || op->size > (size_t)1 << 26 || !libc->malloc || !libc->malloc_usable_size)
        return false;
    size_t foretold = hg__native_good_size(&oracle->backend->native, op);
    void *ptr = libc->malloc(op->size);
    if (!ptr)
        return false;
    size_t usable = libc->malloc_usable_size(ptr);
    libc->free(ptr);
    oracle->counts.checks++;
    if (foretold < op->size)
        return hg__broken(oracle, "C62", 'M', "%s(%llu) is %zu, less than asked for",
                          hg_op_name(op), (unsigned long long)op->size, foretold);
    return foretold != usable &&
           hg__broken(oracle, "C44", 'Q', "%s(%llu) is %zu, and the block's usable size %zu",
                      hg_op_name(op), (unsigned long long)op->size, foretold, usable);
}

/* C59: counters are none of them negative, and (Q) what lives is counted. */
static bool counts_wrongly(hg_oracle *oracle) {
    const struct hg_native_face *face = &oracle->backend->native;
    if (!face->mallinfo2) { /* its ints wrap, as mallinfo(3) says: that it returns is all */
        face->mallinfo();
        return false;
    }
    struct hg_mallinfo2 info = face->mallinfo2();
    oracle->counts.checks++;
    for (int i = 0; i < HG_MALLINFO_FIELDS; i++)
        if (info.fields[i] > PTRDIFF_MAX)
            return hg__broken(oracle, "C59", 'M', "field %d of mallinfo2 is %zu", i,
                              info.fields[i]);
    uint64_t used = info.fields[HG_MALLINFO_UORDBLKS] + info.fields[HG_MALLINFO_HBLKHD];
    return used < oracle->counts.live_bytes &&
           hg__broken(oracle, "C59", 'Q', "mallinfo counts %llu bytes in use, and %llu live",
                      (unsigned long long)used, (unsigned long long)oracle->counts.live_bytes);
}

static bool look(hg_oracle *oracle, const hg_op *op) {
    static FILE *nowhere; /* a stream of its own, made once: stdio may call the malloc under test */
    switch (hg_native_function(op->arg)) {
    case HG_NATIVE_MALLINFO:
        return counts_wrongly(oracle);
    case HG_NATIVE_MALLOC_INFO:
        if (!nowhere)
            nowhere = fopen("/dev/null", "we");
        if (!nowhere)
            return false;
        oracle->counts.checks++;
        int status = oracle->backend->native.malloc_info(0, nowhere);
        return status != 0 && hg__broken(oracle, "C59", 'M', "malloc_info returned %d", status);
    default:
        return foretells_wrongly(oracle, op);
    }
}

bool hg__oracle_native(hg_oracle *oracle, const hg_op *op) {
    bool je = hg_native_facts(hg_native_function(op->arg))->family == HG_NATIVE_JEMALLOC;
    if (je && op->size == 0 && op->kind != HG_OP_NATIVE_FREE) { /* undefined, says its manual */
        if (op->kind == HG_OP_NATIVE_ALLOC && op->slot != HG_SLOT_NONE)
            oracle->blocks[op->slot].refused = 1;
        return false;
    }
    if (!hg_native_is_there(&oracle->backend->native, hg_native_function(op->arg))) {
        oracle->counts.unsupported++;
        if (op->kind == HG_OP_NATIVE_ALLOC && op->slot != HG_SLOT_NONE)
            oracle->blocks[op->slot].refused = 1;
        return false;
    }
    switch (op->kind) {
    case HG_OP_NATIVE_ALLOC:
        return allocate(oracle, op);
    case HG_OP_NATIVE_REALLOC:
        return reallocate(oracle, op);
    case HG_OP_NATIVE_FREE:
        return release(oracle, op);
    default:
        return look(oracle, op);
    }
}
