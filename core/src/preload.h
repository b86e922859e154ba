/* What the preloadable libraries export besides C++'s operators: the whole family, so that no two
 * heaps are mixed. Declared here because not every libc declares all of it. */
#ifndef HG__PRELOAD_H
#define HG__PRELOAD_H

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#pragma GCC visibility push(default)
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void *reallocarray(void *block, size_t count, size_t size);
void free(void *block);
void cfree(void *block);
void *aligned_alloc(size_t align, size_t size);
int posix_memalign(void **out, size_t align, size_t size);
void *memalign(size_t align, size_t size);
void *valloc(size_t size);
void *pvalloc(size_t size);
size_t malloc_usable_size(void *block);
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t align, size_t size);
int malloc_trim(size_t pad);
#ifdef __GLIBC__
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t align, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *block);
int mallopt(int parameter, int value);
void malloc_stats(void);
int malloc_info(int options, FILE *stream);
struct mallinfo mallinfo(void);
#if __GLIBC_PREREQ(2, 33)
struct mallinfo2 mallinfo2(void);
#endif
#endif
#pragma GCC visibility pop

#endif
