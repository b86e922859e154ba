#include "mutate.h"

#include "decode.h"

#include <string.h>

enum { HEADER = HG_FUZZ_HEADER_BYTES, RECORD = HG_FUZZ_RECORD_BYTES };

uint64_t hg_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

uint32_t hg_random_below(uint64_t *state, uint32_t bound) {
    return (uint32_t)((hg_random(state) >> 32) * bound >> 32);
}

static uint8_t random_byte(uint64_t *random) {
    return (uint8_t)(hg_random(random) >> 56);
}

static size_t record_count(size_t size) {
    return size < HEADER ? 0 : (size - HEADER) / RECORD;
}

static uint8_t *record_at(uint8_t *data, size_t index) {
    return data + HEADER + index * RECORD;
}

/* ---- fresh inputs ---- */

/* The greatest size there is in an input. Any size only in one of 500: its pages take a thousand times the
 * time of a small block. */
static uint8_t size_bias(uint64_t bits) {
    uint8_t bias = (uint8_t)bits;
    return bias >= 254 && bits >> 8 & 3 ? 128 : bias;
}

/* Half the inputs with every class on; the others with some classes off, each with chance 1/3. */
static void fresh_header(uint8_t *data, uint64_t *random) {
    uint64_t bits = hg_random(random);
    uint32_t swarm = 0;
    for (unsigned i = 0; bits & 1 && i < 16; i++)
        swarm |= (uint32_t)(hg_random_below(random, 3) == 0) << i;
    data[0] = (uint8_t)swarm;
    data[1] = (uint8_t)(swarm >> 8);
    data[2] = 0;
    data[3] = (uint8_t)(hg_random_below(random, 3) ? 2 + bits / 2 % 4 : bits / 2 % 8);
    data[4] = 0;
    data[5] = (uint8_t)(bits >> 32);
    data[6] = size_bias(bits >> 40);
    data[7] = bits >> 48 & 15 ? 0 : 1; /* one in sixteen with bursts */
}

static void fresh_record(uint8_t *record, uint64_t *random) {
    uint64_t bits = hg_random(random);
    memcpy(record, &bits, RECORD);
}

size_t hg_fuzz_fresh(uint8_t *data, size_t size_max, size_t op_count, uint64_t *random) {
    if (size_max < HEADER)
        return 0;
    fresh_header(data, random);
    size_t count = record_count(size_max) < op_count ? record_count(size_max) : op_count;
    /* Runs with a theme: for some records on, sizes are meant alike, or the alignment is the same. */
    uint8_t theme[RECORD];
    uint32_t left = 0, kept = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t *record = record_at(data, i);
        fresh_record(record, random);
        if (left-- == 0) {
            fresh_record(theme, random);
            left = hg_random_below(random, 24);
            kept = hg_random_below(random, 8);
        }
        if (kept & 1) {
            record[3] = theme[3];
            record[4] = theme[4];
            record[5] = theme[5];
        }
        if ((kept & 6) == 6)
            record[6] = theme[6];
    }
    return HEADER + count * RECORD;
}

/* ---- steps: each changes the input in one way and returns its size ---- */

static size_t insert_run(uint8_t *data, size_t size, size_t size_max, size_t at, const uint8_t *run,
                         size_t run_count) {
    size_t room = (size_max - size) / RECORD;
    if (run_count > room)
        run_count = room;
    uint8_t *begin = record_at(data, at);
    memmove(begin + run_count * RECORD, begin, size - HEADER - at * RECORD);
    memcpy(begin, run, run_count * RECORD);
    return size + run_count * RECORD;
}

static size_t step_insert(uint8_t *data, size_t size, size_t size_max, uint64_t *random) {
    uint8_t run[4 * RECORD];
    uint32_t run_count = 1 + hg_random_below(random, 4);
    for (uint32_t i = 0; i < run_count; i++)
        fresh_record(run + i * RECORD, random);
    size_t at = hg_random_below(random, (uint32_t)record_count(size) + 1);
    return insert_run(data, size, size_max, at, run, run_count);
}

static size_t step_delete(uint8_t *data, size_t size, size_t size_max, uint64_t *random) {
    (void)size_max;
    size_t count = record_count(size);
    if (count < 2)
        return size;
    size_t at = hg_random_below(random, (uint32_t)count);
    size_t gone =
        1 + hg_random_below(random, hg_random_below(random, 4) ? 4 : (uint32_t)count / 2 + 1);
    if (gone > count - at)
        gone = count - at;
    memmove(record_at(data, at), record_at(data, at + gone), (count - at - gone) * RECORD);
    return size - gone * RECORD;
}

/* Repeats a run where it stands, with its slots moved on by as much each time: the same history again,
 * beside the first. */
static size_t step_repeat(uint8_t *data, size_t size, size_t size_max, uint64_t *random) {
    enum { RUN_MAX = 16 };
    uint8_t run[RUN_MAX * RECORD];
    size_t count = record_count(size);
    if (!count)
        return size;
    size_t at = hg_random_below(random, (uint32_t)count);
    size_t run_count = 1 + hg_random_below(random, RUN_MAX);
    if (run_count > count - at)
        run_count = count - at;
    uint8_t shift = (uint8_t)hg_random_below(random, 3);
    uint32_t times = 1 + hg_random_below(random, hg_random_below(random, 4) ? 3 : 20);
    memcpy(run, record_at(data, at), run_count * RECORD);
    for (uint32_t time = 0; time < times; time++) {
        for (size_t i = 0; i < run_count; i++)
            run[i * RECORD + 1] = (uint8_t)(run[i * RECORD + 1] + shift);
        size = insert_run(data, size, size_max, at + run_count, run, run_count);
    }
    return size;
}

