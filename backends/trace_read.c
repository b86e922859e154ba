/* Reading traces: frames from a file that may be cut, damaged or hostile; blocks into operations.
 *
 * Whatever the bytes are, memory is what open() mapped: a frame is decompressed only after its
 * declared size has been found small enough, every varint is bounded by its column, and every
 * number by what trace.h allows. */
#define _GNU_SOURCE
#include "heapgauge/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "trace_private.h"

enum {
    WHY_SIZE = 512,
    READ_SIZE = 256 << 10, /* bytes asked of the file at once */
    SKIPPABLE_SIZE_MAX = 64,
    FRAME_HEADER_SIZE_MAX = 18, /* of Zstandard */
    ZSTD_MAGIC_SIZE = 4,
    ZSTD_DESCRIPTOR_CHECKSUM = 4, /* bit 2 of the byte after the magic (RFC 8878, 3.1.1.1.1) */
    SLACK = 16                    /* zero bytes after the content */
};
#define SKIPPABLE_MAGIC_MASK 0xFFFFFFF0u

enum frame_kind { FRAME_DATA, FRAME_SKIPPABLE };

struct hg_trace_reader {
    int fd;
    bool can_seek;
    char *path;
    char why[WHY_SIZE];
    enum hg_status status; /* what next() goes on returning once it is not HG_OK */
    ZSTD_DCtx *dctx;

    uint8_t *buffers;
    size_t buffers_size;
    uint8_t *input; /* compressed bytes: input[input_at .. input_end) are not yet used */
    size_t input_capacity, input_at, input_end;
    uint64_t input_offset; /* where input[0] stands in the file */
    bool file_ended;

    uint8_t *content; /* of the frame read last */
    size_t content_size;
    uint64_t frame_offset; /* where that frame begins */
    char *header;
    size_t header_capacity;
    hg_op *ops;
    struct hg__predictor predictor;

    bool has_totals;
    struct hg_trace_totals totals; /* as END says */
    struct hg_trace_totals seen;   /* as counted: the first lines of it */
    uint64_t next_index;           /* of the operation to come */
    uint64_t index_offset;         /* of INDX; 0: not known */
    bool was_sought;
    size_t pending; /* operations decoded by seek() and not yet handed out */

    uint64_t first_block;    /* where the first block begins */
    struct touched *touched; /* by operation, after look_ahead; NULL: none */
    size_t touched_count, touched_at, touched_capacity;
};

/* An allocation whose block was touched in part. */
struct touched {
    uint64_t index, bytes;
};

