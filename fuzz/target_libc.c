/* Property: each function of the malloc family keeps what C, POSIX and its manual promise: alignment,
 * distance, content, zeroes, usable size, errno, and refusal of what must be refused (C1-C48). */
#include "session.h"

extern const struct hg_fuzz_target hg_fuzz_target_libc;
const struct hg_fuzz_target hg_fuzz_target_libc = {
    .name = "libc",
    .property = "the malloc family keeps the contract",
    .decode = {.threads = 1},
    .plays_operations = true,
    .needs_backend = true,
    .run = hg_fuzz_play_input,
};
