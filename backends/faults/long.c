/* Planted faults. Only in the long run or in the large: many thousand blocks, millions of calls, hundreds of
 * megabytes, many threads; and memory that never comes back on one way only. */
#include "faults_private.h"

#include <pthread.h>
#include <stdatomic.h>

static void no_sized_frees(hg_backend *backend) {
    backend->libc.free_sized = NULL;
    backend->libc.free_aligned_sized = NULL;
}

static size_t usable_of(void *ptr) {
    return hg__inner->libc.malloc_usable_size(ptr);
}

/* ---- counts ---- */

/* Every `period`-th small block, or each while more than `crowd` are live, is the one before it again. */
static size_t live, calls, period, crowd, wrong_left;
static void *previous;

static void *counting_malloc(size_t size) {
    calls++;
    if (size == 0 || size > 64)
        return hg__inner->libc.malloc(size);
    bool now = period ? calls >= period : live > crowd && calls % 64 == 0;
    if (now && previous && wrong_left) {
        void *ptr = previous;
        previous = NULL;
        wrong_left--;
        calls = 0;
        return ptr;
    }
    previous = hg__inner->libc.malloc(64);
    live += previous != NULL;
    return previous;
}

static void counting_free(void *ptr) {
    if (ptr == previous)
        previous = NULL;
    if (ptr && live && usable_of(ptr) == 64)
        live--;
    hg__inner->libc.free(ptr);
}

static void *counting_realloc(void *ptr, size_t size) {
    if (ptr == previous)
        previous = NULL;
    if (ptr && live && usable_of(ptr) == 64)
        live--;
    void *moved = hg__inner->libc.realloc(ptr, size);
    live += moved && usable_of(moved) == 64;
    return moved;
}

static bool install_counting(hg_backend *backend, size_t after_calls, size_t above_live) {
    period = after_calls;
    crowd = above_live;
    wrong_left = 1000;
    backend->libc.malloc = counting_malloc;
    backend->libc.free = counting_free;
    backend->libc.realloc = counting_realloc;
    backend->libc.reallocarray = NULL;
    no_sized_frees(backend);
    return true;
}

static bool install_crowd(hg_backend *backend) {
    return install_counting(backend, 0, 50000);
}

static bool install_hundred_thousandth(hg_backend *backend) {
    return install_counting(backend, 100000, 0);
}

static bool install_late(hg_backend *backend) {
    return install_counting(backend, 250000, 0);
}

/* A block of 100 to 200 bytes that is alive for 20 000 allocations has a byte changed. */
static unsigned char *old_block;
static size_t old_since;

static void *aging_malloc(size_t size) {
    calls++;
    unsigned char *ptr = hg__inner->libc.malloc(size);
    if (!old_block && ptr && size >= 100 && size <= 200) {
        old_block = ptr;
        old_since = calls;
    } else if (old_block && calls - old_since == 20000) {
        old_block[50] ^= 4;
        old_block = NULL;
    }
    return ptr;
}

static void aging_free(void *ptr) {
    if (ptr == old_block)
        old_block = NULL;
    hg__inner->libc.free(ptr);
}

