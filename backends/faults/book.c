/* The book of what was really given. Open addressing, keyed by the pointer handed out; a lock, since
 * speed is no matter here. */
#include "faults_private.h"

#include <pthread.h>
#include <sys/mman.h>

enum { BOOK_ENTRIES = 1 << 21 };
#define TOMBSTONE ((void *)1)
static struct hg__book_entry *book;
static pthread_mutex_t book_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t book_hash(const void *given) {
    return (size_t)(((uintptr_t)given >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 32) % BOOK_ENTRIES;
}

void hg__book_add(void *given, void *real, hg_layout layout, size_t size) {
    pthread_mutex_lock(&book_lock);
    size_t at = book_hash(given);
    while (book[at].given && book[at].given != TOMBSTONE)
        at = (at + 1) % BOOK_ENTRIES;
    book[at] = (struct hg__book_entry){given, real, layout, size};
    pthread_mutex_unlock(&book_lock);
}

/* A run that ends in tombstones ends before them: the book never fills up with those. */
static void strike(size_t at) {
    book[at].given = TOMBSTONE;
    if (book[(at + 1) % BOOK_ENTRIES].given)
        return;
    for (; book[at].given == TOMBSTONE; at = (at + BOOK_ENTRIES - 1) % BOOK_ENTRIES)
        book[at].given = NULL;
}

/* Takes the entry of `given` out. False iff it is not in the book. */
bool hg__book_take(void *given, struct hg__book_entry *out) {
    bool found = false;
    pthread_mutex_lock(&book_lock);
    for (size_t at = book_hash(given); book[at].given; at = (at + 1) % BOOK_ENTRIES) {
        if (book[at].given != given)
            continue;
        *out = book[at];
        strike(at);
        found = true;
        break;
    }
    pthread_mutex_unlock(&book_lock);
    return found;
}

bool hg__book_look(void *given, struct hg__book_entry *out) {
    if (!hg__book_take(given, out))
        return false;
    hg__book_add(out->given, out->real, out->layout, out->size);
    return true;
}

void hg__booked_free(void *ptr) {
    struct hg__book_entry entry;
    hg__inner->libc.free(ptr && hg__book_take(ptr, &entry) ? entry.real : ptr);
}

static size_t booked_usable_size(void *ptr) {
    struct hg__book_entry entry;
    if (ptr && hg__book_look(ptr, &entry))
        return entry.size;
    return hg__inner->libc.malloc_usable_size(ptr);
}

void *hg__booked_realloc(void *ptr, size_t size) {
    struct hg__book_entry entry;
    if (!ptr || !hg__book_look(ptr, &entry))
        return hg__inner->libc.realloc(ptr, size);
    void *moved = size ? hg__inner->libc.malloc(size) : NULL;
    if (size && !moved)
        return NULL;
    if (moved)
        memcpy(moved, ptr, entry.size < size ? entry.size : size);
    hg__booked_free(ptr);
    return moved;
}

static void *booked_reallocarray(void *ptr, size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product)) {
        errno = ENOMEM;
        return NULL;
    }
    return hg__booked_realloc(ptr, product);
}

static void booked_free_sized(void *ptr, size_t size) {
    (void)size;
    hg__booked_free(ptr);
}

static void booked_free_aligned_sized(void *ptr, size_t align, size_t size) {
    (void)align;
    (void)size;
    hg__booked_free(ptr);
}

void hg__booked_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    struct hg__book_entry entry;
    if (hg__book_take(ptr, &entry))
        hg__inner->layout.dealloc(hg__inner, entry.real, entry.layout);
    else
        hg__inner->layout.dealloc(hg__inner, ptr, layout);
}

void *hg__booked_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                size_t new_size) {
    struct hg__book_entry entry;
    if (!hg__book_look(ptr, &entry))
        return hg__inner->layout.realloc(hg__inner, ptr, layout, new_size);
    void *moved = self->layout.alloc(self, (hg_layout){new_size, layout.align});
    if (!moved)
        return NULL;
    memcpy(moved, ptr, layout.size < new_size ? layout.size : new_size);
    hg__booked_dealloc(self, ptr, layout);
    return moved;
}

bool hg__keep_book(hg_backend *backend) {
    book = mmap(NULL, BOOK_ENTRIES * sizeof *book, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (book == MAP_FAILED)
        return false;
    backend->libc.free = hg__booked_free;
    backend->libc.realloc = hg__booked_realloc;
    backend->libc.reallocarray = booked_reallocarray;
    backend->libc.malloc_usable_size = booked_usable_size;
    backend->libc.free_sized = booked_free_sized;
    backend->libc.free_aligned_sized = booked_free_aligned_sized;
    backend->layout.realloc = hg__booked_layout_realloc;
    backend->layout.dealloc = hg__booked_dealloc;
    return true;
}

/* Routes every aligned entry point of the libc face to one function. */
static void *(*aligned_by_fault)(size_t align, size_t size);

static int fault_posix_memalign(void **out, size_t align, size_t size) {
    if (align % sizeof(void *) != 0 || (align & (align - 1)) != 0 || align == 0)
        return EINVAL;
    void *ptr = aligned_by_fault(align, size);
    if (!ptr)
        return ENOMEM;
    *out = ptr;
    return 0;
}

void hg__install_aligned(hg_backend *backend, void *(*function)(size_t align, size_t size)) {
    aligned_by_fault = function;
    backend->libc.aligned_alloc = function;
    backend->libc.memalign = function;
    backend->libc.posix_memalign = fault_posix_memalign;
}

void *hg__booked_malloc(size_t size) {
    void *ptr = hg__inner->libc.malloc(size);
    if (ptr)
        hg__book_add(ptr, ptr, (hg_layout){size ? size : 1, 1}, size);
    return ptr;
}
