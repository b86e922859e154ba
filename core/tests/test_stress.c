/* Random operations against a shadow of what must hold: alignment, no overlap (by content),
 * zeroing, kept prefixes; single-threaded, on instances, over a region, and with blocks crossing
 * threads. */
#include <pthread.h>
#include <signal.h>

#include "check.h"

struct block {
    unsigned char *p;
    hg_layout layout;
    unsigned char fill;
};

/* Fills or checks up to 4 KiB at both ends; the bytes in between are covered by smaller blocks. */
static void fill(const struct block *b) {
    size_t part = b->layout.size < 4096 ? b->layout.size : 4096;
    memset(b->p, b->fill, part);
    memset(b->p + b->layout.size - part, b->fill, part);
}

static void check_range(const unsigned char *p, size_t size, unsigned char value) {
    for (size_t i = 0; i < size; i++)
        if (p[i] != value)
            fail_msg("byte %zu of a block is %02x, not %02x", i, p[i], value);
}

static void check(const struct block *b, size_t size) {
    size_t part = size < 4096 ? size : 4096;
    check_range(b->p, part, b->fill);
    if (size == b->layout.size)
        check_range(b->p + size - part, part, b->fill);
}

static void step(hg_core *core, struct block *b, uint64_t *random, unsigned bits) {
    unsigned op = (unsigned)random_below(random, 8);
    if (!b->p) {
        size_t align = (size_t)1 << random_below(random, random_below(random, 20) ? 8 : 18);
        b->layout = (hg_layout){random_size(random, bits), align};
        b->fill = (unsigned char)random_next(random);
        if (op < 2) {
            b->p = core ? hg_core_alloc_zeroed(core, b->layout) : hg_alloc_zeroed(b->layout);
            if (b->p)
                check_range(b->p, b->layout.size, 0);
        } else {
            b->p = core ? hg_core_alloc(core, b->layout) : hg_alloc(b->layout);
        }
    } else if (op < 3) {
        size_t size = random_size(random, bits), keep = b->layout.size;
        void *p =
            core ? hg_core_realloc(core, b->p, b->layout, size) : hg_realloc(b->p, b->layout, size);
        if (p) {
            b->p = p;
            keep = keep < size ? keep : size;
            check_range(b->p, keep < 4096 ? keep : 4096, b->fill);
            b->layout.size = size;
        }
    } else {
        check(b, b->layout.size);
        if (core)
            hg_core_dealloc(core, b->p, b->layout);
        else if (op < 5)
            hg_libc_free(b->p);
        else
            hg_dealloc(b->p, b->layout);
        b->p = NULL;
    }
    if (!b->p)
        return;
    size_t usable = core ? hg_core_usable_size(core, b->p) : hg_usable_size(b->p);
    assert_true(usable >= b->layout.size);
    assert_int_equal((uintptr_t)b->p % b->layout.align, 0);
    fill(b);
}

static void run(hg_core *core, uint64_t seed, int steps, unsigned bits, int validate_every) {
    static struct block blocks[1000];
    memset(blocks, 0, sizeof blocks);
    for (int i = 0; i < steps; i++) {
        step(core, &blocks[random_below(&seed, 1000)], &seed, bits);
        if (i % validate_every == 0)
            assert_valid(core);
        if (i % 5000 == 4999)
            core ? hg_core_purge(core) : hg_purge();
    }
    for (int i = 0; i < 1000; i++)
        if (blocks[i].p) {
            check(&blocks[i], blocks[i].layout.size);
            core ? hg_core_dealloc(core, blocks[i].p, blocks[i].layout)
                 : hg_dealloc(blocks[i].p, blocks[i].layout);
        }
    core ? hg_core_purge(core) : hg_purge();
    assert_valid(core);
    struct hg_stats stats;
    core ? hg_core_stats_get(core, &stats) : hg_stats_get(&stats);
    assert_int_equal(stats.live_size, 0);
    assert_int_equal(stats.dirty_size, core && stats.purged_size == 0 ? stats.dirty_size : 0);
}

static void test_process(void **state) {
    (void)state;
    run(NULL, 1, 60000, 14, 500);
    run(NULL, 2, 20000, 20, 500);
}

static void test_instance(void **state) {
    (void)state;
    for (size_t align = 8; align <= 128; align *= 2) {
        struct hg_core_config config = {.min_align = align};
        hg_core *core = hg_core_create(&config);
        assert_non_null(core);
        run(core, align, 10000, 16, 500);
        for (size_t size = 1; size < 300; size++) {
            void *p = hg_core_alloc(core, (hg_layout){size, 1});
            assert_int_equal((uintptr_t)p % align, 0);
            hg_core_dealloc(core, p, (hg_layout){size, 1});
        }
        hg_core_destroy(core);
    }
}

static void test_region(void **state) {
    (void)state;
    for (size_t size = 64 << 10; size <= 64 << 20; size *= 8) {
        unsigned char *mem = malloc(size + 64);
        memset(mem, 0x5a, size + 64);
        hg_core *core = hg_core_over_region(mem + 7, size, NULL);
        assert_non_null(core);
        run(core, size, 20000, 14, 200);
        hg_core_destroy(core);
        check_range(mem, 7, 0x5a);
        check_range(mem + 7 + size, 57, 0x5a);
        free(mem);
    }
    unsigned char tiny[4096];
    assert_null(hg_core_over_region(tiny, sizeof tiny, NULL));
    assert_null(hg_core_over_region(tiny, 0, NULL));
}

/* ---- threads: a shared table of blocks, so that most frees are remote ---- */

enum { TABLE = 2000, THREADS = 4 };
static struct block table[TABLE];
static pthread_mutex_t table_locks[TABLE];

static void *worker(void *argument) {
    uint64_t random = 1000 + (uintptr_t)argument;
    for (int i = 0; i < (SANITIZED ? 8000 : 60000); i++) {
        size_t slot = random_below(&random, TABLE);
        pthread_mutex_lock(&table_locks[slot]);
        step(NULL, &table[slot], &random, random_below(&random, 50) ? 11 : 18);
        pthread_mutex_unlock(&table_locks[slot]);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    for (int i = 0; i < TABLE; i++)
        pthread_mutex_init(&table_locks[i], NULL);
    for (int round = 0; round < 3; round++) { /* new threads take over the caches of ended ones */
        pthread_t threads[THREADS];
        for (uintptr_t i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, worker, (void *)(i + 10 * (uintptr_t)round));
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_valid(NULL);
    }
    for (int i = 0; i < TABLE; i++)
        if (table[i].p) {
            check(&table[i], table[i].layout.size);
            hg_dealloc(table[i].p, table[i].layout);
            table[i].p = NULL;
        }
    hg_purge();
    assert_valid(NULL);
    struct hg_stats stats;
    hg_stats_get(&stats);
    assert_int_equal(stats.live_size, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_instance),
        cmocka_unit_test(test_region),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
