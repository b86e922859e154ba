/* Three panels below one another; every number in them is in `heapgauge stat --json`, too. Written by
 * hand: a picture is worth no dependency. Each bar and curve carries its numbers as a tooltip. */
#include "stat_plot.h"

#include <inttypes.h>
#include <string.h>

enum { WIDTH = 900, LEFT = 90, PLOT_WIDTH = 740, PANEL = 200, STEP = 280, TOP = 80, LINES = 4 };

static const char style[] =
    "<style>text{font:12px sans-serif;fill:#333}.title{font-size:17px}.panel{font-size:13px;"
    "font-weight:bold}.end{text-anchor:end}.mid{text-anchor:middle}.grid{stroke:#ddd}.axis{stroke:#888}"
    ".bytes{fill:#2a6f97;fill-opacity:.25;stroke:#2a6f97;stroke-width:1.5}.blocks{fill:none;"
    "stroke:#c1666b;stroke-width:1.5}.bar{fill:#2a6f97}.blocks-key{fill:#c1666b}.bytes-key{fill:#2a6f97}"
    "</style>\n";

static void print_escaped(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '<' || *text == '>' || *text == '&')
            fprintf(out, "&#%d;", *text);
        else if ((unsigned char)*text >= ' ')
            fputc(*text, out);
    }
}

/* "1.5 Mi", "300 k": three digits, in powers of 1024 or 1000. */
static const char *short_number(double value, double base, char text[24]) {
    static const char *const units[2][7] = {{"", " k", " M", " G", " T", " P", " E"},
                                            {"", " Ki", " Mi", " Gi", " Ti", " Pi", " Ei"}};
    int unit = 0;
    while (value >= base && unit < 6) {
        value /= base;
        unit++;
    }
    snprintf(text, 24, "%.3g%s", value, units[base > 1000][unit]);
    return text;
}

static void print_text(FILE *out, const char *class, double x, double y, const char *text) {
    fprintf(out, "<text class=\"%s\" x=\"%.0f\" y=\"%.0f\">", class, x, y);
    print_escaped(out, text);
    fputs("</text>\n", out);
}

/* What the axis goes up to: at least `most`, with a round number at each of its lines. */
static double round_top(double most, double base) {
    static const double steps[] = {1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10};
    double unit = 1;
    while (most / LINES >= unit * base)
        unit *= base;
    while (most / LINES > unit * 10)
        unit *= 10;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (steps[i] * unit * LINES >= most && (unit > 1 || steps[i] == (int)steps[i]))
            return steps[i] * unit * LINES;
    return most;
}

/* Horizontal lines with their values on the left. */
static void print_grid(FILE *out, double top, double most, double base) {
    char text[24];
    for (int i = 0; i <= LINES; i++) {
        const double y = top + PANEL - (double)PANEL * i / LINES;
        fprintf(out, "<line class=\"%s\" x1=\"%d\" x2=\"%d\" y1=\"%.0f\" y2=\"%.0f\"/>\n",
                i ? "grid" : "axis", LEFT, LEFT + PLOT_WIDTH, y, y);
        print_text(out, "end", LEFT - 6, y + 4, short_number(most * i / LINES, base, text));
    }
}

