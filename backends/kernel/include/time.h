#ifndef HG_KERNEL_TIME_H
#define HG_KERNEL_TIME_H

struct timespec {
    long tv_sec, tv_nsec;
};

static inline int nanosleep(const struct timespec *pause, struct timespec *left) {
    return -1;
}

#endif
