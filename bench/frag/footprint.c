#include "footprint.h"

#include "../workload/support.h"

#include "heapgauge/meter.h"

#include <pthread.h>
#include <sys/mman.h>

/* The account: address -> size, open addressing, at most half full. Present before the baseline. */
enum { SLOT_BITS = 22, SLOTS = 1 << SLOT_BITS, LIVE_MAX = SLOTS / 2 };
static const uint64_t first_interval = 64; /* operations */

struct slot {
    uintptr_t address; /* 0: free */
    uint64_t size;
};

static const hg_backend *inner;
static struct hg_footprint *result;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct slot *slots;
static uint64_t live_bytes, live_blocks, baseline_bytes, baseline_tables_bytes, begin_ns;

/* ---- the account ---- */

static size_t home_of(uintptr_t address) {
    return (size_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - SLOT_BITS));
}

static void put(void *ptr, size_t size) {
    size_t at = home_of((uintptr_t)ptr);
    while (slots[at].address)
        at = (at + 1) % SLOTS;
    slots[at] = (struct slot){(uintptr_t)ptr, size};
    live_bytes += size;
    live_blocks++;
}

/* Closes the gap behind a slot that was taken out, so that every block is found from its home on. */
static void close_gap(size_t gap) {
    for (size_t at = (gap + 1) % SLOTS; slots[at].address; at = (at + 1) % SLOTS) {
        size_t home = home_of(slots[at].address);
        bool stays = gap < at ? gap < home && home <= at : gap < home || home <= at;
        if (stays)
            continue;
        slots[gap] = slots[at];
        gap = at;
    }
    slots[gap].address = 0;
}

static void take(void *ptr) {
    size_t at = home_of((uintptr_t)ptr);
    while (slots[at].address && slots[at].address != (uintptr_t)ptr)
        at = (at + 1) % SLOTS;
    if (!slots[at].address)
        return; /* a block from before the account, or no block */
    live_bytes -= slots[at].size;
    live_blocks--;
    close_gap(at);
}

/* ---- samples ---- */

/* When the table is full every second one goes, and the interval doubles. */
static void sample(uint64_t rss_bytes) {
    if (result->sample_count == HG_FOOTPRINT_SAMPLES_MAX) {
        for (size_t i = 0; i < HG_FOOTPRINT_SAMPLES_MAX / 2; i++)
            result->samples[i] = result->samples[2 * i];
        result->sample_count /= 2;
        result->sample_every *= 2;
    }
    uint64_t idle_bytes = baseline_bytes + hg_workload_mapped_bytes() - baseline_tables_bytes;
    result->samples[result->sample_count++] = (struct hg_footprint_sample){
        .operation = result->operations,
        .time_ns = hg_time_ns() - begin_ns,
        .live_bytes = live_bytes,
        .rss_bytes = rss_bytes > idle_bytes ? rss_bytes - idle_bytes : 0,
    };
}

static void begin_if_first(void) {
    if (result->operations > 0)
        return;
    baseline_bytes = hg_rss_bytes();
    baseline_tables_bytes = hg_workload_mapped_bytes();
    begin_ns = hg_time_ns();
}

/* `gone` before the call, `come` after it; both may be NULL. */
static void enter(void *gone) {
    pthread_mutex_lock(&lock);
    begin_if_first();
    if (gone && !result->is_cut)
        take(gone);
    pthread_mutex_unlock(&lock);
}

static void leave(void *come, size_t size) {
    pthread_mutex_lock(&lock);
    result->operations++;
    if ((come && live_blocks == LIVE_MAX) || (!come && size > 0)) /* full; or it failed */
        result->is_cut = true;
    if (come && !result->is_cut)
        put(come, size);
    if (!result->is_cut && result->operations % result->sample_every == 0)
        sample(hg_rss_bytes_fast());
    pthread_mutex_unlock(&lock);
}

void hg_footprint_finish(void) {
    pthread_mutex_lock(&lock);
    if (!result->is_cut && result->operations > 0)
        sample(hg_rss_bytes());
    pthread_mutex_unlock(&lock);
}

