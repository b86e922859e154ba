/* A trace as text, one operation a line, and text as a trace.
 *
 *   # program: perl          the header's lines
 *   t0 s0 = malloc(24)       operations (operation.h)
 *   #= dropped_count 0       what the recorder knew beyond them
 *
 * A line may begin with the operation's index and a colon (--number); it is not looked at. */
#define _GNU_SOURCE
#include "commands.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heapgauge/trace.h"

enum { STATUS_USAGE = 2 };

static const char usage[] =
    "usage: heapgauge show [--from=N] [--count=N] [--number] [--header] T.hgt\n"
    "       heapgauge show --parse TEXT -o T.hgt\n"
    "Prints a trace as text, one operation a line; the text parses back to the same trace.\n"
    "  --from=N      begin with operation N (0)\n"
    "  --count=N     print N operations (all)\n"
    "  --number      begin each line with the operation's index\n"
    "  --header      print header and totals only\n"
    "  --parse=TEXT  make a trace of a text instead (-: standard input)\n"
    "  -o T.hgt      where to\n"
    "Exit status: 0 done, 2 usage, or a trace or text that can't be read.\n";

struct options {
    uint64_t from, count;
    bool number, header_only;
    const char *parse, *output, *trace;
};

/* The totals that operations do not tell. */
static const struct {
    const char *name;
    size_t offset;
} extras[] = {
    {"dropped_count", offsetof(struct hg_trace_totals, dropped_count)},
    {"unknown_free_count", offsetof(struct hg_trace_totals, unknown_free_count)},
    {"was_cut", offsetof(struct hg_trace_totals, was_cut)},
    {"exit_status", offsetof(struct hg_trace_totals, exit_status)},
};
enum { EXTRA_COUNT = sizeof extras / sizeof extras[0] };

static uint64_t get_extra(const struct hg_trace_totals *totals, size_t i) {
    uint64_t value;
    memcpy(&value, (const char *)totals + extras[i].offset, sizeof value);
    return value;
}

/* ---- options ---- */

static bool read_number(const char *name, const char *text, uint64_t *number) {
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && *text != '-')
        return true;
    fprintf(stderr, "heapgauge show: --%s=%s: give a whole number\n", name, text);
    return false;
}

