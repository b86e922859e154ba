/* Every check of the hardened build, seen to fire: the signal and the words. */
#include <pthread.h>
#include <signal.h>

#include "check.h"

static hg_layout small = {64, 16};

static void double_free(void) {
    void *p = hg_libc_malloc(64);
    hg_libc_free(p);
    hg_libc_free(p);
}

static void *free_it(void *p) {
    hg_libc_free(p);
    return NULL;
}

static void double_free_by_thread(void) {
    void *p = hg_libc_malloc(24);
    pthread_t thread;
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
    hg_libc_free(p);
}

static void double_free_later(void) {
    void *p[500];
    for (int i = 0; i < 500; i++)
        p[i] = hg_libc_malloc(100);
    for (int i = 0; i < 500; i++)
        hg_libc_free(p[i]);
    hg_libc_free(p[7]);
}

static void double_free_large(void) {
    void *p = hg_libc_malloc(1 << 20);
    hg_libc_free(p);
    hg_libc_free(p);
}

static void double_free_layout(void) {
    void *p = hg_alloc(small);
    hg_dealloc(p, small);
    hg_dealloc(p, small);
}

static void free_inside(void) {
    hg_libc_free((char *)hg_libc_malloc(64) + 16);
}

static void free_unaligned(void) {
    hg_libc_free((char *)hg_libc_malloc(64) + 1);
}

static void free_inside_large(void) {
    hg_libc_free((char *)hg_libc_malloc(1 << 20) + (64 << 10));
}

static void free_stack(void) {
    char buffer[64];
    hg_libc_free(buffer);
}

static void free_wild(void) {
    hg_libc_free((void *)(uintptr_t)0x1230);
}

static void wrong_size(void) {
    hg_dealloc(hg_alloc(small), (hg_layout){200, 16});
}

static void wrong_smaller(void) {
    hg_dealloc(hg_alloc(small), (hg_layout){16, 16});
}

static void wrong_align(void) {
    hg_dealloc(hg_alloc(small), (hg_layout){64, 256});
}

static void wrong_large(void) {
    hg_dealloc(hg_alloc((hg_layout){100000, 16}), (hg_layout){200000, 16});
}

static void wrong_kind(void) {
    hg_dealloc(hg_alloc(small), (hg_layout){100000, 16});
}

static void wrong_kind_large(void) {
    hg_dealloc(hg_alloc((hg_layout){100000, 16}), small);
}

static void wrong_free_sized(void) {
    hg_libc_free_sized(hg_libc_malloc(100), 10);
}

static void wrong_after_realloc(void) {
    void *p = hg_realloc(hg_alloc((hg_layout){1000, 16}), (hg_layout){1000, 16}, 640);
    hg_dealloc(p, (hg_layout){1000, 16});
}

/* A write at `offset` of a freed block, which is then taken again. */
static void write_at(size_t size, size_t offset) {
    unsigned char *volatile p = hg_libc_malloc(size);
    hg_libc_free(p);
    p[offset] ^= 1;
    for (int i = 0; i < 300; i++)
        hg_libc_malloc(size);
}

static void write_first(void) {
    write_at(64, 0);
}
static void write_last(void) {
    write_at(64, 63);
}
static void write_mid(void) {
    write_at(2000, 63);
}

/* All of a slot that went home to its slab is watched, up to 1 KiB. */
static size_t home_offset;
static void write_home(void) {
    unsigned char *p[300], *volatile mate = NULL;
    for (int i = 0; i < 300; i++)
        p[i] = hg_libc_malloc(1000);
    for (int i = 0; i < 300; i++)
        if (i != 150) {
            if ((uintptr_t)p[i] / 4096 == (uintptr_t)p[150] / 4096)
                mate = p[i]; /* in a page that will not be given back */
            hg_libc_free(p[i]);
        }
    hg_libc_malloc_trim(0);
    mate[home_offset] = 1;
    for (int i = 0; i < 300; i++)
        hg_libc_malloc(1000);
}

/* Every byte of a slot that is no longer than what is watched in a cache. */
static size_t small_size, small_offset;
static void write_small(void) {
    write_at(small_size, small_offset);
}

static void write_end(void) {
    write_at(2000, 1999 + 48); /* the slot's last byte: 2048 */
}

static void write_large(void) {
    unsigned char *volatile p = hg_libc_malloc(300000);
    hg_libc_free(p);
    p[100] = 1;
    hg_libc_malloc(300000);
}

static void write_large_before_slabs(void) {
    unsigned char *volatile p = hg_libc_malloc(300000);
    hg_libc_free(p);
    p[100] = 1;
    for (int i = 0; i < 3000; i++)
        hg_libc_malloc(200);
}

static void *write_it(void *p) {
    *(volatile char *)p = 1;
    return NULL;
}

