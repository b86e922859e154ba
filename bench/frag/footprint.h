/* A decorator that keeps account of live bytes and samples resident memory over operations: the
 * footprint of any workload or trace over its life, for a run that is not timed. One a process; calls
 * from several threads take turns. */
#ifndef HG_FOOTPRINT_H
#define HG_FOOTPRINT_H

#include "heapgauge/backend.h"

enum { HG_FOOTPRINT_SAMPLES_MAX = 512 };

/* rss: resident bytes above those before the first allocation, without a workload's own tables. */
struct hg_footprint_sample {
    uint64_t operation, time_ns, live_bytes, rss_bytes;
};

struct hg_footprint {
    /* More blocks were live than the account holds, or memory was short: what is here ends there. */
    bool is_cut;
    uint64_t operations, sample_every;
    size_t sample_count;
    struct hg_footprint_sample samples[HG_FOOTPRINT_SAMPLES_MAX];
};

/* Wraps `inner`; what is found out goes to *out, which must stay. NULL: a second call, or no memory. */
const hg_backend *hg_footprint_wrap(const hg_backend *inner, struct hg_footprint *out);

/* Takes a last sample. */
void hg_footprint_finish(void);

#endif
