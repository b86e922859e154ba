/* Each check of the oracle is seen to fire: every planted fault is found, as the item it breaks, on a
 * seeded stream; sound backends and equivalent variants stay silent; a fault of the oracle itself lets
 * some planted fault live. Each case runs in a child, as its heap may be broken afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../faults/faulty.h"
#include "heapgauge/contain.h"
#include "heapgauge/generate.h"
#include "heapgauge/player.h"

struct run {
    char spec[80];
    struct hg_generator_config stream;
    unsigned oracle_fault;
    /* out */
    enum hg_status status;
    char item[8];
    uint64_t op_index, digest;
    struct hg_oracle_counts counts;
};

static int run_in_child(void *argument) {
    struct run *run = argument;
    char why[300];
    const hg_backend *backend;
    if (hg_backend_open(run->spec, &backend, why, sizeof why) != HG_OK) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    struct hg_oracle_config config = {.backend = backend, .oracle_fault = run->oracle_fault};
    hg_oracle *oracle = hg_oracle_create(&config);
    hg_generator *generator = hg_generator_create(&run->stream);
    if (!oracle || !generator)
        return 2;
    struct hg_source source = hg_generator_source(generator);
    struct hg_play_config play = {.backend = backend, .oracle = oracle};
    struct hg_play_result result;
    run->status = hg_play(&play, &source, &result);
    const struct hg_finding *finding = hg_oracle_finding(oracle);
    if (finding) {
        snprintf(run->item, sizeof run->item, "%s", finding->item);
        run->op_index = finding->op_index;
    }
    run->counts = *hg_oracle_counts(oracle);
    run->digest = hg_oracle_digest(oracle);
    return 0;
}

/* Plays a stream on a backend in a child. A crash of the child counts as found: item "crash". */
static void play(struct run *run, const char *spec, bool layout, uint64_t seed, unsigned fault) {
    memset(run, 0, sizeof *run);
    snprintf(run->spec, sizeof run->spec, "%s", spec);
    run->stream = (struct hg_generator_config){
        .seed = seed,
        .operation_count = 30000,
        .live_blocks = 300,
        .size_max = 4096,
        .threads = 1,
        .layout_face = layout,
        .hostile = true,
        .environment = true,
    };
    run->oracle_fault = fault;
    struct hg_limits limits = {.timeout_s = 120};
    struct hg_contained child;
    assert_int_equal(hg_contain(run_in_child, run, &limits, &child), HG_OK);
    if (child.outcome != HG_OUTCOME_EXITED || child.exit_status != 0)
        snprintf(run->item, sizeof run->item, "crash");
}

/* Found on either face within a few seeds? The item of the first finding is left in `run`. */
static bool found(struct run *run, const char *spec, unsigned oracle_fault) {
    for (uint64_t seed = 1; seed <= 3; seed++) {
        for (int layout = 0; layout <= 1; layout++) {
            play(run, spec, layout, seed, oracle_fault);
            if (run->item[0])
                return true;
        }
    }
    return false;
}

static struct run *shared_run(void) {
    struct run *run = hg_shared_map(sizeof *run);
    assert_non_null(run);
    return run;
}

static void sound_backends_are_clean(void **state) {
    (void)state;
    struct run *run = shared_run();
    uint64_t digest[2] = {0, 0};
    const char *const specs[] = {
        "core",
#if !defined(HG_SANITIZED) /* ThreadSanitizer's own malloc reports frees that nobody made */
        "system",
#endif
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        for (int layout = 0; layout <= 1; layout++) {
            play(run, specs[i], layout, 1, HG_ORACLE_SOUND);
            if (run->item[0])
                fail_msg("%s: %s at operation %llu", specs[i], run->item,
                         (unsigned long long)run->op_index);
            assert_int_equal(run->status, HG_OK);
            /* the same stream, whatever the backend */
            assert_true(digest[layout] == 0 || digest[layout] == run->digest);
            digest[layout] = run->digest;
            unsigned kind = layout ? HG_OP_LAYOUT_REALLOC : HG_OP_REALLOC;
            assert_true(run->counts.performed[kind] > 1000);
            assert_true(run->counts.moved > 100 && run->counts.stayed > 100);
            assert_true(run->counts.performed[HG_OP_FORK] > 0);
            assert_true(layout || run->counts.failed_as_owed > 10);
        }
    }
}

static void every_fault_is_found(void **state) {
    (void)state;
    struct run *run = shared_run();
    const struct hg_fault *fault;
    for (size_t i = 0; (fault = hg_fault_at(i)) != NULL; i++) {
        if (*fault->needs) /* more than a plain stream: fuzz/tests has it */
            continue;
        char spec[80];
        snprintf(spec, sizeof spec, "fault-%s:core", fault->name);
        bool seen = found(run, spec, HG_ORACLE_SOUND);
        print_message("%-22s breaks %-5s found as %s\n", fault->name,
                      fault->item ? fault->item : "-", seen ? run->item : "-");
        if (seen != (fault->item != NULL))
            fail_msg("%s: %s", fault->name, seen ? run->item : "not found");
    }
}

