/* The oracle itself: its tables, one operation, the end of a stream. */
#define _GNU_SOURCE
#include "oracle_private.h"

#include "../native_call.h"
#include "../operation_facts.h"

#include <string.h>
#include <sys/mman.h>

static const uint64_t FIRST_DIGEST = UINT64_C(0xCBF29CE484222325);

const char *hg_oracle_fault_name(unsigned fault) {
    static const char *const names[HG_ORACLE_FAULT_COUNT] = {
        "sound",     "no-alignment", "skip-slot-0", "one-byte", "max-align-only", "skip-realloc",
        "no-zeroes", "no-usable",    "no-failures", "no-errno", "no-fork",        "counter-wraps",
    };
    return fault < HG_ORACLE_FAULT_COUNT ? names[fault] : NULL;
}

/* ---- tables ---- */

enum { SLOTS_IN_HUGE_PAGES = 1 << 16 };

void *hg__map_bytes(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

hg_oracle *hg_oracle_create(const struct hg_oracle_config *config) {
    hg_oracle *oracle = hg__map_bytes(sizeof *oracle);
    if (!oracle)
        return NULL;
    oracle->config = *config;
    oracle->backend = config->backend;
    oracle->block_capacity = 4096;
    oracle->blocks = hg__map_bytes(oracle->block_capacity * sizeof *oracle->blocks);
    oracle->intervals = hg_intervals_create();
    oracle->digest = FIRST_DIGEST;
    oracle->page_credit = UINT64_MAX;
    pthread_mutex_init(&oracle->lock, NULL);
    if (!oracle->blocks || !oracle->intervals) {
        hg_oracle_destroy(oracle);
        return NULL;
    }
    return oracle;
}

void hg_oracle_destroy(hg_oracle *oracle) {
    if (oracle->blocks)
        munmap(oracle->blocks, oracle->block_capacity * sizeof *oracle->blocks);
    if (oracle->intervals)
        hg_intervals_destroy(oracle->intervals);
    pthread_mutex_destroy(&oracle->lock);
    munmap(oracle, sizeof *oracle);
}

void hg_oracle_reset(hg_oracle *oracle) {
    /* Generations go on: a block must not look right because the stream before left the same bytes. */
    for (uint32_t slot = 0; slot < oracle->slot_end; slot++) {
        if (oracle->blocks[slot].ptr)
            hg_intervals_remove(oracle->intervals, slot);
        oracle->blocks[slot] =
            (struct hg__block){.generation = oracle->blocks[slot].generation + 1};
    }
    oracle->slot_end = 0;
    memset(&oracle->counts, 0, sizeof oracle->counts);
    oracle->found = false;
    oracle->digest = FIRST_DIGEST;
    oracle->size_max = 0;
    oracle->budget = 0;
    oracle->page_credit = UINT64_MAX;
    oracle->was_short = false;
}

const struct hg_finding *hg_oracle_finding(const hg_oracle *oracle) {
    return oracle->found ? &oracle->finding : NULL;
}

const struct hg_oracle_counts *hg_oracle_counts(const hg_oracle *oracle) {
    return &oracle->counts;
}

uint64_t hg_oracle_digest(const hg_oracle *oracle) {
    return oracle->digest;
}

bool hg__make_slot(hg_oracle *oracle, uint32_t slot) {
    if (slot >= oracle->block_capacity) {
        size_t capacity = oracle->block_capacity;
        while (slot >= capacity)
            capacity *= 2;
        void *blocks = mremap(oracle->blocks, oracle->block_capacity * sizeof *oracle->blocks,
                              capacity * sizeof *oracle->blocks, MREMAP_MAYMOVE);
        if (blocks == MAP_FAILED)
            return false;
        oracle->blocks = blocks;
        oracle->block_capacity = capacity;
        if (capacity >= SLOTS_IN_HUGE_PAGES)
            (void)madvise(blocks, capacity * sizeof *oracle->blocks, MADV_HUGEPAGE);
    }
    if (slot >= oracle->slot_end)
        oracle->slot_end = slot + 1;
    return true;
}

/* ---- one operation ---- */

static void digest(hg_oracle *oracle, const hg_op *op) {
    uint64_t words[3] = {(uint64_t)op->kind << 32 | op->slot, op->size, op->arg};
    for (int i = 0; i < 3; i++)
        oracle->digest = (oracle->digest ^ words[i]) * UINT64_C(0x100000001B3);
}

/* Is the operation one that a caller may make now? Undefined ones are never performed (level U). */
static bool stream_allows(const hg_oracle *oracle, const hg_op *op) {
    if (op->slot == HG_SLOT_NONE)
        return true;
    const struct hg__block *block = &oracle->blocks[op->slot];
    if (hg__op_facts[op->kind & 31] & HG__OP_MAKES)
        return !block->ptr;
    if (!block->ptr)
        return op->kind != HG_OP_LAYOUT_REALLOC && op->kind != HG_OP_DEALLOC;
    bool wants_layout = op->kind == HG_OP_LAYOUT_REALLOC || op->kind == HG_OP_DEALLOC;
    bool wants_libc = op->kind <= HG_OP_FREE_ALIGNED_SIZED;
    if (hg__op_is_native(op->kind))
        return true; /* its own rules: hg__native_may_use */
    return !(wants_layout && block->face != HG__FACE_LAYOUT) &&
           !(wants_libc && block->face != HG__FACE_LIBC);
}

static bool perform(hg_oracle *oracle, const hg_op *op) {
    const unsigned facts = hg__op_facts[op->kind & 31];
    if (hg__op_is_native(op->kind))
        return hg__oracle_native(oracle, op);
    if (facts & HG__OP_MAKES)
        return hg__oracle_allocate(oracle, op);
    if (facts & HG__OP_MOVES)
        return hg__oracle_reallocate(oracle, op);
    if (facts & HG__OP_ENDS)
        return hg__oracle_release(oracle, op);
    if (op->kind == HG_OP_USABLE_SIZE)
        return hg__oracle_usable_size(oracle, op);
    return hg__oracle_environment(oracle, op);
}

/* Is there no such operation without a block in its slot? */
static bool needs_block(const hg_op *op) {
    return op->kind == HG_OP_LAYOUT_REALLOC || op->kind == HG_OP_DEALLOC ||
           (op->kind == HG_OP_REALLOC && op->size == 0);
}

/* Where memory is granted untouched (MAP_NORESERVE), a block of terabytes is nothing special; one that moves is copied,
 * and so takes all memory there is: no fault of the allocator. */
static bool copies_a_giant(const struct hg__block *block, const hg_op *op) {
    const uint64_t giant = UINT64_C(1) << 30, bytes = hg__op_bytes(op);
    return hg__op_facts[op->kind & 31] & HG__OP_MOVES && block->ptr && block->size > giant &&
           bytes > giant && bytes <= PTRDIFF_MAX;
}

enum hg_status hg_oracle_perform(hg_oracle *oracle, const hg_op *op, uint64_t op_index) {
    hg__oracle_lock(oracle);
    if (oracle->found ||
        (oracle->config.oracle_fault == HG_ORACLE_COUNTER_WRAPS && oracle->budget > INT32_MAX)) {
        hg__oracle_unlock(oracle);
        return HG_END;
    }
    hg_op translated = *op;
    enum hg_status status = HG_OK;
    bool names = op->slot != HG_SLOT_NONE && op->kind != HG_OP_WAIT;
    if (names && !hg__make_slot(oracle, op->slot)) {
        hg__oracle_unlock(oracle);
        return HG_ERR_MEMORY;
    }
    bool empty = !names || !oracle->blocks[op->slot].ptr;
    bool left_out = names && ((empty && oracle->blocks[op->slot].refused && needs_block(op)) ||
                              copies_a_giant(&oracle->blocks[op->slot], op));
    if (left_out) /* its block could not be had, or must not be moved */
        digest(oracle, op);
    else if (oracle->config.face == HG_FACE_LAYOUT)
        left_out = !hg_op_to_layout(&translated, empty) || (empty && needs_block(&translated));
    if (!left_out && (op->kind == HG_OP_NATIVE_REALLOC || op->kind == HG_OP_NATIVE_FREE))
        left_out = !names || !hg__native_may_use(&oracle->blocks[op->slot], op);
    if (!left_out) {
        oracle->op = translated;
        oracle->op_index = op_index;
        digest(oracle, op);
        if (!stream_allows(oracle, &translated)) {
            status = HG_ERR_FORMAT;
        } else {
            oracle->counts.performed[translated.kind]++;
            if (perform(oracle, &translated))
                status = HG_END;
        }
    }
    hg__oracle_unlock(oracle);
    return status;
}

void hg_oracle_expect(const hg_oracle *oracle, const hg_op *far, const hg_op *near) {
    enum { LINE = 64, LINES_MAX = 4 };
    if (far && far->slot < oracle->slot_end)
        __builtin_prefetch(&oracle->blocks[far->slot]);
    if (!near || near->slot >= oracle->slot_end || !oracle->blocks[near->slot].ptr)
        return;
    const struct hg__block *block = &oracle->blocks[near->slot];
    hg_intervals_expect(oracle->intervals, (uintptr_t)block->ptr, near->slot);
    for (size_t at = 0; at < block->usable && at < LINES_MAX * LINE; at += LINE)
        __builtin_prefetch(block->ptr + at);
}

/* ---- the end ---- */

bool hg__free_slot(hg_oracle *oracle, uint32_t slot) {
    if (!oracle->blocks[slot].ptr)
        return false;
    const struct hg__block *block = &oracle->blocks[slot];
    hg_op op = {.kind = block->face == HG__FACE_LIBC     ? HG_OP_FREE
                        : block->face == HG__FACE_LAYOUT ? HG_OP_DEALLOC
                                                         : HG_OP_NATIVE_FREE,
                .slot = slot};
    if (op.kind == HG_OP_NATIVE_FREE)
        op.arg = hg_native_arg((enum hg_native)hg__native_plain_free(block->native), 0, false, 0);
    oracle->op = op;
    if (op.kind == HG_OP_NATIVE_FREE)
        return hg__oracle_native(oracle, &op);
    return hg__oracle_release(oracle, &op);
}

static bool free_all(hg_oracle *oracle, unsigned order) {
    enum { AHEAD = 8 };
    size_t n = oracle->slot_end;
    /* An odd stride that shares no factor with n visits every slot once, in scattered order. */
    size_t stride = order == 2 ? (n * 5 / 8) | 1 : 1;
    while (order == 2 && n % stride == 0 && stride > 1)
        stride -= 2;
    for (size_t i = 0, at = 0; i < n; i++, at = (at + stride) % n) {
        size_t slot = order == 1 ? n - 1 - i : at;
        const hg_op soon = {.slot = (uint32_t)(order == 1 ? slot - AHEAD : slot + AHEAD)};
        hg_oracle_expect(oracle, NULL, &soon);
        if (hg__free_slot(oracle, (uint32_t)slot))
            return true;
    }
    for (uint32_t slot = 0; order == 2 && slot < n; slot++) /* whatever the stride left over */
        if (hg__free_slot(oracle, slot))
            return true;
    return false;
}

void hg_oracle_abandon(hg_oracle *oracle) {
    for (uint32_t slot = 0; slot < oracle->slot_end; slot++) {
        struct hg__block *block = &oracle->blocks[slot];
        if (block->ptr && !(oracle->found && slot == oracle->finding.op.slot))
            hg__free_block(oracle->backend, block);
        block->ptr = NULL;
    }
}

/* C16, C51: with everything freed, the largest block there was can be had again. */
static bool memory_lost(hg_oracle *oracle) {
    size_t size = oracle->size_max;
    if (size == 0 || size > (size_t)256 << 20 || oracle->config.may_fail)
        return false;
    bool was_short = oracle->was_short;
    oracle->was_short = false; /* C16: the shortage is over, and everything freed */
    hg_op op = {.kind = oracle->backend->libc.malloc && oracle->config.face != HG_FACE_LAYOUT
                            ? HG_OP_MALLOC
                            : HG_OP_ALLOC,
                .slot = 0,
                .size = size,
                .arg = 1};
    oracle->op = op;
    bool lost = hg__oracle_allocate(oracle, &op) || hg__free_slot(oracle, 0);
    oracle->was_short = was_short;
    return lost;
}

enum hg_status hg_oracle_finish(hg_oracle *oracle, unsigned order) {
    hg__oracle_lock(oracle);
    oracle->op_index = UINT64_MAX;
    hg__end_shortage(oracle);
    oracle->op = (hg_op){.kind = HG_OP_VERIFY, .slot = HG_SLOT_NONE};
    bool ends = oracle->found || hg__verify_all(oracle) || free_all(oracle, order) ||
                (hg__make_slot(oracle, 0) && memory_lost(oracle));
    char why[200];
    if (!ends && oracle->backend->validate &&
        !oracle->backend->validate(oracle->backend, why, sizeof why))
        ends = hg__broken(oracle, "V", 'M', "the allocator's own validator: %s", why);
    hg__oracle_unlock(oracle);
    return ends ? HG_END : HG_OK;
}
