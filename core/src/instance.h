/* An instance: one arena and its heaps. The process-wide one also has thread caches. */
#ifndef HG__INSTANCE_H
#define HG__INSTANCE_H

#include "heap.h"

struct hg_core {
    struct hg__arena arena;
    struct hg__geometry geometry[HG_CLASS_COUNT];
    struct hg__heap *heaps;
    unsigned heap_count;
    size_t min_align;
    struct hg__heap own_heap; /* of an instance that is not process-wide */
};

/* The process-wide instance; all zero until the first call. */
extern HG_HIDDEN struct hg_core hg__main;

/* Gives back what can be: idle slabs, holes, and dirty runs beyond `keep` granules. */
size_t hg__core_trim(struct hg_core *core, size_t keep);

#endif
