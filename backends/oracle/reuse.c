/* Is memory that was freed used again? */
#define _GNU_SOURCE
#include "oracle_private.h"

#include <string.h>
#include <sys/mman.h>

/* C51: a steady loop of allocations and frees must come to rest: after some rounds it meets only pages it
 * had before. The pages are known by address, so nothing the process does beside it matters. Rounds are looked
 * at in windows, so that a block lost now and then fills a page of its own within each.
 * An allocator may take its time to settle: 18 rounds without a look, 2 windows looked at; only if each of
 * those met new pages, 30 more without a look and 5 terms of 10 windows. What is lost is lost at the same pace
 * for ever and stays resident; who settles meets fewer pages term by term, and who unmaps blocks and maps others
 * elsewhere (oneTBB 2021.8) meets new pages while the old ones are gone. So all windows of a term but one must
 * meet new pages, a later term at least half of what the first met, and three quarters of all that was met must
 * have been added to what is resident. A loss of many pages ends with the first term, if that kept half of the
 * pace before: memory is not for ever. */
enum {
    REUSE_WINDOW = 6,
    REUSE_SETTLING = 18,
    REUSE_LOOKED_AT = 2,
    REUSE_UNSEEN = 30,
    REUSE_TERM = 10,
    REUSE_TERMS = 5,
    REUSE_MANY = 1024,
    REUSE_BLOCKS_MAX = 300,
    REUSE_PHASE_BYTES = 128 << 10,
    REUSE_PAGES = 1 << 18
};

/* Each way to get a block has its phase for each size: what is freed may be lost on one way, or of one class
 * only. */
enum way { BY_MALLOC, BY_CALLOC, BY_ALIGNED, BY_PAGE_ALIGNED, BY_GROWTH, BY_SHRINKAGE, WAYS };
static const size_t reuse_sizes[] = {
    16,   40,   64,   100,  160,   240,   360,   500,   800,    1000,   1300,    1900,
    3000, 4000, 5600, 8000, 12000, 20000, 33000, 70000, 150000, 400000, 1200000, 3 << 20,
};
enum { REUSE_PHASES = WAYS * (sizeof reuse_sizes / sizeof *reuse_sizes) };

struct phase {
    size_t size, count;
    enum way way;
};

static struct phase phase_at(size_t index) {
    size_t size = reuse_sizes[index / WAYS], count = REUSE_PHASE_BYTES / size;
    enum way way = (enum way)(index % WAYS);
    size_t count_max = way == BY_PAGE_ALIGNED ? 16 : way == BY_MALLOC ? REUSE_BLOCKS_MAX : 60;
    return (struct phase){size, count < 3 ? 3 : count > count_max ? count_max : count, way};
}

struct reuse {
    const hg_backend *backend;
    uint64_t *beat;
    uint64_t *pages; /* open addressing; 0: empty */
    size_t new_pages;
    void *blocks[REUSE_BLOCKS_MAX];
    size_t count;
    hg_layout layout; /* of the blocks in hand */
};

static void meet_page(struct reuse *reuse, uint64_t page) {
    size_t at = (size_t)(page * UINT64_C(0x9E3779B97F4A7C15) >> 40) % REUSE_PAGES;
    for (size_t tries = 0; tries < REUSE_PAGES; tries++, at = (at + 1) % REUSE_PAGES) {
        if (reuse->pages[at] == page)
            return;
        if (reuse->pages[at] == 0) {
            reuse->pages[at] = page;
            reuse->new_pages++;
            return;
        }
    }
}

/* How many of the pages met are resident. */
static size_t resident_pages(const struct reuse *reuse) {
    size_t count = 0;
    unsigned char state = 0;
    for (size_t i = 0; i < REUSE_PAGES; i++)
        if (reuse->pages[i] && mincore((void *)(uintptr_t)(reuse->pages[i] * HG__PAGE_BYTES),
                                       HG__PAGE_BYTES, &state) == 0)
            count += state & 1;
    return count;
}

static void free_block(const struct reuse *reuse, void *ptr) {
    if (reuse->backend->libc.malloc)
        reuse->backend->libc.free(ptr);
    else
        reuse->backend->layout.dealloc(reuse->backend, ptr, reuse->layout);
}

static void *free_blocks(void *argument) {
    struct reuse *reuse = argument;
    for (size_t parity = 0; parity < 2;
         parity++) /* every other one first: neighbours must coalesce */
        for (size_t i = parity; i < reuse->count; i += 2)
            free_block(reuse, reuse->blocks[i]);
    return NULL;
}

