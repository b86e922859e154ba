/* Cells in lock-step: the same workload, a benchmark or a trace, on several backends, each in a process of its own, in slices of a
 * fraction of a millisecond that take turns on one processor. What slows the machine for a while slows
 * neighbouring slices alike, so that their ratio does not feel it. Shared between `heapgauge lockstep`,
 * which hands out the turns, and `heapgauge cell --lockstep`, which takes them. */
#ifndef HG_LOCKSTEP_H
#define HG_LOCKSTEP_H

#include "command.h"

enum { HG_LOCKSTEP_ENTRIES_MAX = 16, HG_LOCKSTEP_SLICES_MAX = 4096 };

struct hg_lockstep;

/* Memory that processes share through a descriptor; NULL iff there is none. */
struct hg_lockstep *hg_lockstep_create(unsigned entries, unsigned slices, uint64_t seed, int *fd);
/* What create() made, in another process. NULL iff the descriptor is none of these. */
struct hg_lockstep *hg_lockstep_attach(int fd);

/* ---- for who takes turns: entry e ---- */

/* For hg_benchmark_set_slices() and hg_play_slices: waits for this entry's turn, and notes what its slices take. */
struct hg_lockstep_entry {
    struct hg_lockstep *shared;
    unsigned entry;
    uint64_t begin_ns;
};
unsigned hg_lockstep_slices(const struct hg_lockstep *shared);
void hg_lockstep_between(void *entry, uint64_t slice);
/* Nanoseconds of each slice: between the calls of between(), or what put() said since. */
void hg_lockstep_put_times(struct hg_lockstep *shared, unsigned entry, const uint64_t *times_ns);
const uint64_t *hg_lockstep_times(const struct hg_lockstep *shared, unsigned entry);

/* ---- for who hands them out ---- */

/* True when the entry waits for its first turn. */
bool hg_lockstep_is_ready(const struct hg_lockstep *shared, unsigned entry);
/* Starts the first turn; an entry that is gone is passed over. */
void hg_lockstep_begin(struct hg_lockstep *shared);
/* The entry whose turn it is, and the turns so far; false before the first and after the last. */
bool hg_lockstep_holder(const struct hg_lockstep *shared, unsigned *entry, unsigned *turn);
/* The entry's process ended: its turns go to the others. */
void hg_lockstep_is_gone(struct hg_lockstep *shared, unsigned entry);

#endif
