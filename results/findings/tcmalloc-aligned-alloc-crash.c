/* gperftools 2.10: aligned_alloc with an alignment of SIZE_MAX and a size of 0 crashes; it must return NULL.
 * Needs nothing of Heapgauge. Exit status 1: the promise is broken.
 *   cc -O0 -fno-builtin tcmalloc-aligned-alloc-crash.c -o repro
 *   LD_PRELOAD=libtcmalloc_minimal.so.4 ./repro */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    volatile size_t alignment = SIZE_MAX, size = 0;
    const pid_t child = fork();
    if (child == 0)
        _exit(aligned_alloc(alignment, size) != NULL);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        printf("BROKEN: aligned_alloc(SIZE_MAX, 0) died of signal %d\n", WTERMSIG(status));
    else if (status != 0)
        printf("BROKEN: aligned_alloc(SIZE_MAX, 0) returned a block\n");
    else
        puts("kept every promise");
    return status != 0;
}
