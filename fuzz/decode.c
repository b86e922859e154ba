#include "decode.h"

#include <string.h>

enum {
    PLAIN_SLOTS = 256,
    BURST_MAX = 128,
    PAGE_BYTES = 4096,
    SMALL_BYTES = 2 << 10,
    LARGE_BYTES = 64 << 10,
    LIVE_BYTES_MAX = 24 << 20,      /* beyond it, sizes are cut to 12 bits */
    LIVE_BYTES_MAX_USUAL = 4 << 20, /* where no size may exceed 64 KiB: time goes into pages */
};
static const uint64_t HUGE_BYTES = UINT64_C(64) << 20; /* asked for, never kept */
static const uint64_t STARVED_BYTES = UINT64_C(1)
                                      << 30; /* from here on the oracle leaves no room */

struct slot {
    uint64_t size, align;
    uint8_t live, layout, origin;
    uint8_t native; /* 1 + the enum hg_native that made it */
};

struct decoder {
    const struct hg_decode_options *options;
    struct hg_decoded *out;
    uint32_t swarm;
    uint32_t slot_count;
    uint64_t live_bytes;
    uint64_t last_size;
    uint64_t size_cap; /* the input's bias: what exceeds it is cut */
    bool short_of_pages;
    uint8_t started[HG_FUZZ_THREADS_MAX];
    struct slot slots[HG_FUZZ_SLOTS_MAX];
};

/* One record, by name. */
struct record {
    uint8_t kind, slot, thread, how, align, more;
    uint16_t value;
};

static bool is_off(const struct decoder *d, unsigned bit) {
    return d->swarm & bit;
}

/* ---- sizes ---- */

/* Small steps around an edge: mostly -1, 0, +1; one in four as far as a header is long. */
static int64_t nudge(uint8_t more) {
    static const int8_t steps[32] = {0,   1,  -1,  0,  1,   -1, 2,   -2, 3,   -3,  4,
                                     -4,  7,  -7,  8,  -8,  12, 9,   -9, 15,  -15, 16,
                                     -16, 17, -17, 24, -24, 31, -31, 32, -32, 33};
    return steps[(more & 96) == 96 ? more & 31 : more & 7];
}

/* Values that make careless arithmetic wrap (C15). */
static uint64_t hostile_size(uint16_t value, uint8_t more) {
    static const uint64_t bases[16] = {
        UINT64_MAX,
        UINT64_MAX,
        UINT64_MAX,
        UINT64_MAX,
        (uint64_t)INT64_MAX,
        (uint64_t)INT64_MAX,
        (uint64_t)INT64_MAX + 1,
        (uint64_t)INT64_MAX + 1,
        UINT64_MAX - 4095,
        UINT64_MAX - 4095,
        UINT64_C(1) << 32,
        UINT64_C(1) << 62,
        UINT64_C(1) << 47,
        UINT64_C(1) << 31,
        UINT64_C(3) << 62,
        UINT64_C(1) << 48,
    };
    uint64_t base = bases[value & 15];
    uint64_t distance = (value >> 4) % 4 == 0   ? more & 127
                        : (value >> 4) % 4 == 1 ? more * UINT64_C(16)
                        : (value >> 4) % 4 == 2 /* what rounding up to 2^12 .. 2^31 wraps */
                            ? (UINT64_C(1) << (12 + (value >> 6) % 20)) - (more & 3) + 1
                            : more & 1;
    bool below = base == UINT64_MAX || (more & 128);
    return below ? base - distance : base + distance;
}

static uint64_t around(uint64_t edge, uint8_t more) {
    int64_t step = nudge(more);
    return step < 0 && edge < (uint64_t)-step ? 0 : edge + (uint64_t)step;
}

/* What the record's size bytes mean. `align` is the operation's alignment (1 if it has none), `old` the
 * size of the block in the slot (0 if empty). */
