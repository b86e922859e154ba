/* What a target works with: a backend, an oracle over it, and the books of a campaign.
 *
 * Heap state between inputs: every input ends with all its blocks freed, and the heap lives on in the
 * process: an allocator has no reset. What happened since the process began stands in the log, so that a
 * finding that needs its history replays from its file alone: the campaign first tries the last input by
 * itself, then the whole log, each in a fresh process. */
#ifndef HG_FUZZ_SESSION_H
#define HG_FUZZ_SESSION_H

#include "decode.h"
#include "heapgauge/oracle.h"

enum {
    HG_FUZZ_INPUT_BYTES_MAX = 8 + 8 * 1024,
    HG_FUZZ_LOG_OPS = 1 << 20,
    HG_FUZZ_FEATURES = 1 << 16,
};

/* In memory shared with the parent, so that it survives the child. */
struct hg_fuzz_log {
    /* of this child */
    uint64_t op_count;    /* operations begun */
    uint64_t beat;        /* changes while the child gets on (struct hg_limits) */
    uint64_t input_begin; /* where the input in hand begins in ops */
    bool finished;        /* the child came to its end in order */
    bool found;
    struct hg_finding finding;
    uint8_t input[HG_FUZZ_INPUT_BYTES_MAX];
    uint32_t input_size;
    /* of the whole campaign */
    uint64_t inputs, operations;
    struct hg_oracle_counts counts;     /* summed up */
    uint8_t features[HG_FUZZ_FEATURES]; /* 1: seen */
    uint64_t feature_count;
    hg_op ops[HG_FUZZ_LOG_OPS];
};

struct hg_fuzz_target;

struct hg_fuzz_session {
    const struct hg_fuzz_target *target;
    hg_backend backend; /* a copy, with page failure where there is one */
    char name[128];
    struct hg_oracle_config config;
    hg_oracle *oracle;
    struct hg_decode_options decode;
    size_t edges[HG_FUZZ_EDGES_MAX];
    struct hg_decoded decoded;
    struct hg_fuzz_log *log;
    struct hg_finding finding; /* of the last input that had one */
    uint64_t since_full_check;
    bool collects_features, fresh_features;
};

/* A target: one property, one file target_NAME.c. */
struct hg_fuzz_target {
    const char *name;
    const char *property; /* one line */
    struct hg_decode_options decode;
    bool
        plays_operations; /* inputs are streams: findings are written as traces and reduced as such */
    bool fresh_process;   /* each input in a process of its own */
    bool needs_backend;   /* false: it tests Heapgauge's own parts, whatever the backend */
    /* Runs one input. True: a finding, in session->finding. */
    bool (*run)(struct hg_fuzz_session *session, const uint8_t *data, size_t size);
    /* What is checked without an input, now and then; NULL: hg_fuzz_check_reuse. */
    bool (*without_input)(struct hg_fuzz_session *session);
};

/* All targets, in order; NULL past the end. */
const struct hg_fuzz_target *hg_fuzz_target_at(size_t index);
const struct hg_fuzz_target *hg_fuzz_target_by_name(const char *name);

/* Opens the backend by its spec and makes the oracle. `log`: NULL to have one of its own. One session a
 * process. On failure `why` gets one line. */
HG_WARN_UNUSED enum hg_status hg_fuzz_session_open(struct hg_fuzz_session *session,
                                                   const struct hg_fuzz_target *target,
                                                   const char *backend, struct hg_fuzz_log *log,
                                                   char *why, size_t why_size);

/* Makes the oracle anew (after the caller changed session->config). False: out of memory. */
bool hg_fuzz_session_renew(struct hg_fuzz_session *session);

/* Decodes and plays: what `run` of a stream target does. Every 64th time with the full check at the end
 * (the allocator's own validator, the largest block again). */
bool hg_fuzz_play_input(struct hg_fuzz_session *session, const uint8_t *data, size_t size);

/* Plays operations that were decoded or read before. True: a finding. */
enum hg_fuzz_end {
    HG_FUZZ_END_FULL, /* with the full check as above */
    HG_FUZZ_END_PLAIN,
    HG_FUZZ_GOES_ON, /* the stream's next piece follows: blocks stay live */
};
bool hg_fuzz_play_ops(struct hg_fuzz_session *session, const hg_op *ops, size_t count,
                      enum hg_fuzz_end end);

/* The checks that are too slow for each input, or have none: memory comes back, also across threads; or
 * what the target has instead. */
bool hg_fuzz_check_without_input(struct hg_fuzz_session *session);

/* Records a finding of a target that plays no operations. False iff its item is muted. */
bool hg_fuzz_found(struct hg_fuzz_session *session, const char *item, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
