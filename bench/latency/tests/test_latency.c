/* Histogram, clock and timing decorator. `latency_units probe` reads values from standard input and prints
 * percentiles and the .hgrm, for test_latency.py to compare with its own. */
#include "histogram.h"
#include "tick.h"
#include "timed.h"

#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            failures++;                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
        }                                                                                          \
    } while (0)

static hg_histogram histogram;

/* Where HdrHistogram puts these, by hand: exact up to 2047, then steps of 2, 4, 8, ... */
static void test_layout(void) {
    static const struct {
        uint64_t value;
        uint32_t cell;
        uint64_t low, high;
    } rows[] = {
        {0, 0, 0, 0},
        {1, 1, 1, 1},
        {1023, 1023, 1023, 1023},
        {2047, 2047, 2047, 2047},
        {2048, 2048, 2048, 2049},
        {2049, 2048, 2048, 2049},
        {4095, 3071, 4094, 4095},
        {4096, 3072, 4096, 4099},
        {10007, 3 * 1024 + 1250, 10000, 10007},
        {HG_HISTOGRAM_VALUE_MAX, HG_HISTOGRAM_CELLS - 1, HG_HISTOGRAM_VALUE_MAX - (1 << 25) + 1,
         HG_HISTOGRAM_VALUE_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t cell = hg_histogram_cell(rows[i].value);
        CHECK(cell == rows[i].cell);
        CHECK(hg_histogram_cell_low(cell) == rows[i].low);
        CHECK(hg_histogram_cell_high(cell) == rows[i].high);
    }
    for (uint32_t cell = 1; cell < HG_HISTOGRAM_CELLS; cell++) {
        CHECK(hg_histogram_cell_low(cell) == hg_histogram_cell_high(cell - 1) + 1);
        CHECK(hg_histogram_cell(hg_histogram_cell_low(cell)) == cell);
        CHECK(hg_histogram_cell(hg_histogram_cell_high(cell)) == cell);
    }
}

static void test_percentiles(void) {
    hg_histogram_clear(&histogram);
    CHECK(hg_histogram_percentile(&histogram, 50) == 0);
    for (uint64_t value = 1; value <= 100; value++)
        hg_histogram_record(&histogram, value);
    CHECK(hg_histogram_percentile(&histogram, 0) == 1);
    CHECK(hg_histogram_percentile(&histogram, 50) == 50);
    CHECK(hg_histogram_percentile(&histogram, 99) == 99);
    CHECK(hg_histogram_percentile(&histogram, 100) == 100);
    CHECK(hg_histogram_mean(&histogram) == 50.5);
    hg_histogram other;
    memset(&other, 0, sizeof other);
    hg_histogram_record(&other, UINT64_MAX); /* counted as the greatest there is */
    hg_histogram_add(&histogram, &other);
    CHECK(histogram.total == 101 && histogram.max == HG_HISTOGRAM_VALUE_MAX);
    CHECK(hg_histogram_percentile(&histogram, 100) == HG_HISTOGRAM_VALUE_MAX);
    hg_histogram_clear(&histogram);
    CHECK(histogram.total == 0 && hg_histogram_percentile(&histogram, 100) == 0);
}

static void test_clock(void) {
    hg_tick_calibrate();
    CHECK(hg_tick.ns_per_tick > 0.01 && hg_tick.ns_per_tick <= 100);
    CHECK(hg_tick.resolution_ticks >= 1);
    uint64_t begin = hg_tick_begin();
    CHECK(hg_tick_end() >= begin);
}

/* ---- the decorator, on a backend that does nothing ---- */

static char block[64];
static int calls;

static void *toy_malloc(size_t size) {
    (void)size;
    calls++;
    return block;
}

static void toy_free(void *ptr) {
    calls += ptr == block;
}

static uint64_t count_of(enum hg_timed_kind kind, unsigned size_class) {
    hg_timed_sum(kind, size_class, &histogram);
    return histogram.total;
}

static void test_decorator(void) {
    static hg_backend toy = {.libc = {.malloc = toy_malloc, .free = toy_free}};
    const hg_backend *timed = hg_timed_wrap(&toy);
    CHECK(timed && !timed->libc.calloc); /* what is missing stays missing */
    CHECK(hg_timed_wrap(&toy) == NULL);
    timed->libc.free(timed->libc.malloc(64)); /* not recorded: before the start */
    hg_timed_start();
    static const size_t sizes[] = {0, 1, 2, 33, 64, 65};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        timed->libc.free(timed->libc.malloc(sizes[i]));
    hg_timed_stop();
    timed->libc.free(timed->libc.malloc(64)); /* nor after the stop */
    CHECK(calls == 16);
    CHECK(count_of(HG_TIMED_MALLOC, 0) == 2);
    CHECK(count_of(HG_TIMED_MALLOC, 1) == 1);
    CHECK(count_of(HG_TIMED_MALLOC, 6) == 2);
    CHECK(count_of(HG_TIMED_MALLOC, 7) == 1);
    CHECK(count_of(HG_TIMED_FREE, HG_TIMED_CLASS_ANY) == 6);
    CHECK(count_of(HG_TIMED_CALLOC, 6) == 0);
    hg_timed_start();
    CHECK(count_of(HG_TIMED_FREE, HG_TIMED_CLASS_ANY) == 0);
    hg_timed_stop();
}

static int probe(void) {
    unsigned long long value;
    while (scanf("%llu", &value) == 1)
        hg_histogram_record(&histogram, value);
    static const double percents[] = {0, 50, 90, 99, 99.9, 99.99, 100};
    for (size_t i = 0; i < sizeof percents / sizeof *percents; i++)
        printf("%g %llu\n", percents[i],
               (unsigned long long)hg_histogram_percentile(&histogram, percents[i]));
    hg_histogram_write_hgrm(&histogram, 1, stdout);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "probe") == 0)
        return probe();
    test_layout();
    test_percentiles();
    test_clock();
    test_decorator();
    printf("%d failures\n", failures);
    return failures > 0;
}
