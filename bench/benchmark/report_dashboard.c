/* Files for dashboards, which take every entry for a series: one entry a benchmark, the median of
 * its repetitions, nothing that failed, no aggregates, no curves. */
#include "internal.h"

#include <string.h>

/* The measured real times of one benchmark, sorted. */
typedef struct series {
    const hg__instance *instance;
    double *times;
    size_t count;
    hg__row row; /* the first measured row, with medians */
} series;

static series collect(const hg__runner *runner) {
    series s = {.instance = runner->instance};
    s.times = hg__alloc((size_t)runner->done * sizeof *s.times);
    for (int i = 0; i < runner->done; i++) {
        if (runner->rows[i].skip != HG__NOT_SKIPPED)
            continue;
        if (s.count == 0)
            s.row = runner->rows[i];
        s.times[s.count++] = runner->rows[i].real_time;
    }
    hg__sort(s.times, s.count);
    hg__row *aggregates;
    if (hg__aggregate(runner->rows, (size_t)runner->done, &aggregates) > 0) {
        const hg__row *median = &aggregates[1];
        s.row.real_time = median->real_time;
        s.row.cpu_time = median->cpu_time;
        s.row.counters = median->counters;
    }
    return s;
}

static void write_googlecpp(hg_json *json, const hg__context *context, const series *all,
                            size_t count) {
    hg_json_object(json);
    hg_json_key(json, "context");
    hg__json_context(json, context);
    hg_json_key(json, "benchmarks");
    hg_json_array(json);
    for (size_t i = 0; i < count; i++) {
        if (all[i].count > 0)
            hg__json_row(json, &all[i].row);
    }
    hg_json_end_array(json);
    hg_json_end_object(json);
}

/* github-action-benchmark's own: [{name, unit, value, range, extra}]. */
static void write_smaller_is_better(hg_json *json, const series *all, size_t count) {
    hg_json_array(json);
    for (size_t i = 0; i < count; i++) {
        const series *s = &all[i];
        if (s->count == 0)
            continue;
        hg_json_object(json);
        hg_json_key(json, "name");
        hg_json_string(json, s->instance->name);
        hg_json_key(json, "unit");
        hg_json_string(json, hg__textf("%s/iter", hg__unit_name(s->instance->unit)));
        hg_json_key(json, "value");
        hg_json_double(json, s->row.real_time);
        if (s->count > 1) {
            hg_json_key(json, "range");
            hg_json_string(json, hg__textf("± %g", hg__stddev(s->times, s->count)));
        }
        hg_json_key(json, "extra");
        hg_json_string(json, hg__textf("iterations: %llu\nrepetitions: %zu\nthreads: %d",
                                       (unsigned long long)s->row.iterations, s->count,
                                       s->instance->threads));
        hg_json_end_object(json);
    }
    hg_json_end_array(json);
}

/* Bencher Metric Format: {name: {"latency": {value, lower_value, upper_value}}}, in ns. The bounds
 * are the 95 % interval of the median; under 6 repetitions there is none. */
static void write_bmf(hg_json *json, const series *all, size_t count) {
    hg_json_object(json);
    for (size_t i = 0; i < count; i++) {
        const series *s = &all[i];
        if (s->count == 0)
            continue;
        double to_ns = 1e9 / hg__unit_per_second(s->instance->unit);
        hg_json_key(json, s->instance->name);
        hg_json_object(json);
        hg_json_key(json, "latency");
        hg_json_object(json);
        hg_json_key(json, "value");
        hg_json_double(json, s->row.real_time * to_ns);
        size_t low, high;
        if (hg__median_interval(s->count, &low, &high)) {
            hg_json_key(json, "lower_value");
            hg_json_double(json, s->times[low] * to_ns);
            hg_json_key(json, "upper_value");
            hg_json_double(json, s->times[high] * to_ns);
        }
        hg_json_end_object(json);
        hg_json_end_object(json);
    }
    hg_json_end_object(json);
}

void hg__write_dashboard(hg_sink *out, hg__dashboard format, const hg__context *context,
                         const hg__runner *runners, size_t count) {
    series *all = hg__alloc((count + 1) * sizeof *all);
    for (size_t i = 0; i < count; i++)
        all[i] = collect(&runners[i]);
    hg_json json;
    hg_json_begin(&json, out);
    if (format == HG__GOOGLECPP)
        write_googlecpp(&json, context, all, count);
    else if (format == HG__SMALLER_IS_BETTER)
        write_smaller_is_better(&json, all, count);
    else
        write_bmf(&json, all, count);
    hg_json_finish(&json);
}
