/* Scudo (LLVM 14): operator delete with size and alignment ends the process for a block aligned to 2 MiB, though both are
 * those of its operator new. Needs nothing of Heapgauge. Exit status 1: the promise is broken.
 *   cc -O0 -fno-builtin scudo-sized-delete-aligned.c -o repro -ldl
 *   LD_PRELOAD=libclang_rt.scudo_standalone-x86_64.so ./repro */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* operator new(size_t, std::align_val_t) and operator delete(void *, size_t, std::align_val_t), as C++ names them. */
typedef void *new_aligned(size_t size, size_t alignment);
typedef void delete_sized_aligned(void *block, size_t size, size_t alignment);

int main(void) {
    const size_t size = 1, alignment = 2 << 20;
    new_aligned *make = (new_aligned *)dlsym(RTLD_DEFAULT, "_ZnwmSt11align_val_t");
    delete_sized_aligned *end =
        (delete_sized_aligned *)dlsym(RTLD_DEFAULT, "_ZdlPvmSt11align_val_t");
    if (!make || !end) {
        puts("no operator new here: preload the library");
        return 2;
    }
    const pid_t child = fork();
    if (child == 0) {
        end(make(size, alignment), size, alignment);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0)
        printf("BROKEN: the child died of signal %d\n", WTERMSIG(status));
    else
        puts("kept every promise");
    return status != 0;
}
