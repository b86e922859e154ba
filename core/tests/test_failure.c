/* Memory runs out: every public function with the Nth page request failing, for all N until none
 * does; a caller's region that fills up; RLIMIT_AS, lowered before the first call and after. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "check.h"

/* ---- the system refuses: these stand between the core and the C library ---- */

static struct {
    int at;         /* this call fails, counted from 1; 0: none */
    bool from;      /* and all after it */
    int count;      /* calls so far */
    int fail_count; /* that failed */
} refuse;

static bool refused(void) {
    bool fails =
        refuse.at && (++refuse.count == refuse.at || (refuse.from && refuse.count > refuse.at));
    refuse.fail_count += fails;
    errno = fails ? ENOMEM : errno;
    return fails;
}

#if !SANITIZED /* which have their own of these */
void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    return refused() ? MAP_FAILED
                     : (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}
int mprotect(void *address, size_t size, int protection) {
    return refused() ? -1 : (int)syscall(SYS_mprotect, address, size, protection);
}
int madvise(void *address, size_t size, int advice) {
    return refused() ? -1 : (int)syscall(SYS_madvise, address, size, advice);
}
#endif

/* A bit of everything on the process-wide instance; failures are expected, damage is not. */
static void scenario(void) {
    static const hg_layout layouts[] = {
        {24, 8}, {700, 64}, {9000, 4096}, {200000, 16}, {3, 1 << 17}};
    enum { COUNT = sizeof layouts / sizeof *layouts };
    void *blocks[COUNT];
    hg_layout now[COUNT];
    for (int i = 0; i < COUNT; i++) {
        now[i] = layouts[i];
        blocks[i] = i % 2 ? hg_alloc(now[i]) : hg_alloc_zeroed(now[i]);
        if (blocks[i])
            memset(blocks[i], i + 1, now[i].size);
    }
    for (int i = 0; i < COUNT; i++) {
        void *p = blocks[i] ? hg_realloc(blocks[i], now[i], now[i].size * 30) : NULL;
        if (p) {
            now[i].size *= 30;
            blocks[i] = p;
        }
        for (size_t j = 0; blocks[i] && j < layouts[i].size; j++)
            assert_int_equal(((unsigned char *)blocks[i])[j], i + 1);
    }
    void *libc[10] = {hg_libc_malloc(50000), hg_libc_calloc(9, 9999), hg_libc_valloc(77777)};
    errno = 0;
    libc[3] = hg_libc_malloc((size_t)50 << 20);
    assert_int_equal(errno, libc[3] ? 0 : ENOMEM);
    void *out = &out;
    if (hg_libc_posix_memalign(&out, 1 << 20, 60000) == 0)
        libc[4] = out;
    else
        assert_ptr_equal(out, &out);
    libc[5] = hg_libc_realloc(NULL, 3000);
    for (int i = 6; i < 10; i++) {
        errno = 0;
        libc[i] = i == 6   ? hg_libc_aligned_alloc(1 << 17, 5)
                  : i == 7 ? hg_libc_memalign(4096, 40000)
                  : i == 8 ? hg_libc_pvalloc(50001)
                           : hg_libc_reallocarray(NULL, 100, 700);
        assert_int_equal(errno, libc[i] ? 0 : ENOMEM);
    }
    for (int i = 0; i < 6; i++)
        hg_libc_free(libc[i]);
    hg_libc_free_aligned_sized(libc[6], 1 << 17, 5);
    hg_libc_free(libc[7]);
    hg_libc_free(libc[8]);
    hg_libc_free_sized(libc[9], 70000);
    for (int i = 0; i < COUNT; i++)
        hg_dealloc(blocks[i], now[i]);
    assert_valid(NULL);
}

static void test_nth_request(void **state) {
    (void)state;
    uint64_t n, done;
    for (n = 1; n < 1000; n++) {
        struct hg_stats before, after;
        hg_stats_get(&before);
        hg_purge();
        hg_fail_page_request(n);
        scenario();
        hg_fail_page_request(0);
        hg_stats_get(&after);
        assert_int_equal(after.live_size, before.live_size);
        done = after.request_count - before.request_count;
        if (done < n)
            break;
    }
    assert_true(n > 10 && n < 1000); /* requests did fail, and in the end none was left */
    scenario();
}

