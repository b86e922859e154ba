/* Flat streams, their verdicts, surveys, and the model of the kernel's slabs: what the kernel module does,
 * in user space. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../slab_rule.h"
#include "../survey.h"
#include "heapgauge/flat.h"

static const hg_backend *open_backend(const char *spec) {
    const hg_backend *backend;
    char why[300];
    if (hg_backend_open(spec, &backend, why, sizeof why) != HG_OK)
        fail_msg("%s", why);
    return backend;
}

static void play_seeded(const char *spec, uint64_t count, struct hg_verdict *verdict) {
    hg_generator *generator = hg_generator_create(&(struct hg_generator_config){
        .seed = 1,
        .operation_count = count,
        .live_blocks = 400,
        .size_max = 4096,
        .threads = 1,
        .layout_face = true,
    });
    struct hg_oracle_config config = {.backend = open_backend(spec), .face = HG_FACE_LAYOUT};
    hg_oracle *oracle = hg_oracle_create(&config);
    assert_non_null(generator);
    assert_non_null(oracle);
    struct hg_source source = hg_generator_source(generator);
    hg_flat_play_source(oracle, &source, 0, verdict);
    if (verdict->status != HG_OK)
        hg_oracle_abandon(oracle);
    hg_oracle_destroy(oracle);
    hg_generator_destroy(generator);
}

/* ---- bytes ---- */

static struct {
    unsigned char head[HG_FLAT_HEADER_BYTES];
    hg_op ops[3];
} flat;

static void make_flat(void) {
    hg_flat_head(flat.head, 3);
    flat.ops[0] = (hg_op){.kind = HG_OP_ALLOC, .slot = 0, .size = 96, .arg = 64};
    flat.ops[1] = (hg_op){.kind = HG_OP_LAYOUT_REALLOC, .slot = 0, .size = 200};
    flat.ops[2] = (hg_op){.kind = HG_OP_DEALLOC, .slot = 0};
}

static void a_flat_stream_is_read_or_refused(void **state) {
    (void)state;
    uint64_t count = 0;
    make_flat();
    assert_ptr_equal(hg_flat_read(&flat, sizeof flat, &count), flat.ops);
    assert_int_equal(count, 3);
    assert_null(hg_flat_read(&flat, sizeof flat - 1, &count));
    assert_null(hg_flat_read(&flat, sizeof flat - sizeof(hg_op), &count));
    assert_null(hg_flat_read(&flat, HG_FLAT_HEADER_BYTES - 1, &count));
    flat.ops[1].kind = HG_OP_KIND_COUNT;
    assert_null(hg_flat_read(&flat, sizeof flat, &count));
    make_flat();
    flat.head[0] = 'X';
    assert_null(hg_flat_read(&flat, sizeof flat, &count));
    hg_flat_head(flat.head, UINT64_MAX / sizeof(hg_op) + 1); /* times 24 it wraps */
    assert_null(hg_flat_read(&flat, sizeof flat, &count));
    assert_int_equal(count, 3);
}

static void verdicts_are_lines_of_text(void **state) {
    (void)state;
    make_flat();
    struct hg_verdict verdict;
    char text[HG_FLAT_REPLY_BYTES];
    struct hg_oracle_config config = {.backend = open_backend("core"), .face = HG_FACE_LAYOUT};
    hg_oracle *oracle = hg_oracle_create(&config);
    uint64_t digest = 0;
    for (int i = 0; i < 3; i++) { /* the oracle is good for the next stream */
        hg_flat_play(oracle, flat.ops, 3, (unsigned)i, &verdict);
        assert_int_equal(verdict.status, HG_OK);
        assert_int_equal(verdict.operations, 3);
        assert_true(i == 0 || verdict.digest == digest);
        digest = verdict.digest;
    }
    hg_oracle_destroy(oracle);
    hg_verdict_print(&verdict, text, sizeof text);
    assert_non_null(strstr(text, "verdict=clean ops=3 "));
    config.backend = open_backend("slab-8-raw:core");
    oracle = hg_oracle_create(&config);
    hg_flat_play(oracle, flat.ops, 3, 0, &verdict);
    hg_verdict_print(&verdict, text, sizeof text);
    assert_non_null(strstr(text, "verdict=broken"));
    assert_non_null(
        strstr(text, "item=C65 at=0 op=t0 s0 = alloc(96, 64) text=alignment 64 is owed"));
    assert_int_equal(
        hg_verdict_print(&verdict, text, 20),
        strlen(
            "verdict=broken ops=1 succeeded=1 failed=0 moved=0 stayed=0 unsupported=0 checks=1 digest=0123456789abcdef"));
    hg_oracle_destroy(oracle);
}

/* ---- the rules, by hand ---- */

