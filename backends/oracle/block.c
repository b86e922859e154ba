/* One block: its alignment, its place, its bytes, its usable size; in and out of the books. */
#include "oracle_private.h"

#include "pattern.h"

#include <string.h>

static bool checks_content(const hg_oracle *oracle, uint32_t slot, const struct hg__block *block) {
    unsigned fault = oracle->config.oracle_fault;
    return !(fault == HG_ORACLE_SKIP_SLOT_0 && slot == 0) &&
           !(fault == HG_ORACLE_SKIP_REALLOC && block->reallocated);
}

/* Is it looked at whole, if it is large? One size in four is; above 1 MiB three in sixteen. Does it begin with
 * zeroes or ones? One in sixteen each. By size, not by slot, so that a stream with other slot numbers shows
 * the same. */
static uint64_t seed_of(uint32_t slot, const struct hg__block *block) {
    enum {
        HEADED_BYTES_MIN = 24,
        LARGE_BYTES = 1 << 20,
        BITS = HG__PATTERN_WHOLE | HG__PATTERN_HEAD_MASK | HG__PATTERN_WHOLE_GIANT
    };
    uint64_t hash = block->size * UINT64_C(0x9E3779B97F4A7C15);
    unsigned choice = (unsigned)(hash >> 56) & 15;
    uint64_t bits = hash >> 62 == 0 ? HG__PATTERN_WHOLE : 0;
    if (choice < 2 && block->size >= HEADED_BYTES_MIN)
        bits |= choice ? HG__PATTERN_HEAD_ONES : HG__PATTERN_HEAD_ZEROES;
    if (choice >= 2 && choice < 5 && block->size > LARGE_BYTES)
        bits |= HG__PATTERN_WHOLE_GIANT;
    return (hg__pattern_seed(slot, block->generation) & ~(uint64_t)BITS) | bits;
}

static void fill(const struct hg__block *block, uint32_t slot) {
    hg__pattern_fill(block->ptr, block->usable, seed_of(slot, block));
}

/* Checks the first `size` bytes of what fill() wrote when the block had `filled` bytes.
 * Item: C7 in place, C22 after a reallocation, C23 after a failed one. True iff the run ends. */
bool hg__content_lost(hg_oracle *oracle, uint32_t slot, const struct hg__block *block,
                      const unsigned char *ptr, size_t filled, size_t size, const char *item) {
    if (!checks_content(oracle, slot, block))
        return false;
    if (oracle->config.oracle_fault == HG_ORACLE_ONE_BYTE && size > 1)
        size = 1;
    oracle->counts.checks++;
    uint64_t seed = seed_of(slot, block);
    size_t offset = hg__pattern_verify(ptr, filled, size, seed);
    if (offset == SIZE_MAX)
        return false;
    /* Bytes beyond the size asked for are the block's too (C41); name what broke by where it did. */
    const char *shown = offset >= block->size && strcmp(item, "C7") == 0 ? "C41" : item;
    char text[160];
    return hg__broken(oracle, shown, 'M',
                      "byte %zu of the block is 0x%02x where 0x%02x was written; %s", offset,
                      ptr[offset], hg__pattern_byte(offset, seed),
                      hg__describe_block(slot, block, text, sizeof text));
}

/* ---- a new block ---- */

bool hg__misaligned(hg_oracle *oracle, const void *ptr, size_t owed, const char *item, char level) {
    oracle->counts.checks++;
    if (oracle->config.oracle_fault == HG_ORACLE_NO_ALIGNMENT)
        return false;
    if (oracle->config.oracle_fault == HG_ORACLE_MAX_ALIGN_ONLY && owed > HG__FUNDAMENTAL_ALIGN)
        owed = HG__FUNDAMENTAL_ALIGN;
    uintptr_t address = (uintptr_t)ptr;
    if ((address & (owed - 1)) == 0)
        return false;
    return hg__broken(oracle, item, level,
                      "alignment %zu is owed, but the block at %p is aligned to %zu only", owed,
                      ptr, (size_t)(address & -address));
}

/* C6: what of the harness's own memory does [begin, end) touch? NULL: nothing. */
static const char *harness_memory(const hg_oracle *oracle, uintptr_t begin, uintptr_t end) {
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    uintptr_t books = (uintptr_t)oracle->blocks;
    if (begin < frame + HG_STACK_SHOWN_BYTES / 16 && end > frame - HG_STACK_SHOWN_BYTES)
        return "the stack";
    if (begin < books + oracle->block_capacity * sizeof *oracle->blocks && end > books)
        return "the oracle's table of blocks";
    if (begin < (uintptr_t)(oracle + 1) && end > (uintptr_t)oracle)
        return "the oracle itself";
    return NULL;
}

