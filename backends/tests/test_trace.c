/* Traces: what is written reads back; what was cut or damaged is told with its byte, never
 * believed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <zstd.h>

#include "heapgauge/native.h"
#include "heapgauge/trace.h"

/* ---- a folder for the files, a generator for the streams ---- */

static char folder[64];
static char trace_path[128], other_path[128];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/heapgauge-trace-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(trace_path, sizeof trace_path, "%s/a.hgt", folder);
    snprintf(other_path, sizeof other_path, "%s/b.hgt", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(trace_path);
    unlink(other_path);
    return rmdir(folder);
}

static uint64_t seed_of_this_run = 20240501;

static uint64_t random_next(uint64_t *seed) { /* splitmix64 */
    uint64_t z = *seed += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* A number of any magnitude, edges included. */
static uint64_t random_number(uint64_t *seed) {
    switch (random_next(seed) % 8) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return (uint64_t)1 << random_next(seed) % 64;
    default:
        return random_next(seed) >> random_next(seed) % 64;
    }
}

/* Any well-formed operation that a trace may hold. */
static hg_op random_op(uint64_t *seed, uint32_t slot_limit) {
    for (;;) {
        hg_op op = {(uint8_t)(random_next(seed) % HG_OP_KIND_COUNT), 0, 0, HG_SLOT_NONE, 0, 0};
        op.thread =
            (uint16_t)(random_next(seed) % 4 ? 0 : random_next(seed) % HG_TRACE_THREADS_MAX);
        if (random_next(seed) % 8 == 0)
            op.flags = HG_OPF_FAILED;
        if (hg_op_has_slot(op.kind) && random_next(seed) % 8)
            op.slot = (uint32_t)(random_next(seed) % slot_limit);
        if (hg_op_has_size(op.kind))
            op.size = random_number(seed);
        if (hg_op_has_arg(op.kind))
            op.arg = random_number(seed);
        if (op.kind == HG_OP_THREAD_START)
            op.arg %= HG_TRACE_THREADS_MAX;
        if (op.kind >= HG_OP_NATIVE_ALLOC && op.kind <= HG_OP_NATIVE_LOOK)
            op.arg = hg_native_arg((enum hg_native)(random_next(seed) % HG_NATIVE_COUNT),
                                   random_next(seed) % 2 ? 0 : random_next(seed) % 64,
                                   random_next(seed) % 2, (uint32_t)random_next(seed) % 3);
        if (hg_op_is_well_formed(&op) && op.kind != HG_OP_WAIT)
            return op;
    }
}

static hg_trace_writer *open_writer(const char *path) {
    hg_trace_writer *writer = NULL;
    assert_int_equal(hg_trace_writer_open(path, "program: test\nthreads: 3\n", &writer), HG_OK);
    return writer;
}

static void write_trace(const char *path, const hg_op *ops, size_t count, size_t flush_every) {
    hg_trace_writer *writer = open_writer(path);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(hg_trace_writer_put(writer, &ops[i]), HG_OK);
        if (flush_every && i % flush_every == flush_every - 1)
            assert_int_equal(hg_trace_writer_flush(writer), HG_OK);
    }
    assert_int_equal(hg_trace_writer_close(writer), HG_OK);
}

static bool same(const hg_op *a, const hg_op *b) {
    return a->kind == b->kind && a->flags == b->flags && a->thread == b->thread &&
           a->slot == b->slot && a->size == b->size && a->arg == b->arg;
}

/* Reads a whole trace and compares it with the first of `ops`. Returns how it ended; *read_count
 * says how many operations came before that, all equal to `ops`. */
