/* The interval set against a plain list, and at the places where its levels meet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../oracle/interval.h"

static uint64_t random_state;

static uint32_t random_below(uint32_t bound) {
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % bound);
}

struct range {
    uintptr_t begin, end;
    bool live;
};

static bool list_overlaps(const struct range *list, size_t count, uintptr_t begin, uintptr_t end) {
    for (size_t i = 0; i < count; i++)
        if (list[i].live && list[i].begin < end && list[i].end > begin)
            return true;
    return false;
}

/* Ranges of every length and alignment, near chunk edges, against the list. */
static void agrees_with_a_list(void **state) {
    (void)state;
    enum { IDS = 300, STEPS = 60000 };
    static struct range list[IDS];
    for (unsigned seed = 1; seed <= 3; seed++) {
        hg_intervals *set = hg_intervals_create();
        assert_non_null(set);
        random_state = seed;
        for (int i = 0; i < IDS; i++)
            list[i].live = false;
        size_t overlaps = 0;
        for (int step = 0; step < STEPS; step++) {
            uint32_t id = random_below(IDS);
            if (list[id].live) {
                hg_intervals_remove(set, id);
                list[id].live = false;
                continue;
            }
            uintptr_t length = 1 + random_below(1u << random_below(24));
            uintptr_t begin = UINT64_C(0x7F0000000000) + random_below(24u << 20);
            if (random_below(4) == 0) /* around a chunk edge */
                begin = UINT64_C(0x7F0000000000) + ((uintptr_t)random_below(12) << 21) -
                        random_below(64);
            uint32_t other = UINT32_MAX;
            bool seen = hg_intervals_overlap(set, begin, begin + length, &other);
            assert_int_equal(seen, list_overlaps(list, IDS, begin, begin + length));
            if (seen) {
                overlaps++;
                assert_true(list[other].live && list[other].begin < begin + length &&
                            list[other].end > begin);
                continue;
            }
            assert_true(hg_intervals_insert(set, begin, begin + length, id));
            list[id] = (struct range){begin, begin + length, true};
        }
        assert_true(overlaps > 1000); /* the test has teeth */
        hg_intervals_destroy(set);
    }
}

/* Several ranges may start within 8 bytes: allocators that give out single bytes do that. */
static void single_bytes_side_by_side(void **state) {
    (void)state;
    hg_intervals *set = hg_intervals_create();
    uint32_t id;
    for (uint32_t i = 0; i < 64; i++)
        assert_true(hg_intervals_insert(set, 4096 + i, 4097 + i, i));
    for (uint32_t i = 0; i < 64; i++) {
        assert_true(hg_intervals_overlap(set, 4096 + i, 4097 + i, &id));
        assert_int_equal(id, i);
    }
    for (uint32_t i = 0; i < 64; i += 2)
        hg_intervals_remove(set, i);
    for (uint32_t i = 0; i < 64; i++)
        assert_int_equal(hg_intervals_overlap(set, 4096 + i, 4097 + i, &id), i % 2 == 1);
    assert_int_equal(hg_intervals_count(set), 32);
    hg_intervals_destroy(set);
}

static void huge_ranges(void **state) {
    (void)state;
    hg_intervals *set = hg_intervals_create();
    uintptr_t base = (uintptr_t)1 << 40, gib = (uintptr_t)1 << 30;
    uint32_t id;
    assert_true(hg_intervals_insert(set, base, base + 100 * gib, 7));
    assert_true(hg_intervals_overlap(set, base + 50 * gib, base + 50 * gib + 1, &id));
    assert_int_equal(id, 7);
    assert_false(hg_intervals_overlap(set, base + 100 * gib, base + 101 * gib, &id));
    assert_true(hg_intervals_insert(set, base - 16, base, 8));
    assert_true(hg_intervals_overlap(set, base - gib, base, &id));
    assert_int_equal(id, 8);
    hg_intervals_remove(set, 7);
    assert_false(hg_intervals_overlap(set, base, base + gib, &id));
    hg_intervals_destroy(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_list),
        cmocka_unit_test(single_bytes_side_by_side),
        cmocka_unit_test(huge_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