static bool over_harness(hg_oracle *oracle, const struct hg__block *block, size_t extent) {
    uintptr_t begin = (uintptr_t)block->ptr;
    const char *own = begin + extent > begin ? harness_memory(oracle, begin, begin + extent) : NULL;
    return own && hg__broken(oracle, "C6", 'M', "the block at %p of %zu bytes lies over %s",
                             (void *)block->ptr, extent, own);
}

static bool overlapping(hg_oracle *oracle, uint32_t slot, const struct hg__block *block,
                        size_t extent) {
    uintptr_t begin = (uintptr_t)block->ptr;
    uint32_t other;
    oracle->counts.checks++;
    if (begin + extent < begin || extent > PTRDIFF_MAX)
        return hg__broken(oracle, "C6", 'M', "the block at %p of %zu bytes wraps the address space",
                          (void *)block->ptr, extent);
    if (!hg_intervals_overlap(oracle->intervals, begin, begin + extent, &other))
        return false;
    const struct hg__block *live = &oracle->blocks[other];
    size_t live_size = live->size ? live->size : 1, size = block->size ? block->size : 1;
    bool requested =
        begin < (uintptr_t)live->ptr + live_size && (uintptr_t)live->ptr < begin + size;
    char ours[160], theirs[160];
    const char *item = !requested                                                         ? "C5"
                       : (block->size == 0 || live->size == 0) && block->ptr == live->ptr ? "C8"
                                                                                          : "C4";
    return hg__broken(oracle, item, 'M', "%s%s; overlaps %s", requested ? "" : "(usable bytes) ",
                      hg__describe_block(slot, block, ours, sizeof ours),
                      hg__describe_block(other, live, theirs, sizeof theirs));
}

bool hg__not_zero(hg_oracle *oracle, const struct hg__block *block, size_t from, size_t to,
                  const char *item) {
    oracle->counts.checks++;
    if (oracle->config.oracle_fault == HG_ORACLE_NO_ZEROES)
        return false;
    size_t offset = hg__first_nonzero(block->ptr, from, to);
    if (offset == SIZE_MAX)
        return false;
    return hg__broken(oracle, item, 'M', "byte %zu of %zu is 0x%02x where zero is owed", offset, to,
                      block->ptr[offset]);
}

/* False iff the block's usable size can't be asked. */
static bool can_ask_usable(const hg_oracle *oracle, const struct hg__block *block, size_t *usable) {
    const struct hg_libc_face *libc = &oracle->backend->libc;
    if (oracle->config.skip_usable || oracle->config.oracle_fault == HG_ORACLE_NO_USABLE ||
        block->face == HG__FACE_LAYOUT)
        return false;
    if (block->face == HG__FACE_NATIVE)
        return hg__native_usable(oracle, block, usable);
    if (!libc->malloc_usable_size)
        return false;
    *usable = libc->malloc_usable_size(block->ptr);
    return true;
}

/* The usable size, checked to be at least the size (C40); the size where it can't be asked. */
static bool ask_usable(hg_oracle *oracle, struct hg__block *block) {
    size_t usable;
    block->usable = block->size;
    if (!can_ask_usable(oracle, block, &usable))
        return false;
    oracle->counts.checks++;
    if (usable < block->size)
        return hg__broken(oracle, "C40", 'M', "usable size %zu is below the %zu bytes asked for",
                          usable, block->size);
    block->usable = usable;
    return false;
}

/* The item that alignment falls under, by what was called. */
static const char *alignment_item(unsigned kind, const struct hg__block *block) {
    switch (kind) {
    case HG_OP_NATIVE_ALLOC:
    case HG_OP_NATIVE_REALLOC: {
        unsigned family = hg_native_facts(block->native)->family;
        return family == HG_NATIVE_JEMALLOC ? "C60" : family == HG_NATIVE_MIMALLOC ? "C61" : "C49";
    }
    case HG_OP_LAYOUT_REALLOC:
        return "C68";
    case HG_OP_ALLOC:
    case HG_OP_ALLOC_ZEROED:
        return "C65";
    case HG_OP_CALLOC:
        return "C20";
    case HG_OP_VALLOC:
    case HG_OP_PVALLOC:
        return "C43";
    case HG_OP_MALLOC:
    case HG_OP_REALLOC:
    case HG_OP_REALLOCARRAY:
        return "C2";
    default:
        return block->align_log2 > 4 ? "C30" : "C1";
    }
}

