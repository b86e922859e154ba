/* The pattern a checked block is filled with: each 8-byte word is a function of slot, generation and
 * offset, so that a swapped block, a shifted copy or a lost write shows (contract, H2).
 *
 * Blocks up to 4 KiB are filled and verified whole. Of larger ones: the first and last 256 bytes, and the
 * words on both sides of page edges, of at most 16 to 32 evenly spread, so that a block of any size costs no
 * more than so many page faults.
 * Pure functions of their arguments; no state. */
#ifndef HG_PATTERN_H
#define HG_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* Bits of a seed. Its lowest: a large block is looked at whole. The next two: the block's first 16 bytes are
 * zeroes, or ones, which an allocator that reads what it gave away may take for its own. */
enum {
    HG__PATTERN_WHOLE = 1,
    HG__PATTERN_HEAD_ZEROES = 2,
    HG__PATTERN_HEAD_ONES = 4,
    HG__PATTERN_HEAD_MASK = 6,
    HG__PATTERN_WHOLE_GIANT = 8, /* if it is very large, too */
};

/* Distinct for each slot and generation, but for the bits above; never 0. */
uint64_t hg__pattern_seed(uint32_t slot, uint32_t generation);

/* The byte that belongs at `offset`. */
unsigned char hg__pattern_byte(size_t offset, uint64_t seed);

/* Fills a block of `size` bytes. */
void hg__pattern_fill(unsigned char *ptr, size_t size, uint64_t seed);

/* Verifies the first `size` bytes of what was filled as `filled` bytes (size <= filled).
 * Returns the offset of the first byte that differs; SIZE_MAX if none does. */
size_t hg__pattern_verify(const unsigned char *ptr, size_t filled, size_t size, uint64_t seed);

/* Offset of the first byte in [from, to) that is not zero; SIZE_MAX if none. */
size_t hg__first_nonzero(const unsigned char *ptr, size_t from, size_t to);

#endif
