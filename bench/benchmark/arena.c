/* The library's memory: chunks from mmap, cut from the front, so that malloc's state is the
 * benchmark's own. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK_SIZE = 256 << 10, ALIGNMENT = 16 };

typedef struct chunk {
    struct chunk *next;
    size_t size, used; /* the header counts as used */
} chunk;

typedef struct arena {
    chunk *chunks; /* the newest first */
} arena;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static arena permanent, scratch;

static chunk *new_chunk(size_t payload) {
    size_t needed = payload + sizeof(chunk) + ALIGNMENT;
    size_t size = needed > CHUNK_SIZE ? needed : CHUNK_SIZE;
    chunk *fresh = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED)
        hg__misuse("heapgauge benchmark", "the system has no memory left for the library's tables");
    fresh->size = size;
    fresh->used = (sizeof(chunk) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return fresh;
}

static void *take(arena *from, size_t size) {
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    pthread_mutex_lock(&lock);
    if (!from->chunks || from->chunks->size - from->chunks->used < size) {
        chunk *fresh = new_chunk(size);
        fresh->next = from->chunks;
        from->chunks = fresh;
    }
    void *result = (char *)from->chunks + from->chunks->used;
    from->chunks->used += size;
    pthread_mutex_unlock(&lock);
    return result;
}

void *hg__alloc(size_t size) {
    return take(&permanent, size);
}

void *hg__scratch_alloc(size_t size) {
    return take(&scratch, size);
}

void hg__scratch_reset(void) {
    while (scratch.chunks && scratch.chunks->next) {
        chunk *gone = scratch.chunks;
        scratch.chunks = gone->next;
        munmap(gone, gone->size);
    }
    chunk *kept = scratch.chunks;
    if (!kept)
        return;
    size_t start = (sizeof(chunk) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memset((char *)kept + start, 0, kept->used - start);
    kept->used = start;
}

char *hg__strdup(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(hg__alloc(size), text, size);
}

char *hg__vtextf(const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *text = hg__alloc((size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

char *hg__textf(const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = hg__vtextf(format, args);
    va_end(args);
    return text;
}

void *hg__grow(void *items, size_t count, size_t *capacity, size_t item_size) {
    if (count < *capacity)
        return items;
    *capacity = *capacity ? 2 * *capacity : 8;
    void *larger = hg__alloc(*capacity * item_size);
    if (count > 0)
        memcpy(larger, items, count * item_size);
    return larger;
}

_Noreturn void hg__misuse(const char *where, const char *what) {
    const char *parts[] = {where, ": ", what, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        ssize_t ignored = write(STDERR_FILENO, parts[i], strlen(parts[i]));
        (void)ignored;
    }
    abort();
}

void hg__complain(const char *format, ...) {
    hg_sink err;
    hg_sink_init_fd(&err, STDERR_FILENO);
    hg_sink_puts(&err, hg__executable);
    hg_sink_puts(&err, ": error: ");
    va_list args;
    va_start(args, format);
    hg_sink_puts(&err, hg__vtextf(format, args));
    va_end(args);
    hg_sink_putc(&err, '\n');
    hg_sink_flush(&err);
}
