/* Inputs of the fuzz targets as flat streams, for a real kernel (scripts/kernel-run).
 *
 *   fuzz_flat TARGET DIR INPUT...      writes DIR/NAME.flat for each input file
 *
 * Exit status: 0, or 2 for usage or a file that can't be read or written. */
#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "heapgauge/flat.h"

static bool write_flat(const char *path, const struct hg_decoded *decoded) {
    unsigned char head[HG_FLAT_HEADER_BYTES];
    FILE *out = fopen(path, "wbe");
    if (!out)
        return false;
    hg_flat_head(head, decoded->count);
    bool good = fwrite(head, sizeof head, 1, out) == 1 &&
                fwrite(decoded->ops, sizeof(hg_op), decoded->count, out) == decoded->count;
    return fclose(out) == 0 && good;
}

static bool convert(const struct hg_fuzz_target *target, const char *folder, const char *input) {
    static uint8_t data[HG_FUZZ_INPUT_BYTES_MAX];
    static struct hg_decoded decoded;
    FILE *in = fopen(input, "rbe");
    size_t size = in ? fread(data, 1, sizeof data, in) : 0;
    bool good = in && !ferror(in);
    if (in)
        fclose(in);
    char path[1000];
    const char *slash = strrchr(input, '/');
    snprintf(path, sizeof path, "%.500s/%.400s.flat", folder, slash ? slash + 1 : input);
    if (good) {
        hg_fuzz_decode(&target->decode, data, size, &decoded);
        good = write_flat(path, &decoded);
    }
    if (!good)
        fprintf(stderr, "fuzz_flat: %s to %s: %s\n", input, path, strerror(errno));
    return good;
}

int main(int argc, char **argv) {
    const struct hg_fuzz_target *target = argc > 3 ? hg_fuzz_target_by_name(argv[1]) : NULL;
    if (!target) {
        fprintf(stderr, "usage: fuzz_flat TARGET DIR INPUT...   (TARGET: layout, libc, ...)\n");
        return 2;
    }
    bool good = true;
    for (int i = 3; i < argc; i++)
        good &= convert(target, argv[2], argv[i]);
    return good ? 0 : 2;
}
