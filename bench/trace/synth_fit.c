#define _GNU_SOURCE
#include "synth_fit.h"

#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heapgauge/backend.h"
#include "heapgauge/contain.h"
#include "heapgauge/player.h"
#include "stat_count.h"

enum { STATUS_FINDING = 1, STATUS_USAGE = 2, POINTS = 400, ROUNDS = 3, TIMEOUT_S = 600 };

/* ---- what is asked for ---- */

static bool count_file(const char *path, struct hg_stat *s) {
    char why[512];
    hg_trace_reader *reader;
    if (!hg_stat_open(s, POINTS)) {
        fprintf(stderr, "heapgauge synth: out of memory\n");
        return false;
    }
    if (hg_trace_reader_open(path, &reader, why, sizeof why) != HG_OK) {
        fprintf(stderr, "heapgauge synth: %s\n", why);
        return false;
    }
    const enum hg_status status = hg_stat_read(s, reader);
    if (status != HG_END)
        fprintf(stderr, "heapgauge synth: %s\n",
                status == HG_ERR_MEMORY ? "out of memory" : hg_trace_reader_why(reader));
    hg_trace_reader_close(reader);
    return status == HG_END;
}

/* Total variation: the share, in percent, that would have to move to make the two alike. */
static double distance(const uint64_t *a, const uint64_t *b, size_t count) {
    double sum_a = 0, sum_b = 0, apart = 0;
    for (size_t i = 0; i < count; i++) {
        sum_a += (double)a[i];
        sum_b += (double)b[i];
    }
    if (sum_a == 0 || sum_b == 0)
        return sum_a == sum_b ? 0 : 100;
    for (size_t i = 0; i < count; i++)
        apart += fabs((double)a[i] / sum_a - (double)b[i] / sum_b);
    return 50 * apart;
}

/* Live bytes at `part` of the way. */
static double live_at(const struct hg_stat *s, double part) {
    const double operation = part * (double)s->operation_count;
    size_t i = 0;
    while (i + 1 < s->point_count && (double)s->points[i].operation < operation)
        i++;
    return s->point_count ? (double)s->points[i].live_bytes : 0;
}

/* Mean difference of live bytes over time, in percent of the original's peak. */
static double live_distance(const struct hg_stat *a, const struct hg_stat *b) {
    double apart = 0;
    for (int i = 0; i < POINTS; i++)
        apart += fabs(live_at(a, (i + 0.5) / POINTS) - live_at(b, (i + 0.5) / POINTS));
    return a->live_bytes_peak ? 100 * apart / POINTS / (double)a->live_bytes_peak : 0;
}

static double percent_of(uint64_t part, uint64_t whole) {
    return whole ? 100 * (double)part / (double)whole : 0;
}

static double change(double from, double to) {
    return from > 0 ? 100 * (to / from - 1) : 0;
}

static void print_distances(const struct hg_stat *a, const struct hg_stat *b) {
    printf("distance of distributions (share that differs, by powers of two)\n"
           "  operations by kind   %6.2f %%\n"
           "  sizes                %6.2f %%\n"
           "  alignments           %6.2f %%\n"
           "  lifetimes            %6.2f %%\n"
           "  reallocations        %6.2f %%\n"
           "  threads              %6.2f %%\n",
           distance(a->kind_count, b->kind_count, HG_OP_KIND_COUNT),
           distance(a->sizes.count, b->sizes.count, 65),
           distance(a->alignments.count, b->alignments.count, 65),
           distance(a->lifetimes.count, b->lifetimes.count, 65),
           distance(a->chains.count, b->chains.count, 65),
           distance(a->thread_count, b->thread_count, HG_TRACE_THREADS_MAX));
    printf("                          original     synthetic\n"
           "operations            %12" PRIu64 "  %12" PRIu64 "\n"
           "live bytes, peak      %12" PRIu64 "  %12" PRIu64 "  %+.1f %%\n"
           "live bytes, end       %12" PRIu64 "  %12" PRIu64 "  %+.1f %%\n"
           "live blocks, peak     %12" PRIu64 "  %12" PRIu64 "  %+.1f %%\n"
           "freed elsewhere, %%    %12.2f  %12.2f\n"
           "live bytes over time: %.2f %% of the peak apart on average\n",
           a->operation_count, b->operation_count, a->live_bytes_peak, b->live_bytes_peak,
           change((double)a->live_bytes_peak, (double)b->live_bytes_peak), a->live_bytes,
           b->live_bytes, change((double)a->live_bytes, (double)b->live_bytes), a->live_blocks_peak,
           b->live_blocks_peak, change((double)a->live_blocks_peak, (double)b->live_blocks_peak),
           percent_of(a->cross_thread_free_count, a->freed_count),
           percent_of(b->cross_thread_free_count, b->freed_count), live_distance(a, b));
}

/* ---- what allocators make of it ---- */

