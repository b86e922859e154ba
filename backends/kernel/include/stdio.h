/* Formatting into memory; the kernel's own functions, declared here because the header that has them
 * differs between releases and brings macros of common names. */
#ifndef HG_KERNEL_STDIO_H
#define HG_KERNEL_STDIO_H

#include <linux/stdarg.h>
#include <linux/types.h>

int snprintf(char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int vsnprintf(char *text, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* No files: the one that malloc_info would write to. */
typedef struct hg_no_file FILE;

static inline FILE *fopen(const char *path, const char *mode) {
    return NULL;
}

#endif
