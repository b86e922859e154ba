/* What the counting decorator ("count:BACKEND") has seen. Counters are process-wide, in calls; they may
 * be read from any thread at any time. */
#ifndef HG_COUNTING_H
#define HG_COUNTING_H

#include <stdint.h>

enum hg_count_kind {
    HG_COUNT_ALLOC,   /* every allocating call */
    HG_COUNT_REALLOC, /* realloc, reallocarray, layout realloc */
    HG_COUNT_FREE,    /* free, sized frees, dealloc */
    HG_COUNT_OTHER,
    HG_COUNT_KINDS,
};

uint64_t hg_counting_get(enum hg_count_kind kind);
uint64_t hg_counting_total(void);

#endif
