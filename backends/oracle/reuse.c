/* Is memory that was freed used again? */
#define _GNU_SOURCE
#include "oracle_private.h"

#include <sys/mman.h>

/* C51: a steady loop of allocations and frees must come to rest: after some rounds it meets only pages it
 * had before. The pages are known by address, so nothing the process does beside it matters.
 * An allocator may take its time to settle: 16 rounds without a look, 8 looked at; only if each of those
 * met new pages, 96 more, of which the last 40 count. */
enum {
    REUSE_SHORT = 24,
    REUSE_LONG = 120,
    REUSE_LOOKED_AT = 8,
    REUSE_LAST = 40,
    REUSE_BLOCKS_MAX = 3000,
    REUSE_PAGES = 1 << 18
};

/* Each way to get a block has its phase: what is freed may be lost on one way only. */
enum way { BY_MALLOC, BY_ALIGNED, BY_REALLOC };
static const struct {
    size_t size, count;
    enum way way;
} reuse_phases[] = {
    {40, 3000, BY_MALLOC},  {200, 1500, BY_MALLOC},  {1000, 800, BY_MALLOC},
    {3000, 300, BY_MALLOC}, {600, 200, BY_ALIGNED},  {20000, 48, BY_MALLOC},
    {5000, 60, BY_REALLOC}, {150000, 12, BY_MALLOC}, {3 << 20, 3, BY_MALLOC},
    {70000, 6, BY_ALIGNED}, {400000, 4, BY_REALLOC},
};
enum { REUSE_PHASES = sizeof reuse_phases / sizeof *reuse_phases };

struct reuse {
    const hg_backend *backend;
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

static hg_layout layout_of(size_t size, enum way way) {
    return (hg_layout){size, way == BY_ALIGNED ? 256 : 16};
}

/* For a backend without a libc face. */
static void *allocate_layout(const hg_backend *backend, size_t size, enum way way) {
    if (way != BY_REALLOC || !backend->layout.realloc)
        return backend->layout.alloc(backend, layout_of(size, way));
    hg_layout small = layout_of(size / 3, way);
    void *ptr = backend->layout.alloc(backend, small);
    void *grown = ptr ? backend->layout.realloc(backend, ptr, small, size) : NULL;
    if (ptr && !grown)
        backend->layout.dealloc(backend, ptr, small);
    return grown;
}

static void *allocate(const hg_backend *backend, size_t size, enum way way) {
    const struct hg_libc_face *libc = &backend->libc;
    void *ptr = NULL;
    if (!libc->malloc)
        return allocate_layout(backend, size, way);
    if (way == BY_ALIGNED && libc->posix_memalign)
        return libc->posix_memalign(&ptr, 256, size) == 0 ? ptr : NULL;
    if (way == BY_ALIGNED && libc->aligned_alloc)
        return libc->aligned_alloc(256, (size + 255) & ~(size_t)255);
    if (way != BY_REALLOC || !libc->realloc)
        return libc->malloc(size);
    ptr = libc->malloc(size / 3);
    void *grown = ptr ? libc->realloc(ptr, size) : NULL;
    if (!grown)
        libc->free(ptr);
    return grown;
}

/* False iff an allocation failed. */
static bool reuse_round(struct reuse *reuse, bool across_threads) {
    for (size_t phase = 0; phase < REUSE_PHASES; phase++) {
        reuse->count = 0;
        reuse->layout = layout_of(reuse_phases[phase].size, reuse_phases[phase].way);
        while (reuse->count < reuse_phases[phase].count) {
            unsigned char *ptr =
                allocate(reuse->backend, reuse_phases[phase].size, reuse_phases[phase].way);
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
        if (reuse->count < reuse_phases[phase].count)
            return false;
    }
    return true;
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
    int rounds = REUSE_SHORT, looked_at = REUSE_LOOKED_AT, growing = 0;
    size_t grown = 0;
    bool served = true;
    for (int round = 0; round < rounds && served; round++) {
        reuse->new_pages = 0;
        served = reuse_round(reuse, across_threads);
        if (round < rounds - looked_at)
            continue;
        growing += reuse->new_pages > 0;
        grown += reuse->new_pages;
        if (round == REUSE_SHORT - 1 && growing == REUSE_LOOKED_AT) {
            rounds = REUSE_LONG;
            looked_at = REUSE_LAST;
            growing = 0;
            grown = 0;
        }
    }
    munmap(pages, REUSE_PAGES * sizeof *pages);
    munmap(reuse, sizeof *reuse);
    oracle->counts.checks++;
    oracle->op_index = UINT64_MAX;
    oracle->op = (hg_op){.kind = HG_OP_MALLOC, .slot = HG_SLOT_NONE};
    if (!served || rounds == REUSE_SHORT || growing < REUSE_LAST - 1)
        return HG_OK;
    return hg__broken(
               oracle, across_threads ? "C52" : "C51", 'M',
               "a steady loop of malloc and free%s met %zu new pages in its last %d rounds, almost "
               "all of which: memory freed does not come back",
               across_threads ? " by another thread" : "", grown, (int)REUSE_LAST)
               ? HG_END
               : HG_OK;
}
