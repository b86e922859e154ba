/* Containment: runs a function in a child process whose crash, hang or hunger can't take the caller
 * along. The child gets its own process group and dies with its parent. */
#ifndef HEAPGAUGE_CONTAIN_H
#define HEAPGAUGE_CONTAIN_H

#include "heapgauge/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hg_limits {
    double timeout_s; /* wall time; 0: none */
    /* Resident memory of the child, polled, faster as it comes nearer; never more than nine tenths of what
     * is free at the start. 0: three quarters of that. Should memory run out in between, the kernel kills
     * the child before any other process. */
    uint64_t memory_bytes;
    /* A counter in shared memory, or NULL: timeout_s counts from when it last changed, so that slow work on
     * a crowded machine is told from a hang, up to ten times timeout_s in all. */
    const uint64_t *beat;
};

enum hg_outcome {
    HG_OUTCOME_EXITED,  /* returned or exited; exit_status holds its status */
    HG_OUTCOME_CRASHED, /* died of a signal; signal holds it */
    HG_OUTCOME_TIMEOUT, /* killed by us: no end in sight */
    HG_OUTCOME_MEMORY,  /* killed by us, or by the kernel: it took more than its share */
};

struct hg_contained {
    enum hg_outcome outcome;
    int exit_status;
    int signal;
    uint64_t rss_seen_bytes; /* greatest seen while polling */
    double seconds;
};

/* Forks, runs body(argument) in the child, which exits with its result (0..255), and waits.
 * What the child finds out reaches the parent through memory shared before (hg_shared_map).
 * HG_ERR_SYSTEM iff no child could be made. Not to be called with other threads running. */
HG_WARN_UNUSED enum hg_status hg_contain(int (*body)(void *argument), void *argument,
                                         const struct hg_limits *limits, struct hg_contained *out);

/* Zeroed memory shared with children of fork; NULL iff there is none. Never unmapped. */
void *hg_shared_map(uint64_t size);

/* "ok", "crashed", "timeout", "out-of-memory". Static storage. */
const char *hg_outcome_name(enum hg_outcome outcome);

#ifdef __cplusplus
}
#endif
#endif
