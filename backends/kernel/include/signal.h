#ifndef HG_KERNEL_SIGNAL_H
#define HG_KERNEL_SIGNAL_H

#include <linux/types.h>
#include <asm/signal.h>

static inline int kill(pid_t process, int number) {
    return -1;
}

#endif
