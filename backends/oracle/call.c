/* The calls: what is asked of the backend, and what is owed for it. Nothing is judged here. */
#include "oracle_private.h"

static void owe_size(struct hg__call *call, size_t size) {
    call->size = size;
    if (size > PTRDIFF_MAX) {
        call->must_fail = true;
        call->must_fail_item = "C11";
    }
}

static void owe_product(struct hg__call *call, uint64_t count, uint64_t size, const char *item) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product)) {
        call->must_fail = true;
        call->must_fail_item = item;
        return;
    }
    owe_size(call, product);
}

static bool do_aligned_alloc(const struct hg_libc_face *libc, const hg_op *op,
                             struct hg__call *call) {
    if (!libc->aligned_alloc)
        return false;
    owe_size(call, op->size);
    call->align = op->arg;
    if (!hg__is_power_of_two(op->arg)) {
        call->must_fail = true;
        call->must_fail_item = "C31";
        call->align = 1;
    } else if (op->size > SIZE_MAX - op->arg) {
        call->must_fail = true;
        call->must_fail_item = "C34";
    }
    call->may_refuse = op->size % (op->arg ? op->arg : 1) != 0 || op->arg > HG__PAGE_BYTES;
    call->result = libc->aligned_alloc(op->arg, op->size);
    call->error = errno;
    return true;
}

static bool do_posix_memalign(const struct hg_libc_face *libc, const hg_op *op,
                              struct hg__call *call) {
    if (!libc->posix_memalign)
        return false;
    static char marker;
    void *out = &marker;
    owe_size(call, op->size);
    call->align = op->arg;
    call->sets_errno = false;
    if (!hg__is_power_of_two(op->arg) || op->arg % sizeof(void *) != 0) {
        call->must_fail = true;
        call->must_fail_item = "C36";
        call->align = 1;
    }
    call->may_refuse = op->arg > (UINT64_C(1) << 26);
    call->error = libc->posix_memalign(&out, op->arg, op->size);
    call->silent = call->error == 0 && out == &marker;
    call->result = call->error == 0 && !call->silent ? out : NULL;
    call->clobbered_out = call->error != 0 && out != &marker;
    return true;
}

static bool do_memalign(const struct hg_libc_face *libc, const hg_op *op, struct hg__call *call) {
    if (!libc->memalign)
        return false;
    owe_size(call, op->size);
    call->align = hg__is_power_of_two(op->arg) ? op->arg : 1; /* rounding up is allowed (C43) */
    call->may_refuse = !hg__is_power_of_two(op->arg) || op->arg > HG__PAGE_BYTES;
    call->result = libc->memalign(op->arg, op->size);
    call->error = errno;
    return true;
}

static bool do_valloc(void *(*function)(size_t), const hg_op *op, struct hg__call *call) {
    if (!function)
        return false;
    bool rounds = op->kind == HG_OP_PVALLOC;
    if (rounds && op->size > SIZE_MAX - (HG__PAGE_BYTES - 1)) {
        call->must_fail = true;
        call->must_fail_item = "C43";
    } else {
        owe_size(call, rounds ? (op->size + HG__PAGE_BYTES - 1) & ~(size_t)(HG__PAGE_BYTES - 1)
                              : op->size);
    }
    call->align = HG__PAGE_BYTES;
    call->may_refuse = op->size == 0;
    call->result = function(op->size);
    call->error = errno;
    return true;
}

/* Performs an allocating operation. False iff the backend has no such function. */
bool hg__call_allocate(const hg_backend *backend, const hg_op *op, struct hg__call *call) {
    const struct hg_libc_face *libc = &backend->libc;
    *call = (struct hg__call){.sets_errno = true};
    errno = HG__ERRNO_SENTINEL;
    switch (op->kind) {
    case HG_OP_MALLOC:
        if (!libc->malloc)
            return false;
        owe_size(call, op->size);
        call->align = hg__owed_by_malloc(op->size);
        call->result = libc->malloc(op->size);
        break;
    case HG_OP_CALLOC:
        if (!libc->calloc)
            return false;
        owe_product(call, op->arg, op->size, "C18");
        call->align = hg__owed_by_malloc(call->size);
        call->zeroed = true;
        call->result = libc->calloc(op->arg, op->size);
        break;
    case HG_OP_ALIGNED_ALLOC:
        return do_aligned_alloc(libc, op, call);
    case HG_OP_POSIX_MEMALIGN:
        return do_posix_memalign(libc, op, call);
    case HG_OP_MEMALIGN:
        return do_memalign(libc, op, call);
    case HG_OP_VALLOC:
        return do_valloc(libc->valloc, op, call);
    case HG_OP_PVALLOC:
        return do_valloc(libc->pvalloc, op, call);
    default: { /* the layout face */
        hg_layout layout = {op->size, op->arg};
        call->size = op->size;
        call->align = op->arg;
        call->sets_errno = false;
        call->zeroed = op->kind == HG_OP_ALLOC_ZEROED;
        call->may_refuse = op->arg > backend->facts.align_max;
        void *(*function)(const hg_backend *, hg_layout) =
            call->zeroed ? backend->layout.alloc_zeroed : backend->layout.alloc;
        if (!function)
            return false;
        call->result = function(backend, layout);
        break;
    }
    }
    call->error = errno;
    if (call->size == 0)
        call->may_refuse = true; /* C8: NULL or unique */
    return true;
}

void hg__free_block(const hg_backend *backend, const struct hg__block *block) {
    if (block->face == HG__FACE_NATIVE)
        hg__native_free_block(backend, block);
    else if (block->face == HG__FACE_LIBC)
        backend->libc.free(block->ptr);
    else
        backend->layout.dealloc(backend, block->ptr,
                                (hg_layout){block->size, (size_t)1 << block->align_log2});
}

/* Calls the reallocating function; fills `call`. False iff unsupported. */
bool hg__call_reallocate(const hg_backend *backend, const hg_op *op, const struct hg__block *old,
                         struct hg__call *call) {
    *call = (struct hg__call){.sets_errno = true};
    errno = HG__ERRNO_SENTINEL;
    if (op->kind == HG_OP_LAYOUT_REALLOC) {
        if (!backend->layout.realloc)
            return false;
        hg_layout layout = {old->size, (size_t)1 << old->align_log2};
        call->size = op->size;
        call->align = layout.align;
        call->sets_errno = false;
        call->result = backend->layout.realloc(backend, old->ptr, layout, op->size);
    } else if (op->kind == HG_OP_REALLOCARRAY) {
        if (!backend->libc.reallocarray)
            return false;
        owe_product(call, op->arg, op->size, "C27");
        call->result = backend->libc.reallocarray(old->ptr, op->arg, op->size);
    } else {
        if (!backend->libc.realloc)
            return false;
        owe_size(call, op->size);
        call->result = backend->libc.realloc(old->ptr, op->size);
    }
    call->error = errno;
    if (op->kind != HG_OP_LAYOUT_REALLOC)
        call->align = hg__owed_by_malloc(call->size);
    return true;
}
