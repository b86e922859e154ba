/* gperftools' tcmalloc (the minimal library): libc face, layouts as Rust's System does. */
#include "adapter.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void (*release_free_memory)(void);
static int (*get_property)(const char *name, size_t *value);

static size_t tc_purge(const hg_backend *self) {
    (void)self;
    release_free_memory();
    return 0;
}

/* ---- tunables: environment variables of gperftools ---- */

static const struct hg_tunable list[] = {
    {"aggressive_decommit", "1: freed pages are returned at once (0)"},
    {"max_total_thread_cache_bytes", "of all threads together (33554432)"},
    {"release_rate", "how eagerly pages are returned: 0 never, 1 the default, 10 eagerly"},
    {"transfer_num_obj", "blocks moved between caches at a time (32)"},
    {NULL, NULL},
};

/* It tells two of them. */
static bool tc_read(const char *name, char *text, size_t text_size) {
    size_t value;
    const char *property = strcmp(name, "aggressive_decommit") == 0
                               ? "tcmalloc.aggressive_memory_decommit"
                           : strcmp(name, "max_total_thread_cache_bytes") == 0
                               ? "tcmalloc.max_total_thread_cache_bytes"
                               : NULL;
    return property && get_property && get_property(property, &value) &&
           snprintf(text, text_size, "%zu", value) > 0;
}

static const struct hg_tunable_set tunables = {list, "TCMALLOC_", tc_read, false};

static enum hg_status tc_open(hg_backend *backend, char *why, size_t why_size) {
    void *library;
    enum hg_status status =
        hg__library_load("libtcmalloc_minimal.so.4", backend, &library, why, why_size);
    if (status != HG_OK)
        return status;
    const char *(*version)(int *major, int *minor, const char **patch);
    *(void **)&version = dlsym(library, "tc_version");
    if (version)
        backend->facts.version = version(NULL, NULL, NULL);
    *(void **)&release_free_memory = dlsym(library, "MallocExtension_ReleaseFreeMemory");
    *(void **)&get_property = dlsym(library, "MallocExtension_GetNumericProperty");
    if (release_free_memory)
        backend->purge = tc_purge;
    return HG_OK;
}

const struct hg_adapter hg__adapter_tcmalloc = {
    "tcmalloc", "gperftools tcmalloc (minimal)", "libtcmalloc-minimal4", &tunables, tc_open,
};