/* Notes what is wrong at byte `offset`; returns `status`. */
__attribute__((format(printf, 4, 5))) static enum hg_status
fail(hg_trace_reader *r, enum hg_status status, uint64_t offset, const char *format, ...) {
    char what[WHY_SIZE / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(r->why, sizeof r->why, "%.200s: byte %" PRIu64 ": %s", r->path, offset, what);
    r->status = status;
    return status;
}

/* ---- bytes ---- */

/* Reads until `need` unused bytes are there or the file ends; the caller compares. */
static enum hg_status fill(hg_trace_reader *r, size_t need) {
    if (r->input_end - r->input_at >= need || r->file_ended)
        return HG_OK;
    if (r->input_at + need > r->input_capacity || r->input_at > r->input_capacity / 2) {
        memmove(r->input, r->input + r->input_at, r->input_end - r->input_at);
        r->input_offset += r->input_at;
        r->input_end -= r->input_at;
        r->input_at = 0;
    }
    while (r->input_end - r->input_at < need) {
        size_t room = r->input_capacity - r->input_end;
        if (room > READ_SIZE)
            room = READ_SIZE;
        const ssize_t length = read(r->fd, r->input + r->input_end, room);
        if (length < 0) {
            if (errno == EINTR)
                continue;
            return fail(r, HG_ERR_SYSTEM, r->input_offset + r->input_end, "cannot read: %s",
                        strerror(errno));
        }
        if (length == 0) {
            r->file_ended = true;
            break;
        }
        r->input_end += (size_t)length;
    }
    return HG_OK;
}

static size_t unused(const hg_trace_reader *r) {
    return r->input_end - r->input_at;
}

static uint64_t offset_now(const hg_trace_reader *r) {
    return r->input_offset + r->input_at;
}

static enum hg_status go_to(hg_trace_reader *r, uint64_t offset) {
    if (lseek(r->fd, (off_t)offset, SEEK_SET) < 0)
        return fail(r, HG_ERR_SYSTEM, offset, "cannot seek: %s", strerror(errno));
    r->input_at = r->input_end = 0;
    r->input_offset = offset;
    r->file_ended = false;
    return HG_OK;
}

/* ---- frames ---- */

static enum hg_status cut(hg_trace_reader *r) {
    return fail(r, HG_ERR_CUT, offset_now(r) + unused(r),
                "the file ends here, in mid-trace: its recorder or its copy was stopped");
}

/* Finds the length of the Zstandard frame that begins at the input, reading on until it is there.
 */
static enum hg_status find_frame(hg_trace_reader *r, size_t *length) {
    size_t need = FRAME_HEADER_SIZE_MAX;
    for (;;) {
        const enum hg_status status = fill(r, need);
        if (status != HG_OK)
            return status;
        *length = ZSTD_findFrameCompressedSize(r->input + r->input_at, unused(r));
        if (!ZSTD_isError(*length))
            return HG_OK;
        if (ZSTD_getErrorCode(*length) != ZSTD_error_srcSize_wrong)
            return fail(r, HG_ERR_FORMAT, r->frame_offset, "damaged frame: %s",
                        ZSTD_getErrorName(*length));
        if (r->file_ended)
            return cut(r);
        if (unused(r) == r->input_capacity)
            return fail(r, HG_ERR_FORMAT, r->frame_offset, "a frame longer than any block can be");
        need = unused(r) + READ_SIZE;
        if (need > r->input_capacity)
            need = r->input_capacity;
    }
}

/* Decompresses the data frame at the input into `content`. */
static enum hg_status read_data_frame(hg_trace_reader *r) {
    size_t length;
    const enum hg_status status = find_frame(r, &length);
    if (status != HG_OK)
        return status;
    const uint8_t *const frame = r->input + r->input_at;
    const unsigned long long size = ZSTD_getFrameContentSize(frame, length);
    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR)
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "a frame that does not say its size");
    if (size > HG_TRACE_BLOCK_BYTES_MAX)
        return fail(r, HG_ERR_FORMAT, r->frame_offset,
                    "a frame of %llu bytes; at most %u are allowed", size,
                    HG_TRACE_BLOCK_BYTES_MAX);
    if (!(frame[ZSTD_MAGIC_SIZE] & ZSTD_DESCRIPTOR_CHECKSUM))
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "a frame without checksum");
    r->content_size =
        ZSTD_decompressDCtx(r->dctx, r->content, HG_TRACE_BLOCK_BYTES_MAX, frame, length);
    if (ZSTD_isError(r->content_size) || r->content_size != size)
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "damaged frame: %s",
                    ZSTD_isError(r->content_size) ? ZSTD_getErrorName(r->content_size)
                                                  : "not of the size it says");
    memset(r->content + r->content_size, 0, SLACK);
    r->input_at += length;
    return HG_OK;
}

/* Copies the skippable frame at the input, head and all, into `content`. */
static enum hg_status read_skippable_frame(hg_trace_reader *r) {
    enum hg_status status = fill(r, 8);
    if (status != HG_OK)
        return status;
    if (unused(r) < 8)
        return cut(r);
    const uint32_t size = hg__get32(r->input + r->input_at + 4);
    if (size > SKIPPABLE_SIZE_MAX)
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "a skippable frame of %u bytes", size);
    status = fill(r, 8 + size);
    if (status != HG_OK)
        return status;
    if (unused(r) < 8 + size)
        return cut(r);
    r->content_size = 8 + size;
    memcpy(r->content, r->input + r->input_at, r->content_size);
    r->input_at += r->content_size;
    return HG_OK;
}

