/* Reduction: the smallest stream that still breaks the same item of the contract. Delta debugging (Zeller
 * and Hildebrandt 2002) over operations, then over slots, threads, kinds and sizes. Each trial plays in a
 * fresh child of the process that opened the backend, so a crash or a hang is only an outcome. */
#ifndef HG_FUZZ_SHRINK_H
#define HG_FUZZ_SHRINK_H

#include "session.h"

/* Names an outcome that is no finding of the oracle: "crash", "hang", "memory". */
enum { HG_ITEM_BYTES = 16 };

struct hg_trial {
    char item[HG_ITEM_BYTES]; /* "" if the stream is clean */
    struct hg_finding finding;
};

/* Plays the operations in a fresh child with the full check at the end. */
void hg_fuzz_try(struct hg_fuzz_session *session, const hg_op *ops, size_t count, double timeout_s,
                 struct hg_trial *trial);

/* Shrinks ops[0..count) in place, keeping the item; returns the new count. Stops when nothing more can go
 * or after `seconds` of CPU time. *trial is that of the result. `count` is returned unchanged if the operations do not
 * reproduce `item` to begin with. */
size_t hg_fuzz_shrink(struct hg_fuzz_session *session, hg_op *ops, size_t count, const char *item,
                      double seconds, struct hg_trial *trial, uint64_t *trials);

/* The same for a target whose input is no stream of operations: runs the bytes in a fresh child. */
void hg_fuzz_try_input(struct hg_fuzz_session *session, const uint8_t *data, size_t size,
                       double timeout_s, struct hg_trial *trial);

/* Shrinks data[0..size) in place: fewer records, fewer bytes, more zeros; returns the new size. Otherwise as
 * hg_fuzz_shrink. */
size_t hg_fuzz_shrink_input(struct hg_fuzz_session *session, uint8_t *data, size_t size,
                            const char *item, double seconds, struct hg_trial *trial,
                            uint64_t *trials);

#endif
