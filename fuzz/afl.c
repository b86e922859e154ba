/* The mutator behind AFL++'s interface for custom mutators (docs/custom_mutators.md): operations instead
 * of bytes. AFL_CUSTOM_MUTATOR_LIBRARY=libheapgauge_afl_mutator.so. */
#include "mutate.h"

#include "decode.h"

#include <stdlib.h>
#include <string.h>

struct mutator {
    uint64_t random;
    uint8_t out[HG_FUZZ_HEADER_BYTES + HG_FUZZ_OPS_MAX * HG_FUZZ_RECORD_BYTES];
    uint8_t mixed[HG_FUZZ_HEADER_BYTES + HG_FUZZ_OPS_MAX * HG_FUZZ_RECORD_BYTES];
};

void *afl_custom_init(void *afl, unsigned seed);
size_t afl_custom_fuzz(void *data, uint8_t *input, size_t size, uint8_t **out, uint8_t *other,
                       size_t other_size, size_t size_max);
void afl_custom_deinit(void *data);

void *afl_custom_init(void *afl, unsigned seed) {
    (void)afl;
    struct mutator *mutator = calloc(1, sizeof *mutator);
    if (mutator)
        mutator->random = seed;
    return mutator;
}

size_t afl_custom_fuzz(void *data, uint8_t *input, size_t size, uint8_t **out, uint8_t *other,
                       size_t other_size, size_t size_max) {
    struct mutator *mutator = data;
    size_t limit = size_max < sizeof mutator->out ? size_max : sizeof mutator->out;
    if (size > limit)
        size = limit;
    if (other && other_size && hg_random_below(&mutator->random, 4) == 0) {
        size = hg_fuzz_crossover(input, size, other, other_size, mutator->mixed, limit,
                                 &mutator->random);
        memcpy(mutator->out, mutator->mixed, size);
    } else {
        memcpy(mutator->out, input, size);
    }
    *out = mutator->out;
    return hg_fuzz_mutate(mutator->out, size, limit, &mutator->random);
}

void afl_custom_deinit(void *data) {
    free(data);
}
