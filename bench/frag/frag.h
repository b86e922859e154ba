/* Fragmentation: adversaries that make an allocator waste memory, and the measure of what it
 * wasted.
 *
 * live: bytes asked for and not freed. rss: resident bytes of the process less those of its
 * baseline, before the first allocation. Time is counted in operations, so that runs compare.
 * Single-threaded. */
#ifndef HG_FRAG_H
#define HG_FRAG_H

#include "heapgauge/backend.h"

#include <stdbool.h>
#include <stdint.h>

enum { HG_FRAG_SAMPLES_MAX = 512, HG_FRAG_RETENTIONS = 4 };

/* When retention is read, seconds after the last free. */
extern const double hg_frag_retention_s[HG_FRAG_RETENTIONS];

struct hg_frag_sample {
    uint64_t operation, live_bytes, rss_bytes;
    uint64_t usable_bytes; /* of the live blocks; 0: the backend doesn't say */
};

struct hg_frag_result {
    bool finished;
    uint64_t operations, failed;
    uint64_t baseline_bytes;
    struct hg_frag_sample at_live_peak, at_rss_peak, at_worst; /* worst: greatest rss / live */
    uint64_t retention_bytes[HG_FRAG_RETENTIONS];
    size_t retention_count; /* readings taken */
    bool has_purge;
    uint64_t purged_bytes; /* rss after a purge, at the end */
    double size_ratio;     /* largest block / smallest one: the n of Robson's bounds */
    uint64_t sample_every; /* operations */
    size_t sample_count;
    struct hg_frag_sample samples[HG_FRAG_SAMPLES_MAX];
};

struct hg_frag_config {
    const hg_backend *backend; /* with malloc and free */
    uint64_t live_bytes_max;   /* M, at least 1 MiB: what an adversary may hold */
    double retention_s;        /* reads no retention later than this */
};

/* What an adversary allocates through. */
struct hg_frag_heap {
    const struct hg_frag_config *config;
    struct hg_frag_result *result;
    uint64_t live_bytes, usable_bytes;
    uint64_t size_min, size_max;
    bool usable_known;
    bool ended; /* what is freed now is no part of the program */
};

/* A block with every page of it written; NULL iff the backend failed, which is counted. */
void *hg_frag_alloc(struct hg_frag_heap *heap, size_t size);
void hg_frag_free(struct hg_frag_heap *heap, void *ptr, size_t size);
/* The end of a phase: reads the memory exactly. */
void hg_frag_mark(struct hg_frag_heap *heap);
/* The end of the program: what is freed from now on counts for retention alone. */
void hg_frag_end(struct hg_frag_heap *heap);

struct hg_adversary {
    const char *name, *what;
    /* Ends with everything freed. */
    void (*attack)(struct hg_frag_heap *heap, uint64_t live_bytes_max);
};

/* The i-th adversary; NULL past the end. */
const struct hg_adversary *hg_adversary_at(size_t index);

/* Runs one in this process, which should be a fresh one. */
void hg_frag_run(const struct hg_frag_config *config, const struct hg_adversary *adversary,
                 struct hg_frag_result *result);

/* Of one sample. Overhead is rss / live. Internal: usable / live - 1, NaN if not known. External:
 * the rest of what overhead has above 1. */
double hg_frag_overhead(const struct hg_frag_sample *sample);
double hg_frag_internal(const struct hg_frag_sample *sample);
double hg_frag_external(const struct hg_frag_sample *sample);

/* Robson's bounds on heap size / M, for sizes of which the largest is n times the smallest: what
 * first fit may come to at most, 1 + ceil(log2 n), and what some program forces on any allocator
 * that doesn't move blocks, 1 + log2(n) / 2, powers of two, n much smaller than M (J. ACM 21
 * (1974); Comp. J. 20 (1977)). */
double hg_frag_bound_first_fit(double n);
double hg_frag_bound_any(double n);

int hg_frag_main(int argc, char **argv);

#endif
