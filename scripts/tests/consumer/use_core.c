/* The core of an embedder: an instance inside a region of its own, and the process-wide one. */
#include <heapgauge/core.h>
#include <heapgauge/libc.h>

#include <stdio.h>
#include <string.h>

static unsigned char region[1 << 20];

int main(void) {
    hg_layout layout;
    if (!hg_layout_make(1000, 256, &layout))
        return 1;
    hg_core *core = hg_core_over_region(region, sizeof region, NULL);
    unsigned char *block = core ? hg_core_alloc(core, layout) : NULL;
    if (!block || (size_t)block % 256 != 0 || block < region || block >= region + sizeof region)
        return 2;
    memset(block, 1, layout.size);
    char why[200] = "";
    if (!hg_core_validate(core, why, sizeof why)) {
        printf("%s\n", why);
        return 3;
    }
    hg_core_dealloc(core, block, layout);
    hg_core_destroy(core);
    void *other = hg_libc_malloc(100);
    if (!other || hg_libc_malloc_usable_size(other) < 100)
        return 4;
    hg_libc_free(other);
    printf("core %s\n", hg_core_version());
    return 0;
}
