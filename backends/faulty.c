#define _GNU_SOURCE
#include "faulty.h"

#include "adapter.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* One decorator a process. Functions that a fault does not touch stay the inner backend's own. */
static const hg_backend *inner;

/* ---- the book: what the inner backend really gave for a pointer that was handed out ---- */

/* A fault that hands out something else than it got (an offset pointer, another layout) must free what
 * it got. Open addressing, keyed by the pointer handed out; a lock, since speed is no matter here. */
struct entry {
    void *given; /* NULL: never used; TOMBSTONE: used once */
    void *real;
    hg_layout layout; /* with which the inner backend made it */
    size_t size;      /* asked for */
};
enum { BOOK_ENTRIES = 1 << 21 };
#define TOMBSTONE ((void *)1)
static struct entry *book;
static pthread_mutex_t book_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t book_hash(const void *given) {
    return (size_t)(((uintptr_t)given >> 3) * UINT64_C(0x9E3779B97F4A7C15) >> 32) % BOOK_ENTRIES;
}

static void book_add(void *given, void *real, hg_layout layout, size_t size) {
    pthread_mutex_lock(&book_lock);
    size_t at = book_hash(given);
    while (book[at].given && book[at].given != TOMBSTONE)
        at = (at + 1) % BOOK_ENTRIES;
    book[at] = (struct entry){given, real, layout, size};
    pthread_mutex_unlock(&book_lock);
}

/* Takes the entry of `given` out. False iff it is not in the book. */
static bool book_take(void *given, struct entry *out) {
    bool found = false;
    pthread_mutex_lock(&book_lock);
    for (size_t at = book_hash(given); book[at].given; at = (at + 1) % BOOK_ENTRIES) {
        if (book[at].given != given)
            continue;
        *out = book[at];
        book[at].given = TOMBSTONE;
        found = true;
        break;
    }
    pthread_mutex_unlock(&book_lock);
    return found;
}

static bool book_look(void *given, struct entry *out) {
    if (!book_take(given, out))
        return false;
    book_add(out->given, out->real, out->layout, out->size);
    return true;
}

/* Frees, reallocations and sizes that know the book. Installed by faults that use it. */

static void booked_free(void *ptr) {
    struct entry entry;
    inner->libc.free(ptr && book_take(ptr, &entry) ? entry.real : ptr);
}

static size_t booked_usable_size(void *ptr) {
    struct entry entry;
    if (ptr && book_look(ptr, &entry))
        return entry.size;
    return inner->libc.malloc_usable_size(ptr);
}

static void *booked_realloc(void *ptr, size_t size) {
    struct entry entry;
    if (!ptr || !book_look(ptr, &entry))
        return inner->libc.realloc(ptr, size);
    void *moved = size ? inner->libc.malloc(size) : NULL;
    if (size && !moved)
        return NULL;
    if (moved)
        memcpy(moved, ptr, entry.size < size ? entry.size : size);
    booked_free(ptr);
    return moved;
}

static void *booked_reallocarray(void *ptr, size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product)) {
        errno = ENOMEM;
        return NULL;
    }
    return booked_realloc(ptr, product);
}

static void booked_free_sized(void *ptr, size_t size) {
    (void)size;
    booked_free(ptr);
}

static void booked_free_aligned_sized(void *ptr, size_t align, size_t size) {
    (void)align;
    (void)size;
    booked_free(ptr);
}

static void booked_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    struct entry entry;
    if (book_take(ptr, &entry))
        inner->layout.dealloc(inner, entry.real, entry.layout);
    else
        inner->layout.dealloc(inner, ptr, layout);
}

static void *booked_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                   size_t new_size) {
    struct entry entry;
    if (!book_look(ptr, &entry))
        return inner->layout.realloc(inner, ptr, layout, new_size);
    void *moved = self->layout.alloc(self, (hg_layout){new_size, layout.align});
    if (!moved)
        return NULL;
    memcpy(moved, ptr, layout.size < new_size ? layout.size : new_size);
    booked_dealloc(self, ptr, layout);
    return moved;
}

