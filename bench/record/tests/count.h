/* What the counting library counts. */
#ifndef HG_RECORD_COUNT_H
#define HG_RECORD_COUNT_H

struct counts {
    unsigned long malloc_count, calloc_count, realloc_count, free_count, aligned_count;
};

#endif
