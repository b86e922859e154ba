#include "plan.h"

#include <string.h>

#include "heapgauge/meter.h"
#include "mutate.h"

enum { PIECE = 2048, PAGE_BYTES = 4096, SMALL_BYTES_MAX = 512, PLANS = 8 };

struct plan {
    struct hg_fuzz_session *session;
    uint64_t random;
    uint64_t end_cpu_ns; /* of this process: on a busy machine as much is played */
    uint64_t input_begin;
    bool layout, ends, found; /* ends: time is up, or something was found */
    unsigned number;          /* how often it was this plan's turn */
    size_t count;
    hg_op ops[PIECE];
};

static uint32_t below(struct plan *p, uint32_t bound) {
    return hg_random_below(&p->random, bound);
}

/* ---- operations ---- */

static void play(struct plan *p, enum hg_fuzz_end end) {
    struct hg_fuzz_log *log = p->session->log;
    if (!p->found)
        p->found = hg_fuzz_play_ops(p->session, p->ops, p->count, end);
    log->input_begin = p->input_begin; /* the plan is one input */
    p->count = 0;
    p->ends = p->found || hg_cpu_ns() > p->end_cpu_ns ||
              log->op_count + 2 * PIECE > HG_FUZZ_LOG_OPS - HG_FUZZ_OPS_MAX;
}

static void put(struct plan *p, hg_op op) {
    if (p->count == PIECE)
        play(p, HG_FUZZ_GOES_ON);
    p->ops[p->count++] = op;
}

enum way { BY_MALLOC, BY_CALLOC, BY_ALIGNED_ALLOC, BY_POSIX_MEMALIGN, BY_MEMALIGN, WAYS };

static enum way any_way(struct plan *p) {
    return below(p, 2) ? BY_MALLOC : below(p, WAYS);
}

static void allocate(struct plan *p, uint32_t slot, enum way way, uint64_t size, uint64_t align) {
    static const uint8_t kinds[WAYS] = {HG_OP_MALLOC, HG_OP_CALLOC, HG_OP_ALIGNED_ALLOC,
                                        HG_OP_POSIX_MEMALIGN, HG_OP_MEMALIGN};
    hg_op op = {.kind = kinds[way], .slot = slot, .size = size};
    if (p->layout)
        op.kind = way == BY_CALLOC ? HG_OP_ALLOC_ZEROED : HG_OP_ALLOC;
    if (way == BY_CALLOC || p->layout)
        op.arg = 1;
    if (way >= BY_ALIGNED_ALLOC)
        op.arg = align;
    put(p, op);
}

static void resize(struct plan *p, uint32_t slot, uint64_t size) {
    put(p, (hg_op){
               .kind = p->layout ? HG_OP_LAYOUT_REALLOC : HG_OP_REALLOC,
               .slot = slot,
               .size = size,
           });
}

static void release(struct plan *p, uint32_t slot) {
    put(p, (hg_op){.kind = p->layout ? HG_OP_DEALLOC : HG_OP_FREE, .slot = slot});
}

static uint64_t any_align(struct plan *p) {
    return UINT64_C(8) << below(p, 10);
}

/* ---- the plans ---- */

/* Blocks of all sizes with holes between them, in slots from `slot` on, so that one that is too small has a
 * neighbour. Returns the slot after the last. */
static uint32_t make_neighbours(struct plan *p, uint32_t slot) {
    enum { ALIKE = 40, LARGE_ALIKE = 8, LARGE_BYTES = 8000, SIZE_MAX_BYTES = 70000 };
    for (uint64_t size = 24; size < SIZE_MAX_BYTES; size += size / 4)
        for (int i = 0; i < (size < LARGE_BYTES ? ALIKE : LARGE_ALIKE); i++)
            allocate(p, slot++, BY_MALLOC, size, 1);
    return slot;
}

/* A quarter of all sizes to 64 KiB among neighbours, each by malloc and in one more way. By chance they would
 * be asked for once in an hour. */