/* Reads the next frame, whichever it is. HG_ERR_CUT where the file ends. */
static enum hg_status read_frame(hg_trace_reader *r, enum frame_kind *kind) {
    const enum hg_status status = fill(r, ZSTD_MAGIC_SIZE);
    if (status != HG_OK)
        return status;
    r->frame_offset = offset_now(r);
    if (unused(r) < ZSTD_MAGIC_SIZE)
        return cut(r);
    const uint32_t magic = hg__get32(r->input + r->input_at);
    if ((magic & SKIPPABLE_MAGIC_MASK) == hg__start_magic) {
        *kind = FRAME_SKIPPABLE;
        return read_skippable_frame(r);
    }
    if (magic == ZSTD_MAGICNUMBER) {
        *kind = FRAME_DATA;
        return read_data_frame(r);
    }
    return fail(r, HG_ERR_FORMAT, r->frame_offset, "no frame begins here");
}

static bool content_is(const hg_trace_reader *r, const char *mark) {
    return r->content_size >= 4 && memcmp(r->content, mark, 4) == 0;
}

/* ---- the parts of a trace ---- */

static enum hg_status read_start(hg_trace_reader *r) {
    static const uint8_t expected[11] = {0x50, 0x2A, 0x4D, 0x18, 8, 0, 0, 0, 'H', 'G', 'T'};
    const enum hg_status status = fill(r, HG__START_SIZE);
    if (status != HG_OK)
        return status;
    if (unused(r) == 0)
        return fail(r, HG_ERR_CUT, 0, "the file is empty: no trace was written");
    const size_t there = unused(r) < sizeof expected ? unused(r) : sizeof expected;
    if (memcmp(r->input, expected, there) != 0)
        return fail(r, HG_ERR_FORMAT, 0,
                    "not a Heapgauge trace; one is made with `heapgauge record -o T.hgt -- CMD`");
    if (unused(r) < HG__START_SIZE)
        return cut(r);
    const unsigned version = r->input[11];
    if (version > HG_TRACE_VERSION)
        return fail(r, HG_ERR_VERSION, 11,
                    "format version %u; this Heapgauge reads up to %d: use a newer one", version,
                    HG_TRACE_VERSION);
    if (version == 0 || hg__get32(r->input + 12) != 0)
        return fail(r, HG_ERR_FORMAT, 11, "damaged start of a trace");
    r->input_at = HG__START_SIZE;
    return HG_OK;
}

static enum hg_status read_header(hg_trace_reader *r) {
    enum frame_kind kind;
    const enum hg_status status = read_frame(r, &kind);
    if (status != HG_OK)
        return status;
    const size_t length = r->content_size - 4;
    if (kind != FRAME_DATA || !content_is(r, "HEAD") || memchr(r->content + 4, 0, length))
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "no header where it should be");
    r->header_capacity = length + 1;
    r->header =
        mmap(NULL, r->header_capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r->header == MAP_FAILED) {
        r->header = NULL;
        return fail(r, HG_ERR_MEMORY, r->frame_offset, "out of memory");
    }
    memcpy(r->header, r->content + 4, length);
    return HG_OK;
}

static bool index_is_sound(const hg_trace_reader *r) {
    if (!content_is(r, "INDX") || r->content_size < 8)
        return false;
    const uint32_t count = hg__get32(r->content + 4);
    if (count > HG__INDEX_ENTRIES_MAX ||
        r->content_size != 8 + (size_t)count * HG__INDEX_ENTRY_SIZE)
        return false;
    uint64_t offset_min = HG__START_SIZE, first_min = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *const entry = r->content + 8 + (size_t)i * HG__INDEX_ENTRY_SIZE;
        const uint64_t offset = hg__get64(entry), first = hg__get64(entry + 8);
        if (offset < offset_min || offset >= r->frame_offset || first < first_min)
            return false;
        offset_min = offset + 1;
        first_min = first + 1;
    }
    return true;
}

static enum hg_status read_index(hg_trace_reader *r) {
    enum frame_kind kind;
    const enum hg_status status = read_frame(r, &kind);
    if (status != HG_OK)
        return status;
    if (kind != FRAME_DATA || !index_is_sound(r))
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "no sound index where it should be");
    return HG_OK;
}

