/* A statistical model of a trace, of bounded size whatever the trace's length.
 *
 * The unit is a block's story: its sizes, kind and alignment, how long it lives, its reallocations, the
 * threads that make and free it. Stories are sampled whole, so whatever hangs together in them (size and
 * lifetime, size and thread) stays together. The trace is cut into phases of equal length; within a phase
 * stories are sorted into strata by size class and by whether they live long; of each stratum the exact
 * number is kept, and a uniform sample (Vitter's reservoir, 1985).
 *
 *   phase 0 .. 255 -> stratum (short|long) x size class, or "no block" -> count, up to 128 stories
 *
 * Not modelled: what comes after what within a phase, but for runs in one stratum; verify, fail_pages. */
#ifndef HG_TRACE_SYNTH_MODEL_H
#define HG_TRACE_SYNTH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heapgauge/trace.h"

enum {
    HG_MODEL_PHASES = 256,
    HG_MODEL_CLASSES = 65,                      /* powers of two */
    HG_MODEL_POINTS = 2 * HG_MODEL_CLASSES,     /* the stratum of operations without a block */
    HG_MODEL_STRATA = 2 * HG_MODEL_CLASSES + 1, /* short, long, no block */
    HG_MODEL_KEPT_MAX = 128,                    /* stories of a stratum */
};

#define HG_LIFETIME_NEVER UINT64_MAX /* still live at the trace's end */

struct hg_story {
    uint64_t size, arg;            /* as in the operation that makes it */
    uint64_t bytes_max, bytes_end; /* asked for in its reallocations: the most, the last */
    uint64_t touched;              /* bytes it touched of the last + 1 (HG_OP_TOUCHED); 0: all */
    uint64_t lifetime;             /* operations */
    uint64_t birth;                /* operation that made it */
    uint64_t realloc_span;         /* operations from the first to the last reallocation */
    uint32_t realloc_count;
    uint16_t thread, free_thread;
    uint8_t kind, realloc_kind, free_kind;
    uint8_t flags; /* of an operation without a block */
};

struct hg_stratum {
    uint64_t count;           /* blocks made in the phase */
    uint64_t operation_count; /* that their stories make */
    uint64_t repeat_count;    /* made just after one of the same stratum */
    struct hg_story *story;
    uint32_t kept, capacity;
};

struct hg_model {
    struct hg_stratum stratum[HG_MODEL_PHASES][HG_MODEL_STRATA];
    uint64_t operation_count; /* of the trace */
    uint64_t long_operations; /* a block lives long that lives for so many */
    uint64_t left_out_count;  /* operations that are not modelled */
    uint64_t kept_count;
    bool has_threads;
};

/* Fits a model to what the reader has; `operation_count` must be the trace's. Blocks that live for
 * `long_operations` and more are long-lived. HG_OK, or the reader's
 * status, or HG_ERR_MEMORY; hg_model_close is due in any case. */
HG_WARN_UNUSED enum hg_status hg_model_fit(struct hg_model *model, hg_trace_reader *reader,
                                           uint64_t operation_count, uint64_t long_operations);
void hg_model_close(struct hg_model *model);

/* The next number of the generator splitmix64 (Steele, Lea, Flood 2014). */
static inline uint64_t hg_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* 0 .. bound - 1. */
static inline uint64_t hg_random_below(uint64_t *state, uint64_t bound) {
    return (uint64_t)((__extension__(unsigned __int128) hg_random(state) * bound) >> 64);
}

#endif