static void sweep(struct plan *p) {
    enum { SIZES = 16 << 10, QUARTERS = 4, RING = 16, HOLES = 4 };
    bool lives[RING] = {false};
    uint32_t first = p->number % QUARTERS * SIZES, begin = below(p, SIZES), direction = below(p, 2);
    uint32_t neighbours_end = make_neighbours(p, RING);
    for (uint32_t slot = RING; slot < neighbours_end; slot += HOLES)
        release(p, slot);
    for (uint32_t i = 0; i < SIZES && !p->ends; i++) {
        uint32_t slot = i % (RING / 2), at = direction ? i : SIZES - 1 - i;
        uint64_t size = 1 + first + (begin + at) % SIZES;
        if (lives[slot])
            release(p, slot);
        allocate(p, slot, BY_MALLOC, size, 1);
        lives[slot] = true;
        slot += RING / 2; /* and in another way */
        if (lives[slot] && below(p, 2)) {
            resize(p, slot, size);
            continue;
        }
        if (lives[slot])
            release(p, slot);
        enum way way = BY_CALLOC + below(p, WAYS - BY_CALLOC);
        allocate(p, slot, way, size, any_align(p));
        lives[slot] = true;
    }
    for (uint32_t slot = 0; slot < RING; slot++)
        if (lives[slot])
            release(p, slot);
    for (uint32_t slot = RING; slot < neighbours_end; slot++)
        if ((slot - RING) % HOLES)
            release(p, slot);
}

enum order { AS_MADE, IN_REVERSE, EVERY_OTHER, SCATTERED, ORDERS };

static uint32_t in_order(enum order order, uint32_t i, uint32_t count) {
    switch (order) {
    case AS_MADE:
        return i;
    case IN_REVERSE:
        return count - 1 - i;
    case EVERY_OTHER:
        return i < (count + 1) / 2 ? 2 * i : 2 * (i - (count + 1) / 2) + 1;
    default: /* the count is odd where this is asked for */
        return (uint32_t)((uint64_t)i * 4 % count);
    }
}

/* Blocks alike, freed in one order, some of them made again. */
static void wave(struct plan *p) {
    uint32_t count = (1 + below(p, below(p, 8) ? 24 : 400)) | 1;
    uint64_t size = below(p, 8)   ? below(p, SMALL_BYTES_MAX)
                    : below(p, 4) ? below(p, 2 * PAGE_BYTES)
                                  : below(p, 64 << 10);
    enum way way = any_way(p);
    enum order order = below(p, ORDERS), again = below(p, ORDERS);
    uint64_t align = any_align(p), step = below(p, 4) ? 0 : 1;
    uint32_t freed = below(p, 2) ? count : below(p, count), remade = 1 + below(p, count);
    size += p->layout;
    for (uint32_t i = 0; i < count; i++)
        allocate(p, i, way, size + i * step, align);
    if (below(p, 3) == 0)
        for (uint32_t i = 0; i < count; i += 1 + below(p, 4))
            resize(p, i, 1 + below(p, 2 * (uint32_t)size + 1));
    for (uint32_t i = 0; i < freed; i++)
        release(p, in_order(order, i, count));
    if (remade > freed)
        remade = freed;
    for (uint32_t i = 0; i < remade; i++)
        allocate(p, in_order(order, i, count), way, size, align);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = in_order(again, i, count), place = 0;
        while (in_order(order, place, count) != at)
            place++;
        if (place < remade || place >= freed)
            release(p, at);
    }
}

static void waves(struct plan *p) {
    for (int i = 0; i < 1500 && !p->ends; i++)
        wave(p);
}