struct replay {
    const hg_backend *backend;
    const char *path;
    struct outcome {
        enum hg_status status;
        struct hg_play_result result;
    } * outcome; /* shared with the child */
};

static enum hg_status next_of_trace(void *reader, const hg_op **ops, size_t *count,
                                    uint64_t *first) {
    return hg_trace_reader_next(reader, ops, count, first);
}

static int replay_in_child(void *argument) {
    struct replay *const replay = argument;
    char why[512];
    hg_trace_reader *reader;
    if (hg_trace_reader_open(replay->path, &reader, why, sizeof why) != HG_OK)
        return STATUS_USAGE;
    const struct hg_trace_totals *const totals = hg_trace_reader_totals(reader);
    if (!totals)
        return STATUS_USAGE;
    if (hg_trace_reader_look_ahead(reader) != HG_OK)
        return STATUS_USAGE;
    hg_trace_reader_settle(reader);
    struct hg_source source = {.next = next_of_trace,
                               .context = reader,
                               .slot_count = totals->slot_count,
                               .live_peak_operation = totals->live_bytes_peak_operation};
    const struct hg_play_config config = {
        .backend = replay->backend,
        .mode = totals->thread_count > 1 ? HG_PLAY_PARALLEL : HG_PLAY_SINGLE,
        .touch = true,
        .trace_clock = true,
    };
    replay->outcome->status = hg_play(&config, &source, &replay->outcome->result);
    return 0;
}

/* Footprint in bytes and time in ns per operation. False, told, if the replay did not end well. */
static bool replay(struct replay *r, double *footprint, double *time_ns) {
    const struct hg_limits limits = {.timeout_s = TIMEOUT_S};
    struct hg_contained child;
    memset(r->outcome, 0, sizeof *r->outcome);
    if (hg_contain(replay_in_child, r, &limits, &child) != HG_OK ||
        child.outcome != HG_OUTCOME_EXITED || child.exit_status != 0 ||
        r->outcome->status != HG_OK) {
        printf("  %-10s %s: replay failed: %s\n", r->backend->facts.name, r->path,
               r->outcome->status != HG_OK ? r->outcome->result.why
                                           : hg_outcome_name(child.outcome));
        return false;
    }
    const struct hg_play_result *const result = &r->outcome->result;
    *footprint = (double)result->rss_peak_bytes;
    *time_ns = (double)result->time_ns / (double)(result->operations ? result->operations : 1);
    return true;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[ROUNDS]) {
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

static bool compare_on(const hg_backend *backend, const char *original, const char *synthetic) {
    const char *const path[2] = {original, synthetic};
    double footprint[2][ROUNDS], time_ns[2][ROUNDS];
    struct replay r = {.backend = backend, .outcome = hg_shared_map(sizeof *r.outcome)};
    if (!r.outcome)
        return false;
    for (int round = 0; round < ROUNDS; round++) {
        for (int turn = 0; turn < 2; turn++) {
            const int which = (turn + round) % 2;
            r.path = path[which];
            if (!replay(&r, &footprint[which][round], &time_ns[which][round]))
                return false;
        }
    }
    const double bytes[2] = {median(footprint[0]), median(footprint[1])};
    const double ns[2] = {median(time_ns[0]), median(time_ns[1])};
    printf("  %-10s %9.2f %9.2f MiB %+6.1f %%   %8.1f %8.1f ns/op %+6.1f %%\n", backend->facts.name,
           bytes[0] / 1048576, bytes[1] / 1048576, change(bytes[0], bytes[1]), ns[0], ns[1],
           change(ns[0], ns[1]));
    return true;
}

static int compare_backends(const char *original, const char *synthetic, const char *list) {
    char *const copy = strdup(list);
    char *rest = copy, why[512];
    int status = copy ? 0 : STATUS_USAGE;
    malloc_trim(
        0); /* or "system" would find in the child what was freed here, and take nothing new */
    printf("replayed   footprint: original, synthetic          time: original, synthetic\n");
    for (const char *spec; status != STATUS_USAGE && (spec = strsep(&rest, ",")) != NULL;) {
        const hg_backend *backend;
        if (hg_backend_open(spec, &backend, why, sizeof why) != HG_OK) {
            fprintf(stderr, "heapgauge synth: %s\n", why);
            status = STATUS_USAGE;
        } else if (!compare_on(backend, original, synthetic)) {
            status = STATUS_FINDING;
        }
        fflush(stdout);
    }
    free(copy);
    return status;
}

int hg_fit_report(const char *original, const char *synthetic, const char *backends) {
    struct hg_stat a = {0}, b = {0};
    const bool good = count_file(original, &a) && count_file(synthetic, &b);
    if (good)
        print_distances(&a, &b);
    fflush(stdout);
    hg_stat_close(&a);
    hg_stat_close(&b);
    if (!good)
        return STATUS_USAGE;
    return backends ? compare_backends(original, synthetic, backends) : 0;
}
