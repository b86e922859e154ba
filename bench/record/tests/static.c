/* A program that LD_PRELOAD can not reach. */
#include <stdlib.h>

int main(void) {
    void *volatile block = malloc(24);
    free(block);
    return block ? 0 : 1;
}
