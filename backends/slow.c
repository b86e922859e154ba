/* The slow decorator, "slow-2%:BACKEND": takes that much longer than the backend alone, to prove that a
 * comparison sees it. Every CALLS allocating calls of a thread it looks at the clock and burns the given
 * part of the time since; what it burnt too much is owed the next time, so that the part is exact on
 * average. "slow-0%" looks at the clock as well and burns nothing: hold the others against it, as the
 * wrapping itself costs a nanosecond a call. Frees are the backend's own. */
#include "adapter.h"

#include "heapgauge/meter.h"

#include <stdio.h>
#include <stdlib.h>

enum { CALLS = 4096 };
static const double PERCENT_MAX = 100;
/* What takes so many times as long as the last time was not the allocator: the thread did not run. */
enum { PAUSE_FACTOR = 4 };

static const hg_backend *inner;
static double part;

static _Thread_local unsigned calls;
static _Thread_local uint64_t since_ns, usual_ns;
static _Thread_local double owed_ns;

static __attribute__((noinline)) void burn(void) {
    calls = 0;
    uint64_t now_ns = hg_time_ns();
    uint64_t elapsed_ns = since_ns ? now_ns - since_ns : 0;
    if (usual_ns == 0 || elapsed_ns < PAUSE_FACTOR * usual_ns)
        usual_ns = elapsed_ns;
    owed_ns += (double)usual_ns * part;
    uint64_t begin_ns = now_ns;
    while ((double)(now_ns - begin_ns) < owed_ns)
        now_ns = hg_time_ns();
    owed_ns -= (double)(now_ns - begin_ns);
    since_ns = now_ns;
}

static inline void slow_down(void) {
    if (++calls == CALLS)
        burn();
}

static void *slow_malloc(size_t size) {
    slow_down();
    return inner->libc.malloc(size);
}

static void *slow_calloc(size_t count, size_t size) {
    slow_down();
    return inner->libc.calloc(count, size);
}

static void *slow_realloc(void *ptr, size_t size) {
    slow_down();
    return inner->libc.realloc(ptr, size);
}

static void *slow_aligned_alloc(size_t align, size_t size) {
    slow_down();
    return inner->libc.aligned_alloc(align, size);
}

static int slow_posix_memalign(void **out, size_t align, size_t size) {
    slow_down();
    return inner->libc.posix_memalign(out, align, size);
}

static void *slow_layout_alloc(const hg_backend *self, hg_layout layout) {
    (void)self;
    slow_down();
    return inner->layout.alloc(inner, layout);
}

static void *slow_layout_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    (void)self;
    slow_down();
    return inner->layout.alloc_zeroed(inner, layout);
}

static void *slow_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                 size_t new_size) {
    (void)self;
    slow_down();
    return inner->layout.realloc(inner, ptr, layout, new_size);
}

static void slow_layout_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    inner->layout.dealloc(inner, ptr, layout);
}

static size_t slow_purge(const hg_backend *self) {
    (void)self;
    return inner->purge(inner);
}

#define WRAP(face, function)                                                                       \
    if (inner->face.function)                                                                      \
    backend->face.function = slow_##function

#define WRAP_LAYOUT(function)                                                                      \
    if (inner->layout.function)                                                                    \
    backend->layout.function = slow_layout_##function

/* "2%" -> 0.02. False iff it is no percentage of 0 to 100. */
static bool parse_percent(const char *text, double *out) {
    char *end;
    double percent = strtod(text, &end);
    if (end == text || *end != '%' || end[1] || !(percent >= 0 && percent <= PERCENT_MAX))
        return false;
    *out = percent / 100;
    return true;
}

enum hg_status hg__slow_open(const char *percent, const hg_backend *wrapped, hg_backend *backend,
                             char *why, size_t why_size) {
    if (!parse_percent(percent, &part)) {
        snprintf(why, why_size, "slow-%s: expected a percentage of 0 to 100, as in slow-2%%:core",
                 percent);
        return HG_ERR_USAGE;
    }
    if (inner) {
        snprintf(why, why_size,
                 "a process holds one slow backend: one after the other, or "
                 "heapgauge compare");
        return HG_ERR_USAGE;
    }
    inner = wrapped;
    backend->libc = inner->libc;
    WRAP(libc, malloc);
    WRAP(libc, calloc);
    WRAP(libc, realloc);
    WRAP(libc, aligned_alloc);
    WRAP(libc, posix_memalign);
    WRAP_LAYOUT(alloc);
    WRAP_LAYOUT(alloc_zeroed);
    WRAP_LAYOUT(realloc);
    WRAP_LAYOUT(dealloc);
    if (inner->purge)
        backend->purge = slow_purge;
    return HG_OK;
}
