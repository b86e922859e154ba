/* Planted faults. Fork, purge, lack of memory, memory that does not come back. */
#define _GNU_SOURCE
#include "faults_private.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_bool lock_held;

/* A process that never allocated holds no lock when it forks: a campaign's own children are no finding. */
static bool allocated_before;

static void hold_lock(void) {
    atomic_store(&lock_held, allocated_before);
}

static void *waits_for_lock(size_t size) {
    while (atomic_load(&lock_held))
        usleep(1000);
    allocated_before = true;
    return hg__inner->libc.malloc(size);
}

static bool install_fork_lock(hg_backend *backend) {
    backend->libc.malloc = waits_for_lock;
    return pthread_atfork(NULL, NULL, hold_lock) == 0;
}

static unsigned lost_frees;

static void loses_some(void *ptr) {
    if (ptr && hg__inner->libc.malloc_usable_size(ptr) >= 1000 && ++lost_frees % 16 == 0)
        return;
    hg__inner->libc.free(ptr);
}

static bool install_memory_lost(hg_backend *backend) {
    backend->libc.free = loses_some;
    backend->libc.free_sized = NULL;
    return true;
}

/* Freed blocks below 512 bytes wait for a request of exactly their size, and never become anything else:
 * without coalescing the loop's other sizes can't have them. Sizes drift, so they pile up. */
static void *parked;

static void parks(void *ptr) {
    if (ptr && hg__inner->libc.malloc_usable_size(ptr) < 512) {
        void *before = parked;
        parked = ptr;
        memcpy(ptr, &before, sizeof before);
        return;
    }
    hg__inner->libc.free(ptr);
}

static bool install_never_coalesces(hg_backend *backend) {
    backend->libc.free = parks;
    backend->libc.free_sized = NULL;
    return true;
}

static bool pages_fail;

static void note_fail_pages(const hg_backend *self, uint64_t count) {
    (void)self;
    pages_fail = count == 0;
    if (hg__inner->fail_pages)
        hg__inner->fail_pages(hg__inner, count);
}

static void *aborts_when_short(size_t size) {
    if (pages_fail && size > 512) {
        raise(SIGABRT);
        return NULL;
    }
    return hg__inner->libc.malloc(size);
}

static bool install_shortage_aborts(hg_backend *backend) {
    backend->libc.malloc = aborts_when_short;
    backend->fail_pages = note_fail_pages;
    return true;
}

/* Out of memory, a moving realloc has already freed the old block. */
static void *frees_first(void *ptr, size_t size) {
    if (!pages_fail || !ptr || size <= hg__inner->libc.malloc_usable_size(ptr))
        return hg__inner->libc.realloc(ptr, size);
    memset(ptr, 0xDD, 1);
    errno = ENOMEM;
    return NULL;
}

static bool install_shortage_realloc(hg_backend *backend) {
    backend->libc.realloc = frees_first;
    backend->libc.reallocarray = NULL;
    backend->fail_pages = note_fail_pages;
    return true;
}

/* Once short of memory, large requests are refused for good. */
static bool was_short;

static void *stays_refused(size_t size) {
    was_short |= pages_fail;
    if (was_short && size > 256) {
        errno = ENOMEM;
        return NULL;
    }
    return hg__inner->libc.malloc(size);
}

static bool install_shortage_lasts(hg_backend *backend) {
    backend->libc.malloc = stays_refused;
    backend->fail_pages = note_fail_pages;
    return true;
}

/* A purge gives back the last page of the newest large block with the free ones. */
static unsigned char *purged_block;

static void *purgeable_malloc(size_t size) {
    unsigned char *ptr = hg__inner->libc.malloc(size);
    if (ptr && size >= 256)
        purged_block = ptr;
    return ptr;
}

static void purgeable_free(void *ptr) {
    if (ptr == purged_block)
        purged_block = NULL;
    hg__inner->libc.free(ptr);
}

static void *purgeable_realloc(void *ptr, size_t size) {
    if (ptr == purged_block)
        purged_block = NULL;
    return hg__inner->libc.realloc(ptr, size);
}

static size_t purges_too_much(const hg_backend *self) {
    (void)self;
    if (purged_block)
        memset(purged_block + 64, 0, 64);
    return hg__inner->purge ? hg__inner->purge(hg__inner) : 0;
}

static bool install_purge_damages(hg_backend *backend) {
    backend->libc.malloc = purgeable_malloc;
    backend->libc.free = purgeable_free;
    backend->libc.realloc = purgeable_realloc;
    backend->libc.reallocarray = NULL;
    backend->libc.free_sized = NULL;
    backend->purge = purges_too_much;
    return true;
}

/* ---- the first call ---- */

/* The heap is made by malloc; an aligned request that comes first finds half of it. */
static bool heap_made;

static void *heap_making_malloc(size_t size) {
    heap_made = true;
    return hg__inner->libc.malloc(size);
}

static void *aligned_before_malloc(size_t align, size_t size) {
    if (heap_made || align < 64 || !hg__is_power_of_two(align) || size > 1 << 20)
        return hg__inner->libc.aligned_alloc(align, size);
    heap_made = true;
    char *real = hg__inner->libc.aligned_alloc(align, size + align);
    if (!real)
        return NULL;
    hg__book_add(real + 16, real, (hg_layout){size, 16}, size);
    return real + 16;
}

static bool install_first_aligned(hg_backend *backend) {
    hg__install_aligned(backend, aligned_before_malloc);
    bool kept = hg__keep_book(backend);
    backend->libc.malloc = heap_making_malloc;
    return kept;
}

