/* Slices of a trace as inputs of the fuzz targets: seeds for a corpus. */
#ifndef HG_FUZZ_TRACE_SEEDS_H
#define HG_FUZZ_TRACE_SEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes FOLDER/TARGET/NAME-NUMBER, making the folders. False iff it can't; errno says why. */
bool hg_fuzz_write_seed(const char *folder, const char *target, const char *name, int number,
                        const uint8_t *data, size_t size);

/* Writes six slices of 200 operations of a trace (of its first 16 million) into FOLDER/libc and
 * FOLDER/threads. An input holds what the decoder knows: slots modulo 256, sizes above 64 KiB in steps of
 * 64, no clock. False iff it can't; `why` then gets one line. */
bool hg_fuzz_seeds_of_trace(const char *folder, const char *trace, char *why, size_t why_size);

#endif
