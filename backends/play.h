/* The measuring hand: the innermost loop of a replay. Private to backends/. */
#ifndef HG_PLAY_H
#define HG_PLAY_H

#include "heapgauge/player.h"

/* What a slot holds. 16 bytes, so that four share a cache line. */
struct hg_played {
    void *ptr;           /* NULL: empty */
    uint64_t size_align; /* size << 6 | log2 of the alignment; bit 63: by the layout face */
};

struct hg_play_tally {
    uint64_t performed, left_out, unsupported, failed;
};

/* Performs `count` operations in order. Returns the number performed: less than `count` iff the stream
 * is wrong at that operation (it fills a full slot). WAIT and environment operations are the caller's.
 * Not synchronised: each slot's operations must be ordered by the caller. */
typedef size_t hg_hand(const hg_backend *backend, struct hg_played *slots, const hg_op *ops,
                       size_t count, bool touch, struct hg_play_tally *tally);
hg_hand hg__play_libc;
hg_hand hg__play_layout;
/* As hg__play_libc, for a backend without a libc face: operations of that face are unsupported. */
hg_hand hg__play_without_libc;

/* Writes to the first `bytes` bytes of what a slot holds: one byte a page, and the last. */
void hg__play_touch(const struct hg_played *slot, uint64_t bytes);

/* Frees what a slot holds, through the face that made it. */
void hg__play_drain(const hg_backend *backend, struct hg_played *slot);

#endif
