/* The system's malloc: whatever serves the program's own calls. */
#include "adapter.h"

#include <assert.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static size_t system_purge(const hg_backend *self) {
    (void)self;
    return malloc_trim(0) ? 1 : 0;
}

static const struct hg_tunable list[] = {
    {"arena_max", "arenas at most (0: eight a processor)"},
    {"arena_test", "arenas before their number is looked at"},
    {"mmap_max", "blocks in mappings of their own at most (65536)"},
    {"mmap_threshold", "bytes from which a block gets a mapping of its own (131072, adapting)"},
    {"mxfast", "bytes up to which blocks go to fast bins (128)"},
    {"tcache_count", "blocks of a size in a thread's cache (7; 0: no cache)"},
    {"tcache_max", "bytes up to which blocks go to a thread's cache (1032)"},
    {"tcache_unsorted_limit",
     "blocks looked at before one of a thread's cache is used (0: no limit)"},
    {"top_pad", "bytes more than needed from the system (131072)"},
    {"trim_threshold", "free bytes at the top that are given back (131072, adapting)"},
    {NULL, NULL},
};
static const struct hg_tunable_set tunables = {list, "GLIBC_TUNABLES", NULL, true};

/* glibc's own struct types have other names than ours, and the same layout (native.h). */
static void fill_native_face(struct hg_native_face *native) {
    struct mallinfo2 (*info2)(void) = mallinfo2;
    int (*info)(int, FILE *) = malloc_info;
    static_assert(sizeof(struct mallinfo2) == sizeof(struct hg_mallinfo2), "ten fields");
    memcpy(&native->mallinfo2, &info2, sizeof info2);
    memcpy(&native->malloc_info, &info, sizeof info);
    native->malloc_trim = malloc_trim;
}

static enum hg_status system_open(hg_backend *backend, char *why, size_t why_size) {
    (void)why;
    (void)why_size;
    backend->libc = (struct hg_libc_face){
        .malloc = malloc,
        .calloc = calloc,
        .realloc = realloc,
        .free = free,
        .aligned_alloc = aligned_alloc,
        .posix_memalign = posix_memalign,
        .memalign = memalign,
        .valloc = valloc,
        .pvalloc = pvalloc,
        .reallocarray = reallocarray,
        .malloc_usable_size = malloc_usable_size,
    };
    fill_native_face(&backend->native);
    backend->layout = hg__layout_over_libc;
    backend->purge = system_purge;
    void *(*volatile address)(size_t) = malloc;
    backend->facts.version = gnu_get_libc_version();
    backend->facts.path = hg__file_of_address((const void *)address);
    backend->facts.tunables = getenv("GLIBC_TUNABLES");
    backend->facts.align_min = 16;
    backend->facts.align_max = (size_t)1 << 46;
    backend->facts.frees = true;
    hg__probe_zero_policies(backend);
    return HG_OK;
}

const struct hg_adapter hg__adapter_system = {
    "system", "the malloc of the system's C library", NULL, &tunables, system_open,
};
