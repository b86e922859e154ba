/* What the trace writer and reader share: frame and block layout as trace.h describes them. */
#ifndef HG_TRACE_PRIVATE_H
#define HG_TRACE_PRIVATE_H

#include <string.h>

#include "heapgauge/trace.h"
#include "operation_facts.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "integers are copied to and from the file as they lie in memory, which must be little-endian"
#endif

enum {
    HG__KIND_MASK = 31,
    HG__KIND_FAILED = 32,
    HG__KIND_PREDICTED = 64,
    HG__KIND_SAME_THREAD = 128,

    HG__COLUMN_COUNT = 5, /* kinds, threads, slots, sizes, args */
    HG__BLOCK_HEADER_SIZE = 4 + 8 + 4 + 4 * HG__COLUMN_COUNT,

    HG__START_SIZE = 16, /* the skippable frame that opens a trace */
    HG__TAIL_SIZE = 24,  /* the one that closes it */
    HG__INDEX_ENTRY_SIZE = 16,
    HG__INDEX_ENTRIES_MAX = (HG_TRACE_BLOCK_BYTES_MAX - 8) / HG__INDEX_ENTRY_SIZE,
    HG__TOTALS_SIZE = sizeof(struct hg_trace_totals)
};

static const uint32_t hg__start_magic = 0x184D2A50u;
static const uint32_t hg__tail_magic = 0x184D2A5Fu;
static const char hg__tail_mark[8] = {'H', 'G', 'T', 'T', 'A', 'I', 'L', '1'};

/* The longest varint of each column, bytes. */
static const uint8_t hg__column_item_size_max[HG__COLUMN_COUNT] = {1, 3, 5, 10, 10};
_Static_assert(HG__BLOCK_HEADER_SIZE + HG_TRACE_BLOCK_OPS * (1 + 3 + 5 + 10 + 10) <=
                   HG_TRACE_BLOCK_BYTES_MAX,
               "a full block of the longest operations fits");

static inline uint32_t hg__get32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t hg__get64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline void hg__put32(uint8_t *at, uint32_t value) {
    memcpy(at, &value, sizeof value);
}

static inline void hg__put64(uint8_t *at, uint64_t value) {
    memcpy(at, &value, sizeof value);
}

/* The slots a block's operations are predicted to have; the same on both sides. */
struct hg__predictor {
    uint32_t *stack;     /* room for HG_TRACE_BLOCK_OPS */
    uint32_t depth;      /* slots on it */
    uint32_t slot_fresh; /* the greatest slot so far + 1 */
    uint32_t slot_previous;
};

static inline void hg__predictor_start(struct hg__predictor *p) {
    p->depth = 0;
    p->slot_fresh = 0;
    p->slot_previous = 0;
}

/* What an operation of these facts that names a slot would name. */
static inline uint32_t hg__predict(struct hg__predictor *p, unsigned facts) {
    if (!(facts & HG__OP_MAKES))
        return p->slot_previous;
    return p->depth ? p->stack[--p->depth] : p->slot_fresh;
}

/* Learns what it did name (not HG_SLOT_NONE). */
static inline void hg__predictor_learn(struct hg__predictor *p, unsigned facts, uint32_t slot) {
    p->slot_previous = slot;
    if (slot >= p->slot_fresh)
        p->slot_fresh = slot + 1;
    if (facts & HG__OP_ENDS)
        p->stack[p->depth++] = slot;
}

#endif
