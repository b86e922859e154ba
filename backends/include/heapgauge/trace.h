/* Traces: a stream on disk. This header is the one description of the format, byte by byte.
 *
 * A trace (.hgt) is a sequence of Zstandard frames (RFC 8878), so that `zstd -dc T.hgt` shows its
 * content with no tool of ours. All integers are little-endian. "varint" is LEB128 (7 bits a byte, low
 * first); "zigzag" maps signed to unsigned (0,-1,1,-2 -> 0,1,2,3) before it.
 *
 *   skippable frame, 16 bytes  50 2A 4D 18 | 08 00 00 00 | "HGT" version(1) | 0 0 0 0
 *   HEAD frame                 "HEAD", then text lines "key: value\n"
 *   OPS  frame ...             one block of operations each, decodable alone (below)
 *   INDX frame                 "INDX", u32 n, then n times: u64 file offset, u64 first operation;
 *                              of a very long trace only every 2nd, 4th ... block is listed
 *   END  frame                 "END1", then struct hg_trace_totals field by field as u64
 *   skippable frame, 24 bytes  5F 2A 4D 18 | 10 00 00 00 | u64 offset of INDX | "HGTTAIL1"
 *
 * Every data frame carries its content size and Zstandard's XXH64 checksum; its content is at most
 * HG_TRACE_BLOCK_BYTES_MAX. A file without END was cut: the recorder was killed, or the copy stopped.
 *
 * An OPS block holds its operations by column, which compresses better than by row:
 *
 *   "OPS1" | u64 index of its first operation | u32 n | u32 length in bytes of each of the 5 columns
 *   kinds    n bytes: kind in bits 0-4, bit 5 HG_OPF_FAILED, bit 6 slot as predicted,
 *            bit 7 same thread as the operation before (the first of a block: bit clear)
 *   threads  varint, for operations with bit 7 clear
 *   slots    zigzag varint of (slot - previous), where previous is the slot of the operation before in
 *            the block that named one (0 at first). For operations that have a slot and bit 6 clear;
 *            none for a failed allocation. HG_SLOT_NONE counts as -1 and leaves previous alone
 *   sizes    varint, for kinds that have a size (see operation.h)
 *   args     varint, for kinds that have an arg
 *
 * Predicted slot: the block keeps a stack, empty at its start; a freeing operation pushes its slot
 * (HG_SLOT_NONE is not pushed). An allocation that did not fail pops; its prediction is what it popped,
 * or, from an empty stack, the greatest slot in the block so far + 1 (0 at first). For every other
 * operation that has a slot the prediction is previous. Bit 6 is set whenever the prediction holds.
 *
 * What a trace holds: sizes, alignments, order, thread numbers. What it never holds: content of
 * memory, addresses, arguments, environment.
 *
 * Reading and writing are streamed: memory is bounded by one block, whatever the file's length. */
#ifndef HEAPGAUGE_TRACE_H
#define HEAPGAUGE_TRACE_H

#include "heapgauge/operation.h"
#include "heapgauge/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HG_TRACE_VERSION         1
#define HG_TRACE_BLOCK_OPS       65536u     /* operations a full block holds */
#define HG_TRACE_BLOCK_BYTES_MAX (4u << 20) /* a block's content, uncompressed */
#define HG_TRACE_SLOTS_MAX       (1u << 28) /* slots: 0 .. this - 1 */
#define HG_TRACE_THREADS_MAX     65535u

/* Totals, in the END frame in this order. Live bytes are those asked for. */
struct hg_trace_totals {
    uint64_t operation_count;
    uint64_t kind_count[32]; /* by enum hg_op_kind */
    uint64_t slot_count;     /* slots used: the greatest number + 1 */
    uint64_t thread_count;   /* thread numbers used: the greatest number + 1 */
    uint64_t live_bytes_peak;
    uint64_t live_bytes_peak_operation; /* index of the operation that reached it */
    uint64_t live_blocks_peak;
    uint64_t live_bytes_end; /* never freed */
    uint64_t live_blocks_end;
    uint64_t dropped_count;      /* events the recorder had to drop */
    uint64_t unknown_free_count; /* frees of blocks allocated before recording began */
    uint64_t was_cut;     /* 1: the program did not end in order (killed, or still running) */
    uint64_t exit_status; /* as waitpid gives it; UINT64_MAX: not known */
};

