#include "curve.h"

#include "../frag/footprint.h"
#include "../latency/tick.h"
#include "../latency/timed.h"

#include "workload.h"

#include <math.h>
#include <stdio.h>

enum { ROWS_MAX = 256, POINTS_MAX = 160 };

static const double standard[] = {50, 90, 99, 99.9, 99.99};
enum { STANDARD = sizeof standard / sizeof *standard };

struct point {
    double percentile;
    uint64_t ticks;
};

/* Operations of one kind and size class together. */
struct row {
    int kind;       /* -1: all */
    int size_class; /* -1: all */
    uint64_t count, max_ticks;
    double mean_ticks;
    uint64_t standard_ticks[STANDARD]; /* 0: fewer than one operation above it */
    size_t point_count;                /* of a row for one size class: 0 */
    struct point points[POINTS_MAX];
};

struct hg_curve {
    enum hg_curve_kind kind; /* NONE until gathered */
    struct hg_tick tick;
    size_t row_count;
    struct row rows[ROWS_MAX];
    struct hg_footprint footprint;
};

struct hg_curve *hg_curve_create(void) {
    return hg_shared_map(sizeof(struct hg_curve));
}

static enum hg_curve_kind recording;

void hg_curve_start(void) {
    if (recording == HG_CURVE_LATENCY)
        hg_timed_start();
}

void hg_curve_stop(void) {
    if (recording == HG_CURVE_LATENCY)
        hg_timed_stop();
}

static void begin(const hg_state *state) {
    (void)state;
    hg_curve_start();
}

static void end(const hg_state *state) {
    (void)state;
    hg_curve_stop();
}

const hg_backend *hg_curve_wrap(struct hg_curve *curve, enum hg_curve_kind kind,
                                const hg_backend *backend) {
    recording = kind;
    if (kind == HG_CURVE_FOOTPRINT)
        return hg_footprint_wrap(backend, &curve->footprint);
    hg_tick_calibrate();
    hg_workload_set_hooks(begin, end);
    return hg_timed_wrap(backend);
}

/* ---- latency ---- */

/* Percentiles as HdrHistogram steps through them: five to each halving of what is left above; those
 * with at least one operation above them. */
static void take_points(const hg_histogram *times, struct row *row) {
    enum { STEPS_PER_HALVING = 5 };
    double percent = 0;
    for (int halving = 1; row->point_count < POINTS_MAX; halving++) {
        for (int step = 0; step < STEPS_PER_HALVING && row->point_count < POINTS_MAX; step++) {
            if ((double)times->total * (100 - percent) < 100)
                return;
            row->points[row->point_count++] =
                (struct point){percent, hg_histogram_percentile(times, percent)};
            percent += 100 / (STEPS_PER_HALVING * pow(2, halving));
        }
    }
}

static void add_row(struct hg_curve *curve, int kind, int size_class, const hg_histogram *times) {
    if (curve->row_count == ROWS_MAX || times->total == 0)
        return;
    struct row *row = &curve->rows[curve->row_count++];
    row->kind = kind;
    row->size_class = size_class;
    row->count = times->total;
    row->max_ticks = times->max;
    row->mean_ticks = hg_histogram_mean(times);
    for (int i = 0; i < STANDARD; i++)
        if ((double)times->total * (100 - standard[i]) >= 100)
            row->standard_ticks[i] = hg_histogram_percentile(times, standard[i]);
    if (size_class < 0)
        take_points(times, row);
}

static void gather_latency(struct hg_curve *curve) {
    static hg_histogram all, of_kind, one;
    curve->tick = hg_tick;
    for (int pass = 0; pass < 3; pass++) { /* all first, then kinds, then classes */
        for (int kind = 0; kind < HG_TIMED_KINDS; kind++) {
            hg_histogram_clear(&of_kind);
            for (int class = 0; class < HG_TIMED_CLASSES; class ++) {
                if (!hg_timed_sum((enum hg_timed_kind)kind, (unsigned)class, &one))
                    continue;
                hg_histogram_add(&of_kind, &one);
                if (pass == 2 && class != HG_TIMED_CLASS_ANY)
                    add_row(curve, kind, class, &one);
            }
            if (pass == 0 && of_kind.total > 0)
                hg_histogram_add(&all, &of_kind);
            if (pass == 1)
                add_row(curve, kind, -1, &of_kind);
        }
        if (pass == 0)
            add_row(curve, -1, -1, &all);
    }
}