static enum hg_status read_end(hg_trace_reader *r, struct hg_trace_totals *totals) {
    enum frame_kind kind;
    const enum hg_status status = read_frame(r, &kind);
    if (status != HG_OK)
        return status;
    if (kind != FRAME_DATA || !content_is(r, "END1") || r->content_size != 4 + HG__TOTALS_SIZE)
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "no totals where they should be");
    memcpy(totals, r->content + 4, HG__TOTALS_SIZE);
    return HG_OK;
}

/* Reads the totals by way of the tail, then comes back to the first block. A file without tail is
 * cut: no totals, and no error before next() gets there. */
static enum hg_status read_totals(hg_trace_reader *r) {
    struct stat facts;
    uint8_t tail[HG__TAIL_SIZE];
    const uint64_t first_block = r->first_block = offset_now(r);

    r->can_seek = fstat(r->fd, &facts) == 0 && S_ISREG(facts.st_mode);
    if (!r->can_seek || (uint64_t)facts.st_size < first_block + HG__TAIL_SIZE)
        return HG_OK;
    const uint64_t tail_offset = (uint64_t)facts.st_size - HG__TAIL_SIZE;
    if (pread(r->fd, tail, sizeof tail, (off_t)tail_offset) != HG__TAIL_SIZE ||
        hg__get32(tail) != hg__tail_magic || hg__get32(tail + 4) != HG__TAIL_SIZE - 8 ||
        memcmp(tail + 16, hg__tail_mark, sizeof hg__tail_mark) != 0)
        return HG_OK;
    const uint64_t index_offset = hg__get64(tail + 8);
    if (index_offset < first_block || index_offset >= tail_offset)
        return fail(r, HG_ERR_FORMAT, tail_offset + 8, "the tail points outside the trace");
    enum hg_status status = go_to(r, index_offset);
    if (status == HG_OK)
        status = read_index(r);
    if (status == HG_OK)
        status = read_end(r, &r->totals);
    if (status == HG_OK && offset_now(r) != tail_offset)
        status = fail(r, HG_ERR_FORMAT, offset_now(r), "no tail where it should be");
    if (status != HG_OK)
        return status;
    r->has_totals = true;
    r->index_offset = index_offset;
    return go_to(r, first_block);
}

/* ---- open and close ---- */

static bool map_buffers(hg_trace_reader *r) {
    const size_t ops_size = (size_t)HG_TRACE_BLOCK_OPS * sizeof *r->ops;
    const size_t stack_size = (size_t)HG_TRACE_BLOCK_OPS * sizeof *r->predictor.stack;
    const size_t content_size = HG_TRACE_BLOCK_BYTES_MAX + 4096;
    _Static_assert(SLACK <= 4096, "the slack fits");
    r->input_capacity = ZSTD_compressBound(HG_TRACE_BLOCK_BYTES_MAX) + READ_SIZE;
    r->buffers_size = ops_size + stack_size + content_size + r->input_capacity;
    void *const memory = mmap(NULL, r->buffers_size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    r->buffers = memory;
    r->ops = memory;
    r->predictor.stack = (uint32_t *)(void *)(r->buffers + ops_size);
    r->content = r->buffers + ops_size + stack_size;
    r->input = r->content + content_size;
    return true;
}

static enum hg_status open_file(hg_trace_reader *r, const char *path) {
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) {
        snprintf(r->why, sizeof r->why, "%.200s: cannot open: %s", path, strerror(errno));
        return HG_ERR_SYSTEM;
    }
    r->dctx = ZSTD_createDCtx();
    if (!r->dctx || !map_buffers(r)) {
        snprintf(r->why, sizeof r->why, "%.200s: out of memory", path);
        return HG_ERR_MEMORY;
    }
    enum hg_status status = read_start(r);
    if (status == HG_OK)
        status = read_header(r);
    if (status == HG_OK)
        status = read_totals(r);
    return status;
}

void hg_trace_reader_settle(hg_trace_reader *r) {
    for (size_t at = 0; at < r->buffers_size; at += 4096) {
        volatile uint8_t *const byte = r->buffers + at;
        *byte = *byte;
    }
}