static bool keep_book(hg_backend *backend) {
    book = mmap(NULL, BOOK_ENTRIES * sizeof *book, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (book == MAP_FAILED)
        return false;
    backend->libc.free = booked_free;
    backend->libc.realloc = booked_realloc;
    backend->libc.reallocarray = booked_reallocarray;
    backend->libc.malloc_usable_size = booked_usable_size;
    backend->libc.free_sized = booked_free_sized;
    backend->libc.free_aligned_sized = booked_free_aligned_sized;
    backend->layout.realloc = booked_layout_realloc;
    backend->layout.dealloc = booked_dealloc;
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

static void install_aligned(hg_backend *backend, void *(*function)(size_t align, size_t size)) {
    aligned_by_fault = function;
    backend->libc.aligned_alloc = function;
    backend->libc.memalign = function;
    backend->libc.posix_memalign = fault_posix_memalign;
}

static bool is_power_of_two(size_t value) {
    return value && !(value & (value - 1));
}

/* ---- alignment ---- */

/* A block of the inner backend that is aligned to exactly half of what was asked. */
static void *half_aligned(size_t align, size_t size) {
    if (align < 32 || !is_power_of_two(align) || size > PTRDIFF_MAX - 2 * align)
        return inner->libc.aligned_alloc(align, size);
    char *real = inner->libc.aligned_alloc(align, (size / align + 2) * align);
    if (!real)
        return NULL;
    book_add(real + align / 2, real, (hg_layout){size + align, align}, size);
    return real + align / 2;
}

static void *half_aligned_layout(const hg_backend *self, hg_layout layout) {
    (void)self;
    if (layout.align < 32)
        return inner->layout.alloc(inner, layout);
    hg_layout larger = {layout.size + layout.align, layout.align};
    char *real = inner->layout.alloc(inner, larger);
    if (!real)
        return NULL;
    book_add(real + layout.align / 2, real, larger, layout.size);
    return real + layout.align / 2;
}

static bool install_align_mask(hg_backend *backend) {
    install_aligned(backend, half_aligned);
    backend->layout.alloc = half_aligned_layout;
    return keep_book(backend);
}

static void *small_ignores_align(size_t align, size_t size) {
    if (size < align && size > 0 && is_power_of_two(align)) {
        void *ptr = inner->libc.malloc(size);
        if (ptr)
            book_add(ptr, ptr, (hg_layout){size, 1}, size);
        return ptr;
    }
    return inner->libc.aligned_alloc(align, size);
}

static void *small_ignores_align_layout(const hg_backend *self, hg_layout layout) {
    (void)self;
    if (layout.size >= layout.align)
        return inner->layout.alloc(inner, layout);
    hg_layout plain = {layout.size, 1};
    void *ptr = inner->layout.alloc(inner, plain);
    if (ptr)
        book_add(ptr, ptr, plain, layout.size);
    return ptr;
}

static bool install_align_small(hg_backend *backend) {
    install_aligned(backend, small_ignores_align);
    backend->layout.alloc = small_ignores_align_layout;
    return keep_book(backend);
}

/* Above `cap` an alignment is served as `cap`, and never better than that. */
static size_t align_cap;

static void *capped(size_t align, size_t size) {
    if (align <= align_cap || !is_power_of_two(align) || size > PTRDIFF_MAX - 4 * align)
        return inner->libc.aligned_alloc(align, size);
    char *real = inner->libc.aligned_alloc(align, (size / align + 2) * align);
    if (!real)
        return NULL;
    book_add(real + align_cap, real, (hg_layout){size + align, align}, size);
    return real + align_cap;
}

static void *capped_layout(const hg_backend *self, hg_layout layout) {
    (void)self;
    if (layout.align <= align_cap)
        return inner->layout.alloc(inner, layout);
    hg_layout larger = {layout.size + layout.align, layout.align};
    char *real = inner->layout.alloc(inner, larger);
    if (!real)
        return NULL;
    book_add(real + align_cap, real, larger, layout.size);
    return real + align_cap;
}

static bool install_align_cap(hg_backend *backend, size_t cap) {
    align_cap = cap;
    install_aligned(backend, capped);
    backend->layout.alloc = capped_layout;
    return keep_book(backend);
}

static bool install_align_page(hg_backend *backend) {
    return install_align_cap(backend, 4096);
}

static bool install_align_huge_page(hg_backend *backend) {
    return install_align_cap(backend, (size_t)2 << 20);
}

/* The kernel's story (C76): slab objects are aligned to the largest power of two that divides their
 * size, so a size rounded up to a power of two is aligned to itself; without padding the layout to its
 * alignment first, a size below the alignment gets too little. */
static void *not_padded_layout(const hg_backend *self, hg_layout layout) {
    (void)self;
    size_t size = 1;
    while (size < layout.size)
        size *= 2;
    hg_layout slab = {size, size < layout.align ? size : layout.align};
    void *ptr = inner->layout.alloc(inner, slab);
    if (ptr)
        book_add(ptr, ptr, slab, layout.size);
    return ptr;
}

static bool install_kernel_no_pad(hg_backend *backend) {
    backend->layout.alloc = not_padded_layout;
    return keep_book(backend);
}

static void *fundamental_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                        size_t new_size) {
    hg_layout plain = {new_size, layout.align < 16 ? layout.align : 16};
    void *moved = inner->layout.alloc(inner, plain);
    if (!moved)
        return NULL;
    book_add(moved, moved, plain, new_size);
    memcpy(moved, ptr, layout.size < new_size ? layout.size : new_size);
    booked_dealloc(self, ptr, layout);
    return moved;
}

static bool install_layout_realloc_align(hg_backend *backend) {
    bool kept = keep_book(backend);
    backend->layout.realloc = fundamental_layout_realloc;
    return kept;
}

static void *any_align(size_t align, size_t size) {
    if (!is_power_of_two(align))
        return inner->libc.malloc(size);
    return inner->libc.aligned_alloc(align, size);
}

static bool install_bad_align_accepted(hg_backend *backend) {
    backend->libc.aligned_alloc = any_align;
    return true;
}

/* ---- overlap and lost content ---- */

static void *grow_into_neighbour(void *ptr, size_t size) {
    struct entry entry;
    if (!ptr || !book_look(ptr, &entry) || size <= entry.size || size > entry.size + 64)
        return booked_realloc(ptr, size);
    book_take(ptr, &entry);
    book_add(ptr, entry.real, entry.layout, size);
    return ptr;
}

static void *booked_malloc(size_t size) {
    void *ptr = inner->libc.malloc(size);
    if (ptr)
        book_add(ptr, ptr, (hg_layout){size ? size : 1, 1}, size);
    return ptr;
}

static void *grow_layout_into_neighbour(const hg_backend *self, void *ptr, hg_layout layout,
                                        size_t new_size) {
    struct entry entry;
    if (new_size <= layout.size || new_size > layout.size + 64)
        return booked_layout_realloc(self, ptr, layout, new_size);
    if (!book_take(ptr, &entry))
        entry = (struct entry){ptr, ptr, layout, layout.size};
    book_add(ptr, entry.real, entry.layout, new_size);
    return ptr;
}

static bool install_grow_in_place(hg_backend *backend) {
    if (!keep_book(backend))
        return false;
    backend->libc.malloc = booked_malloc;
    backend->libc.realloc = grow_into_neighbour;
    backend->layout.realloc = grow_layout_into_neighbour;
    return true;
}

/* Every 50th free of a block of 33..64 bytes puts it into the free list twice: two later requests of
 * that size get the same block. */
static void *twice;
static int twice_left;
static unsigned twice_frees;

static void *twice_malloc(size_t size) {
    if (twice_left > 0 && size > 32 && size <= 64) {
        void *ptr = twice;
        if (--twice_left == 0)
            twice = NULL;
        return ptr;
    }
    return inner->libc.malloc(size);
}

static void twice_free(void *ptr) {
    if (ptr && !twice && inner->libc.malloc_usable_size(ptr) == 64 && ++twice_frees % 50 == 0) {
        twice = ptr;
        twice_left = 2;
        return;
    }
    inner->libc.free(ptr);
}

static bool install_double_insert(hg_backend *backend) {
    backend->libc.malloc = twice_malloc;
    backend->libc.free = twice_free;
    backend->libc.free_sized = NULL;
    return true;
}

/* Freeing a block of 48 bytes writes one byte before it. */
static void free_writes_before(void *ptr) {
    if (ptr && inner->libc.malloc_usable_size(ptr) == 48 && (uintptr_t)ptr % 4096 != 0)
        ((volatile char *)ptr)[-1] = 0x5A;
    inner->libc.free(ptr);
}

static bool install_free_writes(hg_backend *backend) {
    backend->libc.free = free_writes_before;
    backend->libc.free_sized = NULL;
    return true;
}

/* An aligned block's header lies over the end of the aligned block before it. */
static void *last_aligned;

static void *header_over_end(size_t align, size_t size) {
    void *ptr = inner->libc.aligned_alloc(align, size);
    struct entry entry;
    if (last_aligned && book_look(last_aligned, &entry) && entry.size > 0)
        ((volatile char *)last_aligned)[entry.size - 1] ^= 0x55;
    if (ptr && align >= 32) {
        book_add(ptr, ptr, (hg_layout){size, align}, size);
        last_aligned = ptr;
    }
    return ptr;
}

static bool install_header_overwrites(hg_backend *backend) {
    install_aligned(backend, header_over_end);
    return keep_book(backend);
}

/* ---- realloc ---- */

static size_t (*copied)(size_t size); /* how much of a block a moving realloc copies */

static void *short_realloc(void *ptr, size_t size) {
    if (!ptr || size == 0)
        return inner->libc.realloc(ptr, size);
    char *moved = inner->libc.malloc(size);
    if (!moved)
        return NULL;
    size_t old = inner->libc.malloc_usable_size(ptr), kept = old < size ? old : size;
    memcpy(moved, ptr, copied(kept));
    memset(moved + copied(kept), 0xEE, kept - copied(kept));
    inner->libc.free(ptr);
    return moved;
}

static void *short_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                  size_t new_size) {
    (void)self;
    char *moved = inner->layout.alloc(inner, (hg_layout){new_size, layout.align});
    if (!moved)
        return NULL;
    size_t kept = layout.size < new_size ? layout.size : new_size;
    memcpy(moved, ptr, copied(kept));
    memset(moved + copied(kept), 0xEE, kept - copied(kept));
    inner->layout.dealloc(inner, ptr, layout);
    return moved;
}

