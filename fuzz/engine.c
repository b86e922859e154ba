/* What libFuzzer, AFL++ and the plain replay driver call. One target a program, chosen when it is built
 * (HG_FUZZ_TARGET); the backend when it is run:
 *
 *   HEAPGAUGE_BACKEND=core|system|jemalloc|...|PATH.so|fault-NAME:core     (core)
 *   HEAPGAUGE_STRICT=1          quality items are findings too
 *   HEAPGAUGE_FINDINGS=DIR      where the trace of a finding is written    (nowhere)
 *
 * A finding prints its verdict and its last operations, and aborts. Nothing is written but where that was
 * asked for: engines run targets where they may not write. */
#include "mutate.h"
#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "artifact.h"

extern const struct hg_fuzz_target HG_FUZZ_TARGET;
extern struct hg_fuzz_session hg_engine_session;
struct hg_fuzz_session hg_engine_session;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t size_max, unsigned seed);
/* libFuzzer's own mutation; absent in the replay driver. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max) __attribute__((weak));

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    const char *name = getenv("HEAPGAUGE_BACKEND");
    char why[400];
    if (name && strcmp(name, "core") != 0)
        hg_backend_prepare_process(*argv);
    if (hg_fuzz_session_open(&hg_engine_session, &HG_FUZZ_TARGET, name && *name ? name : "core",
                             NULL, why, sizeof why) != HG_OK) {
        fprintf(stderr, "heapgauge: %s\n", why);
        exit(2);
    }
    if (getenv("HEAPGAUGE_STRICT")) {
        hg_engine_session.config.strict = true;
        if (!hg_fuzz_session_renew(&hg_engine_session))
            exit(2);
    }
    return 0;
}

static void print_last(const struct hg_fuzz_log *log) {
    enum { SHOWN = 16 };
    size_t first = log->op_count > SHOWN ? (size_t)log->op_count - SHOWN : 0;
    for (size_t i = first; i < log->op_count; i++) {
        char line[160];
        hg_op_print(&log->ops[i], line, sizeof line);
        fprintf(stderr, "  %zu: %s\n", i, line);
    }
}

static void write_trace(const char *directory) {
    const struct hg_fuzz_session *session = &hg_engine_session;
    char path[1000];
    snprintf(path, sizeof path, "%.300s/finding-%.20s-%s.hgt", directory, session->target->name,
             session->finding.item);
    if (hg_artifact_write_trace(path, session->name, session->target->name, &session->finding,
                                session->log->ops, session->log->op_count))
        fprintf(stderr, "heapgauge: trace written to %s; next: heapgauge reduce --backend=%s %s\n",
                path, session->name, path);
    else
        perror(path);
}

static __attribute__((noreturn)) void report(void) {
    const struct hg_fuzz_session *session = &hg_engine_session;
    const char *directory = getenv("HEAPGAUGE_FINDINGS");
    hg_artifact_print(stderr, session->name, &session->finding);
    if (session->target->plays_operations) {
        print_last(session->log);
        if (directory && *directory)
            write_trace(directory);
    }
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct hg_fuzz_session *session = &hg_engine_session;
    if (session->log->op_count + sizeof session->decoded.ops / sizeof(hg_op) > HG_FUZZ_LOG_OPS)
        session->log->op_count = 0;
    if (session->target->run(session, data, size))
        report();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed) {
    uint64_t random = seed;
    /* One in eight by libFuzzer itself: it knows the dictionary and values seen in comparisons. */
    if (LLVMFuzzerMutate && hg_random_below(&random, 8) == 0)
        return LLVMFuzzerMutate(data, size, size_max);
    return hg_fuzz_mutate(data, size, size_max, &random);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t size_max, unsigned seed) {
    uint64_t random = seed;
    return hg_fuzz_crossover(a, a_size, b, b_size, out, size_max, &random);
}
