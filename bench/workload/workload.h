/* Workloads: named benchmarks of an allocator. One file each; registered by one line in workload.c.
 *
 * A workload is a benchmark function (benchmark.h) that finds its allocator with
 * hg_workload_backend() and says at its end how many operations it asked of it, so that the harness
 * can hold this number against what a counting decorator saw. Its instances are named as Google
 * Benchmark names them, with the backend as the first part: `pair/backend:core/size:64`. A name
 * without the backend part names the same instance on whatever backend is asked for:
 * `pair/size:64`. */
#ifndef HG_WORKLOAD_H
#define HG_WORKLOAD_H

#include "heapgauge/backend.h"
#include "heapgauge/benchmark.h"

struct hg_workload {
    const char *name;
    const char *what; /* one sentence: what it stresses */
    hg_benchmark_fn *run;
    /* Adds arguments, threads, set-up to the family. */
    void (*configure)(hg_benchmark *b);
};

/* The i-th workload; NULL past the end. */
const struct hg_workload *hg_workload_at(size_t index);

/* Registers every workload for a backend under `NAME/backend:LABEL`. The backend must stay. */
void hg_workload_register(const hg_backend *backend, const char *label);

/* Same for those of `heapgauge bench --scaling`, which are no part of the suite: scaling_... */
void hg_workload_register_scaling(const hg_backend *backend, const char *label);

/* ---- inside a workload ---- */

/* The allocator to use. */
static inline const hg_backend *hg_workload_backend(const hg_state *state) {
    return hg_state_arg(state);
}

/* To be called once by each thread after its loop: operations (calls of the allocator) it asked for
 * inside the loop. Sets items_per_second, and adds to the count of the process. */
void hg_workload_done(hg_state *state, uint64_t operations);

/* Operations that finished runs asked for, since the process started. */
uint64_t hg_workload_operations(void);

/* Wall and CPU time from the first thread's start of its loop to the last one's end, of the last
 * run; nanoseconds. Set by HG_WORKLOAD_LOOP. */
struct hg_workload_times {
    uint64_t wall_ns, cpu_ns;
    uint64_t calls; /* that a counting backend saw in between; 0 on any other */
    uint64_t threads;
    uint64_t live_peak_bytes, rss_at_live_peak_bytes; /* by hg_workload_live(); 0: not said */
};
struct hg_workload_times hg_workload_times(void);

/* Says, outside the timed loop, that now `bytes` are live (asked for and not freed) in the process;
 * resident memory is read where that is the most so far. */
void hg_workload_live(uint64_t bytes);

/* Bytes that workloads hold in mmap for tables of their own now: no memory of the allocator. */
uint64_t hg_workload_mapped_bytes(void);

/* Keeps a block as its program would: the compiler can't remove the pair, and the memory is used.
 */
static inline void hg_workload_touch(void *ptr) {
    *(volatile char *)ptr = 1;
}

/* Calls these right before the first thread starts its loop and right after the last has ended it, while no
 * thread is inside. NULL: none. */
void hg_workload_set_hooks(void (*begin)(const hg_state *state),
                           void (*end)(const hg_state *state));

void hg__workload_begin(hg_state *state);
void hg__workload_end(hg_state *state);

/* The timed loop. The first pass waits for the other threads and starts the clocks. */
#define HG_WORKLOAD_LOOP(state)                                                                    \
    for (bool hg__first = true;                                                                    \
         hg_keep_running(state)                                                                    \
             ? (hg__first ? (hg__workload_begin(state), hg__first = false, true) : true)           \
             : (hg__workload_end(state), false);)

#endif
