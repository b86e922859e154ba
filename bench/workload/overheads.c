#include "overheads.h"

#include "workload.h"

#include "heapgauge/meter.h"

#include <math.h>
#include <stddef.h>

enum { PASSES = 4000, TRIES = 7 };

static char block[64];

/* Stands for malloc and free: a call that cannot be seen through. */
static __attribute__((noinline)) void *give(size_t size) {
    __asm__ volatile("" : : "r"(size));
    return block;
}

static __attribute__((noinline)) void take(void *ptr) {
    __asm__ volatile("" : : "r"(ptr));
}

static void pass_empty(void) {
    for (int i = 0; i < PASSES; i++)
        hg_workload_touch(block);
}

static void pass_direct(void) {
    for (int i = 0; i < PASSES; i++) {
        void *ptr = give(64);
        hg_workload_touch(ptr);
        take(ptr);
    }
}

static void pass_pointers(void) {
    void *(*volatile allocate)(size_t) = give;
    void (*volatile release)(void *) = take;
    void *(*const allocate_now)(size_t) = allocate;
    void (*const release_now)(void *) = release;
    for (int i = 0; i < PASSES; i++) {
        void *ptr = allocate_now(64);
        hg_workload_touch(ptr);
        release_now(ptr);
    }
}

static void pass_clock(void) {
    for (int i = 0; i < PASSES / 10; i++)
        (void)hg_time_ns();
}

/* The fastest of some tries: what disturbs only ever adds. */
static double fastest_ns(void (*pass)(void), int passes) {
    double best = INFINITY;
    for (int i = 0; i < TRIES; i++) {
        uint64_t begin_ns = hg_time_ns();
        pass();
        best = fmin(best, (double)(hg_time_ns() - begin_ns));
    }
    return best / passes;
}

struct hg_overheads hg_overheads_measure(void) {
    double direct_ns = fastest_ns(pass_direct, PASSES);
    return (struct hg_overheads){
        .loop_ns = fastest_ns(pass_empty, PASSES),
        .dispatch_ns = fmax(0, fastest_ns(pass_pointers, PASSES) - direct_ns),
        .timer_ns = fastest_ns(pass_clock, PASSES / 10),
    };
}
