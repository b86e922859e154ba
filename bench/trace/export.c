/* A trace, or a piece of it, as something that stands alone: a C program, a text, a trace.
 *
 * A piece that begins in the middle first makes the blocks and threads that lived there, so that every
 * operation in it finds its block. A C program makes only those blocks that the piece uses. */
#define _GNU_SOURCE
#include "commands.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export_c.h"
#include "heapgauge/flat.h"
#include "heapgauge/trace.h"

enum { STATUS_USAGE = 2, C_OPERATIONS_MAX = 1000000 };

static const char usage[] =
    "usage: heapgauge export T.hgt --to=c|text|trace|seed|flat -o FILE [--from=N] [--count=N]\n"
    "Writes a trace, or the piece of it from operation N on, as something that stands alone.\n"
    "  --to=c        a C program that makes the same calls: plain gcc, nothing of Heapgauge\n"
    "  --to=text     as `heapgauge show` prints it\n"
    "  --to=trace    a trace\n"
    "  --to=seed     slices of it as inputs for the fuzz targets; -o names a folder\n"
    "  --to=flat     operations as plain bytes, for the kernel module (scripts/kernel-run)\n"
    "  --from=N      begin with operation N (0); what lives there is allocated first\n"
    "  --count=N     N operations (all)\n"
    "A trace is a benchmark as it is: heapgauge bench T.hgt.\n"
    "Exit status: 0 done, 2 usage, or a trace that can't be read.\n";

struct options {
    const char *to, *output, *trace;
    uint64_t from, count;
};

/* Where the operations of a piece go. */
struct sink {
    bool (*put)(struct sink *sink, const hg_op *op);
    FILE *file;
    hg_trace_writer *writer;
    struct hg_export_steps steps;
    uint64_t flat_count;
};

/* A block that lives where the piece begins: the call that would make it as it is. */
struct block {
    uint64_t size, arg;
    uint16_t thread;
    uint8_t kind;
    bool is_live;
};

struct piece {
    const struct options *options;
    struct sink *sink;
    struct block *block;
    size_t block_count;
    bool *thread_lives;
    bool has_begun;
    uint64_t put_count;
};

/* ---- sinks ---- */

static bool put_text(struct sink *sink, const hg_op *op) {
    char text[128];
    hg_op_print(op, text, sizeof text);
    return fprintf(sink->file, "%s\n", text) > 0;
}

static bool put_trace(struct sink *sink, const hg_op *op) {
    return hg_trace_writer_put(sink->writer, op) == HG_OK;
}

static bool put_step(struct sink *sink, const hg_op *op) {
    return hg_export_steps_add(&sink->steps, op);
}

static bool put_flat(struct sink *sink, const hg_op *op) {
    sink->flat_count++;
    return fwrite(op, sizeof *op, 1, sink->file) == 1;
}

/* The head says how many operations follow: written once more when that is known. */
static bool write_flat_head(const struct sink *sink) {
    unsigned char head[HG_FLAT_HEADER_BYTES];
    hg_flat_head(head, sink->flat_count);
    return fseeko(sink->file, 0, SEEK_SET) == 0 && fwrite(head, sizeof head, 1, sink->file) == 1;
}

static bool open_sink(struct sink *sink, const struct options *o, const hg_trace_reader *reader) {
    if (strcmp(o->to, "trace") == 0) {
        char header[8192];
        const char *const former = hg_trace_reader_header(reader);
        const bool is_whole = o->from == 0 && o->count == UINT64_MAX;
        sink->put = put_trace;
        if (is_whole || strlen(former) > sizeof header - 128)
            return hg_trace_writer_open(o->output, former, &sink->writer) == HG_OK;
        snprintf(header, sizeof header, "%spiece: from operation %" PRIu64 "\n", former, o->from);
        return hg_trace_writer_open(o->output, header, &sink->writer) == HG_OK;
    }
    sink->put = strcmp(o->to, "c") == 0 ? put_step : put_text;
    if (strcmp(o->to, "flat") == 0)
        sink->put = put_flat;
    sink->file = fopen(o->output, "we");
    return sink->file && (sink->put != put_flat || write_flat_head(sink));
}

static bool close_sink(struct sink *sink, const struct options *o) {
    bool good = true;
    if (sink->writer) {
        hg_trace_writer_totals(sink->writer)->exit_status = UINT64_MAX;
        return hg_trace_writer_close(sink->writer) == HG_OK;
    }
    if (sink->put == put_step)
        good = hg_export_c(sink->file, o->output, &sink->steps);
    if (sink->put == put_flat)
        good = write_flat_head(sink);
    hg_export_steps_free(&sink->steps);
    return fclose(sink->file) == 0 && good;
}

/* ---- what lives where the piece begins ---- */

static bool make_room(struct piece *p, uint32_t slot) {
    if (slot < p->block_count)
        return true;
    const size_t count = slot < 4096 ? 8192 : 2 * (size_t)slot;
    struct block *const memory = realloc(p->block, count * sizeof *memory);
    if (!memory)
        return false;
    memset(memory + p->block_count, 0, (count - p->block_count) * sizeof *memory);
    p->block = memory;
    p->block_count = count;
    return true;
}

static bool follow(struct piece *p, const hg_op *op) {
    if (op->kind == HG_OP_THREAD_START || op->kind == HG_OP_THREAD_END)
        p->thread_lives[op->thread] = op->kind == HG_OP_THREAD_START;
    if (op->slot == HG_SLOT_NONE || op->flags & HG_OPF_FAILED)
        return true;
    if (!make_room(p, op->slot))
        return false;
    struct block *const block = &p->block[op->slot];
    if (hg_op_allocates(op->kind)) {
        *block = (struct block){op->size, op->arg, op->thread, op->kind, true};
    } else if (op->kind == HG_OP_LAYOUT_REALLOC && block->is_live) {
        block->size = op->size; /* keeps its alignment */
    } else if (hg_op_reallocates(op->kind)) {
        *block = (struct block){hg_op_bytes(op), 0, op->thread, HG_OP_MALLOC, true};
    } else if (hg_op_frees(op->kind)) {
        block->is_live = false;
    }
    return true;
}

