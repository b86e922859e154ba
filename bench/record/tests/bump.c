/* A malloc that never frees and bears being interrupted anywhere: to test the recorder under
 * signals. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static char *_Atomic base;
static _Atomic size_t used;
static const size_t capacity = (size_t)8 << 30;

void *malloc(size_t size) {
    if (!base) {
        char *const memory = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        char *expected = NULL;
        if (memory != MAP_FAILED &&
            !__atomic_compare_exchange_n((char **)&base, &expected, memory, 0, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST))
            munmap(memory, capacity);
    }
    const size_t at =
        __atomic_fetch_add((size_t *)&used, (size + 31) & ~(size_t)15, __ATOMIC_SEQ_CST);
    if (at > capacity || size > capacity - at - 32) {
        errno = ENOMEM;
        return NULL;
    }
    *(size_t *)(void *)(base + at) = size;
    return base + at + 16;
}

void free(void *block) {
    (void)block;
}

void *calloc(size_t count, size_t size) {
    return malloc(count * size);
}

void *realloc(void *old, size_t size) {
    void *const block = malloc(size);
    if (block && old) {
        const size_t before = *(size_t *)(void *)((char *)old - 16);
        memcpy(block, old, before < size ? before : size);
    }
    return block;
}

size_t malloc_usable_size(void *block);
size_t malloc_usable_size(void *block) {
    return block ? *(size_t *)(void *)((char *)block - 16) : 0;
}
