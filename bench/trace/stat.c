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

#include "heapgauge/trace.h"

enum { STATUS_USAGE = 2, POINTS_DEFAULT = 20, POINTS_MAX = 10000, THREADS_SHOWN = 16 };

static const char usage[] =
    "usage: heapgauge stat [--json] [--points=N] T.hgt\n"
    "Says what a trace is like: operations, sizes, alignments, lifetimes, threads, live bytes.\n"
    "  --json        as JSON\n"
    "  --points=N    live bytes at about N points (20)\n"
    "Sizes and lifetimes are counted in classes of powers of two; a lifetime is the number of operations\n"
    "from a block's allocation to its free.\n";

/* Counts by power of two: [0] holds 0, [i] holds 2^(i-1) .. 2^i - 1. */
struct classes {
    uint64_t count[65];
};

static void count_in(struct classes *classes, uint64_t value) {
    classes->count[value ? 64 - __builtin_clzll(value) : 0]++;
}

/* The block in a slot. */
struct block {
    uint64_t bytes, birth; /* birth: index of its allocation + 1; 0: the slot is empty */
    uint32_t realloc_count;
    uint16_t thread; /* that allocated it */
};

struct point {
    uint64_t operation, live_bytes, live_blocks;
};

struct stat_of_trace {
    uint64_t operation_count, clock_ns, failed_count;
    uint64_t kind_count[HG_OP_KIND_COUNT];
    struct classes sizes, alignments, lifetimes, chains;
    uint64_t free_null_count, cross_thread_free_count, freed_count;
    uint64_t realloc_count, realloc_grow_count, realloc_shrink_count;
    uint64_t requested_bytes;
    uint64_t live_bytes, live_blocks, live_bytes_peak, live_blocks_peak, peak_operation;
    uint64_t *thread_count; /* operations, by thread */
    size_t thread_limit;    /* thread numbers used */
    struct block *slot;
    size_t slot_capacity;
    struct point *points; /* room for 2 * wanted */
    size_t point_count, points_wanted;
    uint64_t stride;
};

/* ---- counting ---- */

static bool grow_slots(struct stat_of_trace *s, uint32_t slot) {
    size_t capacity = s->slot_capacity ? s->slot_capacity : 4096;
    while (capacity <= slot)
        capacity *= 2;
    struct block *const memory = realloc(s->slot, capacity * sizeof *memory);
    if (!memory)
        return false;
    memset(memory + s->slot_capacity, 0, (capacity - s->slot_capacity) * sizeof *memory);
    s->slot = memory;
    s->slot_capacity = capacity;
    return true;
}

/* Takes a point every `stride` operations; when there are too many, every other one goes. */
static void take_point(struct stat_of_trace *s) {
    if (s->operation_count % s->stride != 0)
        return;
    if (s->point_count == 2 * s->points_wanted) {
        for (size_t i = 0; i < s->points_wanted; i++)
            s->points[i] = s->points[2 * i + 1];
        s->point_count = s->points_wanted;
        s->stride *= 2;
        if (s->operation_count % s->stride != 0)
            return;
    }
    s->points[s->point_count++] = (struct point){s->operation_count, s->live_bytes, s->live_blocks};
}

static void end_block(struct stat_of_trace *s, struct block *block, uint16_t thread) {
    if (!block->birth)
        return;
    count_in(&s->lifetimes, s->operation_count - (block->birth - 1));
    count_in(&s->chains, block->realloc_count);
    s->freed_count++;
    s->cross_thread_free_count += thread != block->thread;
    s->live_bytes -= block->bytes;
    s->live_blocks--;
    block->birth = 0;
}

static void set_bytes(struct stat_of_trace *s, struct block *block, uint64_t bytes) {
    s->live_bytes += bytes - block->bytes;
    block->bytes = bytes;
    if (s->live_bytes > s->live_bytes_peak) {
        s->live_bytes_peak = s->live_bytes;
        s->peak_operation = s->operation_count;
    }
    if (s->live_blocks > s->live_blocks_peak)
        s->live_blocks_peak = s->live_blocks;
}

static void begin_block(struct stat_of_trace *s, struct block *block, const hg_op *op) {
    end_block(s, block, op->thread);
    *block = (struct block){.birth = s->operation_count + 1, .thread = op->thread};
    s->live_blocks++;
    set_bytes(s, block, hg_op_bytes(op));
}

