/* The measure of fragmentation on an allocator whose answer is known: every block is a mapping of
 * its own, so that a block of up to a page takes exactly a page, and nothing stays when it is
 * freed. Each check is also shown to fail on purpose: on a backend that lies, or one that keeps
 * what is freed. */
#include "frag.h"

#include "heapgauge/contain.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, M = 1 << 20 };

static int failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            failures++;                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
        }                                                                                          \
    } while (0)

/* ---- the toy: pages ---- */

static size_t pages_of(size_t size) {
    return (size + PAGE - 1) / PAGE * PAGE;
}

/* Sizes are remembered by a table over the pages of one reserve, outside of what is counted. */
enum { RESERVE_PAGES = 1 << 18 };
static char *reserve;
static size_t next_page;
static uint32_t page_count_at[RESERVE_PAGES];

static void *page_malloc(size_t size) {
    size_t pages = pages_of(size) / PAGE;
    if (next_page + pages > RESERVE_PAGES)
        return NULL;
    page_count_at[next_page] = (uint32_t)pages;
    next_page += pages;
    return reserve + (next_page - pages) * PAGE;
}

static size_t page_usable(void *ptr) {
    return (size_t)page_count_at[(size_t)((char *)ptr - reserve) / PAGE] * PAGE;
}

static void page_free(void *ptr) {
    madvise(ptr, page_usable(ptr), MADV_DONTNEED);
}

static void keep_all(void *ptr) {
    (void)ptr;
}

static size_t usable_lie(void *ptr) {
    (void)ptr;
    return 1;
}

static size_t purge_all(const hg_backend *self) {
    (void)self;
    madvise(reserve, (size_t)RESERVE_PAGES * PAGE, MADV_DONTNEED);
    return 0;
}