static enum hg_status read_trace(const char *path, const hg_op *ops, size_t count,
                                 size_t *read_count, char *why, size_t why_size) {
    hg_trace_reader *reader = NULL;
    *read_count = 0;
    enum hg_status status = hg_trace_reader_open(path, &reader, why, why_size);
    if (status != HG_OK)
        return status;
    const hg_op *block;
    size_t block_count;
    uint64_t first;
    while ((status = hg_trace_reader_next(reader, &block, &block_count, &first)) == HG_OK) {
        assert_int_equal(first, *read_count);
        assert_true(block_count > 0 && *read_count + block_count <= count);
        for (size_t i = 0; i < block_count; i++)
            assert_true(same(&block[i], &ops[*read_count + i]));
        *read_count += block_count;
    }
    assert_int_equal(hg_trace_reader_next(reader, &block, &block_count, &first), status);
    snprintf(why, why_size, "%s", hg_trace_reader_why(reader));
    hg_trace_reader_close(reader);
    return status;
}

static void assert_round_trip(const hg_op *ops, size_t count, size_t flush_every) {
    size_t read_count;
    char why[512];
    write_trace(trace_path, ops, count, flush_every);
    const enum hg_status status = read_trace(trace_path, ops, count, &read_count, why, sizeof why);
    if (status != HG_END)
        print_error("%s\n", why);
    assert_int_equal(status, HG_END);
    assert_int_equal(read_count, count);
}

static hg_op *random_ops(size_t count, uint64_t seed, uint32_t slot_limit) {
    hg_op *ops = malloc(count * sizeof *ops);
    assert_non_null(ops);
    for (size_t i = 0; i < count; i++)
        ops[i] = random_op(&seed, slot_limit);
    return ops;
}

/* ---- round trips ---- */

static void every_kind_and_edge_round_trips(void **state) {
    static const uint64_t edges[] = {
        0,         1,         127, 128, 16383, 16384, 1 << 30, UINT32_MAX, UINT64_C(1) << 32,
        INT64_MAX, UINT64_MAX};
    static const uint32_t slots[] = {0, 1, 63, 64, 8191, HG_TRACE_SLOTS_MAX - 1, HG_SLOT_NONE};
    static const uint16_t threads[] = {0, 1, 127, 128, 16384, HG_TRACE_THREADS_MAX - 1};
    hg_op *ops = malloc(1000000 * sizeof *ops);
    size_t count = 0;
    (void)state;
    for (unsigned kind = 0; kind < HG_OP_KIND_COUNT; kind++)
        for (unsigned flags = 0; flags < 2; flags++)
            for (size_t s = 0; s < 7; s++)
                for (size_t t = 0; t < 6; t++)
                    for (size_t e = 0; e < 11; e++)
                        for (size_t a = 0; a < 11; a++) {
                            const hg_op op = {(uint8_t)kind, (uint8_t)flags, threads[t],
                                              slots[s],      edges[e],       edges[a]};
                            if (hg_op_is_well_formed(&op) && kind != HG_OP_WAIT)
                                ops[count++] = op;
                        }
    assert_true(count > 10000 && count < 1000000);
    assert_round_trip(ops, count, 0);
    assert_round_trip(ops, 1000, 1);
    free(ops);
}

static void random_streams_round_trip(void **state) {
    static const struct {
        size_t count, flush_every;
        uint32_t slot_limit;
    } cases[] = {{0, 0, 1},
                 {1, 0, 1},
                 {HG_TRACE_BLOCK_OPS - 1, 0, 100},
                 {HG_TRACE_BLOCK_OPS, 0, 100},
                 {HG_TRACE_BLOCK_OPS + 1, 0, 100},
                 {200000, 777, 5},
                 {150000, 0, HG_TRACE_SLOTS_MAX}};
    (void)state;
    print_message("seed %" PRIu64 "\n", seed_of_this_run);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hg_op *ops = random_ops(cases[i].count, seed_of_this_run + i, cases[i].slot_limit);
        assert_round_trip(ops, cases[i].count, cases[i].flush_every);
        free(ops);
    }
}

static hg_trace_reader *open_reader(const char *path) {
    hg_trace_reader *reader = NULL;
    char why[256];
    if (hg_trace_reader_open(path, &reader, why, sizeof why) != HG_OK)
        fail_msg("%s", why);
    return reader;
}

