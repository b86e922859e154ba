#include "histogram.h"

#include <math.h>
#include <string.h>

enum { HALF = 1 << HG_HISTOGRAM_HALF_BITS };

static uint32_t bucket_of_cell(uint32_t cell) {
    return cell < 2 * HALF ? 0 : (cell >> HG_HISTOGRAM_HALF_BITS) - 1;
}

uint64_t hg_histogram_cell_low(uint32_t cell) {
    uint32_t bucket = bucket_of_cell(cell);
    return (uint64_t)(cell - bucket * HALF) << bucket;
}

uint64_t hg_histogram_cell_high(uint32_t cell) {
    return hg_histogram_cell_low(cell) + (UINT64_C(1) << bucket_of_cell(cell)) - 1;
}

static double cell_middle(uint32_t cell) {
    return (double)(hg_histogram_cell_low(cell) + ((UINT64_C(1) << bucket_of_cell(cell)) >> 1));
}

/* Cells that can be other than 0. */
static uint32_t cell_count(const hg_histogram *histogram) {
    return histogram->total ? hg_histogram_cell(histogram->max) + 1 : 0;
}

void hg_histogram_clear(hg_histogram *histogram) {
    memset(histogram->cells, 0, cell_count(histogram) * sizeof *histogram->cells);
    histogram->total = histogram->max = 0;
}

void hg_histogram_add(hg_histogram *sum, const hg_histogram *histogram) {
    uint32_t count = cell_count(histogram);
    for (uint32_t i = 0; i < count; i++)
        sum->cells[i] += histogram->cells[i];
    sum->total += histogram->total;
    if (histogram->max > sum->max)
        sum->max = histogram->max;
}

uint64_t hg_histogram_percentile(const hg_histogram *histogram, double percent) {
    uint64_t rank = (uint64_t)(percent / 100 * (double)histogram->total + 0.5), seen = 0;
    if (rank == 0)
        rank = 1;
    uint32_t count = cell_count(histogram);
    for (uint32_t i = 0; i < count; i++) {
        seen += histogram->cells[i];
        if (seen >= rank)
            return hg_histogram_cell_high(i);
    }
    return 0;
}

double hg_histogram_mean(const hg_histogram *histogram) {
    double sum = 0;
    uint32_t count = cell_count(histogram);
    for (uint32_t i = 0; i < count; i++)
        sum += (double)histogram->cells[i] * cell_middle(i);
    return count ? sum / (double)histogram->total : 0;
}

double hg_histogram_stddev(const hg_histogram *histogram) {
    double mean = hg_histogram_mean(histogram), sum = 0;
    uint32_t count = cell_count(histogram);
    for (uint32_t i = 0; i < count; i++)
        sum += (double)histogram->cells[i] * pow(cell_middle(i) - mean, 2);
    return count ? sqrt(sum / (double)histogram->total) : 0;
}

/* ---- .hgrm ---- */

struct distribution {
    FILE *out;
    double scale, level; /* level: percentile of the next line */
};

static void print_line(const struct distribution *to, double value, double level, uint64_t seen) {
    fprintf(to->out, "%12.3f %2.12f %10llu", value * to->scale, level / 100,
            (unsigned long long)seen);
    if (level < 100)
        fprintf(to->out, " %14.2f\n", 1 / (1 - level / 100));
    else
        fputc('\n', to->out);
}

static void next_level(struct distribution *to) {
    enum { LINES_PER_HALVING = 5 };
    double halvings = floor(log2(100 / (100 - to->level))) + 1;
    to->level += 100 / (LINES_PER_HALVING * pow(2, halvings));
}

static void print_cells(const hg_histogram *histogram, struct distribution *to) {
    uint64_t seen = 0;
    uint32_t count = cell_count(histogram);
    for (uint32_t i = 0; i < count; i++) {
        if (histogram->cells[i] == 0)
            continue;
        seen += histogram->cells[i];
        double percent = 100 * (double)seen / (double)histogram->total;
        double value = (double)hg_histogram_cell_high(i);
        bool is_last = seen == histogram->total;
        for (bool more = true; more && to->level <= percent; more = !is_last) {
            print_line(to, value, to->level, seen);
            next_level(to);
        }
        if (is_last)
            print_line(to, value, 100, seen);
    }
}

void hg_histogram_write_hgrm(const hg_histogram *histogram, double scale, FILE *out) {
    struct distribution to = {out, scale, 0};
    fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    print_cells(histogram, &to);
    fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n",
            hg_histogram_mean(histogram) * scale, hg_histogram_stddev(histogram) * scale);
    fprintf(
        out, "#[Max     = %12.3f, Total count    = %12llu]\n",
        (double)(histogram->total ? hg_histogram_cell_high(hg_histogram_cell(histogram->max)) : 0) *
            scale,
        (unsigned long long)histogram->total);
    fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", HG_HISTOGRAM_BUCKETS,
            HG_HISTOGRAM_SUB_BUCKETS);
}
