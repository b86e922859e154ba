/* The table on stdout, in Google Benchmark's columns and colours. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GREEN  "\033[0;32m"
#define BLUE   "\033[0;34m"
#define YELLOW "\033[0;33m"
#define CYAN   "\033[0;36m"
#define RED    "\033[0;31m"
#define WHITE  "\033[0;37m"
#define RESET  "\033[m"

enum { TABULAR_WIDTH = 10 };

typedef struct console_reporter {
    hg__reporter base;
    size_t name_width;
    bool printed_header;
    hg__counters previous;
} console_reporter;

/* Every piece of a row sets its colour and takes it back, the newline as well: byte for byte as the original does. */
static void set_color(const hg__reporter *self, const char *color) {
    if (self->color)
        hg_sink_puts(self->out, color);
}

static int column_width(const char *name) {
    size_t length = strlen(name);
    return length > TABULAR_WIDTH ? (int)length : TABULAR_WIDTH;
}

static void print_line(hg_sink *out, size_t length) {
    for (size_t i = 0; i < length; i++)
        hg_sink_putc(out, '-');
    hg_sink_putc(out, '\n');
}

static void print_padded(hg_sink *out, const char *text, size_t width) {
    hg_sink_puts(out, text);
    for (size_t i = strlen(text); i < width; i++)
        hg_sink_putc(out, ' ');
}

static const char *counter_headers(const hg__counters *counters, bool tabular) {
    if (counters->count == 0)
        return "";
    if (!tabular)
        return " UserCounters...";
    const char *text = "";
    for (size_t i = 0; i < counters->count; i++) {
        const char *name = counters->items[i].name;
        text = hg__textf("%s %*s", text, column_width(name), name);
    }
    return text;
}

static void print_header(console_reporter *self, const hg__row *row) {
    hg_sink *out = self->base.out;
    char columns[64];
    snprintf(columns, sizeof columns, " %13s %15s %12s", "Time", "CPU", "Iterations");
    const char *counters = counter_headers(&row->counters, self->base.tabular);
    size_t length = self->name_width + strlen(columns) + strlen(counters);
    print_line(out, length);
    print_padded(out, "Benchmark", self->name_width);
    hg_sink_puts(out, columns);
    hg_sink_puts(out, counters);
    hg_sink_putc(out, '\n');
    print_line(out, length);
}

static void print_time(hg_sink *out, double time, const char *unit) {
    const char *format = time < 1             ? "%10.3f"
                         : time < 10          ? "%10.2f"
                         : time < 100         ? "%10.1f"
                         : time > 9999999999. ? "%1.4e"
                                              : "%10.0f";
    char text[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, format, time);
#pragma GCC diagnostic pop
    hg_sink_printf(out, "%s %-4s ", text, unit);
}

static void print_times(hg_sink *out, const hg__row *row) {
    const char *unit = hg__unit_name(row->instance->unit);
    if (row->type == HG__BIG_O) {
        const char *curve = hg__big_o_name(row->big_o);
        hg_sink_printf(out, "%10.2f %-4s %10.2f %-4s ", row->real_time, curve, row->cpu_time,
                       curve);
    } else if (row->type == HG__RMS) {
        hg_sink_printf(out, "%10.0f %-4s %10.0f %-4s ", row->real_time * 100, "%",
                       row->cpu_time * 100, "%");
    } else if (row->percentage) {
        hg_sink_printf(out, "%10.2f %-4s %10.2f %-4s ", row->real_time * 100, "%",
                       row->cpu_time * 100, "%");
    } else {
        print_time(out, row->real_time, unit);
        print_time(out, row->cpu_time, unit);
    }
}

static void print_counter(const hg__reporter *self, const hg__row *row,
                          const hg__counter *counter) {
    hg_sink *out = self->out;
    char number[HG__NUMBER_SIZE];
    const char *unit = "";
    if (row->percentage) {
        snprintf(number, sizeof number, "%.2f", counter->value * 100);
        unit = "%";
    } else {
        hg__human_number(counter->value, counter->flags & HG_COUNTER_1024 ? 1024 : 1000, number);
        if (counter->flags & HG_COUNTER_IS_RATE)
            unit = counter->flags & HG_COUNTER_INVERT ? "s" : "/s";
    }
    if (self->tabular) {
        int width = column_width(counter->name) - (int)strlen(unit);
        hg_sink_printf(out, " %*s%s", width, number, unit);
    } else {
        hg_sink_printf(out, " %s=%s%s", counter->name, number, unit);
    }
}

static void print_measured(const hg__reporter *self, const hg__row *row) {
    hg_sink *out = self->out;
    set_color(self, YELLOW);
    print_times(out, row);
    set_color(self, RESET);
    if (row->type != HG__BIG_O && row->type != HG__RMS) {
        set_color(self, CYAN);
        hg_sink_printf(out, "%10" PRIu64, row->iterations);
        set_color(self, RESET);
    }
    for (size_t i = 0; i < row->counters.count; i++) {
        print_counter(self, row, &row->counters.items[i]);
        set_color(self, RESET);
    }
    if (row->label[0]) {
        hg_sink_putc(out, ' ');
        hg_sink_puts(out, row->label);
        set_color(self, RESET);
    }
}

static void print_skipped(const hg__reporter *self, const hg__row *row) {
    bool error = row->skip == HG__SKIPPED_ERROR;
    set_color(self, error ? RED : WHITE);
    hg_sink_puts(self->out, error ? "ERROR OCCURRED: '" : "SKIPPED: '");
    hg_sink_puts(self->out, row->message);
    hg_sink_putc(self->out, '\'');
    set_color(self, RESET);
}

static void begin(hg__reporter *base, const hg__context *context) {
    ((console_reporter *)base)->name_width = context->name_width;
}

static bool needs_header(const console_reporter *self, const hg__row *row) {
    if (!self->printed_header)
        return true;
    return self->base.tabular && !hg__counters_same_names(&row->counters, &self->previous);
}

static void report(hg__reporter *base, const hg__row *row) {
    console_reporter *self = (console_reporter *)base;
    if (needs_header(self, row))
        print_header(self, row);
    self->printed_header = true;
    self->previous = row->counters;
    set_color(base, row->type == HG__BIG_O || row->type == HG__RMS ? BLUE : GREEN);
    print_padded(base->out, hg__row_name(row), self->name_width);
    hg_sink_putc(base->out, ' ');
    set_color(base, RESET);
    if (row->skip == HG__NOT_SKIPPED)
        print_measured(base, row);
    else
        print_skipped(base, row);
    hg_sink_putc(base->out, '\n');
    set_color(base, RESET);
    hg_sink_flush(base->out);
}

static void end(hg__reporter *base) {
    (void)base;
}

static void list(hg__reporter *base, const hg__instance *instances, size_t count) {
    for (size_t i = 0; i < count; i++) {
        hg_sink_puts(base->out, instances[i].name);
        hg_sink_putc(base->out, '\n');
    }
}

hg__reporter *hg__console_reporter(hg_sink *out, bool color, bool tabular) {
    console_reporter *reporter = hg__alloc(sizeof *reporter);
    reporter->base = (hg__reporter){begin, report, end, list, out, color, tabular};
    return &reporter->base;
}