static void *aging_realloc(void *ptr, size_t size) {
    if (ptr == old_block)
        old_block = NULL;
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_old_block(hg_backend *backend) {
    backend->libc.malloc = aging_malloc;
    backend->libc.free = aging_free;
    backend->libc.realloc = aging_realloc;
    backend->libc.reallocarray = NULL;
    no_sized_frees(backend);
    return true;
}

/* ---- giants ---- */

static const size_t GIANT_BYTES = (size_t)32 << 20;

static void *giant_hole_realloc(void *ptr, size_t size) {
    size_t old = ptr ? usable_of(ptr) : 0;
    unsigned char *moved = hg__inner->libc.realloc(ptr, size);
    if (moved && old >= GIANT_BYTES && size > old)
        memset(moved + old / 4 * 3 / 4096 * 4096 - 8, 0, 16);
    return moved;
}

static bool install_giant_realloc(hg_backend *backend) {
    backend->libc.realloc = giant_hole_realloc;
    backend->libc.reallocarray = NULL;
    return true;
}

static void *giant_dirty_calloc(size_t count, size_t size) {
    unsigned char *ptr = hg__inner->libc.calloc(count, size);
    if (ptr && count * size >= GIANT_BYTES)
        ptr[count * size / 3] = 1;
    return ptr;
}

static bool install_giant_calloc(hg_backend *backend) {
    backend->libc.calloc = giant_dirty_calloc;
    return true;
}

/* The second giant begins a page before the first one ends. */
static unsigned char *giant;
static size_t giant_bytes;

static void *giant_malloc(size_t size) {
    if (size < GIANT_BYTES || size > (size_t)1 << 40)
        return hg__inner->libc.malloc(size);
    if (giant && giant_bytes >= size + 8192) {
        unsigned char *inside = giant + giant_bytes / 2 / 4096 * 4096;
        size_t left = giant_bytes - (size_t)(inside - giant);
        giant = NULL;
        hg__book_add(inside, NULL, (hg_layout){left, 1}, left);
        return inside;
    }
    giant = hg__inner->libc.malloc(size);
    giant_bytes = size;
    return giant;
}

static void giant_free(void *ptr) {
    struct hg__book_entry entry;
    if (ptr == giant)
        giant = NULL;
    if (ptr && hg__book_take(ptr, &entry))
        return;
    hg__inner->libc.free(ptr);
}

static bool install_giant_overlap(hg_backend *backend) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.malloc = giant_malloc;
    backend->libc.free = giant_free;
    no_sized_frees(backend);
    return true;
}

/* ---- threads ---- */

/* Threads have numbers, and the 64th has the lists of the first. */
static atomic_uint thread_count;
static _Thread_local unsigned thread_number;
static void *list_of_first;

static unsigned number_of_thread(void) {
    if (!thread_number)
        thread_number = 1 + atomic_fetch_add(&thread_count, 1);
    return thread_number;
}

static void *numbered_malloc(size_t size) {
    void *ptr = list_of_first;
    if (number_of_thread() % 64 == 0 && ptr && size > 0 && size <= 64) {
        list_of_first = NULL;
        return ptr;
    }
    return list_of_first = hg__inner->libc.malloc(size > 0 && size < 64 ? 64 : size);
}

static void numbered_free(void *ptr) {
    if (ptr == list_of_first)
        list_of_first = NULL;
    hg__inner->libc.free(ptr);
}

