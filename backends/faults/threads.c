/* Planted faults. Faults that want two threads. */
#include "faults_private.h"

#include <pthread.h>

/* A block freed by another thread than its maker's. The maker is found by the book. */
static _Thread_local char this_thread;

static void *made_malloc(size_t size) {
    void *ptr = hg__inner->libc.malloc(size);
    if (ptr)
        hg__book_add(ptr, &this_thread, (hg_layout){size, 1}, size);
    return ptr;
}

static void *made_realloc(void *ptr, size_t size) {
    struct hg__book_entry entry;
    if (ptr)
        hg__book_take(ptr, &entry);
    void *moved = hg__inner->libc.realloc(ptr, size);
    if (moved)
        hg__book_add(moved, &this_thread, (hg_layout){size, 1}, size);
    return moved;
}

static bool is_remote(void *ptr) {
    struct hg__book_entry entry;
    return ptr && hg__book_take(ptr, &entry) && entry.real != &this_thread;
}

static void remote_free_lost(void *ptr) {
    if (!is_remote(ptr))
        hg__inner->libc.free(ptr);
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
    struct hg__book_entry entry;
    bool small = ptr && hg__book_look(ptr, &entry) && entry.size == 64;
    if (is_remote(ptr) && small && !remote_list[0] && !remote_list[1])
        remote_list[0] = remote_list[1] = ptr;
    else
        hg__inner->libc.free(ptr);
}

static bool install_remote(hg_backend *backend, void *(*malloc_)(size_t), void (*free_)(void *)) {
    if (!hg__keep_book(backend))
        return false;
    backend->libc.malloc = malloc_;
    backend->libc.realloc = made_realloc;
    backend->libc.reallocarray = NULL;
    backend->libc.malloc_usable_size = hg__inner->libc.malloc_usable_size;
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
    unsigned char *ptr = hg__inner->libc.malloc(size);
    newest = ptr;
    newest_size = size;
    pthread_setspecific(wipe_key, &this_thread);
    return ptr;
}

static void wiped_free(void *ptr) {
    if (ptr == newest)
        newest = NULL;
    hg__inner->libc.free(ptr);
}

static void *wiped_realloc(void *ptr, size_t size) {
    if (ptr == newest)
        newest = NULL;
    return hg__inner->libc.realloc(ptr, size);
}

static bool install_thread_end_wipes(hg_backend *backend) {
    backend->libc.malloc = wiped_malloc;
    backend->libc.free = wiped_free;
    backend->libc.realloc = wiped_realloc;
    backend->libc.reallocarray = NULL;
    backend->libc.free_sized = NULL;
    return pthread_key_create(&wipe_key, wipe) == 0;
}

/* ---- a thread's last allocations ---- */

/* The thread's cache is torn down by its destructor; another destructor that runs later finds none. */
static pthread_key_t cache_key;
static _Thread_local bool cache_gone;

static void tear_down(void *argument) {
    (void)argument;
    cache_gone = true;
}

static void *malloc_by_cache(size_t size) {
    if (cache_gone) {
        errno = ENOMEM;
        return NULL;
    }
    pthread_setspecific(cache_key, &cache_gone);
    return hg__inner->libc.malloc(size);
}

static bool install_cache_torn_down(hg_backend *backend) {
    backend->libc.malloc = malloc_by_cache;
    return pthread_key_create(&cache_key, tear_down) == 0;
}

/* ---- races: only threads that run at once ---- */

/* A shared list of one size, whose head is read and written in two steps. */
static void *volatile racy_head;

static void *racy_malloc(size_t size) {
    void *ptr = racy_head;
    if (size > 400 || size < 16 || !ptr)
        return hg__inner->libc.malloc(size < 400 ? 400 : size);
    for (volatile int i = 0; i < 50; i++) /* long enough for another to come by */
        ;
    racy_head = *(void **)ptr;
    return ptr;
}

static void racy_free(void *ptr) {
    if (!ptr || hg__inner->libc.malloc_usable_size(ptr) < 400 ||
        hg__inner->libc.malloc_usable_size(ptr) > 448) {
        hg__inner->libc.free(ptr);
        return;
    }
    *(void **)ptr = racy_head;
    racy_head = ptr;
}

static bool install_racy_list(hg_backend *backend) {
    backend->libc.malloc = racy_malloc;
    backend->libc.free = racy_free;
    backend->libc.free_sized = NULL;
    return true;
}

/* fork does not take the lock that malloc holds for a while. */
static pthread_mutex_t unforked = PTHREAD_MUTEX_INITIALIZER;

static void *locked_malloc(size_t size) {
    pthread_mutex_lock(&unforked);
    void *ptr = hg__inner->libc.malloc(size);
    for (volatile int i = 0; i < 200; i++)
        ;
    pthread_mutex_unlock(&unforked);
    return ptr;
}

static bool install_fork_amid(hg_backend *backend) {
    backend->libc.malloc = locked_malloc;
    return true;
}

static const struct hg__planted rows[] = {
    {{"cache-torn-down", "C53", "C12", "threads", "threads", 4,
      "a destructor that allocates after the allocator's own is refused"},
     install_cache_torn_down},
    {{"racy-list", "C10", "C7,C22,C52,C17,crash,hang", "parallel", "parallel", 4,
      "a shared free list is popped in two steps"},
     install_racy_list},
    {{"fork-amid", "C54", "C54,hang", "parallel", "parallel", 4,
      "fork while another thread holds malloc's lock"},
     install_fork_amid},
    {{"remote-free-lost", "C52", "C52", "threads", "threads", 4,
      "what another thread frees is lost"},
     install_remote_free_lost},
    {{"remote-free-twice", "C52", "C4,C5,C8,C7,C41,C22,crash", "threads", "threads", 4,
      "what another thread frees is on two free lists"},
     install_remote_free_twice},
    {{"thread-end-wipes", "C52", "C7,C41,C22", "threads", "threads", 4,
      "the end of a thread damages its newest block"},
     install_thread_end_wipes},
};

HG__FAULT_GROUP(threads);
