/* gperftools' tcmalloc (the minimal library): libc face, layouts as Rust's System does. */
#include "adapter.h"

#include <dlfcn.h>

static void (*release_free_memory)(void);

static size_t tc_purge(const hg_backend *self) {
    (void)self;
    release_free_memory();
    return 0;
}

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
    if (release_free_memory)
        backend->purge = tc_purge;
    return HG_OK;
}

const struct hg_adapter hg__adapter_tcmalloc = {
    "tcmalloc",
    "gperftools tcmalloc (minimal)",
    "libtcmalloc-minimal4",
    tc_open,
};
