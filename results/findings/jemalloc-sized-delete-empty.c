/* jemalloc 5.3.0 breaks C49 of the contract: sized operator delete of an empty array of an over-aligned
 * type files the block under the smallest size class.
 *
 * Needs nothing of Heapgauge. Exit status 1: the promise is broken.
 *   cc -O0 -fno-builtin jemalloc-sized-delete-empty.c -o repro -ldl
 *   GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384 ./repro libjemalloc.so.2
 * or LD_PRELOAD of that library and ./repro */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGN = 32, COUNT = 16 };

static const char nothrow;
static unsigned char *block[COUNT];

int main(int argc, char **argv) {
    void *library =
        argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND) : RTLD_DEFAULT;
    if (argc > 1 && !library) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    /* operator new(size_t, align_val_t, nothrow), operator delete(void *, size_t, align_val_t) */
    void *(*new_aligned)(size_t, size_t, const void *);
    void (*delete_sized)(void *, size_t, size_t);
    void *(*mallocx)(size_t, int);
    size_t (*nallocx)(size_t, int), (*sallocx)(const void *, int);
    *(void **)&new_aligned = dlsym(library, "_ZnwmSt11align_val_tRKSt9nothrow_t");
    *(void **)&delete_sized = dlsym(library, "_ZdlPvmSt11align_val_t");
    *(void **)&mallocx = dlsym(library, "mallocx");
    *(void **)&nallocx = dlsym(library, "nallocx");
    *(void **)&sallocx = dlsym(library, "sallocx");
    if (!new_aligned || !delete_sized || !mallocx || !nallocx || !sallocx) {
        fprintf(stderr, "the library has no operators of C++17, or no mallocx\n");
        return 2;
    }
    /* What `delete[] new T[0]` does for an alignas(32) T whose destructor is trivial. */
    for (int i = 0; i < COUNT; i++)
        block[i] = new_aligned(0, ALIGN, &nothrow);
    for (int i = 0; i < COUNT; i++)
        delete_sized(block[i], 0, ALIGN);
    /* jemalloc(3): "the real size of the allocation that would result from the equivalent mallocx()". */
    for (int i = 0; i < COUNT; i++) {
        block[i] = mallocx(1, 0);
        if (sallocx(block[i], 0) != nallocx(1, 0)) {
            printf("BROKEN: nallocx(1, 0) is %zu, sallocx of block %d from mallocx(1, 0) is %zu\n",
                   nallocx(1, 0), i, sallocx(block[i], 0));
            return 1;
        }
    }
    puts("kept every promise");
    return 0;
}
