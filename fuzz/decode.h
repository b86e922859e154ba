/* Byte strings to streams. Every byte string is a valid input; none asks for what a caller may not do.
 *
 *   header  8 bytes   0-2  swarm: classes of operations switched off, a bit each (enum hg_swarm)
 *                     3    slots: 2, 4, 8 ... 256       4    threads (threads target only)
 *                     5    how it ends: order, a look   6    greatest size: 2 KiB, 64 KiB, any
 *                     7    1 (of 8): bursts, below
 *   record  8 bytes   0    operation                    1    slot
 *                     2    thread, low bits             3    how the size is meant (enum in decode.c)
 *                     4-5  its value, little-endian     6    alignment        7    what else is needed
 *
 * A record means something whatever the slot holds: on an empty slot its byte 0 picks an allocation, on
 * a full one a reallocation, a free or a look. Input that runs out is padded with zeros; a piece of a
 * record at the end is ignored. In an input with bursts every fourth record stands for up to 128
 * operations on slots one after the other, of 4096: thousands of live blocks, long histories of one size.
 *
 * Pure functions of their arguments; no heap. */
#ifndef HG_FUZZ_DECODE_H
#define HG_FUZZ_DECODE_H

#include "heapgauge/backend.h"
#include "heapgauge/operation.h"

enum {
    HG_FUZZ_HEADER_BYTES = 8,
    HG_FUZZ_RECORD_BYTES = 8,
    HG_FUZZ_OPS_MAX = 4096, /* operations of one input; the rest of the bytes is ignored */
    HG_FUZZ_EDGES_MAX = 256,
    HG_FUZZ_SLOTS_MAX = 4096, /* with bursts; 256 without */
    HG_FUZZ_THREADS_MAX = 4,
};

/* Bits of the swarm mask: a class switched off for one input. */
enum hg_swarm {
    HG_SWARM_ALIGNED = 1 << 0, /* aligned_alloc, posix_memalign, memalign, valloc, pvalloc */
    HG_SWARM_ZEROED = 1 << 1,  /* calloc, alloc_zeroed */
    HG_SWARM_REALLOC = 1 << 2, /* reallocations */
    HG_SWARM_HOSTILE = 1 << 3, /* sizes and alignments that must be refused */
    HG_SWARM_LARGE = 1 << 4,   /* sizes above 64 KiB */
    HG_SWARM_SIZED_FREE = 1 << 5,
    HG_SWARM_LOOK = 1 << 6, /* usable size, verify */
    HG_SWARM_PURGE = 1 << 7,
    HG_SWARM_FORK = 1 << 8,
    HG_SWARM_SHORTAGE = 1 << 9, /* page requests fail */
    HG_SWARM_THREAD_ENDS = 1 << 10,
    HG_SWARM_PLAIN = 1 << 11, /* malloc itself */
};

/* What a target wants of the decoder. */
struct hg_decode_options {
    bool layout_face; /* layout operations instead of those of libc */
    bool both_faces;  /* each allocation picks its face */
    bool native;      /* three in four are calls of the allocator's own (native.h) */
    uint32_t natives; /* which of them there are: a bit each, by enum hg_native */
    bool environment; /* forks, purges, failing page requests */
    bool modest; /* no calloc or realloc of a tebibyte, for which only the oracle leaves no room */
    unsigned threads;    /* 1 .. HG_FUZZ_THREADS_MAX */
    const size_t *edges; /* learnt size-class edges, ascending; may be NULL */
    size_t edge_count;
};

struct hg_decoded {
    hg_op ops[HG_FUZZ_OPS_MAX + HG_FUZZ_SLOTS_MAX + HG_FUZZ_THREADS_MAX + 2];
    size_t count;      /* with the end that the decoder adds: nothing is live after it */
    size_t body_count; /* without */
    unsigned threads;
};

/* Decodes `size` bytes. Every operation is well-formed; what must fail is marked HG_OPF_FAILED. */
void hg_fuzz_decode(const struct hg_decode_options *options, const uint8_t *data, size_t size,
                    struct hg_decoded *out);

/* Learns the sizes at which `backend` changes its size class, by asking it for usable sizes up to
 * 256 KiB. Returns how many; 0 where they can't be asked. Calls the backend. */
size_t hg_fuzz_learn_edges(const hg_backend *backend, size_t edges[HG_FUZZ_EDGES_MAX]);

#endif
