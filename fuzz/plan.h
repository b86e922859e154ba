/* Streams with a plan, which no mutation comes to: every size in turn, waves of blocks freed in one order, a
 * crowd, blocks that live long, giants.
 *
 * A child plays one before its inputs. They stand in its log like everything else, so that a finding replays
 * and is reduced as any other. */
#ifndef HG_FUZZ_PLAN_H
#define HG_FUZZ_PLAN_H

#include "session.h"

/* Plays the plan whose turn it is at `turn`, 0, 1, 2 ..., of `seed` for at most about so many seconds of CPU time. True: a finding. */
bool hg_fuzz_play_plan(struct hg_fuzz_session *session, unsigned turn, uint64_t seed,
                       double seconds);

#endif
