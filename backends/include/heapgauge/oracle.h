/* The oracle: performs operations on a backend and checks every promise that can be seen to be kept or
 * broken. Items (C1, C4, ...) are those of the contract, listed in backends/CONTRACT.md.
 *
 * It stands between player and backend, not in front of a function pointer, because it needs to know
 * what the pointer alone doesn't tell: the slot, the operation's index, the request.
 *
 * All its tables lie outside every heap (mmap); it never calls malloc while an operation runs. Expected
 * values are computed from the request, never from the result. */
#ifndef HEAPGAUGE_ORACLE_H
#define HEAPGAUGE_ORACLE_H

#include "heapgauge/backend.h"
#include "heapgauge/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which face serves a stream. */
enum hg_face {
    HG_FACE_AS_RECORDED, /* each operation through the face it belongs to */
    HG_FACE_LAYOUT,      /* libc operations translated to layouts (hg_op_to_layout) */
};

/* Faults of the oracle itself, for the test that proves that each check is needed. */
enum hg_oracle_fault {
    HG_ORACLE_SOUND = 0,
    HG_ORACLE_NO_ALIGNMENT,   /* never checks alignment */
    HG_ORACLE_SKIP_SLOT_0,    /* checks no content in slot 0 */
    HG_ORACLE_ONE_BYTE,       /* verifies only the first byte of a block */
    HG_ORACLE_MAX_ALIGN_ONLY, /* compares with alignof(max_align_t), whatever was asked */
    HG_ORACLE_SKIP_REALLOC,   /* checks no content after a reallocation */
    HG_ORACLE_NO_ZEROES,      /* never looks whether zeroed memory is zero */
    HG_ORACLE_NO_USABLE, /* neither asks for the usable size nor writes to what is beyond the size */
    HG_ORACLE_NO_FAILURES,   /* judges no call that returned NULL */
    HG_ORACLE_NO_ERRNO,      /* never looks at errno */
    HG_ORACLE_NO_FORK,       /* the child of fork does nothing */
    HG_ORACLE_COUNTER_WRAPS, /* a live-byte budget that wraps below zero ends the run */
    HG_ORACLE_FAULT_COUNT,
};
const char *hg_oracle_fault_name(unsigned fault);

struct hg_oracle_config {
    const hg_backend *backend;
    enum hg_face face;
    bool strict;           /* quality items (level Q) are findings too */
    bool no_waivers;       /* known deviations are findings too */
    bool skip_usable;      /* do not ask for and fill the usable size */
    bool concurrent;       /* called from several threads */
    bool may_fail;         /* allocations may return NULL for lack of memory (failure injection) */
    unsigned oracle_fault; /* enum hg_oracle_fault */
    uint64_t *beat;        /* goes up while a long check gets on; NULL: none */
    const char *muted;     /* items not to report, "C4,C41", for the test that each check is needed;
                              NULL: none. Must outlive the oracle */
};

/* True iff `item` stands in the comma-separated list; the list may be NULL. */
bool hg_oracle_is_muted(const char *list, const char *item);

enum { HG_FINDING_TEXT_BYTES = 480 };

/* A broken promise. */
struct hg_finding {
    char item[8];      /* "C4" */
    char level;        /* 'M' must, 'Q' quality */
    hg_op op;          /* the operation that showed it */
    uint64_t op_index; /* in the stream; UINT64_MAX: at the end, after the last one */
    char text[HG_FINDING_TEXT_BYTES]; /* owed and seen, with both blocks where there are two */
};

/* What ran: a corpus whose replay shows a zero here has not tested that class. */
struct hg_oracle_counts {
    uint64_t performed[HG_OP_KIND_COUNT];
    uint64_t succeeded, failed_as_owed; /* allocations; failures owed (overflow, bad alignment) */
    uint64_t failed_for_memory;         /* NULL where memory may be short */
    uint64_t moved, stayed;             /* reallocations */
    uint64_t unsupported;               /* the backend has no such function */
    uint64_t quality;                   /* level-Q deviations seen and not reported */
    uint64_t waived;                    /* known deviations of this backend (waivers) */
    uint64_t checks;                    /* comparisons made */
    uint64_t live_blocks, live_bytes;
};

typedef struct hg_oracle hg_oracle;

/* Returns NULL iff memory is exhausted. */
hg_oracle *hg_oracle_create(const struct hg_oracle_config *config);
void hg_oracle_destroy(hg_oracle *oracle);
/* Back to an empty stream without giving the tables back, so that short streams cost no system call.
 * Blocks still live are forgotten, not freed. Not after a finding, which may leave the tables half done:
 * destroy the oracle then. */
void hg_oracle_reset(hg_oracle *oracle);

/* Fetches into the cache what operations that come soon will need: `far` some sixteen ahead, `near` some
 * eight (either may be NULL). No other effect, not under a lock: for streams on one thread. With a million
 * live blocks most of what an operation costs is waiting for memory. */
void hg_oracle_expect(const hg_oracle *oracle, const hg_op *far, const hg_op *near);

/* Performs one operation and checks it. HG_OK: all promises kept. HG_END: a finding, see
 * hg_oracle_finding(). HG_ERR_FORMAT: the stream itself is wrong at this operation (it fills a full slot,
 * or mixes faces in one block); nothing was performed. HG_ERR_MEMORY: no memory for the tables. */
HG_WARN_UNUSED enum hg_status hg_oracle_perform(hg_oracle *oracle, const hg_op *op,
                                                uint64_t op_index);

/* The end of a stream: verifies every live block, frees them all in an order given by `order` (0 as
 * allocated, 1 the reverse, 2 scattered), then checks that memory can be had again. As above. */
HG_WARN_UNUSED enum hg_status hg_oracle_finish(hg_oracle *oracle, unsigned order);

/* After a finding, where the heap outlives the oracle (the kernel's does): frees what is live, unchecked,
 * but for the block of the operation that broke, whose state is not known. Destroy the oracle next. */
void hg_oracle_abandon(hg_oracle *oracle);

/* Is memory that was freed used again (C51)? A steady loop of its own, of some 100,000 operations; with
 * `across_threads` each block is freed by another thread than its maker (C52). Call when nothing is live.
 * HG_END: a finding. */
HG_WARN_UNUSED enum hg_status hg_oracle_check_reuse(hg_oracle *oracle, bool across_threads);

/* The first finding; NULL if there is none. */
const struct hg_finding *hg_oracle_finding(const hg_oracle *oracle);
const struct hg_oracle_counts *hg_oracle_counts(const hg_oracle *oracle);

/* A digest of all operations performed and of what they promised (not of addresses): equal for the same
 * stream on every backend that keeps its promises and never runs out of memory. */
uint64_t hg_oracle_digest(const hg_oracle *oracle);

/* Translates a libc operation to its layout twin: malloc(S) asks for the alignment that malloc owes, a
 * realloc of an empty slot becomes an alloc, a realloc to 0 a dealloc. False iff there is none (usable
 * size, an overflowing product, size 0): the operation is then left out. */
bool hg_op_to_layout(hg_op *op, bool slot_is_empty);

/* ---- waivers ---- */

/* A documented deviation of one backend from one item: dated, with its reason. */
struct hg_waiver {
    const char *backend; /* facts.name */
    const char *item;
    const char *date; /* when it was looked into */
    const char *reason;
};
/* The i-th waiver; NULL past the end. */
const struct hg_waiver *hg_waiver_at(size_t index);
/* How often waiver i was used by any oracle of this process. */
uint64_t hg_waiver_uses(size_t index);

#ifdef __cplusplus
}
#endif
#endif