static hg_backend toy(void) {
    if (!reserve) {
        reserve = mmap(NULL, (size_t)RESERVE_PAGES * PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        madvise(reserve, (size_t)RESERVE_PAGES * PAGE, MADV_NOHUGEPAGE);
    }
    /* Its own table shall not count: written before the baseline is read. */
    memset(page_count_at, 1, sizeof page_count_at);
    next_page = 0;
    hg_backend backend = {.facts = {.name = "pages", .frees = true}};
    backend.libc.malloc = page_malloc;
    backend.libc.free = page_free;
    backend.libc.malloc_usable_size = page_usable;
    return backend;
}

/* ---- a program with a known answer: blocks of 1024, half of them freed ---- */

enum { BLOCKS = 512, SIZE = 1024 };

static void halve(struct hg_frag_heap *heap, uint64_t live_bytes_max) {
    static void *blocks[BLOCKS];
    (void)live_bytes_max;
    memset(blocks, 1, sizeof blocks);
    heap->result->baseline_bytes = 0;
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = hg_frag_alloc(heap, SIZE);
    hg_frag_mark(heap);
    for (int i = 0; i < BLOCKS; i += 2)
        hg_frag_free(heap, blocks[i], SIZE);
    hg_frag_end(heap);
    for (int i = 1; i < BLOCKS; i += 2)
        hg_frag_free(heap, blocks[i], SIZE);
}

static const struct hg_adversary halving = {"halve", "", halve};

static struct hg_frag_result *result;
static struct hg_frag_config config;
static const struct hg_adversary *adversary;

static int run(void *argument) {
    (void)argument;
    hg_frag_run(&config, adversary, result);
    return 0;
}

/* In a fresh process, as the command does. */
static void attack(const hg_backend *backend, const struct hg_adversary *which) {
    struct hg_limits limits = {.timeout_s = 60};
    struct hg_contained child;
    config = (struct hg_frag_config){backend, M, 0.1};
    adversary = which;
    memset(result, 0, sizeof *result);
    CHECK(hg_contain(run, NULL, &limits, &child) == HG_OK);
    CHECK(child.outcome == HG_OUTCOME_EXITED && result->finished);
}

/* Within 5 % and 40 pages: the process has some of its own. */
static bool is_near_bytes(uint64_t value, uint64_t expected) {
    double distance = fabs((double)value - (double)expected);
    return distance <= (double)expected * 0.05 + 40 * PAGE;
}

static void test_samples(void) {
    hg_backend backend = toy();
    attack(&backend, &halving);
    CHECK(result->operations == 2 * BLOCKS);
    CHECK(result->failed == 0);
    CHECK(result->at_live_peak.live_bytes == BLOCKS * SIZE);
    CHECK(result->at_live_peak.usable_bytes == BLOCKS * PAGE);
    CHECK(hg_frag_internal(&result->at_live_peak) == 3.0);
    /* The baseline is 0 here: other pages of the process count, so a difference is looked at. */
    uint64_t half = result->at_live_peak.rss_bytes - result->retention_bytes[0];
    CHECK(is_near_bytes(half, (uint64_t)BLOCKS * PAGE));
    CHECK(result->retention_count == 2); /* 0 and 0.1 s */
    CHECK(!result->has_purge);
    CHECK(result->size_ratio == 1.0);

    backend.libc.free = keep_all; /* retention must see it */
    backend.purge = purge_all;    /* and the purge */
    attack(&backend, &halving);
    half = result->at_live_peak.rss_bytes - result->retention_bytes[0];
    CHECK(!is_near_bytes(half, (uint64_t)BLOCKS * PAGE));
    CHECK(result->has_purge);
    CHECK(
        is_near_bytes(result->retention_bytes[1] - result->purged_bytes, (uint64_t)BLOCKS * PAGE));

    backend.libc.malloc_usable_size = usable_lie; /* less than asked: not believed */
    attack(&backend, &halving);
    CHECK(isnan(hg_frag_internal(&result->at_live_peak)));
}

/* Blocks of 128 bytes to a page each: rss is 32 times live, whatever is freed between; and some 100
 * pages of the program's own files, which a child of fork faults in anew. */
static void test_swiss_cheese(void) {
    hg_backend backend = toy();
    const struct hg_adversary *cheese = hg_adversary_at(1);
    CHECK(strcmp(cheese->name, "swiss-cheese") == 0);
    attack(&backend, cheese);
    CHECK(result->size_ratio == 1.5);
    CHECK(is_near_bytes(result->at_rss_peak.rss_bytes, (uint64_t)M / 128 * PAGE));
    double overhead = hg_frag_overhead(&result->at_worst);
    CHECK(overhead > 30 && overhead < 40);
    CHECK(result->retention_bytes[0] < 150 * PAGE);
}

static void test_every_adversary_frees_all(void) {
    const struct hg_adversary *each;
    for (size_t i = 0; (each = hg_adversary_at(i)); i++) {
        hg_backend backend = toy();
        attack(&backend, each);
        CHECK(result->operations > 0);
        CHECK(result->sample_count > 10 && result->sample_count <= HG_FRAG_SAMPLES_MAX);
        CHECK(result->at_live_peak.live_bytes <= M + 300000);
        const struct hg_frag_sample *last = &result->samples[result->sample_count - 1];
        CHECK(last->operation <= result->operations);
        for (size_t j = 1; j < result->sample_count; j++)
            CHECK(result->samples[j].operation >= result->samples[j - 1].operation);
    }
}

static void *out_of_memory(size_t size) {
    (void)size;
    return NULL;
}

static void test_failure_is_counted(void) {
    hg_backend backend = toy();
    backend.libc.malloc = out_of_memory;
    attack(&backend, hg_adversary_at(1));
    CHECK(result->failed > 0);
    CHECK(result->at_live_peak.live_bytes == 0);
}

static void test_figures(void) {
    static const struct {
        struct hg_frag_sample sample;
        double overhead, internal, external;
    } rows[] = {
        {{0, 100, 250, 120}, 2.5, 0.2, 1.3},
        {{0, 100, 100, 100}, 1.0, 0.0, 0.0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK(fabs(hg_frag_overhead(&rows[i].sample) - rows[i].overhead) < 1e-12);
        CHECK(fabs(hg_frag_internal(&rows[i].sample) - rows[i].internal) < 1e-12);
        CHECK(fabs(hg_frag_external(&rows[i].sample) - rows[i].external) < 1e-12);
    }
    CHECK(hg_frag_bound_first_fit(1) == 1 && hg_frag_bound_any(1) == 1);
    CHECK(hg_frag_bound_first_fit(4096) == 13 && hg_frag_bound_any(4096) == 7);
    CHECK(hg_frag_bound_first_fit(5) == 4);
}

int main(void) {
    result = hg_shared_map(sizeof *result);
    test_figures();
    test_samples();
    test_swiss_cheese();
    test_every_adversary_frees_all();
    test_failure_is_counted();
    printf("%d failures\n", failures);
    return failures > 0;
}
