/* The malloc family against the contract; the same for the layout face where they share a rule. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "check.h"

static void test_sizes(void **state) {
    (void)state;
    for (size_t size = 0; size < 70000; size += size < 2000 ? 1 : 997) {
        unsigned char *p = hg_libc_malloc(size), *q = hg_libc_malloc(size);
        assert_non_null(p);
        assert_ptr_not_equal(p, q);
        assert_int_equal((uintptr_t)p % 16, 0);
        size_t usable = hg_libc_malloc_usable_size(p);
        assert_true(usable >= size);
        memset(p, 1, usable);
        memset(q, 2, hg_libc_malloc_usable_size(q));
        assert_true(usable == 0 || p[usable - 1] == 1);
        hg_libc_free_sized(p, size);
        hg_libc_free(q);
    }
    assert_int_equal(hg_libc_malloc_usable_size(NULL), 0);
    hg_libc_free(NULL);
    hg_libc_free_sized(NULL, 5);
    hg_libc_free_aligned_sized(NULL, 16, 5);
    assert_valid(NULL);
}

/* Impossible sizes: NULL with ENOMEM, never a small block. */
static void test_size_limits(void **state) {
    (void)state;
    size_t sizes[400], count = 0;
    for (size_t i = 0; i <= 64; i++) {
        sizes[count++] = SIZE_MAX - i;
        sizes[count++] = (size_t)PTRDIFF_MAX + 1 + i;
        sizes[count++] = SIZE_MAX - 4096 + i;
    }
    sizes[count++] = (size_t)PTRDIFF_MAX;
    sizes[count++] = (size_t)1 << 62;
    for (size_t i = 0; i < count; i++) {
        size_t s = sizes[i];
        void *p = hg_libc_malloc(100);
        errno = 0;
        assert_null(hg_libc_malloc(s));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(hg_libc_realloc(p, s));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(hg_libc_pvalloc(s));
        assert_int_equal(errno, ENOMEM);
        assert_null(hg_libc_valloc(s));
        assert_null(hg_libc_calloc(1, s));
        assert_null(hg_libc_calloc(s, 1));
        assert_null(hg_libc_reallocarray(p, s, 1));
        for (unsigned bit = 0; bit < 64; bit++) {
            size_t align = (size_t)1 << bit;
            assert_null(hg_libc_aligned_alloc(align, s));
            void *out = p;
            errno = 77;
            int error = hg_libc_posix_memalign(&out, align, s);
            assert_int_equal(error, align < sizeof(void *) ? EINVAL : ENOMEM);
            assert_ptr_equal(out, p);
            assert_int_equal(errno, 77);
            assert_null(hg_alloc((hg_layout){s, align}));
        }
        hg_libc_free(p);
    }
    static const size_t pairs[][2] = {
        {SIZE_MAX, 2},
        {(size_t)1 << 63, 2},
        {(size_t)1 << 32, (size_t)1 << 32},
        {((size_t)1 << 33) + 1, (size_t)1 << 31},
        {SIZE_MAX / 2 + 1, 2},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int swap = 0; swap < 2; swap++) {
            errno = 0;
            assert_null(hg_libc_calloc(pairs[i][swap], pairs[i][!swap]));
            assert_int_equal(errno, ENOMEM);
            assert_null(hg_libc_reallocarray(NULL, pairs[i][swap], pairs[i][!swap]));
        }
    assert_valid(NULL);
}