void hg_curve_gather(struct hg_curve *curve) {
    if (recording == HG_CURVE_FOOTPRINT)
        hg_footprint_finish();
    if (recording == HG_CURVE_LATENCY)
        gather_latency(curve);
    curve->kind = recording;
}

/* ---- JSON ---- */

static void member_double(hg_json *json, const char *key, double value) {
    hg_json_key(json, key);
    hg_json_double(json, value);
}

static void put_row(hg_json *json, const struct hg_curve *curve, const struct row *row) {
    double ns = curve->tick.ns_per_tick;
    hg_json_object(json);
    hg_json_member_string(json, "operation",
                          row->kind < 0 ? NULL : hg_timed_kind_name((enum hg_timed_kind)row->kind));
    hg_json_key(json, "size_max_bytes");
    if (row->size_class < 0)
        hg_json_null(json);
    else
        hg_json_u64(json, UINT64_C(1) << row->size_class);
    hg_json_member_u64(json, "count", row->count);
    member_double(json, "mean_ns", row->mean_ticks * ns);
    member_double(json, "max_ns", (double)row->max_ticks * ns);
    hg_json_key(json, "at");
    hg_json_object(json);
    for (int i = 0; i < STANDARD; i++) {
        char name[16];
        snprintf(name, sizeof name, "%g", standard[i]);
        if (row->standard_ticks[i] > curve->tick.resolution_ticks)
            member_double(json, name, (double)row->standard_ticks[i] * ns);
    }
    hg_json_end_object(json);
    for (int part = 0; part < 2 && row->point_count > 0; part++) {
        hg_json_key(json, part == 0 ? "percentiles" : "ns");
        hg_json_array(json);
        for (size_t i = 0; i < row->point_count; i++) {
            if (row->points[i].ticks <= curve->tick.resolution_ticks)
                continue; /* not told from nothing */
            hg_json_double(json, part == 0 ? row->points[i].percentile
                                           : (double)row->points[i].ticks * ns);
        }
        hg_json_end_array(json);
    }
    hg_json_end_object(json);
}

static void put_latency(hg_json *json, const struct hg_curve *curve) {
    double ns = curve->tick.ns_per_tick;
    hg_json_key(json, "latency");
    hg_json_object(json);
    hg_json_member_string(json, "clock", curve->tick.is_tsc ? "tsc" : "clock_gettime");
    member_double(json, "clock_cost_ns", (double)curve->tick.cost_ticks * ns);
    member_double(json, "clock_resolution_ns", (double)curve->tick.resolution_ticks * ns);
    hg_json_key(json, "rows");
    hg_json_array(json);
    for (size_t i = 0; i < curve->row_count; i++)
        put_row(json, curve, &curve->rows[i]);
    hg_json_end_array(json);
    hg_json_end_object(json);
}

/* One list a quantity, all of one length. */
static void put_footprint(hg_json *json, const struct hg_footprint *footprint) {
    hg_json_key(json, "footprint");
    hg_json_object(json);
    hg_json_member_u64(json, "operations", footprint->operations);
    hg_json_key(json, "is_cut");
    hg_json_bool(json, footprint->is_cut);
    static const char *const keys[] = {"operation", "live_bytes", "rss_bytes"};
    for (int key = 0; key < 3; key++) {
        hg_json_key(json, keys[key]);
        hg_json_array(json);
        for (size_t i = 0; i < footprint->sample_count; i++) {
            const struct hg_footprint_sample *sample = &footprint->samples[i];
            hg_json_u64(json, key == 0   ? sample->operation
                              : key == 1 ? sample->live_bytes
                                         : sample->rss_bytes);
        }
        hg_json_end_array(json);
    }
    hg_json_key(json, "seconds");
    hg_json_array(json);
    for (size_t i = 0; i < footprint->sample_count; i++)
        hg_json_double(json, (double)footprint->samples[i].time_ns * 1e-9);
    hg_json_end_array(json);
    hg_json_end_object(json);
}

void hg_curve_json(hg_json *json, const struct hg_curve *curve) {
    if (curve->kind == HG_CURVE_LATENCY)
        put_latency(json, curve);
    if (curve->kind == HG_CURVE_FOOTPRINT)
        put_footprint(json, &curve->footprint);
}
