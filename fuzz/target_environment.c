/* Property: forks, purges and lack of memory harm no live block: a child of fork can use and free what it
 * inherits (C54), a purge touches nothing live (C56), a call that gets no memory says so, changes nothing
 * and leaves an allocator that works once there is memory again (C12, C14, C16, C23). */
#include "session.h"

extern const struct hg_fuzz_target hg_fuzz_target_environment;
const struct hg_fuzz_target hg_fuzz_target_environment = {
    .name = "environment",
    .property = "forks, purges and lack of memory do no harm",
    .decode = {.threads = 1, .environment = true, .both_faces = true},
    .plays_operations = true,
    .needs_backend = true,
    .run = hg_fuzz_play_input,
};
