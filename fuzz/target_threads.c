/* Property: what holds on one thread holds whichever thread allocates, reallocates and frees, also after
 * the allocating thread ended and inside its destructors (C10, C47, C52, C53); memory freed by another
 * thread comes back. Turn by turn, so a failure replays. */
#include "session.h"

extern const struct hg_fuzz_target hg_fuzz_target_threads;
const struct hg_fuzz_target hg_fuzz_target_threads = {
    .name = "threads",
    .property = "blocks may cross threads and outlive theirs",
    .decode = {.threads = 4, .both_faces = true},
    .plays_operations = true,
    .needs_backend = true,
    .run = hg_fuzz_play_input,
};