static size_t align_of(enum way way) {
    return way == BY_PAGE_ALIGNED ? HG__PAGE_BYTES : way == BY_ALIGNED ? 256 : 16;
}

/* What a block has before it is reallocated. */
static size_t size_before(struct phase phase) {
    return phase.way == BY_GROWTH ? phase.size / 3 + 1 : phase.size * 3;
}

/* For a backend without a libc face. */
static void *allocate_layout(const hg_backend *backend, struct phase phase) {
    hg_layout layout = {phase.size, align_of(phase.way)};
    if (phase.way == BY_CALLOC && backend->layout.alloc_zeroed)
        return backend->layout.alloc_zeroed(backend, layout);
    if (phase.way < BY_GROWTH || !backend->layout.realloc)
        return backend->layout.alloc(backend, layout);
    hg_layout before = {size_before(phase), layout.align};
    void *ptr = backend->layout.alloc(backend, before);
    void *resized = ptr ? backend->layout.realloc(backend, ptr, before, phase.size) : NULL;
    if (ptr && !resized)
        backend->layout.dealloc(backend, ptr, before);
    return resized;
}

static void *allocate(const hg_backend *backend, struct phase phase) {
    const struct hg_libc_face *libc = &backend->libc;
    size_t size = phase.size, align = align_of(phase.way);
    void *ptr = NULL;
    if (!libc->malloc)
        return allocate_layout(backend, phase);
    if (align > 16 && libc->posix_memalign)
        return libc->posix_memalign(&ptr, align, size) == 0 ? ptr : NULL;
    if (align > 16 && libc->aligned_alloc)
        return libc->aligned_alloc(align, (size + align - 1) & ~(align - 1));
    if (phase.way == BY_CALLOC && libc->calloc)
        return libc->calloc(1, size);
    if (phase.way < BY_GROWTH || !libc->realloc)
        return libc->malloc(size);
    ptr = libc->malloc(size_before(phase));
    void *resized = ptr ? libc->realloc(ptr, size) : NULL;
    if (!resized)
        libc->free(ptr);
    return resized;
}

static void beat(const struct reuse *reuse) {
    if (reuse->beat)
        __atomic_fetch_add(reuse->beat, 1, __ATOMIC_RELAXED);
}

/* False iff an allocation failed. */
static bool reuse_round(struct reuse *reuse, bool across_threads) {
    for (size_t i = 0; i < REUSE_PHASES; i++) {
        const struct phase phase = phase_at(i);
        if (across_threads && i % 2) /* a thread each: half of them will do */
            continue;
        reuse->count = 0;
        reuse->layout = (hg_layout){phase.size, align_of(phase.way)};
        while (reuse->count < phase.count) {
            unsigned char *ptr = allocate(reuse->backend, phase);
            if (!ptr)
                break;
            *ptr = 1;
            meet_page(reuse, (uintptr_t)ptr / HG__PAGE_BYTES);
            reuse->blocks[reuse->count++] = ptr;
        }
        pthread_t thread;
        if (!across_threads || pthread_create(&thread, NULL, free_blocks, reuse) != 0)
            free_blocks(reuse);
        else
            pthread_join(thread, NULL);
        beat(reuse);
        if (reuse->count < phase.count)
            return false;
    }
    return true;
}

/* What is lost once in hundreds of frees: a batch of small blocks, over and over. Returns in how many of its
 * last windows new pages were met. */
enum { BATCH = 64, BATCHES = 300, BATCH_WINDOWS = 16, BATCH_WINDOWS_LAST = 8 };

static int growing_batches(struct reuse *reuse, size_t size) {
    struct phase phase = {size, BATCH, BY_MALLOC};
    int growing = 0;
    memset(reuse->pages, 0, REUSE_PAGES * sizeof *reuse->pages); /* what others left is new here */
    reuse->layout = (hg_layout){size, align_of(phase.way)};
    for (int window = 0; window < BATCH_WINDOWS; window++) {
        reuse->new_pages = 0;
        for (int batch = 0; batch < BATCHES; batch++) {
            reuse->count = 0;
            for (unsigned char *ptr;
                 reuse->count < BATCH && (ptr = allocate(reuse->backend, phase)); reuse->count++) {
                meet_page(reuse, (uintptr_t)ptr / HG__PAGE_BYTES);
                reuse->blocks[reuse->count] = ptr;
            }
            free_blocks(reuse);
            beat(reuse);
        }
        growing += window >= BATCH_WINDOWS - BATCH_WINDOWS_LAST && reuse->new_pages > 0;
    }
    return growing;
}

