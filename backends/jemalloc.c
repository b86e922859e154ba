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

/* ---- tunables: jemalloc(3), "opt.NAME" ---- */

static const struct hg_tunable list[] = {
    {"background_thread", "true: a thread of its own purges (false)"},
    {"dirty_decay_ms", "how long freed pages stay (10000; 0: not at all, -1: for good)"},
    {"muzzy_decay_ms", "how long lazily returned pages stay (0)"},
    {"narenas", "arenas (four a processor)"},
    {"tcache", "false: no thread caches (true)"},
    {"tcache_max", "bytes up to which blocks go to thread caches (32768)"},
    {"oversize_threshold", "bytes from which a block comes from an arena of its own (8388608)"},
    {"retain", "true: address space is never given back (true)"},
    {"metadata_thp", "huge pages for its own data: disabled, auto, always"},
    {"percpu_arena", "arenas by processor: disabled, percpu, phycpu"},
    {"thp", "huge pages: default, always, never"},
    {NULL, NULL},
};

/* Each option has a type of its own; the size that jemalloc accepts tells it. */
static bool je_read(const char *name, char *text, size_t text_size) {
    char path[96];
    snprintf(path, sizeof path, "opt.%s", name);
    bool truth;
    unsigned small;
    ssize_t number;
    const char *word;
    size_t size = sizeof truth;
    if (je.mallctl(path, &truth, &size, NULL, 0) == 0)
        return snprintf(text, text_size, "%s", truth ? "true" : "false") > 0;
    size = sizeof small;
    if (je.mallctl(path, &small, &size, NULL, 0) == 0)
        return snprintf(text, text_size, "%u", small) > 0;
    bool is_word = strstr("metadata_thp percpu_arena thp", name) != NULL;
    size = sizeof word;
    if (is_word && je.mallctl(path, &word, &size, NULL, 0) == 0)
        return snprintf(text, text_size, "%s", word) > 0;
    size = sizeof number;
    return !is_word && je.mallctl(path, &number, &size, NULL, 0) == 0 &&
           snprintf(text, text_size, "%zd", number) > 0;
}

static const struct hg_tunable_set tunables = {list, "MALLOC_CONF", je_read, false};

static enum hg_status je_open(hg_backend *backend, char *why, size_t why_size) {
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
    backend->facts.align_max = (size_t)1 << 40;
    return HG_OK;
}

const struct hg_adapter hg__adapter_jemalloc = {
    "jemalloc", "jemalloc; layouts through mallocx, rallocx, sdallocx", "libjemalloc2", &tunables,
    je_open,
};