/* What the totals should be, by the plainest account. */
static struct hg_trace_totals count_totals(const hg_op *ops, size_t count) {
    struct hg_trace_totals t = {.operation_count = count, .exit_status = UINT64_MAX};
    static uint64_t bytes[64];
    static bool is_live[64];
    uint64_t live_bytes = 0, live_blocks = 0;
    memset(is_live, 0, sizeof is_live);
    for (size_t i = 0; i < count; i++) {
        const hg_op *const op = &ops[i];
        t.kind_count[op->kind]++;
        if (op->thread >= t.thread_count)
            t.thread_count = op->thread + 1u;
        if (op->slot == HG_SLOT_NONE)
            continue;
        if (op->slot >= t.slot_count)
            t.slot_count = op->slot + 1u;
        const bool makes = (hg_op_allocates(op->kind) || hg_op_reallocates(op->kind)) &&
                           !(op->flags & HG_OPF_FAILED);
        if ((makes || hg_op_frees(op->kind)) && is_live[op->slot]) {
            live_bytes -= bytes[op->slot];
            live_blocks--;
            is_live[op->slot] = false;
        }
        if (makes) {
            bytes[op->slot] = hg_op_bytes(op);
            live_bytes += bytes[op->slot];
            live_blocks++;
            is_live[op->slot] = true;
        }
        if (live_bytes > t.live_bytes_peak) {
            t.live_bytes_peak = live_bytes;
            t.live_bytes_peak_operation = i;
        }
        if (live_blocks > t.live_blocks_peak)
            t.live_blocks_peak = live_blocks;
    }
    t.live_bytes_end = live_bytes;
    t.live_blocks_end = live_blocks;
    return t;
}

/* Mostly mallocs and frees, whatever is in the slot: written in pieces of any length they make the
 * trace that they make one by one, and the totals are what a plain account says. */
static void pieces_make_the_same_trace(void **state) {
    enum { COUNT = 150000 };
    hg_op *ops = random_ops(COUNT, seed_of_this_run, 64);
    uint64_t seed = seed_of_this_run;
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        const uint64_t random = random_next(&seed);
        const uint16_t thread = random >> 50 & 15 ? 0 : (uint16_t)(random >> 60);
        if (random & 7)
            ops[i] = random & 1 << 8 ? (hg_op){HG_OP_FREE, 0, thread, random >> 16 & 63, 0, 0}
                                     : (hg_op){HG_OP_MALLOC,         0, thread, random >> 16 & 63,
                                               random >> 32 & 65535, 0};
        else if (hg_op_bytes(&ops[i]) > UINT64_C(1) << 40)
            ops[i] = (hg_op){HG_OP_FREE, 0, 0, HG_SLOT_NONE, 0, 0};
    }
    write_trace(trace_path, ops, COUNT, 0);
    hg_trace_writer *writer = open_writer(other_path);
    for (size_t i = 0, n; i < COUNT; i += n) {
        n = random_next(&seed) % 600;
        n = n < COUNT - i ? n : COUNT - i;
        assert_int_equal(hg_trace_writer_put_many(writer, ops + i, n), HG_OK);
    }
    assert_int_equal(hg_trace_writer_close(writer), HG_OK);

    const struct hg_trace_totals expected = count_totals(ops, COUNT);
    const char *const paths[] = {trace_path, other_path};
    for (int i = 0; i < 2; i++) {
        size_t read_count;
        char why[256];
        assert_int_equal(read_trace(paths[i], ops, COUNT, &read_count, why, sizeof why), HG_END);
        assert_int_equal(read_count, COUNT);
        hg_trace_reader *const reader = open_reader(paths[i]);
        assert_memory_equal(hg_trace_reader_totals(reader), &expected, sizeof expected);
        hg_trace_reader_close(reader);
    }
    free(ops);
}

