/* heapgauge bench --latency: how even an allocator's operations are. */
#ifndef HG_LATENCY_H
#define HG_LATENCY_H

#include <stdbool.h>

struct hg_latency_options {
    const char *backends;
    const char *out_directory; /* for .hgrm files; NULL: none */
    double open_loop_per_s;    /* 0: the workloads; else churn at this rate */
    int argc;                  /* the benchmark library's flags, argv[0] the program */
    char **argv;
};

/* Returns an exit status. */
int hg_bench_latency(const struct hg_latency_options *options);

#endif
