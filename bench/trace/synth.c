/* A trace of any length that resembles another one, and how much it does. */
#define _GNU_SOURCE
#include "commands.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "synth_fit.h"
#include "synth_stream.h"

enum { STATUS_USAGE = 2 };

static const char usage[] =
    "usage: heapgauge synth T.hgt -o S.hgt [--ops=N] [--seed=N] [--fit] [--backend=A,B]\n"
    "Makes a trace of any length that resembles T.hgt: sizes, alignments, lifetimes by size,\n"
    "reallocations, threads and hand-over between them, live bytes over time.\n"
    "  --ops=N          operations (as many as T.hgt has); 10k, 5M, 1G are understood\n"
    "  --seed=N         another stream of the same model (1)\n"
    "  --fit            say how far the two are apart\n"
    "  --backend=A,B    ... and replay both on these allocators (three times in turn; medians)\n"
    "Memory depends on neither length, but on the blocks that live at a time.\n"
    "Exit status: 0 done, 2 usage, or a trace that can't be read.\n";

struct options {
    const char *trace, *output, *backends;
    uint64_t operation_count, seed;
    bool fit;
};

static bool read_number(const char *text, uint64_t *number) {
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {{"", 1}, {"k", 1000}, {"M", 1000000}, {"G", 1000000000}};
    char *end;
    errno = 0;
    const uint64_t value = strtoull(text, &end, 10);
    for (size_t i = 0; errno == 0 && end != text && *text != '-' && i < 4; i++)
        if (strcmp(end, units[i].suffix) == 0)
            return !__builtin_mul_overflow(value, units[i].factor, number);
    return false;
}

static bool read_options(int argc, char **argv, struct options *o, int *status) {
    enum { OPS = 256, SEED, FIT, BACKEND };
    static const struct option names[] = {
        {"ops", required_argument, NULL, OPS},
        {"seed", required_argument, NULL, SEED},
        {"fit", no_argument, NULL, FIT},
        {"backend", required_argument, NULL, BACKEND},
        {"output", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.seed = 1};
    *status = STATUS_USAGE;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "o:h", names, NULL)) != -1;) {
        bool good = true;
        switch (option) {
        case OPS:
            good = read_number(optarg, &o->operation_count) && o->operation_count > 0;
            break;
        case SEED:
            good = read_number(optarg, &o->seed);
            break;
        case BACKEND:
            o->backends = optarg;
            o->fit = true;
            break;
        case FIT:
            o->fit = true;
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
        if (!good) {
            fprintf(stderr, "heapgauge synth: %s: give a whole number\n", optarg);
            return false;
        }
    }
    o->trace = argv[optind];
    if (o->trace && argc - optind == 1 && o->output && strcmp(o->trace, o->output) != 0)
        return true;
    fprintf(stderr, "heapgauge synth: name one trace and another file for the new one: "
                    "heapgauge synth T.hgt -o S.hgt\n");
    return false;
}

/* From which lifetime on a block belongs to the course of the program, not to its steady work: a phase,
 * but in a stream that is longer than the trace up to an eighth of it, so that steady work goes on. */
static uint64_t long_operations(uint64_t of_trace, uint64_t wanted) {
    const uint64_t times = (wanted + of_trace / 2) / of_trace;
    uint64_t part = HG_MODEL_PHASES;
    if (times > 1)
        part = times < 8 ? 64 / times : 8;
    return of_trace / part;
}

static bool fit_model(const struct options *o, struct hg_model *model, uint64_t *count,
                      char program[64]) {
    char why[512];
    hg_trace_reader *reader;
    if (hg_trace_reader_open(o->trace, &reader, why, sizeof why) != HG_OK) {
        fprintf(stderr, "heapgauge synth: %s\n", why);
        return false;
    }
    const struct hg_trace_totals *const totals = hg_trace_reader_totals(reader);
    enum hg_status status = HG_ERR_USAGE;
    if (!totals || totals->operation_count == 0) {
        fprintf(stderr, "heapgauge synth: %s is %s: there is nothing to fit a model to\n", o->trace,
                totals ? "empty" : "cut");
    } else {
        *count = o->operation_count ? o->operation_count : totals->operation_count;
        if (!hg_trace_reader_header_get(reader, "program", program, 64))
            snprintf(program, 64, "a trace");
        status = hg_model_fit(model, reader, totals->operation_count,
                              long_operations(totals->operation_count, *count));
        if (status != HG_OK)
            fprintf(stderr, "heapgauge synth: %s\n",
                    status == HG_ERR_MEMORY ? "out of memory" : hg_trace_reader_why(reader));
    }
    hg_trace_reader_close(reader);
    return status == HG_OK;
}

static enum hg_status write_stream(hg_synth *synth, hg_trace_writer *writer, uint64_t *made) {
    enum hg_status status;
    hg_op op;
    while ((status = hg_synth_next(synth, &op)) == HG_OK) {
        status = hg_trace_writer_put(writer, &op);
        if (status != HG_OK)
            return status;
        ++*made;
    }
    return status == HG_END ? HG_OK : status;
}

static bool write_trace(const struct options *o, const struct hg_model *model, uint64_t count,
                        const char *program) {
    char header[512];
    uint64_t made = 0;
    hg_trace_writer *writer;
    snprintf(header, sizeof header,
             "program: %s\nsynthetic: from a model of %" PRIu64 " operations; seed %" PRIu64 "\n",
             program, model->operation_count, o->seed);
    hg_synth *const synth = hg_synth_open(model, count, o->seed);
    if (!synth || hg_trace_writer_open(o->output, header, &writer) != HG_OK) {
        fprintf(stderr, "heapgauge synth: %s: cannot write: %s\n", o->output, strerror(errno));
        if (synth)
            hg_synth_close(synth);
        return false;
    }
    enum hg_status status = write_stream(synth, writer, &made);
    hg_trace_writer_totals(writer)->exit_status = UINT64_MAX;
    const enum hg_status closed = hg_trace_writer_close(writer);
    hg_synth_close(synth);
    if (status == HG_OK)
        status = closed;
    if (status != HG_OK) {
        fprintf(stderr, "heapgauge synth: %s: %s\n", o->output,
                status == HG_ERR_MEMORY  ? "out of memory"
                : status == HG_ERR_USAGE ? "an operation that cannot stand in a trace"
                                         : strerror(errno));
        return false;
    }
    fprintf(stderr,
            "heapgauge synth: %s: %" PRIu64 " operations, from %" PRIu64 " stories of %" PRIu64
            " operations\n",
            o->output, made, model->kept_count, model->operation_count);
    if (made < count)
        fprintf(stderr,
                "heapgauge synth: fewer than the %" PRIu64
                " asked for: the trace has no short-lived blocks that could be repeated\n",
                count);
    return true;
}

int hg_synth_main(int argc, char **argv) {
    struct options o;
    uint64_t count = 0;
    char program[64];
    int status;
    if (!read_options(argc, argv, &o, &status))
        return status;
    struct hg_model *const model = calloc(1, sizeof *model);
    if (!model) {
        fprintf(stderr, "heapgauge synth: out of memory\n");
        return STATUS_USAGE;
    }
    const bool good =
        fit_model(&o, model, &count, program) && write_trace(&o, model, count, program);
    if (good && model->left_out_count)
        fprintf(stderr, "heapgauge synth: %" PRIu64 " verify or fail_pages operations left out\n",
                model->left_out_count);
    hg_model_close(model);
    free(model);
    if (!good)
        return STATUS_USAGE;
    return o.fit ? hg_fit_report(o.trace, o.output, o.backends) : 0;
}