/* The first call of all fails, and the next one does not mind. */
static void first_call(void) {
    hg_fail_page_request(1);
    if (hg_libc_malloc(10) || hg_libc_calloc(1, 1 << 20))
        abort();
    hg_libc_free(NULL);
    hg_fail_page_request(0);
    void *p = hg_libc_malloc(10);
    if (!p)
        abort();
    hg_libc_free(p);
    if (!hg_validate(NULL, 0))
        abort();
}

static void test_instance_requests(void **state) {
    (void)state;
    for (uint64_t n = 1; n < 8; n++) {
        struct hg_core_config config = {.fail_page_request = n};
        hg_core *core = hg_core_create(&config);
        void *p[5];
        for (int i = 0; i < 5; i++)
            p[i] = hg_core_alloc(core, (hg_layout){(size_t)50 << (4 * i), 1});
        for (uint64_t i = 0; i < 5; i++)
            assert_int_equal(p[i] != NULL, i + 1 < n);
        assert_valid(core);
        hg_core_fail_page_request(core, 0);
        for (int i = 0; i < 5; i++)
            hg_core_dealloc(core, p[i], (hg_layout){(size_t)50 << (4 * i), 1});
        hg_core_purge(core);
        assert_valid(core);
        hg_core_destroy(core);
    }
}

/* After running full and being emptied, a region serves its largest block again: nothing is lost.
 */
static void test_region_fills_up(void **state) {
    (void)state;
    size_t size = 4 << 20;
    char *mem = malloc(size);
    hg_core *core = hg_core_over_region(mem, size, NULL);
    static void *blocks[100000];
    static hg_layout layouts[100000];
    for (uint64_t seed = 1; seed < 6; seed++) {
        uint64_t random = seed;
        size_t count = 0, total = 0;
        do {
            layouts[count] = (hg_layout){random_size(&random, 15), 1};
            blocks[count] = hg_core_alloc(core, layouts[count]);
            total += layouts[count].size;
        } while (blocks[count++]);
        assert_valid(core);
        if (total < size / 2)
            fail_msg("full at %zu of %zu bytes", total, size);
        for (size_t i = 0; i < count; i++)
            hg_core_dealloc(core, blocks[i], layouts[i]);
        assert_valid(core);
        hg_core_purge(core);
        hg_layout most = {size - size / 8, 1} /* the rest is metadata and, hardened, shadow */;
        void *p = hg_core_alloc(core, most);
        assert_non_null(p);
        memset(p, 1, most.size);
        hg_core_dealloc(core, p, most);
    }
    free(mem);
}

