/* A decorator that times every call, and sorts the times by kind of operation and size class. One a process. */
#ifndef HG_TIMED_H
#define HG_TIMED_H

#include "heapgauge/backend.h"

#include "histogram.h"

enum hg_timed_kind {
    HG_TIMED_MALLOC,
    HG_TIMED_CALLOC,
    HG_TIMED_REALLOC,
    HG_TIMED_ALIGNED,
    HG_TIMED_FREE,
    HG_TIMED_LAYOUT_ALLOC,
    HG_TIMED_LAYOUT_REALLOC,
    HG_TIMED_LAYOUT_DEALLOC,
    HG_TIMED_KINDS,
};

/* Class c: sizes up to 2^c and more than half of that; class 0: 1 and 0. The last: not known, as for free. */
enum { HG_TIMED_CLASSES = 49, HG_TIMED_CLASS_ANY = HG_TIMED_CLASSES - 1 };

/* Wraps `inner`; a second call in a process is NULL. */
const hg_backend *hg_timed_wrap(const hg_backend *inner);

/* Forgets what there is, and records from now on; stops. While no thread is inside a call. */
void hg_timed_start(void);
void hg_timed_stop(void);

/* Adds up the threads' histograms of one kind and class; false iff there is none, or it is empty. */
bool hg_timed_sum(enum hg_timed_kind kind, unsigned size_class, hg_histogram *sum);

const char *hg_timed_kind_name(enum hg_timed_kind kind);

#endif
