/* mimalloc through its own interface: mi_malloc_aligned and friends, sized free (mimalloc.h). */
#include "adapter.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static struct {
    void *(*malloc_aligned)(size_t size, size_t align);
    void *(*zalloc_aligned)(size_t size, size_t align);
    void *(*realloc_aligned)(void *ptr, size_t size, size_t align);
    void (*free_size_aligned)(void *ptr, size_t size, size_t align);
    void (*collect)(bool force);
    int (*version)(void);
    long (*option_get)(int option); /* NULL: this one has none */
} mi;

static void *mi_alloc(const hg_backend *self, hg_layout layout) {
    (void)self;
    return mi.malloc_aligned(layout.size, layout.align);
}

static void *mi_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    (void)self;
    return mi.zalloc_aligned(layout.size, layout.align);
}

static void *mi_realloc(const hg_backend *self, void *ptr, hg_layout layout, size_t new_size) {
    (void)self;
    return mi.realloc_aligned(ptr, new_size, layout.align);
}

static void mi_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    mi.free_size_aligned(ptr, layout.size, layout.align);
}

static size_t mi_purge(const hg_backend *self) {
    (void)self;
    mi.collect(true);
    return 0;
}

/* ---- tunables: mimalloc's options ---- */

/* In 2.0, with the place of each in `enum mi_option_e`, by which its value is read back. */
static const struct hg_tunable list[] = {
    {"abandoned_page_decommit", "1: pages of ended threads are returned (0)"},
    {"allow_decommit", "0: memory is never returned (1)"},
    {"decommit_delay", "ms until freed memory is returned (25; 0: at once)"},
    {"decommit_extend_delay", "ms that each further free postpones that (1)"},
    {"eager_commit", "1: whole segments are committed (1)"},
    {"eager_commit_delay", "segments of a thread before that (1)"},
    {"large_os_pages", "1: pages of 2 MiB, where the system gives them (0)"},
    {"page_reset", "1: free pages are reset (0)"},
    {"segment_decommit_delay", "ms until a free segment is returned (500)"},
    {NULL, NULL},
};
static const int places[] = {12, 22, 15, 24, 3, 14, 6, 11, 23};

static bool mi_read(const char *name, char *text, size_t text_size) {
    if (!mi.option_get || mi.version() < 200 || mi.version() >= 210)
        return false;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (strcmp(list[i].name, name) == 0)
            return snprintf(text, text_size, "%ld", mi.option_get(places[i])) > 0;
    return false;
}

static const struct hg_tunable_set tunables = {list, "MIMALLOC_", mi_read, false};

static enum hg_status mi_open(hg_backend *backend, char *why, size_t why_size) {
    static char version[16];
    void *library;
    enum hg_status status = hg__library_load("libmimalloc.so.2", backend, &library, why, why_size);
    if (status != HG_OK)
        return status;
    *(void **)&mi.malloc_aligned = dlsym(library, "mi_malloc_aligned");
    *(void **)&mi.zalloc_aligned = dlsym(library, "mi_zalloc_aligned");
    *(void **)&mi.realloc_aligned = dlsym(library, "mi_realloc_aligned");
    *(void **)&mi.free_size_aligned = dlsym(library, "mi_free_size_aligned");
    *(void **)&mi.collect = dlsym(library, "mi_collect");
    *(void **)&mi.version = dlsym(library, "mi_version");
    *(void **)&mi.option_get = dlsym(library, "mi_option_get");
    if (!mi.malloc_aligned || !mi.zalloc_aligned || !mi.realloc_aligned || !mi.free_size_aligned ||
        !mi.collect || !mi.version) {
        snprintf(why, why_size, "%s has no mi_ functions: not a mimalloc", backend->facts.path);
        return HG_ERR_UNAVAILABLE;
    }
    backend->layout = (struct hg_layout_face){mi_alloc, mi_alloc_zeroed, mi_realloc, mi_dealloc};
    backend->purge = mi_purge;
    /* mi_version() counts major*100 + minor*10 + patch in 1.x and 2.0, two digits each later. */
    int number = mi.version();
    if (number >= 1000)
        snprintf(version, sizeof version, "%d.%d.%d", number / 1000, number / 100 % 10,
                 number % 100);
    else
        snprintf(version, sizeof version, "%d.%d.%d", number / 100, number / 10 % 10, number % 10);
    backend->facts.version = version;
    backend->facts.align_max = (size_t)1 << 40;
    return HG_OK;
}

const struct hg_adapter hg__adapter_mimalloc = {
    "mimalloc",       "mimalloc; layouts through mi_*_aligned and sized free",
    "libmimalloc2.0", &tunables,
    mi_open,
};
