/* Property: whatever bytes a trace file holds, the reader either says what is wrong or hands out
 * well-formed operations, as many as it says; it never crashes, hangs or takes memory by the file's word.
 * And a line of text that parses prints and parses to the same operation.
 *
 * The first byte says how the rest becomes a file: as it is, as the content of a block in a sound frame
 * (else no byte gets past the checksum), or as damage to a sound trace. */
#define _GNU_SOURCE
#include "session.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "heapgauge/trace.h"

enum { FILE_BYTES_MAX = 64 << 10, FRAME_BYTES_MAX = 16 << 10 };

static const unsigned char file_begin[16] = {0x50, 0x2A, 0x4D, 0x18, 8, 0, 0, 0,
                                             'H',  'G',  'T',  1,    0, 0, 0, 0};

/* Appends a sound frame with the given content. Returns the new length. */
static size_t add_frame(unsigned char *file, size_t length, const void *content, size_t size) {
    static ZSTD_CCtx *context;
    if (!context)
        context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    size_t written = ZSTD_compress2(context, file + length, FILE_BYTES_MAX - length, content, size);
    return ZSTD_isError(written) ? length : length + written;
}

static size_t file_of_block(const uint8_t *data, size_t size, unsigned char *file) {
    unsigned char content[FRAME_BYTES_MAX] = "OPS1";
    size_t kept = size < sizeof content - 16 ? size : sizeof content - 16;
    bool whole = kept > 0 && data[0] & 1;
    if (whole)
        memset(content + 4, 0, 8); /* index of the first operation: 0, as it should be */
    memcpy(content + (whole ? 12 : 4), data, kept);
    memcpy(file, file_begin, sizeof file_begin);
    size_t length = add_frame(file, sizeof file_begin, "HEADprogram: x\n", 15);
    return add_frame(file, length, content, kept + (whole ? 12 : 4));
}

/* A sound trace of the operations that the bytes decode to, then bytes overwritten. */
static size_t file_of_damage(struct hg_fuzz_session *session, const uint8_t *data, size_t size,
                             int fd, const char *path, unsigned char *file) {
    hg_trace_writer *writer;
    hg_fuzz_decode(&session->decode, data, size, &session->decoded);
    if (hg_trace_writer_open(path, "program: x\n", &writer) != HG_OK)
        return 0;
    for (size_t i = 0; i < session->decoded.count; i++)
        if (hg_trace_writer_put(writer, &session->decoded.ops[i]) != HG_OK)
            break;
    if (hg_trace_writer_close(writer) != HG_OK)
        return 0;
    ssize_t length = pread(fd, file, FILE_BYTES_MAX, 0);
    for (size_t i = 0; length > 0 && i + 3 < size && i < 12; i += 3)
        file[(data[i] << 8 | data[i + 1]) % length] ^= data[i + 2];
    return length > 0 ? (size_t)length : 0;
}

static bool read_all(struct hg_fuzz_session *session, const char *path) {
    hg_trace_reader *reader;
    char why[300];
    if (hg_trace_reader_open(path, &reader, why, sizeof why) != HG_OK)
        return !*why && hg_fuzz_found(session, "R1", "refused without a reason");
    const hg_op *ops;
    size_t count;
    uint64_t first, seen = 0;
    enum hg_status status;
    bool found = false;
    while (!found && (status = hg_trace_reader_next(reader, &ops, &count, &first)) == HG_OK) {
        if (first != seen)
            found = hg_fuzz_found(session, "R2", "a block begins at operation %llu after %llu",
                                  (unsigned long long)first, (unsigned long long)seen);
        for (size_t i = 0; i < count && !found; i++)
            if (!hg_op_is_well_formed(&ops[i]))
                found = hg_fuzz_found(session, "R3", "operation %zu is not well-formed", i);
        seen += count;
    }
    if (!found && status != HG_END && !*hg_trace_reader_why(reader))
        found = hg_fuzz_found(session, "R1", "stopped without a reason");
    if (!found && hg_trace_reader_seek(reader, seen / 2) == HG_OK)
        (void)!hg_trace_reader_next(reader, &ops, &count, &first);
    hg_trace_reader_close(reader);
    session->log->operations += seen;
    return found;
}

static bool text_differs(struct hg_fuzz_session *session, const uint8_t *data, size_t size) {
    char line[160], again[160];
    hg_op op, second;
    size_t kept = size < sizeof line - 1 ? size : sizeof line - 1;
    memcpy(line, data, kept);
    line[kept] = '\0';
    if (!hg_op_parse(line, &op, NULL))
        return false;
    hg_op_print(&op, again, sizeof again);
    return (!hg_op_parse(again, &second, NULL) || memcmp(&op, &second, sizeof op) != 0) &&
           hg_fuzz_found(session, "R4", "'%s' reads as another operation than it prints", again);
}

static bool run(struct hg_fuzz_session *session, const uint8_t *data, size_t size) {
    static unsigned char file[FILE_BYTES_MAX];
    static int fd = -1;
    static char path[40];
    if (fd < 0) {
        fd = memfd_create("trace", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    session->log->inputs++;
    session->log->input_size = size < sizeof session->log->input ? (uint32_t)size : 0;
    memcpy(session->log->input, data, session->log->input_size);
    if (size < 1 || fd < 0)
        return false;
    unsigned mode = data[0] % 4;
    data++;
    size--;
    if (mode == 3)
        return text_differs(session, data, size);
    size_t length = size < FILE_BYTES_MAX ? size : FILE_BYTES_MAX;
    if (mode == 1)
        length = file_of_block(data, size, file);
    else if (mode == 2)
        length = file_of_damage(session, data, size, fd, path, file);
    else
        memcpy(file, data, length);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, file, length, 0) != (ssize_t)length)
        return false;
    return read_all(session, path);
}

extern const struct hg_fuzz_target hg_fuzz_target_trace_reader;
const struct hg_fuzz_target hg_fuzz_target_trace_reader = {
    .name = "trace_reader",
    .property = "a hostile trace is refused with a reason, and harms nothing",
    .decode = {.threads = 1},
    .run = run,
};
