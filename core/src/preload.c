/* The rest of the plain family: glibc's statistics. */
#include "preload.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "cache.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* mallinfo itself */

/* Handlers of fork run before it in reverse order: ours, which takes all locks, has to be registered
 * before any that may allocate. The library is linked to be initialized first. */
__attribute__((constructor)) static void start(void) {
    free(malloc(1));
}

void cfree(void *block) {
    free(block);
}

#ifdef __GLIBC__
/* glibc's other names for its own family: what one of them gives, free gets. */
void *__libc_malloc(size_t size) {
    return malloc(size);
}
void *__libc_calloc(size_t count, size_t size) {
    return calloc(count, size);
}
void *__libc_realloc(void *block, size_t size) {
    return realloc(block, size);
}
void *__libc_memalign(size_t align, size_t size) {
    return memalign(align, size);
}
void *__libc_valloc(size_t size) {
    return valloc(size);
}
void *__libc_pvalloc(size_t size) {
    return pvalloc(size);
}
void __libc_free(void *block) {
    free(block);
}

int mallopt(int parameter, int value) {
    (void)parameter, (void)value;
    return 1; /* accepted; nothing here depends on it */
}

/* Both kinds of mallinfo, of which one has ints. Blocks count with the records of their granules, as
 * glibc's do with their headers. */
struct info {
    size_t arena, large_count, large, live, free, dirty;
};

static struct info info_get(void) {
    struct hg_stats stats;
    hg_stats_get(&stats);
    struct hg__arena *a = &hg__main.arena;
    size_t record = a->stride + sizeof *a->map, small = stats.used_size - stats.large_size;
    size_t records = (small >> HG__GRANULE_SHIFT) * record;
    size_t live = stats.live_size - stats.large_size;
    return (struct info){
        .arena = small + records + stats.dirty_size,
        .large_count = stats.large_count,
        .large = stats.large_size + stats.large_count * record,
        .live = live + records,
        .free = small - live + stats.dirty_size,
        .dirty = stats.dirty_size,
    };
}

#if __GLIBC_PREREQ(2, 33)
struct mallinfo2 mallinfo2(void) {
    struct info info = info_get();
    return (struct mallinfo2){
        .arena = info.arena,
        .hblks = info.large_count,
        .hblkhd = info.large,
        .uordblks = info.live,
        .fordblks = info.free,
        .keepcost = info.dirty,
    };
}
#endif

static int as_int(size_t value) {
    return value < INT_MAX ? (int)value : INT_MAX;
}

struct mallinfo mallinfo(void) {
    struct info info = info_get();
    return (struct mallinfo){
        .arena = as_int(info.arena),
        .hblks = as_int(info.large_count),
        .hblkhd = as_int(info.large),
        .uordblks = as_int(info.live),
        .fordblks = as_int(info.free),
        .keepcost = as_int(info.dirty),
    };
}

void malloc_stats(void) {
    struct hg_stats stats;
    hg_stats_get(&stats);
    fprintf(stderr, "heapgauge %s: live %zu, cached %zu, used %zu, dirty %zu bytes\n",
            hg_core_version(), stats.live_size, stats.cached_size, stats.used_size,
            stats.dirty_size);
}

int malloc_info(int options, FILE *stream) {
    struct hg_stats stats;
    if (options != 0)
        return EINVAL;
    hg_stats_get(&stats);
    fprintf(stream, "<malloc version=\"heapgauge-%s\">\n", hg_core_version());
    for (unsigned i = 1; i < HG_CLASS_COUNT; i++)
        if (stats.classes[i].slot_count)
            fprintf(stream, "<class size=\"%zu\" slots=\"%zu\" live=\"%zu\"/>\n",
                    stats.classes[i].slot_size, stats.classes[i].slot_count,
                    stats.classes[i].live_count);
    fprintf(stream, "<large count=\"%zu\" size=\"%zu\"/>\n<system current=\"%zu\"/>\n</malloc>\n",
            stats.large_count, stats.large_size, stats.used_size + stats.dirty_size);
    return 0;
}
#endif
