/* What a trace is like, in numbers. One pass; memory is a few words a slot. */
#define _GNU_SOURCE
#include "commands.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stat_count.h"
#include "stat_plot.h"

enum {
    STATUS_USAGE = 2,
    POINTS_DEFAULT = 20,
    POINTS_PLOTTED = 400,
    POINTS_MAX = 10000,
    THREADS_SHOWN = 16
};

static const char usage[] =
    "usage: heapgauge stat [--json] [--points=N] [--plot=FILE.svg] T.hgt\n"
    "Says what a trace is like: operations, sizes, alignments, lifetimes, threads, live bytes.\n"
    "  --json        as JSON\n"
    "  --points=N    live bytes at about N points (20; in a plot 400)\n"
    "  --plot=FILE   a picture (SVG) of live bytes, sizes and lifetimes, instead\n"
    "Sizes and lifetimes are counted in classes of powers of two; a lifetime is the number of operations\n"
    "from a block's allocation to its free.\n"
    "Exit status: 0 done, 2 usage, or a trace that can't be read.\n";

/* ---- text ---- */

static void print_power(FILE *out, unsigned i) {
    static const char units[] = " KMGTPE";
    const uint64_t value = i ? (uint64_t)1 << (i - 1) : 0;
    unsigned unit = 0;
    uint64_t shown = value;
    while (shown >= 1024) {
        shown /= 1024;
        unit++;
    }
    char text[16];
    snprintf(text, sizeof text, "%" PRIu64 "%.*s", shown, unit ? 1 : 0, units + unit);
    fprintf(out, "%8s", text);
}

static void print_classes(const char *title, const struct hg_classes *c) {
    uint64_t total = 0, sum = 0, most = 0;
    for (int i = 0; i < 65; i++) {
        total += c->count[i];
        if (c->count[i] > most)
            most = c->count[i];
    }
    if (!total)
        return;
    printf("\n%s\n      from        count      %%   up to here %%\n", title);
    for (unsigned i = 0; i < 65; i++) {
        if (!c->count[i])
            continue;
        sum += c->count[i];
        printf("  ");
        print_power(stdout, i);
        printf(" %12" PRIu64 " %6.2f  %6.2f  ", c->count[i],
               100.0 * (double)c->count[i] / (double)total, 100.0 * (double)sum / (double)total);
        for (uint64_t bar = (c->count[i] * 30 + most - 1) / most; bar; bar--)
            putchar('#');
        putchar('\n');
    }
}

static void print_text(const struct hg_stat *s, const hg_trace_reader *reader) {
    char program[64];
    if (hg_trace_reader_header_get(reader, "program", program, sizeof program))
        printf("program           %s\n", program);
    printf("operations        %" PRIu64 "\n", s->operation_count);
    printf("requested         %" PRIu64 " bytes in all\n", s->requested_bytes);
    printf("live at most      %" PRIu64 " bytes (operation %" PRIu64 "), %" PRIu64 " blocks\n",
           s->live_bytes_peak, s->peak_operation, s->live_blocks_peak);
    printf("live at the end   %" PRIu64 " bytes, %" PRIu64 " blocks\n", s->live_bytes,
           s->live_blocks);
    printf("failed            %" PRIu64 "\n", s->failed_count);
    printf("time passed       %.3f s\n", (double)s->clock_ns / 1e9);

    printf("\noperations by kind\n");
    for (unsigned kind = 0; kind < HG_OP_KIND_COUNT; kind++)
        if (s->kind_count[kind])
            printf("  %-20s %12" PRIu64 " %6.2f %%\n", hg_op_kind_name(kind), s->kind_count[kind],
                   100.0 * (double)s->kind_count[kind] / (double)s->operation_count);

    printf("\nthreads           %zu\n", s->thread_limit);
    for (size_t i = 0; i < s->thread_limit && i < THREADS_SHOWN; i++)
        printf("  t%-19zu %12" PRIu64 " operations\n", i, s->thread_count[i]);
    if (s->thread_limit > THREADS_SHOWN)
        printf("  ... %zu more\n", s->thread_limit - THREADS_SHOWN);
    printf("cross-thread frees %" PRIu64 " of %" PRIu64 " (%.2f %%)\n", s->cross_thread_free_count,
           s->freed_count,
           s->freed_count ? 100.0 * (double)s->cross_thread_free_count / (double)s->freed_count
                          : 0);
    printf("free(NULL)        %" PRIu64 "\n", s->free_null_count);
    printf("reallocations     %" PRIu64 ": %" PRIu64 " grow, %" PRIu64 " shrink\n",
           s->realloc_count, s->realloc_grow_count, s->realloc_shrink_count);

    print_classes("sizes requested, bytes", &s->sizes);
    print_classes("alignments requested, bytes", &s->alignments);
    print_classes("lifetimes of blocks freed, operations", &s->lifetimes);
    print_classes("reallocations of blocks freed", &s->chains);

    printf("\nlive over time\n     operation        live bytes   live blocks\n");
    for (size_t i = 0; i < s->point_count; i++)
        printf("  %12" PRIu64 "  %16" PRIu64 "  %12" PRIu64 "\n", s->points[i].operation,
               s->points[i].live_bytes, s->points[i].live_blocks);
}

/* ---- JSON ---- */

static void print_json_classes(const char *name, const struct hg_classes *c) {
    const char *comma = "";
    printf("  \"%s\": [", name);
    for (unsigned i = 0; i < 65; i++) {
        if (!c->count[i])
            continue;
        printf("%s{\"from\": %" PRIu64 ", \"count\": %" PRIu64 "}", comma,
               i ? (uint64_t)1 << (i - 1) : 0, c->count[i]);
        comma = ", ";
    }
    printf("],\n");
}