/* ---- the calls ---- */

static void *kept_malloc(size_t size) {
    enter(NULL);
    void *ptr = inner->libc.malloc(size);
    leave(ptr, size);
    return ptr;
}

static void *kept_calloc(size_t count, size_t size) {
    enter(NULL);
    void *ptr = inner->libc.calloc(count, size);
    leave(ptr, count * size);
    return ptr;
}

static void *kept_realloc(void *old, size_t size) {
    enter(old);
    void *ptr = inner->libc.realloc(old, size);
    leave(ptr, size);
    return ptr;
}

static void kept_free(void *ptr) {
    enter(ptr);
    inner->libc.free(ptr);
    leave(NULL, 0);
}

static void *kept_aligned_alloc(size_t align, size_t size) {
    enter(NULL);
    void *ptr = inner->libc.aligned_alloc(align, size);
    leave(ptr, size);
    return ptr;
}

static void *kept_memalign(size_t align, size_t size) {
    enter(NULL);
    void *ptr = inner->libc.memalign(align, size);
    leave(ptr, size);
    return ptr;
}

static int kept_posix_memalign(void **out, size_t align, size_t size) {
    enter(NULL);
    int error = inner->libc.posix_memalign(out, align, size);
    leave(error ? NULL : *out, size);
    return error;
}

static void kept_free_sized(void *ptr, size_t size) {
    enter(ptr);
    inner->libc.free_sized(ptr, size);
    leave(NULL, 0);
}

static void kept_free_aligned_sized(void *ptr, size_t align, size_t size) {
    enter(ptr);
    inner->libc.free_aligned_sized(ptr, align, size);
    leave(NULL, 0);
}

static void *kept_layout_alloc(const hg_backend *self, hg_layout layout) {
    (void)self;
    enter(NULL);
    void *ptr = inner->layout.alloc(inner, layout);
    leave(ptr, layout.size);
    return ptr;
}

static void *kept_layout_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    (void)self;
    enter(NULL);
    void *ptr = inner->layout.alloc_zeroed(inner, layout);
    leave(ptr, layout.size);
    return ptr;
}

static void *kept_layout_realloc(const hg_backend *self, void *old, hg_layout layout,
                                 size_t new_size) {
    (void)self;
    enter(old);
    void *ptr = inner->layout.realloc(inner, old, layout, new_size);
    leave(ptr, new_size);
    return ptr;
}

static void kept_layout_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    enter(ptr);
    inner->layout.dealloc(inner, ptr, layout);
    leave(NULL, 0);
}

#define WRAP(face, function, wrapper)                                                              \
    if (inner->face.function)                                                                      \
    kept.face.function = (wrapper)

const hg_backend *hg_footprint_wrap(const hg_backend *wrapped, struct hg_footprint *out) {
    static hg_backend kept;
    void *memory = mmap(NULL, SLOTS * sizeof *slots, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (inner || memory == MAP_FAILED)
        return NULL;
    slots = memory;
    inner = wrapped;
    result = out;
    *result = (struct hg_footprint){.sample_every = first_interval};
    /* What is not wrapped must not be called: it would go past the account. */
    kept = *wrapped;
    kept.libc = (struct hg_libc_face){.malloc_usable_size = wrapped->libc.malloc_usable_size};
    WRAP(libc, malloc, kept_malloc);
    WRAP(libc, calloc, kept_calloc);
    WRAP(libc, realloc, kept_realloc);
    WRAP(libc, free, kept_free);
    WRAP(libc, aligned_alloc, kept_aligned_alloc);
    WRAP(libc, posix_memalign, kept_posix_memalign);
    WRAP(libc, memalign, kept_memalign);
    WRAP(libc, free_sized, kept_free_sized);
    WRAP(libc, free_aligned_sized, kept_free_aligned_sized);
    WRAP(layout, alloc, kept_layout_alloc);
    WRAP(layout, alloc_zeroed, kept_layout_alloc_zeroed);
    WRAP(layout, realloc, kept_layout_realloc);
    WRAP(layout, dealloc, kept_layout_dealloc);
    return &kept;
}
