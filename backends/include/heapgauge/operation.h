/* Operations: what can be asked of an allocator. A stream is a sequence of them.
 *
 * A fuzzer's input, a recorded trace, a synthetic workload and a reproducer are all streams. A stream
 * names blocks by slot, never by address: a slot holds at most one live block at a time, is filled by
 * an allocating operation and emptied by a freeing one. A reallocation keeps its slot.
 *
 * These are plain values: no ownership, no threads, no state. */
#ifndef HEAPGAUGE_OPERATION_H
#define HEAPGAUGE_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers are part of the trace format: never renumber, only append. */
enum hg_op_kind {
    /* libc face                           size            arg                      */
    HG_OP_MALLOC = 0,              /*          bytes           -                        */
    HG_OP_CALLOC = 1,              /*          element bytes   element count            */
    HG_OP_REALLOC = 2,             /*          new bytes       -                        */
    HG_OP_REALLOCARRAY = 3,        /*          element bytes   element count            */
    HG_OP_FREE = 4,                /*          -               -                        */
    HG_OP_ALIGNED_ALLOC = 5,       /*          bytes           alignment                */
    HG_OP_POSIX_MEMALIGN = 6,      /*          bytes           alignment                */
    HG_OP_MEMALIGN = 7,            /*          bytes           alignment                */
    HG_OP_VALLOC = 8,              /*          bytes           -                        */
    HG_OP_PVALLOC = 9,             /*          bytes           -                        */
    HG_OP_USABLE_SIZE = 10,        /*          -               -                        */
    HG_OP_FREE_SIZED = 11,         /*          -               - (the block's own size) */
    HG_OP_FREE_ALIGNED_SIZED = 12, /*      -               - (its size, alignment)  */
    /* layout face */
    HG_OP_ALLOC = 13,          /*          bytes           alignment                */
    HG_OP_ALLOC_ZEROED = 14,   /*          bytes           alignment                */
    HG_OP_LAYOUT_REALLOC = 15, /*          new bytes       - (the block's own)      */
    HG_OP_DEALLOC = 16,        /*          -               - (the block's own)      */
    /* environment */
    HG_OP_PURGE = 17,        /* give unused memory back, where the backend can               */
    HG_OP_FORK = 18,         /* fork; the child uses and frees what is live, then exits      */
    HG_OP_THREAD_START = 19, /* the first operation of `thread`; arg: the starting thread    */
    HG_OP_THREAD_END = 20,   /* the last operation of `thread`                               */
    HG_OP_VERIFY = 21,       /* check the content of one slot, or of all (HG_SLOT_NONE)      */
    HG_OP_FAIL_PAGES = 22,   /* from here on page requests fail after `size` more (0: now);  */
                             /* size UINT64_MAX: they succeed again                          */
    HG_OP_CLOCK = 23,        /* `size` nanoseconds passed in the recorded program            */
    /* made by the demultiplexer of a parallel replay, never stored in a trace */
    HG_OP_WAIT = 24, /* until thread `slot` has completed `size` operations                  */
    /* calls that only some allocators have; arg: which, and how (native.h)                  */
    HG_OP_NATIVE_ALLOC = 25,   /* bytes                                                      */
    HG_OP_NATIVE_REALLOC = 26, /* new bytes                                                  */
    HG_OP_NATIVE_FREE = 27,    /* -                                                          */
    HG_OP_NATIVE_LOOK = 28,    /* bytes; names no block                                      */
    /* no call, but knowledge: `size` bytes of the block were resident just before it ended (or moved);  */
    /* told of large blocks of which much was not. A replay touches no more of it                        */
    HG_OP_TOUCHED = 29,
    HG_OP_KIND_COUNT = 30,
};

/* Flags of an operation. */
enum {
    HG_OPF_FAILED = 1, /* it returned NULL when it was recorded; slot is HG_SLOT_NONE unless it is a
                          reallocation, whose block then stays as it was */
    HG_OPF_PARTLY = 2, /* never stored: set by hg_trace_reader_look_ahead, whose `arg` tells more */
};

/* "No slot": free(NULL), a failed allocation, an operation that names no block. */
#define HG_SLOT_NONE UINT32_MAX

typedef struct hg_op {
    uint8_t kind;  /* enum hg_op_kind */
    uint8_t flags; /* HG_OPF_* */
    uint16_t thread;
    uint32_t slot;
    uint64_t size; /* bytes */
    uint64_t arg;
} hg_op;

/* The operation's name as it stands in text: the function it calls, or a word ("fork").
 * NULL iff `kind` is none. Static storage. */
const char *hg_op_kind_name(unsigned kind);

/* As hg_op_kind_name, but of a native operation the function's own name. NULL iff there is none. */
const char *hg_op_name(const hg_op *op);

/* The kind with that name; HG_OP_KIND_COUNT if there is none. */
unsigned hg_op_kind_by_name(const char *name);

/* True iff the operation makes a new block in an empty slot / ends the block in its slot. */
bool hg_op_allocates(unsigned kind);
bool hg_op_frees(unsigned kind);
/* True iff it may change the block in its slot: the two reallocs and reallocarray. On an empty slot
 * they are what the functions are on NULL: an allocation. A realloc to 0 that freed its block is
 * recorded as a free. */
bool hg_op_reallocates(unsigned kind);
/* Which fields of hg_op the kind uses; the others are 0 (slot: HG_SLOT_NONE). */
bool hg_op_has_slot(unsigned kind);
bool hg_op_has_size(unsigned kind);
bool hg_op_has_arg(unsigned kind);

/* Bytes the operation asks for: its size, or size times count; UINT64_MAX where that overflows. 0 for
 * a kind that asks for none. */
uint64_t hg_op_bytes(const hg_op *op);

/* True iff the operation can stand in a stream: kind known, unused fields empty, a slot below
 * HG_TRACE_SLOTS_MAX or none, none for a failed allocation, and one for an allocation that worked. */
bool hg_op_is_well_formed(const hg_op *op);

/* Writes one operation as one line of text without newline, e.g.
 *   "t2 s7 = aligned_alloc(256, 1000)"   "t0 free(s7)"   "t1 s3 = realloc(s3, 90)"
 *   "t0 s2 = mallocx(100, align 64, zero)"
 * Returns the length in bytes, as snprintf does. */
int hg_op_print(const hg_op *op, char *text, size_t text_size);

/* Reads what hg_op_print wrote. False iff the line is not one operation; *column (optional) then is
 * the byte offset of the first character not understood. */
bool hg_op_parse(const char *line, hg_op *op, size_t *column);

#ifdef __cplusplus
}
#endif
#endif
