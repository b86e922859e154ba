#ifndef HG_KERNEL_RESOURCE_H
#define HG_KERNEL_RESOURCE_H

#include <linux/resource.h>

typedef unsigned long rlim_t;
#ifndef RLIM_INFINITY
#define RLIM_INFINITY (~0UL)
#endif

static inline int getrlimit(int which, struct rlimit *limit) {
    return -1;
}
static inline int setrlimit(int which, const struct rlimit *limit) {
    return -1;
}

#endif
