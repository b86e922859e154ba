/* Layer 0 on Linux, and what else ends in system calls: waiting on a lock, dying. */
#include "os.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "base.h"

void *hg__os_reserve(size_t size) {
    int saved = errno;
    void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = saved;
    return p == MAP_FAILED ? NULL : p;
}

void hg__os_release(void *address, size_t size) {
    int saved = errno;
    munmap(address, size);
    errno = saved;
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer) ||                             \
    __has_feature(memory_sanitizer)
enum { QUIET_ADDRESSES = 0 }; /* these keep books on where a program may map memory, and abort */
#else
enum { QUIET_ADDRESSES = sizeof(void *) >= 8 };
#endif

void *hg__os_quiet_address(unsigned attempt) {
    struct rlimit limit;
    const uint8_t *seed = (const uint8_t *)getauxval(AT_RANDOM);
    if (!QUIET_ADDRESSES || !seed || getrlimit(RLIMIT_AS, &limit) != 0 ||
        limit.rlim_cur != RLIM_INFINITY)
        return NULL;
    /* Between programs, which lie below 1 TiB or from 0x55 << 40 on, and libraries, from 0x7e << 40.
     * 2 GiB apart, by chance. */
    uintptr_t chance = (uintptr_t)seed[1] << 6 | (seed[2] & 63);
    return (void *)(uintptr_t)(((uint64_t)(0x10 + attempt) << 40) + ((uint64_t)chance << 31));
}

int hg__os_map_at(void *address, size_t size) {
#ifdef MAP_FIXED_NOREPLACE
    int saved = errno, error = 0;
    void *p = mmap(address, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p == MAP_FAILED) {
        error = errno;
    } else if (p != address) { /* a kernel before 4.17 takes it for a hint */
        munmap(p, size);
        error = EEXIST;
    }
    errno = saved;
    return error;
#else
    (void)address, (void)size;
    return ENOSYS;
#endif
}

bool hg__os_commit(void *address, size_t size, size_t total) {
    int saved = errno;
    struct rlimit limit;
    /* A reservation made before the limit was lowered would let us pass it unnoticed. */
    bool allowed = getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
                   total <= limit.rlim_cur;
    uintptr_t page = hg__os_page_size();
    uintptr_t from = (uintptr_t)address & (0 - page), to = (uintptr_t)address + size;
    bool done = allowed && mprotect((void *)from, to - from, PROT_READ | PROT_WRITE) == 0;
    errno = saved;
    return done;
}

bool hg__os_purge(void *address, size_t size) {
    int saved = errno;
    /* With pages larger than a granule the kernel would round up, into a neighbour. */
    if (((uintptr_t)address | size) % hg__os_page_size() != 0)
        return false;
    /* MADV_FREE is cheaper but leaves the pages in the resident count. */
    bool done = madvise(address, size, MADV_DONTNEED) == 0;
    errno = saved;
    return done;
}

bool hg__os_move(void *from, void *to, size_t size) {
#ifdef MREMAP_DONTUNMAP
    int saved = errno;
    int flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    bool done = mremap(from, size, size, flags, to) == to;
    /* The kernel unmaps the target before it finds that it cannot go on: put it back. */
    if (!done &&
        mmap(to, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
             -1, 0) != to &&
        errno != EEXIST)
        hg__die("memory lost at", to, "mremap failed half-way");
    errno = saved;
    return done;
#else
    (void)from, (void)to, (void)size;
    return false;
#endif
}

size_t hg__os_reserve_hint(void) {
    if (sizeof(void *) < 8)
        return (size_t)1 << 30;
    uint64_t hint = (uint64_t)1 << 38;
    struct sysinfo info;
    if (sysinfo(&info) == 0)
        while (hint / 8 < (uint64_t)info.totalram * info.mem_unit && hint < (uint64_t)1 << 45)
            hint *= 2;
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < hint)
        hint = limit.rlim_cur - limit.rlim_cur / 4; /* the rest for stacks and files */
    return (size_t)hint;
}

/* A replay may have a clock of its own linked in (backends/clock.c). False: the machine's counts. */
extern bool hg__virtual_ms(uint64_t *ms) __attribute__((weak));

uint64_t hg__os_now_ms(void) {
    struct timespec now;
    uint64_t ms;
    if (hg__virtual_ms && hg__virtual_ms(&ms))
        return ms;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

unsigned hg__os_cpu_count(void) {
    /* sysconf reads files and may allocate; this is one system call, whose writing
     * MemorySanitizer does not see. */
    unsigned long mask[1024 / 8 / sizeof(unsigned long)] = {0};
    long size = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    unsigned count = 0;
    for (long i = 0; i < size / (long)sizeof mask[0]; i++)
        count += (unsigned)__builtin_popcountl(mask[i]);
    return count ? count : 1;
}

size_t hg__os_page_size(void) {
    return (size_t)getpagesize();
}

enum {
    WAIT_PRIVATE = 128,
    WAKE_PRIVATE = 129
}; /* futex(2); not every libc has the kernel's header */

void hg__lock_wait(struct hg__lock *lock) {
    int saved = errno;
    for (int spin = 0; spin < 100; spin++) {
        uint32_t expected = 0;
        if (__atomic_load_n(&lock->state, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&lock->state, &expected, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    while (__atomic_exchange_n(&lock->state, 2, __ATOMIC_ACQUIRE) != 0)
        syscall(SYS_futex, &lock->state, WAIT_PRIVATE, 2, NULL, NULL, 0);
    errno = saved;
}

void hg__lock_wake(struct hg__lock *lock) {
    int saved = errno;
    syscall(SYS_futex, &lock->state, WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}

void hg__os_abort(const char *line, size_t size) {
    ssize_t written = write(STDERR_FILENO, line, size);
    (void)written;
    abort();
}