static void totals_and_header(void **state) {
    static const hg_op ops[] = {
        {HG_OP_MALLOC, 0, 0, 0, 100, 0},
        {HG_OP_CALLOC, 0, 0, 1, 10, 5},
        {HG_OP_REALLOC, 0, 2, 0, 300, 0},
        {HG_OP_REALLOC, HG_OPF_FAILED, 2, 0, 900, 0},
        {HG_OP_FREE, 0, 1, 0, 0, 0},
        {HG_OP_MALLOC, 0, 1, 0, 7, 0},
        {HG_OP_FREE, 0, 0, HG_SLOT_NONE, 0, 0},
    };
    hg_trace_reader *reader;
    char value[8];
    (void)state;
    hg_trace_writer *writer = open_writer(trace_path);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(hg_trace_writer_put(writer, &ops[i]), HG_OK);
    hg_trace_writer_totals(writer)->dropped_count = 11;
    hg_trace_writer_totals(writer)->unknown_free_count = 12;
    hg_trace_writer_totals(writer)->was_cut = 1;
    hg_trace_writer_totals(writer)->exit_status = 9;
    assert_int_equal(hg_trace_writer_close(writer), HG_OK);

    assert_int_equal(hg_trace_reader_open(trace_path, &reader, NULL, 0), HG_OK);
    const struct hg_trace_totals *totals = hg_trace_reader_totals(reader);
    assert_non_null(totals);
    assert_int_equal(totals->operation_count, 7);
    assert_int_equal(totals->kind_count[HG_OP_MALLOC], 2);
    assert_int_equal(totals->kind_count[HG_OP_FREE], 2);
    assert_int_equal(totals->slot_count, 2);
    assert_int_equal(totals->thread_count, 3);
    assert_int_equal(totals->live_bytes_peak, 350);
    assert_int_equal(totals->live_bytes_peak_operation, 2);
    assert_int_equal(totals->live_blocks_peak, 2);
    assert_int_equal(totals->live_bytes_end, 57);
    assert_int_equal(totals->live_blocks_end, 2);
    assert_int_equal(totals->dropped_count, 11);
    assert_int_equal(totals->unknown_free_count, 12);
    assert_int_equal(totals->was_cut, 1);
    assert_int_equal(totals->exit_status, 9);

    assert_string_equal(hg_trace_reader_header(reader), "program: test\nthreads: 3\n");
    assert_true(hg_trace_reader_header_get(reader, "threads", value, sizeof value));
    assert_string_equal(value, "3");
    assert_false(hg_trace_reader_header_get(reader, "thread", value, sizeof value));
    hg_trace_reader_close(reader);
}

static void refuses_to_write_what_is_malformed(void **state) {
    const hg_op no_slot = {HG_OP_MALLOC, 0, 0, HG_SLOT_NONE, 1, 0};
    const hg_op wait = {HG_OP_WAIT, 0, 0, 1, 1, 0};
    hg_trace_writer *writer = open_writer(trace_path);
    (void)state;
    assert_int_equal(hg_trace_writer_put(writer, &no_slot), HG_ERR_USAGE);
    assert_int_equal(hg_trace_writer_put(writer, &wait), HG_ERR_USAGE);
    assert_int_equal(hg_trace_writer_totals(writer)->operation_count, 0);
    assert_int_equal(hg_trace_writer_close(writer), HG_OK);
}

