/* The collector's view of one process image: reads its rings, writes its trace. */
#ifndef HG_RECORD_IMAGE_H
#define HG_RECORD_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heapgauge/trace.h"
#include "ring.h"
#include "slots.h"

/* One ring as the collector sees it. */
struct hg_ring_view {
    uint64_t head, tail;     /* of the units known to be there */
    uint64_t tail_published; /* what the producer knows of it */
    uint64_t next;           /* sequence number of the event at the tail */
    uint64_t count_ahead;    /* of the reallocarray to come */
    uint32_t slot_in_flight; /* of the block being reallocated; HG_SLOT_NONE: none is */
    bool is_reallocating;
    bool is_queued;
    bool was_used;
    bool is_live;   /* its thread has started, and not ended, in the trace */
    bool is_ending; /* its thread has run its destructors */
};

enum { HG_BATCH_OPS = 256 }; /* operations handed to the writer at once */

struct hg_image_view {
    struct hg_image *shared;
    char path[340]; /* of the image in the control directory */
    char trace_path[512];
    int pid_fd; /* -1: none */
    int32_t pid;
    uint32_t number; /* of the trace, in order of appearance */
    hg_trace_writer *writer;
    hg_op *batch; /* on their way to the writer */
    uint32_t batch_count;
    struct hg_slots slots;
    struct hg_ring_view *ring; /* one per ring the image may have */
    uint32_t ring_count;
    uint32_t *queue; /* a heap of rings with events, least number first */
    uint32_t queue_count;
    uint64_t expected;     /* the number to come */
    uint64_t stalled_ns;   /* since when it does not; 0: it does */
    uint64_t clock_ns;     /* up to when time has passed in the trace */
    uint64_t clock_due_ns; /* to be put before the next event */
    uint64_t flush_ns;
    uint64_t missing_count; /* numbers taken and never seen */
    uint64_t unknown_free_count;
    uint64_t inferred_free_count; /* frees not seen, but the address came back */
    bool was_started;             /* an event was seen */
    enum hg_status status;
    int error;
    struct hg_image_view *next;
};

/* How an image ended. */
struct hg_image_end {
    bool was_cut;
    uint64_t exit_status; /* UINT64_MAX: not known */
};

/* Opens the image at `path` and creates its trace. NULL iff either can't be; errno says why. */
struct hg_image_view *hg_image_open(const char *path, const char *trace_path,
                                    const char *parent_trace, const char *on_full);

/* Reads what is in the rings, in order. `is_last`: the process is gone, nothing more can come.
 * Returns the number of events read. Sets `status` where the trace can't be written; the image is
 * closed then and its program goes on unrecorded. */
uint64_t hg_image_drain(struct hg_image_view *image, uint64_t now_ns, bool is_last);

/* What has to be done now and then: ends of threads, flushing. */
void hg_image_tend(struct hg_image_view *image, uint64_t now_ns);

/* Closes image and trace; *totals gets what the trace holds. Frees the view. */
enum hg_status hg_image_close(struct hg_image_view *image, struct hg_image_end end,
                              struct hg_trace_totals *totals);

#endif