static uint64_t size_of(const struct decoder *d, const struct record *r, uint64_t align,
                        uint64_t old) {
    uint16_t v = r->value;
    switch (r->how & 31) {
    default: /* small, whatever its value: 0 .. 1023; with an alignment half of them around it */
        return align > 16 && v & 1024 && align <= HUGE_BYTES
                   ? around(align * (1 + (v & 31)) / 8, r->more)
                   : v & 1023;
    case 5:
    case 6:
    case 7: /* a power of two or beside one */
        return around(UINT64_C(1) << v % 21, r->more);
    case 8:
    case 9:
    case 10:
    case 11: /* an edge of a size class or beside one */
        if (!d->options->edge_count)
            return v;
        /* Low edges more often: the index is the lesser of two. */
        {
            size_t a = (v & 255) % d->options->edge_count, b = (v >> 8) % d->options->edge_count;
            return around(d->options->edges[a < b ? a : b], r->more);
        }
    case 12:
    case 13: /* logarithmic: 4 bits of exponent above 64, 10 of mantissa */
        return ((UINT64_C(1) << 10 | (v & 1023)) << (v >> 10) % 11) >> 4;
    case 14:
    case 15: /* multiples of the alignment and beside them; half of it */
        if (align > 1 && align <= HUGE_BYTES) {
            static const uint8_t eighths[8] = {8, 4, 12, 16, 9, 2, 1, 24};
            return around(align * eighths[v & 7] / 8, r->more);
        }
        return v & 255;
    case 16:
    case 17: /* about the block's own size, or the size asked for last */
        return around(old ? old : d->last_size, r->more);
    case 18: /* half, double, a bit more */
        return v & 1 ? old / 2 + (v >> 8) : v & 2 ? old * 2 + (v >> 12) : old + (v >> 8);
    case 19:
    case 20: /* exactly the size asked for last: recycles the block freed before */
        return d->last_size;
    case 21:
        return around((uint64_t)PAGE_BYTES * (v & 63), r->more);
    case 22:
        return (uint64_t)v * 64;
    case 23:
        return 0;
    case 24:
        return v;
    case 25: /* a few words */
        return (uint64_t)(v & 31) * 8;
    case 26: /* where allocators begin to map: 64 KiB .. 32 MiB */
        return around(UINT64_C(1) << (16 + v % 10), r->more);
    case 27:
        return (uint64_t)v * 256 + (r->more & 15);
    }
}

static uint64_t bounded(const struct decoder *d, uint64_t size) {
    if (size > d->size_cap)
        return size & (d->size_cap - 1);
    if (d->live_bytes + size > (d->size_cap > LARGE_BYTES ? LIVE_BYTES_MAX : LIVE_BYTES_MAX_USUAL))
        return size & 0xFFF;
    return size;
}

/* ---- alignments ---- */

/* 2^0 .. 2^21 and now and then beyond. */
static uint64_t valid_align(const struct decoder *d, const struct record *r) {
    if (r->align < 208)
        return UINT64_C(1) << r->align % 13;
    if (r->align < 254 && d->size_cap < LARGE_BYTES)
        return UINT64_C(1) << r->align % 10;
    if (r->align < 252 || d->size_cap <= LARGE_BYTES)
        return UINT64_C(1) << (12 + r->align % 10);
    return UINT64_C(1) << (22 + (r->align + r->value) % 12);
}

static uint64_t bad_align(const struct record *r) {
    static const uint64_t bad[16] = {0,  3,  6,  12, 24,   48,   96,   4097,
                                     40, 10, 33, 80, 4095, 6144, 1000, UINT64_MAX};
    uint64_t power = UINT64_C(1) << (r->align >> 2);
    switch (r->align & 3) {
    case 0:
        return power > 2 ? power + 1 : 3;
    case 1:
        return power > 2 ? power - 1 : 0;
    case 2:
        return power < UINT64_C(1) << 62 ? power * 3 : 0;
    default:
        return bad[r->align >> 2 & 15];
    }
}

static uint64_t enormous_align(const struct record *r) {
    return UINT64_C(1) << (r->align & 1 ? 62 : 63);
}

static bool is_power_of_two(uint64_t value) {
    return value && !(value & (value - 1));
}

/* ---- operations ---- */

static hg_op *put(struct decoder *d, hg_op op) {
    if (d->out->count == HG_FUZZ_OPS_MAX)
        return NULL;
    hg_op *at = &d->out->ops[d->out->count++];
    *at = op;
    return at;
}

