#include "tick.h"

#include "histogram.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

struct hg_tick hg_tick;

static bool tsc_is_invariant(void) {
#if defined(__x86_64__)
    enum { ADVANCED_POWER = 0x80000007, INVARIANT_BIT = 1 << 8 };
    unsigned a, b, c, d;
    return __get_cpuid(ADVANCED_POWER, &a, &b, &c, &d) && (d & INVARIANT_BIT);
#else
    return false;
#endif
}

/* The rate of the counter, against the system's clock over some ms. */
static double measure_ns_per_tick(void) {
    enum { INTERVAL_NS = 20000000 };
    uint64_t clock_begin = hg_tick_clock(), tick_begin = hg_tick_begin(), clock_end;
    do
        clock_end = hg_tick_clock();
    while (clock_end - clock_begin < INTERVAL_NS);
    uint64_t tick_end = hg_tick_end();
    return (double)(clock_end - clock_begin) / (double)(tick_end - tick_begin);
}

void hg_tick_calibrate(void) {
    enum { SAMPLES = 100000 };
    static hg_histogram nothing;
    hg_histogram_clear(&nothing);
    hg_tick = (struct hg_tick){.is_tsc = tsc_is_invariant()};
    hg_tick.ns_per_tick = hg_tick.is_tsc ? measure_ns_per_tick() : 1;
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t begin = hg_tick_begin();
        hg_histogram_record(&nothing, hg_tick_since(begin));
    }
    hg_tick.cost_ticks = hg_histogram_percentile(&nothing, 50);
    uint64_t spread = hg_histogram_percentile(&nothing, 99);
    hg_tick.resolution_ticks = spread - hg_tick.cost_ticks + 1;
}
