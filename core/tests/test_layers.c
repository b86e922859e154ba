/* The layers one by one, and every check of every validator seen to fire: each row breaks one thing
 * in a sound instance and names the words that must come back. */
#include <pthread.h>
#include <signal.h>

#include "check.h"

#include "cache.h"
#include "os.h"

static void valid_arena(struct hg__arena *a) {
    char text[200];
    struct hg__why why = {text, sizeof text};
    if (!hg__arena_validate(a, &why))
        fail_msg("%s", text);
}

/* Runs are merged, split, resized and purged; the validator looks after each step. */
static void test_arena(void **state) {
    (void)state;
    struct hg__arena a = {0};
    assert_true(hg__arena_open(&a, (size_t)1 << 30, 0));
    size_t runs[64] = {0}, lengths[64] = {0};
    uint64_t random = 5;
    for (int i = 0; i < 20000; i++) {
        size_t k = random_below(&random, 64), length = 1 + random_below(&random, 40);
        size_t align = (size_t)1 << random_below(&random, 20);
        bool zeroed;
        if (!runs[k]) {
            runs[k] = hg__arena_take(&a, length, align, HG__LARGE, &zeroed);
            assert_true(runs[k] != 0);
            char *p = hg__address(&a, runs[k]);
            lengths[k] = length;
            assert_int_equal((uintptr_t)p % align, 0);
            for (size_t j = 0; zeroed && j < length; j++)
                assert_int_equal(p[j << a.shift], 0);
            for (size_t j = 0; j < length; j++)
                p[j << a.shift] = (char)(k + 1);
        } else {
            char *p = hg__address(&a, runs[k]);
            for (size_t j = 0; j < lengths[k]; j++)
                assert_int_equal(p[j << a.shift], k + 1);
            if (i % 3 == 0 && hg__arena_resize(&a, runs[k], length)) {
                for (size_t j = lengths[k]; j < length; j++)
                    p[j << a.shift] = (char)(k + 1);
                lengths[k] = length;
            } else {
                hg__arena_give(&a, runs[k]);
                runs[k] = 0;
            }
        }
        if (i % 100 == 0)
            hg__arena_purge(&a, random_below(&random, 2) * 100);
        if (i % 10 == 0)
            valid_arena(&a);
    }
    for (int k = 0; k < 64; k++)
        if (runs[k])
            hg__arena_give(&a, runs[k]);
    hg__arena_purge(&a, 0);
    valid_arena(&a);
    assert_int_equal(a.frontier, 1); /* one clean run, so all of it is as never used */
    assert_int_equal(a.used, 0);
    assert_int_equal(hg__arena_take(&a, (size_t)1 << 40, 1, HG__LARGE, &(bool){0}), 0);
    assert_int_equal(hg__arena_take(&a, 1, (size_t)1 << 62, HG__LARGE, &(bool){0}), 0);
    hg__arena_close(&a);
}

static void test_heap(void **state) {
    (void)state;
    hg_core *core = hg_core_create(NULL);
    struct hg__heap *heap = core->heaps;
    static void *slots[3000];
    for (unsigned class = 1; class < HG_CLASS_COUNT; class += 7) {
        size_t size = hg__class_size(class);
        for (size_t i = 0; i < 3000; i += 30)
            assert_int_equal(hg__heap_take(heap, class, slots + i, 30, true), 30);
        for (size_t i = 1; i < 30; i++) /* lowest last, neighbours together */
            assert_true((char *)slots[i - 1] >= (char *)slots[i] + size);
        assert_valid(core);
        for (size_t i = 0; i < 3000; i += 2)
            hg__heap_put(heap, slots + i, 1, class);
        assert_valid(core);
        hg__heap_trim(heap, true);
        assert_valid(core);
        for (size_t i = 1; i < 3000; i += 2)
            hg__heap_put(heap, slots + i, 1, 0);
        assert_valid(core);
        assert_true(heap->classes[class].slab_count <= 1); /* one idle slab is kept */
    }
    hg__heap_trim(heap, true);
    assert_int_equal(core->arena.used, 0);
    hg_core_destroy(core);
}

/* Batches of slots that lie side by side, in either direction, some reaching over several words of the
 * bitmap or into the next slab; and one that is put twice. */
