/* Size classes and layout arithmetic, exhaustively where the space is small. */
#include "check.h"

#include "heap.h"

static void test_classes(void **state) {
    (void)state;
    for (unsigned class = 1; class < HG_CLASS_COUNT; class ++) {
        size_t size = hg__class_size(class), before = hg__class_size(class - 1);
        assert_true(size > before);
        assert_int_equal(hg__class_of(size), class);
        assert_int_equal(hg__class_of(before + 1), class);
        assert_true(size - (before + 1) <= 15 || (size - (before + 1)) * 9 <= size);
    }
    assert_int_equal(hg__class_of(0), 0);
    assert_int_equal(hg__class_size(HG_CLASS_COUNT - 1), HG__SMALL_MAX);
}

/* The theorem of class.h, for every size and every power of two up to a granule. */
static void test_alignment_theorem(void **state) {
    (void)state;
    for (size_t align = 1; align <= (size_t)1 << HG__GRANULE_SHIFT; align *= 2)
        for (size_t size = 1; size <= HG__SMALL_MAX; size++) {
            size_t rounded = hg__round_up(size, align);
            if (rounded > HG__SMALL_MAX)
                continue;
            size_t slot = hg__class_size(hg__class_of(rounded));
            if (slot % align != 0 || slot < size)
                fail_msg("size %zu align %zu gets slots of %zu", size, align, slot);
        }
}

/* Offsets divide exactly by multiplication, over every slab of both granules. */
static void test_geometry(void **state) {
    (void)state;
    static struct hg__geometry table[HG_CLASS_COUNT];
    for (unsigned shift = 12; shift <= 14; shift += 2) {
        hg__geometry_init(table, shift);
        for (unsigned class = 1; class < HG_CLASS_COUNT; class ++) {
            const struct hg__geometry *geo = &table[class];
            size_t bytes = (size_t)geo->length << shift;
            if (geo->size > (size_t)2 << shift)
                continue;
            assert_true(geo->slot_count >= 4);
            assert_true(geo->slot_count <= hg__bitmap_words(shift) * 64);
            assert_true((size_t)geo->slot_count * geo->size <= bytes);
            for (uint64_t offset = 0; offset < bytes; offset++)
                if ((offset * geo->inverse >> 40) != offset / geo->size)
                    fail_msg("class %u offset %zu", class, (size_t)offset);
        }
    }
}

/* ---- layouts, against a model in wider integers ---- */

#if SIZE_MAX == UINT32_MAX
typedef uint64_t wide;
#else
typedef unsigned __int128 wide;
#endif

static bool model_valid(wide size, wide align) {
    if (align == 0 || (align & (align - 1)) != 0)
        return false;
    return (size + align - 1) / align * align <= PTRDIFF_MAX;
}

static void check_layout(size_t size, size_t align) {
    hg_layout made = {7, 7};
    bool valid = model_valid(size, align);
    if (hg_layout_make(size, align, &made) != valid)
        fail_msg("make(%zx, %zx) is not %d", size, align, valid);
    assert_int_equal(made.size, valid ? size : 7);
    if (!valid)
        return;
    hg_layout padded = hg_layout_pad(made);
    assert_true((wide)padded.size == ((wide)size + align - 1) / align * align);
    assert_true(hg_layout_is_valid(padded));
}

static void test_layout_limits(void **state) {
    (void)state;
    for (unsigned bit = 0; bit < sizeof(size_t) * 8; bit++)
        for (int wrong = -1; wrong <= 1; wrong++) {
            size_t align = ((size_t)1 << bit) + (size_t)wrong;
            for (size_t i = 0; i < 300; i++) {
                check_layout(i, align);
                check_layout(SIZE_MAX - i, align);
                check_layout((size_t)PTRDIFF_MAX - 150 + i, align);
                check_layout((size_t)PTRDIFF_MAX + 1 - align - 150 + i, align);
                check_layout(align - 150 + i, align);
            }
        }
}

static void test_layout_algebra(void **state) {
    (void)state;
    for (size_t s1 = 0; s1 < 40; s1++)
        for (size_t a1 = 1; a1 <= 16; a1 *= 2)
            for (size_t s2 = 0; s2 < 40; s2++)
                for (size_t a2 = 1; a2 <= 32; a2 *= 2) {
                    hg_layout out;
                    size_t offset = 0;
                    assert_true(
                        hg_layout_extend((hg_layout){s1, a1}, (hg_layout){s2, a2}, &out, &offset));
                    assert_true(offset >= s1 && offset - s1 < a2 && offset % a2 == 0);
                    assert_int_equal(out.size, offset + s2);
                    assert_int_equal(out.align, a1 > a2 ? a1 : a2);
                }
    hg_layout out;
    size_t stride;
    assert_true(hg_layout_repeat((hg_layout){5, 4}, 3, &out, &stride));
    assert_int_equal(stride, 8);
    assert_int_equal(out.size, 24);
    assert_false(hg_layout_repeat((hg_layout){5, 4}, SIZE_MAX / 8 + 1, &out, &stride));
    assert_false(hg_layout_repeat((hg_layout){1, 1}, (size_t)PTRDIFF_MAX + 1, &out, &stride));
    assert_false(hg_layout_extend((hg_layout){PTRDIFF_MAX, 1}, (hg_layout){1, 1}, &out, &stride));
    assert_false(hg_layout_align_to((hg_layout){1, 1}, 3, &out));
    assert_true(hg_layout_align_to((hg_layout){1, 64}, 8, &out));
    assert_int_equal(out.align, 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),        cmocka_unit_test(test_alignment_theorem),
        cmocka_unit_test(test_geometry),       cmocka_unit_test(test_layout_limits),
        cmocka_unit_test(test_layout_algebra),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