static void each_rule_asks_for(void **state) {
    (void)state;
    static const struct {
        size_t size, align, raw, padded, unpadded, aligned; /* with slabs aligned to 8 */
    } rows[] = {
        {96, 64, 96, 128, 128, 128},   {8, 64, 8, 64, 8, 64},      {72, 64, 72, 128, 128, 128},
        {160, 32, 160, 160, 256, 256}, {96, 32, 96, 96, 128, 128}, {20, 4096, 20, 4096, 32, 4096},
        {24, 8, 24, 24, 24, 24},       {20, 8, 20, 24, 20, 24},    {1, 1, 1, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hg_layout layout = {rows[i].size, rows[i].align};
        assert_int_equal(hg__slab_size(HG_SLAB_RAW, layout, 8), rows[i].raw);
        assert_int_equal(hg__slab_size(HG_SLAB_PADDED, layout, 8), rows[i].padded);
        assert_int_equal(hg__slab_size(HG_SLAB_UNPADDED, layout, 8), rows[i].unpadded);
        assert_int_equal(hg__slab_size(HG_SLAB_ALIGNED, layout, 8), rows[i].aligned);
    }
    hg_layout most = {(size_t)PTRDIFF_MAX - 15, 16};
    assert_int_equal(hg__slab_size(HG_SLAB_ALIGNED, most, 8), (size_t)PTRDIFF_MAX + 1);
    assert_int_equal(hg__power_of_two_above(SIZE_MAX), SIZE_MAX);
    assert_int_equal(hg__power_of_two_above((size_t)1 << 63), (size_t)1 << 63);
}

/* Whatever the rule of krealloc_aligned asks for is a power of two not below the alignment, or needs none. */
static void aligned_is_right_for_every_small_layout(void **state) {
    (void)state;
    for (size_t min = 8; min <= 128; min *= 2)
        for (size_t align = 1; align <= 8192; align *= 2)
            for (size_t size = 1; size <= 5000; size++) {
                size_t asked = hg__slab_size(HG_SLAB_ALIGNED, (hg_layout){size, align}, min);
                assert_true(asked >= size);
                assert_true(align <= min || ((asked & (asked - 1)) == 0 && asked >= align));
            }
}

/* ---- the model ---- */

static void models_fail_as_the_kernel_does(void **state) {
    (void)state;
    static const struct {
        const char *rule;
        bool clean;
    } rows[] = {{"raw", false},        {"unpadded", false}, {"padded", false},
                {"padded-6.11", true}, {"aligned", true},   {"aligned-6.11", true}};
    struct hg_verdict verdict;
    play_seeded("core", 20000, &verdict);
    assert_int_equal(verdict.status, HG_OK);
    uint64_t digest = verdict.digest;
    for (size_t min = 8; min <= 128; min *= 2) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            char spec[40];
            snprintf(spec, sizeof spec, "slab-%zu-%s:core", min, rows[i].rule);
            play_seeded(spec, 20000, &verdict);
            if (rows[i].clean != (verdict.status == HG_OK))
                fail_msg("%s: %s", spec, verdict.status == HG_OK ? "clean" : verdict.finding.text);
            assert_true(rows[i].clean ? verdict.digest == digest
                                      : strcmp(verdict.finding.item, "C65") == 0 ||
                                            strcmp(verdict.finding.item, "C68") == 0);
        }
    }
}

static void a_survey_counts_every_block_of_a_model(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        hg_layout layout;
        size_t less, least;
    } rows[] = {
        {"slab-8-raw:core", {96, 64}, 64, 8},         {"slab-32-raw:core", {96, 32}, 0, 32},
        {"slab-8-unpadded:core", {8, 64}, 64, 8},     {"slab-8-padded:core", {96, 64}, 0, 128},
        {"slab-8-padded:core", {160, 32}, 64, 8},     {"slab-8-padded-6.11:core", {160, 32}, 0, 32},
        {"slab-8-aligned:core", {20, 4096}, 0, 4096}, {"slab-8-aligned:core", {160, 32}, 0, 256},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t from = 0; from <= 1; from++) {
            struct hg_survey seen =
                hg__survey(open_backend(rows[i].spec), rows[i].layout, from, 64);
            assert_int_equal(seen.blocks, 64);
            assert_int_equal(seen.less, rows[i].less);
            assert_int_equal(seen.least, rows[i].least);
        }
    }
    char text[200];
    hg__survey_classes(open_backend("slab-16-raw:core"), 1, 65, 1, 4, text, sizeof text);
    assert_string_equal(text, "1-31:16 32-32:32 33-63:16 64-64:64 65-65:16");
    assert_int_equal(hg__survey_classes(open_backend("slab-16-raw:core"), 1, 65, 1, 4, text, 10),
                     strlen("1-31:16 32-32:32 33-63:16 64-64:64 65-65:16"));
}

static void models_that_are_none(void **state) {
    (void)state;
    static const char *const specs[] = {"slab-7-raw:core",   "slab-256-raw:core", "slab-8:core",
                                        "slab-8-round:core", "slab-8-raw-7:core", "slab-:core"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        const hg_backend *backend = NULL;
        char why[300] = "";
        assert_int_equal(hg_backend_open(specs[i], &backend, why, sizeof why), HG_ERR_UNKNOWN);
        assert_non_null(strstr(why, "MIN-RULE"));
        assert_null(backend);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flat_stream_is_read_or_refused),
        cmocka_unit_test(verdicts_are_lines_of_text),
        cmocka_unit_test(each_rule_asks_for),
        cmocka_unit_test(aligned_is_right_for_every_small_layout),
        cmocka_unit_test(models_fail_as_the_kernel_does),
        cmocka_unit_test(a_survey_counts_every_block_of_a_model),
        cmocka_unit_test(models_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
