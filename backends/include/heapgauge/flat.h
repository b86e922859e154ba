/* Flat streams: operations as plain bytes, for players that have no file system and no Zstandard (the
 * kernel module), and the verdict of playing one. The same sources serve kernel and user space.
 *
 *   "HGFLAT1\n" | u64 count | count times 24 bytes: u8 kind, u8 flags, u16 thread, u32 slot, u64 size,
 *   u64 arg; little-endian, which is hg_op as it lies in memory on the machines we run on
 *
 * No state; not more than one thread an oracle. */
#ifndef HEAPGAUGE_FLAT_H
#define HEAPGAUGE_FLAT_H

#include "heapgauge/generate.h"
#include "heapgauge/oracle.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HG_FLAT_MAGIC "HGFLAT1\n"
enum { HG_FLAT_HEADER_BYTES = 16, HG_FLAT_REPLY_BYTES = 1024 };

/* What came of one stream. */
struct hg_verdict {
    enum hg_status status; /* HG_OK clean, HG_END a finding, HG_ERR_*: no verdict */
    uint64_t operations;   /* played */
    uint64_t digest;       /* as hg_oracle_digest */
    struct hg_oracle_counts counts;
    struct hg_finding finding;
};

/* The operations of a flat stream of `size` bytes; *count says how many. They lie in `bytes`, which must
 * be aligned to 8. NULL iff it is none: a wrong head, a length that does not fit, an operation that is not
 * well-formed. */
const hg_op *hg_flat_read(const void *bytes, size_t size, uint64_t *count);

/* The head of a flat stream of `count` operations. */
void hg_flat_head(unsigned char head[HG_FLAT_HEADER_BYTES], uint64_t count);

/* Plays `count` operations on the oracle from its start, and the stream's end (hg_oracle_finish, blocks
 * freed in `order`). Afterwards the oracle is ready for the next stream iff the verdict is HG_OK; else it
 * knows only what broke and is to be destroyed. */
void hg_flat_play(hg_oracle *oracle, const hg_op *ops, uint64_t count, unsigned order,
                  struct hg_verdict *verdict);

/* The same for a source, played as it comes. */
void hg_flat_play_source(hg_oracle *oracle, struct hg_source *source, unsigned order,
                         struct hg_verdict *verdict);

/* The verdict as one line: key=value, separated by blanks, `text=` last and to the end of the line.
 * Returns its length in bytes without the newline, as snprintf does. */
int hg_verdict_print(const struct hg_verdict *verdict, char *text, size_t text_size);

#ifdef __cplusplus
}
#endif
#endif