static void write_by_thread(void) {
    void *p = hg_libc_malloc(100);
    hg_libc_free(p);
    pthread_t thread;
    pthread_create(&thread, NULL, write_it, p);
    pthread_join(thread, NULL);
    for (int i = 0; i < 300; i++)
        hg_libc_malloc(100);
}

static void write_freed_by_thread(void) {
    void *p = hg_libc_malloc(100);
    pthread_t thread;
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
    write_it(p);
    for (int i = 0; i < 3000; i++)
        hg_libc_malloc(100);
}

/* One byte behind the end, for sizes in every position towards the slot's end. */
static size_t overflow_size;
static void overflow(void) {
    unsigned char *volatile p = hg_libc_malloc(overflow_size);
    p[overflow_size] = 0;
    hg_libc_free(p);
}

static void overflow_far(void) {
    unsigned char *volatile p = hg_libc_malloc(2000);
    p[2047] = 0;
    hg_libc_free(p);
}

static void overflow_realloc(void) {
    unsigned char *volatile p = hg_libc_malloc(100);
    p[100] = 0;
    hg_libc_realloc(p, 105);
}

static void overflow_resized(void) {
    unsigned char *volatile p = hg_libc_realloc(hg_libc_malloc(108), 100);
    p[100] = 0;
    hg_libc_free(p);
}

static void overflow_thread(void) {
    char *volatile p = hg_libc_malloc(10);
    p[10] = 0;
    pthread_t thread;
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
}

static void overflow_calloc(void) {
    char *volatile p = hg_libc_calloc(10, 5);
    p[50] = 0;
    hg_libc_free(p);
}

static void overflow_large(void) {
    char *volatile p = hg_libc_malloc(100000);
    p[100000] = 0;
    hg_libc_free(p);
}

static void overflow_instance(void) {
    hg_core *core = hg_core_create(NULL);
    char *volatile p = hg_core_alloc(core, small);
    p[64] = 0;
    hg_core_dealloc(core, p, small);
}

static void wrong_size_same_class(void) {
    hg_dealloc(hg_alloc((hg_layout){50, 16}), (hg_layout){51, 16});
}

static void wrong_realloc(void) {
    hg_realloc(hg_alloc((hg_layout){50, 16}), (hg_layout){51, 16}, 500);
}

static void write_instance(void) {
    hg_core *core = hg_core_create(NULL);
    unsigned char *volatile p = hg_core_alloc(core, small);
    hg_core_dealloc(core, p, small);
    p[20] = 1;
    hg_core_alloc(core, small);
}

static void double_free_instance(void) {
    hg_core *core = hg_core_create(NULL);
    void *p = hg_core_alloc(core, small);
    hg_core_dealloc(core, p, small);
    hg_core_dealloc(core, p, small);
}

static void double_free_region(void) {
    static char mem[1 << 18];
    hg_core *core = hg_core_over_region(mem, sizeof mem, NULL);
    void *p = hg_core_alloc(core, small);
    hg_core_dealloc(core, p, small);
    hg_core_dealloc(core, p, small);
}

static void freed_realloc(void) {
    void *volatile p = hg_libc_malloc(100);
    hg_libc_free(p);
    hg_libc_realloc(p, 110);
}

static void freed_realloc_moved(void) {
    void *volatile p = hg_libc_malloc(100);
    hg_libc_free(p);
    hg_libc_realloc(p, 1000);
}

static void inside_realloc(void) {
    hg_libc_realloc((char *)hg_libc_malloc(100) + 16, 110);
}

static void foreign_realloc(void) {
    static char elsewhere[64];
    hg_libc_realloc(elsewhere, 100);
}

static void expect_caught(const char *name, void (*misuse)(void), const char *expected) {
    char text[500];
    int status = in_child(misuse, text, sizeof text);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fail_msg("%s: status %x, said '%s'", name, (unsigned)status, text);
    if (!strstr(text, expected))
        fail_msg("%s: expected '%s', got '%s'", name, expected, text);
}