/* Must the call be refused by the contract, or is it too large to keep? Then it names no slot. */
static bool is_for_refusal(const hg_op *op, bool by_layout) {
    uint64_t bytes = hg_op_bytes(op);
    if (bytes > HUGE_BYTES)
        return true;
    if (by_layout)
        return !hg_layout_is_valid((hg_layout){op->size, op->arg});
    switch (op->kind) {
    case HG_OP_POSIX_MEMALIGN:
        return !is_power_of_two(op->arg) || op->arg % sizeof(void *) != 0 || op->arg > HUGE_BYTES;
    case HG_OP_ALIGNED_ALLOC:
    case HG_OP_MEMALIGN:
        return !is_power_of_two(op->arg) || op->arg > HUGE_BYTES;
    default:
        return false;
    }
}

static void admit(struct decoder *d, hg_op op, uint32_t slot) {
    bool layout = op.kind >= HG_OP_ALLOC;
    if (is_for_refusal(&op, layout)) {
        if (layout && !hg_layout_is_valid((hg_layout){op.size, op.arg}))
            return; /* not a layout: the caller's mistake (level U) */
        bool grantable = hg_op_bytes(&op) < UINT64_C(1) << 47;
        if (grantable && op.kind == HG_OP_ALLOC_ZEROED) /* would be touched, every page of it */
            op.kind = HG_OP_ALLOC;
        if (grantable && op.kind == HG_OP_CALLOC &&
            (hg_op_bytes(&op) < STARVED_BYTES || d->options->modest))
            return;
        op.flags = HG_OPF_FAILED;
        op.slot = HG_SLOT_NONE;
        put(d, op);
        return;
    }
    op.slot = slot;
    if (!put(d, op))
        return;
    d->slots[slot] = (struct slot){
        .size = hg_op_bytes(&op),
        .align = hg_op_has_arg(op.kind) && op.kind != HG_OP_CALLOC ? op.arg : 1,
        .live = 1,
        .layout = layout,
        .origin = op.kind,
    };
    d->live_bytes += d->slots[slot].size;
    d->last_size = d->slots[slot].size;
}

static void allocate_by_layout(struct decoder *d, const struct record *r, hg_op op, uint32_t slot) {
    op.kind = r->kind % 4 == 1 && !is_off(d, HG_SWARM_ZEROED) ? HG_OP_ALLOC_ZEROED : HG_OP_ALLOC;
    op.arg = is_off(d, HG_SWARM_ALIGNED) ? UINT64_C(1) << (r->align & 3) : valid_align(d, r);
    op.size = bounded(d, size_of(d, r, op.arg, 0));
    if (r->how % 32 == 31 && !is_off(d, HG_SWARM_HOSTILE)) {
        op.size = hostile_size(r->value, r->more);
        if (r->align & 1)
            op.size = (uint64_t)INT64_MAX + 1 - op.arg; /* the largest layout there is */
    }
    if (op.size == 0) /* GlobalAlloc: undefined (C65) */
        op.size = 1;
    admit(d, op, slot);
}

/* A product that overflows, by little or by much (C18). */
static void hostile_product(const struct record *r, hg_op *op) {
    if ((r->more & 0x30) == 0x30) { /* or does in 32 bits: about 2^40 */
        op->size = (UINT64_C(1) << (8 + r->value % 25)) + (r->value >> 8 & 1);
        op->arg = (UINT64_C(1) << (32 - r->value % 25)) + (r->more & 3);
        return;
    }
    unsigned shift = 32 + (r->value & 31);
    op->size = (UINT64_C(1) << shift) + (r->more & 1);
    op->arg = (UINT64_C(1) << (64 - shift)) + (r->more >> 1 & 1);
    if (r->more & 4) {
        op->size = UINT64_MAX / 2 + 1 + (r->more >> 4);
        op->arg = 2;
    }
    if (r->more & 8) {
        uint64_t swapped = op->size;
        op->size = op->arg;
        op->arg = swapped;
    }
}

/* A count and an element size whose product is about `bytes`. */
static void split_product(const struct record *r, uint64_t bytes, hg_op *op) {
    static const uint64_t counts[8] = {1, 2, 3, 7, 8, 0, 16, 5};
    uint64_t count = counts[r->more >> 3 & 7];
    op->arg = count;
    op->size = count ? bytes / count : bytes;
    if (r->more & 64) {
        op->arg = op->size;
        op->size = count;
    }
}