/* Needs more than is mapped, in every way there is; frees it all, and gives it back. */
static void os_scenario(void) {
    static const size_t sizes[] = {40 << 20, 24, 300000, 70 << 20, 5000, 20 << 20};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    unsigned char *p[COUNT];
    for (int i = 0; i < COUNT; i++) {
        errno = 0;
        p[i] = i % 2 ? hg_libc_calloc(1, sizes[i]) : hg_libc_malloc(sizes[i]);
        if (!p[i] != (errno == ENOMEM))
            abort();
        if (p[i])
            memset(p[i], i, 100 < sizes[i] ? 100 : sizes[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        errno = 0;
        unsigned char *more = p[i] ? hg_libc_realloc(p[i], sizes[i] * 2) : NULL;
        if (p[i] && !more != (errno == ENOMEM))
            abort();
        p[i] = more ? more : p[i];
        for (int k = 0; p[i] && k < 24; k++)
            if (p[i][k] != i)
                abort();
    }
    errno = 5;
    for (int i = 0; i < COUNT; i++)
        hg_libc_free(p[i]);
    hg_purge();
    if (errno != 5)
        abort();
    hg_core *core = hg_core_create(NULL);
    void *q = core ? hg_core_alloc(core, (hg_layout){9 << 20, 1}) : NULL;
    if (q && !hg_core_validate(core, NULL, 0))
        abort();
    hg_core_destroy(core);
}

static void refused_scenario(void) {
    os_scenario();
    refuse.at = 0;
    char why[200];
    if (!hg_validate(why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        abort();
    }
    os_scenario(); /* nothing was lost */
    struct hg_stats stats;
    hg_stats_get(&stats);
    if (!hg_validate(NULL, 0) || stats.live_size > 1 << 20)
        abort();
    _exit(refuse.fail_count ? 3 : 0);
}

static void test_system_refuses(void **state) {
    (void)state;
    if (SANITIZED)
        skip();
    for (int from = 0; from < 2; from++) {
        int n, status = 0x300;
        for (n = 1; status == 0x300; n++) { /* until that many calls are not made any more */
            char text[500];
            refuse.at = n;
            refuse.from = from;
            refuse.count = refuse.fail_count = 0;
            status = in_child(refused_scenario, text, sizeof text);
            refuse.at = 0;
            if (status != 0 && status != 0x300)
                fail_msg("call %d of the system failed: status %x, said '%s'", n, (unsigned)status,
                         text);
        }
        assert_true(n > 8);
    }
}

static void fill_up(void) {
    static void *blocks[100000];
    size_t count = 0, total = 0;
    for (size_t size = 8 << 20; size >= 64; size /= 2)
        while (count < 100000 && (blocks[count] = hg_libc_malloc(size))) {
            *(char *)blocks[count++] = 1;
            total += size;
        }
    if (errno != ENOMEM || total < (60 << 20) || total > (200 << 20))
        abort();
    for (size_t i = 0; i < count; i++)
        hg_libc_free(blocks[i]);
    if (!hg_validate(NULL, 0))
        abort();
    void *p = hg_libc_malloc(40 << 20);
    if (!p)
        abort();
    hg_libc_free(p);
}

static void limit_then_fill(void) {
    struct rlimit limit = {200 << 20, 200 << 20};
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        abort();
    fill_up();
}

static void start_then_limit(void) {
    hg_libc_free(hg_libc_malloc(10));
    limit_then_fill();
}

static void test_rlimit(void **state) {
    (void)state;
    if (SANITIZED) /* their shadow alone is beyond the limit */
        skip();
    char text[500];
    int status = in_child(limit_then_fill, text, sizeof text);
    assert_int_equal(status, 0);
    status = in_child(start_then_limit, text, sizeof text);
    assert_int_equal(status, 0);
}

/* KiB of this process's own memory that is resident; exact, and without an allocation. */
static long resident_kib(void) {
    char text[4096] = "";
    int file = open("/proc/self/smaps_rollup", O_RDONLY);
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    const char *line = count > 0 ? strstr(text, "Anonymous:") : NULL;
    return line ? atol(line + 10) : -1;
}

/* What starting costs: calls of the system, and memory that becomes resident. */
static void first_cost(void) {
    refuse.at = INT_MAX; /* counts */
    long before = resident_kib();
    char *volatile p = hg_libc_malloc(64);
    *p = 1;
    fprintf(stderr, "%d calls, %ld KiB", refuse.count, resident_kib() - before);
}

static void test_first_cost(void **state) {
    (void)state;
    char text[500];
    int calls = 0;
    long kib = 0;
    if (SANITIZED)
        skip();
    assert_int_equal(in_child(first_cost, text, sizeof text), 0);
    assert_int_equal(sscanf(text, "%d calls, %ld KiB", &calls, &kib), 2);
    print_message("first allocation: %s\n", text);
    assert_in_range(calls, 1, 8);
    assert_in_range(kib, 1, 64);
}

static void test_first_call(void **state) {
    (void)state;
    char text[500];
    assert_int_equal(in_child(first_call, text, sizeof text), 0);
}

static void test_config(void **state) {
    (void)state;
    struct hg_core_config config = {0};
    static const size_t wrong[] = {1, 4, 12, 24, 100, 256};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        config.min_align = wrong[i];
        assert_null(hg_core_create(&config));
    }
    config = (struct hg_core_config){.reserve_size = 100};
    assert_null(hg_core_create(&config));
    config.reserve_size = 2 << 20;
    hg_core *core = hg_core_create(&config);
    assert_non_null(core);
    assert_null(hg_core_alloc(core, (hg_layout){2 << 20, 1}));
    void *p = hg_core_alloc(core, (hg_layout){1 << 20, 1});
    assert_non_null(p);
    hg_core_destroy(core);
    hg_core_destroy(NULL);
    assert_true(strlen(hg_core_version()) >= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_cost), /* both before anything is allocated */
        cmocka_unit_test(test_first_call),
        cmocka_unit_test(test_rlimit),
        cmocka_unit_test(test_system_refuses),
        cmocka_unit_test(test_nth_request),
        cmocka_unit_test(test_instance_requests),
        cmocka_unit_test(test_region_fills_up),
        cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
