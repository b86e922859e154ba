/* What a trace is like, counted in one pass; memory is a few words a slot. Private to bench/trace. */
#ifndef HG_TRACE_STAT_COUNT_H
#define HG_TRACE_STAT_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heapgauge/trace.h"

/* Counts by power of two: [0] holds 0, [i] holds 2^(i-1) .. 2^i - 1. */
struct hg_classes {
    uint64_t count[65];
};

/* The block in a slot. */
struct hg_stat_block {
    uint64_t bytes, birth; /* birth: index of its allocation + 1; 0: the slot is empty */
    uint32_t realloc_count;
    uint16_t thread; /* that allocated it */
};

struct hg_stat_point {
    uint64_t operation, live_bytes, live_blocks;
};

struct hg_stat {
    uint64_t operation_count, clock_ns, failed_count;
    uint64_t kind_count[HG_OP_KIND_COUNT];
    struct hg_classes sizes, alignments, lifetimes, chains;
    uint64_t free_null_count, cross_thread_free_count, freed_count;
    uint64_t realloc_count, realloc_grow_count, realloc_shrink_count;
    uint64_t requested_bytes;
    uint64_t live_bytes, live_blocks, live_bytes_peak, live_blocks_peak, peak_operation;
    uint64_t *thread_count; /* operations, by thread */
    size_t thread_limit;    /* thread numbers used */
    struct hg_stat_block *slot;
    size_t slot_capacity;
    struct hg_stat_point *points; /* room for 2 * wanted */
    size_t point_count, points_wanted;
    uint64_t stride;
};

/* Ready to count, with live bytes at `points_wanted` points or up to twice as many. False iff memory is
 * short; to be closed in any case. */
bool hg_stat_open(struct hg_stat *s, size_t points_wanted);
void hg_stat_close(struct hg_stat *s);

/* Counts one operation. False iff memory is short. */
bool hg_stat_count(struct hg_stat *s, const hg_op *op);
/* Counts all that the reader still has. HG_END: all well; else as hg_trace_reader_next. */
HG_WARN_UNUSED enum hg_status hg_stat_read(struct hg_stat *s, hg_trace_reader *reader);

#endif