enum hg_status hg_trace_reader_open(const char *path, hg_trace_reader **out, char *why,
                                    size_t why_size) {
    hg_trace_reader *const r = calloc(1, sizeof *r);
    enum hg_status status = HG_ERR_MEMORY;
    if (r) {
        r->fd = -1;
        r->path = strdup(path);
        if (r->path)
            status = open_file(r, path);
    }
    if (status == HG_OK) {
        *out = r;
        return HG_OK;
    }
    const int error = errno;
    if (why && why_size)
        snprintf(why, why_size, "%s", r && r->why[0] ? r->why : "out of memory");
    if (r)
        hg_trace_reader_close(r);
    errno = error;
    return status;
}

void hg_trace_reader_close(hg_trace_reader *r) {
    ZSTD_freeDCtx(r->dctx);
    if (r->buffers)
        munmap(r->buffers, r->buffers_size);
    if (r->header)
        munmap(r->header, r->header_capacity);
    if (r->touched)
        munmap(r->touched, r->touched_capacity * sizeof *r->touched);
    if (r->fd >= 0)
        close(r->fd);
    free(r->path);
    free(r);
}

const char *hg_trace_reader_header(const hg_trace_reader *r) {
    return r->header;
}

bool hg_trace_reader_header_get(const hg_trace_reader *r, const char *key, char *value,
                                size_t value_size) {
    const size_t key_length = strlen(key);
    for (const char *line = r->header; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, key, key_length) != 0 || line[key_length] != ':')
            continue;
        line += key_length + 1;
        line += strspn(line, " ");
        snprintf(value, value_size, "%.*s", (int)strcspn(line, "\n"), line);
        return true;
    }
    return false;
}

const struct hg_trace_totals *hg_trace_reader_totals(const hg_trace_reader *r) {
    return r->has_totals ? &r->totals : NULL;
}

const char *hg_trace_reader_why(const hg_trace_reader *r) {
    return r->why;
}

/* ---- blocks ---- */

/* One column being read. */
struct column {
    const uint8_t *at, *end;
};

/* Takes a varint of at most 64 bits. False iff the column ends within it or it is too long. */
static bool take_varint_long(struct column *column, uint64_t *value) {
    uint64_t result = 0;
    for (unsigned shift = 0; column->at < column->end; shift += 7) {
        const uint64_t byte = *column->at++;
        if (shift == 63 && byte > 1)
            return false;
        result |= (byte & 127) << shift;
        if (byte < 128) {
            *value = result;
            return true;
        }
    }
    return false;
}

static inline bool take_varint(struct column *column, uint64_t *value) {
    if (__builtin_expect(column->at < column->end && *column->at < 128, 1)) {
        *value = *column->at++;
        return true;
    }
    return take_varint_long(column, value);
}

/* The columns of the block in `content`, in the order of trace.h. */
static bool find_columns(const hg_trace_reader *r, uint32_t op_count,
                         struct column column[HG__COLUMN_COUNT]) {
    const uint8_t *at = r->content + HG__BLOCK_HEADER_SIZE;
    const uint8_t *const end = r->content + r->content_size;
    for (int i = 0; i < HG__COLUMN_COUNT; i++) {
        const uint32_t length = hg__get32(r->content + 16 + 4 * i);
        if (length > (size_t)(end - at))
            return false;
        column[i].at = at;
        column[i].end = at += length;
    }
    return at == end && (size_t)(column[0].end - column[0].at) == op_count;
}

/* Decodes the slot of an operation that may name one. */
static inline bool take_slot(struct hg__predictor *p, struct column *column, unsigned kind_byte,
                             unsigned facts, hg_op *op) {
    const bool failed = kind_byte & HG__KIND_FAILED;
    if (facts & HG__OP_MAKES && failed)
        return !(kind_byte & HG__KIND_PREDICTED);
    const uint32_t previous = p->slot_previous;
    uint32_t slot;
    if (kind_byte & HG__KIND_PREDICTED) {
        slot = hg__predict(p, facts);
    } else {
        uint64_t delta;
        if (!take_varint(column, &delta))
            return false;
        const int64_t sum =
            (int64_t)((uint64_t)previous + ((delta >> 1) ^ (0 - (delta & 1)))); /* may wrap */
        if (sum == -1)
            return !(facts & HG__OP_MAKES) && (failed || !(facts & HG__OP_MOVES));
        if (sum < 0 || sum >= HG_TRACE_SLOTS_MAX)
            return false;
        slot = (uint32_t)sum;
        (void)hg__predict(p, facts); /* it pops even where it was wrong */
    }
    if (slot >= HG_TRACE_SLOTS_MAX)
        return false;
    hg__predictor_learn(p, facts, slot);
    op->slot = slot;
    return true;
}

