/* Writing traces: operations into columns, columns into a block, a block into a Zstandard frame. */
#define _GNU_SOURCE
#include "heapgauge/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "trace_private.h"

enum { LEVEL_DEFAULT = 3, SLOTS_AT_FIRST = 1 << 16, INDEX_AT_FIRST = 256 };

struct hg_trace_writer {
    int fd;
    enum hg_status status; /* the first failure; nothing is written after it */
    int error;             /* errno of it */
    ZSTD_CCtx *cctx;
    uint64_t file_offset;

    uint8_t *column[HG__COLUMN_COUNT]; /* where each begins */
    uint8_t *end[HG__COLUMN_COUNT];    /* one past its last byte */
    uint8_t *content, *compressed;
    size_t compressed_capacity;
    uint8_t *buffers; /* the mapping all of these lie in */
    size_t buffers_size;
    uint32_t op_count; /* in the block begun */
    uint16_t thread_previous;
    struct hg__predictor predictor;

    struct hg_trace_totals totals;
    uint64_t live_bytes, live_blocks;
    uint64_t *slot_bytes; /* by slot: bytes of its block + 1; 0: empty */
    size_t slot_capacity;

    uint8_t *index; /* entries as they stand in INDX; memory stays bounded by thinning them out */
    size_t index_count, index_capacity;
    uint64_t block_count, index_stride; /* every index_stride-th block is listed */
};

static void *map_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static enum hg_status fail(hg_trace_writer *w, enum hg_status status) {
    if (w->status == HG_OK) {
        w->status = status;
        w->error = errno;
    }
    errno = w->error;
    return w->status;
}

static enum hg_status write_bytes(hg_trace_writer *w, const void *bytes, size_t size) {
    const uint8_t *at = bytes;
    while (size) {
        const ssize_t written = write(w->fd, at, size);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return fail(w, HG_ERR_SYSTEM);
        }
        at += written;
        size -= (size_t)written;
        w->file_offset += (uint64_t)written;
    }
    return HG_OK;
}

/* Compresses the first `size` bytes of `content` into a frame of its own and writes it. */
static enum hg_status write_frame(hg_trace_writer *w, size_t size) {
    const size_t length =
        ZSTD_compress2(w->cctx, w->compressed, w->compressed_capacity, w->content, size);
    if (ZSTD_isError(length)) {
        errno = ENOMEM;
        return fail(w, HG_ERR_MEMORY);
    }
    return write_bytes(w, w->compressed, length);
}

static void start_block(hg_trace_writer *w) {
    for (int i = 0; i < HG__COLUMN_COUNT; i++)
        w->end[i] = w->column[i];
    w->op_count = 0;
    hg__predictor_start(&w->predictor);
}

static bool map_buffers(hg_trace_writer *w) {
    size_t column_size[HG__COLUMN_COUNT], size = 0;
    for (int i = 0; i < HG__COLUMN_COUNT; i++)
        size += column_size[i] = (size_t)HG_TRACE_BLOCK_OPS * hg__column_item_size_max[i];
    const size_t stack_size = (size_t)HG_TRACE_BLOCK_OPS * sizeof *w->predictor.stack;
    w->compressed_capacity = ZSTD_compressBound(HG_TRACE_BLOCK_BYTES_MAX);
    w->buffers_size = size + stack_size + HG_TRACE_BLOCK_BYTES_MAX + w->compressed_capacity;
    w->buffers = map_memory(w->buffers_size);
    if (!w->buffers)
        return false;
    uint8_t *at = w->buffers;
    w->predictor.stack = (uint32_t *)(void *)at;
    at += stack_size;
    for (int i = 0; i < HG__COLUMN_COUNT; i++) {
        w->column[i] = at;
        at += column_size[i];
    }
    w->content = at;
    w->compressed = at + HG_TRACE_BLOCK_BYTES_MAX;

    w->slot_capacity = SLOTS_AT_FIRST;
    w->slot_bytes = map_memory(w->slot_capacity * sizeof *w->slot_bytes);
    w->index_capacity = INDEX_AT_FIRST;
    w->index = map_memory(w->index_capacity * HG__INDEX_ENTRY_SIZE);
    w->index_stride = 1;
    start_block(w);
    return w->slot_bytes && w->index;
}