/* What was told of a block when it ended stands at the operation that made it, and nowhere else. */
static void looking_ahead_tells_what_was_touched(void **state) {
    const hg_op ops[] = {
        {HG_OP_MALLOC, 0, 0, 0, 100000, 0},
        {HG_OP_CALLOC, 0, 0, 1, 5000, 10},
        {HG_OP_TOUCHED, 0, 0, 0, 8192, 0}, /* of the malloc */
        {HG_OP_REALLOC, 0, 0, 0, 300000, 0},
        {HG_OP_TOUCHED, 0, 0, 2, 4096, 0}, /* of nothing */
        {HG_OP_ALIGNED_ALLOC, 0, 0, 2, 90000, 4096},
        {HG_OP_TOUCHED, 0, 0, 1, 0, 0}, /* of the calloc: nothing of it */
        {HG_OP_FREE, 0, 0, 1, 0, 0},
        {HG_OP_MALLOC, 0, 0, 1, 70000, 0},  /* all of it */
        {HG_OP_TOUCHED, 0, 0, 0, 12288, 0}, /* of the realloc */
        {HG_OP_TOUCHED, 0, 0, 1, 80000, 0}, /* more than it has */
        {HG_OP_TOUCHED, 0, 0, 2, 16384, 0},
        {HG_OP_TOUCHED, 0, 0, 2, 16384, 0}, /* again */
        {HG_OP_MALLOC, 0, 0, 3, 60000, 0},
        {HG_OP_FREE, 0, 0, 3, 0, 0},
        {HG_OP_TOUCHED, 0, 0, 3, 4096, 0}, /* too late */
    };
    const hg_op marked[] = {
        {HG_OP_MALLOC, HG_OPF_PARTLY, 0, 0, 100000, 8192 << 6},
        {HG_OP_CALLOC, HG_OPF_PARTLY, 0, 1, 50000, 0},
        ops[2],
        {HG_OP_REALLOC, HG_OPF_PARTLY, 0, 0, 300000, 12288 << 6},
        ops[4],
        {HG_OP_ALIGNED_ALLOC, HG_OPF_PARTLY, 0, 2, 90000, 16384 << 6 | 12},
    };
    enum { COUNT = sizeof ops / sizeof ops[0], MARKED = sizeof marked / sizeof marked[0] };
    hg_trace_reader *reader;
    const hg_op *block;
    size_t count, seen = 0;
    (void)state;
    write_trace(trace_path, ops, COUNT, 2); /* an operation's block ends before it is told of */
    assert_int_equal(hg_trace_reader_open(trace_path, &reader, NULL, 0), HG_OK);
    assert_int_equal(hg_trace_reader_look_ahead(reader), HG_OK);
    while (hg_trace_reader_next(reader, &block, &count, NULL) == HG_OK)
        for (size_t i = 0; i < count; i++, seen++)
            assert_true(same(&block[i], seen < MARKED ? &marked[seen] : &ops[seen]));
    assert_int_equal(seen, COUNT);
    assert_int_equal(hg_trace_reader_next(reader, &block, &count, NULL), HG_END);
    hg_trace_reader_close(reader);
}

static void write_errors_are_told(void **state) {
    hg_trace_writer *writer = NULL;
    const hg_op op = {HG_OP_MALLOC, 0, 0, 0, 1, 0};
    (void)state;
    assert_int_equal(hg_trace_writer_open("/nonexistent/x.hgt", "", &writer), HG_ERR_SYSTEM);
    assert_int_equal(errno, ENOENT);
    assert_null(writer);
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(hg_trace_writer_open("/dev/full", "", &writer), HG_ERR_SYSTEM);
    assert_int_equal(errno, ENOSPC);
    (void)op;
}

static void seeks_to_any_operation(void **state) {
    enum { COUNT = 300000 };
    hg_op *ops = random_ops(COUNT, seed_of_this_run, 50);
    hg_trace_reader *reader;
    uint64_t seed = seed_of_this_run;
    (void)state;
    write_trace(trace_path, ops, COUNT, 9999);
    assert_int_equal(hg_trace_reader_open(trace_path, &reader, NULL, 0), HG_OK);
    for (int i = 0; i < 50; i++) {
        const hg_op *block;
        size_t count, read_count;
        uint64_t first;
        const uint64_t index = i == 0 ? 0 : i == 1 ? COUNT - 1 : random_next(&seed) % COUNT;
        assert_int_equal(hg_trace_reader_seek(reader, index), HG_OK);
        assert_int_equal(hg_trace_reader_next(reader, &block, &count, &first), HG_OK);
        assert_true(first <= index && index < first + count);
        assert_true(same(&block[index - first], &ops[index]));
        read_count = first + count;
        if (i < 4) {
            while (hg_trace_reader_next(reader, &block, &count, &first) == HG_OK)
                read_count += count;
            assert_int_equal(read_count, COUNT);
        }
    }
    assert_int_equal(hg_trace_reader_seek(reader, COUNT), HG_ERR_USAGE);
    hg_trace_reader_close(reader);
    free(ops);
}

