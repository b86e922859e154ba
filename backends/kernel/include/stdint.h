/* C's fixed-width integers, as the kernel has them. */
#ifndef HG_KERNEL_STDINT_H
#define HG_KERNEL_STDINT_H

#include <linux/limits.h>
#include <linux/types.h>

#define UINT16_MAX ((uint16_t)~0U)
#define INT32_MAX  0x7fffffff
#define UINT32_MAX 0xffffffffU
#define UINT64_MAX 0xffffffffffffffffULL
#ifndef SIZE_MAX
#define SIZE_MAX (~(size_t)0)
#endif
#define PTRDIFF_MAX     ((ptrdiff_t)(SIZE_MAX >> 1))
#define UINT32_C(value) value##U
#define UINT64_C(value) value##ULL

#endif