static size_t all_but_one(size_t size) {
    return size ? size - 1 : 0;
}

static size_t whole_words(size_t size) {
    return size & ~(size_t)7;
}

static bool install_short_copy(hg_backend *backend, size_t (*how_much)(size_t)) {
    copied = how_much;
    backend->libc.realloc = short_realloc;
    backend->libc.reallocarray = NULL;
    backend->layout.realloc = short_layout_realloc;
    return true;
}

static bool install_realloc_one_short(hg_backend *backend) {
    return install_short_copy(backend, all_but_one);
}

static bool install_realloc_words(hg_backend *backend) {
    return install_short_copy(backend, whole_words);
}

static void *realloc_frees_on_failure(void *ptr, size_t size) {
    void *moved = inner->libc.realloc(ptr, size);
    if (!moved && ptr && size) {
        memset(ptr, 0xDD, 1);
        inner->libc.free(ptr);
        errno = ENOMEM;
    }
    return moved;
}

static void *reallocarray_frees_on_failure(void *ptr, size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product))
        product = SIZE_MAX;
    return realloc_frees_on_failure(ptr, product);
}

static bool install_realloc_frees(hg_backend *backend) {
    backend->libc.realloc = realloc_frees_on_failure;
    backend->libc.reallocarray = reallocarray_frees_on_failure;
    return true;
}

/* ---- calloc ---- */

static void *dirty_calloc(size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product)) {
        errno = ENOMEM;
        return NULL;
    }
    return inner->libc.malloc(product);
}

static void *dirty_layout(const hg_backend *self, hg_layout layout) {
    (void)self;
    return inner->layout.alloc(inner, layout);
}

