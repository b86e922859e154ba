/* Meters: memory of this process, and clocks. Values come from the kernel's accounting of this process
 * (/proc/self), never from ru_maxrss, which a process inherits from its parent.
 * None of these functions allocates from a heap. */
#ifndef HEAPGAUGE_METER_H
#define HEAPGAUGE_METER_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Resident bytes now. Exact (smaps_rollup) where the kernel has it: some 100 us; else from statm. */
uint64_t hg_rss_bytes(void);
/* Resident bytes now, from statm: about 1 us, may lag by some pages a thread. */
uint64_t hg_rss_bytes_fast(void);
/* Forgets the high-water mark so far. False iff the kernel refuses. */
bool hg_rss_peak_reset(void);
/* Greatest resident bytes since the reset (VmHWM). */
uint64_t hg_rss_peak_bytes(void);
/* Makes what is mapped of files resident, as far as it can be read, before a baseline: code reached for the first
 * time comes 64 KiB at once, and would be taken for memory of the heap. Does nothing on kernels before 5.14. */
void hg_rss_settle_files(void);
/* Minor page faults so far. */
uint64_t hg_minor_faults(void);

/* Monotonic time and CPU time of all threads, nanoseconds. */
uint64_t hg_time_ns(void);
uint64_t hg_cpu_ns(void);

#ifdef __cplusplus
}
#endif
#endif