static unsigned pick_allocation(const struct decoder *d, const struct record *r) {
    static const uint8_t kinds[32] = {
        HG_OP_MALLOC,         HG_OP_MALLOC,         HG_OP_MALLOC,         HG_OP_MALLOC,
        HG_OP_MALLOC,         HG_OP_MALLOC,         HG_OP_MALLOC,         HG_OP_MALLOC,
        HG_OP_MALLOC,         HG_OP_CALLOC,         HG_OP_CALLOC,         HG_OP_CALLOC,
        HG_OP_CALLOC,         HG_OP_CALLOC,         HG_OP_ALIGNED_ALLOC,  HG_OP_ALIGNED_ALLOC,
        HG_OP_ALIGNED_ALLOC,  HG_OP_ALIGNED_ALLOC,  HG_OP_ALIGNED_ALLOC,  HG_OP_POSIX_MEMALIGN,
        HG_OP_POSIX_MEMALIGN, HG_OP_POSIX_MEMALIGN, HG_OP_POSIX_MEMALIGN, HG_OP_MEMALIGN,
        HG_OP_MEMALIGN,       HG_OP_MEMALIGN,       HG_OP_VALLOC,         HG_OP_PVALLOC,
        HG_OP_REALLOC,        HG_OP_REALLOCARRAY,   HG_OP_FREE,           HG_OP_USABLE_SIZE,
    };
    unsigned kind = kinds[r->kind & 31];
    bool off =
        (kind >= HG_OP_ALIGNED_ALLOC && kind <= HG_OP_PVALLOC && is_off(d, HG_SWARM_ALIGNED)) ||
        (kind == HG_OP_CALLOC && is_off(d, HG_SWARM_ZEROED)) ||
        (hg_op_reallocates(kind) && is_off(d, HG_SWARM_REALLOC));
    if (off)
        return HG_OP_MALLOC;
    if (kind == HG_OP_MALLOC && is_off(d, HG_SWARM_PLAIN))
        return is_off(d, HG_SWARM_ALIGNED) ? HG_OP_CALLOC : HG_OP_ALIGNED_ALLOC;
    return kind;
}

static void allocate_by_libc(struct decoder *d, const struct record *r, hg_op op, uint32_t slot) {
    bool hostile = r->how % 32 >= 29 && !is_off(d, HG_SWARM_HOSTILE);
    op.kind = (uint8_t)pick_allocation(d, r);
    switch (op.kind) {
    case HG_OP_FREE: /* of NULL, through each of its forms */
        op.kind = r->more % 4 == 1   ? HG_OP_FREE_SIZED
                  : r->more % 4 == 2 ? HG_OP_FREE_ALIGNED_SIZED
                                     : HG_OP_FREE;
        put(d, op);
        return;
    case HG_OP_USABLE_SIZE:
        put(d, op);
        return;
    case HG_OP_CALLOC:
    case HG_OP_REALLOCARRAY:
        if (hostile)
            hostile_product(r, &op);
        else
            split_product(r, bounded(d, size_of(d, r, 1, 0)), &op);
        break;
    case HG_OP_ALIGNED_ALLOC:
    case HG_OP_POSIX_MEMALIGN:
    case HG_OP_MEMALIGN:
        op.arg = valid_align(d, r);
        if (hostile && r->more & 1)
            op.arg = r->more & 2 && r->more & 4 ? enormous_align(r) : bad_align(r);
        if (op.kind == HG_OP_MEMALIGN && hostile && !is_power_of_two(op.arg))
            op.arg = UINT64_C(1) << (r->align & 7); /* memalign of no power of two: P, mostly U */
        op.size = hostile && !(r->more & 1) ? hostile_size(r->value, r->more)
                                            : bounded(d, size_of(d, r, op.arg, 0));
        if (op.kind == HG_OP_ALIGNED_ALLOC && r->more & 128 && !hostile)
            op.size = (op.size + op.arg - 1) & ~(op.arg - 1); /* C11's rule */
        break;
    default:
        op.size = hostile ? hostile_size(r->value, r->more) : bounded(d, size_of(d, r, 1, 0));
    }
    if (hg_op_reallocates(op.kind) && hg_op_bytes(&op) == 0)
        op.size = op.arg = op.kind == HG_OP_REALLOCARRAY ? 1 : 0;
    if (hg_op_reallocates(op.kind) && op.kind == HG_OP_REALLOC && op.size == 0)
        op.size = 1;
    admit(d, op, slot);
}