static void test_caught(void **state) {
    (void)state;
    static const struct {
        const char *name;
        void (*misuse)(void);
        const char *expected;
    } rows[] = {
        {"double free", double_free, "heapgauge: double free of 0x"},
        {"double free, other thread", double_free_by_thread, "heapgauge: double free of 0x"},
        {"double free, later", double_free_later, "heapgauge: double free of 0x"},
        {"double free, large", double_free_large, "heapgauge: double free of 0x"},
        {"double free, layout", double_free_layout, "heapgauge: double free of 0x"},
        {"double free, instance", double_free_instance, "heapgauge: double free of 0x"},
        {"double free, region", double_free_region, "heapgauge: double free of 0x"},
        {"inside", free_inside, "no live block begins there"},
        {"unaligned", free_unaligned, "not the start of a block"},
        {"inside large", free_inside_large, "no live block begins there"},
        {"stack", free_stack, "not memory of this allocator"},
        {"wild", free_wild, "not memory of this allocator"},
        {"larger size", wrong_size, "heapgauge: wrong layout in free of 0x"},
        {"smaller size", wrong_smaller, "heapgauge: wrong layout in free of 0x"},
        {"alignment", wrong_align, "heapgauge: wrong layout in free of 0x"},
        {"large size", wrong_large, "heapgauge: wrong layout in free of 0x"},
        {"small as large", wrong_kind, "heapgauge: wrong layout in free of 0x"},
        {"large as small", wrong_kind_large, "heapgauge: wrong layout in free of 0x"},
        {"free_sized", wrong_free_sized, "heapgauge: wrong layout in free of 0x"},
        {"size before realloc", wrong_after_realloc, "heapgauge: wrong layout in free of 0x"},
        {"write first byte", write_first, "heapgauge: write after free to 0x"},
        {"write last byte", write_last, "heapgauge: write after free to 0x"},
        {"write byte 63", write_mid, "heapgauge: write after free to 0x"},
        {"write, instance", write_instance, "heapgauge: write after free to 0x"},
        {"write last byte of a slot", write_end, "heapgauge: write after free to 0x"},
        {"write, large", write_large, "heapgauge: write after free to 0x"},
        {"write, large then small", write_large_before_slabs, "heapgauge: write after free to 0x"},
        {"write by a thread", write_by_thread, "heapgauge: write after free to 0x"},
        {"write, freed by a thread", write_freed_by_thread, "heapgauge: write after free to 0x"},
        {"overflow, far", overflow_far, "heapgauge: overflow of the block at 0x"},
        {"overflow, realloc", overflow_realloc, "heapgauge: overflow of the block at 0x"},
        {"overflow, resized", overflow_resized, "heapgauge: overflow of the block at 0x"},
        {"overflow, other thread", overflow_thread, "heapgauge: overflow of the block at 0x"},
        {"overflow, calloc", overflow_calloc, "heapgauge: overflow of the block at 0x"},
        {"overflow, large", overflow_large, "heapgauge: overflow of the block at 0x"},
        {"overflow, instance", overflow_instance, "heapgauge: overflow of the block at 0x"},
        {"size of the same class", wrong_size_same_class, "heapgauge: wrong layout in free of 0x"},
        {"size given to realloc", wrong_realloc, "heapgauge: wrong layout in realloc of 0x"},
        {"realloc of a freed block", freed_realloc, "heapgauge: invalid realloc of 0x"},
        {"the same, moving", freed_realloc_moved, "heapgauge: invalid realloc of 0x"},
        {"realloc inside", inside_realloc, "heapgauge: invalid realloc of 0x"},
        {"foreign realloc", foreign_realloc, "heapgauge: invalid realloc of 0x"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_caught(rows[i].name, rows[i].misuse, rows[i].expected);
}

static void test_overflow_by_one(void **state) {
    (void)state;
    for (overflow_size = 0; overflow_size < 40; overflow_size++)
        expect_caught("overflow by one", overflow, "heapgauge: overflow of the block at 0x");
    for (overflow_size = 100; overflow_size < 32768; overflow_size = overflow_size * 9 / 7)
        expect_caught("overflow by one", overflow, "heapgauge: overflow of the block at 0x");
}

static void test_write_small(void **state) {
    (void)state;
    for (small_size = 15; small_size <= 64 + 16; small_size += 16)
        for (small_offset = 0; small_offset <= small_size; small_offset++)
            expect_caught("write to a small slot", write_small,
                          "heapgauge: write after free to 0x");
}

static void test_write_home(void **state) {
    (void)state;
    for (home_offset = 0; home_offset < 1024; home_offset += 31)
        expect_caught("write at home", write_home, "heapgauge: write after free to 0x");
}

/* What is asked is what may be used, to the byte, and all of it; nothing is said then. */
static void test_no_false_alarm(void **state) {
    (void)state;
    for (size_t size = 0; size < 200000; size += 1 + size / 37) {
        unsigned char *p = hg_libc_malloc(size);
        assert_int_equal(hg_libc_malloc_usable_size(p), size);
        memset(p, 0, size);
        p = hg_libc_realloc(p, size + size / 9 + 1);
        memset(p, 0, size + size / 9 + 1);
        hg_libc_free(p);
        for (size_t align = 1; align <= 65536; align *= 8) {
            hg_layout layout = {size, align};
            p = hg_alloc(layout);
            memset(p, 0, size);
            hg_dealloc(p, layout);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_caught),         cmocka_unit_test(test_overflow_by_one),
        cmocka_unit_test(test_write_small),    cmocka_unit_test(test_write_home),
        cmocka_unit_test(test_no_false_alarm),
    };
    if (!HG_HARDENED)
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
