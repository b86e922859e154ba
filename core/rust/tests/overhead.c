/* The loop of overhead.rs in C, on the C functions: what an operation costs without the crate.
 *
 * usage: overhead ROUNDS pair|realloc
 * pair: blocks are allocated and freed; realloc: and resized in between. */
#include "heapgauge/core.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 64 };

static const hg_layout layouts[] = {{16, 8},  {24, 8},  {48, 8},   {64, 64},
                                    {100, 4}, {200, 8}, {1000, 8}, {4096, 4096}};

/* The layouts in turns, so that no compiler knows a call's arguments. */
static __attribute__((noinline)) void one_round(const hg_layout *turns, void **blocks,
                                                size_t growth) {
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = hg_alloc(turns[i]);
    for (size_t i = 0; growth && i < BLOCKS; i++)
        blocks[i] = hg_realloc(blocks[i], turns[i], turns[i].size + growth);
    for (size_t i = 0; i < BLOCKS; i++)
        hg_dealloc(blocks[i], (hg_layout){turns[i].size + growth, turns[i].align});
}

int main(int argc, char **argv) {
    hg_layout turns[BLOCKS];
    void *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        turns[i] = layouts[i % (sizeof layouts / sizeof *layouts)];
    size_t growth = argc > 2 && strcmp(argv[2], "realloc") == 0 ? 64 : 0;
    for (long rounds = argc > 1 ? atol(argv[1]) : 0; rounds > 0; rounds--)
        one_round(turns, blocks, growth);
    return 0;
}
