/* The rest of the plain family: glibc's statistics, and C++'s operators, which bring sizes and
 * alignments along. In C, by their mangled names, so that C programs need no C++ library. */
#include "preload.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "cache.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* mallinfo itself */

void cfree(void *block) {
    free(block);
}

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

/* ---- C++ [new.delete] ---- */

#if SIZE_MAX == UINT64_MAX
#define SIZE_CODE "m"
#else
#define SIZE_CODE "j"
#endif
#define OPERATOR __attribute__((visibility("default")))

/* Of the C++ library, if the program has one. */
typedef void (*new_handler)(void);
extern new_handler get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern _Noreturn void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv")
    __attribute__((weak));

/* Asks the new handler for memory until it gives up. */
static HG_COLD void *new_slow(size_t size, size_t align, bool may_throw) {
    for (;;) {
        void *p = hg__alloc_slow(size, align);
        if (p)
            return p;
        new_handler handler = get_new_handler ? get_new_handler() : NULL;
        if (handler && may_throw)
            handler();
        else if (may_throw && throw_bad_alloc)
            throw_bad_alloc();
        else if (may_throw)
            hg__die("out of memory in operator new", NULL, NULL);
        else
            return NULL;
    }
}

static inline void *new_aligned(size_t size, size_t align, bool may_throw) {
    void *p = hg__alloc(size, align);
    return HG_LIKELY(p != NULL) ? p : new_slow(size, align, may_throw);
}

/* name, mangled form, parameters, body: scalar and array variants differ in two letters */
#define DEFINE_NEW(name, letters)                                                                  \
    OPERATOR void *name(size_t size) __asm__("_Z" letters SIZE_CODE);                              \
    void *name(size_t size) {                                                                      \
        return new_aligned(size, 1, true);                                                         \
    }                                                                                              \
    OPERATOR void *name##_nothrow(size_t size, const void *tag) __asm__("_Z" letters SIZE_CODE     \
                                                                        "RKSt9nothrow_t");         \
    void *name##_nothrow(size_t size, const void *tag) {                                           \
        (void)tag;                                                                                 \
        return new_aligned(size, 1, false);                                                        \
    }                                                                                              \
    OPERATOR void *name##_aligned(size_t size,                                                     \
                                  size_t align) __asm__("_Z" letters SIZE_CODE "St11align_val_t"); \
    void *name##_aligned(size_t size, size_t align) {                                              \
        return new_aligned(size, align, true);                                                     \
    }                                                                                              \
    OPERATOR void *name##_aligned_nothrow(size_t size, size_t align, const void *tag) __asm__(     \
        "_Z" letters SIZE_CODE "St11align_val_tRKSt9nothrow_t");                                   \
    void *name##_aligned_nothrow(size_t size, size_t align, const void *tag) {                     \
        (void)tag;                                                                                 \
        return new_aligned(size, align, false);                                                    \
    }

#define DEFINE_DELETE(name, letters)                                                               \
    OPERATOR void name(void *p) __asm__("_Z" letters "Pv");                                        \
    void name(void *p) {                                                                           \
        hg__free(p);                                                                               \
    }                                                                                              \
    OPERATOR void name##_nothrow(void *p,                                                          \
                                 const void *tag) __asm__("_Z" letters "PvRKSt9nothrow_t");        \
    void name##_nothrow(void *p, const void *tag) {                                                \
        (void)tag;                                                                                 \
        hg__free(p);                                                                               \
    }                                                                                              \
    OPERATOR void name##_aligned(void *p, size_t align) __asm__("_Z" letters "PvSt11align_val_t"); \
    void name##_aligned(void *p, size_t align) {                                                   \
        (void)align;                                                                               \
        hg__free(p);                                                                               \
    }                                                                                              \
    OPERATOR void name##_aligned_nothrow(void *p, size_t align, const void *tag) __asm__(          \
        "_Z" letters "PvSt11align_val_tRKSt9nothrow_t");                                           \
    void name##_aligned_nothrow(void *p, size_t align, const void *tag) {                          \
        (void)align, (void)tag;                                                                    \
        hg__free(p);                                                                               \
    }                                                                                              \
    OPERATOR void name##_sized(void *p, size_t size) __asm__("_Z" letters "Pv" SIZE_CODE);         \
    void name##_sized(void *p, size_t size) {                                                      \
        hg__free_sized(p, size, 1);                                                                \
    }                                                                                              \
    OPERATOR void name##_sized_aligned(void *p, size_t size, size_t align) __asm__(                \
        "_Z" letters "Pv" SIZE_CODE "St11align_val_t");                                            \
    void name##_sized_aligned(void *p, size_t size, size_t align) {                                \
        hg__free_sized(p, size, align);                                                            \
    }

DEFINE_NEW(cxx_new, "nw")
DEFINE_NEW(cxx_new_array, "na")
DEFINE_DELETE(cxx_delete, "dl")
DEFINE_DELETE(cxx_delete_array, "da")
