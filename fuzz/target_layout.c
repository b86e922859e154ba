/* Property: every block of the layout face is a multiple of its layout's alignment, lies apart from every
 * other, keeps what is written to it through reallocation and other calls, and is zero where that was
 * asked for (C65-C69, C76; C4-C7). */
#include "session.h"

extern const struct hg_fuzz_target hg_fuzz_target_layout;
const struct hg_fuzz_target hg_fuzz_target_layout = {
    .name = "layout",
    .property = "the layout face keeps alignment, content and distance",
    .decode = {.layout_face = true, .threads = 1},
    .plays_operations = true,
    .needs_backend = true,
    .run = hg_fuzz_play_input,
};
