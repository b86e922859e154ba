/* The C library's malloc family on the process-wide instance, under prefixed names.
 * libheapgauge_malloc.so exports the same functions under their plain names.
 *
 * Common rules (C17 7.22.3, POSIX.1-2024, glibc where these leave a choice): blocks are aligned to
 * 16 bytes; size 0 gives a distinct block; sizes above PTRDIFF_MAX fail. Returns NULL iff there is
 * no memory or an argument is invalid, with errno ENOMEM or EINVAL. Any block of this family may be
 * passed to hg_libc_free, _realloc and _malloc_usable_size, from any thread. Freeing keeps errno.
 */
#ifndef HEAPGAUGE_LIBC_H
#define HEAPGAUGE_LIBC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *hg_libc_malloc(size_t size);
/* Zeroed; NULL also iff count * size overflows. */
void *hg_libc_calloc(size_t count, size_t size);
/* A size of 0 frees the block and returns NULL, as glibc does; errno is kept then. */
void *hg_libc_realloc(void *block, size_t size);
/* As hg_libc_realloc with count * size; NULL also iff that overflows, and the block stays. */
void *hg_libc_reallocarray(void *block, size_t count, size_t size);
/* NULL is ignored. A pointer from elsewhere is ignored too, but reported in a hardened build. */
void hg_libc_free(void *block);
/* `align`: any power of two, else NULL and EINVAL. `size` need not be a multiple of it. */
void *hg_libc_aligned_alloc(size_t align, size_t size);
/* Returns 0, EINVAL (`align` no power of two or no multiple of sizeof(void *)) or ENOMEM. errno
 * and, on failure, *out are left alone. */
int hg_libc_posix_memalign(void **out, size_t align, size_t size);
/* As aligned_alloc, but other alignments are rounded up to a power of two (glibc). */
void *hg_libc_memalign(size_t align, size_t size);
/* Aligned to a page; pvalloc also rounds the size up to whole pages, at least one. */
void *hg_libc_valloc(size_t size);
void *hg_libc_pvalloc(size_t size);
/* Bytes that may be used; 0 for NULL and for pointers from elsewhere. */
size_t hg_libc_malloc_usable_size(void *block);
/* C23: `size` exactly as asked; the block from malloc, calloc or realloc only. */
void hg_libc_free_sized(void *block, size_t size);
/* C23: `align` and `size` exactly as asked; the block from aligned_alloc only. */
void hg_libc_free_aligned_sized(void *block, size_t align, size_t size);
/* Gives free pages back (hg_purge); `pad` is ignored. 1 iff there were any, else 0. */
int hg_libc_malloc_trim(size_t pad);

#ifdef __cplusplus
}
#endif
#endif
