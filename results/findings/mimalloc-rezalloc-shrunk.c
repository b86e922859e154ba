/* mimalloc 2.0.9: mi_rezalloc after a shrink that moved leaves bytes that are not zero. Exits with 1 where it does.
 * cc mimalloc-rezalloc-shrunk.c -l:libmimalloc.so.2.0 && ./a.out */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *mi_malloc(size_t size);
void mi_free(void *ptr);
void *mi_zalloc(size_t size);
void *mi_rezalloc(void *ptr, size_t size);

int main(void) {
    enum { LARGE = 600, SMALL = 67, BLOCKS = 2000 };
    static unsigned char *dirty[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) /* blocks of the smaller class that were written and freed */
        dirty[i] = memset(mi_malloc(SMALL + 13), 0xFF, SMALL + 13);
    for (int i = 0; i < BLOCKS; i++)
        mi_free(dirty[i]);
    for (int i = 0; i < BLOCKS; i++) {
        unsigned char *block = mi_zalloc(LARGE);
        block = block ? mi_rezalloc(block, SMALL) : NULL; /* moves; nothing was written to it */
        block = block ? mi_rezalloc(block, LARGE) : NULL;
        for (int at = 0; block && at < LARGE; at++) {
            if (block[at]) {
                printf("byte %d is 0x%02x where zero is owed\n", at, block[at]);
                return 1;
            }
        }
    }
    puts("all zero");
    return 0;
}