static void *numbered_realloc(void *ptr, size_t size) {
    if (ptr == list_of_first)
        list_of_first = NULL;
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_thread_64(hg_backend *backend) {
    backend->libc.malloc = numbered_malloc;
    backend->libc.free = numbered_free;
    backend->libc.realloc = numbered_realloc;
    backend->libc.reallocarray = NULL;
    no_sized_frees(backend);
    return true;
}

/* From the eighth thread that lives at a time on two have one cache, and no lock. */
enum { CACHED = 4 };
static atomic_int living;
static _Thread_local bool counted, crowded;
static pthread_key_t living_key;
static void *volatile cached[CACHED];
static volatile unsigned cached_count;

static void one_less(void *argument) {
    (void)argument;
    atomic_fetch_sub(&living, 1);
}

static bool is_crowded(void) {
    if (!counted) {
        counted = true;
        crowded = atomic_fetch_add(&living, 1) >= 8;
        pthread_setspecific(living_key, &living_key);
    }
    return crowded;
}

static void *crowded_malloc(size_t size) {
    if (is_crowded() && size > 0 && size <= 512 && cached_count > 0) {
        unsigned at = cached_count - 1;
        void *ptr = cached[at % CACHED];
        for (volatile int wait = 0; wait < 20; wait++)
            continue;
        cached_count = at;
        return ptr;
    }
    return hg__inner->libc.malloc(size > 0 && size < 512 ? 512 : size);
}

static void crowded_free(void *ptr) {
    if (ptr && is_crowded() && cached_count < CACHED && usable_of(ptr) == 512) {
        unsigned at = cached_count;
        cached[at % CACHED] = ptr;
        cached_count = at + 1;
        return;
    }
    hg__inner->libc.free(ptr);
}

static bool install_ninth_thread(hg_backend *backend) {
    backend->libc.malloc = crowded_malloc;
    backend->libc.free = crowded_free;
    no_sized_frees(backend);
    return pthread_key_create(&living_key, one_less) == 0;
}

/* What another thread freed is taken for clean. */
static _Thread_local char this_thread;
static void *dirty;

static void *remote_dirty_calloc(size_t count, size_t size) {
    size_t product;
    if (dirty && !__builtin_mul_overflow(count, size, &product) && product > 0 &&
        product <= usable_of(dirty)) {
        void *ptr = dirty;
        dirty = NULL;
        return ptr;
    }
    return hg__inner->libc.calloc(count, size);
}

static void *remembering_malloc(size_t size) {
    void *ptr = hg__inner->libc.malloc(size);
    if (ptr && size >= 32 && size <= 1024)
        hg__book_add(ptr, &this_thread, (hg_layout){size, 1}, size);
    return ptr;
}

static void remembering_free(void *ptr) {
    struct hg__book_entry entry;
    if (ptr && hg__book_take(ptr, &entry) && entry.real != &this_thread && !dirty)
        dirty = ptr;
    else
        hg__inner->libc.free(ptr);
}

static void *remembering_realloc(void *ptr, size_t size) {
    struct hg__book_entry entry;
    if (ptr)
        hg__book_take(ptr, &entry);
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_remote_calloc(hg_backend *backend) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.malloc = remembering_malloc;
    backend->libc.calloc = remote_dirty_calloc;
    backend->libc.free = remembering_free;
    backend->libc.realloc = remembering_realloc;
    backend->libc.malloc_usable_size = hg__inner->libc.malloc_usable_size;
    backend->libc.reallocarray = NULL;
    no_sized_frees(backend);
    return true;
}

/* ---- memory that does not come back ---- */

static bool is_lost_class(size_t usable) {
    return usable > 7000 && usable <= 9000;
}

static void free_but_a_class(void *ptr) {
    if (ptr && is_lost_class(usable_of(ptr)))
        return;
    hg__inner->libc.free(ptr);
}

static bool install_class_lost(hg_backend *backend) {
    backend->libc.free = free_but_a_class;
    no_sized_frees(backend);
    return true;
}

/* One small block in 400. */
static void free_but_few(void *ptr) {
    static unsigned frees;
    if (ptr && usable_of(ptr) <= 128 && ++frees % 400 == 0)
        return;
    hg__inner->libc.free(ptr);
}

static bool install_few_lost(hg_backend *backend) {
    backend->libc.free = free_but_few;
    no_sized_frees(backend);
    return true;
}

/* Memory of calloc is kept apart from 1 KiB on, and never given back. */
static void *apart_calloc(size_t count, size_t size) {
    void *ptr = hg__inner->libc.calloc(count, size);
    if (ptr && count * size >= 1024)
        hg__book_add(ptr, ptr, (hg_layout){count * size, 1}, usable_of(ptr));
    return ptr;
}

static void free_but_apart(void *ptr) {
    struct hg__book_entry entry;
    if (!ptr || !hg__book_take(ptr, &entry))
        hg__inner->libc.free(ptr);
}

static bool install_calloc_lost(hg_backend *backend) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.calloc = apart_calloc;
    backend->libc.free = free_but_apart;
    no_sized_frees(backend);
    return true;
}

/* So is what is aligned to a page or more. */
static void *apart_aligned(size_t align, size_t size) {
    void *ptr = hg__inner->libc.aligned_alloc(align, size);
    if (ptr && align >= 4096)
        hg__book_add(ptr, ptr, (hg_layout){size, align}, usable_of(ptr));
    return ptr;
}

static bool install_page_aligned_lost(hg_backend *backend) {
    hg__install_aligned(backend, apart_aligned);
    if (!hg__keep_book(backend))
        return false;
    backend->libc.free = free_but_apart;
    no_sized_frees(backend);
    return true;
}

/* A reallocation to less than half moves, and forgets what it moved from. */
static void *forgetful_realloc(void *ptr, size_t size) {
    size_t usable = ptr ? usable_of(ptr) : 0;
    if (size == 0 || usable < 512 || size > usable / 2)
        return hg__inner->libc.realloc(ptr, size);
    void *moved = hg__inner->libc.malloc(size);
    if (moved)
        memcpy(moved, ptr, size);
    return moved;
}

