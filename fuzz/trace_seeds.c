#define _GNU_SOURCE
#include "trace_seeds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "artifact.h"
#include "session.h"

enum { SLICES = 6, SLICE_OPS = 200 };

bool hg_fuzz_write_seed(const char *folder, const char *target, const char *name, int number,
                        const uint8_t *data, size_t size) {
    char path[600];
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/%s", folder, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s-%02d", folder, target, name, number);
    FILE *out = fopen(path, "wbe");
    if (!out)
        return false;
    bool good = fwrite(data, 1, size, out) == size;
    return fclose(out) == 0 && good;
}

/* The size byte and value that come nearest to `size`. */
static void encode_size(uint64_t size, uint8_t *record) {
    uint16_t value = (uint16_t)size;
    record[3] = 24; /* as it stands */
    if (size > UINT16_MAX) {
        record[3] = 22; /* times 64 */
        value = (uint16_t)(size / 64 > UINT16_MAX ? UINT16_MAX : size / 64);
    }
    record[4] = (uint8_t)value;
    record[5] = (uint8_t)(value >> 8);
}

/* An operation of a trace as a record. False: it has none. */
static bool encode(const hg_op *op, uint8_t record[HG_FUZZ_RECORD_BYTES]) {
    static const uint8_t picks[HG_OP_KIND_COUNT] = {
        [HG_OP_MALLOC] = 0,          [HG_OP_CALLOC] = 9,      [HG_OP_ALIGNED_ALLOC] = 14,
        [HG_OP_POSIX_MEMALIGN] = 19, [HG_OP_MEMALIGN] = 23,   [HG_OP_VALLOC] = 26,
        [HG_OP_PVALLOC] = 27,        [HG_OP_REALLOC] = 0,     [HG_OP_REALLOCARRAY] = 3,
        [HG_OP_FREE] = 14,           [HG_OP_FREE_SIZED] = 15, [HG_OP_USABLE_SIZE] = 31,
    };
    if (op->kind > HG_OP_FREE_ALIGNED_SIZED || op->slot == HG_SLOT_NONE)
        return false;
    memset(record, 0, HG_FUZZ_RECORD_BYTES);
    record[0] = picks[op->kind];
    record[1] = (uint8_t)op->slot;
    record[2] = (uint8_t)op->thread;
    encode_size(hg_op_bytes(op), record);
    if (op->kind >= HG_OP_ALIGNED_ALLOC && op->kind <= HG_OP_MEMALIGN && op->arg)
        record[6] = (uint8_t)((63 - __builtin_clzll(op->arg)) % 13);
    return true;
}

bool hg_fuzz_seeds_of_trace(const char *folder, const char *trace, char *why, size_t why_size) {
    char item[16], backend[128];
    static uint8_t data[HG_FUZZ_HEADER_BYTES + SLICE_OPS * HG_FUZZ_RECORD_BYTES];
    size_t count;
    hg_op *ops = hg_artifact_read_trace(trace, 1 << 24, &count, item, backend, why, why_size);
    if (!ops)
        return false;
    bool good = true;
    for (int slice = 0; slice < SLICES && good; slice++) {
        size_t size = HG_FUZZ_HEADER_BYTES;
        memset(data, 0, size);
        data[3] = 7;   /* 256 slots */
        data[6] = 255; /* sizes as they were */
        for (size_t i = count * (size_t)slice / SLICES; i < count && size < sizeof data; i++)
            if (encode(&ops[i], data + size))
                size += HG_FUZZ_RECORD_BYTES;
        good = hg_fuzz_write_seed(folder, "libc", "traced", slice, data, size) &&
               hg_fuzz_write_seed(folder, "threads", "traced", slice, data, size);
    }
    free(ops);
    if (!good)
        snprintf(why, why_size, "%s: cannot write: %s", folder, strerror(errno));
    return good;
}