/* Decodes `op_count` operations. Returns how many were well-formed: op_count iff all. */
static uint32_t decode_ops(hg_trace_reader *r, struct column column[HG__COLUMN_COUNT],
                           uint32_t op_count) {
    struct column threads = column[1], slots = column[2], sizes = column[3], args = column[4];
    struct hg__predictor p = r->predictor;
    uint64_t thread = 0, thread_max = 0;
    uint32_t i;
    hg__predictor_start(&p);
    for (i = 0; i < op_count; i++) {
        const unsigned kind_byte = column[0].at[i];
        const unsigned facts = hg__op_facts[kind_byte & HG__KIND_MASK];
        hg_op op = {(uint8_t)(kind_byte & HG__KIND_MASK), 0, 0, HG_SLOT_NONE, 0, 0};
        if (!(facts & HG__OP_KNOWN) || facts & HG__OP_UNSTORED)
            break;
        if (kind_byte & HG__KIND_FAILED) {
            if (!(facts & (HG__OP_MAKES | HG__OP_MOVES)))
                break;
            op.flags = HG_OPF_FAILED;
        }
        if (!(kind_byte & HG__KIND_SAME_THREAD)) {
            if (!take_varint(&threads, &thread) || thread >= HG_TRACE_THREADS_MAX)
                break;
            if (thread > thread_max)
                thread_max = thread;
        } else if (i == 0) {
            break;
        }
        op.thread = (uint16_t)thread;
        if (facts & HG__OP_SLOT ? !take_slot(&p, &slots, kind_byte, facts, &op)
                                : kind_byte & HG__KIND_PREDICTED)
            break;
        if (facts & HG__OP_SIZE && !take_varint(&sizes, &op.size))
            break;
        if (facts & HG__OP_ARG && !take_varint(&args, &op.arg))
            break;
        if (op.kind == HG_OP_THREAD_START && op.arg >= HG_TRACE_THREADS_MAX)
            break;
        if (hg__op_is_native(op.kind) && !hg_native_arg_is_sound(op.kind, op.arg))
            break;
        r->seen.kind_count[op.kind]++;
        r->ops[i] = op;
    }
    if (i == op_count && (threads.at != threads.end || slots.at != slots.end ||
                          sizes.at != sizes.end || args.at != args.end))
        i--; /* bytes left over: as wrong as bytes missing */
    if (p.slot_fresh > r->seen.slot_count)
        r->seen.slot_count = p.slot_fresh;
    if (thread_max + 1 > r->seen.thread_count)
        r->seen.thread_count = thread_max + 1;
    return i;
}

/* Marks those of the block's operations, from `first` on, of which look_ahead found that their block was
 * touched in part. */
static void mark_touched(hg_trace_reader *r, uint64_t first, uint32_t count) {
    for (; r->touched_at < r->touched_count; r->touched_at++) {
        const struct touched *const t = &r->touched[r->touched_at];
        if (t->index >= first + count)
            break;
        hg_op *const op = &r->ops[t->index - first];
        if (t->index >= first && !(op->flags & HG_OPF_PARTLY) && t->bytes < hg__op_bytes(op))
            hg__op_mark_partly(op, t->bytes);
    }
}

