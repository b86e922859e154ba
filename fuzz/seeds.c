/* Makes seed corpora: for each target some inputs of the generator, small; and, of traces given, slices
 * turned back into inputs.
 *
 *   fuzz_seeds DIR [TRACE.hgt ...] */
#include "mutate.h"
#include "session.h"

#include <stdio.h>
#include <string.h>

#include "trace_seeds.h"

enum { SEEDS = 12, OPS = 60 };

int main(int argc, char **argv) {
    static uint8_t data[HG_FUZZ_INPUT_BYTES_MAX];
    if (argc < 2) {
        fprintf(stderr, "usage: fuzz_seeds DIR [TRACE.hgt ...]\n");
        return 2;
    }
    bool good = true;
    const struct hg_fuzz_target *target;
    for (size_t i = 0; (target = hg_fuzz_target_at(i)) != NULL; i++) {
        uint64_t random = i + 1;
        for (int seed = 0; seed < SEEDS && good; seed++) {
            size_t size = hg_fuzz_fresh(data, sizeof data, OPS, &random);
            if (strcmp(target->name, "trace_reader") == 0)
                data[0] = (uint8_t)seed;
            good = hg_fuzz_write_seed(argv[1], target->name, "seed", seed, data, size);
        }
    }
    for (int i = 2; i < argc; i++) {
        char why[300];
        if (hg_fuzz_seeds_of_trace(argv[1], argv[i], why, sizeof why))
            continue;
        fprintf(stderr, "fuzz_seeds: %s\n", why);
        good = false;
    }
    return good ? 0 : 2;
}