static void reads_from_a_pipe(void **state) {
    enum { COUNT = 1000 };
    hg_op *ops = random_ops(COUNT, seed_of_this_run, 50);
    char path[32], why[256], bytes[65536];
    size_t read_count;
    int ends[2];
    (void)state;
    write_trace(trace_path, ops, COUNT, 100);
    const int file = open(trace_path, O_RDONLY);
    const ssize_t size = read(file, bytes, sizeof bytes);
    close(file);
    assert_true(size > 0 && size < (ssize_t)sizeof bytes);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], bytes, (size_t)size), size);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    assert_int_equal(read_trace(path, ops, COUNT, &read_count, why, sizeof why), HG_END);
    assert_int_equal(read_count, COUNT);
    close(ends[0]);
    free(ops);
}

/* ---- bad input ---- */

static void write_file(const char *path, const void *bytes, size_t size) {
    /* Not O_TRUNC: some file systems then write to the disk at close, which takes its time. */
    const int file = open(path, O_WRONLY | O_CREAT, 0666);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, size), size);
    assert_int_equal(ftruncate(file, (off_t)size), 0);
    close(file);
}

static void what_is_no_trace_is_told(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
        enum hg_status expected;
        const char *says;
    } cases[] = {
        {"", 0, HG_ERR_CUT, "byte 0: the file is empty"},
        {"hello, this is a text file\n", 27, HG_ERR_FORMAT, "byte 0: not a Heapgauge trace"},
        {"hi", 2, HG_ERR_FORMAT, "byte 0: not a Heapgauge trace"},
        {"\x50\x2A\x4D\x18\x08\0\0\0HGT", 11, HG_ERR_CUT, "byte 11: the file ends here"},
        {"\x50\x2A\x4D\x18\x08\0\0\0HGT\x02\0\0\0\0", 16, HG_ERR_VERSION, "format version 2"},
        {"\x50\x2A\x4D\x18\x08\0\0\0HGT\x01\0\0\0\0", 16, HG_ERR_CUT, "byte 16"},
        {"\x50\x2A\x4D\x18\x08\0\0\0HGT\x01\0\0\0\0????????????????????", 36, HG_ERR_FORMAT,
         "byte 16: no frame begins here"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hg_trace_reader *reader = NULL;
        char why[256] = "";
        write_file(other_path, cases[i].bytes, cases[i].size);
        assert_int_equal(hg_trace_reader_open(other_path, &reader, why, sizeof why),
                         cases[i].expected);
        assert_null(reader);
        if (!strstr(why, cases[i].says))
            print_error("case %zu: %s\n", i, why);
        assert_non_null(strstr(why, cases[i].says));
        assert_non_null(strstr(why, other_path));
    }
    hg_trace_reader *reader = NULL;
    char why[256];
    assert_int_equal(hg_trace_reader_open(folder, &reader, why, sizeof why), HG_ERR_SYSTEM);
    assert_non_null(strstr(why, "Is a directory"));
    assert_int_equal(hg_trace_reader_open("/nonexistent", &reader, why, sizeof why), HG_ERR_SYSTEM);
    assert_null(reader);
}

/* A small trace and its bytes. */
struct sample {
    hg_op *ops;
    size_t count;
    uint8_t *bytes;
    size_t size;
};

