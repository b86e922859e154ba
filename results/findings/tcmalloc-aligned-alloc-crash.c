/* tcmalloc breaks crash of the contract:
 *   died of signal 11
 *
 * Made by heapgauge reduce; needs nothing of Heapgauge. Dies of signal 11: the promise is broken.
 *   cc -O0 -fno-builtin -pthread tcmalloc-aligned-alloc-crash.c -o repro -ldl
 *   ./repro libtcmalloc_minimal.so.4
 * or LD_PRELOAD of that library and ./repro
 * (tcmalloc gperftools 2.10; a library with large static TLS needs
 *  GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384) */
#define SLOTS 1
#define SHORT 0                                    /* memory may be short */
#pragma GCC diagnostic ignored "-Wunused-function" /* one set of helpers for all */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Called through volatile pointers, so that no compiler removes or folds a call. */
static void *(*volatile f_malloc)(size_t), *(*volatile f_calloc)(size_t, size_t),
    *(*volatile f_realloc)(void *, size_t), *(*volatile f_reallocarray)(void *, size_t, size_t),
    *(*volatile f_aligned_alloc)(size_t, size_t), *(*volatile f_memalign)(size_t, size_t),
    *(*volatile f_valloc)(size_t), *(*volatile f_pvalloc)(size_t);
static int (*volatile f_posix_memalign)(void **, size_t, size_t);
static void (*volatile f_free)(void *);
static size_t (*volatile f_usable)(void *);
static void *loaded;

static struct {
    unsigned char *volatile p;
    size_t size, usable, align;
    unsigned filled;
} s[SLOTS];
static int line;

static void fail(const char *what, size_t owed, size_t seen) {
    printf("BROKEN at operation %d: %s: owed %zu, seen %zu\n", line, what, owed, seen);
    fflush(stdout);
    _exit(1);
}

static unsigned char byte(int i, size_t at) {
    return (unsigned char)((unsigned)i * 37 + s[i].filled * 101 + at * 13 + (at >> 8) + 1);
}

static void verify(int i, size_t size) {
    for (size_t at = 0; s[i].p && at < size; at++)
        if (s[i].p[at] != byte(i, at))
            fail("content of a block changed: byte", byte(i, at), s[i].p[at]);
}

/* A new block in slot i: aligned, apart from every other, as large as asked for. Then it is filled. */
static void take(int i, void *result, size_t size, size_t align, int zeroed) {
    uintptr_t p = (uintptr_t)result;
    s[i].p = result;
    if (!result) {
        if (size > 0 && SHORT == 0)
            fail("refused although memory is there", 1, 0);
        return;
    }
    s[i].size = s[i].usable = size;
    s[i].align = align;
    s[i].filled++;
    if (size > 0 && p % align)
        fail("alignment", align, p & -p);
    if (f_usable)
        s[i].usable = f_usable(result);
    if (s[i].usable < size)
        fail("usable size", size, s[i].usable);
    for (int j = 0; j < SLOTS; j++)
        if (j != i && s[j].p && p < (uintptr_t)s[j].p + (s[j].usable ? s[j].usable : 1) &&
            (uintptr_t)s[j].p < p + (s[i].usable ? s[i].usable : 1))
            fail("two live blocks overlap: distance", s[i].usable, p - (uintptr_t)s[j].p);
    for (size_t at = 0; zeroed && at < size; at++)
        if (s[i].p[at])
            fail("zeroed memory: byte", 0, s[i].p[at]);
    for (size_t at = 0; at < s[i].usable; at++)
        s[i].p[at] = byte(i, at);
}

static void give(int i) {
    verify(i, s[i].usable);
    void *p = s[i].p;
    if (p && f_usable && f_usable(p) != s[i].usable)
        fail("usable size of a live block", s[i].usable, f_usable(p));
    s[i].p = NULL;
    errno = 4095;
    f_free(p);
    if (errno != 4095)
        fail("errno after free", 4095, (size_t)errno);
}

/* A block after realloc: what was kept, then as a new one. */
static void move(int i, void *result, size_t size, size_t align) {
    size_t old = s[i].size;
    unsigned char *before = s[i].p;
    if (!result && size > 0) {
        verify(i, s[i].usable);
        return;
    }
    s[i].p = result;
    if (before && result)
        verify(i, old < size ? old : size);
    if (result && size == 0) {
        s[i].p = NULL;
        f_free(result);
        return;
    }
    take(i, result, size, align, 0);
}

/* A call that must fail. */
static void must_fail(void *result, int owed_errno) {
    if (result)
        fail("a call that must fail returned a block", 0, (size_t)(uintptr_t)result);
    if (owed_errno && errno != owed_errno)
        fail("errno", (size_t)owed_errno, (size_t)errno);
}

