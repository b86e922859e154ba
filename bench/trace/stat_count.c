#define _GNU_SOURCE
#include "stat_count.h"

#include <stdlib.h>
#include <string.h>

bool hg_stat_open(struct hg_stat *s, size_t points_wanted) {
    *s = (struct hg_stat){.points_wanted = points_wanted, .stride = 1};
    s->points = calloc(2 * points_wanted, sizeof *s->points);
    s->thread_count = calloc(HG_TRACE_THREADS_MAX + 1, sizeof *s->thread_count);
    return s->points && s->thread_count;
}

void hg_stat_close(struct hg_stat *s) {
    free(s->points);
    free(s->thread_count);
    free(s->slot);
}

static void count_in(struct hg_classes *classes, uint64_t value) {
    classes->count[value ? 64 - __builtin_clzll(value) : 0]++;
}

static bool grow_slots(struct hg_stat *s, uint32_t slot) {
    size_t capacity = s->slot_capacity ? s->slot_capacity : 4096;
    while (capacity <= slot)
        capacity *= 2;
    struct hg_stat_block *const memory = realloc(s->slot, capacity * sizeof *memory);
    if (!memory)
        return false;
    memset(memory + s->slot_capacity, 0, (capacity - s->slot_capacity) * sizeof *memory);
    s->slot = memory;
    s->slot_capacity = capacity;
    return true;
}

/* Takes a point every `stride` operations; when there are too many, every other one goes. */
static void take_point(struct hg_stat *s) {
    if (s->operation_count % s->stride != 0)
        return;
    if (s->point_count == 2 * s->points_wanted) {
        for (size_t i = 0; i < s->points_wanted; i++)
            s->points[i] = s->points[2 * i + 1];
        s->point_count = s->points_wanted;
        s->stride *= 2;
        if (s->operation_count % s->stride != 0)
            return;
    }
    s->points[s->point_count++] =
        (struct hg_stat_point){s->operation_count, s->live_bytes, s->live_blocks};
}

static void end_block(struct hg_stat *s, struct hg_stat_block *block, uint16_t thread) {
    if (!block->birth)
        return;
    count_in(&s->lifetimes, s->operation_count - (block->birth - 1));
    count_in(&s->chains, block->realloc_count);
    s->freed_count++;
    s->cross_thread_free_count += thread != block->thread;
    s->live_bytes -= block->bytes;
    s->live_blocks--;
    block->birth = 0;
}

static void set_bytes(struct hg_stat *s, struct hg_stat_block *block, uint64_t bytes) {
    s->live_bytes += bytes - block->bytes;
    block->bytes = bytes;
    if (s->live_bytes > s->live_bytes_peak) {
        s->live_bytes_peak = s->live_bytes;
        s->peak_operation = s->operation_count;
    }
    if (s->live_blocks > s->live_blocks_peak)
        s->live_blocks_peak = s->live_blocks;
}

static void begin_block(struct hg_stat *s, struct hg_stat_block *block, const hg_op *op) {
    end_block(s, block, op->thread);
    *block = (struct hg_stat_block){.birth = s->operation_count + 1, .thread = op->thread};
    s->live_blocks++;
    set_bytes(s, block, hg_op_bytes(op));
}

static void count_realloc(struct hg_stat *s, struct hg_stat_block *block, const hg_op *op) {
    const uint64_t bytes = hg_op_bytes(op);
    s->realloc_count++;
    s->realloc_grow_count += bytes > block->bytes;
    s->realloc_shrink_count += bytes < block->bytes;
    block->realloc_count++;
    set_bytes(s, block, bytes);
}

static bool has_alignment(unsigned kind) {
    return hg_op_has_arg(kind) && hg_op_allocates(kind) && kind != HG_OP_CALLOC;
}

bool hg_stat_count(struct hg_stat *s, const hg_op *op) {
    const bool failed = op->flags & HG_OPF_FAILED;
    if (op->slot != HG_SLOT_NONE && op->slot >= s->slot_capacity && !grow_slots(s, op->slot))
        return false;
    struct hg_stat_block *const block = op->slot == HG_SLOT_NONE ? NULL : &s->slot[op->slot];
    s->kind_count[op->kind]++;
    s->thread_count[op->thread]++;
    if (op->thread >= s->thread_limit)
        s->thread_limit = op->thread + 1u;
    s->failed_count += failed;
    if (op->kind == HG_OP_CLOCK)
        s->clock_ns += op->size;
    if (hg_op_allocates(op->kind) || hg_op_reallocates(op->kind)) {
        count_in(&s->sizes, hg_op_bytes(op));
        if (!failed)
            s->requested_bytes += hg_op_bytes(op);
    }
    if (has_alignment(op->kind))
        count_in(&s->alignments, op->arg);
    if (hg_op_frees(op->kind)) {
        if (block)
            end_block(s, block, op->thread);
        else
            s->free_null_count++;
    } else if (block && !failed && hg_op_allocates(op->kind)) {
        begin_block(s, block, op);
    } else if (block && !failed && hg_op_reallocates(op->kind)) {
        if (block->birth)
            count_realloc(s, block, op);
        else
            begin_block(s, block, op); /* realloc(NULL, n) */
    }
    s->operation_count++;
    take_point(s);
    return true;
}

enum hg_status hg_stat_read(struct hg_stat *s, hg_trace_reader *reader) {
    const hg_op *ops;
    size_t count;
    enum hg_status status;
    while ((status = hg_trace_reader_next(reader, &ops, &count, NULL)) == HG_OK)
        for (size_t i = 0; i < count; i++)
            if (!hg_stat_count(s, &ops[i]))
                return HG_ERR_MEMORY;
    return status;
}