static void test_neighbours(void **state) {
    (void)state;
    enum { COUNT = 4000 };
    hg_core *core = hg_core_create(NULL);
    struct hg__heap *heap = core->heaps;
    static void *slots[COUNT], *batch[COUNT];
    for (unsigned class = 1; class < 40; class += 3) {
        assert_int_equal(hg__heap_take(heap, class, slots, COUNT, true), COUNT);
        for (size_t i = 1; i < COUNT; i++)
            assert_true(slots[i - 1] != slots[i]);
        assert_valid(core);
        for (size_t from = 0, length = 5; from < COUNT; from += length, length = length * 3 % 701) {
            length = from + length < COUNT ? length : COUNT - from;
            for (size_t i = 0; i < length; i++)
                batch[i] = slots[length % 2 ? from + i : from + length - 1 - i];
            hg__heap_put(heap, batch, length, class);
            assert_valid(core);
        }
        assert_true(heap->classes[class].slab_count <= 1);
        hg__heap_trim(heap, true);
    }
    assert_int_equal(core->arena.used, 0);
    assert_int_equal(hg__heap_take(heap, 1, slots, 100, true), 100);
    hg__heap_put(heap, slots + 40, 30, 1);
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        hg__heap_put(heap, slots + 20, 30, 1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    hg_core_destroy(core);
}

/* Slots of pages that are not resident are taken only if asked for. */
static void test_fresh(void **state) {
    (void)state;
    hg_core *core = hg_core_create(NULL);
    struct hg__heap *heap = core->heaps;
    unsigned class = hg__class_of(4096);
    void *slots[4];
    assert_int_equal(hg__heap_take(heap, class, slots, 1, false), 0); /* makes no slab */
    assert_int_equal(hg__heap_take(heap, class, slots, 2, true), 2);
    assert_int_equal(hg__heap_take(heap, class, slots + 2, 1, false), 0);
    hg__heap_put(heap, slots, 1, class);
    assert_int_equal(hg__heap_take(heap, class, slots + 2, 2, false), 1); /* was used before */
    assert_valid(core);
    core->arena.draining = true; /* then not even one idle slab is kept */
    hg__heap_put(heap, slots + 1, 2, class);
    assert_int_equal(heap->classes[class].slab_count, 0);
    assert_valid(core);
    hg_core_destroy(core);
}

/* A rare size is served from a cached slot of a class a little larger, so that no page is touched for it;
 * a frequent one gets slots of its own. */
static void test_lend(void **state) {
    (void)state;
    char why[160], *lent[20];
    hg_layout small = {21000, 1}, large = {23000, 1};
    void *p[20];
    bool same = false;
    if (HG_HARDENED)
        skip();
    for (size_t i = 0; i < 20; i++)
        p[i] = hg_alloc(large);
    for (size_t i = 0; i < 20; i++)
        hg_dealloc(p[i], large);
    for (size_t i = 0; i < 20; i++)
        lent[i] = hg_alloc(small);
    for (size_t i = 0; i < 20; i++)
        same = same || lent[0] == p[i];
    assert_true(same);
    assert_true(hg_usable_size(lent[0]) >= large.size);
    assert_true(hg_usable_size(lent[8]) < large.size);
    for (size_t i = 0; i < 20; i++)
        hg_dealloc(lent[i], small);
    assert_true(hg_validate(why, sizeof why));
    hg_purge();
    assert_true(hg_validate(why, sizeof why));
}

/* Pages in the middle of a slab go back, and their slots come back as zero. */
static void test_holes(void **state) {
    (void)state;
    hg_core *core = hg_core_create(NULL);
    hg_layout layout = {60, 1}; /* slots of 64, hardened too */
    unsigned char *blocks[1024];
    for (int i = 0; i < 1024; i++)
        memset(blocks[i] = hg_core_alloc(core, layout), 0xaa, 60);
    for (int i = 0; i < 1024; i++)
        if (i % 256)
            hg_core_dealloc(core, blocks[i], layout);
    assert_int_equal(hg__heap_trim(core->heaps, false), 0); /* a class in use is left alone */
    assert_int_equal(hg_core_purge(core), 4 * 3 * 4096);    /* per slab, the page of slot 0 stays */
    assert_valid(core);
    for (int i = 0; i < 1024; i++)
        if (i % 256)
            assert_non_null(blocks[i] = hg_core_alloc_zeroed(core, layout));
    for (int i = 0; i < 1024; i++)
        assert_int_equal(blocks[i][5], i % 256 ? 0 : 0xaa);
    assert_valid(core);
    hg_core_destroy(core);
}

/* Where nothing is reserved, memory that something else took is left out. */
static void test_left_out(void **state) {
    (void)state;
    static struct hg__arena a;
    struct hg__why why = {NULL, 0};
    if (!hg__arena_open_unreserved(&a, (size_t)1 << 36)) {
        print_message("no unreserved arena here\n");
        skip();
    }
    bool zeroed;
    size_t first = hg__arena_take(&a, 3, 1, HG__LARGE, &zeroed), end = a.committed;
    char *other = hg__address(&a, end);
    assert_int_equal(hg__os_map_at(other, 4096), 0);
    size_t count = 2 * end, behind = hg__arena_take(&a, count, 1, HG__LARGE, &zeroed);
    assert_true(behind > end && zeroed);
    memset(hg__address(&a, behind), 1, count << a.shift);
    assert_int_equal(*other, 0);
    assert_true(hg__arena_validate(&a, &why));
    size_t before =
        hg__arena_take(&a, end / 2, 1, HG__LARGE, &zeroed); /* what is before it is used */
    assert_true(before > first && before < end);
    hg__arena_give(&a, first);
    hg__arena_give(&a, behind);
    hg__arena_give(&a, before);
    assert_true(hg__arena_validate(&a, &why));
}

/* Memory that comes and goes is purged at first, and kept once it was missed often enough. */
static void test_missed(void **state) {
    (void)state;
    static struct hg__arena a;
    assert_true(hg__arena_open(&a, (size_t)1 << 28, 0));
    uint64_t purged = UINT64_MAX;
    int cycles = 0;
    for (; cycles < 1000 && purged != a.purged_size; cycles++) {
        bool zeroed;
        size_t runs[64];
        purged = a.purged_size;
        for (size_t i = 0; i < 64; i++) /* of 16 granules: 16 MiB in all */
            assert_true((runs[i] = hg__arena_take(&a, 16, 1, HG__SLAB, &zeroed)) != 0);
        for (size_t i = 0; i < 64; i++)
            hg__arena_give(&a, runs[i]);
    }
    assert_in_range(cycles, 3, 999);
    assert_in_range(a.retain_extra, 1, 64 * 16);
    hg__arena_close(&a);
}

/* Memory of which five eighths come and go is not purged; when an eighth is left the rest is, at once. */
static void test_saw_tooth(void **state) {
    (void)state;
    enum { RUNS = 256, KEPT = 96, LEFT = 32, LENGTH = 16 }; /* 64 MiB in all */
    static struct hg__arena a;
    static size_t runs[RUNS];
    assert_true(hg__arena_open(&a, (size_t)1 << 28, 0));
    bool zeroed;
    for (int cycle = 0; cycle < 10; cycle++) {
        for (size_t i = cycle ? KEPT : 0; i < RUNS; i++)
            assert_true((runs[i] = hg__arena_take(&a, LENGTH, 1, HG__SLAB, &zeroed)) != 0);
        for (size_t i = KEPT; i < RUNS; i++) {
            a.over_ms = 0; /* nothing goes for its age, however slow this is */
            hg__arena_give(&a, runs[i]);
        }
        assert_int_equal(a.purged_size, 0);
    }
    for (size_t i = LEFT; i < KEPT; i++)
        hg__arena_give(&a, runs[i]);
    assert_in_range(a.dirty, 1, 4 * LEFT * LENGTH);
    assert_true(a.purged_size > 0);
    hg__arena_close(&a);
}

/* A huge run goes back when it is freed; if that is missed, the next time it stays. */
static void test_huge(void **state) {
    (void)state;
    enum { LENGTH = 2048 }; /* 32 MiB, of twice as much in use */
    static struct hg__arena a;
    assert_true(hg__arena_open(&a, (size_t)1 << 28, 0));
    bool zeroed;
    assert_true(hg__arena_take(&a, 2 * LENGTH, 1, HG__LARGE, &zeroed) != 0);
    uint64_t purged[3];
    for (int i = 0; i < 3; i++) {
        size_t g = hg__arena_take(&a, LENGTH, 1, HG__LARGE, &zeroed);
        assert_true(g != 0);
        a.over_ms = 0; /* as above */
        hg__arena_give(&a, g);
        purged[i] = a.purged_size;
    }
    assert_true(purged[0] > 0);
    assert_int_equal(purged[2], purged[1]);
    hg__arena_close(&a);
}

/* ---- validators ---- */

/* An instance with every kind of run: a slab of 64-byte slots, a large block between free ones. */
struct scene {
    hg_core *core;
    struct hg__arena *a;
    size_t slab, large, free; /* granules */
    struct hg__run *slab_run, *large_run, *free_run;
    void *slot;
};

static struct scene make_scene(hg_core *core) {
    struct scene s = {.core = core, .a = &core->arena};
    hg_layout big = {5 << 14, 1};
    void *hole = hg_core_alloc(core, big), *large = hg_core_alloc(core, big);
    s.slot = hg_core_alloc(core, (hg_layout){60, 1});
    assert_non_null(s.slot);
    hg_core_dealloc(core, hole, big);
    s.free = hg__granule(s.a, hole);
    s.large = hg__granule(s.a, large);
    s.slab = hg__granule(s.a, s.slot);
    if (hg__run(s.a, s.free)->kind != HG__FREE) /* the slab took the hole's beginning */
        s.free = s.slab + 1;
    s.free_run = hg__run(s.a, s.free);
    s.large_run = hg__run(s.a, s.large);
    s.slab_run = hg__run(s.a, s.slab);
    return s;
}

/* clang-format off */
#define BREAK(name, code) static void name(struct scene *s) { code; }
BREAK(tiling, s->large_run->length++)
BREAK(tiling_zero, s->large_run->length = 0)
BREAK(ends, hg__run(s->a, s->large + s->large_run->length - 1)->head++)
BREAK(unmerged, s->large_run->kind = HG__FREE;
      hg__run(s->a, s->large + s->large_run->length - 1)->kind = HG__FREE;
      hg__map_set(s->a, s->large, 0))
BREAK(large_map, hg__map_set(s->a, s->large, 0))
BREAK(inside_map, hg__map_set(s->a, s->large + 1, 4))
BREAK(free_map, hg__map_set(s->a, s->free, 4))
BREAK(mask, s->a->bins[1].mask[0] ^= 1)
BREAK(clean_bin, s->free_run->dirty = 0)
BREAK(bin_place, s->free_run->prev = 3)
BREAK(unbinned, memset(&s->a->bins, 0, sizeof s->a->bins); s->a->dirty = 0)
BREAK(dirty_run, s->free_run->dirty = 1000)
BREAK(dirty_count, s->a->dirty++)
BREAK(used_count, s->a->used++)
BREAK(large_count, s->a->large_count++)
BREAK(slab_class, s->slab_run->class = 0)
BREAK(slab_shape, s->slab_run->slot_count++)
BREAK(bitmap, s->slab_run->free[0] ^= 1)
BREAK(beyond, s->slab_run->class = 39; s->slab_run->slot_count = s->core->geometry[39].slot_count;
      s->slab_run->length = s->core->geometry[39].length;
      memset(s->slab_run->free, 255, 64))
BREAK(slab_map, hg__map_set(s->a, s->slab, 5))
BREAK(slab_head, hg__run(s->a, s->slab)->free_count--)
BREAK(list_foreign, s->core->heaps->classes[9].partial = (uint32_t)s->slab)
BREAK(list_lost, s->core->heaps->classes[4].partial = 0)
BREAK(class_count, s->core->heaps->classes[4].slab_count++)
BREAK(free_count, s->core->heaps->classes[4].free_count++)
BREAK(idle_count, s->core->heaps->classes[4].idle_count++)
/* clang-format on */

static void test_validators(void **state) {
    (void)state;
    static const struct {
        const char *name;
        void (*damage)(struct scene *);
        const char *expected;
    } rows[] = {
        {"tiling", tiling, "arena: "},
        {"length 0", tiling_zero, "arena: runs do not tile"},
        {"ends", ends, "arena: both ends"},
        {"unmerged", unmerged, "arena: two free neighbours"},
        {"large map", large_map, "arena: the map does not know a large run"},
        {"inside map", inside_map, "arena: the map has an entry inside"},
        {"free map", free_map, "arena: the map has an entry for memory"},
        {"mask", mask, "arena: mask and list"},
        {"clean among dirty", clean_bin, "arena: a binned run"},
        {"bin place", bin_place, "arena: a binned run"},
        {"unbinned", unbinned, "arena: a free run is in no bin"},
        {"dirty run", dirty_run, "arena: more dirty"},
        {"dirty count", dirty_count, "arena: dirty count"},
        {"used count", used_count, "arena: used count"},
        {"large count", large_count, "arena: large count"},
        {"slab class", slab_class, "heap: a slab of no class"},
        {"slab shape", slab_shape, "heap: a slab has not its class's shape"},
        {"bitmap", bitmap, "heap: bitmap and free count"},
        {"beyond", beyond, "heap: a bit is set beyond"},
        {"slab map", slab_map, "heap: map or head"},
        {"free count of slab", slab_head, "heap: bitmap and free count"},
        {"foreign in list", list_foreign, "heap: a partial list holds"},
        {"lost from list", list_lost, "heap: a slab with free slots is not listed"},
        {"class count", class_count, "heap: counts of a class"},
        {"free count", free_count, "heap: counts of a class"},
        {"idle count", idle_count, "heap: idle slabs"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hg_core *core = hg_core_create(NULL);
        struct scene scene = make_scene(core);
        assert_valid(core);
        rows[i].damage(&scene);
        char why[200] = "";
        if (hg_core_validate(core, why, sizeof why))
            fail_msg("%s: not noticed", rows[i].name);
        if (strncmp(why, rows[i].expected, strlen(rows[i].expected)) != 0)
            fail_msg("%s: expected '%s', got '%s'", rows[i].name, rows[i].expected, why);
        assert_false(hg_core_validate(core, NULL, 0));
        hg_core_destroy(core);
    }
}

/* ---- the caches' validator; damage is repaired, since the instance is the only one ---- */

static void expect_cache(const char *expected) {
    char why[200];
    assert_false(hg_validate(why, sizeof why));
    if (strncmp(why, expected, strlen(expected)) != 0)
        fail_msg("expected '%s', got '%s'", expected, why);
}

static void test_cache_validator(void **state) {
    (void)state;
    void *p = hg_alloc((hg_layout){60, 1}), *q = hg_alloc((hg_layout){60, 1});
    hg_dealloc(p, (hg_layout){60, 1});
    struct hg__bin *bin = &hg__thread->bins[4], saved = *bin;
    void *cell = bin->top[-1];
    assert_ptr_equal(cell, p);
    assert_valid(NULL);

    void **bottom = bin->top;
    while (bottom[-1])
        bottom--;
    bottom[-1] = p;
    expect_cache("cache: the NULL below");
    bottom[-1] = NULL;

    bin->top = bin->limit + 1;
    expect_cache("cache: a bin's bounds");
    *bin = saved;

    bin->top[-1] = (char *)p + 8;
    expect_cache("cache: holds what is no slot");
    bin->top[-1] = cell;

    hg__heap_set_bit(&hg__main.arena, hg__main.geometry, p, true);
    assert_false(hg_validate(NULL, 0)); /* the heap's validator counts first */
    char why[200];
    struct hg__why into = {why, sizeof why};
    assert_false(hg__cache_validate(&into));
    assert_non_null(strstr(why, "cache: a slot is also free"));
    hg__heap_set_bit(&hg__main.arena, hg__main.geometry, p, false);

    assert_true(hg__cache_push(hg__thread, 5, p)); /* 64-byte slot among those of 80 */
    expect_cache("cache: a slot is in a bin of another class");
    hg__thread->bins[5].top--;

    assert_true(hg__cache_push(hg__thread, 4, p));
    expect_cache("cache: a slot is cached twice");
    *bin = saved;
    assert_valid(NULL);
    hg_dealloc(q, (hg_layout){60, 1});
    assert_valid(NULL);
}

/* ---- life of a thread ---- */

static pthread_key_t late_key;
static void *freed_first;

static void late_destructor(void *value) {
    /* Runs in the last rounds, when this thread's cache is gone. */
    static int rounds;
    void *p = hg_libc_malloc(100);
    memset(p, 1, 100);
    hg_libc_free(p);
    hg_libc_free(hg_libc_calloc(1, 100000));
    if (__atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED) % 3)
        pthread_setspecific(late_key, value);
    else
        hg_libc_free(value);
}

static void *thread_main(void *argument) {
    hg_libc_free(argument); /* this thread's first call is free */
    void *p = hg_libc_malloc(200);
    pthread_setspecific(late_key, p);
    for (int i = 0; i < 500; i++)
        hg_libc_free(hg_libc_malloc((size_t)i));
    return NULL;
}

static void test_threads_come_and_go(void **state) {
    (void)state;
    pthread_key_create(&late_key, late_destructor);
    struct hg_stats before, after;
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        freed_first = hg_libc_malloc(48);
        assert_int_equal(pthread_create(&thread, NULL, thread_main, freed_first), 0);
        pthread_join(thread, NULL);
        if (i == 20) {
            hg_purge();
            hg_stats_get(&before);
        }
    }
    hg_purge();
    hg_stats_get(&after);
    assert_valid(NULL);
    assert_true(after.used_size <= before.used_size + (64 << 10));
    assert_int_equal(after.live_size, before.live_size);
}