/* Decodes the OPS block in `content`. */
static enum hg_status decode_block(hg_trace_reader *r, uint32_t *op_count) {
    struct column column[HG__COLUMN_COUNT];
    if (r->content_size < HG__BLOCK_HEADER_SIZE)
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "a block too short for its head");
    const uint64_t first = hg__get64(r->content + 4);
    const uint32_t count = hg__get32(r->content + 12);
    if (count == 0 || count > HG_TRACE_BLOCK_OPS)
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "a block of %u operations", count);
    if (first != r->next_index)
        return fail(r, HG_ERR_FORMAT, r->frame_offset,
                    "a block begins with operation %" PRIu64 " where %" PRIu64 " should come",
                    first, r->next_index);
    if (!find_columns(r, count, column))
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "a block whose columns do not add up");
    const uint32_t good = decode_ops(r, column, count);
    if (good != count)
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "operation %" PRIu64 " is malformed",
                    first + good);
    mark_touched(r, first, count);
    r->next_index += count;
    r->seen.operation_count += count;
    *op_count = count;
    return HG_OK;
}

/* Compares what END says with what was read. */
static enum hg_status compare_totals(hg_trace_reader *r, const struct hg_trace_totals *end) {
    if (r->was_sought)
        return HG_OK;
    if (end->operation_count != r->seen.operation_count ||
        memcmp(end->kind_count, r->seen.kind_count, sizeof end->kind_count) != 0 ||
        end->slot_count != r->seen.slot_count || end->thread_count != r->seen.thread_count)
        return fail(r, HG_ERR_FORMAT, r->frame_offset,
                    "the totals say %" PRIu64 " operations and do not match the %" PRIu64 " read",
                    end->operation_count, r->seen.operation_count);
    return HG_OK;
}

/* END, the tail, and nothing after it. */
static enum hg_status finish(hg_trace_reader *r) {
    struct hg_trace_totals end;
    enum frame_kind kind;
    const uint64_t index_offset = r->frame_offset;

    if (!index_is_sound(r))
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "no sound index where it should be");
    enum hg_status status = read_end(r, &end);
    if (status == HG_OK)
        status = compare_totals(r, &end);
    if (status == HG_OK)
        status = read_frame(r, &kind);
    if (status != HG_OK)
        return status;
    if (kind != FRAME_SKIPPABLE || r->content_size != HG__TAIL_SIZE ||
        hg__get32(r->content) != hg__tail_magic || hg__get64(r->content + 8) != index_offset ||
        memcmp(r->content + 16, hg__tail_mark, sizeof hg__tail_mark) != 0)
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "no tail where it should be");
    status = fill(r, 1);
    if (status != HG_OK)
        return status;
    if (unused(r))
        return fail(r, HG_ERR_FORMAT, offset_now(r), "bytes after the end of the trace");
    r->totals = end;
    r->has_totals = true;
    return HG_END;
}

/* Reads the next block, or the end. */
static enum hg_status read_block(hg_trace_reader *r, uint32_t *op_count) {
    enum frame_kind kind;
    const enum hg_status status = read_frame(r, &kind);
    if (status != HG_OK)
        return status;
    if (kind == FRAME_DATA && content_is(r, "OPS1"))
        return decode_block(r, op_count);
    if (kind == FRAME_DATA && content_is(r, "INDX"))
        return finish(r);
    return fail(r, HG_ERR_FORMAT, r->frame_offset, "neither a block nor the index");
}

enum hg_status hg_trace_reader_next(hg_trace_reader *r, const hg_op **ops, size_t *count,
                                    uint64_t *first_index) {
    uint32_t op_count = (uint32_t)r->pending;
    if (r->status != HG_OK)
        return r->status;
    r->pending = 0;
    if (op_count == 0)
        r->status = read_block(r, &op_count);
    if (r->status != HG_OK)
        return r->status;
    *ops = r->ops;
    *count = op_count;
    if (first_index)
        *first_index = r->next_index - op_count;
    return HG_OK;
}

/* ---- looking ahead ---- */

