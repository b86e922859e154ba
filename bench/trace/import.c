/* Logs of other tools as traces: glibc's mtrace, heaptrack, ltrace and valgrind's --trace-malloc. */
#define _GNU_SOURCE
#include "import.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

enum { STATUS_USAGE = 2 };

static const char usage[] =
    "usage: heapgauge import [--from=FORMAT] FILE -o T.hgt\n"
    "Makes a trace of another tool's log (-: standard input; .zst and .gz are unpacked).\n"
    "  --from=mtrace     what glibc's mtrace(3) writes to $MALLOC_TRACE\n"
    "  --from=heaptrack  what heaptrack writes, raw (--raw) or not\n"
    "  --from=ltrace     lines such as \"malloc(100) = 0x55..\": ltrace, valgrind --trace-malloc=yes\n"
    "  --from=text       what `heapgauge show` prints\n"
    "Without --from the first line tells which.\n"
    "What the log does not say, the trace does not hold: mtrace and heaptrack have neither alignments nor\n"
    "threads. Frees of blocks that were not seen made are left out and counted.\n"
    "Exit status: 0 done, 2 usage, or a log that can't be read.\n";

struct options {
    const char *from, *file, *output;
};

static const struct format {
    const char *name;
    bool (*line)(struct hg_import *im, char *line); /* NULL: text */
} formats[] = {
    {"mtrace", hg_import_mtrace},
    {"heaptrack", hg_import_heaptrack},
    {"ltrace", hg_import_ltrace},
    {"text", NULL},
};
enum { FORMAT_COUNT = sizeof formats / sizeof formats[0] };

/* ---- the verbs ---- */

bool hg_import_fail(const struct hg_import *im, const char *format, ...) {
    va_list arguments;
    fprintf(stderr, "heapgauge import: %s:%" PRIu64 ": ", im->path, im->line_number);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return false;
}

bool hg_import_number(char **at, int base, uint64_t *number) {
    char *end;
    if (strncmp(*at, "(nil)", 5) == 0 || strncmp(*at, "NULL", 4) == 0) {
        *at += **at == '(' ? 5 : 4;
        *number = 0;
        return true;
    }
    const bool is_negative = **at == '-'; /* ltrace prints huge sizes so */
    const char first = (*at)[is_negative];
    if (!((first >= '0' && first <= '9') ||
          (base == 16 && ((first | 32) >= 'a' && (first | 32) <= 'f'))))
        return false;
    errno = 0;
    *number = strtoull(*at, &end, base);
    if (errno || end == *at)
        return false;
    *at = end;
    return true;
}

bool hg_import_put(struct hg_import *im, hg_op op) {
    op.thread = im->thread;
    const enum hg_status status = hg_trace_writer_put(im->writer, &op);
    if (status == HG_OK) {
        im->operation_count++;
        return true;
    }
    return hg_import_fail(im, status == HG_ERR_USAGE ? "cannot stand in a trace"
                                                     : "cannot write the trace");
}

static bool memory_short(const struct hg_import *im) {
    return hg_import_fail(im, "out of memory, or of slots");
}

static bool end_block(struct hg_import *im, uint32_t slot) {
    if (!hg_slots_give_back(&im->slots, slot))
        return memory_short(im);
    return hg_import_put(im, (hg_op){.kind = HG_OP_FREE, .slot = slot});
}

/* Gives `address` to `slot`; who had it before was freed unseen. */
static bool place(struct hg_import *im, uint64_t address, uint32_t slot) {
    uint32_t former;
    if (address >> 48)
        return hg_import_fail(im, "0x%" PRIx64 ": no address of a program", address);
    if (!hg_slots_place(&im->slots, address, slot, &former))
        return memory_short(im);
    if (former == HG_SLOT_NONE)
        return true;
    im->inferred_free_count++;
    return end_block(im, former);
}

bool hg_import_allocated(struct hg_import *im, hg_op op, uint64_t address) {
    op.slot = HG_SLOT_NONE;
    if (address == 0) {
        op.flags = HG_OPF_FAILED;
        return hg_import_put(im, op);
    }
    op.slot = hg_slots_take(&im->slots);
    if (op.slot == HG_SLOT_NONE)
        return memory_short(im);
    return place(im, address, op.slot) && hg_import_put(im, op);
}