static struct sample make_sample(void) {
    struct sample sample = {random_ops(600, seed_of_this_run, 40), 600, NULL, 0};
    struct stat facts;
    write_trace(trace_path, sample.ops, sample.count, 150);
    const int file = open(trace_path, O_RDONLY);
    assert_int_equal(fstat(file, &facts), 0);
    sample.size = (size_t)facts.st_size;
    sample.bytes = malloc(sample.size);
    assert_int_equal(read(file, sample.bytes, sample.size), sample.size);
    close(file);
    return sample;
}

static void free_sample(struct sample *sample) {
    free(sample->ops);
    free(sample->bytes);
}

static void every_truncation_is_noticed(void **state) {
    struct sample sample = make_sample();
    (void)state;
    for (size_t size = 0; size < sample.size; size++) {
        size_t read_count;
        char why[512] = "";
        write_file(other_path, sample.bytes, size);
        const enum hg_status status =
            read_trace(other_path, sample.ops, sample.count, &read_count, why, sizeof why);
        if (status != HG_ERR_CUT)
            print_error("%zu of %zu bytes: %d %s\n", size, sample.size, status, why);
        assert_int_equal(status, HG_ERR_CUT);
        assert_non_null(strstr(why, "byte "));
    }
    free_sample(&sample);
}

/* The property: an error that names a byte, or the very same operations as before the damage. */
static void random_corruption_is_noticed(void **state) {
    const char *const wanted = getenv("HEAPGAUGE_CORRUPTIONS");
    const unsigned long rounds = wanted              ? strtoul(wanted, NULL, 10)
                                 : getenv("HG_LONG") ? 100000
                                                     : 20000;
    struct sample sample = make_sample();
    uint8_t *const bytes = malloc(sample.size + 64);
    uint64_t seed = seed_of_this_run;
    unsigned long unharmed = 0;
    (void)state;
    for (unsigned long round = 0; round < rounds; round++) {
        size_t size = sample.size, read_count;
        char why[512] = "";
        memcpy(bytes, sample.bytes, size);
        const size_t at = random_next(&seed) % size;
        switch (random_next(&seed) % 5) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << random_next(&seed) % 8);
            break;
        case 1:
            for (size_t i = at; i < size && i < at + 8; i++)
                bytes[i] = (uint8_t)random_next(&seed);
            break;
        case 2: /* a piece is missing */
            memmove(bytes + at, bytes + at + (size - at) / 3, size - at - (size - at) / 3);
            size -= (size - at) / 3;
            break;
        case 3: /* a piece stands twice */
            memmove(bytes + at + 32, bytes + at, size - at);
            size += 32;
            break;
        default: /* the file goes on */
            memset(bytes + size, (int)random_next(&seed), 9);
            size += 9;
        }
        write_file(other_path, bytes, size);
        const enum hg_status status =
            read_trace(other_path, sample.ops, sample.count, &read_count, why, sizeof why);
        if (status == HG_END) {
            assert_int_equal(read_count, sample.count);
            unharmed++;
        } else if (!strstr(why, ": byte ")) {
            print_error("round %lu: %s\n", round, why);
            fail();
        }
    }
    print_message("%lu corruptions, %lu left the trace as it was\n", rounds, unharmed);
    free(bytes);
    free_sample(&sample);
}

