/* Streams on several threads, one operation at a time: what thread does what, when, is in the stream, so
 * a failure replays. A thread begins with its first operation and ends with THREAD_END; while it ends, a
 * destructor of thread-specific data allocates and frees once more (C53). */
#ifndef HG_FUZZ_TURNS_H
#define HG_FUZZ_TURNS_H

#include "heapgauge/oracle.h"

/* Performs ops[0..count) under the oracle, from operation number `first_index` on. Stops at the first
 * status that is not HG_OK and returns it. Threads still running at the end are ended. */
HG_WARN_UNUSED enum hg_status hg_turns_play(hg_oracle *oracle, const hg_op *ops, size_t count,
                                            uint64_t first_index);

#endif
