/* The system's malloc: whatever serves the program's own calls. */
#include "adapter.h"

#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdlib.h>

static size_t system_purge(const hg_backend *self) {
    (void)self;
    return malloc_trim(0) ? 1 : 0;
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
    backend->layout = hg__layout_over_libc;
    backend->purge = system_purge;
    const char *tunables = getenv("GLIBC_TUNABLES");
    void *(*volatile address)(size_t) = malloc;
    backend->facts.version = gnu_get_libc_version();
    backend->facts.path = hg__file_of_address((const void *)address);
    backend->facts.tunables = tunables;
    backend->facts.align_min = 16;
    backend->facts.align_max = (size_t)1 << 46;
    backend->facts.frees = true;
    hg__probe_zero_policies(backend);
    return HG_OK;
}

const struct hg_adapter hg__adapter_system = {
    "system",
    "the malloc of the system's C library",
    NULL,
    system_open,
};
