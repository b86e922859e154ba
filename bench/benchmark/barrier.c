/* A barrier that threads may leave for good. Waiters spin for a moment where every thread has a
 * CPU, so that they start within a cache miss of each other rather than within a wake-up. */
#include "internal.h"

#include <unistd.h>

enum { SPINS = 20000 };

void hg__barrier_init(hg__barrier *barrier, int threads) {
    pthread_mutex_init(&barrier->lock, NULL);
    pthread_cond_init(&barrier->released, NULL);
    barrier->expected = threads;
    barrier->entered = 0;
    barrier->spin = threads <= (int)sysconf(_SC_NPROCESSORS_ONLN);
    atomic_init(&barrier->phase, 0);
}

void hg__barrier_destroy(hg__barrier *barrier) {
    pthread_cond_destroy(&barrier->released);
    pthread_mutex_destroy(&barrier->lock);
}

/* Lock held. */
static void release_if_complete(hg__barrier *barrier) {
    if (barrier->entered < barrier->expected)
        return;
    barrier->entered = 0;
    atomic_fetch_add_explicit(&barrier->phase, 1, memory_order_release);
    pthread_cond_broadcast(&barrier->released);
}

static bool spin_until_released(hg__barrier *barrier, unsigned phase) {
    for (int i = 0; barrier->spin && i < SPINS; i++) {
        if (atomic_load_explicit(&barrier->phase, memory_order_acquire) != phase)
            return true;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    return false;
}

void hg__barrier_wait(hg__barrier *barrier) {
    pthread_mutex_lock(&barrier->lock);
    unsigned phase = atomic_load_explicit(&barrier->phase, memory_order_relaxed);
    barrier->entered++;
    release_if_complete(barrier);
    pthread_mutex_unlock(&barrier->lock);
    if (spin_until_released(barrier, phase))
        return;
    pthread_mutex_lock(&barrier->lock);
    while (atomic_load_explicit(&barrier->phase, memory_order_acquire) == phase)
        pthread_cond_wait(&barrier->released, &barrier->lock);
    pthread_mutex_unlock(&barrier->lock);
}

void hg__barrier_leave(hg__barrier *barrier) {
    pthread_mutex_lock(&barrier->lock);
    barrier->expected--;
    if (barrier->entered > 0)
        release_if_complete(barrier);
    pthread_mutex_unlock(&barrier->lock);
}