/* Small slots freed by another thread go home through its outbox. */
static void *alloc_one(void *size) {
    return hg_libc_malloc((size_t)size);
}

/* Threads that never meet take slots of one and the same slab. */
static void test_one_heap(void **state) {
    (void)state;
    enum { SIZE = 50000 };
    unsigned class = hg__class_of(hg__needed(SIZE, 1));
    struct hg_stats stats;
    size_t slots = 0;
    void *block[2];
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, alloc_one, (void *)(size_t)SIZE), 0);
        pthread_join(thread, &block[i]);
        hg_stats_get(&stats);
        slots = i == 0 ? stats.classes[class].slot_count : slots;
    }
    assert_int_equal(stats.classes[class].slot_count, slots);
    hg_libc_free(block[0]);
    hg_libc_free(block[1]);
    assert_valid(NULL);
}

static void *free_all(void *argument) {
    void **blocks = argument;
    for (int i = 0; i < 5000; i++)
        hg_libc_free(blocks[i]);
    return NULL;
}

static void test_remote_free(void **state) {
    (void)state;
    static void *blocks[5000];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 5000; i++)
            blocks[i] = hg_libc_malloc(i % 2 ? 16 : 200);
        pthread_t threads[1];
        pthread_create(threads, NULL, free_all, blocks);
        pthread_join(threads[0], NULL);
        assert_valid(NULL);
    }
    hg_purge();
    struct hg_stats stats;
    hg_stats_get(&stats);
    assert_true(stats.live_size < 1000);
}