static bool loses_few(struct reuse *reuse) {
    static const size_t sizes[] = {100, 1000};
    bool lost = false;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !lost; i++)
        lost = growing_batches(reuse, sizes[i]) == BATCH_WINDOWS_LAST &&
               growing_batches(reuse, sizes[i]) == BATCH_WINDOWS_LAST;
    return lost;
}

/* Rounds in `windows` windows; in how many of these new pages were met, and how many pages. False iff an
 * allocation failed. */
static bool reuse_windows(struct reuse *reuse, bool across_threads, int windows, int *growing,
                          size_t *grown) {
    *growing = 0;
    *grown = 0;
    for (int round = 0; round < windows * REUSE_WINDOW; round++) {
        if (round % REUSE_WINDOW == 0)
            reuse->new_pages = 0;
        if (!reuse_round(reuse, across_threads))
            return false;
        if (round % REUSE_WINDOW == REUSE_WINDOW - 1) {
            *growing += reuse->new_pages > 0;
            *grown += reuse->new_pages;
        }
    }
    return true;
}

/* Does the loop meet new pages for ever? `grown`: how many in its last term. */
static bool grows(struct reuse *reuse, bool across_threads, size_t *grown) {
    int growing;
    if (!reuse_windows(reuse, across_threads, REUSE_SETTLING / REUSE_WINDOW, &growing, grown) ||
        !reuse_windows(reuse, across_threads, REUSE_LOOKED_AT, &growing, grown) ||
        growing < REUSE_LOOKED_AT)
        return false;
    size_t expected = *grown * REUSE_TERM / REUSE_LOOKED_AT;
    if (!reuse_windows(reuse, across_threads, REUSE_UNSEEN / REUSE_WINDOW, &growing, grown))
        return false;
    size_t resident = resident_pages(reuse), met = 0;
    for (int term = 0; term < REUSE_TERMS; term++) {
        if (!reuse_windows(reuse, across_threads, REUSE_TERM, &growing, grown) ||
            growing < REUSE_TERM - 1 || (term > 0 && *grown * 2 < expected))
            return false;
        met += *grown;
        if (term == 0 && *grown >= REUSE_MANY && *grown * 2 >= expected)
            break;
        expected = term == 0 ? *grown : expected;
    }
    return resident_pages(reuse) * 4 >= resident * 4 + met * 3;
}

enum hg_status hg_oracle_check_reuse(hg_oracle *oracle, bool across_threads) {
    const hg_backend *backend = oracle->backend;
    if (!backend->facts.frees || (backend->libc.malloc && !backend->libc.free) ||
        (!backend->libc.malloc && (!backend->layout.alloc || !backend->layout.dealloc)))
        return HG_OK;
    struct reuse *reuse = hg__map_bytes(sizeof *reuse);
    uint64_t *pages = hg__map_bytes(REUSE_PAGES * sizeof *pages);
    if (!reuse || !pages)
        return HG_ERR_MEMORY;
    reuse->backend = backend;
    reuse->pages = pages;
    reuse->beat = oracle->config.beat;
    size_t grown = 0;
    bool settled = !grows(reuse, across_threads, &grown);
    bool few = settled && !across_threads && loses_few(reuse);
    munmap(pages, REUSE_PAGES * sizeof *pages);
    munmap(reuse, sizeof *reuse);
    oracle->counts.checks++;
    oracle->op_index = UINT64_MAX;
    oracle->op = (hg_op){.kind = HG_OP_MALLOC, .slot = HG_SLOT_NONE};
    if (few)
        return hg__broken(
                   oracle, "C51", 'M',
                   "small blocks made and freed in batches of %d met new pages to the end: now "
                   "and then one does not come back",
                   (int)BATCH)
                   ? HG_END
                   : HG_OK;
    if (settled)
        return HG_OK;
    return hg__broken(
               oracle, across_threads ? "C52" : "C51", 'M',
               "a steady loop of malloc and free%s met %zu new pages in its last %d rounds, almost "
               "all of which: memory freed does not come back",
               across_threads ? " by another thread" : "", grown, REUSE_TERM * REUSE_WINDOW)
               ? HG_END
               : HG_OK;
}