static void count_realloc(struct stat_of_trace *s, struct block *block, const hg_op *op) {
    const uint64_t bytes = hg_op_bytes(op);
    s->realloc_count++;
    s->realloc_grow_count += bytes > block->bytes;
    s->realloc_shrink_count += bytes < block->bytes;
    block->realloc_count++;
    set_bytes(s, block, bytes);
}

static bool has_alignment(unsigned kind) {
    return hg_op_has_arg(kind) && hg_op_allocates(kind) && kind != HG_OP_CALLOC;
}

static bool count_op(struct stat_of_trace *s, const hg_op *op) {
    const bool failed = op->flags & HG_OPF_FAILED;
    if (op->slot != HG_SLOT_NONE && op->slot >= s->slot_capacity && !grow_slots(s, op->slot))
        return false;
    struct block *const block = op->slot == HG_SLOT_NONE ? NULL : &s->slot[op->slot];
    s->kind_count[op->kind]++;
    s->thread_count[op->thread]++;
    if (op->thread >= s->thread_limit)
        s->thread_limit = op->thread + 1u;
    s->failed_count += failed;
    if (op->kind == HG_OP_CLOCK)
        s->clock_ns += op->size;
    if (hg_op_allocates(op->kind) || hg_op_reallocates(op->kind)) {
        count_in(&s->sizes, hg_op_bytes(op));
        if (!failed)
            s->requested_bytes += hg_op_bytes(op);
    }
    if (has_alignment(op->kind))
        count_in(&s->alignments, op->arg);
    if (hg_op_frees(op->kind)) {
        if (block)
            end_block(s, block, op->thread);
        else
            s->free_null_count++;
    } else if (block && !failed && hg_op_allocates(op->kind)) {
        begin_block(s, block, op);
    } else if (block && !failed && hg_op_reallocates(op->kind)) {
        if (block->birth)
            count_realloc(s, block, op);
        else
            begin_block(s, block, op); /* realloc(NULL, n) */
    }
    s->operation_count++;
    take_point(s);
    return true;
}

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

static void print_classes(const char *title, const struct classes *c) {
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

static void print_text(const struct stat_of_trace *s, const hg_trace_reader *reader) {
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

static void print_json_classes(const char *name, const struct classes *c) {
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

static void print_json(const struct stat_of_trace *s, bool is_cut) {
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

/* ---- the command ---- */

static enum hg_status count_trace(struct stat_of_trace *s, hg_trace_reader *reader) {
    const hg_op *ops;
    size_t count;
    enum hg_status status;
    while ((status = hg_trace_reader_next(reader, &ops, &count, NULL)) == HG_OK)
        for (size_t i = 0; i < count; i++)
            if (!count_op(s, &ops[i]))
                return HG_ERR_MEMORY;
    return status;
}

static bool read_options(int argc, char **argv, bool *json, size_t *points, const char **trace,
                         int *status) {
    enum { JSON = 256, POINTS };
    static const struct option names[] = {{"json", no_argument, NULL, JSON},
                                          {"points", required_argument, NULL, POINTS},
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
        case 'h':
            fputs(usage, stdout);
            *status = 0;
            return false;
        default:
            fprintf(stderr, "heapgauge stat: see `heapgauge stat --help`\n");
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
    struct stat_of_trace s = {.points_wanted = POINTS_DEFAULT, .stride = 1};
    bool json = false;
    const char *path;
    char why[512];
    hg_trace_reader *reader;
    int status;
    if (!read_options(argc, argv, &json, &s.points_wanted, &path, &status))
        return status;
    if (hg_trace_reader_open(path, &reader, why, sizeof why) != HG_OK) {
        fprintf(stderr, "heapgauge stat: %s\n", why);
        return STATUS_USAGE;
    }
    s.points = calloc(2 * s.points_wanted, sizeof *s.points);
    s.thread_count = calloc(HG_TRACE_THREADS_MAX, sizeof *s.thread_count);
    const enum hg_status read =
        s.points && s.thread_count ? count_trace(&s, reader) : HG_ERR_MEMORY;
    if (json)
        print_json(&s, read != HG_END);
    else
        print_text(&s, reader);
    status = 0;
    if (read != HG_END || fflush(stdout) != 0) {
        fflush(stdout);
        fprintf(stderr, "heapgauge stat: %s\n",
                read == HG_ERR_MEMORY ? "out of memory"
                : read != HG_END      ? hg_trace_reader_why(reader)
                                      : strerror(errno));
        status = STATUS_USAGE;
    }
    hg_trace_reader_close(reader);
    free(s.slot);
    free(s.points);
    free(s.thread_count);
    return status;
}