/* What one thread has too much of is what another one takes: it does not go through the slabs. */
static void test_depot(void **state) {
    (void)state;
    enum { SIZE = 5000, COUNT = 120, IN_A_CACHE = 16 };
    unsigned class = hg__class_of(hg__needed(SIZE, 1));
    size_t cached[HG_CLASS_COUNT] = {0}, none[HG_CLASS_COUNT] = {0};
    const size_t *free_count = &hg__main.heaps[0].classes[class].free_count;
    void *blocks[COUNT], *another;
    pthread_t thread;
    for (int i = 0; i < COUNT; i++)
        assert_non_null(blocks[i] = hg_libc_malloc(SIZE));
    for (int i = 0; i < COUNT; i++)
        if (i % 3)
            hg_libc_free(blocks[i]);
    hg__cache_count(cached);
    assert_true(cached[class] > IN_A_CACHE);
    size_t before = *free_count;
    assert_int_equal(pthread_create(&thread, NULL, alloc_one, (void *)(size_t)SIZE), 0);
    pthread_join(thread, &another);
    assert_int_equal(*free_count, before);
    assert_valid(NULL);
    hg__cache_flush();
    hg__cache_count(none);
    assert_int_equal(none[class], 0);
    for (int i = 0; i < COUNT; i += 3)
        hg_libc_free(blocks[i]);
    hg_libc_free(another);
    assert_valid(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_validator),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_heap),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_lend),
        cmocka_unit_test(test_holes),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_missed),
        cmocka_unit_test(test_saw_tooth),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_validators),
        cmocka_unit_test(test_threads_come_and_go),
        cmocka_unit_test(test_one_heap),
        cmocka_unit_test(test_depot),
        cmocka_unit_test(test_remote_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