static void test_aligned(void **state) {
    (void)state;
    for (size_t align = 1; align <= (size_t)1 << 26; align *= 2)
        for (size_t size = 0; size < 100000; size = size * 3 + 1) {
            unsigned char *p = hg_libc_aligned_alloc(align, size);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % align, 0);
            memset(p, 3, hg_libc_malloc_usable_size(p));
            hg_libc_free_aligned_sized(p, align, size);
            void *out = NULL;
            if (align >= sizeof(void *)) {
                assert_int_equal(hg_libc_posix_memalign(&out, align, size), 0);
                assert_int_equal((uintptr_t)out % align, 0);
                hg_libc_free(out);
            }
        }
    static const size_t wrong[] = {0, 3, 6, 12, 24, 100, ((size_t)1 << 62) + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        void *out = &out;
        errno = 0;
        assert_null(hg_libc_aligned_alloc(wrong[i], 10));
        assert_int_equal(errno, EINVAL);
        assert_int_equal(hg_libc_posix_memalign(&out, wrong[i], 10), EINVAL);
        assert_ptr_equal(out, &out);
    }
    void *p = hg_libc_memalign(48, 10);
    assert_int_equal((uintptr_t)p % 64, 0);
    hg_libc_free(p);
    p = hg_libc_pvalloc(1);
    assert_int_equal((uintptr_t)p % 4096, 0);
    assert_true(hg_libc_malloc_usable_size(p) >= 4096);
    hg_libc_free(p);
    assert_valid(NULL);
}

/* A dirty block must not shine through, whatever it was before and however it went. */
static void test_zeroed(void **state) {
    (void)state;
    /* The last one, 36 MiB, is so large that resident memory is dropped rather than filled. */
    for (size_t size = 1; size < (64 << 20); size = size < 4 << 20 ? size * 5 / 3 + 1 : size * 9)
        for (int how = 0; how < 3; how++) {
            unsigned char *p = hg_libc_malloc(size);
            memset(p, 0xff, hg_libc_malloc_usable_size(p));
            hg_libc_free(p);
            if (how == 1)
                hg_purge();
            if (how == 2)
                hg_libc_free(hg_libc_malloc(size / 2));
            p = hg_libc_calloc(size, 1);
            for (size_t i = 0; i < size; i++)
                if (p[i])
                    fail_msg("calloc(%zu) has %02x at %zu", size, p[i], i);
            memset(p, 0xff, size);
            hg_libc_free(p);
        }
    assert_valid(NULL);
}

static void test_resizing(void **state) {
    (void)state;
    uint64_t random = 3;
    for (int i = 0; i < 3000; i++) {
        unsigned bits = i % 20 ? 14 : 23;
        size_t align = (size_t)1 << random_below(&random, 13);
        hg_layout layout = {random_size(&random, bits), align};
        unsigned char *p = hg_alloc(layout);
        for (size_t j = 0; j < layout.size; j++)
            p[j] = (unsigned char)(j * 31 + j / 256);
        for (int k = 0; k < 4; k++) {
            size_t size = random_size(&random, bits);
            p = hg_realloc(p, layout, size);
            assert_int_equal((uintptr_t)p % align, 0);
            size_t keep = layout.size < size ? layout.size : size;
            for (size_t j = 0; j < keep; j++)
                if (p[j] != (unsigned char)(j * 31 + j / 256))
                    fail_msg("byte %zu of %zu lost, %zu before", j, size, layout.size);
            for (size_t j = keep; j < size; j++)
                p[j] = (unsigned char)(j * 31 + j / 256);
            layout.size = size;
        }
        hg_dealloc(p, layout);
    }
    void *p = hg_libc_realloc(NULL, 10);
    assert_non_null(p);
    errno = 9;
    assert_null(hg_libc_realloc(p, 0));
    assert_int_equal(errno, 9);
    assert_valid(NULL);
}

/* Two blocks that grow in turns stand in each other's way, so large ones move: by copy and by
 * pages. */
static void test_growing_pair(void **state) {
    (void)state;
    size_t size = 1000, n = sizeof(size_t);
    size_t *a = hg_libc_malloc(size * n), *b = hg_libc_malloc(size * n);
    for (size_t i = 0; i < size; i++)
        a[i] = i, b[i] = ~i;
    while (size < 2000000) {
        size_t more = size + size / 3;
        a = hg_libc_realloc(a, more * n);
        b = hg_libc_realloc(b, more * n);
        for (size_t i = 0; i < size; i++)
            if (a[i] != i || b[i] != ~i)
                fail_msg("word %zu lost at %zu", i, more);
        for (size_t i = size; i < more; i++)
            a[i] = i, b[i] = ~i;
        size = more;
        assert_valid(NULL);
    }
    hg_libc_free(a);
    hg_libc_free(b);
    hg_purge();
    unsigned char *z = hg_libc_calloc(40 << 20, 1); /* over where they were */
    for (size_t i = 0; i < (40 << 20); i += 512)
        assert_int_equal(z[i], 0);
    hg_libc_free(z);
    assert_valid(NULL);
}

