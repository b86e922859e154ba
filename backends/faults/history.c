/* Planted faults. What only a certain history shows: many live blocks, many frees of a class, the third
 * reallocation, a shrink before a growth, large blocks, a purge or a failure before. */
#include "faults_private.h"

#include <sys/mman.h>

static void no_sized_frees(hg_backend *backend) {
    backend->libc.free_sized = NULL;
    backend->libc.free_aligned_sized = NULL;
}

static size_t lesser(size_t a, size_t b) {
    return a < b ? a : b;
}

/* A reallocation that always moves and keeps `kept` bytes of what it owes; what is owed and not kept is
 * overwritten, so that luck does not keep it. */
static void *move_and_keep(void *ptr, size_t old, size_t size, size_t kept) {
    unsigned char *moved = hg__inner->libc.malloc(size);
    size_t owed = lesser(old, size);
    if (!moved)
        return NULL;
    memcpy(moved, ptr, kept);
    memset(moved + kept, 0xEE, owed - kept);
    hg__inner->libc.free(ptr);
    return moved;
}

/* ---- only after a thousand frees of one class ---- */

static void *ghost;
static unsigned class_frees, ghosts_left;

static void *ghost_malloc(size_t size) {
    if (ghosts_left && size > 0 && size <= 32) {
        ghosts_left--;
        return ghost;
    }
    return hg__inner->libc.malloc(size);
}

static void ghost_free(void *ptr) {
    if (ptr && !ghosts_left && hg__inner->libc.malloc_usable_size(ptr) == 32 &&
        ++class_frees % 1000 == 0) {
        ghost = ptr;
        ghosts_left = 2;
        return;
    }
    hg__inner->libc.free(ptr);
}

static bool install_thousandth_free(hg_backend *backend) {
    backend->libc.malloc = ghost_malloc;
    backend->libc.free = ghost_free;
    no_sized_frees(backend);
    return true;
}

/* ---- only at the third reallocation of one block ---- */

/* The book's alignment field counts the reallocations. */
static void *third_realloc(void *ptr, size_t size) {
    struct hg__book_entry entry;
    if (!ptr || size == 0)
        return hg__booked_realloc(ptr, size);
    bool known = hg__book_look(ptr, &entry);
    size_t times = known ? entry.layout.align + 1 : 1;
    size_t old = known ? entry.size : hg__inner->libc.malloc_usable_size(ptr);
    size_t kept = lesser(old, size);
    if (times == 3 && size > old && kept > 24)
        kept -= 16;
    void *moved = move_and_keep(ptr, old, size, kept);
    if (moved && known)
        hg__book_take(ptr, &entry);
    if (moved)
        hg__book_add(moved, moved, (hg_layout){size, times}, size);
    return moved;
}

static bool install_third_realloc(hg_backend *backend) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.realloc = third_realloc;
    backend->libc.reallocarray = NULL;
    return true;
}

/* ---- only a growth after a shrink ---- */

static void *shrunk_realloc(void *ptr, size_t size) {
    struct hg__book_entry entry;
    if (!ptr || size == 0)
        return hg__booked_realloc(ptr, size);
    bool known = hg__book_look(ptr, &entry);
    size_t old = known ? entry.size : hg__inner->libc.malloc_usable_size(ptr);
    bool was_shrunk = known && entry.layout.align == 2;
    size_t kept = lesser(old, size);
    if (was_shrunk && size > old && kept > 8)
        kept -= 8;
    void *moved = move_and_keep(ptr, old, size, kept);
    if (moved && known)
        hg__book_take(ptr, &entry);
    if (moved)
        hg__book_add(moved, moved, (hg_layout){size, size < old / 2 ? 2 : 1}, size);
    return moved;
}

static bool install_shrink_grow(hg_backend *backend) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.realloc = shrunk_realloc;
    backend->libc.reallocarray = NULL;
    return true;
}

/* ---- only with more than a thousand live blocks ---- */

static unsigned live_small, since_wrap;
static void *newest_small;

static void *crowded_malloc(size_t size) {
    if (size == 0 || size > 128)
        return hg__inner->libc.malloc(size);
    if (live_small > 1000 && newest_small && ++since_wrap % 32 == 0) {
        void *ptr = newest_small;
        newest_small = NULL;
        return ptr;
    }
    void *ptr = hg__inner->libc.malloc(128);
    live_small += ptr != NULL;
    return newest_small = ptr;
}

