/* jemalloc through its own interface: mallocx, rallocx, sdallocx (jemalloc(3)). */
#include "adapter.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { MALLOCX_ZERO = 0x40, MIN_ALIGN = 16 };

static struct {
    void *(*mallocx)(size_t size, int flags);
    void *(*rallocx)(void *ptr, size_t size, int flags);
    void (*sdallocx)(void *ptr, size_t size, int flags);
    int (*mallctl)(const char *name, void *old, size_t *old_len, void *new, size_t new_len);
} je;

/* The alignment is passed only where the size class does not give it anyway: the flag makes jemalloc
 * take a slower path. Same rule as for malloc (C72). */
static int flags_of(size_t align, size_t size) {
    if (align <= MIN_ALIGN && align <= size)
        return 0;
    return __builtin_ctzl(align); /* MALLOCX_LG_ALIGN */
}

static void *je_alloc(const hg_backend *self, hg_layout layout) {
    (void)self;
    return je.mallocx(layout.size, flags_of(layout.align, layout.size));
}

static void *je_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    (void)self;
    return je.mallocx(layout.size, flags_of(layout.align, layout.size) | MALLOCX_ZERO);
}

static void *je_realloc(const hg_backend *self, void *ptr, hg_layout layout, size_t new_size) {
    (void)self;
    return je.rallocx(ptr, new_size, flags_of(layout.align, new_size));
}

static void je_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    je.sdallocx(ptr, layout.size, flags_of(layout.align, layout.size));
}

static size_t je_purge(const hg_backend *self) {
    (void)self;
    je.mallctl("arena.4096.purge", NULL, NULL, NULL, 0); /* 4096: all arenas */
    return 0;
}

static void read_settings(char *text, size_t text_size) {
    ssize_t dirty_ms = 0, muzzy_ms = 0;
    unsigned arena_count = 0;
    bool background = false, tcache = false;
    size_t size = sizeof dirty_ms;
    je.mallctl("opt.dirty_decay_ms", &dirty_ms, &size, NULL, 0);
    size = sizeof muzzy_ms;
    je.mallctl("opt.muzzy_decay_ms", &muzzy_ms, &size, NULL, 0);
    size = sizeof arena_count;
    je.mallctl("opt.narenas", &arena_count, &size, NULL, 0);
    size = sizeof background;
    je.mallctl("opt.background_thread", &background, &size, NULL, 0);
    size = sizeof tcache;
    je.mallctl("opt.tcache", &tcache, &size, NULL, 0);
    snprintf(text, text_size,
             "dirty_decay_ms:%zd,muzzy_decay_ms:%zd,narenas:%u,background_thread:%s,tcache:%s",
             dirty_ms, muzzy_ms, arena_count, background ? "true" : "false",
             tcache ? "true" : "false");
}

static enum hg_status je_open(hg_backend *backend, char *why, size_t why_size) {
    static char settings[160];
    void *library;
    enum hg_status status = hg__library_load("libjemalloc.so.2", backend, &library, why, why_size);
    if (status != HG_OK)
        return status;
    *(void **)&je.mallocx = dlsym(library, "mallocx");
    *(void **)&je.rallocx = dlsym(library, "rallocx");
    *(void **)&je.sdallocx = dlsym(library, "sdallocx");
    *(void **)&je.mallctl = dlsym(library, "mallctl");
    if (!je.mallocx || !je.rallocx || !je.sdallocx || !je.mallctl) {
        snprintf(why, why_size, "%s has no mallocx family: not a jemalloc", backend->facts.path);
        return HG_ERR_UNAVAILABLE;
    }
    backend->layout = (struct hg_layout_face){je_alloc, je_alloc_zeroed, je_realloc, je_dealloc};
    backend->purge = je_purge;
    const char *version = NULL;
    size_t size = sizeof version;
    if (je.mallctl("version", &version, &size, NULL, 0) == 0 && version)
        backend->facts.version = version;
    read_settings(settings, sizeof settings);
    backend->facts.tunables = settings;
    backend->facts.align_max = (size_t)1 << 40;
    return HG_OK;
}

const struct hg_adapter hg__adapter_jemalloc = {
    "jemalloc",
    "jemalloc; layouts through mallocx, rallocx, sdallocx",
    "libjemalloc2",
    je_open,
};