static bool read_options(int argc, char **argv, struct options *o, int *status) {
    enum { FROM = 256, COUNT, NUMBER, HEADER, PARSE };
    static const struct option names[] = {
        {"from", required_argument, NULL, FROM},   {"count", required_argument, NULL, COUNT},
        {"number", no_argument, NULL, NUMBER},     {"header", no_argument, NULL, HEADER},
        {"parse", required_argument, NULL, PARSE}, {"output", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    *o = (struct options){.count = UINT64_MAX};
    *status = STATUS_USAGE;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "o:h", names, NULL)) != -1;) {
        switch (option) {
        case FROM:
            if (!read_number("from", optarg, &o->from))
                return false;
            break;
        case COUNT:
            if (!read_number("count", optarg, &o->count))
                return false;
            break;
        case NUMBER:
            o->number = true;
            break;
        case HEADER:
            o->header_only = true;
            break;
        case PARSE:
            o->parse = optarg;
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
    o->trace = argv[optind];
    if (o->parse && o->output && !o->trace)
        return true;
    if (!o->parse && !o->output && o->trace && !argv[optind + 1])
        return true;
    fputs(o->parse ? "heapgauge show: --parse needs -o T.hgt for the trace, and no other file\n"
                   : "heapgauge show: name one trace: heapgauge show T.hgt\n",
          stderr);
    return false;
}

/* ---- trace to text ---- */

static void print_header(const hg_trace_reader *reader) {
    for (const char *line = hg_trace_reader_header(reader); *line;) {
        const size_t length = strcspn(line, "\n");
        printf("# %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static void print_extras(const hg_trace_reader *reader) {
    const struct hg_trace_totals *const totals = hg_trace_reader_totals(reader);
    for (size_t i = 0; totals && i < EXTRA_COUNT; i++)
        printf("#= %s %" PRIu64 "\n", extras[i].name, get_extra(totals, i));
}

static void print_totals(const hg_trace_reader *reader) {
    const struct hg_trace_totals *const t = hg_trace_reader_totals(reader);
    if (!t) {
        printf("# the trace is cut: it has no totals\n");
        return;
    }
    printf("# operations %" PRIu64 ", slots %" PRIu64 ", threads %" PRIu64 "\n"
           "# live at most %" PRIu64 " bytes (operation %" PRIu64 "), %" PRIu64 " blocks\n"
           "# live at the end %" PRIu64 " bytes, %" PRIu64 " blocks\n",
           t->operation_count, t->slot_count, t->thread_count, t->live_bytes_peak,
           t->live_bytes_peak_operation, t->live_blocks_peak, t->live_bytes_end,
           t->live_blocks_end);
}

static void print_ops(const hg_op *ops, size_t count, uint64_t first, bool number) {
    char text[128];
    for (size_t i = 0; i < count; i++) {
        hg_op_print(&ops[i], text, sizeof text);
        if (number)
            printf("%" PRIu64 ": ", first + i);
        puts(text);
    }
}

static int fail(hg_trace_reader *reader) {
    fflush(stdout);
    fprintf(stderr, "heapgauge show: %s\n", hg_trace_reader_why(reader));
    hg_trace_reader_close(reader);
    return STATUS_USAGE;
}

/* Prints operations [from, from + count). */
static enum hg_status print_range(hg_trace_reader *reader, const struct options *o) {
    const hg_op *ops;
    size_t count;
    uint64_t first;
    const uint64_t end = o->count > UINT64_MAX - o->from ? UINT64_MAX : o->from + o->count;
    const struct hg_trace_totals *const totals = hg_trace_reader_totals(reader);
    if (o->from && totals) {
        if (o->from >= totals->operation_count)
            return HG_END;
        const enum hg_status status = hg_trace_reader_seek(reader, o->from);
        if (status != HG_OK)
            return status;
    }
    for (;;) {
        const enum hg_status status = hg_trace_reader_next(reader, &ops, &count, &first);
        if (status != HG_OK)
            return status;
        if (first >= end)
            return HG_END;
        const size_t skip = first < o->from ? o->from - first : 0;
        if (skip >= count)
            continue;
        const size_t keep = end - first < count ? end - first : count;
        print_ops(ops + skip, keep - skip, first + skip, o->number);
        if (first + count >= end)
            return HG_END;
    }
}

static int show(const struct options *o) {
    char why[512];
    hg_trace_reader *reader;
    if (hg_trace_reader_open(o->trace, &reader, why, sizeof why) != HG_OK) {
        fprintf(stderr, "heapgauge show: %s\n", why);
        return STATUS_USAGE;
    }
    if (o->from == 0)
        print_header(reader);
    if (o->header_only)
        print_totals(reader);
    else if (o->count && print_range(reader, o) != HG_END)
        return fail(reader);
    print_extras(reader);
    hg_trace_reader_close(reader);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "heapgauge show: cannot print: %s\n", strerror(errno));
        return STATUS_USAGE;
    }
    return 0;
}

/* ---- text to trace ---- */

struct parse {
    const char *path;
    FILE *file;
    char *line;
    size_t line_capacity;
    uint64_t line_number;
    char *header; /* grows until the first operation */
    size_t header_size;
    hg_trace_writer *writer;
    uint64_t extra[EXTRA_COUNT];
    bool has_extra[EXTRA_COUNT];
};

static bool parse_extra(struct parse *p, const char *text) {
    for (size_t i = 0; i < EXTRA_COUNT; i++) {
        const size_t length = strlen(extras[i].name);
        if (strncmp(text, extras[i].name, length) == 0 && text[length] == ' ') {
            p->extra[i] = strtoull(text + length, NULL, 10);
            return p->has_extra[i] = true;
        }
    }
    fprintf(stderr, "heapgauge show: %s:%" PRIu64 ": no total has this name\n", p->path,
            p->line_number);
    return false;
}

static bool add_to_header(struct parse *p, const char *text) {
    const size_t length = strlen(text);
    char *const header = realloc(p->header, p->header_size + length + 1);
    if (!header)
        return false;
    memcpy(header + p->header_size, text, length + 1);
    p->header = header;
    p->header_size += length;
    return true;
}

static bool open_trace(struct parse *p, const char *output) {
    if (p->writer)
        return true;
    if (hg_trace_writer_open(output, p->header ? p->header : "", &p->writer) == HG_OK)
        return true;
    fprintf(stderr, "heapgauge show: %s: cannot write: %s\n", output, strerror(errno));
    return false;
}

static bool parse_line(struct parse *p, const char *output) {
    const char *at = p->line + strspn(p->line, " \t");
    size_t column;
    hg_op op;
    if (strncmp(at, "#=", 2) == 0)
        return parse_extra(p, at + 2 + strspn(at + 2, " "));
    if (*at == '#')
        return p->writer || add_to_header(p, at + 1 + (at[1] == ' '));
    if (*at == '\n' || *at == '\0')
        return true;
    const size_t digits = strspn(at, "0123456789");
    if (digits && at[digits] == ':')
        at += digits + 1;
    if (!open_trace(p, output))
        return false;
    if (!hg_op_parse(at, &op, &column)) {
        fprintf(stderr,
                "heapgauge show: %s:%" PRIu64 ":%zu: not an operation, such as "
                "\"t0 s1 = malloc(24)\"\n",
                p->path, p->line_number, (size_t)(at - p->line) + column + 1);
        return false;
    }
    const enum hg_status status = hg_trace_writer_put(p->writer, &op);
    if (status == HG_OK)
        return true;
    fprintf(stderr,
            status == HG_ERR_USAGE ? "heapgauge show: %s:%" PRIu64 ": cannot stand in a trace\n"
                                   : "heapgauge show: %s:%" PRIu64 ": cannot write the trace\n",
            p->path, p->line_number);
    return false;
}

static int parse(const struct options *o) {
    struct parse p = {.path = o->parse};
    bool good = true;
    p.file = strcmp(o->parse, "-") == 0 ? stdin : fopen(o->parse, "re");
    if (!p.file) {
        fprintf(stderr, "heapgauge show: %s: cannot open: %s\n", o->parse, strerror(errno));
        return STATUS_USAGE;
    }
    while (good && getline(&p.line, &p.line_capacity, p.file) > 0) {
        p.line_number++;
        good = parse_line(&p, o->output);
    }
    good = good && open_trace(&p, o->output);
    if (p.writer) {
        char *const totals = (char *)hg_trace_writer_totals(p.writer);
        for (size_t i = 0; i < EXTRA_COUNT; i++)
            if (p.has_extra[i])
                memcpy(totals + extras[i].offset, &p.extra[i], sizeof p.extra[i]);
        if (hg_trace_writer_close(p.writer) != HG_OK && good) {
            fprintf(stderr, "heapgauge show: %s: cannot write: %s\n", o->output, strerror(errno));
            good = false;
        }
    }
    free(p.line);
    free(p.header);
    if (p.file != stdin)
        fclose(p.file);
    return good ? 0 : STATUS_USAGE;
}

int hg_show_main(int argc, char **argv) {
    struct options options;
    int status;
    if (!read_options(argc, argv, &options, &status))
        return status;
    return options.parse ? parse(&options) : show(&options);
}