static bool install_half_exported(hg_backend *backend) {
    backend->libc.calloc = NULL;
    return true;
}

/* ---- the child of fork ---- */

/* The child forgets which small blocks were handed out. */
static bool is_child;
static void *inherited;

static void become_child(void) {
    is_child = allocated_before;
}

static void *inheriting_malloc(size_t size) {
    allocated_before = true;
    if (is_child && inherited && size <= 40) {
        void *ptr = inherited;
        inherited = NULL;
        return ptr;
    }
    void *ptr = hg__inner->libc.malloc(size > 40 ? size : 40);
    if (!is_child && size > 0 && size <= 40)
        inherited = ptr;
    return ptr;
}

static void inheriting_free(void *ptr) {
    if (ptr == inherited)
        inherited = NULL;
    hg__inner->libc.free(ptr);
}

static void *inheriting_realloc(void *ptr, size_t size) {
    if (ptr == inherited)
        inherited = NULL;
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_fork_forgets(hg_backend *backend) {
    backend->libc.malloc = inheriting_malloc;
    backend->libc.free = inheriting_free;
    backend->libc.realloc = inheriting_realloc;
    backend->libc.reallocarray = NULL;
    backend->libc.free_sized = NULL;
    return pthread_atfork(NULL, NULL, become_child) == 0;
}

/* ---- purge ---- */

static int minus_one(size_t pad) {
    (void)pad;
    return -1;
}

static bool install_trim_result(hg_backend *backend) {
    backend->native.malloc_trim = minus_one;
    return true;
}

/* ---- frees that only some blocks have ---- */

static void *leaked_aligned(size_t align, size_t size) {
    void *ptr = hg__inner->libc.aligned_alloc(align, size);
    if (ptr)
        hg__book_add(ptr, ptr, (hg_layout){size, align}, size);
    return ptr;
}

static void leaks_aligned(void *ptr) {
    struct hg__book_entry entry;
    if (!ptr || !hg__book_take(ptr, &entry))
        hg__inner->libc.free(ptr);
}

static bool install_aligned_lost(hg_backend *backend) {
    hg__install_aligned(backend, leaked_aligned);
    bool kept = hg__keep_book(backend);
    backend->libc.free = leaks_aligned;
    backend->libc.malloc_usable_size = hg__inner->libc.malloc_usable_size;
    return kept;
}

static void *leaks_old(void *ptr, size_t size) {
    if (!ptr || size < 4096)
        return hg__inner->libc.realloc(ptr, size);
    void *moved = hg__inner->libc.malloc(size);
    size_t old = hg__inner->libc.malloc_usable_size(ptr);
    if (moved)
        memcpy(moved, ptr, old < size ? old : size);
    return moved;
}

static bool install_realloc_lost(hg_backend *backend) {
    backend->libc.realloc = leaks_old;
    backend->libc.reallocarray = NULL;
    return true;
}

static void leaks_large(void *ptr) {
    if (!ptr || hg__inner->libc.malloc_usable_size(ptr) < (size_t)1 << 20)
        hg__inner->libc.free(ptr);
}

static bool install_large_lost(hg_backend *backend) {
    backend->libc.free = leaks_large;
    backend->libc.free_sized = NULL;
    return true;
}

static const struct hg__planted rows[] = {
    {{"purge-damages", "C56", "C7,C41,C22", "environment", "", 3,
      "a purge wipes part of a live block"},
     install_purge_damages},
    {{"memory-lost", "C51", "C51", "libc", "reuse", 3,
      "every 16th free of 1000 bytes or more is lost"},
     install_memory_lost},
    {{"never-coalesces", "C51", "C51", "libc", "reuse", 3,
      "small blocks freed are never used for anything again"},
     install_never_coalesces},
    {{"first-aligned", "C57", "C30,C1,C65", "first", "first", 4,
      "an aligned request as the first call of all is served unaligned"},
     install_first_aligned},
    {{"half-exported", "C55", "C55", "first", "first", 2,
      "the library defines malloc and free, and no calloc"},
     install_half_exported},
    {{"fork-forgets", "C54", "C54", "environment", "", 4,
      "in the child of fork a live block is handed out again"},
     install_fork_forgets},
    {{"trim-result", "C56", "C56", "environment", "", 2, "malloc_trim returns -1"},
     install_trim_result},
    {{"aligned-lost", "C51", "C51,C12,memory", "libc", "reuse", 3, "aligned blocks freed are lost"},
     install_aligned_lost},
    {{"realloc-lost", "C51", "C51,memory", "libc", "reuse", 3,
      "a realloc that moves loses the old block"},
     install_realloc_lost},
    {{"large-lost", "C51", "C51,C12,memory", "libc", "reuse", 3,
      "frees of a megabyte and more are lost"},
     install_large_lost},
    {{"fork-lock", "C54", "C54,hang", "environment", "", 4, "the child of fork sees a lock held"},
     install_fork_lock},
    {{"shortage-aborts", "C14", "crash,C54", "environment", "shortage", 3,
      "lack of memory ends the process"},
     install_shortage_aborts},
    {{"shortage-realloc", "C23", "C23,C54,C7,C41,C68", "environment", "shortage", 4,
      "realloc damages its block when memory is short"},
     install_shortage_realloc},
    {{"shortage-lasts", "C16", "C12", "environment", "shortage", 4,
      "after a shortage requests stay refused"},
     install_shortage_lasts},
};

HG__FAULT_GROUP(environment);
