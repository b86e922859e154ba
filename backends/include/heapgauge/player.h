/* The player: performs a stream on a backend. What performs each operation (the "hand") decides what is
 * learnt: the measuring hand nothing but time and memory, the oracle's hand correctness.
 *
 * A stream is played in windows of bounded size, so memory is constant whatever its length. Decoding
 * lies outside the time measured. */
#ifndef HEAPGAUGE_PLAYER_H
#define HEAPGAUGE_PLAYER_H

#include "heapgauge/oracle.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where operations come from: a trace, a generator. `next` as hg_trace_reader_next. */
struct hg_source {
    enum hg_status (*next)(void *context, const hg_op **ops, size_t *count, uint64_t *first_index);
    void *context;
    uint64_t slot_count; /* slots used at most; 0: not known (single and turns only) */
    uint64_t
        live_peak_operation; /* operation after which live bytes are greatest; UINT64_MAX: unknown */
};

enum hg_play_mode {
    HG_PLAY_SINGLE,   /* one thread performs everything, in order: deterministic */
    HG_PLAY_TURNS,    /* each thread its own operations, one at a time, in order: deterministic */
    HG_PLAY_PARALLEL, /* each thread its own operations at full speed; a block's operations on several
                         threads keep their order (happens-before), all else is free */
};

/* A measured play in parts of about as many operations each, for replays of several backends that take turns. */
struct hg_play_slices {
    uint64_t count;      /* 1 or more */
    uint64_t operations; /* of the whole stream, `count` or more */
    /* Before the i-th part (from 0), and as turn(context, count) when all is over, blocks freed; never when the play
     * fails on the way. Decoding lies behind it, outside the times. */
    void (*turn)(void *context, uint64_t i);
    void *context;
    uint64_t *times_ns; /* out: of each part, as hg_play_result's time_ns */
};

struct hg_play_config {
    const hg_backend *backend;
    enum hg_face face;
    enum hg_play_mode mode;
    bool touch;        /* write to each page of a new block, as its program would */
    bool trace_clock;  /* time passes for the backend as in the trace (clock operations), not as on
                              the machine; what that can't reach: backends/clock.h. From the first
                              such play on, for the rest of the process's life */
    hg_oracle *oracle; /* check with this; NULL: measure. Not with HG_PLAY_PARALLEL unless the
                              oracle is concurrent */
    unsigned finish_order;               /* for the oracle, see hg_oracle_finish */
    const struct hg_play_slices *slices; /* NULL: in one piece. Not with the oracle */
};

struct hg_play_result {
    uint64_t operations;  /* performed */
    uint64_t left_out;    /* operations without a twin on the face asked for */
    uint64_t unsupported; /* the backend has no such function; a sized free falls back to free */
    uint64_t failed;      /* allocations that returned NULL */
    uint64_t threads;     /* most threads at a time */
    uint64_t time_ns;     /* monotonic, inside the windows only */
    uint64_t cpu_ns;      /* all threads, inside the windows only */
    /* Resident bytes; the baseline is the idle process with all the player's tables touched. */
    uint64_t rss_baseline_bytes;
    uint64_t rss_at_live_peak_bytes; /* above the baseline; 0: not sampled */
    uint64_t rss_peak_bytes;         /* above the baseline, greatest at any time (VmHWM) */
    uint64_t rss_end_bytes;          /* above the baseline, after the last operation */
    uint64_t rss_drained_bytes;      /* above the baseline, with every block freed */
    uint64_t minor_faults;
    uint64_t live_end_blocks; /* freed by the player after the end (not timed) */
    uint64_t error_index;     /* where the stream is wrong, for HG_ERR_FORMAT */
    char why[200];            /* what is wrong, for statuses other than HG_OK */
};

/* Plays the whole stream. HG_OK: to its end. HG_END: the oracle has a finding. HG_ERR_FORMAT: the stream
 * is wrong at result->error_index; other statuses as the source gives them. *result is always filled
 * with what was done so far. One call at a time. */
HG_WARN_UNUSED enum hg_status hg_play(const struct hg_play_config *config, struct hg_source *source,
                                      struct hg_play_result *result);

#ifdef __cplusplus
}
#endif
#endif
