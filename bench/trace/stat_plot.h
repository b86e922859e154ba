/* What a trace is like, as a picture. Private to bench/trace. */
#ifndef HG_TRACE_STAT_PLOT_H
#define HG_TRACE_STAT_PLOT_H

#include <stdio.h>

#include "stat_count.h"

/* Writes one SVG: live bytes and blocks over time, sizes, lifetimes. `title` is shown as it is. False iff
 * it can't be written; the file stays open. */
bool hg_stat_plot(FILE *out, const struct hg_stat *s, const char *title);

#endif
