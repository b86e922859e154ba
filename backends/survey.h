/* How aligned are blocks really? Allocates some and looks at their addresses. Shared with the kernel.
 * No state; not thread-safe as far as the backend is not. */
#ifndef HG_SURVEY_H
#define HG_SURVEY_H

#include "heapgauge/backend.h"

enum { HG_SURVEY_BLOCKS_MAX = 1024 };

struct hg_survey {
    size_t blocks; /* that could be had */
    size_t less;   /* aligned to less than layout.align */
    size_t least;  /* the least alignment seen, bytes; 0: no block */
};

/* Allocates `count` (at most HG_SURVEY_BLOCKS_MAX) blocks of one layout, all live at once, and frees them.
 * With `from_size` > 0 each is allocated with that size first and reallocated to the layout's. */
struct hg_survey hg__survey(const hg_backend *backend, hg_layout layout, size_t from_size,
                            size_t count);

/* One line for each run of sizes from..to (step by step) whose least alignment is the same:
 * "FIRST-LAST:ALIGN ...". Returns the length in bytes, as snprintf does. */
size_t hg__survey_classes(const hg_backend *backend, size_t from, size_t to, size_t step,
                          size_t count, char *text, size_t text_size);

#endif