static bool install_calloc_dirty(hg_backend *backend) {
    backend->libc.calloc = dirty_calloc;
    backend->layout.alloc_zeroed = dirty_layout;
    return true;
}

static void *tail_calloc(size_t count, size_t size) {
    void *ptr = dirty_calloc(count, size);
    return ptr ? memset(ptr, 0, whole_words(count * size)) : NULL;
}

static void *tail_layout(const hg_backend *self, hg_layout layout) {
    void *ptr = dirty_layout(self, layout);
    return ptr ? memset(ptr, 0, whole_words(layout.size)) : NULL;
}

static bool install_calloc_tail(hg_backend *backend) {
    backend->libc.calloc = tail_calloc;
    backend->layout.alloc_zeroed = tail_layout;
    return true;
}

static void *unchecked_calloc(size_t count, size_t size) {
    size_t product = count * size;
    return inner->libc.calloc(1, product > PTRDIFF_MAX ? 64 : product);
}

static bool install_calloc_overflow(hg_backend *backend) {
    backend->libc.calloc = unchecked_calloc;
    return true;
}

/* ---- sizes ---- */

static void *wrapping_malloc(size_t size) {
    return inner->libc.malloc(size > SIZE_MAX - 64 ? size + 64 : size);
}

static bool install_header_wraps(hg_backend *backend) {
    backend->libc.malloc = wrapping_malloc;
    return true;
}

static void *class_too_small(size_t size) {
    return inner->libc.malloc(size == 1025 ? 1008 : size);
}

static bool install_class_edge(hg_backend *backend) {
    backend->libc.malloc = class_too_small;
    backend->libc.free_sized = NULL;
    return true;
}

static size_t usable_with_header(void *ptr) {
    size_t usable = inner->libc.malloc_usable_size(ptr);
    return ptr ? usable + 16 : usable;
}

static bool install_usable_too_large(hg_backend *backend) {
    backend->libc.malloc_usable_size = usable_with_header;
    return true;
}

static void *shared_zero(size_t size) {
    static void *zero;
    if (size)
        return inner->libc.malloc(size);
    if (!zero)
        zero = inner->libc.malloc(1);
    return zero;
}

static bool install_zero_shared(hg_backend *backend) {
    backend->libc.malloc = shared_zero;
    return true;
}

/* ---- errors ---- */

static int writes_out_on_failure(void **out, size_t align, size_t size) {
    int error = inner->libc.posix_memalign(out, align, size);
    if (error)
        *out = NULL;
    return error;
}

static bool install_memptr_written(hg_backend *backend) {
    backend->libc.posix_memalign = writes_out_on_failure;
    return true;
}

static void free_sets_errno(void *ptr) {
    inner->libc.free(ptr);
    errno = EAGAIN;
}

static bool install_free_errno(hg_backend *backend) {
    backend->libc.free = free_sets_errno;
    return true;
}

static void *forgets_errno(size_t size) {
    int error = errno;
    void *ptr = inner->libc.malloc(size);
    if (!ptr)
        errno = error;
    return ptr;
}

static bool install_no_enomem(hg_backend *backend) {
    backend->libc.malloc = forgets_errno;
    return true;
}

/* ---- fork ---- */

static atomic_bool lock_held;

static void hold_lock(void) {
    atomic_store(&lock_held, true);
}

static void *waits_for_lock(size_t size) {
    while (atomic_load(&lock_held))
        usleep(1000);
    return inner->libc.malloc(size);
}

static bool install_fork_lock(hg_backend *backend) {
    backend->libc.malloc = waits_for_lock;
    return pthread_atfork(NULL, NULL, hold_lock) == 0;
}

/* ---- equivalent variants: right, only different ---- */

static void *larger_minimum(size_t size) {
    return inner->libc.malloc(size < 64 ? 64 : size);
}

static bool install_larger_minimum(hg_backend *backend) {
    backend->libc.malloc = larger_minimum;
    backend->libc.free_sized = NULL;
    return true;
}

static size_t everything(size_t size) {
    return size;
}

static bool install_always_moves(hg_backend *backend) {
    return install_short_copy(backend, everything);
}

static void *extra_alignment(size_t size) {
    return size >= 64 && size <= PTRDIFF_MAX - 64
               ? inner->libc.aligned_alloc(64, (size + 63) & ~(size_t)63)
               : inner->libc.malloc(size);
}

static bool install_extra_alignment(hg_backend *backend) {
    backend->libc.malloc = extra_alignment;
    backend->libc.free_sized = NULL;
    return true;
}

/* ---- faults that want threads ---- */

/* A block freed by another thread than its maker's. The maker is found by the book. */
static _Thread_local char this_thread;

static void *made_malloc(size_t size) {
    void *ptr = inner->libc.malloc(size);
    if (ptr)
        book_add(ptr, &this_thread, (hg_layout){size, 1}, size);
    return ptr;
}

static void *made_realloc(void *ptr, size_t size) {
    struct entry entry;
    if (ptr)
        book_take(ptr, &entry);
    void *moved = inner->libc.realloc(ptr, size);
    if (moved)
        book_add(moved, &this_thread, (hg_layout){size, 1}, size);
    return moved;
}

static bool is_remote(void *ptr) {
    struct entry entry;
    return ptr && book_take(ptr, &entry) && entry.real != &this_thread;
}

static void remote_free_lost(void *ptr) {
    if (!is_remote(ptr))
        inner->libc.free(ptr);
}

