/* A log-linear histogram with HdrHistogram's layout, three significant digits: exact counts in cells of at most
 * 1/1024 of their value, from 0 to 2^36 - 1. Unit: whatever the caller counts in. Recording costs some
 * instructions and one cache line; not for several threads at once. */
#ifndef HG_HISTOGRAM_H
#define HG_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    HG_HISTOGRAM_HALF_BITS = 10, /* half of a bucket's 2048 sub-buckets */
    HG_HISTOGRAM_VALUE_BITS = 36,
    HG_HISTOGRAM_SUB_BUCKETS = 2 << HG_HISTOGRAM_HALF_BITS,
    HG_HISTOGRAM_BUCKETS = HG_HISTOGRAM_VALUE_BITS - HG_HISTOGRAM_HALF_BITS,
    HG_HISTOGRAM_CELLS = (HG_HISTOGRAM_BUCKETS + 1) << HG_HISTOGRAM_HALF_BITS,
};
#define HG_HISTOGRAM_VALUE_MAX ((UINT64_C(1) << HG_HISTOGRAM_VALUE_BITS) - 1)

typedef struct hg_histogram {
    uint64_t total, max; /* max: the greatest value recorded, exactly */
    uint64_t cells[HG_HISTOGRAM_CELLS];
} hg_histogram;

/* The cell of a value <= HG_HISTOGRAM_VALUE_MAX; the least and the greatest value of a cell. */
static inline uint32_t hg_histogram_cell(uint64_t value) {
    int bucket =
        63 - __builtin_clzll(value | (HG_HISTOGRAM_SUB_BUCKETS - 1)) - HG_HISTOGRAM_HALF_BITS;
    return ((uint32_t)bucket << HG_HISTOGRAM_HALF_BITS) + (uint32_t)(value >> bucket);
}
uint64_t hg_histogram_cell_low(uint32_t cell);
uint64_t hg_histogram_cell_high(uint32_t cell);

/* Greater values than HG_HISTOGRAM_VALUE_MAX are counted as that. */
static inline void hg_histogram_record(hg_histogram *histogram, uint64_t value) {
    if (value > HG_HISTOGRAM_VALUE_MAX)
        value = HG_HISTOGRAM_VALUE_MAX;
    histogram->cells[hg_histogram_cell(value)]++;
    histogram->total++;
    if (value > histogram->max)
        histogram->max = value;
}

void hg_histogram_clear(hg_histogram *histogram);
void hg_histogram_add(hg_histogram *sum, const hg_histogram *histogram);

/* The greatest value of the cell that holds the value of rank `percent` % of all, rounded, at least 1; 0 if nothing
 * was recorded. As HdrHistogram's getValueAtPercentile. */
uint64_t hg_histogram_percentile(const hg_histogram *histogram, double percent);
double hg_histogram_mean(const hg_histogram *histogram);
double hg_histogram_stddev(const hg_histogram *histogram);

/* HdrHistogram's percentile distribution (.hgrm), five lines to each halving of what is left above; values are
 * multiplied by `scale`. */
void hg_histogram_write_hgrm(const hg_histogram *histogram, double scale, FILE *out);

#endif