/* The oldest block of unknown address that `address` may be the address of. */
static uint32_t adopt_orphan(struct hg_import *im, uint64_t address) {
    for (size_t i = 0; i < im->orphan_count; i++) {
        if (address % im->orphan[i].alignment)
            continue;
        const uint32_t slot = im->orphan[i].slot;
        im->orphan_count--;
        memmove(im->orphan + i, im->orphan + i + 1, (im->orphan_count - i) * sizeof *im->orphan);
        im->matched_count++;
        return slot;
    }
    return HG_SLOT_NONE;
}

uint32_t hg_import_lift(struct hg_import *im, uint64_t address) {
    if (address == 0)
        return HG_SLOT_NONE;
    uint32_t slot = hg_slots_remove(&im->slots, address);
    if (slot == HG_SLOT_NONE)
        slot = adopt_orphan(im, address);
    im->unknown_free_count += slot == HG_SLOT_NONE;
    return slot;
}

bool hg_import_freed(struct hg_import *im, uint64_t address) {
    if (address == 0)
        return hg_import_put(im, (hg_op){.kind = HG_OP_FREE, .slot = HG_SLOT_NONE});
    const uint32_t slot = hg_import_lift(im, address);
    return slot == HG_SLOT_NONE || end_block(im, slot);
}

bool hg_import_landed(struct hg_import *im, hg_op op, uint64_t old, uint32_t slot,
                      uint64_t address) {
    if (address == 0 && old && hg_op_bytes(&op) == 0)
        return slot == HG_SLOT_NONE || end_block(im, slot);
    if (address == 0) {
        op.flags = HG_OPF_FAILED;
        op.slot = slot;
        return (slot == HG_SLOT_NONE || place(im, old, slot)) && hg_import_put(im, op);
    }
    if (slot == HG_SLOT_NONE)
        slot = hg_slots_take(&im->slots);
    if (slot == HG_SLOT_NONE)
        return memory_short(im);
    op.slot = slot;
    return place(im, address, slot) && hg_import_put(im, op);
}

bool hg_import_reallocated(struct hg_import *im, hg_op op, uint64_t old, uint64_t address) {
    return hg_import_landed(im, op, old, hg_import_lift(im, old), address);
}

/* ---- the command ---- */

static bool read_options(int argc, char **argv, struct options *o, int *status) {
    static const struct option names[] = {{"from", required_argument, NULL, 'f'},
                                          {"output", required_argument, NULL, 'o'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *status = STATUS_USAGE;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "o:h", names, NULL)) != -1;) {
        switch (option) {
        case 'f':
            o->from = optarg;
            break;
        case 'o':
            o->output = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            *status = 0;
            return false;
        default:
            return false;
        }
    }
    o->file = argv[optind];
    if (o->file && !argv[optind + 1] && o->output)
        return true;
    fprintf(stderr, "heapgauge import: name one log and a trace: heapgauge import LOG -o T.hgt\n");
    return false;
}