static void empty(struct decoder *d, uint32_t slot) {
    d->live_bytes -= d->slots[slot].size;
    d->slots[slot].live = 0;
}

static void reallocate(struct decoder *d, const struct record *r, hg_op op, uint32_t slot) {
    struct slot *block = &d->slots[slot];
    bool hostile = r->how % 32 >= 29 && !is_off(d, HG_SWARM_HOSTILE);
    op.slot = slot;
    op.kind = block->layout           ? HG_OP_LAYOUT_REALLOC
              : r->kind % 32 % 4 == 3 ? HG_OP_REALLOCARRAY
                                      : HG_OP_REALLOC;
    if (hostile && op.kind == HG_OP_REALLOCARRAY) {
        hostile_product(r, &op);
    } else if (hostile && op.kind == HG_OP_LAYOUT_REALLOC) {
        op.size = (uint64_t)INT64_MAX + 1 - (block->align ? block->align : 1);
    } else if (hostile) {
        op.size = hostile_size(r->value, r->more);
        if (op.size < UINT64_C(1) << 47) /* what might be granted would have to be filled */
            op.size = ~op.size;
    } else {
        uint64_t size = bounded(d, size_of(d, r, block->align, block->size));
        if (op.kind == HG_OP_REALLOCARRAY)
            split_product(r, size, &op);
        else
            op.size = size;
    }
    uint64_t bytes = hg_op_bytes(&op);
    if (bytes == 0 && op.kind != HG_OP_REALLOC)
        op.size = op.arg = bytes = 1;
    if (op.kind == HG_OP_LAYOUT_REALLOC)
        op.arg = 0;
    if (bytes > HUGE_BYTES) {
        op.flags = HG_OPF_FAILED;
        put(d, op);
        return;
    }
    if (!put(d, op))
        return;
    d->live_bytes += bytes - block->size;
    d->last_size = bytes;
    if (bytes == 0) {
        block->size = 0;
        block->live = 0;
        return;
    }
    block->size = bytes;
    if (!block->layout)
        block->origin = HG_OP_MALLOC;
}

static void release(struct decoder *d, const struct record *r, hg_op op, uint32_t slot) {
    const struct slot *block = &d->slots[slot];
    op.slot = slot;
    op.kind = block->layout ? HG_OP_DEALLOC : HG_OP_FREE;
    if (!block->layout && r->kind & 1 && !is_off(d, HG_SWARM_SIZED_FREE)) {
        if (block->origin == HG_OP_ALIGNED_ALLOC)
            op.kind = HG_OP_FREE_ALIGNED_SIZED;
        else if (block->origin <= HG_OP_REALLOCARRAY)
            op.kind = HG_OP_FREE_SIZED;
    }
    if (put(d, op))
        empty(d, slot);
}

static void use(struct decoder *d, const struct record *r, hg_op op, uint32_t slot) {
    unsigned choice = r->kind & 31;
    op.slot = slot;
    if (choice < 13 && !is_off(d, HG_SWARM_REALLOC)) {
        reallocate(d, r, op, slot);
    } else if (choice >= 30 && !is_off(d, HG_SWARM_LOOK)) {
        op.kind = choice == 30 || d->slots[slot].layout ? HG_OP_VERIFY : HG_OP_USABLE_SIZE;
        put(d, op);
    } else {
        release(d, r, op, slot);
    }
}

