/* What the tests share: cmocka, a random stream, fork and compare, and the validator after each
 * step. */
#ifndef HG_TEST_CHECK_H
#define HG_TEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "heapgauge/core.h"
#include "heapgauge/libc.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* xorshift64*; a seed is printed when it matters. */
static inline uint64_t random_next(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL;
}

static inline size_t random_below(uint64_t *state, size_t bound) {
    return (size_t)((random_next(state) >> 16) % bound);
}

/* A size whose logarithm is spread evenly over 0 .. bits, now and then exactly at a boundary. */
static inline size_t random_size(uint64_t *state, unsigned bits) {
    size_t power = (size_t)1 << random_below(state, bits + 1);
    return random_below(state, 8) == 0 ? power - random_below(state, 2)
                                       : random_below(state, power + 1);
}

#define assert_valid(core)                                                                         \
    do {                                                                                           \
        char why_[200];                                                                            \
        hg_core *core_ = (core);                                                                   \
        if (!(core_ ? hg_core_validate(core_, why_, sizeof why_)                                   \
                    : hg_validate(why_, sizeof why_)))                                             \
            fail_msg("validator: %s", why_);                                                       \
    } while (0)

/* Runs `body` in a child; its exit status as of waitpid, its standard error in `text`. */
static inline int in_child(void (*body)(void), char *text, size_t text_size) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        signal(SIGABRT, SIG_DFL);
        alarm(30);
        body();
        _exit(0);
    }
    close(pipes[1]);
    size_t used = 0;
    ssize_t got;
    while (used < text_size - 1 && (got = read(pipes[0], text + used, text_size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = 0;
    close(pipes[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#endif