/* Below the checksums: blocks that decompress well and lie. */
static void lying_blocks_are_refused(void **state) {
    enum { ROUNDS = 30000, START = 16, ROOM = 8192 };
    struct sample sample = make_sample();
    uint8_t content[ROOM], lie[ROOM], file_bytes[ROOM];
    uint64_t seed = seed_of_this_run;
    unsigned long accepted = 0;
    ZSTD_CCtx *cctx = ZSTD_createCCtx();
    (void)state;
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 1);

    /* start, header, then the first block */
    const size_t at =
        START + ZSTD_findFrameCompressedSize(sample.bytes + START, sample.size - START);
    const size_t length = ZSTD_findFrameCompressedSize(sample.bytes + at, sample.size - at);
    const size_t size = ZSTD_decompress(content, sizeof content, sample.bytes + at, length);
    assert_false(ZSTD_isError(size));
    assert_memory_equal(content, "OPS1", 4);
    memcpy(file_bytes, sample.bytes, at);

    for (int round = 0; round < ROUNDS; round++) {
        memcpy(lie, content, size);
        for (uint64_t i = 0, n = 1 + random_next(&seed) % 3; i < n; i++)
            lie[4 + random_next(&seed) % (size - 4)] ^= (uint8_t)(1u << random_next(&seed) % 8);
        const size_t lie_length =
            ZSTD_compress2(cctx, file_bytes + at, sizeof file_bytes - at, lie, size);
        assert_false(ZSTD_isError(lie_length));
        write_file(other_path, file_bytes, at + lie_length);
        hg_trace_reader *reader;
        assert_int_equal(hg_trace_reader_open(other_path, &reader, NULL, 0), HG_OK);
        const hg_op *ops;
        size_t count;
        enum hg_status status = hg_trace_reader_next(reader, &ops, &count, NULL);
        if (status == HG_OK) {
            accepted++;
            for (size_t i = 0; i < count; i++)
                assert_true(hg_op_is_well_formed(&ops[i]) && ops[i].kind != HG_OP_WAIT);
            assert_int_equal(hg_trace_reader_next(reader, &ops, &count, NULL), HG_ERR_CUT);
        } else {
            assert_int_equal(status, HG_ERR_FORMAT);
            assert_non_null(strstr(hg_trace_reader_why(reader), ": byte "));
        }
        hg_trace_reader_close(reader);
    }
    print_message("%d blocks, %lu well-formed\n", ROUNDS, accepted);
    assert_true(accepted > ROUNDS / 100 && accepted < ROUNDS); /* both ways were tested */
    ZSTD_freeCCtx(cctx);
    free_sample(&sample);
}

static void bombs_are_refused(void **state) {
    const size_t size = (size_t)64 << 20;
    uint8_t *zeros = calloc(1, size), *bytes = malloc(1 << 20);
    hg_trace_reader *reader = NULL;
    char why[256];
    ZSTD_CCtx *cctx = ZSTD_createCCtx();
    (void)state;
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 1);
    memcpy(bytes, "\x50\x2A\x4D\x18\x08\0\0\0HGT\x01\0\0\0\0", 16);
    const size_t length = ZSTD_compress2(cctx, bytes + 16, (1 << 20) - 16, zeros, size);
    assert_false(ZSTD_isError(length));
    write_file(other_path, bytes, 16 + length);
    assert_int_equal(hg_trace_reader_open(other_path, &reader, why, sizeof why), HG_ERR_FORMAT);
    assert_non_null(strstr(why, "byte 16: a frame of 67108864 bytes"));
    ZSTD_freeCCtx(cctx);
    free(zeros);
    free(bytes);
}

int main(void) {
    const char *const seed = getenv("HEAPGAUGE_SEED");
    if (seed)
        seed_of_this_run = strtoull(seed, NULL, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_and_edge_round_trips),
        cmocka_unit_test(random_streams_round_trip),
        cmocka_unit_test(pieces_make_the_same_trace),
        cmocka_unit_test(totals_and_header),
        cmocka_unit_test(refuses_to_write_what_is_malformed),
        cmocka_unit_test(looking_ahead_tells_what_was_touched),
        cmocka_unit_test(write_errors_are_told),
        cmocka_unit_test(seeks_to_any_operation),
        cmocka_unit_test(reads_from_a_pipe),
        cmocka_unit_test(what_is_no_trace_is_told),
        cmocka_unit_test(every_truncation_is_noticed),
        cmocka_unit_test(random_corruption_is_noticed),
        cmocka_unit_test(lying_blocks_are_refused),
        cmocka_unit_test(bombs_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