static void *map_zeroed(size_t size) {
    void *const memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int by_index(const void *a, const void *b) {
    const struct touched *const x = a, *const y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Adds what the operations of one block tell to the `found` so far, and returns how many it is then;
 * made[slot]: the operation that last made or moved its block, + 1. */
static size_t find_touched(const hg_trace_reader *r, struct touched *touched, size_t found,
                           uint64_t *made, const hg_op *ops, size_t count, uint64_t first) {
    for (size_t i = 0; i < count; i++) {
        const unsigned facts = hg__op_facts[ops[i].kind];
        const uint32_t slot = ops[i].slot;
        if (slot >= r->totals.slot_count) /* none, or of a trace whose totals lie */
            continue;
        if (facts & (HG__OP_MAKES | HG__OP_MOVES) && !(ops[i].flags & HG_OPF_FAILED) &&
            !hg__op_is_native(ops[i].kind))
            made[slot] = first + i + 1;
        else if (facts & HG__OP_ENDS)
            made[slot] = 0;
        else if (ops[i].kind == HG_OP_TOUCHED && made[slot] && found < r->touched_capacity)
            touched[found++] = (struct touched){made[slot] - 1, ops[i].size};
    }
    return found;
}

enum hg_status hg_trace_reader_look_ahead(hg_trace_reader *r) {
    const size_t slot_count = r->totals.slot_count;
    const hg_op *ops;
    size_t count, found = 0;
    uint64_t first;
    if (!r->has_totals || !r->can_seek || r->status != HG_OK ||
        r->totals.kind_count[HG_OP_TOUCHED] == 0 || slot_count > HG_TRACE_SLOTS_MAX)
        return HG_OK;
    r->touched_capacity = r->totals.kind_count[HG_OP_TOUCHED];
    if (r->touched_capacity > r->totals.operation_count) /* the totals lie: next says so */
        return HG_OK;
    uint64_t *const made = map_zeroed(slot_count * sizeof *made);
    struct touched *const touched = map_zeroed(r->touched_capacity * sizeof *touched);
    if (made && touched) {
        while (hg_trace_reader_next(r, &ops, &count, &first) == HG_OK)
            found = find_touched(r, touched, found, made, ops, count, first);
        qsort(touched, found, sizeof *touched, by_index);
    }
    if (made)
        munmap(made, slot_count * sizeof *made);
    if (!made || !touched)
        return fail(r, HG_ERR_MEMORY, 0, "out of memory for the blocks touched in part");
    r->touched = touched;
    r->touched_count = found;
    r->next_index = 0;
    r->seen = (struct hg_trace_totals){0};
    r->why[0] = '\0';
    r->status = HG_OK;
    return r->status = go_to(r, r->first_block);
}

/* ---- seeking ---- */

/* Where to begin walking to operation `index`: the last listed block that is not past it. */
static enum hg_status look_up(hg_trace_reader *r, uint64_t index, uint64_t *offset) {
    enum hg_status status = go_to(r, r->index_offset);
    if (status == HG_OK)
        status = read_index(r);
    if (status != HG_OK)
        return status;
    uint32_t low = 0, high = hg__get32(r->content + 4);
    while (low + 1 < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (hg__get64(r->content + 8 + (size_t)middle * HG__INDEX_ENTRY_SIZE + 8) <= index)
            low = middle;
        else
            high = middle;
    }
    if (low == high)
        return fail(r, HG_ERR_FORMAT, r->index_offset, "an index without entries");
    const uint8_t *const entry = r->content + 8 + (size_t)low * HG__INDEX_ENTRY_SIZE;
    *offset = hg__get64(entry);
    r->next_index = hg__get64(entry + 8);
    return HG_OK;
}

enum hg_status hg_trace_reader_seek(hg_trace_reader *r, uint64_t index) {
    uint64_t offset = 0;
    uint32_t op_count = 0;
    if (!r->index_offset || index >= r->totals.operation_count)
        return HG_ERR_USAGE;
    r->was_sought = true;
    r->touched_at = r->touched_count; /* what comes is not marked */
    r->pending = 0;
    r->status = HG_OK;
    r->why[0] = '\0';
    r->status = look_up(r, index, &offset);
    if (r->status == HG_OK)
        r->status = go_to(r, offset);
    while (r->status == HG_OK && r->next_index <= index)
        r->status = read_block(r, &op_count);
    if (r->status == HG_END)
        return fail(r, HG_ERR_FORMAT, r->frame_offset, "fewer operations than the totals say");
    if (r->status == HG_OK && op_count == 0)
        return fail(r, HG_ERR_FORMAT, r->index_offset, "an index that skips operations");
    r->pending = r->status == HG_OK ? op_count : 0;
    return r->status;
}
