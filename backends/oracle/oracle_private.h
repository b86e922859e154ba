/* What the files of the oracle share. Private to backends/oracle. */
#ifndef HG_ORACLE_PRIVATE_H
#define HG_ORACLE_PRIVATE_H

#include "heapgauge/oracle.h"

#include "interval.h"

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>

#ifndef HG_SANITIZED
#define HG_SANITIZED 0
#endif

/* How far below a frame the stack is looked for, bytes (and a sixteenth of that above). In the kernel,
 * where a stack is short and may have slabs for neighbours, its build says less. */
#ifndef HG_STACK_SHOWN_BYTES
#define HG_STACK_SHOWN_BYTES (64u << 10)
#endif

enum { HG__FUNDAMENTAL_ALIGN = 16, HG__PAGE_BYTES = 4096 };
static const int HG__ERRNO_SENTINEL = 4095; /* no call of ours sets it */

enum hg__block_face { HG__FACE_LIBC, HG__FACE_LAYOUT, HG__FACE_NATIVE };

/* How a block was allocated decides how it may be freed by size (C48). */
enum hg__block_origin { HG__ORIGIN_PLAIN, HG__ORIGIN_ALIGNED_ALLOC, HG__ORIGIN_OTHER };

/* A cache line of its own: with a million of them each operation waits for one. */
struct hg__block {
    unsigned char *ptr; /* NULL: the slot is empty */
    size_t size;        /* asked for */
    size_t usable;      /* >= size; bytes that belong to the block */
    uint64_t op_index;  /* the operation that made it */
    uint32_t generation;
    uint8_t align_log2; /* alignment promised */
    uint8_t face, origin;
    uint8_t reallocated;
    uint8_t native;     /* enum hg_native that made it; face native only, as what follows */
    uint8_t asked_log2; /* the alignment passed, which sized frees must repeat */
    uint8_t zeroed;     /* mimalloc: from a zeroing call, so that rezalloc may be asked */
    uint32_t offset;    /* that is aligned, bytes into the block */
    uint8_t refused; /* empty because its allocation returned NULL: operations on it are left out */
} __attribute__((aligned(64)));

struct hg_oracle {
    struct hg_oracle_config config;
    const hg_backend *backend;
    struct hg__block *blocks;
    size_t block_capacity;
    size_t slot_end; /* slots used by this stream: below it */
    hg_intervals *intervals;
    struct hg_oracle_counts counts;
    struct hg_finding finding;
    bool found;
    uint64_t digest;
    size_t size_max;      /* largest block that was ever granted */
    uint32_t budget;      /* only for HG_ORACLE_COUNTER_WRAPS */
    uint64_t page_credit; /* page requests that still succeed; UINT64_MAX: no shortage */
    bool was_short;       /* a shortage was made in this stream */
    bool starves;         /* the address space is limited for the call in hand */
    pthread_mutex_t lock;
    struct hg_finding
        *child_finding; /* shared with the child of fork; NULL before the first fork */
    /* the operation in hand, for messages */
    hg_op op;
    uint64_t op_index;
};

/* What one allocating call was asked for and what came back. */
struct hg__call {
    size_t size;    /* bytes owed */
    size_t align;   /* owed if it succeeds */
    bool must_fail; /* overflow, a size above PTRDIFF_MAX, an alignment that is none */
    const char *must_fail_item;
    bool sets_errno; /* ENOMEM is owed on failure (C13) */
    bool zeroed;
    bool may_refuse; /* NULL is allowed although memory is there (C32, C33, size 0) */
    void *result;
    int error;          /* errno after the call, or posix_memalign's result */
    bool clobbered_out; /* posix_memalign wrote *memptr and failed */
    bool silent;        /* it said 0 and wrote nothing */
};

/* ---- small facts ---- */

static inline void hg__oracle_lock(hg_oracle *oracle) {
    if (oracle->config.concurrent)
        pthread_mutex_lock(&oracle->lock);
}

static inline void hg__oracle_unlock(hg_oracle *oracle) {
    if (oracle->config.concurrent)
        pthread_mutex_unlock(&oracle->lock);
}

static inline uint8_t hg__log2_floor(size_t value) {
    return (uint8_t)(63 - __builtin_clzll(value));
}

