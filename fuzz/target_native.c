/* Property: calls that only some allocators have keep their manuals: jemalloc's mallocx family (C60),
 * mimalloc's aligned, zeroing and expanding calls and heaps (C61), C++'s operators (C49), sizes foretold
 * (C44, C62), statistics (C59). On a backend with none of them it is the libc target again. */
#include "session.h"

extern const struct hg_fuzz_target hg_fuzz_target_native;
const struct hg_fuzz_target hg_fuzz_target_native = {
    .name = "native",
    .property = "calls of the allocator's own keep their manual",
    .decode = {.threads = 1, .native = true},
    .plays_operations = true,
    .needs_backend = true,
    .run = hg_fuzz_play_input,
};
