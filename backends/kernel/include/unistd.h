/* What a kernel has none of: processes to fork, files of its own state. The oracle's answer to each is
 * "nothing learnt". */
#ifndef HG_KERNEL_UNISTD_H
#define HG_KERNEL_UNISTD_H

#include <linux/types.h>

static inline pid_t fork(void) {
    return -1;
}
static inline void _exit(int status) {
}
static inline ssize_t read(int fd, void *buffer, size_t size) {
    return -1;
}
static inline int close(int fd) {
    return -1;
}

#endif
