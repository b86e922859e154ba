/* An independent witness: a preload library that counts calls and nothing else. It stands behind
 * the recorder in LD_PRELOAD, so both see the same run. Counters lie in a file,
 * $HEAPGAUGE_TEST_COUNTS.PID, that is true at any moment. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "count.h"

static struct counts nowhere;
static struct counts *counts = &nowhere;

static void open_counts(void) {
    char path[256];
    const char *const prefix = getenv("HEAPGAUGE_TEST_COUNTS");
    static pid_t pid;
    if (!prefix || pid == getpid())
        return;
    pid = getpid();
    snprintf(path, sizeof path, "%s.%d", prefix, (int)pid);
    const int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, sizeof *counts) != 0)
        return;
    void *const memory = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED)
        return;
    struct counts *const shared = memory;
    *shared = nowhere; /* what came before us */
    counts = shared;
}

__attribute__((constructor)) static void begin(void) {
    open_counts();
}

static char early[4096];
static size_t early_used;

#define NEXT(name)   ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define COUNT(field) __atomic_fetch_add(&counts->field, 1, __ATOMIC_RELAXED)

void *malloc(size_t size) {
    static void *(*next)(size_t);
    if (!next)
        next = NEXT(malloc);
    COUNT(malloc_count);
    return next(size);
}

void *calloc(size_t count, size_t size) {
    static void *(*next)(size_t, size_t);
    static int is_resolving;
    if (!next) {
        if (is_resolving) { /* dlsym */
            void *const block = early + early_used;
            early_used += (count * size + 15) & ~(size_t)15;
            return block;
        }
        is_resolving = 1;
        next = NEXT(calloc);
    }
    COUNT(calloc_count);
    return next(count, size);
}

void *realloc(void *old, size_t size) {
    static void *(*next)(void *, size_t);
    if (!next)
        next = NEXT(realloc);
    COUNT(realloc_count);
    return next(old, size);
}

void free(void *block) {
    static void (*next)(void *);
    if ((char *)block >= early && (char *)block < early + sizeof early)
        return;
    if (!next)
        next = NEXT(free);
    COUNT(free_count);
    next(block);
}

int posix_memalign(void **out, size_t align, size_t size) {
    static int (*next)(void **, size_t, size_t);
    if (!next)
        next = NEXT(posix_memalign);
    COUNT(aligned_count);
    return next(out, align, size);
}

void *aligned_alloc(size_t align, size_t size) {
    static void *(*next)(size_t, size_t);
    if (!next)
        next = NEXT(aligned_alloc);
    COUNT(aligned_count);
    return next(align, size);
}
