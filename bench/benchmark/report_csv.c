/* CSV: ten fixed columns, then the counters. Rows wait for the end, because the header holds the union of all counters
 * (the original takes those of the first row, and drops or aborts on the rest). */
#include "internal.h"

#include <inttypes.h>
#include <string.h>

typedef struct csv_reporter {
    hg__reporter base;
    const hg__row **rows;
    size_t count, capacity;
} csv_reporter;

static void write_quoted(hg_sink *out, const char *text) {
    hg_sink_putc(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            hg_sink_putc(out, '"');
        hg_sink_putc(out, *text);
    }
    hg_sink_putc(out, '"');
}

/* Counters that have a column among the fixed ones, there or not. */
static const char *const fixed_counters[] = {"bytes_per_second", "items_per_second"};
enum { FIXED_COUNTERS = sizeof fixed_counters / sizeof *fixed_counters };

static bool is_fixed(const char *name) {
    bool found = false;
    for (size_t i = 0; i < FIXED_COUNTERS; i++)
        found |= strcmp(name, fixed_counters[i]) == 0;
    return found;
}

/* Of all rows, those with a fixed column left out. */
static hg__counters union_of_counters(const csv_reporter *reporter) {
    hg__counters all = {0};
    for (size_t i = 0; i < reporter->count; i++)
        hg__counters_add(&all, &reporter->rows[i]->counters, hg__alloc);
    size_t kept = 0;
    for (size_t i = 0; i < all.count; i++) {
        if (!is_fixed(all.items[i].name))
            all.items[kept++] = all.items[i];
    }
    all.count = kept;
    return all;
}

static void write_header(hg_sink *out, const hg__counters *columns) {
    hg_sink_puts(out,
                 "name,iterations,real_time,cpu_time,time_unit,bytes_per_second,items_per_second,"
                 "label,error_occurred,error_message");
    for (size_t i = 0; i < columns->count; i++) {
        hg_sink_putc(out, ',');
        write_quoted(out, columns->items[i].name);
    }
    hg_sink_putc(out, '\n');
}

static void write_counter(hg_sink *out, const hg__row *row, const char *name) {
    const hg__counter *counter = hg__counters_find(&row->counters, name);
    hg_sink_putc(out, ',');
    if (counter)
        hg_sink_printf(out, "%g", counter->value);
}

static void write_measured(hg_sink *out, const hg__row *row, const hg__counters *columns) {
    bool fitted = row->type == HG__BIG_O || row->type == HG__RMS;
    if (!fitted)
        hg_sink_printf(out, "%" PRIu64, row->iterations);
    hg_sink_printf(out, ",%g,%g,", row->real_time, row->cpu_time);
    if (row->type == HG__BIG_O)
        hg_sink_puts(out, hg__big_o_name(row->big_o));
    else if (!row->percentage)
        hg_sink_puts(out, hg__unit_name(row->instance->unit));
    for (size_t i = 0; i < FIXED_COUNTERS; i++)
        write_counter(out, row, fixed_counters[i]);
    hg_sink_putc(out, ',');
    if (row->label[0])
        write_quoted(out, row->label);
    hg_sink_puts(out, ",,");
    for (size_t i = 0; i < columns->count; i++)
        write_counter(out, row, columns->items[i].name);
    hg_sink_putc(out, '\n');
}

/* Everything empty but what happened. */
static void write_skipped(hg_sink *out, const hg__row *row, const hg__counters *columns) {
    hg_sink_puts(out, row->skip == HG__SKIPPED_ERROR ? ",,,,,,,true," : ",,,,,,,false,");
    write_quoted(out, row->message);
    for (size_t i = 0; i < columns->count; i++)
        hg_sink_putc(out, ',');
    hg_sink_putc(out, '\n');
}

static void begin(hg__reporter *self, const hg__context *context) {
    (void)self;
    (void)context;
}

static void report(hg__reporter *self, const hg__row *row) {
    csv_reporter *reporter = (csv_reporter *)self;
    reporter->rows =
        hg__grow(reporter->rows, reporter->count, &reporter->capacity, sizeof(hg__row *));
    reporter->rows[reporter->count++] = row;
}

static void end(hg__reporter *self) {
    const csv_reporter *reporter = (csv_reporter *)self;
    hg__counters columns = union_of_counters(reporter);
    write_header(self->out, &columns);
    for (size_t i = 0; i < reporter->count; i++) {
        const hg__row *row = reporter->rows[i];
        write_quoted(self->out, hg__row_name(row));
        hg_sink_putc(self->out, ',');
        if (row->skip == HG__NOT_SKIPPED)
            write_measured(self->out, row, &columns);
        else
            write_skipped(self->out, row, &columns);
    }
    hg_sink_flush(self->out);
}

static void list(hg__reporter *self, const hg__instance *instances, size_t count) {
    hg_sink_puts(self->out, "name\n");
    for (size_t i = 0; i < count; i++) {
        write_quoted(self->out, instances[i].name);
        hg_sink_putc(self->out, '\n');
    }
}

hg__reporter *hg__csv_reporter(hg_sink *out) {
    csv_reporter *reporter = hg__alloc(sizeof *reporter);
    reporter->base = (hg__reporter){begin, report, end, list, out, false, false};
    return &reporter->base;
}
