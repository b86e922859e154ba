/* Rows made of rows: statistics of repetitions, and the fitted curve of a family. */
#include "internal.h"

#include <math.h>
#include <string.h>

const char *hg__row_name(const hg__row *row) {
    return row->aggregate_name ? hg__textf("%s_%s", row->run_name, row->aggregate_name)
                               : row->run_name;
}

static double mean(const double *values, size_t count, void *arg) {
    (void)arg;
    return hg__mean(values, count);
}

static double median(const double *values, size_t count, void *arg) {
    (void)arg;
    return hg__median(values, count);
}

static double stddev(const double *values, size_t count, void *arg) {
    (void)arg;
    return hg__stddev(values, count);
}

static double cv(const double *values, size_t count, void *arg) {
    (void)arg;
    return hg__cv(values, count);
}

static const hg__statistic standard[] = {
    {"mean", mean, NULL, false},
    {"median", median, NULL, false},
    {"stddev", stddev, NULL, false},
    {"cv", cv, NULL, true},
};
enum { STANDARD_COUNT = sizeof standard / sizeof standard[0] };

/* The rows that were measured, and a buffer for as many numbers. */
typedef struct sample {
    const hg__row **rows;
    double *values;
    size_t count;
} sample;

static sample measured(const hg__row *rows, size_t count) {
    sample s = {hg__alloc(count * sizeof(hg__row *)), hg__alloc(count * sizeof *s.values), 0};
    for (size_t i = 0; i < count; i++) {
        if (rows[i].skip == HG__NOT_SKIPPED)
            s.rows[s.count++] = &rows[i];
    }
    return s;
}

static void add_counters(hg__row *row, const sample *s, const hg__statistic *statistic) {
    for (size_t c = 0; c < s->rows[0]->counters.count; c++) {
        const hg__counter *first = &s->rows[0]->counters.items[c];
        size_t found = 0;
        for (size_t i = 0; i < s->count; i++) {
            const hg__counter *counter = hg__counters_find(&s->rows[i]->counters, first->name);
            if (counter)
                s->values[found++] = counter->value;
        }
        double value = statistic->fn(s->values, found, statistic->arg);
        if (!isfinite(value))
            continue;
        hg__counter *counter = hg__counters_get(&row->counters, first->name, hg__alloc);
        counter->value = value;
        counter->flags = first->flags;
    }
}

static const char *common_label(const sample *s) {
    for (size_t i = 1; i < s->count; i++) {
        if (strcmp(s->rows[i]->label, s->rows[0]->label) != 0)
            return "";
    }
    return s->rows[0]->label;
}

static void fill(hg__row *row, const sample *s, const hg__statistic *statistic) {
    *row = (hg__row){
        .instance = s->rows[0]->instance,
        .run_name = s->rows[0]->run_name,
        .aggregate_name = statistic->name,
        .type = HG__AGGREGATE,
        .percentage = statistic->percentage,
        .iterations = s->count,
        .label = common_label(s),
    };
    for (size_t i = 0; i < s->count; i++)
        s->values[i] = s->rows[i]->real_time;
    row->real_time = statistic->fn(s->values, s->count, statistic->arg);
    for (size_t i = 0; i < s->count; i++)
        s->values[i] = s->rows[i]->cpu_time;
    row->cpu_time = statistic->fn(s->values, s->count, statistic->arg);
    add_counters(row, s, statistic);
}

size_t hg__aggregate(const hg__row *rows, size_t count, hg__row **aggregates) {
    sample s = measured(rows, count);
    if (s.count < 2)
        return 0;
    const hg_benchmark *family = s.rows[0]->instance->family;
    size_t total = STANDARD_COUNT + family->statistic_count;
    *aggregates = hg__alloc(total * sizeof **aggregates);
    for (size_t i = 0; i < total; i++)
        fill(&(*aggregates)[i], &s,
             i < STANDARD_COUNT ? &standard[i] : &family->statistics[i - STANDARD_COUNT]);
    return total;
}

size_t hg__fit_rows(const hg__row *const *rows, size_t count, hg__row fitted[2]) {
    double scale =
        hg__unit_per_second(hg__flag.unit) / hg__unit_per_second(rows[0]->instance->unit);
    double *n = hg__alloc(count * sizeof *n);
    double *real = hg__alloc(count * sizeof *real), *cpu = hg__alloc(count * sizeof *cpu);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i]->skip != HG__NOT_SKIPPED || rows[i]->complexity_n <= 0)
            continue;
        n[used] = rows[i]->complexity_n;
        real[used] = rows[i]->real_time * scale;
        cpu[used++] = rows[i]->cpu_time * scale;
    }
    if (used < 2)
        return 0;
    const hg_benchmark *family = rows[0]->instance->family;
    hg__fit cpu_fit = hg__fit_curve(n, cpu, used, family->complexity, family->complexity_fn);
    hg__fit real_fit = hg__fit_curve(n, real, used, cpu_fit.complexity, family->complexity_fn);
    fitted[0] = (hg__row){
        .instance = rows[0]->instance,
        .run_name = hg__instance_name(family, NULL, rows[0]->instance->threads),
        .aggregate_name = "BigO",
        .type = HG__BIG_O,
        .real_time = real_fit.coefficient,
        .cpu_time = cpu_fit.coefficient,
        .big_o = cpu_fit.complexity,
        .label = rows[0]->label,
    };
    fitted[1] = fitted[0];
    fitted[1].aggregate_name = "RMS";
    fitted[1].type = HG__RMS;
    fitted[1].percentage = true;
    fitted[1].real_time = real_fit.rms;
    fitted[1].cpu_time = cpu_fit.rms;
    return 2;
}
