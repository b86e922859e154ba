/* In place of os.c where there is no operating system (HG_OS=0). Of libc only memcpy, memmove, memset
 * and memcmp are needed, and compilers bring or want these anyway. */
#include "base.h"
#include "os.h"

/* The program may bring its own: where a message goes, and how the device stops. */
__attribute__((weak)) _Noreturn void hg__os_abort(const char *line, size_t size) {
    (void)line, (void)size;
    __builtin_trap();
}
