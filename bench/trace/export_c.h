/* Operations as a C program that stands alone. Private to bench/trace. */
#ifndef HG_TRACE_EXPORT_C_H
#define HG_TRACE_EXPORT_C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "heapgauge/operation.h"

struct hg_export_steps {
    hg_op *op;
    size_t count, capacity;
    size_t made_before; /* the first so many make what lived before */
};

/* Appends a copy. False iff memory is short. */
bool hg_export_steps_add(struct hg_export_steps *steps, const hg_op *op);
void hg_export_steps_free(struct hg_export_steps *steps);

/* Writes the program. `name` is the file's, for its build line. False iff it can't be written or memory
 * is short. */
bool hg_export_c(FILE *out, const char *name, const struct hg_export_steps *steps);

#endif