/* ---- writing ---- */
typedef struct hg_trace_writer hg_trace_writer;

/* Creates or truncates `path`. `header_text` is the HEAD frame's lines ("key: value\n"...). */
HG_WARN_UNUSED enum hg_status hg_trace_writer_open(const char *path, const char *header_text,
                                                   hg_trace_writer **out);
/* How hard to compress from the next block on: 1 (fast) .. 19; 3 when nothing is said. */
void hg_trace_writer_set_level(hg_trace_writer *writer, int level);
/* Appends one operation. Writes to the file once a block is full. One thread at a time.
 * HG_ERR_USAGE iff the operation is not well-formed or is HG_OP_WAIT; the trace is then as before. */
HG_WARN_UNUSED enum hg_status hg_trace_writer_put(hg_trace_writer *writer, const hg_op *op);
/* Appends `count` of them, for a third of the time of as many calls. HG_ERR_USAGE: up to the first that
 * is not well-formed. */
HG_WARN_UNUSED enum hg_status hg_trace_writer_put_many(hg_trace_writer *writer, const hg_op *ops,
                                                       size_t count);
/* Writes the block begun, so that everything put so far is readable after a kill. */
HG_WARN_UNUSED enum hg_status hg_trace_writer_flush(hg_trace_writer *writer);
/* What the writer counted so far; the recorder may set the last four fields before closing. */
struct hg_trace_totals *hg_trace_writer_totals(hg_trace_writer *writer);
/* Writes index and end, closes, frees the writer (also on failure). */
HG_WARN_UNUSED enum hg_status hg_trace_writer_close(hg_trace_writer *writer);

/* ---- reading ---- */
typedef struct hg_trace_reader hg_trace_reader;

/* Opens a trace. On failure *out is untouched and `why` (may be NULL) gets one line that says what is
 * wrong and at which byte. */
HG_WARN_UNUSED enum hg_status hg_trace_reader_open(const char *path, hg_trace_reader **out,
                                                   char *why, size_t why_size);
/* Makes all the reader's memory resident now (about 10 MiB), so that none of it is taken for the memory
 * of an allocator measured while it reads. */
void hg_trace_reader_settle(hg_trace_reader *reader);
/* The HEAD frame's text, NUL-terminated; owned by the reader. */
const char *hg_trace_reader_header(const hg_trace_reader *reader);
/* Copies the value of a header line into `value`. False iff there is no such key. */
bool hg_trace_reader_header_get(const hg_trace_reader *reader, const char *key, char *value,
                                size_t value_size);
/* Totals from the END frame, read at open when the file can be sought; NULL iff the trace is cut. */
const struct hg_trace_totals *hg_trace_reader_totals(const hg_trace_reader *reader);
/* Points *ops at the next block's operations (valid until the next call). HG_END after the last one,
 * once the totals in END have been compared with what was read; HG_ERR_CUT where the file stops early,
 * HG_ERR_FORMAT where it lies: hg_trace_reader_why() then says what and at which byte. Every operation
 * handed out is well-formed: kind known, slot and thread in range. */
HG_WARN_UNUSED enum hg_status hg_trace_reader_next(hg_trace_reader *reader, const hg_op **ops,
                                                   size_t *count, uint64_t *first_index);
const char *hg_trace_reader_why(const hg_trace_reader *reader);
/* Before the first hg_trace_reader_next: makes allocations known whose block the program touched in part only
 * (HG_OP_TOUCHED, which comes when it ends): they are handed out with HG_OPF_PARTLY, for the player. Reads the
 * trace once, if it holds such operations and can be sought, else does nothing; what is wrong with the trace
 * is left for next to find. Memory: 16 bytes for each such operation. HG_ERR_MEMORY, else HG_OK. */
HG_WARN_UNUSED enum hg_status hg_trace_reader_look_ahead(hg_trace_reader *reader);
/* Goes to the block that holds operation `index` (needs the index: a trace that was not cut). The
 * totals are no longer compared at the end. */
HG_WARN_UNUSED enum hg_status hg_trace_reader_seek(hg_trace_reader *reader, uint64_t index);
void hg_trace_reader_close(hg_trace_reader *reader);

#ifdef __cplusplus
}
#endif
#endif