static void destroy(hg_trace_writer *w) {
    ZSTD_freeCCtx(w->cctx);
    if (w->buffers)
        munmap(w->buffers, w->buffers_size);
    if (w->slot_bytes)
        munmap(w->slot_bytes, w->slot_capacity * sizeof *w->slot_bytes);
    if (w->index)
        munmap(w->index, w->index_capacity * HG__INDEX_ENTRY_SIZE);
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}

static enum hg_status write_start(hg_trace_writer *w, const char *header_text) {
    uint8_t start[HG__START_SIZE] = {0};
    hg__put32(start, hg__start_magic);
    hg__put32(start + 4, HG__START_SIZE - 8);
    memcpy(start + 8, "HGT", 3);
    start[11] = HG_TRACE_VERSION;
    const enum hg_status status = write_bytes(w, start, sizeof start);
    if (status != HG_OK)
        return status;
    const size_t length = strlen(header_text);
    memcpy(w->content, "HEAD", 4);
    memcpy(w->content + 4, header_text, length);
    return write_frame(w, 4 + length);
}

enum hg_status hg_trace_writer_open(const char *path, const char *header_text,
                                    hg_trace_writer **out) {
    if (strlen(header_text) > HG_TRACE_BLOCK_BYTES_MAX - 4)
        return HG_ERR_USAGE;
    hg_trace_writer *w = calloc(1, sizeof *w);
    if (!w)
        return HG_ERR_MEMORY;
    w->totals.exit_status = UINT64_MAX;
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    enum hg_status status = w->fd < 0 ? fail(w, HG_ERR_SYSTEM) : HG_OK;
    if (status == HG_OK) {
        w->cctx = ZSTD_createCCtx();
        if (!w->cctx || !map_buffers(w) ||
            ZSTD_isError(ZSTD_CCtx_setParameter(w->cctx, ZSTD_c_checksumFlag, 1)))
            status = fail(w, HG_ERR_MEMORY);
    }
    if (status == HG_OK) {
        hg_trace_writer_set_level(w, LEVEL_DEFAULT);
        status = write_start(w, header_text);
    }
    if (status != HG_OK) {
        const int error = w->error;
        destroy(w);
        errno = error;
        return status;
    }
    *out = w;
    return HG_OK;
}

void hg_trace_writer_set_level(hg_trace_writer *w, int level) {
    (void)ZSTD_CCtx_setParameter(w->cctx, ZSTD_c_compressionLevel, level);
}

struct hg_trace_totals *hg_trace_writer_totals(hg_trace_writer *w) {
    return &w->totals;
}

/* ---- one operation ---- */

/* The varint of a value of at most 28 bits takes 1 to 4 bytes; in random streams a branch on which would
 * be foreseen badly, so all four are written and `at` goes on by those that count. */
static inline uint8_t *put_short_varint(uint8_t *at, uint32_t value) {
    const unsigned more = (31 - (unsigned)__builtin_clz(value | 1)) * 37 >> 8; /* / 7: bytes - 1 */
    const uint32_t spread = (value & 0x7F) | (value << 1 & 0x7F00) | (value << 2 & 0x7F0000) |
                            (value << 3 & 0x7F000000);
    hg__put32(at, spread | (0x808080u & ((1u << 8 * more) - 1)));
    return at + more + 1;
}