static inline bool hg__is_power_of_two(uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/* C2: the largest power of two not above the size, at most the fundamental alignment. */
static inline size_t hg__owed_by_malloc(size_t size) {
    if (size == 0)
        return 1;
    return size >= HG__FUNDAMENTAL_ALIGN ? HG__FUNDAMENTAL_ALIGN
                                         : (size_t)1 << hg__log2_floor(size);
}

/* Below, a function that returns bool and takes the oracle says: does the run end? */

/* ---- oracle.c ---- */

/* Zeroed memory outside every heap; NULL iff there is none. */
void *hg__map_bytes(size_t size);
/* Room for the slot. False: no memory. */
bool hg__make_slot(hg_oracle *oracle, uint32_t slot);
/* Frees what is in the slot, by its face. */
bool hg__free_slot(hg_oracle *oracle, uint32_t slot);

/* ---- finding.c ---- */

/* Records a broken promise, unless it is waived, muted or of level Q and not asked for. */
bool hg__broken(hg_oracle *oracle, const char *item, char level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "slot 7: 100 bytes, alignment 16, at 0x... (operation 12)", into `text`, which it returns. */
const char *hg__describe_block(uint32_t slot, const struct hg__block *block, char *text,
                               size_t text_size);

/* ---- block.c: the books, and what is seen of one block ---- */

/* Checks the first `size` bytes of what was filled when the block had `filled` bytes. Item: C7 in place,
 * C22 after a reallocation, C23 after a failed one. */
bool hg__content_lost(hg_oracle *oracle, uint32_t slot, const struct hg__block *block,
                      const unsigned char *ptr, size_t filled, size_t size, const char *item);
bool hg__verify_all(hg_oracle *oracle);
bool hg__misaligned(hg_oracle *oracle, const void *ptr, size_t owed, const char *item, char level);
bool hg__block_misaligned(hg_oracle *oracle, const struct hg__block *block);
bool hg__usable_changed(hg_oracle *oracle, const struct hg__block *block);
/* Takes a granted block into the books: alignment, overlap, then its pattern. */
bool hg__admit(hg_oracle *oracle, uint32_t slot, const struct hg__block *granted, bool zeroed);
/* A block that is handed back at once, too large to be filled: as hg__admit, but only its last byte is
 * written, where a size that was cut short ends the process. */
bool hg__unkept_is_wrong(hg_oracle *oracle, const struct hg__block *granted);
/* Takes a block out of the books before it is freed. */
void hg__dismiss(hg_oracle *oracle, uint32_t slot);

bool hg__not_zero(hg_oracle *oracle, const struct hg__block *block, size_t from, size_t to,
                  const char *item);

/* ---- native.c ---- */

/* May the program make this call on this block? Else it is undefined, and left out. */
bool hg__native_may_use(const struct hg__block *block, const hg_op *op);
bool hg__native_usable(const hg_oracle *oracle, const struct hg__block *block, size_t *usable);
void hg__native_free_block(const hg_backend *backend, const struct hg__block *block);
bool hg__oracle_native(hg_oracle *oracle, const hg_op *op);

/* ---- call.c: what is asked, and what is owed for it ---- */

/* Performs an allocating operation. False iff the backend has no such function. */
bool hg__call_allocate(const hg_backend *backend, const hg_op *op, struct hg__call *call);
bool hg__call_reallocate(const hg_backend *backend, const hg_op *op, const struct hg__block *old,
                         struct hg__call *call);
void hg__free_block(const hg_backend *backend, const struct hg__block *block);

/* ---- shortage.c ---- */

/* Around each call while memory is short, and each that asks for more to be touched than there is (`op`):
 * starve returns the limit that feed sets back. */
rlim_t hg__starve(hg_oracle *oracle, const hg_op *op);
void hg__feed(hg_oracle *oracle, rlim_t before);
void hg__end_shortage(hg_oracle *oracle);

/* ---- one kind of operation each ---- */

bool hg__oracle_allocate(hg_oracle *oracle, const hg_op *op);
/* NULL came back: was that owed, allowed, or a refusal? */
bool hg__judge_failure(hg_oracle *oracle, const struct hg__call *call);
bool hg__oracle_release(hg_oracle *oracle, const hg_op *op);
bool hg__oracle_reallocate(hg_oracle *oracle, const hg_op *op);
bool hg__oracle_usable_size(hg_oracle *oracle, const hg_op *op);
bool hg__oracle_environment(hg_oracle *oracle, const hg_op *op);

#endif
