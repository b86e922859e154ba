/* A program whose allocations are the same every time, for many tools to look at. */
#define _GNU_SOURCE
#include <mcheck.h>
#include <stdint.h>
#include <stdlib.h>

enum { SLOTS = 200, STEPS = 4000 };

static uint32_t next(void) {
    static uint32_t state = 1;
    return (state = state * 1664525 + 1013904223) >> 8;
}

int main(void) {
    static void *block[SLOTS];
    if (getenv("MALLOC_TRACE"))
        mtrace();
    for (int i = 0; i < STEPS; i++) {
        void **const at = &block[next() % SLOTS];
        const size_t size = 1 + next() % 3000;
        if (*at && next() % 3) {
            free(*at);
            *at = NULL;
        } else if (*at) {
            *at = realloc(*at, size);
        } else if (next() % 8 == 0) {
            *at = calloc(size, 1 + next() % 4);
        } else if (next() % 8 == 0) {
            *at = aligned_alloc((size_t)16 << next() % 6, size);
        } else {
            *at = malloc(size);
        }
    }
    for (int i = 0; i < SLOTS / 2; i++) {
        free(block[i]); /* some are NULL */
        block[i] = NULL;
    }
    return block[SLOTS - 1] == (void *)1; /* the others stay */
}