/* A call that may fail for lack of memory, but must then say so; what it grants goes back. */
static void *may_fail(void *result) {
    if (!result && errno != ENOMEM)
        fail("errno", ENOMEM, (size_t)errno);
    f_free(result);
    return result;
}

static void *posix(size_t align, size_t size, int owed) {
    static char marker;
    void *out = &marker;
    int error = f_posix_memalign(&out, align, size);
    if (owed && error != owed)
        fail("posix_memalign's result", (size_t)owed, (size_t)error);
    if (error && out != &marker)
        fail("*memptr after a failure", (size_t)(uintptr_t)&marker, (size_t)(uintptr_t)out);
    return error ? NULL : out;
}

static size_t owed(size_t size) { /* by malloc: the largest power of two in size, at most 16 */
    size_t align = 1;
    while (align < 16 && align * 2 <= size)
        align *= 2;
    return align;
}

static void fork_child(void) {
    pid_t child = fork();
    if (child == 0) {
        alarm(5);
        for (int i = 0; i < SLOTS; i += 2)
            if (s[i].p)
                give(i);
        for (size_t size = 1; size <= 1 << 17; size *= 4)
            f_free(f_malloc(size));
        _exit(0);
    }
    int status = 0;
    if (child > 0 && waitpid(child, &status, 0) == child && status != 0)
        fail("status of the child of fork", 0, (size_t)status);
}

/* A function if the library that has malloc defines it itself: another's would mix two heaps. */
static void *own(void *library, const char *name) {
    Dl_info all, one;
    void *function = dlsym(library, name);
    return function && dladdr(dlsym(library, "malloc"), &all) && dladdr(function, &one) &&
                   all.dli_fbase == one.dli_fbase
               ? function
               : NULL;
}

/* The library to call: the first argument, or what serves the program's own malloc (LD_PRELOAD). */
static void load(const char *file) {
    void *library = file ? dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND) : RTLD_DEFAULT;
    if (file && !library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    loaded = library;
    *(void **)&f_malloc = own(library, "malloc");
    *(void **)&f_calloc = own(library, "calloc");
    *(void **)&f_realloc = own(library, "realloc");
    *(void **)&f_reallocarray = own(library, "reallocarray");
    *(void **)&f_aligned_alloc = own(library, "aligned_alloc");
    *(void **)&f_memalign = own(library, "memalign");
    *(void **)&f_valloc = own(library, "valloc");
    *(void **)&f_pvalloc = own(library, "pvalloc");
    *(void **)&f_posix_memalign = own(library, "posix_memalign");
    *(void **)&f_free = own(library, "free");
    *(void **)&f_usable = own(library, "malloc_usable_size");
    /* The heap as Heapgauge had it, which asks for these two answers when it opens a library. */
    f_free(f_malloc(0));
    f_free(f_realloc(f_malloc(16), 0));
}

/* Turn by turn: a thread does its run of operations while the others wait. */
static struct {
    pthread_t id;
    int runs, turn;
} t[4];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static void step(int i);
static void *work(void *argument) {
    int self = (int)(intptr_t)argument;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (t[self].turn == 0)
            pthread_cond_wait(&changed, &lock);
        if (t[self].turn < 0)
            break;
        step(t[self].turn - 1);
        t[self].turn = 0;
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}
static void on(int self, int i) {
    if (self == 0) {
        step(i);
        return;
    }
    if (!t[self].runs++)
        pthread_create(&t[self].id, NULL, work, (void *)(intptr_t)self);
    pthread_mutex_lock(&lock);
    t[self].turn = i + 1;
    pthread_cond_broadcast(&changed);
    while (t[self].turn)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
static void end(int self) {
    if (!t[self].runs)
        return;
    pthread_mutex_lock(&lock);
    t[self].turn = -1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(t[self].id, NULL);
    t[self].runs = t[self].turn = 0;
}

static void step(int i) {
    line = i;
    switch (i) {
    case 0: /* t0 NULL = aligned_alloc(18446744073709551615, 0) */
        errno = 0;
        must_fail(f_aligned_alloc(UINT64_C(18446744073709551615), 0), 0);
        break;
    }
}

int main(int argc, char **argv) {
    load(argc > 1 ? argv[1] : NULL);
    on(0, 0);
    line = 1;
    for (int i = 0; i < SLOTS; i++)
        verify(i, s[i].usable);
    for (int i = 0; i < SLOTS; i++)
        if (s[i].p)
            give(i);
    puts("kept every promise");
    return 0;
}