/* One record in sixteen or so of the environment target. False iff the record is an ordinary one. */
static bool disturb(struct decoder *d, const struct record *r, hg_op op) {
    op.slot = HG_SLOT_NONE;
    if (r->kind >= 240 && d->options->threads > 1 && !is_off(d, HG_SWARM_THREAD_ENDS) &&
        r->more % 2) {
        op.kind = HG_OP_THREAD_END;
        op.thread = (uint16_t)(1 + r->thread % (d->options->threads - 1));
        if (d->started[op.thread])
            put(d, op);
        d->started[op.thread] = 0;
        return true;
    }
    if (!d->options->environment || r->kind < 232)
        return false;
    switch (r->more % 16) {
    case 0:
        if (is_off(d, HG_SWARM_FORK))
            return false;
        op.kind = HG_OP_FORK;
        break;
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        if (is_off(d, HG_SWARM_PURGE))
            return false;
        op.kind = HG_OP_PURGE;
        break;
    case 6:
        op.kind = HG_OP_VERIFY;
        break;
    default:
        if (is_off(d, HG_SWARM_SHORTAGE))
            return false;
        op.kind = HG_OP_FAIL_PAGES;
        op.size = d->short_of_pages || r->more & 128 ? UINT64_MAX : r->value % 4;
        d->short_of_pages = op.size != UINT64_MAX;
    }
    put(d, op);
    return true;
}

/* ---- native calls ---- */

static bool has(const struct decoder *d, unsigned function) {
    return d->options->natives >> function & 1;
}

/* The n-th of the functions there are that have this kind and family; HG_NATIVE_COUNT if none. */
static unsigned pick_native(const struct decoder *d, unsigned kind, int family, unsigned n) {
    uint8_t able[HG_NATIVE_COUNT];
    unsigned count = 0;
    for (unsigned i = 0; i < HG_NATIVE_COUNT; i++) {
        const struct hg_native_facts *facts = hg_native_facts(i);
        if (has(d, i) && facts->kind == kind && (family < 0 || facts->family == family))
            able[count++] = (uint8_t)i;
    }
    return count ? able[n % count] : HG_NATIVE_COUNT;
}

static void fill_native_arg(const struct decoder *d, const struct record *r, unsigned function,
                            hg_op *op) {
    const struct hg_native_facts *facts = hg_native_facts(function);
    uint64_t align = facts->takes_align && !is_off(d, HG_SWARM_ALIGNED) ? valid_align(d, r) : 1;
    uint32_t offset = facts->takes_offset && r->more & 64 ? (r->more & 15) * 8u : 0;
    if (function == HG_NATIVE_NEW_ALIGNED && align < 32) /* the others serve up to 16 */
        align = 32;
    if (facts->family == HG_NATIVE_MIMALLOC && align < sizeof(void *))
        align = facts->takes_align ? sizeof(void *) : 1;
    op->arg = hg_native_arg((enum hg_native)function, (unsigned)__builtin_ctzll(align),
                            facts->takes_zero && r->more & 128, offset);
}

static void allocate_native(struct decoder *d, const struct record *r, hg_op op, uint32_t slot) {
    if (r->kind % 32 >= 29) {
        unsigned look = pick_native(d, HG_OP_NATIVE_LOOK, -1, r->more);
        if (look < HG_NATIVE_COUNT) {
            op.kind = HG_OP_NATIVE_LOOK;
            op.arg = hg_native_arg((enum hg_native)look, 0, false, 0);
            op.size = bounded(d, size_of(d, r, 1, 0));
            put(d, op);
            return;
        }
    }
    unsigned function = pick_native(d, HG_OP_NATIVE_ALLOC, -1, r->kind >> 2 & 31);
    if (function == HG_NATIVE_COUNT) {
        allocate_by_libc(d, r, op, slot);
        return;
    }
    const struct hg_native_facts *facts = hg_native_facts(function);
    op.kind = HG_OP_NATIVE_ALLOC;
    fill_native_arg(d, r, function, &op);
    op.size = bounded(d, size_of(d, r, UINT64_C(1) << hg_native_align_log2(op.arg), 0));
    if (r->how % 32 >= 30 && !is_off(d, HG_SWARM_HOSTILE))
        op.size = hostile_size(r->value, r->more);
    if (op.size == 0 && facts->family == HG_NATIVE_JEMALLOC) /* undefined, by its manual */
        op.size = 1;
    if (op.size > HUGE_BYTES) {
        if (op.size <= INT64_MAX &&
            (hg_native_zero(op.arg) || facts->zeroes)) /* would be touched if granted */
            return;
        op.flags = HG_OPF_FAILED;
        put(d, op);
        return;
    }
    op.slot = slot;
    if (!put(d, op))
        return;
    d->slots[slot] = (struct slot){.size = op.size,
                                   .align = UINT64_C(1) << hg_native_align_log2(op.arg),
                                   .live = 1,
                                   .native = (uint8_t)(function + 1)};
    d->live_bytes += op.size;
    d->last_size = op.size;
}

