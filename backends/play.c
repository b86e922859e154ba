#include "play.h"

enum {
    PAGE_BYTES = 4096,
    LOOK_AHEAD = 16 /* operations: their slots are fetched into the cache meanwhile */
};

/* A program writes to what it allocates; without this, pages never become resident and footprint and
 * page faults would be nothing like the program's. One byte a page, and the last. */
static inline void touch_block(void *ptr, size_t size) {
    if (size == 0)
        return;
    volatile unsigned char *bytes = ptr;
    for (size_t offset = 0; offset < size; offset += PAGE_BYTES)
        bytes[offset] = 1;
    bytes[size - 1] = 1;
}

/* Set in size_align when the layout face made the block. Sizes end at 2^57. */
static const uint64_t BY_LAYOUT = UINT64_C(1) << 63;

static inline uint64_t pack(size_t size, size_t align) {
    return ((uint64_t)size << 6 & ~BY_LAYOUT) | (unsigned)__builtin_ctzll(align);
}

static inline hg_layout unpack(const struct hg_played *slot) {
    uint64_t packed = slot->size_align & ~BY_LAYOUT;
    return (hg_layout){packed >> 6, (size_t)1 << (packed & 63)};
}

/* Everything that is not one of the frequent calls. Returns the new pointer, or NULL.
 * *supported is false iff the backend has no such function. */
static __attribute__((noinline)) void *call_rare(const struct hg_libc_face *libc, const hg_op *op,
                                                 bool *supported) {
    void *out = NULL;
    *supported = false;
    switch (op->kind) {
    case HG_OP_ALIGNED_ALLOC:
        *supported = libc->aligned_alloc != NULL;
        return *supported ? libc->aligned_alloc(op->arg, op->size) : NULL;
    case HG_OP_POSIX_MEMALIGN:
        *supported = libc->posix_memalign != NULL;
        return *supported && libc->posix_memalign(&out, op->arg, op->size) == 0 ? out : NULL;
    case HG_OP_MEMALIGN:
        *supported = libc->memalign != NULL;
        return *supported ? libc->memalign(op->arg, op->size) : NULL;
    case HG_OP_VALLOC:
        *supported = libc->valloc != NULL;
        return *supported ? libc->valloc(op->size) : NULL;
    case HG_OP_PVALLOC:
        *supported = libc->pvalloc != NULL;
        return *supported ? libc->pvalloc(op->size) : NULL;
    case HG_OP_MALLOC:
        *supported = true;
        return libc->malloc(op->size);
    case HG_OP_CALLOC:
        *supported = libc->calloc != NULL;
        return *supported ? libc->calloc(op->arg, op->size) : NULL;
    default:
        return NULL;
    }
}

/* An allocation that failed when it was recorded: asked for again, and handed back if it succeeds. */
static __attribute__((noinline)) void play_unnamed(const hg_backend *backend, const hg_op *op,
                                                   struct hg_play_tally *tally) {
    const struct hg_libc_face *libc = &backend->libc;
    bool supported = true;
    if (hg_op_allocates(op->kind)) {
        void *ptr = call_rare(libc, op, &supported);
        if (ptr)
            libc->free(ptr);
    }
    tally->unsupported += !supported;
}

/* The operation at which hg__play_libc stops: `end`, or one that fills a full slot. *not_performed
 * counts those before it that were not performed. */
static const hg_op *play_until(const hg_backend *backend, struct hg_played *slots, const hg_op *ops,
                               const hg_op *end, bool touch, struct hg_play_tally *tally,
                               uint64_t *not_performed) {
    const struct hg_libc_face *libc = &backend->libc;
    for (const hg_op *op = ops; op < end; op++) {
        /* The table of slots is the player's, not the program's: its misses are not to be measured. The
         * blocks themselves are left alone, theirs are. */
        const hg_op *ahead = end - op > LOOK_AHEAD ? op + LOOK_AHEAD : op;
        __builtin_prefetch(&slots[ahead->slot], 1);
        if (op->slot == HG_SLOT_NONE) {
            if (op->kind == HG_OP_FREE)
                libc->free(NULL);
            else
                play_unnamed(backend, op, tally);
            continue;
        }
        struct hg_played *slot = &slots[op->slot];
        size_t size = op->size;
        void *ptr;
        switch (op->kind) {
        case HG_OP_FREE:
            libc->free(slot->ptr);
            slot->ptr = NULL;
            break;
        case HG_OP_MALLOC:
            if (slot->ptr)
                return op;
            ptr = libc->malloc(size);
            slot->ptr = ptr;
            slot->size_align = pack(size, 1);
            if (!ptr)
                tally->failed++;
            else if (touch)
                touch_block(ptr, size);
            break;
        case HG_OP_CALLOC:
            if (slot->ptr)
                return op;
            ptr = libc->calloc ? libc->calloc(op->arg, size) : NULL;
            tally->unsupported += !libc->calloc;
            size *= op->arg;
            slot->ptr = ptr;
            slot->size_align = pack(size, 1);
            if (!ptr)
                tally->failed++;
            else if (touch)
                touch_block(ptr, size);
            break;
        case HG_OP_REALLOC:
        case HG_OP_REALLOCARRAY:
            if (!libc->realloc) {
                tally->unsupported++;
                break;
            }
            if (op->kind == HG_OP_REALLOC)
                ptr = libc->realloc(slot->ptr, size);
            else
                ptr = libc->reallocarray ? libc->reallocarray(slot->ptr, op->arg, size)
                                         : libc->realloc(slot->ptr, op->arg * size);
            if (op->kind == HG_OP_REALLOCARRAY) {
                tally->unsupported += !libc->reallocarray;
                size *= op->arg;
            }
            if (size == 0) { /* streams hold that the slot is empty then, as glibc has it */
                if (ptr)
                    libc->free(ptr);
                slot->ptr = NULL;
                break;
            }
            if (!ptr) { /* the old block stays */
                tally->failed++;
                break;
            }
            slot->ptr = ptr;
            slot->size_align = pack(size, 1);
            if (touch)
                touch_block(ptr, size);
            break;
        case HG_OP_FREE_SIZED:
        case HG_OP_FREE_ALIGNED_SIZED:
            /* Where the library has no sized free its users call free. */
            if (op->kind == HG_OP_FREE_SIZED && libc->free_sized)
                libc->free_sized(slot->ptr, slot->size_align >> 6);
            else if (op->kind == HG_OP_FREE_ALIGNED_SIZED && libc->free_aligned_sized)
                libc->free_aligned_sized(slot->ptr, unpack(slot).align, unpack(slot).size);
            else {
                libc->free(slot->ptr);
                tally->unsupported++;
            }
            slot->ptr = NULL;
            break;
        case HG_OP_USABLE_SIZE:
            if (libc->malloc_usable_size)
                libc->malloc_usable_size(slot->ptr);
            else
                tally->unsupported++;
            break;
        default: { /* the other allocating calls, and the layout face in a mixed stream */
            if (op->kind >= HG_OP_ALLOC && op->kind <= HG_OP_DEALLOC) {
                if (hg__play_layout(backend, slots, op, 1, touch, tally) != 1)
                    return op;
                tally->performed--; /* counted below */
                break;
            }
            if (!hg_op_allocates(op->kind)) {
                tally->left_out++;
                ++*not_performed;
                break;
            }
            if (slot->ptr)
                return op;
            bool supported;
            ptr = call_rare(libc, op, &supported);
            size_t align = op->arg == 0 ? 1 : op->arg;
            slot->ptr = ptr;
            slot->size_align = pack(size, align);
            tally->unsupported += !supported;
            if (!ptr)
                tally->failed++;
            else if (touch)
                touch_block(ptr, size);
            break;
        }
        }
    }
    return end;
}

