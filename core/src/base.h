/* What every file here needs: branch hints, assertions that never allocate, the lock. */
#ifndef HG__BASE_H
#define HG__BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0: a freestanding build, for a caller's region only, one thread at a time; see embedded.c. */
#ifndef HG_OS
#define HG_OS 1
#endif

#define HG_LIKELY(x)   __builtin_expect(!!(x), 1)
#define HG_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HG_NOINLINE    __attribute__((noinline))
#define HG_COLD        __attribute__((noinline, cold))
#define HG_HIDDEN      __attribute__((visibility("hidden")))

/* Writes "heapgauge: <what> <address> <detail>" to standard error with write(2) and aborts. Never
 * allocates, takes no lock. `detail` may be NULL. */
_Noreturn void hg__die(const char *what, const void *address, const char *detail);

#define HG__STR2(x) #x
#define HG__STR(x)  HG__STR2(x)
/* Misuse or a broken invariant; cheap, in every build. */
#define HG_ASSERT(x)                                                                               \
    (HG_LIKELY(x) ? (void)0                                                                        \
                  : hg__die("assertion failed: " #x, NULL, __FILE__ ":" HG__STR(__LINE__)))

/* Where a validator puts its sentence. */
struct hg__why {
    char *text;
    size_t size;
};

/* Puts `text` and two numbers into `why`; returns false, for `return hg__wrong(...)`. */
bool hg__wrong(struct hg__why *why, const char *text, size_t at, size_t value);

/* A mutex whose unlocked state is all zero bits: usable before any constructor has run and, by
 * being set to zero, in the child of fork. 0 free, 1 held, 2 held and perhaps waited for. */
struct hg__lock {
    uint32_t state;
};

HG_COLD void hg__lock_wait(struct hg__lock *lock);
HG_COLD void hg__lock_wake(struct hg__lock *lock);

/* Takes it without waiting; false iff it is held. */
static inline bool hg__try_lock(struct hg__lock *lock) {
    uint32_t expected = 0;
    return __atomic_compare_exchange_n(&lock->state, &expected, 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static inline void hg__lock(struct hg__lock *lock) {
    if (HG_OS && HG_UNLIKELY(!hg__try_lock(lock)))
        hg__lock_wait(lock);
}

/* Is it held at this moment? */
static inline bool hg__is_locked(const struct hg__lock *lock) {
    return __atomic_load_n(&lock->state, __ATOMIC_RELAXED) != 0;
}

static inline void hg__unlock(struct hg__lock *lock) {
    if (HG_OS && HG_UNLIKELY(__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) == 2))
        hg__lock_wake(lock);
}

#endif
