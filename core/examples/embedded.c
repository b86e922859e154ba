/* The allocator in memory of your own: no operating system, no threads, no malloc. For each size of
 * region it says how much of it can be in use when the first request fails, and checks the whole
 * state again and again. Exit status 1 iff something is wrong.
 *
 * core/tests/embedded.sh builds this with nothing but a compiler, also for 32-bit Arm, and reports the
 * size of the code. */
#include "heapgauge/core.h"

#include <stdio.h>
#include <string.h>

enum { BLOCKS = 16384, REGION_MAX = 1 << 20 };

struct block {
    unsigned char *p;
    hg_layout layout;
};

static unsigned char region[REGION_MAX];
static struct block blocks[BLOCKS];
static uint32_t state = 2463534242u;

static uint32_t draw(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % below;
}

/* Small sizes more often than large ones, some alignments above the usual. */
static hg_layout draw_layout(uint32_t bits) {
    hg_layout layout = {1 + draw(2u << draw(bits)), (size_t)4 << draw(draw(4) ? 2 : 6)};
    return layout;
}

static bool fill(hg_core *core, struct block *b, uint32_t bits) {
    b->layout = draw_layout(bits);
    b->p = hg_core_alloc(core, b->layout);
    if (b->p)
        memset(b->p, (int)(b - blocks) & 255, b->layout.size);
    return b->p != NULL;
}

/* Gives the block back; false iff it was changed meanwhile or is misaligned. */
static bool drop(hg_core *core, struct block *b) {
    bool good = (uintptr_t)b->p % b->layout.align == 0;
    for (size_t i = 0; i < b->layout.size; i++)
        good &= b->p[i] == ((b - blocks) & 255);
    hg_core_dealloc(core, b->p, b->layout);
    b->p = NULL;
    return good;
}

static int try_size(size_t size, uint32_t bits) {
    char why[120] = "a block was changed";
    hg_core *core = hg_core_over_region(region, size, NULL);
    if (!core) {
        printf("region of %7u bytes: too small\n", (unsigned)size);
        return 0;
    }
    memset(blocks, 0, sizeof blocks);
    size_t live = 0, most = 0;
    int failures = 0;
    for (int i = 0; i < 50000; i++) {
        struct block *b = &blocks[draw(BLOCKS)];
        if (b->p && draw(failures < 1 ? 20 : 2) == 0) { /* grows until it is full, then stays so */
            live -= b->layout.size;
            if (!drop(core, b))
                goto wrong;
        } else if (!b->p) {
            if (fill(core, b, bits))
                live += b->layout.size;
            else if (failures++ == 0)
                most = live;
        }
        if (i % 500 == 0 && !hg_core_validate(core, why, sizeof why))
            goto wrong;
    }
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i].p && !drop(core, &blocks[i]))
            goto wrong;
    hg_core_purge(core);
    struct hg_stats stats;
    hg_core_stats_get(core, &stats);
    snprintf(why, sizeof why, "memory was lost");
    if (!hg_core_validate(core, why, sizeof why) || stats.live_size || stats.used_size)
        goto wrong;
    printf(
        "region of %7u bytes, sizes to %4u: %2u %% in use at the first failure, %2u %% for blocks\n",
        (unsigned)size, 2u << (bits - 1), (unsigned)(most * 100 / size),
        (unsigned)(stats.reserved_size * 100 / size));
    return failures == 0; /* the region was meant to get full */
wrong:
    printf("region of %u bytes: wrong: %s\n", (unsigned)size, why);
    return 1;
}

int main(void) {
    int wrong = 0;
    for (size_t size = 16 << 10; size <= 512 << 10; size *= 2)
        wrong |= try_size(size, size < 64 << 10 ? 7 : 9);
    return wrong;
}
