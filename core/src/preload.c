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
int mallopt(int parameter, int value) {
    (void)parameter, (void)value;
    return 1; /* accepted; nothing here depends on it */
}

#if __GLIBC_PREREQ(2, 33)
struct mallinfo2 mallinfo2(void) {
    struct hg_stats stats;
    hg_stats_get(&stats);
    return (struct mallinfo2){
        .arena = stats.used_size + stats.dirty_size - stats.large_size,
        .hblks = stats.large_count,
        .hblkhd = stats.large_size,
        .uordblks = stats.live_size - stats.large_size,
        .fordblks = stats.used_size + stats.dirty_size - stats.live_size,
        .keepcost = stats.dirty_size,
    };
}
#endif

static int as_int(size_t value) {
    return value < INT_MAX ? (int)value : INT_MAX;
}

struct mallinfo mallinfo(void) {
    struct hg_stats stats;
    hg_stats_get(&stats);
    return (struct mallinfo){
        .arena = as_int(stats.used_size + stats.dirty_size - stats.large_size),
        .hblks = as_int(stats.large_count),
        .hblkhd = as_int(stats.large_size),
        .uordblks = as_int(stats.live_size - stats.large_size),
        .fordblks = as_int(stats.used_size + stats.dirty_size - stats.live_size),
        .keepcost = as_int(stats.dirty_size),
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
