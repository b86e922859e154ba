/* Any backend as a process-wide allocator of layouts: what AnyBackend of core/rust calls. The backend is
 * the one that HEAPGAUGE_BACKEND names ("core" if it is not set), chosen once, in a constructor: before
 * main and before threads. Nothing here allocates but the backend itself and, while it is opened, the
 * loader through the C library's malloc. */
#include "rust_shim.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic(const hg_backend *) chosen;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *wanted(void) {
    const char *spec = getenv("HEAPGAUGE_BACKEND");
    return spec && *spec ? spec : "core";
}

/* Without an allocator there is no way on, nor one back: not even a panic can be made. */
static void open_wanted(void) {
    const hg_backend *backend;
    char why[512], line[600];
    if (hg_backend_open(wanted(), &backend, why, sizeof why) != HG_OK) {
        int length = snprintf(line, sizeof line, "heapgauge: HEAPGAUGE_BACKEND: %s\n", why);
        ssize_t written = write(STDERR_FILENO, line, (size_t)length);
        (void)written;
        _exit(2);
    }
    atomic_store_explicit(&chosen, backend, memory_order_release);
}

/* The loader passes a program's constructors what it passes to main. */
__attribute__((constructor)) static void choose_at_start(int argc, char **argv) {
    (void)argc;
    if (strcmp(wanted(), "core") != 0 && strcmp(wanted(), "system") != 0)
        hg_backend_prepare_process(argv);
    pthread_once(&once, open_wanted);
}

static inline const hg_backend *backend_now(void) {
    const hg_backend *backend = atomic_load_explicit(&chosen, memory_order_acquire);
    if (__builtin_expect(!backend, 0)) { /* an earlier constructor allocates */
        pthread_once(&once, open_wanted);
        backend = atomic_load_explicit(&chosen, memory_order_acquire);
    }
    return backend;
}

void *hg_any_alloc(hg_layout layout) {
    const hg_backend *backend = backend_now();
    return backend->layout.alloc(backend, layout);
}

void *hg_any_alloc_zeroed(hg_layout layout) {
    const hg_backend *backend = backend_now();
    if (backend->layout.alloc_zeroed)
        return backend->layout.alloc_zeroed(backend, layout);
    void *block = backend->layout.alloc(backend, layout);
    return block ? memset(block, 0, layout.size) : NULL;
}

void hg_any_dealloc(void *block, hg_layout layout) {
    const hg_backend *backend = backend_now();
    backend->layout.dealloc(backend, block, layout);
}

void *hg_any_realloc(void *block, hg_layout old, size_t new_size) {
    const hg_backend *backend = backend_now();
    if (backend->layout.realloc)
        return backend->layout.realloc(backend, block, old, new_size);
    void *moved = backend->layout.alloc(backend, (hg_layout){new_size, old.align});
    if (!moved)
        return NULL;
    memcpy(moved, block, old.size < new_size ? old.size : new_size);
    backend->layout.dealloc(backend, block, old);
    return moved;
}
