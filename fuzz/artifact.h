/* Findings on disk: a trace that replays, text that a person reads. */
#ifndef HG_FUZZ_ARTIFACT_H
#define HG_FUZZ_ARTIFACT_H

#include "heapgauge/oracle.h"
#include "session.h"

#include <stdio.h>

/* Closes a file that was written. False iff not all of it arrived: fclose alone forgets what failed before. */
static inline bool hg_artifact_close(FILE *out) {
    bool good = !ferror(out);
    return fclose(out) == 0 && good;
}

/* "BACKEND broke ITEM ...": two lines. */
void hg_artifact_print(FILE *out, const char *backend, const struct hg_finding *finding);

/* Writes a trace with the finding in its header. False: it could not be written; errno says why. */
bool hg_artifact_write_trace(const char *path, const char *backend, const char *target,
                             const struct hg_finding *finding, const hg_op *ops, size_t count);

/* Reads a whole trace of at most `count_max` operations into memory that the caller frees. Returns NULL
 * on failure, with one line in `why`. `header_item` (16 bytes) and `header_backend` (128 bytes) get what
 * the header says, or "". */
hg_op *hg_artifact_read_trace(const char *path, size_t count_max, size_t *count, char *header_item,
                              char *header_backend, char *why, size_t why_size);

/* Writes the operations as text, one a line. False: it could not be written. */
bool hg_artifact_write_text(const char *path, const char *backend, const struct hg_finding *finding,
                            const hg_op *ops, size_t count);

/* Writes a C program that performs the operations on malloc & Co. and fails where they break the promise:
 * without Heapgauge, under any compiler (emit_c.c). False: it could not be written. */
bool hg_artifact_write_c(const char *path, const hg_backend *backend, const char *name,
                         const struct hg_finding *finding, const hg_op *ops, size_t count);

/* Writes what was found as BASE.hgt, BASE.txt and BASE.c: the three above. NULL iff all are written; else
 * the path of the one that is not, in static storage, and errno says why. */
const char *hg_artifact_write_stream(const char *base, const struct hg_fuzz_session *session,
                                     const struct hg_finding *finding, const hg_op *ops,
                                     size_t count);

/* The same for a target whose input is no stream: BASE.bin, the bytes, and BASE.txt, what they mean. */
const char *hg_artifact_write_input(const char *base, struct hg_fuzz_session *session,
                                    const struct hg_finding *finding, const uint8_t *data,
                                    size_t size);

#endif
