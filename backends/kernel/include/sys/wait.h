#ifndef HG_KERNEL_WAIT_H
#define HG_KERNEL_WAIT_H

#include <linux/types.h>

#define WNOHANG             1
#define WIFSIGNALED(status) 0
#define WTERMSIG(status)    0
#define WEXITSTATUS(status) 0

static inline pid_t waitpid(pid_t process, int *status, int options) {
    return -1;
}

#endif