static bool begin(struct piece *p) {
    p->has_begun = true;
    p->sink->steps.made_before = 0;
    for (uint32_t thread = 1; thread < HG_TRACE_THREADS_MAX; thread++) {
        const hg_op op = {HG_OP_THREAD_START, 0, (uint16_t)thread, HG_SLOT_NONE, 0, 0};
        if (p->thread_lives[thread] && !p->sink->put(p->sink, &op))
            return false;
    }
    for (uint32_t slot = 0; slot < p->block_count; slot++) {
        const struct block *const b = &p->block[slot];
        const hg_op op = {b->kind, 0, b->thread, slot, b->size, b->arg};
        if (b->is_live && !p->sink->put(p->sink, &op))
            return false;
    }
    p->sink->steps.made_before = p->sink->steps.count;
    return true;
}

/* ---- the command ---- */

static bool take(struct piece *p, const hg_op *op, uint64_t index) {
    if (index < p->options->from)
        return follow(p, op);
    if (!p->has_begun && !begin(p))
        return false;
    p->put_count++;
    return p->sink->put(p->sink, op);
}

static enum hg_status read_piece(struct piece *p, hg_trace_reader *reader) {
    const hg_op *ops;
    size_t count;
    uint64_t first;
    enum hg_status status;
    while ((status = hg_trace_reader_next(reader, &ops, &count, &first)) == HG_OK) {
        for (size_t i = 0; i < count; i++) {
            if (p->put_count == p->options->count)
                return HG_END;
            if (!take(p, &ops[i], first + i))
                return HG_ERR_SYSTEM;
        }
    }
    return status;
}

static bool is_too_long(const struct options *o, const hg_trace_reader *reader) {
    const struct hg_trace_totals *const totals = hg_trace_reader_totals(reader);
    uint64_t count = totals ? totals->operation_count - o->from : o->count;
    if (totals && o->from > totals->operation_count)
        count = 0;
    if (count > o->count)
        count = o->count;
    if (strcmp(o->to, "c") != 0 || count <= C_OPERATIONS_MAX)
        return false;
    fprintf(stderr,
            "heapgauge export: a compiler will not like %" PRIu64 " operations; choose at most %d "
            "with --from=N --count=N\n",
            count, C_OPERATIONS_MAX);
    return true;
}

static int export(const struct options *o) {
    char why[512];
    hg_trace_reader *reader;
    if (hg_trace_reader_open(o->trace, &reader, why, sizeof why) != HG_OK) {
        fprintf(stderr, "heapgauge export: %s\n", why);
        return STATUS_USAGE;
    }
    struct sink sink = {0};
    struct piece piece = {.options = o, .sink = &sink};
    int status = STATUS_USAGE;
    piece.thread_lives = calloc(HG_TRACE_THREADS_MAX + 1, sizeof *piece.thread_lives);
    if (is_too_long(o, reader)) {
        /* said */
    } else if (!piece.thread_lives || !open_sink(&sink, o, reader)) {
        fprintf(stderr, "heapgauge export: %s: cannot write: %s\n", o->output, strerror(errno));
    } else {
        const enum hg_status read = read_piece(&piece, reader);
        const bool closed = close_sink(&sink, o);
        if (!closed || read == HG_ERR_SYSTEM)
            fprintf(stderr, "heapgauge export: %s: cannot write: %s\n", o->output, strerror(errno));
        else if (read != HG_END)
            fprintf(stderr, "heapgauge export: %s\n", hg_trace_reader_why(reader));
        else
            status = 0;
    }
    free(piece.block);
    free(piece.thread_lives);
    hg_trace_reader_close(reader);
    return status;
}

static bool read_number(const char *name, const char *text, uint64_t *number) {
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && *text != '-')
        return true;
    fprintf(stderr, "heapgauge export: --%s=%s: give a whole number\n", name, text);
    return false;
}

static bool are_complete(const struct options *o) {
    if (!o->trace || !o->output || !o->to) {
        fprintf(stderr, "heapgauge export: name trace, kind and file: heapgauge export T.hgt "
                        "--to=c -o FILE.c\n");
        return false;
    }
    if (strcmp(o->to, "c") == 0 || strcmp(o->to, "text") == 0 || strcmp(o->to, "trace") == 0 ||
        strcmp(o->to, "flat") == 0)
        return true;
    fprintf(stderr, "heapgauge export: --to=%s: give c, text, trace, seed or flat\n", o->to);
    return false;
}

int hg_export_main(int argc, char **argv) {
    enum { TO = 256, FROM, COUNT };
    static const struct option names[] = {
        {"to", required_argument, NULL, TO},       {"from", required_argument, NULL, FROM},
        {"count", required_argument, NULL, COUNT}, {"output", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    struct options o = {.count = UINT64_MAX};
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "o:h", names, NULL)) != -1;) {
        switch (option) {
        case TO:
            o.to = optarg;
            break;
        case FROM:
            if (!read_number("from", optarg, &o.from))
                return STATUS_USAGE;
            break;
        case COUNT:
            if (!read_number("count", optarg, &o.count))
                return STATUS_USAGE;
            break;
        case 'o':
            o.output = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            return STATUS_USAGE;
        }
    }
    o.trace = argv[optind];
    if (argc - optind > 1)
        o.trace = NULL;
    return are_complete(&o) ? export(&o) : STATUS_USAGE;
}