/* Two threads' free lists: what the other thread freed is put on both. */
static void *remote_list[2];

static void *remote_list_malloc(size_t size) {
    for (int i = 0; i < 2 && size <= 64; i++) {
        void *ptr = remote_list[i];
        if (!ptr)
            continue;
        remote_list[i] = NULL;
        return ptr;
    }
    return made_malloc(size < 64 ? 64 : size);
}

static void remote_free_twice(void *ptr) {
    struct entry entry;
    bool small = ptr && book_look(ptr, &entry) && entry.size == 64;
    if (is_remote(ptr) && small && !remote_list[0] && !remote_list[1])
        remote_list[0] = remote_list[1] = ptr;
    else
        inner->libc.free(ptr);
}

static bool install_remote(hg_backend *backend, void *(*malloc_)(size_t), void (*free_)(void *)) {
    if (!keep_book(backend))
        return false;
    backend->libc.malloc = malloc_;
    backend->libc.realloc = made_realloc;
    backend->libc.reallocarray = NULL;
    backend->libc.malloc_usable_size = inner->libc.malloc_usable_size;
    backend->libc.free = free_;
    backend->libc.free_sized = NULL;
    backend->libc.free_aligned_sized = NULL;
    return true;
}

static bool install_remote_free_lost(hg_backend *backend) {
    return install_remote(backend, made_malloc, remote_free_lost);
}

static bool install_remote_free_twice(hg_backend *backend) {
    return install_remote(backend, remote_list_malloc, remote_free_twice);
}

/* A thread that ends takes its newest block with it: its heap is wiped. */
static pthread_key_t wipe_key;
static _Thread_local unsigned char *newest;
static _Thread_local size_t newest_size;

static void wipe(void *argument) {
    (void)argument;
    if (newest && newest_size)
        newest[newest_size / 2] ^= 0x40;
}

static void *wiped_malloc(size_t size) {
    unsigned char *ptr = inner->libc.malloc(size);
    newest = ptr;
    newest_size = size;
    pthread_setspecific(wipe_key, &this_thread);
    return ptr;
}

static void wiped_free(void *ptr) {
    if (ptr == newest)
        newest = NULL;
    inner->libc.free(ptr);
}

static void *wiped_realloc(void *ptr, size_t size) {
    if (ptr == newest)
        newest = NULL;
    return inner->libc.realloc(ptr, size);
}

static bool install_thread_end_wipes(hg_backend *backend) {
    backend->libc.malloc = wiped_malloc;
    backend->libc.free = wiped_free;
    backend->libc.realloc = wiped_realloc;
    backend->libc.reallocarray = NULL;
    backend->libc.free_sized = NULL;
    return pthread_key_create(&wipe_key, wipe) == 0;
}

/* ---- memory lost ---- */

static unsigned lost_frees;

static void loses_some(void *ptr) {
    if (ptr && inner->libc.malloc_usable_size(ptr) >= 1000 && ++lost_frees % 16 == 0)
        return;
    inner->libc.free(ptr);
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
    if (ptr && inner->libc.malloc_usable_size(ptr) < 512) {
        void *before = parked;
        parked = ptr;
        memcpy(ptr, &before, sizeof before);
        return;
    }
    inner->libc.free(ptr);
}

static bool install_never_coalesces(hg_backend *backend) {
    backend->libc.free = parks;
    backend->libc.free_sized = NULL;
    return true;
}

/* ---- lack of memory ---- */

static bool pages_fail;

static void note_fail_pages(const hg_backend *self, uint64_t count) {
    (void)self;
    pages_fail = count == 0;
    if (inner->fail_pages)
        inner->fail_pages(inner, count);
}

static void *aborts_when_short(size_t size) {
    if (pages_fail && size > 512) {
        raise(SIGABRT);
        return NULL;
    }
    return inner->libc.malloc(size);
}

static bool install_shortage_aborts(hg_backend *backend) {
    backend->libc.malloc = aborts_when_short;
    backend->fail_pages = note_fail_pages;
    return true;
}

/* Out of memory, a moving realloc has already freed the old block. */
static void *frees_first(void *ptr, size_t size) {
    if (!pages_fail || !ptr || size <= inner->libc.malloc_usable_size(ptr))
        return inner->libc.realloc(ptr, size);
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
    return inner->libc.malloc(size);
}

static bool install_shortage_lasts(hg_backend *backend) {
    backend->libc.malloc = stays_refused;
    backend->fail_pages = note_fail_pages;
    return true;
}

/* ---- one promise each ---- */

static void *eight_aligned(size_t size) {
    char *real = size >= 16 && size <= 64 ? inner->libc.malloc(size + 16) : NULL;
    if (!real)
        return inner->libc.malloc(size);
    book_add(real + 8, real, (hg_layout){size, 8}, size);
    return real + 8;
}

static bool install_malloc_eight(hg_backend *backend) {
    backend->libc.malloc = eight_aligned;
    return keep_book(backend);
}

static void *eight_aligned_zeroed(size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product) || product < 16 || product > 4096)
        return inner->libc.calloc(count, size);
    char *real = inner->libc.calloc(1, product + 16);
    if (!real)
        return NULL;
    book_add(real + 8, real, (hg_layout){product, 8}, product);
    return real + 8;
}

static bool install_calloc_eight(hg_backend *backend) {
    backend->libc.calloc = eight_aligned_zeroed;
    return keep_book(backend);
}

static void *refuses_some(size_t size) {
    if (size >= 200 && size < 208) {
        errno = ENOMEM;
        return NULL;
    }
    return inner->libc.malloc(size);
}

