/* The smallest backend there is: heapgauge_alloc and heapgauge_dealloc, in C, over the C library. What it
 * leaves out is unsupported, never emulated. */
#include <stdlib.h>

void *heapgauge_alloc(size_t size, size_t align);
void *heapgauge_alloc(size_t size, size_t align) {
    void *block = NULL;
    size_t least = align < sizeof(void *) ? sizeof(void *) : align;
    return posix_memalign(&block, least, size) == 0 ? block : NULL;
}

void heapgauge_dealloc(void *block, size_t size, size_t align);
void heapgauge_dealloc(void *block, size_t size, size_t align) {
    (void)size;
    (void)align;
    free(block);
}

const char *heapgauge_version(void);
const char *heapgauge_version(void) {
    return "two functions";
}
