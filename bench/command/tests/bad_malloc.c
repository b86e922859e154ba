/* Malloc libraries that misbehave on purpose, to see that the harness survives them and says so. One
 * source, several libraries: BAD_CRASH, BAD_HANG, BAD_HUNGRY, BAD_SLOT (hands out a block twice). After
 * CALLS_BEFORE calls of malloc the fault sets in; until then the system's malloc serves. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALLS_BEFORE = 3000 };

void *malloc(size_t size);
void free(void *ptr);
void *calloc(size_t count, size_t size);
void *realloc(void *ptr, size_t size);
int posix_memalign(void **out, size_t align, size_t size);

static atomic_int calls;

static void *system_function(const char *name) {
    static void *libc;
    if (!libc)
        libc = dlopen("libc.so.6", RTLD_NOW | RTLD_LOCAL);
    return dlsym(libc, name);
}

#define SYSTEM(name) ((__typeof__(&name))system_function(#name))

#ifdef BAD_SLOT
static void *given_twice;
#endif

void *malloc(size_t size) {
    static __typeof__(&malloc) next;
    if (!next)
        next = SYSTEM(malloc);
    if (atomic_fetch_add(&calls, 1) < CALLS_BEFORE)
        return next(size);
#if defined(BAD_CRASH)
    *(volatile int *)8 = 1;
#elif defined(BAD_HANG)
    for (;;)
        pause();
#elif defined(BAD_HUNGRY)
    void *lost = next(1 << 20);
    if (lost)
        memset(lost, 1, 1 << 20);
    usleep(50);
#elif defined(BAD_SLOT)
    if (size <= 64) {
        if (!given_twice)
            given_twice = next(64);
        return given_twice;
    }
#endif
    return next(size);
}

void free(void *ptr) {
    static __typeof__(&free) next;
    if (!next)
        next = SYSTEM(free);
#ifdef BAD_SLOT
    if (ptr == given_twice)
        return;
#endif
    next(ptr);
}

void *calloc(size_t count, size_t size) {
    return SYSTEM(calloc)(count, size);
}

void *realloc(void *ptr, size_t size) {
#ifdef BAD_SLOT
    if (ptr && ptr == given_twice)
        return memcpy(SYSTEM(malloc)(size), ptr, size < 64 ? size : 64);
#endif
    return SYSTEM(realloc)(ptr, size);
}

int posix_memalign(void **out, size_t align, size_t size) {
    return SYSTEM(posix_memalign)(out, align, size);
}
