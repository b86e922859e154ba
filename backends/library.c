#define _GNU_SOURCE
#include "adapter.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heapgauge/contain.h"

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

static void fill_native_face(void *handle, const char *file, struct hg_native_face *face) {
    const char *symbol;
    size_t offset;
    for (size_t i = 0; (symbol = hg_native_symbol(i, &offset)) != NULL; i++)
        store_function((char *)face + offset, own_symbol(handle, symbol, file));
}

/* The ways to give memory back that a library may export. */
static size_t purge_by_native(const hg_backend *self) {
    if (self->native.malloc_trim)
        return self->native.malloc_trim(0) == 1;
    if (self->native.mi_collect)
        self->native.mi_collect(true);
    else
        self->native.release_free_memory();
    return 0;
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

/* ---- a library with a layout face of its own ---- */

/* The functions of backend.h under "A library for --backend=PATH.so". */
struct exported {
    void *(*alloc)(size_t size, size_t align);
    void *(*alloc_zeroed)(size_t size, size_t align);
    void *(*realloc)(void *block, size_t size, size_t align, size_t new_size);
    void (*dealloc)(void *block, size_t size, size_t align);
};

static void *exported_alloc(const hg_backend *self, hg_layout layout) {
    const struct exported *exported = self->state;
    return exported->alloc(layout.size, layout.align);
}

static void *exported_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    const struct exported *exported = self->state;
    return exported->alloc_zeroed(layout.size, layout.align);
}

static void *exported_realloc(const hg_backend *self, void *block, hg_layout layout,
                              size_t new_size) {
    const struct exported *exported = self->state;
    return exported->realloc(block, layout.size, layout.align, new_size);
}

static void exported_dealloc(const hg_backend *self, void *block, hg_layout layout) {
    const struct exported *exported = self->state;
    exported->dealloc(block, layout.size, layout.align);
}

/* False, and nothing changed, iff the library exports no layout face. What it leaves out stays NULL. */
static bool fill_layout_face(void *handle, const char *file, hg_backend *backend) {
    struct exported found;
    store_function(&found.alloc, own_symbol(handle, "heapgauge_alloc", file));
    store_function(&found.alloc_zeroed, own_symbol(handle, "heapgauge_alloc_zeroed", file));
    store_function(&found.realloc, own_symbol(handle, "heapgauge_realloc", file));
    store_function(&found.dealloc, own_symbol(handle, "heapgauge_dealloc", file));
    struct exported *exported = found.alloc && found.dealloc ? malloc(sizeof *exported) : NULL;
    if (!exported)
        return false;
    *exported = found; /* as backends themselves, never freed */
    backend->state = exported;
    backend->layout.alloc = exported_alloc;
    backend->layout.alloc_zeroed = found.alloc_zeroed ? exported_alloc_zeroed : NULL;
    backend->layout.realloc = found.realloc ? exported_realloc : NULL;
    backend->layout.dealloc = exported_dealloc;
    return true;
}

static void take_layout_over_libc(hg_backend *backend) {
    backend->layout = hg__layout_over_libc;
    if (!backend->libc.realloc)
        backend->layout.realloc = NULL;
    if (!backend->libc.calloc)
        backend->layout.alloc_zeroed = NULL;
}

/* ---- any library ---- */

/* The file that defines what `name` is here; "" if nothing does. */
static const char *file_of_symbol(void *handle, const char *name) {
    void *address = dlsym(handle, name);
    return address ? hg__file_of_address(address) : "";
}

static const hg_backend *probed; /* by the child in hand */

static int probe(void *facts) {
    struct hg_facts *shared = facts;
    hg_backend backend = *probed;
    hg__probe_zero_policies(&backend);
    shared->malloc_zero = backend.facts.malloc_zero;
    shared->realloc_zero = backend.facts.realloc_zero;
    return 0;
}

/* A library of which nothing is known is asked in a child: some end the process when asked for 0 bytes,
 * and the first call here is then the caller's. What could not be found out stays unknown. */
static void probe_in_child(hg_backend *backend) {
    struct hg_facts *shared = hg_shared_map(sizeof *shared);
    struct hg_limits limits = {.timeout_s = 5};
    struct hg_contained child;
    probed = backend;
    if (!shared || hg_contain(probe, shared, &limits, &child) != HG_OK)
        return;
    backend->facts.malloc_zero = shared->malloc_zero;
    backend->facts.realloc_zero = shared->realloc_zero;
}

static void take_probed_facts(void *handle, const char *file, const char *file_asked_for,
                              hg_backend *backend) {
    const char *(*version)(void);
    store_function(&version, own_symbol(handle, "heapgauge_version", file));
    backend->facts.path = file;
    backend->facts.version = version ? version() : "unknown";
    backend->facts.align_min = backend->libc.malloc ? 8 : 1;
    backend->facts.align_max = (size_t)1 << 26;
    backend->facts.frees = true;
    if (strchr(file_asked_for, '/'))
        probe_in_child(backend);
    else
        hg__probe_zero_policies(backend);
}

/* Lets a library that reads `environ` itself (mimalloc, tcmalloc) see the environment as it is now. Bound
 * deeply, it finds the C library's own variable, which nobody sets where the program has a copy of it: a
 * copy relocation, as any mention of `environ` in the program makes one. */
static void show_environment(void) {
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    char ***shown = libc ? dlsym(libc, "__environ") : NULL;
    char ***current = dlsym(RTLD_DEFAULT, "__environ");
    if (shown && current)
        *shown = *current;
}

enum hg_status hg__library_load(const char *file, hg_backend *backend, void **handle, char *why,
                                size_t why_size) {
    if (strchr(file, '/') && access(file, R_OK) != 0) {
        snprintf(why, why_size, "%s: %s", file, strerror(errno));
        return HG_ERR_UNAVAILABLE;
    }
    show_environment();
    void *library = dlopen(file, LOAD_FLAGS);
    if (!library) {
        const char *reason = dlerror();
        snprintf(why, why_size, "cannot load: %s%s", reason,
                 strstr(reason, "static TLS")
                     ? " (set GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384)"
                     : "");
        return HG_ERR_UNAVAILABLE;
    }
    const char *own_file = file_of_symbol(library, "heapgauge_alloc");
    bool has_layout = fill_layout_face(library, own_file, backend);
    if (!has_layout)
        own_file = file_of_symbol(library, "malloc");
    fill_libc_face(library, own_file, &backend->libc);
    bool has_libc = backend->libc.malloc && backend->libc.free;
    const char *asked = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    bool served_by_libc = !has_layout && strstr(own_file, "libc.so") && !strstr(asked, "libc.so");
    if (served_by_libc || !(has_layout || has_libc)) {
        snprintf(why, why_size,
                 "%s defines no malloc and free of its own, nor heapgauge_alloc and "
                 "heapgauge_dealloc: not a malloc library",
                 file);
        dlclose(library);
        return HG_ERR_UNAVAILABLE;
    }
    if (!has_libc)
        backend->libc = (struct hg_libc_face){0}; /* never half of one */
    fill_native_face(library, own_file, &backend->native);
    if (backend->native.malloc_trim || backend->native.mi_collect ||
        backend->native.release_free_memory)
        backend->purge = purge_by_native;
    if (!has_layout)
        take_layout_over_libc(backend);
    take_probed_facts(library, own_file, file, backend);
    if (handle)
        *handle = library;
    return HG_OK;
}