static bool empties(const struct decoder *d, const struct record *r) {
    return r->kind % 32 >= 13 || is_off(d, HG_SWARM_REALLOC);
}

static void use_native(struct decoder *d, const struct record *r, hg_op op, uint32_t slot) {
    struct slot *block = &d->slots[slot];
    int family = hg_native_facts(block->native - 1u)->family;
    op.slot = slot;
    unsigned function =
        pick_native(d, empties(d, r) ? HG_OP_NATIVE_FREE : HG_OP_NATIVE_REALLOC, family, r->more);
    if (function == HG_NATIVE_COUNT)
        function = pick_native(d, HG_OP_NATIVE_FREE, family, r->more);
    op.kind = hg_native_facts(function)->kind;
    fill_native_arg(d, r, function, &op);
    if (op.kind == HG_OP_NATIVE_FREE) {
        op.arg = function;
        if (put(d, op))
            empty(d, slot);
        return;
    }
    op.size = bounded(d, size_of(d, r, block->align, block->size));
    if (op.size == 0)
        op.size = 1;
    if (!put(d, op))
        return;
    d->live_bytes += op.size - block->size;
    d->last_size = block->size = op.size;
}

static void decode_on(struct decoder *d, const struct record *r, uint32_t slot) {
    hg_op op = {.slot = HG_SLOT_NONE};
    if (d->options->threads > 1)
        op.thread = (uint16_t)(r->thread % d->options->threads);
    if (disturb(d, r, op))
        return;
    if (op.thread && !d->started[op.thread]) {
        put(d, (hg_op){.kind = HG_OP_THREAD_START, .thread = op.thread, .slot = HG_SLOT_NONE});
        d->started[op.thread] = 1;
    }
    if (d->slots[slot].live && d->slots[slot].native) {
        use_native(d, r, op, slot);
        return;
    }
    if (d->slots[slot].live) {
        use(d, r, op, slot);
        return;
    }
    if (d->options->native && r->kind & 3) {
        allocate_native(d, r, op, slot);
        return;
    }
    bool layout = d->options->both_faces ? r->kind & 64 : d->options->layout_face;
    if (layout)
        allocate_by_layout(d, r, op, slot);
    else
        allocate_by_libc(d, r, op, slot);
}

/* One record, many operations alike on slots one after the other: on empty ones all of them, on full
 * ones each, every second ... eighth, so that what is freed lies between what lives. */
static void burst(struct decoder *d, const struct record *r) {
    uint32_t count = 1 + r->more % BURST_MAX, full_step = 1u << (r->thread >> 6);
    struct record one = *r;
    if (valid_align(d, r) >= PAGE_BYTES / 4 || one.how % 32 > 25) /* each a page or many */
        count = 1 + count / 16;
    if (one.kind >= 224) /* no fork in a burst */
        one.kind &= 127;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (r->slot * 16u + i) % d->slot_count;
        if (d->slots[slot].live && i % full_step)
            continue;
        if (one.how % 32 < 5) /* a size and its neighbours, or one size */
            one.value = (uint16_t)(r->value + (r->align & 1 ? i : 0));
        decode_on(d, &one, slot);
    }
}

/* The end of a stream, as operations, so that streams can be played one after the other: memory can be
 * had again, threads end, everything is freed in one of three orders. Each block is verified when it is
 * freed; now and then all are before the first goes, which tells harm done by the stream from harm done by
 * its end. */