static const struct format *format_named(const char *name) {
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

/* The format of a log that has this line; NULL: the line does not tell. */
static const struct format *format_of(const char *line) {
    uint64_t thread;
    int length = 0;
    if (strcmp(line, "= Start") == 0 || strncmp(line, "@ ", 2) == 0)
        return format_named("mtrace");
    if (line[0] == 'v' && line[1] == ' ')
        return format_named("heaptrack");
    if ((sscanf(line, "t%" SCNu64 " %n", &thread, &length) == 1 && length) ||
        strncmp(line, "# program: ", 11) == 0)
        return format_named("text");
    if (strstr(line, "malloc(") || strstr(line, "calloc(") || strstr(line, "free(") ||
        strstr(line, "alloc("))
        return format_named("ltrace");
    return NULL;
}

static bool start(struct hg_import *im, const struct options *o, const struct format *format) {
    char header[256];
    snprintf(header, sizeof header,
             "imported-from: %s\nholds: sizes, alignments, order, thread numbers; no content, "
             "address, argument or environment\n",
             format->name);
    im->threads = calloc(HG_IMPORT_THREADS_MAX, sizeof *im->threads);
    if (!im->threads || !hg_slots_open(&im->slots)) {
        fprintf(stderr, "heapgauge import: out of memory\n");
        return false;
    }
    if (hg_trace_writer_open(o->output, header, &im->writer) == HG_OK)
        return true;
    fprintf(stderr, "heapgauge import: %s: cannot write: %s\n", o->output, strerror(errno));
    return false;
}

/* Reads all lines. The format is known by the first line that tells it. */
static bool read_lines(struct hg_import *im, const struct options *o, FILE *file) {
    const struct format *format = o->from ? format_named(o->from) : NULL;
    char *line = NULL;
    size_t capacity = 0;
    bool good = true;
    ssize_t length;
    while (good && (length = getline(&line, &capacity, file)) > 0) {
        im->line_number++;
        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        if (!format && !(format = format_of(line)))
            continue;
        if (!format->line) {
            good = hg_import_fail(im, "this is text of `heapgauge show`: give --from=text");
            break;
        }
        if (!im->writer)
            good = start(im, o, format);
        good = good && format->line(im, line);
    }
    free(line);
    if (good && !im->writer) {
        fprintf(stderr, "heapgauge import: %s: no line of a format known; name it with --from\n",
                im->path);
        good = false;
    }
    return good;
}

static void tell(const struct hg_import *im, const char *output) {
    fprintf(stderr, "heapgauge import: %s: %" PRIu64 " operations", output, im->operation_count);
    if (im->unknown_free_count)
        fprintf(stderr, ", %" PRIu64 " frees of blocks not seen made (left out)",
                im->unknown_free_count);
    if (im->inferred_free_count)
        fprintf(stderr, ", %" PRIu64 " frees not seen (the address came back)",
                im->inferred_free_count);
    if (im->matched_count)
        fprintf(stderr, ", %" PRIu64 " blocks of posix_memalign known by their free",
                im->matched_count);
    if (im->ignored_count)
        fprintf(stderr, ", %" PRIu64 " lines about something else", im->ignored_count);
    fputc('\n', stderr);
}

static bool finish(struct hg_import *im, const struct options *o, bool good) {
    if (im->writer) {
        struct hg_trace_totals *const totals = hg_trace_writer_totals(im->writer);
        totals->unknown_free_count = im->unknown_free_count;
        totals->exit_status = UINT64_MAX;
        if (hg_trace_writer_close(im->writer) != HG_OK && good) {
            fprintf(stderr, "heapgauge import: %s: cannot write: %s\n", o->output, strerror(errno));
            good = false;
        }
        hg_slots_close(&im->slots);
    }
    free(im->threads);
    free(im->info);
    free(im->next_live);
    free(im->orphan);
    return good;
}

static int import(const struct options *o) {
    struct hg_import im = {.path = o->file};
    char why[128];
    FILE *const file = hg_import_open(o->file);
    if (!file) {
        fprintf(stderr, "heapgauge import: %s: cannot open: %s\n", o->file, strerror(errno));
        return STATUS_USAGE;
    }
    bool good = read_lines(&im, o, file);
    if (!hg_import_close(file, why, sizeof why) && good)
        good = hg_import_fail(&im, "%s", why);
    good = finish(&im, o, good);
    if (good)
        tell(&im, o->output);
    return good ? 0 : STATUS_USAGE;
}

int hg_import_main(int argc, char **argv) {
    struct options options = {0};
    int status;
    if (!read_options(argc, argv, &options, &status))
        return status;
    if (options.from && !format_named(options.from)) {
        fprintf(stderr, "heapgauge import: --from=%s: give mtrace, heaptrack, ltrace or text\n",
                options.from);
        return STATUS_USAGE;
    }
    if (!options.from || strcmp(options.from, "text") != 0)
        return import(&options);
    char show[] = "show", parse[] = "--parse", output[] = "-o";
    char *words[] = {show, parse, (char *)options.file, output, (char *)options.output, NULL};
    return hg_show_main(5, words);
}
