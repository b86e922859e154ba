/* What of C11's atomics the shared sources use. */
#ifndef HG_KERNEL_STDATOMIC_H
#define HG_KERNEL_STDATOMIC_H

#include <linux/atomic.h>

typedef u64 atomic_uint_fast64_t;
#undef atomic_fetch_add /* the kernel's own, of atomic_t */
#define atomic_load(object)             __atomic_load_n(object, __ATOMIC_SEQ_CST)
#define atomic_fetch_add(object, value) __atomic_fetch_add(object, value, __ATOMIC_SEQ_CST)

#endif