static void crowded_free(void *ptr) {
    if (ptr == newest_small)
        newest_small = NULL;
    if (ptr && live_small && hg__inner->libc.malloc_usable_size(ptr) == 128)
        live_small--;
    hg__inner->libc.free(ptr);
}

static void *crowded_realloc(void *ptr, size_t size) {
    if (ptr == newest_small)
        newest_small = NULL;
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_thousand_live(hg_backend *backend) {
    backend->libc.malloc = crowded_malloc;
    backend->libc.free = crowded_free;
    backend->libc.realloc = crowded_realloc;
    backend->libc.reallocarray = NULL;
    no_sized_frees(backend);
    return true;
}

/* ---- large blocks ---- */

/* Above 128 KiB a moving realloc loses a cache line in the middle of a page. */
static void *hole_realloc(void *ptr, size_t size) {
    size_t old = ptr ? hg__inner->libc.malloc_usable_size(ptr) : 0;
    unsigned char *moved = hg__inner->libc.realloc(ptr, size);
    size_t hole = lesser(old, size) / 2 / 4096 * 4096 + 1024;
    if (moved && old > 128 << 10 && size > old)
        memset(moved + hole, 0, 64);
    return moved;
}

static bool install_large_hole(hg_backend *backend) {
    backend->libc.realloc = hole_realloc;
    backend->libc.reallocarray = NULL;
    return true;
}

/* From 64 KiB up a recycled block's last page is taken for fresh. */
static void *large_calloc(size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product) || product < 64 << 10)
        return hg__inner->libc.calloc(count, size);
    unsigned char *ptr = hg__inner->libc.malloc(product);
    return ptr ? memset(ptr, 0, product - 4096) : NULL;
}

static bool install_large_calloc(hg_backend *backend) {
    backend->libc.calloc = large_calloc;
    return true;
}

/* Giving a large block's pages back leaves munmap's errno behind. */
static void large_free(void *ptr) {
    bool large = ptr && hg__inner->libc.malloc_usable_size(ptr) > 128 << 10;
    hg__inner->libc.free(ptr);
    if (large)
        errno = EINVAL;
}

static bool install_large_free_errno(hg_backend *backend) {
    backend->libc.free = large_free;
    no_sized_frees(backend);
    return true;
}

/* Above 2 MiB the usable size is rounded up to a page too many. */
static size_t large_usable(void *ptr) {
    size_t usable = hg__inner->libc.malloc_usable_size(ptr);
    return usable > (size_t)2 << 20 ? usable + 8192 : usable;
}

static bool install_large_usable(hg_backend *backend) {
    backend->libc.malloc_usable_size = large_usable;
    return true;
}

/* ---- page edges ---- */

/* A block that ends with its page: the next allocation's header is written over its last byte. */
static unsigned char *edge_block;
static size_t edge_bytes;

static void *edge_malloc(size_t size) {
    if (edge_block && edge_bytes)
        edge_block[edge_bytes - 1] ^= 0x20;
    edge_block = NULL;
    unsigned char *ptr = hg__inner->libc.malloc(size);
    if (ptr && size && ((uintptr_t)ptr + size) % 4096 == 0) {
        edge_block = ptr;
        edge_bytes = size;
    }
    return ptr;
}

static void edge_free(void *ptr) {
    if (ptr == edge_block)
        edge_block = NULL;
    hg__inner->libc.free(ptr);
}

