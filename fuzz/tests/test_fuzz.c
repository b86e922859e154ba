/* The parts: every byte string decodes to a stream that a caller may make; mutation keeps whole records
 * and is reproducible; crossover stays within its bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mutate.h"
#include "session.h"
#include "shrink.h"

enum { ROUNDS = 3000, BYTES = 4096 };

static size_t random_bytes(uint8_t *data, uint64_t *random) {
    size_t size = hg_random_below(random, BYTES + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(hg_random(random) >> 40);
    return size;
}

/* Slots are filled when empty and used when full, by the face that filled them; nothing stays live. */
static void check_stream(const struct hg_decoded *decoded, unsigned threads) {
    uint8_t face[HG_FUZZ_SLOTS_MAX] = {0}; /* 0 empty, 1 libc, 2 layout */
    for (size_t i = 0; i < decoded->count; i++) {
        const hg_op *op = &decoded->ops[i];
        assert_true(hg_op_is_well_formed(op));
        assert_in_range(op->thread, 0, threads - 1);
        if (!hg_op_has_slot(op->kind) || op->slot == HG_SLOT_NONE)
            continue;
        assert_in_range(op->slot, 0, HG_FUZZ_SLOTS_MAX - 1);
        uint8_t *at = &face[op->slot];
        uint8_t own = op->kind >= HG_OP_ALLOC ? 2 : 1;
        if (hg_op_allocates(op->kind)) {
            assert_int_equal(*at, 0);
            *at = own;
        } else if (op->kind == HG_OP_VERIFY) {
            assert_int_not_equal(*at, 0);
        } else if (hg_op_reallocates(op->kind) && op->kind != HG_OP_LAYOUT_REALLOC) {
            assert_int_not_equal(*at, 2);
            *at = op->kind == HG_OP_REALLOC && op->size == 0 ? 0 : 1;
        } else {
            assert_int_equal(*at, own);
            if (hg_op_frees(op->kind))
                *at = 0;
        }
    }
    for (size_t slot = 0; slot < HG_FUZZ_SLOTS_MAX; slot++)
        assert_int_equal(face[slot], 0);
}

static void any_bytes_are_a_stream(void **state) {
    (void)state;
    static struct hg_decoded decoded, again;
    static uint8_t data[BYTES];
    static const size_t edges[] = {16, 32, 48, 1024, 4096};
    uint64_t random = 11;
    for (int round = 0; round < ROUNDS; round++) {
        const struct hg_fuzz_target *target = hg_fuzz_target_at((size_t)round % 5);
        struct hg_decode_options options = target->decode;
        options.edges = edges;
        options.edge_count = 5;
        size_t size = random_bytes(data, &random);
        hg_fuzz_decode(&options, data, size, &decoded);
        check_stream(&decoded, options.threads);
        hg_fuzz_decode(&options, data, size, &again);
        assert_int_equal(decoded.count, again.count);
        assert_memory_equal(decoded.ops, again.ops, decoded.count * sizeof *decoded.ops);
    }
}

static void mutation_keeps_records(void **state) {
    (void)state;
    static uint8_t a[BYTES], b[BYTES], out[BYTES];
    for (uint64_t seed = 1; seed < ROUNDS; seed++) {
        uint64_t random = seed, same = seed;
        size_t size_max = 24 + seed % (BYTES - 24);
        size_t size = hg_fuzz_fresh(a, size_max, 1 + seed % 60, &random);
        size_t size_b = hg_fuzz_fresh(b, size_max, 1 + seed % 60, &same);
        assert_int_equal(size, size_b);
        assert_memory_equal(a, b, size);
        size = hg_fuzz_mutate(a, size, size_max, &random);
        size_b = hg_fuzz_mutate(b, size_b, size_max, &same);
        assert_in_range(size, HG_FUZZ_HEADER_BYTES, size_max);
        assert_int_equal((size - HG_FUZZ_HEADER_BYTES) % HG_FUZZ_RECORD_BYTES, 0);
        assert_int_equal(size, size_b);
        assert_memory_equal(a, b, size);
        size_b = hg_fuzz_mutate(b, size_b, size_max, &random);
        size_t mixed = hg_fuzz_crossover(a, size, b, size_b, out, size_max, &random);
        assert_in_range(mixed, HG_FUZZ_HEADER_BYTES, size_max);
    }
}

static void steps_all_happen(void **state) {
    (void)state;
    static uint8_t data[BYTES];
    size_t longer = 0, shorter = 0, same = 0;
    uint64_t random = 5;
    for (int round = 0; round < ROUNDS; round++) {
        size_t size = hg_fuzz_fresh(data, BYTES, 50, &random);
        size_t after = hg_fuzz_mutate(data, size, BYTES, &random);
        longer += after > size;
        shorter += after < size;
        same += after == size;
    }
    assert_true(longer > ROUNDS / 20 && shorter > ROUNDS / 50 && same > ROUNDS / 20);
}

/* ---- reduction of inputs that are no streams ---- */

enum { MAGIC = 0x5A };

/* Breaks X1 iff a record begins with MAGIC and a later one has MAGIC at its end; dies on one with 0xDD. */
static bool run_picky(struct hg_fuzz_session *session, const uint8_t *data, size_t size) {
    bool begun = false;
    for (size_t at = 0; at + 8 <= size; at += 8) {
        if (data[at] == 0xDD && data[at + 1] == 0xDD)
            _exit(3);
        if (begun && data[at + 7] == MAGIC)
            return hg_fuzz_found(session, "X1", "as planted");
        begun |= data[at] == MAGIC;
    }
    return false;
}

static const struct hg_fuzz_target picky = {
    .name = "picky", .property = "for tests", .decode = {.threads = 1}, .run = run_picky};

static void inputs_are_reduced(void **state) {
    (void)state;
    static struct hg_fuzz_session session;
    static uint8_t data[1000];
    char why[200];
    uint64_t random = 5, trials;
    struct hg_trial trial;
    assert_int_equal(hg_fuzz_session_open(&session, &picky, "core", NULL, why, sizeof why), HG_OK);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(hg_random(&random) % 80 + 1);
    data[160] = MAGIC;
    data[807] = MAGIC;
    size_t size = hg_fuzz_shrink_input(&session, data, sizeof data, "X1", 30, &trial, &trials);
    assert_string_equal(trial.item, "X1");
    assert_int_equal(size, 16);
    assert_int_equal(data[0], MAGIC);
    assert_int_equal(data[15], MAGIC);
    for (size_t i = 1; i < 15; i++)
        assert_int_equal(data[i], 0);
    /* An end of the process is kept as such; what does not show is left alone. */
    memset(data, 1, sizeof data);
    data[400] = data[401] = 0xDD;
    size = hg_fuzz_shrink_input(&session, data, sizeof data, "crash", 30, &trial, &trials);
    assert_string_equal(trial.item, "crash");
    assert_int_equal(size, 8);
    memset(data, 1, sizeof data);
    assert_int_equal(hg_fuzz_shrink_input(&session, data, 100, "X1", 30, &trial, &trials), 100);
    assert_int_equal(trials, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bytes_are_a_stream),
        cmocka_unit_test(mutation_keeps_records),
        cmocka_unit_test(steps_all_happen),
        cmocka_unit_test(inputs_are_reduced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