static void finish(struct decoder *d, uint8_t how) {
    struct hg_decoded *out = d->out;
    unsigned order = how % 3;
    bool looks = how / 3 % 4 == 0;
    if (d->short_of_pages)
        out->ops[out->count++] =
            (hg_op){.kind = HG_OP_FAIL_PAGES, .slot = HG_SLOT_NONE, .size = UINT64_MAX};
    for (unsigned thread = 1; thread < HG_FUZZ_THREADS_MAX; thread++)
        if (d->started[thread])
            out->ops[out->count++] =
                (hg_op){.kind = HG_OP_THREAD_END, .thread = (uint16_t)thread, .slot = HG_SLOT_NONE};
    if (looks)
        out->ops[out->count++] = (hg_op){.kind = HG_OP_VERIFY, .slot = HG_SLOT_NONE};
    for (uint32_t i = 0; i < d->slot_count; i++) {
        /* The count of slots is a power of two: an odd stride visits each once. */
        uint32_t slot = order == 0 ? i : order == 1 ? d->slot_count - 1 - i : i * 5 % d->slot_count;
        if (!d->slots[slot].live)
            continue;
        hg_op op = {.kind = d->slots[slot].layout ? HG_OP_DEALLOC : HG_OP_FREE, .slot = slot};
        if (d->slots[slot].native) {
            op.kind = HG_OP_NATIVE_FREE;
            op.arg = pick_native(d, HG_OP_NATIVE_FREE,
                                 hg_native_facts(d->slots[slot].native - 1u)->family, 0);
        }
        out->ops[out->count++] = op;
    }
}

void hg_fuzz_decode(const struct hg_decode_options *options, const uint8_t *data, size_t size,
                    struct hg_decoded *out) {
    uint8_t header[HG_FUZZ_HEADER_BYTES] = {0};
    size_t header_size = size < sizeof header ? size : sizeof header;
    memcpy(header, data, header_size);
    bool bursts = header[7] % 8 == 1;
    struct decoder d;
    memset(&d, 0,
           offsetof(struct decoder, slots) +
               (bursts ? HG_FUZZ_SLOTS_MAX : PLAIN_SLOTS) * sizeof *d.slots);
    d.options = options;
    d.out = out;
    d.swarm = header[0] | (uint32_t)header[1] << 8;
    d.slot_count = bursts ? HG_FUZZ_SLOTS_MAX : 2u << header[3] % 8;
    d.size_cap = header[6] < 242 ? SMALL_BYTES : header[6] < 254 ? LARGE_BYTES : UINT64_MAX;
    if (bursts && d.size_cap > LARGE_BYTES)
        d.size_cap = LARGE_BYTES;
    if (d.swarm & HG_SWARM_LARGE && d.size_cap > LARGE_BYTES)
        d.size_cap = LARGE_BYTES;
    out->count = 0;
    out->threads = options->threads;
    for (size_t at = header_size; at + HG_FUZZ_RECORD_BYTES <= size && out->count < HG_FUZZ_OPS_MAX;
         at += HG_FUZZ_RECORD_BYTES) {
        const uint8_t *b = data + at;
        struct record record = {
            .kind = b[0],
            .slot = b[1],
            .thread = b[2],
            .how = b[3],
            .value = (uint16_t)(b[4] | b[5] << 8),
            .align = b[6],
            .more = b[7],
        };
        if (bursts && record.thread >> 4 & 1 && record.how & 1)
            burst(&d, &record);
        else
            decode_on(&d, &record, record.slot % d.slot_count);
    }
    out->body_count = out->count;
    finish(&d, header[5]);
}

size_t hg_fuzz_learn_edges(const hg_backend *backend, size_t edges[HG_FUZZ_EDGES_MAX]) {
    enum { LEARN_BYTES_MAX = 256 << 10 };
    const struct hg_libc_face *libc = &backend->libc;
    size_t count = 0;
    if (!libc->malloc || !libc->free || !libc->malloc_usable_size)
        return 0;
    for (size_t size = 1; size <= LEARN_BYTES_MAX && count < HG_FUZZ_EDGES_MAX;) {
        void *ptr = libc->malloc(size);
        if (!ptr)
            break;
        size_t usable = libc->malloc_usable_size(ptr);
        libc->free(ptr);
        if (usable < size || usable > 8 * size + 4096)
            usable = size; /* it lies: a finding for the stream, not for here */
        edges[count++] = usable;
        /* Classes 16 bytes apart are seen at once; further up only every eighth is looked at. */
        size = usable + 1 + (usable > 1024 && usable < size + 32 ? usable / 8 : 0);
    }
    return count;
}
