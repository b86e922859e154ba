/* Mutation and crossover of inputs at the level of operations (records of decode.h): an input stays a
 * sequence of whole operations, and a change is one that an allocator may notice: a run repeated, a slot
 * retargeted, a size moved to an edge. Plain byte mutation mostly turns one random stream into another.
 *
 * Deterministic: the same random state gives the same result. No heap. */
#ifndef HG_FUZZ_MUTATE_H
#define HG_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* splitmix64's next number. */
uint64_t hg_random(uint64_t *state);
/* 0 .. bound-1; bound > 0. */
uint32_t hg_random_below(uint64_t *state, uint32_t bound);

/* Changes `data` in place, one to a few steps; returns the new size, at most size_max. */
size_t hg_fuzz_mutate(uint8_t *data, size_t size, size_t size_max, uint64_t *random);

/* Splices runs of both inputs into `out`; returns its size, at most size_max. `out` overlaps neither. */
size_t hg_fuzz_crossover(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                         uint8_t *out, size_t size_max, uint64_t *random);

/* A fresh input of `op_count` operations: a swarm mask, few or many slots, runs with a theme. Returns
 * its size, at most size_max. */
size_t hg_fuzz_fresh(uint8_t *data, size_t size_max, size_t op_count, uint64_t *random);

#endif