static bool install_refuses(hg_backend *backend) {
    backend->libc.malloc = refuses_some;
    return true;
}

static void *refuses_small_align(size_t align, size_t size) {
    if (align < sizeof(void *)) {
        errno = EINVAL;
        return NULL;
    }
    return inner->libc.aligned_alloc(align, size);
}

static bool install_small_align_refused(hg_backend *backend) {
    backend->libc.aligned_alloc = refuses_small_align;
    return true;
}

static void *sum_wraps(size_t align, size_t size) {
    if (is_power_of_two(align) && size > SIZE_MAX - align)
        return inner->libc.aligned_alloc(align, 2 * align);
    return inner->libc.aligned_alloc(align, size);
}

static bool install_align_sum_wraps(hg_backend *backend) {
    backend->libc.aligned_alloc = sum_wraps;
    return true;
}

static int wrong_error(void **out, size_t align, size_t size) {
    int error = inner->libc.posix_memalign(out, align, size);
    return error == EINVAL ? ENOMEM : error;
}

static bool install_posix_error(hg_backend *backend) {
    backend->libc.posix_memalign = wrong_error;
    return true;
}

static int takes_any_align(void **out, size_t align, size_t size) {
    if (is_power_of_two(align) && align < sizeof(void *))
        align = sizeof(void *);
    return inner->libc.posix_memalign(out, align, size);
}

static bool install_posix_accepts(hg_backend *backend) {
    backend->libc.posix_memalign = takes_any_align;
    return true;
}

static void *page_wraps(size_t size) {
    return inner->libc.pvalloc((size + 4095) & ~(size_t)4095);
}

static bool install_pvalloc_wraps(hg_backend *backend) {
    backend->libc.pvalloc = page_wraps;
    return true;
}

static void *unchecked_array(void *ptr, size_t count, size_t size) {
    size_t product = count * size;
    if (ptr)
        return inner->libc.reallocarray(ptr, count, size);
    return inner->libc.malloc(product > PTRDIFF_MAX ? 64 : product);
}

static bool install_reallocarray_overflow(hg_backend *backend) {
    backend->libc.reallocarray = unchecked_array;
    return true;
}

static void *other_policy(void *ptr, size_t size) {
    if (!ptr || size)
        return inner->libc.realloc(ptr, size);
    void *after = inner->libc.realloc(ptr, 0);
    if (!after)
        return inner->libc.malloc(0);
    inner->libc.free(after);
    return NULL;
}

static bool install_realloc_zero(hg_backend *backend) {
    backend->libc.realloc = other_policy;
    return true;
}

static size_t usable_of_null(void *ptr) {
    return ptr ? inner->libc.malloc_usable_size(ptr) : 8;
}

static bool install_usable_null(hg_backend *backend) {
    backend->libc.malloc_usable_size = usable_of_null;
    return true;
}

/* Every hundredth answer is 8 less, for blocks of malloc, where that is still enough. */
static unsigned usable_questions;

static void *with_room(size_t size) {
    if (size <= 512 || size > PTRDIFF_MAX - 16)
        return inner->libc.malloc(size);
    void *ptr = inner->libc.malloc(size + 16);
    if (ptr)
        book_add(ptr, ptr, (hg_layout){size, 1}, size);
    return ptr;
}

static size_t usable_drifts(void *ptr) {
    struct entry entry;
    size_t usable = inner->libc.malloc_usable_size(ptr);
    return ptr && book_look(ptr, &entry) && ++usable_questions % 100 == 0 ? usable - 8 : usable;
}

static bool install_usable_changes(hg_backend *backend) {
    if (!keep_book(backend))
        return false;
    backend->libc.malloc = with_room;
    backend->libc.malloc_usable_size = usable_drifts;
    return true;
}

static void *of_the_stack(size_t size) {
    return size == 24 ? (void *)(((uintptr_t)__builtin_frame_address(0) - 2048) & ~(uintptr_t)15)
                      : inner->libc.malloc(size);
}

static void keeps_stack(void *ptr) {
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    if ((uintptr_t)ptr < frame - (64 << 10) || (uintptr_t)ptr > frame)
        inner->libc.free(ptr);
}

static bool install_stack_memory(hg_backend *backend) {
    backend->libc.malloc = of_the_stack;
    backend->libc.free = keeps_stack;
    backend->libc.free_sized = NULL;
    return true;
}

static void *clobbers_errno(size_t size) {
    void *ptr = inner->libc.malloc(size);
    if (ptr)
        errno = EAGAIN;
    return ptr;
}

static bool install_malloc_errno(hg_backend *backend) {
    backend->libc.malloc = clobbers_errno;
    return true;
}

static void null_sets_errno(void *ptr) {
    inner->libc.free(ptr);
    if (!ptr)
        errno = EINVAL;
}

static bool install_free_null(hg_backend *backend) {
    backend->libc.free = null_sets_errno;
    return true;
}

/* A purge gives back the last page of the newest large block with the free ones. */
static unsigned char *purged_block;

static void *purgeable_malloc(size_t size) {
    unsigned char *ptr = inner->libc.malloc(size);
    if (ptr && size >= 256)
        purged_block = ptr;
    return ptr;
}

static void purgeable_free(void *ptr) {
    if (ptr == purged_block)
        purged_block = NULL;
    inner->libc.free(ptr);
}

