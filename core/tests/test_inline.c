/* The inlined fast path (core_inline.h) against the called one: blocks pass from either to the other,
 * and every layout that is not small, known and not empty takes the call. */
#include "check.h"

#if !HG_CORE_INLINE
#error "the inlined functions are what is tested here"
#endif

static void *(*const called_alloc)(hg_layout) = hg_alloc;
static void (*const called_dealloc)(void *, hg_layout) = hg_dealloc;

/* Blocks of a layout known here, from both paths, freed by the other one, last ones first. */
#define PASS(size_, align_)                                                                        \
    do {                                                                                           \
        enum { COUNT = 300 };                                                                      \
        static char *blocks[COUNT];                                                                \
        const hg_layout layout = {size_, align_};                                                  \
        for (int i = 0; i < COUNT; i++) {                                                          \
            hg_layout copy = layout;                                                               \
            blocks[i] = i % 2 ? hg_alloc((hg_layout){size_, align_}) : called_alloc(copy);         \
            assert_non_null(blocks[i]);                                                            \
            assert_int_equal((uintptr_t)blocks[i] % (align_), 0);                                  \
            assert_true(hg_usable_size(blocks[i]) >= (size_));                                     \
            memset(blocks[i], i, size_);                                                           \
        }                                                                                          \
        assert_valid(NULL);                                                                        \
        for (int i = COUNT; i-- > 0;) {                                                            \
            for (size_t at = 0; at < (size_); at++)                                                \
                assert_int_equal((unsigned char)blocks[i][at], i & 255);                           \
            if (i % 2)                                                                             \
                called_dealloc(blocks[i], layout);                                                 \
            else                                                                                   \
                hg_dealloc(blocks[i], (hg_layout){size_, align_});                                 \
        }                                                                                          \
        assert_valid(NULL);                                                                        \
    } while (0)

static void test_layouts(void **state) {
    (void)state;
    PASS(1, 1);
    PASS(16, 16);
    PASS(17, 1);
    PASS(24, 32);
    PASS(64, 16);
    PASS(100, 128);
    PASS(511, 1);
    PASS(512, 512);
    PASS(513, 1); /* beyond the bins known to the header */
    PASS(8, 1024);
    PASS(9000, 16); /* beyond the table */
}

static void test_edges(void **state) {
    (void)state;
    hg_dealloc(NULL, (hg_layout){64, 16});
    void *empty = hg_alloc((hg_layout){0, 1}), *other = hg_alloc((hg_layout){0, 1});
    assert_non_null(empty);
    assert_true(empty != other);
    hg_dealloc(empty, (hg_layout){0, 1});
    hg_dealloc(other, (hg_layout){0, 1});
    assert_null(hg_alloc((hg_layout){SIZE_MAX, 16}));
    assert_valid(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layouts),
                                       cmocka_unit_test(test_edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