static void print_json(const struct hg_stat *s, bool is_cut) {
    const char *comma = "";
    printf("{\n  \"operations\": %" PRIu64 ",\n  \"is_cut\": %s,\n  \"by_kind\": {",
           s->operation_count, is_cut ? "true" : "false");
    for (unsigned kind = 0; kind < HG_OP_KIND_COUNT; kind++) {
        if (!s->kind_count[kind])
            continue;
        printf("%s\"%s\": %" PRIu64, comma, hg_op_kind_name(kind), s->kind_count[kind]);
        comma = ", ";
    }
    printf("},\n");
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"requested_bytes", s->requested_bytes},
        {"live_bytes_peak", s->live_bytes_peak},
        {"live_bytes_peak_operation", s->peak_operation},
        {"live_blocks_peak", s->live_blocks_peak},
        {"live_bytes_end", s->live_bytes},
        {"live_blocks_end", s->live_blocks},
        {"failed", s->failed_count},
        {"clock_ns", s->clock_ns},
        {"frees_of_blocks", s->freed_count},
        {"frees_of_null", s->free_null_count},
        {"cross_thread_frees", s->cross_thread_free_count},
        {"reallocations", s->realloc_count},
        {"reallocations_growing", s->realloc_grow_count},
        {"reallocations_shrinking", s->realloc_shrink_count},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        printf("  \"%s\": %" PRIu64 ",\n", numbers[i].name, numbers[i].value);
    printf("  \"operations_by_thread\": [");
    for (size_t i = 0; i < s->thread_limit; i++)
        printf("%s%" PRIu64, i ? ", " : "", s->thread_count[i]);
    printf("],\n");
    print_json_classes("sizes_bytes", &s->sizes);
    print_json_classes("alignments_bytes", &s->alignments);
    print_json_classes("lifetimes_operations", &s->lifetimes);
    print_json_classes("reallocations_per_block", &s->chains);
    printf("  \"live\": [");
    for (size_t i = 0; i < s->point_count; i++)
        printf("%s{\"operation\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"blocks\": %" PRIu64 "}",
               i ? ", " : "", s->points[i].operation, s->points[i].live_bytes,
               s->points[i].live_blocks);
    printf("]\n}\n");
}

/* ---- picture ---- */

static bool draw(const struct hg_stat *s, const hg_trace_reader *reader, const char *path) {
    char program[64];
    if (!hg_trace_reader_header_get(reader, "program", program, sizeof program))
        snprintf(program, sizeof program, "a trace");
    FILE *const out = fopen(path, "we");
    const bool drawn = out && hg_stat_plot(out, s, program);
    if (out && fclose(out) == 0 && drawn)
        return true;
    fprintf(stderr, "heapgauge stat: %s: cannot write: %s\n", path, strerror(errno));
    return false;
}

/* ---- the command ---- */

static bool read_options(int argc, char **argv, bool *json, size_t *points, const char **plot,
                         const char **trace, int *status) {
    enum { JSON = 256, POINTS, PLOT };
    static const struct option names[] = {{"json", no_argument, NULL, JSON},
                                          {"points", required_argument, NULL, POINTS},
                                          {"plot", required_argument, NULL, PLOT},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *status = STATUS_USAGE;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "h", names, NULL)) != -1;) {
        switch (option) {
        case JSON:
            *json = true;
            break;
        case POINTS:
            *points = strtoul(optarg, NULL, 10);
            if (*points < 1 || *points > POINTS_MAX) {
                fprintf(stderr, "heapgauge stat: --points=%s: give a number from 1 to %d\n", optarg,
                        POINTS_MAX);
                return false;
            }
            break;
        case PLOT:
            *plot = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            *status = 0;
            return false;
        default:
            return false;
        }
    }
    if (argc - optind != 1) {
        fprintf(stderr, "heapgauge stat: name one trace: heapgauge stat T.hgt\n");
        return false;
    }
    *trace = argv[optind];
    return true;
}

int hg_stat_main(int argc, char **argv) {
    struct hg_stat s;
    size_t points = 0;
    bool json = false;
    const char *path, *plot = NULL;
    char why[512];
    hg_trace_reader *reader;
    int status;
    if (!read_options(argc, argv, &json, &points, &plot, &path, &status))
        return status;
    if (hg_trace_reader_open(path, &reader, why, sizeof why) != HG_OK) {
        fprintf(stderr, "heapgauge stat: %s\n", why);
        return STATUS_USAGE;
    }
    if (points == 0)
        points = plot ? POINTS_PLOTTED : POINTS_DEFAULT;
    const enum hg_status read = hg_stat_open(&s, points) ? hg_stat_read(&s, reader) : HG_ERR_MEMORY;
    bool drawn = true;
    if (plot)
        drawn = read != HG_END || draw(&s, reader, plot); /* of a cut trace no picture */
    else if (json)
        print_json(&s, read != HG_END);
    else
        print_text(&s, reader);
    status = drawn ? 0 : STATUS_USAGE;
    if (read != HG_END || fflush(stdout) != 0) {
        fflush(stdout);
        fprintf(stderr, "heapgauge stat: %s\n",
                read == HG_ERR_MEMORY ? "out of memory"
                : read != HG_END      ? hg_trace_reader_why(reader)
                                      : strerror(errno));
        status = STATUS_USAGE;
    }
    hg_trace_reader_close(reader);
    hg_stat_close(&s);
    return status;
}