static void a_faulty_oracle_misses_some(void **state) {
    (void)state;
    static const struct {
        unsigned oracle_fault;
        const char *spec; /* found by the sound oracle, missed by this one */
    } rows[] = {
        {HG_ORACLE_NO_ALIGNMENT, "fault-align-mask:core"},
        {HG_ORACLE_MAX_ALIGN_ONLY, "fault-align-page:core"},
        {HG_ORACLE_SKIP_REALLOC, "fault-realloc-one-short:core"},
    };
    struct run *run = shared_run();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(found(run, rows[i].spec, HG_ORACLE_SOUND));
        if (found(run, rows[i].spec, rows[i].oracle_fault))
            fail_msg("%s finds %s all the same", hg_oracle_fault_name(rows[i].oracle_fault),
                     rows[i].spec);
    }
}

/* A giant that is granted and not touched may be freed, but not moved: the copy would take all memory. */
static void giants_are_not_moved(void **state) {
    enum { GIB = 1 << 30 };
    const hg_op ops[] = {{.kind = HG_OP_MALLOC, .slot = 0, .size = 3 * (uint64_t)GIB},
                         {.kind = HG_OP_REALLOC, .slot = 0, .size = 5 * (uint64_t)GIB},
                         {.kind = HG_OP_MALLOC, .slot = 1, .size = 100},
                         {.kind = HG_OP_TOUCHED, .slot = 1, .size = 4}, /* no call */
                         {.kind = HG_OP_REALLOC, .slot = 1, .size = 1000}};
    const hg_backend *backend;
    char why[300];
    (void)state;
    assert_int_equal(hg_backend_open("system", &backend, why, sizeof why), HG_OK);
    struct hg_oracle_config config = {.backend = backend};
    hg_oracle *oracle = hg_oracle_create(&config);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        assert_int_equal(hg_oracle_perform(oracle, &ops[i], i), HG_OK);
    const struct hg_oracle_counts *counts = hg_oracle_counts(oracle);
    if (counts->succeeded == 2) /* the machine has no room: realloc(NULL) then */
        print_message("skipped: no room for 3 GiB\n");
    else
        assert_int_equal(counts->performed[HG_OP_REALLOC], 1);
    assert_int_equal(counts->unsupported, 0);
    assert_int_equal(hg_oracle_finish(oracle, 0), HG_OK);
    hg_oracle_destroy(oracle);
}

static void layouts_of_libc_operations(void **state) {
    (void)state;
    static const struct {
        hg_op in;
        bool empty, has_twin;
        unsigned kind;
        uint64_t size, align;
    } rows[] = {
        {{.kind = HG_OP_MALLOC, .size = 100}, true, true, HG_OP_ALLOC, 100, 16},
        {{.kind = HG_OP_MALLOC, .size = 5}, true, true, HG_OP_ALLOC, 5, 4},
        {{.kind = HG_OP_MALLOC, .size = 0}, true, false, 0, 0, 0},
        {{.kind = HG_OP_CALLOC, .size = 8, .arg = 3}, true, true, HG_OP_ALLOC_ZEROED, 24, 16},
        {{.kind = HG_OP_CALLOC, .size = UINT64_MAX, .arg = 2}, true, false, 0, 0, 0},
        {{.kind = HG_OP_ALIGNED_ALLOC, .size = 8, .arg = 64}, true, true, HG_OP_ALLOC, 8, 64},
        {{.kind = HG_OP_MEMALIGN, .size = 8, .arg = 24}, true, false, 0, 0, 0},
        {{.kind = HG_OP_REALLOC, .size = 64}, false, true, HG_OP_LAYOUT_REALLOC, 64, 16},
        {{.kind = HG_OP_REALLOC, .size = 64}, true, true, HG_OP_ALLOC, 64, 16},
        {{.kind = HG_OP_PVALLOC, .size = 1}, true, true, HG_OP_ALLOC, 4096, 4096},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hg_op op = rows[i].in;
        assert_int_equal(hg_op_to_layout(&op, rows[i].empty), rows[i].has_twin);
        if (!rows[i].has_twin)
            continue;
        assert_int_equal(op.kind, rows[i].kind);
        assert_int_equal(op.size, rows[i].size);
        assert_int_equal(op.arg, rows[i].align);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_of_libc_operations),  cmocka_unit_test(giants_are_not_moved),
        cmocka_unit_test(sound_backends_are_clean),    cmocka_unit_test(every_fault_is_found),
        cmocka_unit_test(a_faulty_oracle_misses_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
