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
    write_at(2000, 255);
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
        {"double free, large", double_free_large, "heapgauge: invalid free of 0x"},
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
        {"write byte 255", write_mid, "heapgauge: write after free to 0x"},
        {"write, instance", write_instance, "heapgauge: write after free to 0x"},
        {"realloc of a freed block", freed_realloc, "heapgauge: invalid realloc of 0x"},
        {"the same, moving", freed_realloc_moved, "heapgauge: double free of 0x"},
        {"realloc inside", inside_realloc, "heapgauge: invalid realloc of 0x"},
        {"foreign realloc", foreign_realloc, "heapgauge: invalid realloc of 0x"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[500];
        int status = in_child(rows[i].misuse, text, sizeof text);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("%s: status %x, said '%s'", rows[i].name, (unsigned)status, text);
        if (!strstr(text, rows[i].expected))
            fail_msg("%s: expected '%s', got '%s'", rows[i].name, rows[i].expected, text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_caught)};
    if (!HG_HARDENED)
        return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