static size_t step_swap(uint8_t *data, size_t size, size_t size_max, uint64_t *random) {
    (void)size_max;
    uint32_t count = (uint32_t)record_count(size);
    if (count < 2)
        return size;
    uint8_t kept[RECORD], *a = record_at(data, hg_random_below(random, count)),
                          *b = record_at(data, hg_random_below(random, count));
    memcpy(kept, a, RECORD);
    memmove(a, b, RECORD);
    memcpy(b, kept, RECORD);
    return size;
}

/* One field of one record, or of a run of them, to a new value. */
static size_t step_field(uint8_t *data, size_t size, size_t size_max, uint64_t *random) {
    (void)size_max;
    size_t count = record_count(size);
    if (!count)
        return size;
    size_t at = hg_random_below(random, (uint32_t)count);
    size_t run = hg_random_below(random, 3) ? 1 : 1 + hg_random_below(random, 12);
    uint32_t field = hg_random_below(random, RECORD);
    uint8_t value = random_byte(random);
    for (size_t i = at; i < count && i < at + run; i++)
        record_at(data, i)[field] = value;
    return size;
}

/* A slot to that of a neighbour: two operations meet in one block. */
static size_t step_retarget(uint8_t *data, size_t size, size_t size_max, uint64_t *random) {
    (void)size_max;
    uint32_t count = (uint32_t)record_count(size);
    if (count < 2)
        return size;
    uint32_t at = 1 + hg_random_below(random, count - 1);
    uint32_t back = 1 + hg_random_below(random, at < 8 ? at : 8);
    record_at(data, at)[1] = record_at(data, at - back)[1];
    return size;
}

/* A size by one step, or to an edge, or to the size asked for last. */
static size_t step_nudge(uint8_t *data, size_t size, size_t size_max, uint64_t *random) {
    (void)size_max;
    size_t count = record_count(size);
    if (!count)
        return size;
    static const uint8_t ways[] = {5, 8, 14, 16, 19, 21, 30};
    uint8_t *record = record_at(data, hg_random_below(random, (uint32_t)count));
    switch (hg_random_below(random, 3)) {
    case 0:
        record[4] = (uint8_t)(record[4] + (hg_random(random) & 2) - 1);
        break;
    case 1:
        record[3] = ways[hg_random_below(random, sizeof ways)];
        break;
    default:
        record[7] = random_byte(random);
    }
    return size;
}

static size_t step_header(uint8_t *data, size_t size, size_t size_max, uint64_t *random) {
    (void)size_max;
    uint8_t fresh[HEADER];
    fresh_header(fresh, random);
    static const uint8_t places[] = {0, 3, 5, 6, 7};
    uint32_t place = places[hg_random_below(random, sizeof places)];
    memcpy(data + place, fresh + place, place == 0 ? 2 : 1);
    return size;
}

/* Bursts and large blocks meet much that is new, fill the corpus and would take nearly all of the time; most
 * of their offspring does without. */
static void cheapen(uint8_t *data, uint64_t *random) {
    uint64_t bits = hg_random(random);
    if (bits & 15)
        data[7] = 0;
    if (bits & 0xF0)
        data[6] = size_bias(bits >> 32);
}

size_t hg_fuzz_mutate(uint8_t *data, size_t size, size_t size_max, uint64_t *random) {
    static size_t (*const steps[])(uint8_t *, size_t, size_t, uint64_t *) = {
        step_insert, step_insert,   step_delete,   step_repeat, step_repeat, step_swap,
        step_field,  step_retarget, step_retarget, step_nudge,  step_nudge,  step_header,
    };
    enum { STEP_COUNT = sizeof steps / sizeof *steps };
    if (size < HEADER || size_max < HEADER + RECORD)
        return hg_fuzz_fresh(data, size_max, 1 + hg_random_below(random, 100), random);
    size = HEADER + record_count(size) * RECORD;
    cheapen(data, random);
    for (uint32_t left = 1 + hg_random_below(random, 4); left > 0; left--)
        size = steps[hg_random_below(random, STEP_COUNT)](data, size, size_max, random);
    return size;
}

size_t hg_fuzz_crossover(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                         uint8_t *out, size_t size_max, uint64_t *random) {
    size_t a_count = record_count(a_size), b_count = record_count(b_size);
    if (size_max < HEADER || a_size < HEADER)
        return 0;
    memcpy(out, hg_random(random) & 1 && b_size >= HEADER ? b : a, HEADER);
    size_t size = HEADER;
    size_t head = hg_random_below(random, (uint32_t)a_count + 1);
    size_t from = hg_random_below(random, (uint32_t)b_count + 1);
    size_t taken = hg_random_below(random, (uint32_t)(b_count - from) + 1);
    struct {
        const uint8_t *begin;
        size_t count;
    } runs[3] = {{a + HEADER, head},
                 {b + HEADER + from * RECORD, taken},
                 {a + HEADER + head * RECORD, a_count - head}};
    for (size_t i = 0; i < 3; i++) {
        size_t room = (size_max - size) / RECORD;
        size_t count = runs[i].count < room ? runs[i].count : room;
        if (count)
            memcpy(out + size, runs[i].begin, count * RECORD);
        size += count * RECORD;
    }
    cheapen(out, random);
    return size;
}
