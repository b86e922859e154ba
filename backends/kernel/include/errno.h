/* Kernel functions return their errors; no call of the layout face looks at this variable. */
#ifndef HG_KERNEL_ERRNO_H
#define HG_KERNEL_ERRNO_H

#include <linux/errno.h>

extern int hg__errno;
#undef errno /* user-mode Linux has one, of its host */
#define errno hg__errno

#endif
