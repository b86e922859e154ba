/* A small malloc library with one bug, as a user might have it: aligned_alloc(A, S) of A >= 128 rounds up
 * to 64 only, where the block before was freed. A bump allocator over one mapping, with a free list of
 * blocks of 256 bytes. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *ptr, size_t size);
void free(void *ptr);
void *aligned_alloc(size_t align, size_t size);
int posix_memalign(void **out, size_t align, size_t size);
size_t malloc_usable_size(void *ptr);

enum { HEADER = 16 };
static const size_t ARENA_BYTES = (size_t)64 << 30;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *arena, *next;
static void *spare[32]; /* by log2 of the size */
static int frees;

static unsigned class_of(size_t size) {
    return size <= 16 ? 4 : 64 - (unsigned)__builtin_clzll(size - 1);
}

static void *carve(size_t align, size_t size) {
    if (size > (size_t)1 << 30 || align > (size_t)1 << 30) {
        errno = ENOMEM;
        return NULL;
    }
    unsigned class = class_of(size);
    size_t real = (size_t)1 << class;
    pthread_mutex_lock(&lock);
    if (!arena)
        arena = next = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *ptr = align <= 16 ? spare[class] : NULL;
    if (ptr) {
        memcpy(&spare[class], ptr, sizeof(void *));
    } else {
        size_t granted = align >= 128 && frees > 0 ? 64 : align; /* the bug */
        uintptr_t at = ((uintptr_t)next + HEADER + granted - 1) & ~(uintptr_t)(granted - 1);
        if (granted != align && (at & (align - 1)) == 0)
            at += granted;
        ptr = (char *)at;
        next = ptr + real;
        memcpy(ptr - HEADER, &real, sizeof real);
    }
    pthread_mutex_unlock(&lock);
    return ptr;
}

void *malloc(size_t size) {
    return carve(16, size);
}

size_t malloc_usable_size(void *ptr) {
    size_t real = 0;
    if (ptr)
        memcpy(&real, (char *)ptr - HEADER, sizeof real);
    return real;
}

void free(void *ptr) {
    if (!ptr)
        return;
    unsigned class = class_of(malloc_usable_size(ptr));
    pthread_mutex_lock(&lock);
    memcpy(ptr, &spare[class], sizeof(void *));
    spare[class] = ptr;
    frees++;
    pthread_mutex_unlock(&lock);
}

void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *ptr = carve(16, bytes);
    return ptr ? memset(ptr, 0, bytes) : NULL;
}

void *realloc(void *ptr, size_t size) {
    void *moved = carve(16, size);
    if (ptr && moved) {
        size_t old = malloc_usable_size(ptr);
        memcpy(moved, ptr, old < size ? old : size);
        free(ptr);
    }
    return moved;
}

void *aligned_alloc(size_t align, size_t size) {
    if (!align || (align & (align - 1))) {
        errno = EINVAL;
        return NULL;
    }
    return carve(align < 16 ? 16 : align, size);
}

int posix_memalign(void **out, size_t align, size_t size) {
    if (!align || (align & (align - 1)) || align % sizeof(void *))
        return EINVAL;
    void *ptr = carve(align < 16 ? 16 : align, size);
    if (!ptr)
        return ENOMEM;
    *out = ptr;
    return 0;
}
