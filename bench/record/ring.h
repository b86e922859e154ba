/* What the preload library and the collector share: files in a control directory.
 *
 *   DIR/lock            held with flock(2) by the collector as long as it lives
 *   DIR/control         struct hg_control: the collector speaks to every process
 *   DIR/image.PID.NS    struct hg_image and its rings: one process image (a fork or an exec makes a
 * new one). It appears by rename, complete
 *
 * A ring belongs to one thread (producer) and the collector (consumer). It holds events of one or
 * two units of 16 bytes, in the order in which the thread made them:
 *
 *   unit 1   bits 0-7   kind: enum hg_op_kind, or one of enum hg_event_kind
 *            bits 8-31  size, or HG_EVENT_SIZE_ELSEWHERE: it did not fit, a second unit follows
 *            bits 32-63 sequence number, its low half
 *            u64        address (0: NULL); for HG_OP_THREAD_START the starting thread's number
 *   unit 2   u64 size, u64 arg (as in hg_op; for a realloc the old address). Follows iff size is
 *            HG_EVENT_SIZE_ELSEWHERE
 *
 * Sequence numbers order the events of all threads of an image. A number is taken before the call
 * that ends a block and after the call that makes one; so whoever gets an address has a greater
 * number than whoever gave it back, and whoever frees it a greater one still. A reallocation does
 * both: it takes a number before (HG_EVENT_REALLOC_BEGIN) and one after (its own event), and one
 * only while the process has a single thread.
 *
 * Every number taken is published: room in the ring is made sure of before. Only a thread that dies
 * in between leaves a gap. */
#ifndef HG_RECORD_RING_H
#define HG_RECORD_RING_H

#include <stdatomic.h>
#include <stdint.h>

#include "heapgauge/operation.h"

#define HG_RECORD_DIRECTORY_VARIABLE "HEAPGAUGE_RECORD"
#define HG_RECORD_LIBRARY            "libheapgauge_record.so"

enum {
    HG_RECORD_MAGIC = 0x31524748, /* "HGR1" */
    HG_RECORD_LINE = 64,
    HG_RING_UNITS = 32768, /* 512 KiB a thread */
    HG_RINGS_MAX = 2048,   /* threads alive at once; further ones are counted as dropped events */
    HG_RINGS_FEW = 64,     /* when the address space is limited */
    HG_EVENT_SIZE_ELSEWHERE = 0xFFFFFF
};

enum hg_event_kind {
    HG_EVENT_REALLOC_BEGIN = 64, /* address: the block that a realloc is about to give back */
    HG_EVENT_COUNT = 65,         /* size: the count of the reallocarray that follows */
    HG_EVENT_TOUCHED =
        66 /* size: bytes resident of the block at the address, which is about to end */
};

struct hg_unit {
    uint64_t word[2];
};

/* ---- control: written by the collector ---- */
struct hg_control {
    uint32_t magic;
    int32_t collector_pid;
    int32_t only_pid;             /* record this process only; 0: its children too */
    char only_program[64];        /* record processes running a file of that name only; "": all */
    uint32_t drop;                /* when a ring is full: 0 wait, 1 drop */
    _Atomic uint32_t is_paused;   /* 1: record nothing for now */
    _Atomic uint32_t image_count; /* images that ever appeared; written by the images */
    _Alignas(HG_RECORD_LINE) _Atomic uint32_t wake; /* futex: the collector sleeps on it */
    _Atomic uint32_t is_asleep;
};

/* ---- a ring's indices ---- */
enum hg_ring_state {
    HG_RING_FREE = 0,
    HG_RING_ACTIVE,
    HG_RING_ENDING /* its thread has run its destructors; whoever finds it dead may take the ring */
};

struct hg_ring {
    /* producer's line */
    _Alignas(HG_RECORD_LINE) _Atomic uint64_t head; /* units ever written */
    uint64_t tail_seen;                             /* the tail when last looked at */
    _Atomic uint64_t dropped_count;
    _Atomic int32_t tid;
    _Atomic uint32_t state; /* enum hg_ring_state */
    /* consumer's line */
    _Alignas(HG_RECORD_LINE) _Atomic uint64_t tail; /* units ever read */
    _Atomic uint32_t is_waiting; /* futex: 1 while the producer sleeps until there is room */
};

/* ---- one process image ---- */
struct hg_image {
    uint32_t magic;
    int32_t pid;
    int32_t forked_from; /* pid of the recorded process that forked it; 0: exec'ed */
    uint32_t argument_count;
    uint32_t rings_max;
    uint64_t start_ns; /* CLOCK_MONOTONIC */
    char program[64];  /* its file's name, without folder */
    char allocator[64];
    _Atomic uint32_t ring_count; /* rings that were ever in use */
    _Atomic uint32_t has_ended;  /* 1: it called exit or _exit */
    _Atomic uint32_t is_closed;  /* 1, by the collector: nobody reads any more */
    _Atomic uint64_t lost_count; /* events that found no ring */
    _Alignas(HG_RECORD_LINE) _Atomic uint64_t sequence; /* numbers taken */
    _Alignas(HG_RECORD_LINE) struct hg_ring ring[HG_RINGS_MAX];
};

/* The units of ring i lie behind the head, at a page boundary. */
#define HG_RING_BYTES  ((uint64_t)HG_RING_UNITS * sizeof(struct hg_unit))
#define HG_RINGS_START ((sizeof(struct hg_image) + 65535) / 65536 * 65536)

static inline struct hg_unit *hg_ring_units(struct hg_image *image, uint32_t i) {
    return (struct hg_unit *)(void *)((char *)image + HG_RINGS_START + i * HG_RING_BYTES);
}

static inline uint64_t hg_image_size(uint32_t rings_max) {
    return HG_RINGS_START + rings_max * HG_RING_BYTES;
}

_Static_assert(sizeof(_Atomic uint64_t) == 8 && ATOMIC_LLONG_LOCK_FREE == 2,
               "shared between processes");

#endif
