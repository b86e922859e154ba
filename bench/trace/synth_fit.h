/* How far two traces are apart: in what they ask for, and in what allocators make of them. */
#ifndef HG_TRACE_SYNTH_FIT_H
#define HG_TRACE_SYNTH_FIT_H

/* Prints a report on standard output: distances of distributions, live bytes over time, and, replayed in
 * turn on each of `backends` (comma-separated; NULL: none), footprint and time. Returns an exit status. */
int hg_fit_report(const char *original, const char *synthetic, const char *backends);

#endif