bool hg__block_misaligned(hg_oracle *oracle, const struct hg__block *block) {
    size_t owed = (size_t)1 << block->align_log2;
    if (block->face == HG__FACE_NATIVE)
        return hg__misaligned(oracle, block->ptr + block->offset, owed,
                              alignment_item(oracle->op.kind, block), 'M');
    if (block->size == 0 && block->face == HG__FACE_LIBC)
        return hg__misaligned(oracle, block->ptr, owed, "C33", 'Q');
    return hg__misaligned(oracle, block->ptr, owed, alignment_item(oracle->op.kind, block), 'M');
}

static const char *zeroed_item(const struct hg__block *block) {
    return block->face == HG__FACE_LIBC                                   ? "C17"
           : block->face == HG__FACE_LAYOUT                               ? "C67"
           : hg_native_facts(block->native)->family == HG_NATIVE_JEMALLOC ? "C60"
                                                                          : "C61";
}

/* jemalloc's zero flag holds for the real size. */
static size_t zeroed_bytes(const struct hg__block *block) {
    return block->face == HG__FACE_NATIVE ? block->usable : block->size;
}

/* Takes a granted block into the books: alignment, overlap, then its pattern. True iff the run ends. */
bool hg__admit(hg_oracle *oracle, uint32_t slot, const struct hg__block *granted, bool zeroed) {
    struct hg__block block = *granted;
    if (hg__block_misaligned(oracle, &block))
        return true;
    if (block.face == HG__FACE_LIBC && block.size > 0 &&
        (uintptr_t)block.ptr % HG__FUNDAMENTAL_ALIGN != 0 &&
        hg__broken(oracle, "C3", 'Q', "%zu bytes at %p: less than alignof(max_align_t) aligned",
                   block.size, (void *)block.ptr))
        return true;
    if (over_harness(oracle, &block, block.size ? block.size : 1) || ask_usable(oracle, &block))
        return true;
    size_t extent = block.usable ? block.usable : 1;
    if (overlapping(oracle, slot, &block, extent))
        return true;
    if (zeroed && hg__not_zero(oracle, &block, 0, zeroed_bytes(&block), zeroed_item(&block)))
        return true;
    fill(&block, slot);
    if (!hg_intervals_insert(oracle->intervals, (uintptr_t)block.ptr, (uintptr_t)block.ptr + extent,
                             slot))
        return hg__broken(oracle, "H1", 'M', "no memory left for the oracle's tables");
    oracle->blocks[slot] = block;
    oracle->counts.live_blocks++;
    oracle->counts.live_bytes += block.size;
    if (block.size > oracle->size_max)
        oracle->size_max = block.size;
    oracle->budget += (uint32_t)block.size;
    return false;
}

bool hg__unkept_is_wrong(hg_oracle *oracle, const struct hg__block *granted) {
    enum {
        LOOKED_AT_BYTES = 1 << 20
    }; /* of a block of terabytes, for what lives near its beginning */
    struct hg__block block = *granted;
    size_t extent = block.size < LOOKED_AT_BYTES ? block.size + !block.size : LOOKED_AT_BYTES;
    if (hg__block_misaligned(oracle, &block) || over_harness(oracle, &block, extent) ||
        ask_usable(oracle, &block) || overlapping(oracle, HG_SLOT_NONE, &block, extent))
        return true;
    if (block.size > 0 && oracle->page_credit == UINT64_MAX)
        ((volatile unsigned char *)block.ptr)[block.size - 1] = 1;
    return false;
}

/* Takes a block out of the books before it is freed. */
void hg__dismiss(hg_oracle *oracle, uint32_t slot) {
    struct hg__block *block = &oracle->blocks[slot];
    hg_intervals_remove(oracle->intervals, slot);
    oracle->counts.live_blocks--;
    oracle->counts.live_bytes -= block->size;
    oracle->budget -= (uint32_t)block->size;
    block->ptr = NULL;
    block->generation++;
}

bool hg__usable_changed(hg_oracle *oracle, const struct hg__block *block) {
    size_t usable;
    if (!can_ask_usable(oracle, block, &usable) ||
        (block->face == HG__FACE_NATIVE && block->zeroed))
        return false;
    oracle->counts.checks++;
    if (usable == block->usable)
        return false;
    return hg__broken(oracle, "C42", 'M', "usable size was %zu and is now %zu", block->usable,
                      usable);
}

bool hg__verify_all(hg_oracle *oracle) {
    for (uint32_t slot = 0; slot < oracle->slot_end; slot++) {
        const struct hg__block *block = &oracle->blocks[slot];
        if (block->ptr &&
            hg__content_lost(oracle, slot, block, block->ptr, block->usable, block->usable, "C7"))
            return true;
    }
    return false;
}
