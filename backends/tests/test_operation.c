/* Operations as text: what is printed reads back as the same operation; what is not one is refused
 * at the right column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "heapgauge/operation.h"
#include "heapgauge/trace.h"

static const struct {
    const char *text;
    hg_op op;
} lines[] = {
    {"t0 s0 = malloc(0)", {HG_OP_MALLOC, 0, 0, 0, 0, 0}},
    {"t1 NULL = malloc(18446744073709551615)",
     {HG_OP_MALLOC, HG_OPF_FAILED, 1, HG_SLOT_NONE, UINT64_MAX, 0}},
    {"t0 s3 = calloc(7, 24)", {HG_OP_CALLOC, 0, 0, 3, 24, 7}},
    {"t1 s3 = realloc(s3, 90)", {HG_OP_REALLOC, 0, 1, 3, 90, 0}},
    {"t1 NULL = realloc(s3, 90)", {HG_OP_REALLOC, HG_OPF_FAILED, 1, 3, 90, 0}},
    {"t1 NULL = realloc(NULL, 90)", {HG_OP_REALLOC, HG_OPF_FAILED, 1, HG_SLOT_NONE, 90, 0}},
    {"t1 s3 = reallocarray(s3, 2, 90)", {HG_OP_REALLOCARRAY, 0, 1, 3, 90, 2}},
    {"t0 free(s7)", {HG_OP_FREE, 0, 0, 7, 0, 0}},
    {"t0 free(NULL)", {HG_OP_FREE, 0, 0, HG_SLOT_NONE, 0, 0}},
    {"t2 s7 = aligned_alloc(256, 1000)", {HG_OP_ALIGNED_ALLOC, 0, 2, 7, 1000, 256}},
    {"t2 s7 = posix_memalign(64, 1)", {HG_OP_POSIX_MEMALIGN, 0, 2, 7, 1, 64}},
    {"t2 s7 = memalign(64, 1)", {HG_OP_MEMALIGN, 0, 2, 7, 1, 64}},
    {"t2 s7 = valloc(1)", {HG_OP_VALLOC, 0, 2, 7, 1, 0}},
    {"t2 s7 = pvalloc(1)", {HG_OP_PVALLOC, 0, 2, 7, 1, 0}},
    {"t0 malloc_usable_size(s268435455)", {HG_OP_USABLE_SIZE, 0, 0, HG_TRACE_SLOTS_MAX - 1, 0, 0}},
    {"t0 free_sized(s7)", {HG_OP_FREE_SIZED, 0, 0, 7, 0, 0}},
    {"t0 free_aligned_sized(s7)", {HG_OP_FREE_ALIGNED_SIZED, 0, 0, 7, 0, 0}},
    {"t65534 s1 = alloc(100, 16)", {HG_OP_ALLOC, 0, 65534, 1, 100, 16}},
    {"t0 s1 = alloc_zeroed(100, 16)", {HG_OP_ALLOC_ZEROED, 0, 0, 1, 100, 16}},
    {"t0 s1 = layout_realloc(s1, 200)", {HG_OP_LAYOUT_REALLOC, 0, 0, 1, 200, 0}},
    {"t0 dealloc(s1)", {HG_OP_DEALLOC, 0, 0, 1, 0, 0}},
    {"t0 purge()", {HG_OP_PURGE, 0, 0, HG_SLOT_NONE, 0, 0}},
    {"t0 fork()", {HG_OP_FORK, 0, 0, HG_SLOT_NONE, 0, 0}},
    {"t4 thread_start(t1)", {HG_OP_THREAD_START, 0, 4, HG_SLOT_NONE, 0, 1}},
    {"t4 thread_end()", {HG_OP_THREAD_END, 0, 4, HG_SLOT_NONE, 0, 0}},
    {"t0 verify(s2)", {HG_OP_VERIFY, 0, 0, 2, 0, 0}},
    {"t0 verify(all)", {HG_OP_VERIFY, 0, 0, HG_SLOT_NONE, 0, 0}},
    {"t0 fail_pages(3)", {HG_OP_FAIL_PAGES, 0, 0, HG_SLOT_NONE, 3, 0}},
    {"t0 fail_pages(never)", {HG_OP_FAIL_PAGES, 0, 0, HG_SLOT_NONE, UINT64_MAX, 0}},
    {"t0 clock(1000000)", {HG_OP_CLOCK, 0, 0, HG_SLOT_NONE, 1000000, 0}},
    {"t0 wait(t3, 12)", {HG_OP_WAIT, 0, 0, 3, 12, 0}},
    {"t0 s2 = mallocx(100, align 64, zero)",
     {HG_OP_NATIVE_ALLOC, 0, 0, 2, 100, 0 | 6 << 8 | 1 << 16}},
    {"t1 s3 = mi_malloc_aligned_at(90, align 16, offset 8)",
     {HG_OP_NATIVE_ALLOC, 0, 1, 3, 90, 6 | 4 << 8 | UINT64_C(8) << 32}},
    {"t0 NULL = xallocx(s3, 7)", {HG_OP_NATIVE_REALLOC, HG_OPF_FAILED, 0, 3, 7, 2}},
    {"t0 s3 = mi_rezalloc(s3, 7)", {HG_OP_NATIVE_REALLOC, 0, 0, 3, 7, 10}},
    {"t0 sdallocx(s3)", {HG_OP_NATIVE_FREE, 0, 0, 3, 0, 4}},
    {"t0 touched(s7, 12288)", {HG_OP_TOUCHED, 0, 0, 7, 12288, 0}},
    {"t0 nallocx(33)", {HG_OP_NATIVE_LOOK, 0, 0, HG_SLOT_NONE, 33, 5}},
};
enum { LINE_COUNT = sizeof lines / sizeof lines[0] };

static void assert_same(const hg_op *a, const hg_op *b) {
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->thread, b->thread);
    assert_int_equal(a->slot, b->slot);
    assert_true(a->size == b->size);
    assert_true(a->arg == b->arg);
}

static void prints_and_reads_back(void **state) {
    bool kind_seen[HG_OP_KIND_COUNT] = {false};
    (void)state;
    for (int i = 0; i < LINE_COUNT; i++) {
        char text[100];
        hg_op op;
        size_t column = 0;
        assert_true(hg_op_is_well_formed(&lines[i].op));
        assert_int_equal(hg_op_print(&lines[i].op, text, sizeof text), strlen(lines[i].text));
        assert_string_equal(text, lines[i].text);
        assert_true(hg_op_parse(text, &op, &column));
        assert_same(&op, &lines[i].op);
        kind_seen[op.kind] = true;
    }
    for (int kind = 0; kind < HG_OP_KIND_COUNT; kind++)
        assert_true(kind_seen[kind]);
}

static void prints_into_too_little_room_as_snprintf_does(void **state) {
    char text[8];
    (void)state;
    assert_int_equal(hg_op_print(&lines[0].op, text, sizeof text), strlen(lines[0].text));
    assert_string_equal(text, "t0 s0 =");
    assert_int_equal(hg_op_print(&lines[0].op, NULL, 0), strlen(lines[0].text));
}

static void names_and_facts(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < HG_OP_KIND_COUNT; kind++) {
        assert_non_null(hg_op_kind_name(kind));
        assert_int_equal(hg_op_kind_by_name(hg_op_kind_name(kind)), kind);
    }
    assert_null(hg_op_kind_name(HG_OP_KIND_COUNT));
    assert_int_equal(hg_op_kind_by_name("mallok"), HG_OP_KIND_COUNT);
    assert_int_equal(hg_op_kind_by_name(""), HG_OP_KIND_COUNT);
    assert_true(hg_op_allocates(HG_OP_CALLOC) && !hg_op_allocates(HG_OP_REALLOC));
    assert_true(hg_op_reallocates(HG_OP_REALLOCARRAY) && !hg_op_reallocates(HG_OP_FREE));
    assert_true(hg_op_frees(HG_OP_DEALLOC) && !hg_op_frees(HG_OP_MALLOC));
    const hg_op product = {HG_OP_CALLOC, 0, 0, 0, 24, 7};
    const hg_op overflow = {HG_OP_CALLOC, HG_OPF_FAILED, 0, HG_SLOT_NONE, 1ull << 60, 1 << 10};
    assert_int_equal(hg_op_bytes(&product), 168);
    assert_true(hg_op_bytes(&overflow) == UINT64_MAX);
}

static void refuses_what_is_no_operation(void **state) {
    static const struct {
        const char *text;
        size_t column;
    } bad[] = {
        {"", 0},
        {"x0 free(s1)", 0},
        {"t0", 2},
        {"t65535 free(s1)", 0},
        {"t0 s1 = free(s1)", 8},
        {"t0 malloc(3)", 3},
        {"t0 s1 = mallok(3)", 8},
        {"t0 s1 = malloc(", 15},
        {"t0 s1 = malloc(3", 16},
        {"t0 s1 = malloc(-3)", 15},
        {"t0 s1 = malloc(18446744073709551616)", 15},
        {"t0 s268435456 = malloc(1)", 3},
        {"t0 s1 = realloc(s2, 3)", 16},
        {"t0 s1 = malloc(3) and more", 18},
        {"t0 purge(s1)", 9},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        hg_op op = {99, 99, 99, 99, 99, 99};
        size_t column = 999;
        assert_false(hg_op_parse(bad[i].text, &op, &column));
        if (column != bad[i].column)
            print_error("%s: column %zu\n", bad[i].text, column);
        assert_int_equal(column, bad[i].column);
        assert_int_equal(op.kind, 99);
    }
}

static void knows_malformed_operations(void **state) {
    static const hg_op bad[] = {
        {HG_OP_KIND_COUNT, 0, 0, 0, 0, 0},
        {HG_OP_MALLOC, 0, 0, HG_SLOT_NONE, 1, 0},
        {HG_OP_MALLOC, HG_OPF_FAILED, 0, 1, 1, 0},
        {HG_OP_MALLOC, 2, 0, 1, 1, 0},
        {HG_OP_MALLOC, 0, 0, 1, 1, 1},
        {HG_OP_MALLOC, 0, 65535, 1, 1, 0},
        {HG_OP_MALLOC, 0, 0, HG_TRACE_SLOTS_MAX, 1, 0},
        {HG_OP_REALLOC, 0, 0, HG_SLOT_NONE, 1, 0},
        {HG_OP_FREE, HG_OPF_FAILED, 0, 1, 0, 0},
        {HG_OP_FREE, 0, 0, 1, 1, 0},
        {HG_OP_PURGE, 0, 0, 1, 0, 0},
        {HG_OP_THREAD_START, 0, 0, HG_SLOT_NONE, 0, 65535},
        {HG_OP_WAIT, 0, 0, HG_SLOT_NONE, 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(hg_op_is_well_formed(&bad[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_and_reads_back),
        cmocka_unit_test(prints_into_too_little_room_as_snprintf_does),
        cmocka_unit_test(names_and_facts),
        cmocka_unit_test(refuses_what_is_no_operation),
        cmocka_unit_test(knows_malformed_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
