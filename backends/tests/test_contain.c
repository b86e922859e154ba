/* Containment: a child that returns, crashes, hangs, or eats memory is reported as what it is. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

static int eats(void *argument) {
    (void)argument;
    for (;;) {
        char *memory = malloc(1 << 20);
        if (memory)
            memset(memory, 1, 1 << 20);
        usleep(500); /* a glutton that polling can see; a faster one is only seen later */
    }
    return 0;
}

static void outcomes(void **state) {
    (void)state;
    int *shared = hg_shared_map(sizeof *shared);
    const struct {
        int (*body)(void *);
        struct hg_limits limits;
        enum hg_outcome outcome;
    } rows[] = {
        {returns_3, {10, 0}, HG_OUTCOME_EXITED},
        {crashes, {10, 0}, HG_OUTCOME_CRASHED},
        {hangs, {0.2, 0}, HG_OUTCOME_TIMEOUT},
        {eats, {60, 256u << 20}, HG_OUTCOME_MEMORY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hg_contained seen;
        assert_int_equal(hg_contain(rows[i].body, shared, &rows[i].limits, &seen), HG_OK);
        assert_int_equal(seen.outcome, rows[i].outcome);
        if (seen.outcome == HG_OUTCOME_EXITED)
            assert_int_equal(seen.exit_status, 3);
        if (seen.outcome == HG_OUTCOME_CRASHED)
            assert_int_equal(seen.signal, SIGSEGV);
    }
    assert_int_equal(*shared, 42);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(outcomes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
