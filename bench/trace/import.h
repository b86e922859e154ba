/* What the importers share: other tools' logs name blocks by address; a trace names them by slot.
 *
 * Each format has one function that takes one line; what it understood it hands to the verbs below,
 * which follow the recorder's rules: a free of a block that was never seen made is left out and counted;
 * a block made where one still lives ends that one first. Private to bench/trace. */
#ifndef HG_TRACE_IMPORT_H
#define HG_TRACE_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../record/slots.h"
#include "heapgauge/trace.h"

enum { HG_IMPORT_THREADS_MAX = 1024, HG_IMPORT_NAME_MAX = 24 };

/* A call that a log shows in two halves ("<unfinished ...>", later "resumed"). */
struct hg_import_call {
    char name[HG_IMPORT_NAME_MAX];
    uint64_t number[4]; /* its arguments */
    unsigned count;
    uint32_t slot_in_flight; /* of a block being reallocated; HG_SLOT_NONE: none */
    bool is_pending;
};

struct hg_import_thread {
    uint64_t id; /* as the log names it */
    struct hg_import_call call;
};

struct hg_import {
    const char *path;
    uint64_t line_number;
    hg_trace_writer *writer;
    struct hg_slots slots;
    uint16_t thread; /* of the line being read */
    struct hg_import_thread *threads;
    unsigned thread_count;
    /* heaptrack: blocks are named by their allocation's kind */
    struct hg_import_info *info;
    size_t info_count, info_capacity;
    uint64_t *next_live; /* by slot: the block of the same kind before it, + 1 */
    size_t next_live_capacity;
    bool is_raw;
    uint64_t clock_ms;
    /* posix_memalign in ltrace: the address is not shown */
    struct hg_import_orphan *orphan;
    size_t orphan_count, orphan_capacity;
    uint64_t matched_count; /* orphans whose address a free told */
    uint64_t operation_count, unknown_free_count, inferred_free_count, ignored_count;
};

/* Says "PATH:LINE: text" and returns false. */
bool hg_import_fail(const struct hg_import *im, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts an operation as it is (the thread is filled in). */
bool hg_import_put(struct hg_import *im, hg_op op);
/* `op` made a block at `address`; 0: it failed. */
bool hg_import_allocated(struct hg_import *im, hg_op op, uint64_t address);
/* The block at `address` was freed; 0: free(NULL). */
bool hg_import_freed(struct hg_import *im, uint64_t address);
/* The block at `old` (0: none) became the one at `address`; address 0: the call failed, or freed if
 * the size is 0. */
bool hg_import_reallocated(struct hg_import *im, hg_op op, uint64_t old, uint64_t address);
/* The first half of a reallocation: takes the slot from the address, so that another thread may get
 * the address in between. HG_SLOT_NONE: unknown. */
uint32_t hg_import_lift(struct hg_import *im, uint64_t address);
/* The second half: as hg_import_reallocated, with the slot that was lifted. */
bool hg_import_landed(struct hg_import *im, hg_op op, uint64_t old, uint32_t slot,
                      uint64_t address);

/* One line of a log, without its newline; may be written to. False after a message. */
bool hg_import_mtrace(struct hg_import *im, char *line);
bool hg_import_heaptrack(struct hg_import *im, char *line);
bool hg_import_ltrace(struct hg_import *im, char *line);

/* Reads "0x1f", "1f" (base 16) or "31" (base 10), "(nil)", moving *at behind it. False: none there. */
bool hg_import_number(char **at, int base, uint64_t *number);

struct hg_import_orphan {
    uint64_t alignment;
    uint32_t slot;
};

struct hg_import_info {
    uint64_t size;
    uint64_t live; /* the youngest live block of this kind: its slot + 1 */
};

/* ---- import_input.c ---- */

/* Opens a file to be read line by line, unpacking it on the way if it is Zstandard or gzip. NULL iff it
 * can't be; errno says why. */
FILE *hg_import_open(const char *path);
/* Closes it. False iff what was read was damaged or incomplete; `why` says how. */
bool hg_import_close(FILE *file, char *why, size_t why_size);

#endif
