/* Memory for tables: from vmalloc, apart from the slabs under test, zeroed as mmap's. */
#ifndef HG_KERNEL_MMAN_H
#define HG_KERNEL_MMAN_H

#include <linux/string.h>
#include <linux/vmalloc.h>

#define MAP_FAILED ((void *)-1)

static inline void *hg__map(size_t size) {
    void *memory = vzalloc(size);
    return memory ? memory : MAP_FAILED;
}

static inline void *hg__map_grown(void *old, size_t old_size, size_t new_size) {
    void *memory = hg__map(new_size);
    if (memory == MAP_FAILED)
        return memory;
    memcpy(memory, old, old_size);
    vfree(old);
    return memory;
}

/* Advice, taken or not. The kernel has a function of the same name. */
#undef MADV_HUGEPAGE
#define MADV_HUGEPAGE                  0
#define madvise(address, size, advice) 0

/* What the kernel has is resident. */
#define mincore(address, size, states) (*(states) = 1, 0)

#define mmap(address, size, protection, flags, fd, offset) hg__map(size)
#define munmap(address, size)                              vfree(address)
#define mremap(old, old_size, new_size, flags)             hg__map_grown(old, old_size, new_size)

#endif
