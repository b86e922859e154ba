#define _GNU_SOURCE
#include "adapter.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(HG_SANITIZED)
/* The sanitizers refuse RTLD_DEEPBIND, which would take their interceptors away. */
#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL)
#else
#define LOAD_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)
#endif

/* For code of the program itself the loader knows no more than argv[0]. */
static const char *file_of_program(void) {
    static char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    return length > 0 ? path : "unknown";
}

const char *hg__file_of_address(const void *address) {
    Dl_info info, own;
    static const char anchor;
    if (!dladdr(address, &info) || !info.dli_fname || !info.dli_fname[0])
        return "unknown";
    bool is_ours = dladdr(&anchor, &own) && own.dli_fbase == info.dli_fbase;
    return is_ours ? file_of_program() : info.dli_fname;
}

/* The address of `name` if the library itself defines it, else NULL: dlsym also finds what a dependency
 * (libc!) defines, and taking that would mix two heaps (C55). */
static void *own_symbol(void *handle, const char *name, const char *own_file) {
    void *address = dlsym(handle, name);
    if (!address)
        return NULL;
    return strcmp(hg__file_of_address(address), own_file) == 0 ? address : NULL;
}

/* ISO C has no cast from object to function pointer; POSIX promises that they are alike. */
static void store_function(void *function_pointer, const void *address) {
    memcpy(function_pointer, &address, sizeof address);
}

static void fill_libc_face(void *handle, const char *file, struct hg_libc_face *face) {
    const struct {
        const char *name;
        void *function;
    } entries[HG_LIBC_FACE_COUNT] = {
        {"malloc", &face->malloc},
        {"calloc", &face->calloc},
        {"realloc", &face->realloc},
        {"free", &face->free},
        {"aligned_alloc", &face->aligned_alloc},
        {"posix_memalign", &face->posix_memalign},
        {"memalign", &face->memalign},
        {"valloc", &face->valloc},
        {"pvalloc", &face->pvalloc},
        {"reallocarray", &face->reallocarray},
        {"malloc_usable_size", &face->malloc_usable_size},
        {"free_sized", &face->free_sized},
        {"free_aligned_sized", &face->free_aligned_sized},
    };
    for (size_t i = 0; i < HG_LIBC_FACE_COUNT; i++)
        store_function(entries[i].function, own_symbol(handle, entries[i].name, file));
}

void hg__probe_zero_policies(hg_backend *backend) {
    const struct hg_libc_face *libc = &backend->libc;
    if (!libc->malloc || !libc->free || !libc->realloc)
        return;
    void *none = libc->malloc(0);
    backend->facts.malloc_zero = none ? HG_ZERO_UNIQUE : HG_ZERO_NULL;
    if (none)
        libc->free(none);
    void *some = libc->malloc(16);
    if (!some)
        return;
    void *after = libc->realloc(some, 0);
    backend->facts.realloc_zero = after ? HG_ZERO_UNIQUE : HG_ZERO_NULL;
    if (after)
        libc->free(after);
}

enum hg_status hg__library_load(const char *file, hg_backend *backend, void **handle, char *why,
                                size_t why_size) {
    if (strchr(file, '/') && access(file, R_OK) != 0) {
        snprintf(why, why_size, "%s: %s", file, strerror(errno));
        return HG_ERR_UNAVAILABLE;
    }
    void *library = dlopen(file, LOAD_FLAGS);
    if (!library) {
        const char *reason = dlerror();
        snprintf(why, why_size, "cannot load: %s%s", reason,
                 strstr(reason, "static TLS")
                     ? " (set GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384)"
                     : "");
        return HG_ERR_UNAVAILABLE;
    }
    void *any = dlsym(library, "malloc");
    const char *own_file = any ? hg__file_of_address(any) : "";
    fill_libc_face(library, own_file, &backend->libc);
    const char *asked = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    bool served_by_libc = any && strstr(own_file, "libc.so") && !strstr(asked, "libc.so");
    if (!any || served_by_libc || !backend->libc.free) {
        snprintf(why, why_size, "%s defines no malloc and free of its own: not a malloc library",
                 file);
        dlclose(library);
        return HG_ERR_UNAVAILABLE;
    }
    backend->layout = hg__layout_over_libc;
    if (!backend->libc.realloc)
        backend->layout.realloc = NULL;
    if (!backend->libc.calloc)
        backend->layout.alloc_zeroed = NULL;
    backend->facts.path = own_file;
    backend->facts.version = "unknown";
    backend->facts.align_min = 8;
    backend->facts.align_max = (size_t)1 << 26;
    backend->facts.frees = true;
    hg__probe_zero_policies(backend);
    if (handle)
        *handle = library;
    return HG_OK;
}
