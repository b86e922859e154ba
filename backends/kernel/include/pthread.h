/* One stream is played at a time (module.c holds a lock of its own): nothing to lock here, and no second
 * thread to be had. */
#ifndef HG_KERNEL_PTHREAD_H
#define HG_KERNEL_PTHREAD_H

#include <linux/errno.h>
#include <linux/types.h>

typedef int pthread_mutex_t;
typedef int pthread_t;
#define pthread_mutex_init(mutex, attributes) ((void)(mutex))
#define pthread_mutex_destroy(mutex)          ((void)(mutex))
#define pthread_mutex_lock(mutex)             ((void)(mutex))
#define pthread_mutex_unlock(mutex)           ((void)(mutex))

static inline int pthread_create(pthread_t *thread, const void *attributes,
                                 void *(*run)(void *argument), void *argument) {
    *thread = 0;
    return EAGAIN;
}
static inline int pthread_join(pthread_t thread, void **result) {
    return EINVAL;
}

#endif