/* More blocks live than 16 bits count, of one size or of a few. */
static void crowd(struct plan *p) {
    enum { CROWD = 70001 };
    uint32_t size = 1 + below(p, 64), spread = below(p, 2) ? 1 : 64;
    uint32_t count = 0;
    enum order order = below(p, ORDERS);
    for (; count < CROWD && !p->ends; count++)
        allocate(p, count, BY_MALLOC, size + below(p, spread), 1);
    count -= count % 2 == 0 && count > 0 ? 1 : 0; /* odd, for the order; the last goes at the end */
    bool one_more = count > 0 && count < CROWD;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = in_order(order, i, count);
        if (i % 8 == 0 && !p->ends)
            resize(p, at, 1 + below(p, 128));
        release(p, at);
    }
    if (one_more)
        release(p, count);
}

/* Some blocks live through hundreds of thousand operations on others. */
static void long_lives(struct plan *p) {
    enum { OLD = 48, YOUNG = 64, STEPS = 200000 };
    bool lives[OLD + YOUNG] = {false};
    for (uint32_t slot = 0; slot < OLD; slot++) {
        enum way way = any_way(p);
        uint64_t size = 1 + below(p, below(p, 8) ? 600 : 40000);
        allocate(p, slot, way, size, any_align(p));
        lives[slot] = true;
    }
    for (uint32_t i = 0; i < STEPS && !p->ends; i++) {
        uint32_t slot = OLD + below(p, YOUNG);
        uint64_t size = 1 + below(p, below(p, 32) ? 300 : 5000);
        enum way way = any_way(p);
        if (lives[slot] && below(p, 4) == 0) {
            resize(p, slot, size);
            continue;
        }
        if (lives[slot])
            release(p, slot);
        else
            allocate(p, slot, way, size, any_align(p));
        lives[slot] = !lives[slot];
    }
    put(p, (hg_op){.kind = HG_OP_VERIFY, .slot = HG_SLOT_NONE});
    for (uint32_t slot = 0; slot < OLD + YOUNG; slot++)
        if (lives[slot])
            release(p, slot);
}

/* Blocks of 24 to 96 MiB. Of half of them their page edges alone are touched. */
static void giants(struct plan *p) {
    enum { GIANTS = 2, STEPS = 64 };
    static const uint64_t MEBI = UINT64_C(1) << 20;
    bool lives[GIANTS] = {false};
    for (int i = 0; i < STEPS && !p->ends; i++) {
        uint32_t slot = below(p, GIANTS);
        uint64_t size = (24 + below(p, 72)) * MEBI;
        size += below(p, 3) * 4000;
        size += below(p, 16);
        enum way way = any_way(p);
        bool resizes = lives[slot] && below(p, 2);
        if (resizes)
            resize(p, slot, size);
        else if (lives[slot])
            release(p, slot);
        else
            allocate(p, slot, way, size, UINT64_C(16) << below(p, 20));
        lives[slot] = resizes || !lives[slot];
        play(p, HG_FUZZ_GOES_ON); /* each may take long */
    }
    for (uint32_t slot = 0; slot < GIANTS; slot++)
        if (lives[slot])
            release(p, slot);
}

bool hg_fuzz_play_plan(struct hg_fuzz_session *session, unsigned turn, uint64_t seed,
                       double seconds) {
    /* A step with giants takes as long as a thousand others. */
    static const struct {
        void (*play)(struct plan *);
        double share;
    } plans[PLANS] = {
        {sweep, 0.3}, {waves, 0.3},      {sweep, 0.3}, {giants, 1},
        {sweep, 0.3}, {long_lives, 0.3}, {sweep, 0.3}, {crowd, 0.3},
    };
    static struct plan p;
    const struct hg_decode_options *decode = &session->decode;
    memset(&p, 0, offsetof(struct plan, ops));
    p.session = session;
    p.random = seed;
    p.end_cpu_ns = hg_cpu_ns() + (uint64_t)(seconds * plans[turn % PLANS].share * 1e9);
    p.input_begin = session->log->op_count;
    p.layout = decode->both_faces ? below(&p, 2) : decode->layout_face;
    session->log->input_size = 0; /* no bytes stand for it */
    p.number = turn / 2;          /* of a sweep, which every second one is */
    plans[turn % PLANS].play(&p);
    play(&p, HG_FUZZ_END_PLAIN);
    return p.found;
}
