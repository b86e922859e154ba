/* Containment: a child that returns, crashes, hangs, or eats memory is reported as what it is. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "heapgauge/contain.h"

static int returns_3(void *argument) {
    *(int *)argument = 42;
    return 3;
}

static int crashes(void *argument) {
    (void)argument;
    signal(SIGSEGV, SIG_DFL); /* a sanitizer would turn it into an exit */
    raise(SIGSEGV);
    return 0;
}

static int hangs(void *argument) {
    (void)argument;
    for (;;)
        pause();
    return 0;
}

/* Three times as long as its limit, and never silent for so long. */
static int works(void *argument) {
    uint64_t *beat = argument;
    for (int i = 0; i < 15; i++) {
        usleep(20000);
        __atomic_fetch_add(beat, 1, __ATOMIC_RELAXED);
    }
    return 3;
}

static int beats_for_ever(void *argument) {
    for (uint64_t *beat = argument;; usleep(1000))
        __atomic_fetch_add(beat, 1, __ATOMIC_RELAXED);
    return 0;
}

static int eats(void *argument) {
    (void)argument;
    for (;;) {
        char *memory = malloc(1 << 20);
        if (memory)
            memset(memory, 1, 1 << 20);
    }
    return 0;
}

static void outcomes(void **state) {
    (void)state;
    uint64_t *shared = hg_shared_map(sizeof *shared);
    const struct {
        int (*body)(void *);
        struct hg_limits limits;
        enum hg_outcome outcome;
    } rows[] = {
        {returns_3, {10, 0, NULL}, HG_OUTCOME_EXITED},
        {crashes, {10, 0, NULL}, HG_OUTCOME_CRASHED},
        {hangs, {0.2, 0, NULL}, HG_OUTCOME_TIMEOUT},
        {hangs, {0.2, 0, shared}, HG_OUTCOME_TIMEOUT},
        {works, {0.1, 0, NULL}, HG_OUTCOME_TIMEOUT},
        {works, {0.1, 0, shared}, HG_OUTCOME_EXITED},
        {beats_for_ever, {0.1, 0, shared}, HG_OUTCOME_TIMEOUT},
        {eats, {60, 256u << 20, NULL}, HG_OUTCOME_MEMORY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hg_contained seen;
        assert_int_equal(hg_contain(rows[i].body, shared, &rows[i].limits, &seen), HG_OK);
        assert_int_equal(seen.outcome, rows[i].outcome);
        if (seen.outcome == HG_OUTCOME_EXITED)
            assert_int_equal(seen.exit_status, 3);
        if (seen.outcome == HG_OUTCOME_CRASHED)
            assert_int_equal(seen.signal, SIGSEGV);
        if (rows[i].body == returns_3)
            assert_int_equal(*shared, 42);
    }
}

static int reads_its_score(void *argument) {
    char text[16] = "";
    FILE *file = fopen("/proc/self/oom_score_adj", "r");
    if (file) {
        (void)!fgets(text, sizeof text, file);
        fclose(file);
    }
    *(int *)argument = atoi(text);
    return 0;
}

/* A glutton at full speed is stopped before it has taken four times its limit, and had the kernel run out of
 * memory first, it would have been the one to go. */
static void gluttons_go_first(void **state) {
    (void)state;
    int *score = hg_shared_map(sizeof *score);
    struct hg_contained seen;
    const struct hg_limits small = {60, 256u << 20, NULL}, none = {10, 0, NULL};
    assert_int_equal(hg_contain(eats, NULL, &small, &seen), HG_OK);
    assert_int_equal(seen.outcome, HG_OUTCOME_MEMORY);
    assert_in_range(seen.rss_seen_bytes, 256u << 20, 1u << 30);
    assert_int_equal(hg_contain(reads_its_score, score, &none, &seen), HG_OK);
    assert_int_equal(*score, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(outcomes),
                                       cmocka_unit_test(gluttons_go_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