static void plot_live(FILE *out, const struct hg_stat *s, double top) {
    const double operations = s->operation_count ? (double)s->operation_count : 1;
    const double bytes = round_top((double)s->live_bytes_peak, 1024);
    const double blocks = round_top((double)s->live_blocks_peak, 1000);
    char text[24];
    print_text(out, "panel", LEFT, top - 12, "Live bytes over time");
    print_text(out, "bytes-key", LEFT + 170, top - 12, "bytes (left)");
    print_text(out, "blocks-key", LEFT + 260, top - 12, "blocks (right)");
    print_grid(out, top, bytes, 1024);
    for (int i = 0; i <= LINES; i++) {
        print_text(out, "text", LEFT + PLOT_WIDTH + 6, top + PANEL - (double)PANEL * i / LINES + 4,
                   short_number(blocks * i / LINES, 1000, text));
        print_text(out, "mid", LEFT + (double)PLOT_WIDTH * i / LINES, top + PANEL + 18,
                   short_number(operations * i / LINES, 1000, text));
    }
    print_text(out, "mid", LEFT + PLOT_WIDTH / 2.0, top + PANEL + 36, "operations");
    fprintf(out, "<polygon class=\"bytes\" points=\"%d,%.0f", LEFT, top + PANEL);
    double x = LEFT;
    for (size_t i = 0; i < s->point_count; i++) {
        x = LEFT + PLOT_WIDTH * (double)s->points[i].operation / operations;
        fprintf(out, " %.1f,%.1f", x,
                top + PANEL - PANEL * (double)s->points[i].live_bytes / bytes);
    }
    fprintf(out,
            " %.1f,%.0f\"><title>at most %" PRIu64 " bytes, at operation %" PRIu64
            "</title></polygon>\n<polyline class=\"blocks\" points=\"%d,%.0f",
            x, top + PANEL, s->live_bytes_peak, s->peak_operation, LEFT, top + PANEL);
    for (size_t i = 0; i < s->point_count; i++)
        fprintf(out, " %.1f,%.1f", LEFT + PLOT_WIDTH * (double)s->points[i].operation / operations,
                top + PANEL - PANEL * (double)s->points[i].live_blocks / blocks);
    fprintf(out, "\"><title>at most %" PRIu64 " blocks</title></polyline>\n", s->live_blocks_peak);
}

static void plot_classes(FILE *out, const struct hg_classes *c, double top, const char *title,
                         const char *unit, double base) {
    unsigned first = 65, last = 0;
    uint64_t most = 1, total = 0;
    char text[24];
    for (unsigned i = 0; i < 65; i++) {
        if (!c->count[i])
            continue;
        first = first < i ? first : i;
        last = i;
        total += c->count[i];
        most = c->count[i] > most ? c->count[i] : most;
    }
    print_text(out, "panel", LEFT, top - 12, title);
    print_text(out, "mid", LEFT + PLOT_WIDTH / 2.0, top + PANEL + 36, unit);
    const double scale = round_top((double)most, 1000);
    print_grid(out, top, scale, 1000);
    if (!total) {
        print_text(out, "mid", LEFT + PLOT_WIDTH / 2.0, top + PANEL / 2.0, "none");
        return;
    }
    const unsigned count = last - first + 1, every = count / 16 + 1;
    const double width = (double)PLOT_WIDTH / count;
    for (unsigned i = first; i <= last; i++) {
        const double from = i ? (double)((uint64_t)1 << (i - 1)) : 0;
        const double height = PANEL * (double)c->count[i] / scale;
        const double x = LEFT + width * (i - first);
        short_number(from, base, text);
        fprintf(
            out,
            "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>from "
            "%s: %" PRIu64 " (%.2f %%)</title></rect>\n",
            x + 1, top + PANEL - height, width > 3 ? width - 2 : width, height, text, c->count[i],
            100 * (double)c->count[i] / (double)total);
        if ((i - first) % every == 0)
            print_text(out, "mid", x + width / 2, top + PANEL + 18, text);
    }
}

bool hg_stat_plot(FILE *out, const struct hg_stat *s, const char *title) {
    char line[160];
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d "
            "%d\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            WIDTH, TOP + 3 * STEP - 20, WIDTH, TOP + 3 * STEP - 20);
    fputs(style, out);
    print_text(out, "title", LEFT, 28, title);
    snprintf(line, sizeof line,
             "%" PRIu64 " operations, %zu thread%s, %.2f %% of frees on another thread",
             s->operation_count, s->thread_limit, s->thread_limit == 1 ? "" : "s",
             s->freed_count ? 100 * (double)s->cross_thread_free_count / (double)s->freed_count
                            : 0);
    print_text(out, "text", LEFT, 46, line);
    plot_live(out, s, TOP);
    plot_classes(out, &s->sizes, TOP + STEP, "Sizes requested", "bytes, from", 1024);
    plot_classes(out, &s->lifetimes, TOP + 2 * STEP, "Lifetimes of blocks freed",
                 "operations from allocation to free, from", 1024);
    fputs("</svg>\n", out);
    return !ferror(out);
}
