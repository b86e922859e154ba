/* The kernel's allocators as backends, each with a layout face. */
#ifndef HG_KERNEL_SLAB_H
#define HG_KERNEL_SLAB_H

#include "heapgauge/backend.h"

/* The backend of that name; NULL if there is none. */
const hg_backend *hg__slab_backend(const char *name);
/* The i-th backend; NULL past the end. */
const hg_backend *hg__slab_backend_at(size_t index);
/* Gives the caches of the backend kmem_cache back; nothing may be live. */
void hg__slab_exit(void);

#endif
