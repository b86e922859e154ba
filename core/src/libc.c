/* The C library's malloc family. Compiled twice: into the core with the prefix hg_libc_, and with
 * HG_PRELOAD into the preloadable libraries under the plain names. */
#include "heapgauge/libc.h"

#include <errno.h>
#include <string.h>

#include "cache.h"
#include "os.h"

#if HG_PRELOAD
#include "preload.h"
#define NAME(name) name
#else
#define NAME(name) hg_libc_##name
#endif

static HG_COLD void *fail(int error) {
    errno = error;
    return NULL;
}

static bool is_power_of_two(size_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}

static HG_NOINLINE void *malloc_slow(size_t size) {
    void *p = hg__alloc_slow(size, 1);
    return HG_LIKELY(p != NULL) ? p : fail(ENOMEM);
}

/* hg__alloc with the errors of malloc. */
void *NAME(malloc)(size_t size) {
    size_t step = hg__last_step(size, 1);
    if (HG_LIKELY(step < HG__FAST_STEPS)) {
        size_t offset = hg__thread->bin_of_step[step];
        void *p = hg__bin_pop(hg__bin_at(hg__thread, offset));
        if (HG_LIKELY(p != NULL))
            return hg__harden_alloc(&hg__main.arena, p, offset, hg__slot_size(offset), size);
    }
    return malloc_slow(size);
}

void *NAME(calloc)(size_t count, size_t size) {
    size_t total;
    void *p = NULL;
    if (!__builtin_mul_overflow(count, size, &total))
        p = hg__alloc_zeroed(total, 1);
    return HG_LIKELY(p != NULL) ? p : fail(ENOMEM);
}

void NAME(free)(void *block) {
    hg__free(block);
}

void *NAME(realloc)(void *block, size_t size) {
    if (!block)
        return NAME(malloc)(size);
    if (size == 0) {
        hg__free(block);
        return NULL;
    }
    void *p = hg__realloc(block, SIZE_MAX, 1, size);
    return HG_LIKELY(p != NULL) ? p : fail(ENOMEM);
}

void *NAME(reallocarray)(void *block, size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return fail(ENOMEM);
    return NAME(realloc)(block, total);
}

void *NAME(aligned_alloc)(size_t align, size_t size) {
    if (!is_power_of_two(align))
        return fail(EINVAL);
    void *p = hg__alloc(size, align);
    return HG_LIKELY(p != NULL) ? p : fail(ENOMEM);
}

int NAME(posix_memalign)(void **out, size_t align, size_t size) {
    if (!is_power_of_two(align) || align % sizeof(void *) != 0)
        return EINVAL;
    void *p = hg__alloc(size, align);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

void *NAME(memalign)(size_t align, size_t size) {
    size_t power = HG__STEP;
    if (align > SIZE_MAX / 2 + 1)
        return fail(EINVAL);
    while (power < align)
        power *= 2;
    return NAME(aligned_alloc)(power, size);
}

void *NAME(valloc)(size_t size) {
    return NAME(aligned_alloc)(hg__os_page_size(), size);
}

void *NAME(pvalloc)(size_t size) {
    size_t page = hg__os_page_size();
    if (size > PTRDIFF_MAX - page)
        return fail(ENOMEM);
    return NAME(aligned_alloc)(page, size ? hg__round_up(size, page) : page);
}

size_t NAME(malloc_usable_size)(void *block) {
    return hg_usable_size(block);
}

void NAME(free_sized)(void *block, size_t size) {
    hg__free_sized(block, size, 1);
}

void NAME(free_aligned_sized)(void *block, size_t align, size_t size) {
    hg__free_sized(block, size, align);
}

int NAME(malloc_trim)(size_t pad) {
    (void)pad;
    return hg_purge() != 0;
}
