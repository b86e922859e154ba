/* A set of disjoint address ranges, each with a 32-bit id: which live block, if any, does this range
 * touch? Insert, remove and query cost a few memory accesses whatever the number of ranges: bitmaps of a
 * 2 MiB chunk of address space, chunks found by hash.
 *
 * All memory comes from mmap, never from a heap under test. Not thread-safe. */
#ifndef HG_INTERVAL_H
#define HG_INTERVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hg_intervals hg_intervals;

/* Returns NULL iff memory is exhausted. */
hg_intervals *hg_intervals_create(void);
void hg_intervals_destroy(hg_intervals *set);

/* True iff [begin, end) shares a byte with a range of the set; *id is then one such. begin < end. */
bool hg_intervals_overlap(const hg_intervals *set, uintptr_t begin, uintptr_t end, uint32_t *id);

/* Adds [begin, end), which must not overlap any, under an id not in use (0 .. 2^28-1).
 * False iff memory is exhausted. */
bool hg_intervals_insert(hg_intervals *set, uintptr_t begin, uintptr_t end, uint32_t id);

/* Removes the range with that id, which must be there. */
void hg_intervals_remove(hg_intervals *set, uint32_t id);

/* Fetches into the cache what removing this range will need. No other effect. */
void hg_intervals_expect(const hg_intervals *set, uintptr_t begin, uint32_t id);

size_t hg_intervals_count(const hg_intervals *set);

#endif
