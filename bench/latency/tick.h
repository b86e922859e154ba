/* The cheapest clock to be trusted: the time stamp counter where it runs at one rate whatever the CPU does
 * (CPUID says "invariant"), else clock_gettime. Ticks are read so that what stands between a begin and an end
 * is between them in the CPU, too. */
#ifndef HG_TICK_H
#define HG_TICK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

struct hg_tick {
    bool is_tsc;
    double ns_per_tick;
    uint64_t cost_ticks;       /* median of a measurement of nothing; taken off each */
    uint64_t resolution_ticks; /* what is not above this, after that, is not told from nothing */
};

/* Set by hg_tick_calibrate(), which takes some 30 ms. */
extern struct hg_tick hg_tick;
void hg_tick_calibrate(void);

static inline uint64_t hg_tick_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t hg_tick_begin(void) {
#if defined(__x86_64__)
    if (hg_tick.is_tsc) {
        _mm_lfence();
        uint64_t ticks = __rdtsc();
        _mm_lfence();
        return ticks;
    }
#endif
    return hg_tick_clock();
}

static inline uint64_t hg_tick_end(void) {
#if defined(__x86_64__)
    if (hg_tick.is_tsc) {
        unsigned cpu;
        uint64_t ticks = __rdtscp(&cpu);
        _mm_lfence();
        return ticks;
    }
#endif
    return hg_tick_clock();
}

/* Ticks since `begin`, less the clock's own cost. */
static inline uint64_t hg_tick_since(uint64_t begin) {
    uint64_t ticks = hg_tick_end() - begin;
    return ticks > hg_tick.cost_ticks ? ticks - hg_tick.cost_ticks : 0;
}

#endif