static void test_errno_kept(void **state) {
    (void)state;
    static void *blocks[3000];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3000; i++)
            blocks[i] = hg_libc_malloc(i % 50 ? (size_t)i : 200000);
        errno = 1234;
        for (int i = 0; i < 3000; i++) {
            hg_libc_free(blocks[i]);
            assert_int_equal(errno, 1234);
        }
    }
    hg_purge();
    assert_int_equal(errno, 1234);
    hg_libc_malloc_trim(0);
    assert_int_equal(errno, 1234);
}

/* A pointer from elsewhere is let be; one into our memory that begins no block is fatal. */
static void free_foreign(void) {
    static char elsewhere[64];
    hg_libc_free(elsewhere);
    hg_libc_free((void *)16);
}

static void free_inside_large(void) {
    char *p = hg_libc_malloc(1 << 20);
    hg_libc_free(p + (64 << 10));
}

static void free_twice(void) {
    void *p[200];
    for (int i = 0; i < 200; i++)
        p[i] = hg_libc_malloc(64);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 200; i++)
            hg_libc_free(p[i]);
    hg_purge();
}

static void test_misuse(void **state) {
    (void)state;
    char text[500];
    if (HG_HARDENED)
        return; /* test_harden.c */
    int status = in_child(free_foreign, text, sizeof text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = in_child(free_inside_large, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "heapgauge: invalid free of 0x"));
    status = in_child(free_twice, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "heapgauge: double free of 0x"));
}

/* ---- fork while threads allocate ---- */

static _Atomic bool stop;

static void *busy(void *argument) {
    uint64_t random = (uintptr_t)argument + 77;
    void *blocks[100] = {0};
    while (!stop) {
        size_t k = random_below(&random, 100);
        hg_libc_free(blocks[k]);
        blocks[k] = hg_libc_malloc(random_size(&random, 17));
    }
    for (int k = 0; k < 100; k++)
        hg_libc_free(blocks[k]);
    return NULL;
}

static void *inherited[500];

static void child_works(void) {
    if (!hg_validate(NULL, 0))
        abort();
    for (int i = 0; i < 500; i++)
        hg_libc_free(inherited[i]);
    uint64_t random = 5;
    stop = false;
    for (int i = 0; i < 3000; i++)
        hg_libc_free(hg_libc_malloc(random_size(&random, 17)));
    pthread_t thread;
    stop = true;
    if (!SANITIZED) { /* TSan allows no threads in the child of a threaded process */
        if (pthread_create(&thread, NULL, busy, NULL) != 0)
            abort();
        pthread_join(thread, NULL);
    }
    hg_purge();
}

static void test_fork(void **state) {
    (void)state;
    pthread_t threads[3];
    stop = false;
    for (uintptr_t i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, busy, (void *)i);
    for (int i = 0; i < 500; i++)
        inherited[i] = hg_libc_malloc((size_t)i * 40);
    for (int i = 0; i < 40; i++) {
        char text[500];
        int status = in_child(child_works, text, sizeof text);
        if (status)
            fail_msg("child %d: status %x, said '%s'", i, (unsigned)status, text);
    }
    stop = true;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 500; i++)
        hg_libc_free(inherited[i]);
    assert_valid(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),      cmocka_unit_test(test_size_limits),
        cmocka_unit_test(test_aligned),    cmocka_unit_test(test_zeroed),
        cmocka_unit_test(test_resizing),   cmocka_unit_test(test_growing_pair),
        cmocka_unit_test(test_errno_kept), cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
