/* The reference allocator of this repository, linked in: both faces are its own functions. */
#include "adapter.h"

#include "heapgauge/core.h"
#include "heapgauge/libc.h"

static void *core_alloc(const hg_backend *self, hg_layout layout) {
    (void)self;
    return hg_alloc(layout);
}

static void *core_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    (void)self;
    return hg_alloc_zeroed(layout);
}

static void *core_realloc(const hg_backend *self, void *ptr, hg_layout layout, size_t new_size) {
    (void)self;
    return hg_realloc(ptr, layout, new_size);
}

static void core_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    hg_dealloc(ptr, layout);
}

static size_t core_purge(const hg_backend *self) {
    (void)self;
    return hg_purge();
}

static bool core_validate(const hg_backend *self, char *why, size_t why_size) {
    (void)self;
    return hg_validate(why, why_size);
}

static void core_fail_pages(const hg_backend *self, uint64_t count) {
    (void)self;
    hg_fail_page_request(count == UINT64_MAX ? 0 : count + 1);
}

static enum hg_status core_open(hg_backend *backend, char *why, size_t why_size) {
    (void)why;
    (void)why_size;
    backend->libc = (struct hg_libc_face){
        .malloc = hg_libc_malloc,
        .calloc = hg_libc_calloc,
        .realloc = hg_libc_realloc,
        .free = hg_libc_free,
        .aligned_alloc = hg_libc_aligned_alloc,
        .posix_memalign = hg_libc_posix_memalign,
        .memalign = hg_libc_memalign,
        .valloc = hg_libc_valloc,
        .pvalloc = hg_libc_pvalloc,
        .reallocarray = hg_libc_reallocarray,
        .malloc_usable_size = hg_libc_malloc_usable_size,
        .free_sized = hg_libc_free_sized,
        .free_aligned_sized = hg_libc_free_aligned_sized,
    };
    backend->layout =
        (struct hg_layout_face){core_alloc, core_alloc_zeroed, core_realloc, core_dealloc};
    backend->purge = core_purge;
    backend->validate = core_validate;
    backend->fail_pages = core_fail_pages;
    void *(*volatile address)(size_t) = hg_libc_malloc;
    backend->facts.version = hg_core_version();
    backend->facts.path = hg__file_of_address((const void *)address);
    backend->facts.align_min = 16;
    backend->facts.align_max = (size_t)1 << 36;
    backend->facts.frees = true;
    hg__probe_zero_policies(backend);
    return HG_OK;
}

const struct hg_adapter hg__adapter_core = {
    "core", "Heapgauge's reference allocator", NULL, NULL, core_open,
};