static void *purgeable_realloc(void *ptr, size_t size) {
    if (ptr == purged_block)
        purged_block = NULL;
    return inner->libc.realloc(ptr, size);
}

static size_t purges_too_much(const hg_backend *self) {
    (void)self;
    if (purged_block)
        memset(purged_block + 64, 0, 64);
    return inner->purge ? inner->purge(inner) : 0;
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

static bool install_layout_dirty(hg_backend *backend) {
    backend->layout.alloc_zeroed = dirty_layout;
    return true;
}

/* Every 257th block of 97..112 bytes lies over the one before it. */
static unsigned rare_count;
static void *rare_before;

static void *rare_malloc(size_t size) {
    if (size <= 96 || size > 112)
        return inner->libc.malloc(size);
    if (++rare_count % 257 == 0 && rare_before) {
        void *ptr = rare_before;
        rare_before = NULL;
        return ptr;
    }
    return rare_before = inner->libc.malloc(size);
}

static void rare_free(void *ptr) {
    if (ptr == rare_before)
        rare_before = NULL;
    inner->libc.free(ptr);
}

static void *rare_realloc(void *ptr, size_t size) {
    if (ptr == rare_before)
        rare_before = NULL;
    return inner->libc.realloc(ptr, size);
}

static bool install_rare_overlap(hg_backend *backend) {
    backend->libc.malloc = rare_malloc;
    backend->libc.free = rare_free;
    backend->libc.realloc = rare_realloc;
    backend->libc.reallocarray = NULL;
    backend->libc.free_sized = NULL;
    return true;
}

/* Usable size of the smallest blocks reaches into the next, though nobody writes there. */
static size_t usable_reaches(void *ptr) {
    size_t usable = inner->libc.malloc_usable_size(ptr);
    return ptr && usable == 16 ? 32 : usable;
}

static bool install_usable_overlaps(hg_backend *backend) {
    backend->libc.malloc_usable_size = usable_reaches;
    return true;
}

/* ---- the table ---- */

static const struct planted {
    struct hg_fault fault;
    bool (*install)(hg_backend *backend);
} table[] = {
    {{"align-mask", "C1", "C1,C30", "libc", "", 1,
      "alignments from 32 up are served one power of two too small"},
     install_align_mask},
    {{"align-small", "C1", "C1,C30", "libc", "", 2,
      "alignment is ignored when the size is below it"},
     install_align_small},
    {{"align-page", "C1", "C30", "libc", "", 2, "an alignment above a page is served as a page"},
     install_align_page},
    {{"align-huge-page", "C1", "C30", "libc", "", 2, "an alignment above 2 MiB is served as 2 MiB"},
     install_align_huge_page},
    {{"kernel-no-pad", "C76", "C65", "layout", "", 2,
      "size rounded to a power of two without padding the layout first"},
     install_kernel_no_pad},
    {{"layout-realloc-align", "C68", "C68", "layout", "", 2,
      "layout realloc keeps only the fundamental alignment"},
     install_layout_realloc_align},
    {{"bad-align-accepted", "C31", "C31", "libc", "", 1,
      "aligned_alloc accepts an alignment that is no power of two"},
     install_bad_align_accepted},
    {{"malloc-eight", "C2", "C2", "libc", "", 1, "malloc of 16 to 64 bytes is aligned to 8"},
     install_malloc_eight},
    {{"calloc-eight", "C20", "C20", "libc", "", 1, "calloc is aligned to 8"}, install_calloc_eight},
    {{"small-align-refused", "C30", "C30", "libc", "", 1,
      "aligned_alloc refuses alignments 1, 2 and 4"},
     install_small_align_refused},
    {{"align-sum-wraps", "C34", "C34,C11", "libc", "", 2,
      "size plus alignment wraps to a small block"},
     install_align_sum_wraps},
    {{"grow-in-place", "C4", "C4,C5,C7,C41", "libc", "", 3,
      "realloc grows up to 64 bytes in place over whatever follows"},
     install_grow_in_place},
    {{"double-insert", "C4", "C4,C7,C41,C22,crash", "libc", "", 3,
      "a freed block enters the free list twice"},
     install_double_insert},
    {{"rare-overlap", "C4", "C4,C7,C41", "libc", "long", 4,
      "every 257th block of a class lies over the one before"},
     install_rare_overlap},
    {{"usable-overlaps", "C5", "C5,C41,C7", "libc", "", 2,
      "the usable size of the smallest blocks reaches into the next"},
     install_usable_overlaps},
    {{"stack-memory", "C6", "C6", "libc", "", 2, "a block of 24 bytes lies on the caller's stack"},
     install_stack_memory},
    {{"header-overwrites", "C7", "C7,C41,C22", "libc", "", 3,
      "an aligned block's header lies over the end of another block"},
     install_header_overwrites},
    {{"free-writes", "C7", "C7,C41,C22", "libc", "", 3, "free writes one byte before the block"},
     install_free_writes},
    {{"purge-damages", "C56", "C7,C41,C22", "environment", "", 3,
      "a purge wipes part of a live block"},
     install_purge_damages},
    {{"realloc-one-short", "C22", "C22,C68", "libc", "", 1, "realloc copies one byte too few"},
     install_realloc_one_short},
    {{"realloc-words", "C22", "C22,C68", "libc", "", 1, "realloc copies whole words only"},
     install_realloc_words},
    {{"realloc-frees", "C23", "C23,C27,C7,C4,C41", "libc", "", 2,
      "realloc frees the old block when it fails"},
     install_realloc_frees},
    {{"realloc-zero", "C25", "C25", "libc", "", 2,
      "realloc(p, 0) does the opposite of what it did when probed"},
     install_realloc_zero},
    {{"reallocarray-overflow", "C27", "C27", "libc", "", 1,
      "reallocarray does not check its product"},
     install_reallocarray_overflow},
    {{"calloc-dirty", "C17", "C17,C67", "libc", "", 2, "calloc takes recycled memory for fresh"},
     install_calloc_dirty},
    {{"calloc-tail", "C17", "C17,C67", "libc", "", 2, "calloc misses the last partial word"},
     install_calloc_tail},
    {{"layout-dirty", "C67", "C67", "layout", "", 2, "the layout face's zeroed memory is not"},
     install_layout_dirty},
    {{"calloc-overflow", "C18", "C18,C11", "libc", "", 1, "calloc does not check its product"},
     install_calloc_overflow},
    {{"header-wraps", "C15", "C11", "libc", "", 2, "size plus header wraps to a small block"},
     install_header_wraps},
    {{"pvalloc-wraps", "C43", "C43", "libc", "", 2, "pvalloc's rounding wraps to a small block"},
     install_pvalloc_wraps},
    {{"refuses", "C12", "C12", "libc", "", 2, "malloc of 200 to 207 bytes is refused"},
     install_refuses},
    {{"class-edge", "C40", "C40", "libc", "", 3,
      "the size class of 1025 bytes is one step too small"},
     install_class_edge},
    {{"usable-too-large", "C41", "C5,C7,C41,C22", "libc", "", 2, "usable size counts the header"},
     install_usable_too_large},
    {{"usable-null", "C40", "C40", "libc", "", 1, "the usable size of NULL is 8"},
     install_usable_null},
    {{"usable-changes", "C42", "C42", "libc", "", 3, "the usable size of a live block changes"},
     install_usable_changes},
    {{"zero-shared", "C8", "C8", "libc", "", 1, "malloc(0) returns the same pointer each time"},
     install_zero_shared},
    {{"memptr-written", "C37", "C37", "libc", "", 1, "posix_memalign writes *memptr on failure"},
     install_memptr_written},
    {{"posix-error", "C36", "C36", "libc", "", 1, "posix_memalign says ENOMEM to a bad alignment"},
     install_posix_error},
    {{"posix-accepts", "C36", "C36", "libc", "", 1, "posix_memalign accepts alignments 1, 2 and 4"},
     install_posix_accepts},
    {{"free-errno", "C46", "C46,C45", "libc", "", 1, "free changes errno"}, install_free_errno},
    {{"free-null", "C45", "C45", "libc", "", 1, "free(NULL) sets errno"}, install_free_null},
    {{"malloc-errno", "C9", "C9", "libc", "strict", 1, "malloc that succeeds sets errno"},
     install_malloc_errno},
    {{"no-enomem", "C13", "C13", "libc", "", 1, "malloc fails without setting errno"},
     install_no_enomem},
    {{"memory-lost", "C51", "C51", "libc", "reuse", 3,
      "every 16th free of 1000 bytes or more is lost"},
     install_memory_lost},
    {{"never-coalesces", "C51", "C51", "libc", "reuse", 3,
      "small blocks freed are never used for anything again"},
     install_never_coalesces},
    {{"remote-free-lost", "C52", "C52", "threads", "threads", 4,
      "what another thread frees is lost"},
     install_remote_free_lost},
    {{"remote-free-twice", "C52", "C4,C7,C41,C22,crash", "threads", "threads", 4,
      "what another thread frees is on two free lists"},
     install_remote_free_twice},
    {{"thread-end-wipes", "C52", "C7,C41,C22", "threads", "threads", 4,
      "the end of a thread damages its newest block"},
     install_thread_end_wipes},
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
    {{"eq-larger-minimum", NULL, NULL, "libc", "", 0, "equivalent: a larger minimum block"},
     install_larger_minimum},
    {{"eq-always-moves", NULL, NULL, "libc", "", 0, "equivalent: realloc always moves"},
     install_always_moves},
    {{"eq-extra-alignment", NULL, NULL, "libc", "", 0, "equivalent: more alignment than owed"},
     install_extra_alignment},
};
enum { FAULT_COUNT = sizeof table / sizeof *table };

const struct hg_fault *hg_fault_at(size_t index) {
    return index < FAULT_COUNT ? &table[index].fault : NULL;
}

static const char *fault_name(size_t index) {
    return index < FAULT_COUNT ? table[index].fault.name : NULL;
}

enum hg_status hg__faulty_open(const char *fault, const hg_backend *wrapped, hg_backend *backend,
                               char *why, size_t why_size) {
    if (inner) {
        snprintf(why, why_size, "only one fault can be planted in a process");
        return HG_ERR_USAGE;
    }
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (strcmp(table[i].fault.name, fault) != 0)
            continue;
        inner = wrapped;
        const struct hg_facts facts = backend->facts;
        *backend = *wrapped;
        backend->facts = facts;
        if (table[i].install(backend))
            return HG_OK;
        snprintf(why, why_size, "cannot plant fault '%s'", fault);
        return HG_ERR_MEMORY;
    }
    const char *near = hg_nearest_word(fault, fault_name);
    snprintf(why, why_size, "unknown fault '%s'%s%s%s; see: heapgauge backends --faults", fault,
             near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    return HG_ERR_UNKNOWN;
}
