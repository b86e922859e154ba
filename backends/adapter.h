/* What the files of this folder share: how an adapter is registered, and the pieces most are made of.
 * Private to backends/. */
#ifndef HG_ADAPTER_H
#define HG_ADAPTER_H

#include "heapgauge/backend.h"

#include "tunables.h"

/* One allocator Heapgauge knows by name. Opened at most once a process. */
struct hg_adapter {
    const char *name;
    const char *summary;                   /* one line */
    const char *package;                   /* Debian package; NULL if none is needed */
    const struct hg_tunable_set *tunables; /* NULL: none that can be set */
    /* Fills *backend. On failure returns why not, and one line in `why`. */
    enum hg_status (*open)(hg_backend *backend, char *why, size_t why_size);
};

extern const struct hg_adapter hg__adapter_core;
extern const struct hg_adapter hg__adapter_system;
extern const struct hg_adapter hg__adapter_jemalloc;
extern const struct hg_adapter hg__adapter_mimalloc;
extern const struct hg_adapter hg__adapter_tcmalloc;
extern const struct hg_adapter hg__adapter_null;

/* ---- library.c ---- */

/* Loads a malloc library beside the others (RTLD_LOCAL, RTLD_DEEPBIND) and fills the libc face with the
 * entry points that the library itself defines, the layout face as Rust's System does over them, and
 * the facts that can be probed. `file` is a path or a soname. */
HG_WARN_UNUSED enum hg_status hg__library_load(const char *file, hg_backend *backend, void **handle,
                                               char *why, size_t why_size);

/* The path of the file that holds the code at `address`; static storage of the loader. */
const char *hg__file_of_address(const void *address);

/* Asks malloc(0) and realloc(p, 0) what they do here, and records it in the facts. */
void hg__probe_zero_policies(hg_backend *backend);

/* ---- over_libc.c ---- */

/* A layout face over a libc face, by the rule of Rust's System on Unix (contract.md C72): plain malloc
 * where its guarantee suffices, posix_memalign or aligned_alloc else; an over-aligned reallocation is
 * allocate, copy, free. */
extern const struct hg_layout_face hg__layout_over_libc;

/* ---- decorators: each wraps `inner`, one of a kind a process ---- */
HG_WARN_UNUSED enum hg_status hg__faulty_open(const char *fault, const hg_backend *inner,
                                              hg_backend *backend, char *why, size_t why_size);
/* `model` as in slab.c: "8-raw", "64-aligned", "8-padded-6.11". */
HG_WARN_UNUSED enum hg_status hg__slab_open(const char *model, const hg_backend *inner,
                                            hg_backend *backend, char *why, size_t why_size);
HG_WARN_UNUSED enum hg_status hg__counting_open(const hg_backend *inner, hg_backend *backend);
HG_WARN_UNUSED enum hg_status hg__slow_open(const char *percent, const hg_backend *inner,
                                            hg_backend *backend, char *why, size_t why_size);

#endif
