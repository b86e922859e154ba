/* Planted faults. Fork, purge, lack of memory, memory that does not come back. */
#define _GNU_SOURCE
#include "faults_private.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_bool lock_held;

static void hold_lock(void) {
    atomic_store(&lock_held, true);
}

static void *waits_for_lock(size_t size) {
    while (atomic_load(&lock_held))
        usleep(1000);
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
    {{"fork-lock", "C54", "C54,hang", "environment", "", 4, "the child of fork sees a lock held"},
     install_fork_lock},
    {{"shortage-aborts", "C14", "crash", "environment", "shortage", 3,
      "lack of memory ends the process"},
     install_shortage_aborts},
    {{"shortage-realloc", "C23", "C23,C7,C41,C68", "environment", "shortage", 4,
      "realloc damages its block when memory is short"},
     install_shortage_realloc},
    {{"shortage-lasts", "C16", "C12", "environment", "shortage", 4,
      "after a shortage requests stay refused"},
     install_shortage_lasts},
};

HG__FAULT_GROUP(environment);
