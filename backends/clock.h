/* A clock for the allocator under test that goes by the trace. An allocator that gives memory back after
 * some time (jemalloc after 10 s, mimalloc after 100 ms) would not get round to it in a replay, which
 * takes a fraction of its program's time.
 *
 * What can be done: a library's own calls of clock_gettime, gettimeofday and time are led here, by its
 * global offset table; the core asks hg__virtual_ms. What can't: threads of the library's own that
 * sleep (jemalloc's background_thread), time read by system call or from the processor's counter. */
#ifndef HG_CLOCK_H
#define HG_CLOCK_H

#include "heapgauge/backend.h"

#include <stdbool.h>
#include <stdint.h>

/* Stops the clock for the library at `path` (as in facts.path) and for the core; from here on time
 * passes for them by hg__clock_advance alone. Returns how many places in the library ask for the time:
 * 0 for one that does not, and for the core. For the rest of the process's life. */
unsigned hg__clock_stop(const char *path);

/* Lets that many nanoseconds pass. Any thread. */
void hg__clock_advance(uint64_t ns);

#endif