static bool install_shrink_lost(hg_backend *backend) {
    backend->libc.realloc = forgetful_realloc;
    backend->libc.reallocarray = NULL;
    return true;
}

/* A thread that ends loses what lies in its cache: the last small blocks it freed. */
enum { THREAD_CACHE = 16 };
static _Thread_local void *thread_cache[THREAD_CACHE];
static _Thread_local unsigned thread_cached;

static void *thread_cache_malloc(size_t size) {
    if (size > 0 && size <= 256 && thread_cached)
        return thread_cache[--thread_cached];
    return hg__inner->libc.malloc(size > 0 && size < 256 ? 256 : size);
}

static void thread_cache_free(void *ptr) {
    if (ptr && thread_cached < THREAD_CACHE && usable_of(ptr) == 256)
        thread_cache[thread_cached++] = ptr;
    else
        hg__inner->libc.free(ptr);
}

static bool install_thread_cache_lost(hg_backend *backend) {
    backend->libc.malloc = thread_cache_malloc;
    backend->libc.free = thread_cache_free;
    no_sized_frees(backend);
    return true;
}

static const struct hg__planted rows[] = {
    {{"crowd", "C4", "C4,C5,C7,C22,C40,V,crash", "libc", "long", 4,
      "with more than 50000 live blocks two get the same memory"},
     install_crowd},
    {{"hundred-thousandth", "C4", "C4,C5,C7,C22,C40,V,crash", "libc", "long", 4,
      "the 100000th malloc gives the block before it again"},
     install_hundred_thousandth},
    {{"late-call", "C4", "C4,C5,C7,C22,C40,V,crash", "libc", "long", 4,
      "the 250000th malloc gives the block before it again"},
     install_late},
    {{"old-block", "C7", "C7", "libc", "long", 4,
      "a block alive for 20000 allocations has a byte changed"},
     install_old_block},
    {{"giant-realloc", "C22", "C22", "libc", "long", 4,
      "realloc from 32 MiB up loses bytes at a page edge"},
     install_giant_realloc},
    {{"giant-calloc", "C17", "C17", "libc", "long", 4, "calloc from 32 MiB up has a byte set"},
     install_giant_calloc},
    {{"giant-overlap", "C4", "C4,C5,C7,C40,crash", "libc", "long", 4,
      "the second block from 32 MiB up lies in the first"},
     install_giant_overlap},
    {{"thread-64", "C10", "C4,C5,C7,C8,C22,C40,V,crash", "threads", "threads", 4,
      "the 64th thread shares the first one's list"},
     install_thread_64},
    {{"ninth-thread", "C10", "C7,C52,C22,C4,C17,V,crash,hang", "parallel", "threads", 4,
      "from the ninth thread that lives at a time on two share a cache"},
     install_ninth_thread},
    {{"remote-calloc", "C17", "C17", "threads", "threads", 3,
      "calloc takes what another thread freed for clean"},
     install_remote_calloc},
    {{"class-lost", "C51", "C51,C12,memory", "libc", "reuse", 3,
      "blocks of 7000 to 9000 bytes never come back"},
     install_class_lost},
    {{"few-lost", "C51", "C51,C12,memory", "libc", "reuse", 4,
      "one small block in 400 never comes back"},
     install_few_lost},
    {{"calloc-lost", "C51", "C51,C12,memory", "libc", "reuse", 3,
      "calloc's memory from 1 KiB up never comes back"},
     install_calloc_lost},
    {{"page-aligned-lost", "C51", "C51,C12,memory", "libc", "reuse", 3,
      "what is aligned to a page or more never comes back"},
     install_page_aligned_lost},
    {{"shrink-lost", "C51", "C51,C12,memory", "libc", "reuse", 3,
      "a reallocation to less than half loses the old block"},
     install_shrink_lost},
    {{"thread-cache-lost", "C52", "C51,C52,C12,memory", "threads", "reuse", 4,
      "a thread that ends loses the blocks in its cache"},
     install_thread_cache_lost},
};

HG__FAULT_GROUP(long);