size_t hg__play_libc(const hg_backend *backend, struct hg_played *slots, const hg_op *ops,
                     size_t count, bool touch, struct hg_play_tally *tally) {
    uint64_t not_performed = 0;
    const hg_op *const stop =
        play_until(backend, slots, ops, ops + count, touch, tally, &not_performed);
    tally->performed += (uint64_t)(stop - ops) - not_performed;
    return (size_t)(stop - ops);
}

size_t hg__play_without_libc(const hg_backend *backend, struct hg_played *slots, const hg_op *ops,
                             size_t count, bool touch, struct hg_play_tally *tally) {
    for (size_t i = 0; i < count; i++) {
        bool is_layout = ops[i].kind >= HG_OP_ALLOC && ops[i].kind <= HG_OP_DEALLOC;
        if (!is_layout)
            tally->unsupported++;
        else if (hg__play_layout(backend, slots, &ops[i], 1, touch, tally) != 1)
            return i;
    }
    return count;
}

size_t hg__play_layout(const hg_backend *backend, struct hg_played *slots, const hg_op *ops,
                       size_t count, bool touch, struct hg_play_tally *tally) {
    const struct hg_layout_face *face = &backend->layout;
    for (size_t i = 0; i < count; i++) {
        hg_op op = ops[i];
        bool empty = op.slot == HG_SLOT_NONE || !slots[op.slot].ptr;
        if (op.slot == HG_SLOT_NONE || !hg_op_to_layout(&op, empty)) {
            tally->left_out++;
            continue;
        }
        struct hg_played *slot = &slots[op.slot];
        void *ptr;
        switch (op.kind) {
        case HG_OP_DEALLOC:
            if (empty) { /* its allocation was left out */
                tally->left_out++;
                continue;
            }
            face->dealloc(backend, slot->ptr, unpack(slot));
            slot->ptr = NULL;
            break;
        case HG_OP_ALLOC:
        case HG_OP_ALLOC_ZEROED:
            if (!empty)
                return i;
            if (op.kind == HG_OP_ALLOC_ZEROED && !face->alloc_zeroed) {
                tally->unsupported++;
                continue;
            }
            ptr = op.kind == HG_OP_ALLOC
                      ? face->alloc(backend, (hg_layout){op.size, op.arg})
                      : face->alloc_zeroed(backend, (hg_layout){op.size, op.arg});
            slot->ptr = ptr;
            slot->size_align = pack(op.size, op.arg) | BY_LAYOUT;
            if (!ptr)
                tally->failed++;
            else if (touch)
                touch_block(ptr, op.size);
            break;
        case HG_OP_LAYOUT_REALLOC:
            if (empty) {
                tally->left_out++;
                continue;
            }
            if (!face->realloc) { /* the block stays as it is */
                tally->unsupported++;
                continue;
            }
            ptr = face->realloc(backend, slot->ptr, unpack(slot), op.size);
            if (!ptr) {
                tally->failed++;
                break;
            }
            slot->ptr = ptr;
            slot->size_align = pack(op.size, unpack(slot).align) | BY_LAYOUT;
            if (touch)
                touch_block(ptr, op.size);
            break;
        default:
            tally->left_out++;
            continue;
        }
        tally->performed++;
    }
    return count;
}

void hg__play_touch(const struct hg_played *slot, uint64_t bytes) {
    const size_t size = unpack(slot).size;
    touch_block(slot->ptr, bytes < size ? bytes : size);
}

void hg__play_drain(const hg_backend *backend, struct hg_played *slot) {
    if (slot->size_align & BY_LAYOUT)
        backend->layout.dealloc(backend, slot->ptr, unpack(slot));
    else
        backend->libc.free(slot->ptr);
    slot->ptr = NULL;
}