static inline uint8_t *put_varint(uint8_t *at, uint64_t value) {
    if (__builtin_expect(value < 1 << 14, 1)) { /* one byte or two, likewise */
        const unsigned more = value >= 128;
        at[0] = (uint8_t)(value | more << 7);
        at[1] = (uint8_t)(value >> 7);
        return at + more + 1;
    }
    if (value < 1 << 28)
        return put_short_varint(at, (uint32_t)value);
    while (value >= 128) {
        *at++ = (uint8_t)(value | 128);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint64_t zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static bool grow_slots(hg_trace_writer *w, uint32_t slot) {
    size_t capacity = w->slot_capacity;
    while (capacity <= slot)
        capacity *= 2;
    void *memory = mremap(w->slot_bytes, w->slot_capacity * sizeof *w->slot_bytes,
                          capacity * sizeof *w->slot_bytes, MREMAP_MAYMOVE);
    if (memory == MAP_FAILED)
        return false;
    w->slot_bytes = memory;
    w->slot_capacity = capacity;
    return true;
}

/* Follows what is live: bytes asked for, whatever the allocator made of them. */
static inline void account(hg_trace_writer *w, const hg_op *op, unsigned facts) {
    const uint64_t before = w->slot_bytes[op->slot];
    uint64_t after = before;
    if (facts & HG__OP_ENDS)
        after = 0;
    else if (facts & (HG__OP_MAKES | HG__OP_MOVES) && !(op->flags & HG_OPF_FAILED))
        after = hg__op_bytes(op) + 1;
    if (after == before)
        return;
    w->slot_bytes[op->slot] = after;
    w->live_blocks += (uint64_t)(after != 0) - (uint64_t)(before != 0);
    w->live_bytes += (after ? after - 1 : 0) - (before ? before - 1 : 0);
    if (w->live_bytes > w->totals.live_bytes_peak) {
        w->totals.live_bytes_peak = w->live_bytes;
        w->totals.live_bytes_peak_operation = w->totals.operation_count;
    }
    if (w->live_blocks > w->totals.live_blocks_peak)
        w->totals.live_blocks_peak = w->live_blocks;
}

/* How many operations from the first on are of the kind that nearly all are: mallocs and frees, by the
 * thread that did the one before, of slots that the tables hold, of sizes whose sums can't overflow. */
static size_t count_plain(const hg_trace_writer *w, const hg_op *ops, size_t count) {
    const uint16_t thread = w->thread_previous;
    const uint32_t slot_end = (uint32_t)w->totals.slot_count;
    size_t i = 0;
    for (; i < count; i++) {
        const hg_op *const op = &ops[i];
        const uint64_t size_end = op->kind == HG_OP_MALLOC ? UINT64_C(1) << 56 : 1;
        if ((op->kind != HG_OP_MALLOC && op->kind != HG_OP_FREE) || op->slot >= slot_end ||
            op->thread != thread || op->flags || op->arg || op->size >= size_end)
            break;
    }
    return i;
}

static void put_plain_slots(hg_trace_writer *w, const hg_op *ops, size_t count) {
    struct hg__predictor predictor = w->predictor;
    uint8_t *kinds = w->end[0], *slots = w->end[2];
    for (size_t i = 0; i < count; i++) {
        const uint32_t slot = ops[i].slot;
        const unsigned facts = ops[i].kind == HG_OP_MALLOC ? HG__OP_MAKES : HG__OP_ENDS;
        const int64_t previous = predictor.slot_previous;
        unsigned kind = ops[i].kind | HG__KIND_SAME_THREAD;
        if (hg__predict(&predictor, facts) == slot)
            kind |= HG__KIND_PREDICTED;
        else
            slots = put_varint(slots, zigzag(slot - previous));
        hg__predictor_learn(&predictor, facts, slot);
        *kinds++ = (uint8_t)kind;
    }
    w->predictor = predictor;
    w->end[0] = kinds;
    w->end[2] = slots;
}

static void put_plain_sizes(hg_trace_writer *w, const hg_op *ops, size_t count) {
    uint64_t *const slot_bytes = w->slot_bytes;
    uint64_t blocks = w->live_blocks, sum = w->live_bytes + blocks; /* as in slot_bytes */
    uint64_t bytes_peak = w->totals.live_bytes_peak, blocks_peak = w->totals.live_blocks_peak;
    uint64_t malloc_count = 0;
    uint8_t *sizes = w->end[3];
    for (size_t i = 0; i < count; i++) {
        const uint64_t before = slot_bytes[ops[i].slot];
        if (ops[i].kind == HG_OP_FREE) {
            slot_bytes[ops[i].slot] = 0;
            blocks -= before != 0;
            sum -= before;
            continue;
        }
        sizes = put_varint(sizes, ops[i].size);
        slot_bytes[ops[i].slot] = ops[i].size + 1;
        blocks += before == 0;
        sum += ops[i].size + 1 - before;
        blocks_peak = blocks > blocks_peak ? blocks : blocks_peak;
        if (__builtin_expect(sum - blocks > bytes_peak, 0)) {
            bytes_peak = sum - blocks;
            w->totals.live_bytes_peak_operation = w->totals.operation_count + i;
        }
        malloc_count++;
    }
    w->end[3] = sizes;
    w->live_blocks = blocks;
    w->live_bytes = sum - blocks;
    w->totals.live_bytes_peak = bytes_peak;
    w->totals.live_blocks_peak = blocks_peak;
    w->totals.kind_count[HG_OP_MALLOC] += malloc_count;
    w->totals.kind_count[HG_OP_FREE] += count - malloc_count;
    w->totals.operation_count += count;
}

/* Any operation. */
static enum hg_status put_one(hg_trace_writer *w, const hg_op *op) {
    const unsigned facts = hg__op_facts[op->kind & 31];
    if (!hg__op_is_well_formed(op) || facts & HG__OP_UNSTORED)
        return HG_ERR_USAGE;
    const bool has_slot = op->slot != HG_SLOT_NONE;
    if (has_slot && op->slot >= w->slot_capacity && !grow_slots(w, op->slot))
        return fail(w, HG_ERR_MEMORY);

    unsigned kind = op->kind;
    if (op->flags & HG_OPF_FAILED)
        kind |= HG__KIND_FAILED;
    if (w->op_count && op->thread == w->thread_previous)
        kind |= HG__KIND_SAME_THREAD;
    else
        w->end[1] = put_varint(w->end[1], op->thread);
    w->thread_previous = op->thread;

    if (has_slot) {
        const uint32_t previous = w->predictor.slot_previous;
        if (hg__predict(&w->predictor, facts) == op->slot)
            kind |= HG__KIND_PREDICTED;
        else
            w->end[2] = put_varint(w->end[2], zigzag((int64_t)op->slot - previous));
        hg__predictor_learn(&w->predictor, facts, op->slot);
        account(w, op, facts);
        if (op->slot >= w->totals.slot_count)
            w->totals.slot_count = (uint64_t)op->slot + 1;
    } else if (facts & HG__OP_SLOT && !(facts & HG__OP_MAKES)) {
        w->end[2] = put_varint(w->end[2], zigzag(-1 - (int64_t)w->predictor.slot_previous));
    }
    if (facts & HG__OP_SIZE)
        w->end[3] = put_varint(w->end[3], op->size);
    if (facts & HG__OP_ARG)
        w->end[4] = put_varint(w->end[4], op->arg);
    *w->end[0]++ = (uint8_t)kind;

    w->totals.operation_count++;
    w->totals.kind_count[op->kind]++;
    if (op->thread >= w->totals.thread_count)
        w->totals.thread_count = (uint64_t)op->thread + 1;
    return HG_OK;
}

enum hg_status hg_trace_writer_put_many(hg_trace_writer *w, const hg_op *ops, size_t count) {
    if (w->status != HG_OK)
        return fail(w, w->status);
    for (size_t done = 0; done < count;) {
        const size_t room = HG_TRACE_BLOCK_OPS - w->op_count;
        size_t n = 0;
        if (w->op_count) /* a block's first operation names its thread */
            n = count_plain(w, ops + done, count - done < room ? count - done : room);
        if (n) {
            put_plain_slots(w, ops + done, n);
            put_plain_sizes(w, ops + done, n);
        } else {
            const enum hg_status status = put_one(w, ops + done);
            if (status != HG_OK)
                return status;
            n = 1;
        }
        done += n;
        w->op_count += (uint32_t)n;
        if (w->op_count == HG_TRACE_BLOCK_OPS && hg_trace_writer_flush(w) != HG_OK)
            return w->status;
    }
    return HG_OK;
}

enum hg_status hg_trace_writer_put(hg_trace_writer *w, const hg_op *op) {
    return hg_trace_writer_put_many(w, op, 1);
}

/* ---- one block ---- */

/* Halves the index: every other entry goes. */
static void thin_index(hg_trace_writer *w) {
    for (size_t i = 0; i < (w->index_count + 1) / 2; i++)
        memcpy(w->index + i * HG__INDEX_ENTRY_SIZE, w->index + 2 * i * HG__INDEX_ENTRY_SIZE,
               HG__INDEX_ENTRY_SIZE);
    w->index_count = (w->index_count + 1) / 2;
    w->index_stride *= 2;
}

static bool grow_index(hg_trace_writer *w) {
    void *memory = mremap(w->index, w->index_capacity * HG__INDEX_ENTRY_SIZE,
                          2 * w->index_capacity * HG__INDEX_ENTRY_SIZE, MREMAP_MAYMOVE);
    if (memory == MAP_FAILED)
        return false;
    w->index = memory;
    w->index_capacity *= 2;
    return true;
}

/* Notes where the block that begins with operation `first` stands. */
static enum hg_status add_to_index(hg_trace_writer *w, uint64_t first) {
    if (w->index_count == HG__INDEX_ENTRIES_MAX)
        thin_index(w);
    if (w->block_count++ % w->index_stride != 0)
        return HG_OK;
    if (w->index_count == w->index_capacity && !grow_index(w))
        return fail(w, HG_ERR_MEMORY);
    uint8_t *entry = w->index + w->index_count++ * HG__INDEX_ENTRY_SIZE;
    hg__put64(entry, w->file_offset);
    hg__put64(entry + 8, first);
    return HG_OK;
}

enum hg_status hg_trace_writer_flush(hg_trace_writer *w) {
    if (w->status != HG_OK)
        return fail(w, w->status);
    if (w->op_count == 0)
        return HG_OK;
    const uint64_t first = w->totals.operation_count - w->op_count;
    if (add_to_index(w, first) != HG_OK)
        return w->status;

    uint8_t *at = w->content;
    memcpy(at, "OPS1", 4);
    hg__put64(at + 4, first);
    hg__put32(at + 12, w->op_count);
    at += HG__BLOCK_HEADER_SIZE;
    for (int i = 0; i < HG__COLUMN_COUNT; i++) {
        const size_t length = (size_t)(w->end[i] - w->column[i]);
        hg__put32(w->content + 16 + 4 * i, (uint32_t)length);
        memcpy(at, w->column[i], length);
        at += length;
    }
    start_block(w);
    return write_frame(w, (size_t)(at - w->content));
}

/* ---- the end ---- */

static enum hg_status write_end(hg_trace_writer *w) {
    enum hg_status status = hg_trace_writer_flush(w);
    if (status != HG_OK)
        return status;
    const uint64_t index_offset = w->file_offset;
    memcpy(w->content, "INDX", 4);
    hg__put32(w->content + 4, (uint32_t)w->index_count);
    memcpy(w->content + 8, w->index, w->index_count * HG__INDEX_ENTRY_SIZE);
    status = write_frame(w, 8 + w->index_count * HG__INDEX_ENTRY_SIZE);
    if (status != HG_OK)
        return status;

    w->totals.live_bytes_end = w->live_bytes;
    w->totals.live_blocks_end = w->live_blocks;
    memcpy(w->content, "END1", 4);
    memcpy(w->content + 4, &w->totals, HG__TOTALS_SIZE);
    status = write_frame(w, 4 + HG__TOTALS_SIZE);
    if (status != HG_OK)
        return status;

    uint8_t tail[HG__TAIL_SIZE];
    hg__put32(tail, hg__tail_magic);
    hg__put32(tail + 4, HG__TAIL_SIZE - 8);
    hg__put64(tail + 8, index_offset);
    memcpy(tail + 16, hg__tail_mark, sizeof hg__tail_mark);
    return write_bytes(w, tail, sizeof tail);
}

enum hg_status hg_trace_writer_close(hg_trace_writer *w) {
    enum hg_status status = write_end(w);
    int error = w->error;
    const int fd = w->fd;
    w->fd = -1;
    if (close(fd) != 0 && status == HG_OK) {
        status = HG_ERR_SYSTEM;
        error = errno;
    }
    destroy(w);
    errno = error;
    return status;
}