static void *edge_realloc(void *ptr, size_t size) {
    if (ptr == edge_block)
        edge_block = NULL;
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_page_edge(hg_backend *backend) {
    backend->libc.malloc = edge_malloc;
    backend->libc.free = edge_free;
    backend->libc.realloc = edge_realloc;
    backend->libc.reallocarray = NULL;
    no_sized_frees(backend);
    return true;
}

/* ---- after something else ---- */

static bool purged;

static size_t remember_purge(const hg_backend *self) {
    (void)self;
    purged = true;
    return hg__inner->purge ? hg__inner->purge(hg__inner) : 0;
}

/* After a purge every page is taken for zero, until the next large calloc. */
static void *trusts_purge(size_t count, size_t size) {
    size_t product;
    if (!purged || __builtin_mul_overflow(count, size, &product) || product < 512)
        return hg__inner->libc.calloc(count, size);
    purged = false;
    return hg__inner->libc.malloc(product);
}

static bool install_purge_then_dirty(hg_backend *backend) {
    backend->libc.calloc = trusts_purge;
    backend->purge = remember_purge;
    return true;
}

/* Every third request that failed leaves the heap shut for the next small one. */
static unsigned failures;

static void *shut_malloc(size_t size) {
    if (failures >= 3 && size >= 64 && size < 1024) {
        failures = 0;
        errno = ENOMEM;
        return NULL;
    }
    void *ptr = hg__inner->libc.malloc(size);
    failures += !ptr;
    return ptr;
}

static bool install_third_failure(hg_backend *backend) {
    backend->libc.malloc = shut_malloc;
    return true;
}

/* ---- sized frees ---- */

/* A block freed with exactly its class's size goes to the next class up. */
static void *misfiled;

static void misfiling_free_sized(void *ptr, size_t size) {
    if (ptr && !misfiled && size >= 32 && size == hg__inner->libc.malloc_usable_size(ptr)) {
        misfiled = ptr;
        return;
    }
    hg__inner->libc.free(ptr);
}

static void *misfiled_malloc(size_t size) {
    void *ptr = misfiled;
    if (!ptr || hg__inner->libc.malloc_usable_size(ptr) + 16 < size ||
        hg__inner->libc.malloc_usable_size(ptr) >= size)
        return hg__inner->libc.malloc(size);
    misfiled = NULL;
    return ptr;
}

static bool install_sized_free_class(hg_backend *backend) {
    backend->libc.malloc = misfiled_malloc;
    backend->libc.free_sized = misfiling_free_sized;
    return true;
}

/* ---- equivalent: right, only later ---- */

enum { QUARANTINE = 64 };
static void *quarantine[QUARANTINE];
static unsigned quarantined;

static void free_later(void *ptr) {
    if (!ptr)
        return;
    void **place = &quarantine[quarantined++ % QUARANTINE];
    hg__inner->libc.free(*place);
    *place = ptr;
}

static bool install_quarantine(hg_backend *backend) {
    backend->libc.free = free_later;
    no_sized_frees(backend);
    return true;
}

static const struct hg__planted rows[] = {
    {{"thousandth-free", "C4", "C4,C7,C41,C22,C2,C40,crash", "libc", "long", 4,
      "the thousandth free of a class enters the free list twice"},
     install_thousandth_free},
    {{"third-realloc", "C22", "C22", "libc", "", 3,
      "a block's third reallocation loses its last bytes"},
     install_third_realloc},
    {{"shrink-grow", "C22", "C22", "libc", "", 3, "a growth after a shrink loses the tail"},
     install_shrink_grow},
    {{"thousand-live", "C4", "C4,C7,C41,C22,C40,crash", "libc", "long", 4,
      "with more than 1000 live small blocks two get the same memory"},
     install_thousand_live},
    {{"large-hole", "C22", "C22", "libc", "long", 4,
      "realloc above 128 KiB loses a cache line inside a page"},
     install_large_hole},
    {{"large-calloc", "C17", "C17", "libc", "long", 3,
      "calloc from 64 KiB up takes a recycled last page for fresh"},
     install_large_calloc},
    {{"large-free-errno", "C46", "C46", "libc", "", 3, "free of more than 128 KiB changes errno"},
     install_large_free_errno},
    {{"large-usable", "C41", "C41,C5,C6,crash", "libc", "long", 4,
      "the usable size above 2 MiB is two pages too large"},
     install_large_usable},
    {{"page-edge", "C7", "C7,C41,C22", "libc", "", 3,
      "the last byte of a block that ends with its page is overwritten"},
     install_page_edge},
    {{"purge-then-dirty", "C17", "C17,C54", "environment", "", 4,
      "calloc after a purge trusts pages that were not purged"},
     install_purge_then_dirty},
    {{"third-failure", "C12", "C12", "libc", "", 3,
      "after three failed requests the next is refused"},
     install_third_failure},
    {{"sized-free-class", "C48", "C40", "libc", "", 3,
      "free_sized at the edge of a class files the block under the next"},
     install_sized_free_class},
    {{"eq-quarantine", NULL, NULL, "libc", "", 0, "equivalent: frees are 64 frees late"},
     install_quarantine},
};

HG__FAULT_GROUP(history);
