/* Seeded streams: random operations that a correct caller may make, biased to where allocators break:
 * sizes at powers of two and around them, alignments above sizes, reallocations up and down. The same
 * seed gives the same stream on every machine. */
#ifndef HEAPGAUGE_GENERATE_H
#define HEAPGAUGE_GENERATE_H

#include "heapgauge/player.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hg_generator_config {
    uint64_t seed;
    uint64_t operation_count;
    uint32_t live_blocks; /* about so many at a time, once warmed up; at least 1 */
    uint32_t size_max;    /* bytes, for all but one in five hundred; at least 1 */
    uint16_t threads;     /* 1: all on thread 0 */
    bool layout_face;     /* layout operations instead of those of libc */
    bool hostile;     /* also arguments that must be refused: overflowing sizes, bad alignments */
    bool environment; /* also forks (rarely) and purges */
};

typedef struct hg_generator hg_generator;

/* Returns NULL iff memory is exhausted or the config is outside its ranges. */
hg_generator *hg_generator_create(const struct hg_generator_config *config);
void hg_generator_destroy(hg_generator *generator);
/* The stream as a source for hg_play; valid until the generator is destroyed. Reads once. */
struct hg_source hg_generator_source(hg_generator *generator);

#ifdef __cplusplus
}
#endif
#endif
