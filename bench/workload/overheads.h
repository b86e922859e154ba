/* What the harness itself costs on this machine, measured when asked: some 0.2 ms. */
#ifndef HG_OVERHEADS_H
#define HG_OVERHEADS_H

struct hg_overheads {
    double loop_ns;     /* a pass of the loop around `pair`, with its write, without its calls */
    double dispatch_ns; /* a pair of calls through the backend's pointers, less a direct pair */
    double timer_ns;    /* a reading of the clock */
};

struct hg_overheads hg_overheads_measure(void);

#endif
