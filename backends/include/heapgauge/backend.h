/* What an allocator under test looks like: one plain struct of function pointers and facts.
 *
 * Preconditions shared by all functions below: pointers come from the same backend and face and are
 * live; layouts are valid (layout.h) and of size > 0; a layout passed with a pointer is exactly the one
 * its block has now. All functions may be called from any thread. A function that is NULL is not
 * supported by the allocator: it is never emulated silently.
 *
 * Errors: allocating functions return NULL and leave the old block as it was. */
#ifndef HEAPGAUGE_BACKEND_H
#define HEAPGAUGE_BACKEND_H

#include "heapgauge/layout.h"
#include "heapgauge/native.h"
#include "heapgauge/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hg_backend hg_backend;

/* The layout face, in the spirit of Rust's GlobalAlloc: the allocator's best native calls. */
struct hg_layout_face {
    void *(*alloc)(const hg_backend *self, hg_layout layout);
    void *(*alloc_zeroed)(const hg_backend *self, hg_layout layout);
    /* The result keeps layout.align; min(old, new) bytes are kept. */
    void *(*realloc)(const hg_backend *self, void *ptr, hg_layout layout, size_t new_size);
    void (*dealloc)(const hg_backend *self, void *ptr, hg_layout layout);
};

/* The libc face: the library's own functions, with no wrapper between the harness and them. */
struct hg_libc_face {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *ptr, size_t size);
    void (*free)(void *ptr);
    void *(*aligned_alloc)(size_t align, size_t size);
    int (*posix_memalign)(void **out, size_t align, size_t size);
    void *(*memalign)(size_t align, size_t size);
    void *(*valloc)(size_t size);
    void *(*pvalloc)(size_t size);
    void *(*reallocarray)(void *ptr, size_t count, size_t size);
    size_t (*malloc_usable_size)(void *ptr);
    void (*free_sized)(void *ptr, size_t size);                       /* C23 */
    void (*free_aligned_sized)(void *ptr, size_t align, size_t size); /* C23 */
};
#define HG_LIBC_FACE_COUNT 13

/* What an allocator does for size 0, or for realloc(p, 0). */
enum hg_zero_policy {
    HG_ZERO_UNKNOWN = 0,
    HG_ZERO_NULL,   /* returns NULL (realloc: and frees) */
    HG_ZERO_UNIQUE, /* returns a pointer distinct from every live one, to be freed */
};

struct hg_facts {
    const char *name;                 /* "jemalloc" */
    const char *version;              /* as the library itself reports it; "unknown" if it can't */
    const char *path;                 /* the file that really serves the calls, found by address */
    const char *package;              /* Debian package to install; NULL if none */
    const char *tunables;             /* settings in force, as text; NULL if none are known */
    size_t align_min;                 /* guaranteed for every size >= it, bytes */
    size_t align_max;                 /* largest alignment it serves, bytes */
    enum hg_zero_policy malloc_zero;  /* malloc(0) */
    enum hg_zero_policy realloc_zero; /* realloc(p, 0) */
    bool frees; /* false: never frees, so footprint and reuse say nothing (null backend) */
};

struct hg_backend {
    struct hg_layout_face layout;
    struct hg_libc_face libc;
    struct hg_native_face native;
    struct hg_facts facts;
    /* Returns unused memory to the operating system; bytes returned, 0 if not known. NULL: can't. */
    size_t (*purge)(const hg_backend *self);
    /* Makes page requests fail after `count` more succeed (UINT64_MAX: never). NULL: can't. */
    void (*fail_pages)(const hg_backend *self, uint64_t count);
    /* Checks the allocator's own structures. False: broken, `why` says how. NULL: can't. */
    bool (*validate)(const hg_backend *self, char *why, size_t why_size);
    const void *state; /* the adapter's own */
};

/* A library for --backend=PATH.so is one of malloc and free, or exports, in any language, the four
 * functions of a layout face under these names (or both: then each face is its own). The preconditions
 * above hold, size and alignment are a block's layout, and none may unwind into C. alloc and dealloc are
 * what makes it one; without another it is called unsupported. Without malloc and free the libc face is
 * NULL throughout. heapgauge_version, static text, is wholly optional.
 *
 *   void *heapgauge_alloc(size_t size, size_t align);
 *   void *heapgauge_alloc_zeroed(size_t size, size_t align);
 *   void *heapgauge_realloc(void *block, size_t size, size_t align, size_t new_size);
 *   void heapgauge_dealloc(void *block, size_t size, size_t align);
 *   const char *heapgauge_version(void);
 *
 * In Rust, export_backend!(ALLOCATOR) of core/rust writes the four for any GlobalAlloc. */

/* Room in static TLS that side-by-side loading needs (jemalloc). Re-executes the program once with
 * GLIBC_TUNABLES set, to which it adds what a backend named in argv asks of the C library
 * ("system:tcache_count=0"); call first in main. Returns only if nothing had to be done or exec failed. */
void hg_backend_prepare_process(char **argv);

/* Opens `spec`: a registered name ("core", "system", "jemalloc", ...), such a name with settings of its
 * tunables ("jemalloc:dirty_decay_ms=0:narenas=1"), a path to a library as above (it holds a '/' or ends
 * in ".so"), or a decorator and what it wraps ("fault-NAME:core", "count:core", "slow-2%:core").
 * A library has one setting a process: a second one is HG_ERR_USAGE.
 * A backend is opened once a process: asking again gives the same pointer. Never freed.
 * On failure *out is untouched and `why` gets one line that says what is wrong and what to do.
 * Not thread-safe. */
HG_WARN_UNUSED enum hg_status hg_backend_open(const char *spec, const hg_backend **out, char *why,
                                              size_t why_size);

/* Registered names in their order of listing; NULL past the end. */
const char *hg_backend_name(size_t index);
/* One line on what it is, for listings. */
const char *hg_backend_summary(size_t index);
/* The Debian package that provides it; NULL if none is needed. */
const char *hg_backend_package(size_t index);

/* What can be set of an allocator, from its documentation. */
struct hg_tunable {
    const char *name, *what; /* one line, with the default in brackets */
};

/* The j-th tunable of the i-th registered name; NULL past the end. */
const struct hg_tunable *hg_backend_tunable(size_t i, size_t j);

/* The nearest registered name to a misspelt one; NULL if none is near. */
const char *hg_backend_nearest(const char *name);

/* The nearest to `word` of the names that name_at(0), name_at(1), ... give, up to NULL: at most a third
 * of its letters and one differ. NULL if none is near. */
const char *hg_nearest_word(const char *word, const char *(*name_at)(size_t index));

/* Name and address of the i-th entry point of a libc face (0 .. HG_LIBC_FACE_COUNT-1), in the order of
 * the struct; *present says whether it is there. */
const char *hg_libc_face_entry(const struct hg_libc_face *face, size_t i, bool *present);

/* Hex SHA-256 of a file. False iff it can't be read. */
bool hg_file_sha256(const char *path, char hex[65]);

#ifdef __cplusplus
}
#endif
#endif
