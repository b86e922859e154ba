/* Rings into a trace: merges by number, names blocks by slot. */
#define _GNU_SOURCE
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_AHEAD = 12,          /* units: the table entries they need are fetched meanwhile */
    PUBLISH_UNITS = 2048,     /* room is given back in pieces of this */
    EVENTS_AT_ONCE = 1 << 20, /* then other images have their turn */
    GAP_LOOKS = 200           /* at the rings, for a number taken and not yet published */
};
static const uint64_t gap_patience_ns = 500 * 1000 * 1000;
static const uint64_t clock_step_ns = 1000 * 1000;
static const uint64_t flush_every_ns = 1000 * 1000 * 1000;

/* ---- open ---- */

static void write_header(char *text, size_t size, const struct hg_image *shared,
                         const char *parent_trace, const char *on_full) {
    char date[32];
    const time_t now = time(NULL);
    struct tm parts;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    snprintf(text, size,
             "program: %.63s\narguments: %u\nallocator: %.63s\nstarted-by: %s%s\nrecorded: %s\n"
             "recorder: heapgauge %s\non-full: %s\nmachine: %s\n"
             "holds: sizes, alignments, order, thread numbers; no content, address, argument or "
             "environment\n",
             shared->program, shared->argument_count, shared->allocator,
             parent_trace ? "fork in " : "exec", parent_trace ? parent_trace : "", date, HG_VERSION,
             on_full,
#if defined __x86_64__
             "x86_64"
#elif defined __aarch64__
             "aarch64"
#else
             "other"
#endif
    );
}

static struct hg_image *map_image(const char *path) {
    struct stat facts;
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return NULL;
    struct hg_image *shared = MAP_FAILED;
    if (fstat(file, &facts) == 0 && (uint64_t)facts.st_size >= hg_image_size(1))
        shared = mmap(NULL, (size_t)facts.st_size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_NORESERVE, file, 0);
    close(file);
    if (shared == MAP_FAILED)
        return NULL;
    if (shared->magic == HG_RECORD_MAGIC && shared->rings_max <= HG_RINGS_MAX &&
        (uint64_t)facts.st_size == hg_image_size(shared->rings_max))
        return shared;
    munmap(shared, (size_t)facts.st_size);
    errno = EBADMSG;
    return NULL;
}

static void free_view(struct hg_image_view *v) {
    hg_slots_close(&v->slots);
    if (v->pid_fd >= 0)
        close(v->pid_fd);
    if (v->shared)
        munmap(v->shared, hg_image_size(v->shared->rings_max));
    free(v->batch);
    free(v->ring);
    free(v->queue);
    free(v);
}

struct hg_image_view *hg_image_open(const char *path, const char *trace_path,
                                    const char *parent_trace, const char *on_full) {
    char header[1024];
    struct hg_image_view *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->pid_fd = -1;
    snprintf(v->path, sizeof v->path, "%s", path);
    snprintf(v->trace_path, sizeof v->trace_path, "%s", trace_path);
    v->shared = map_image(path);
    if (v->shared) {
        v->ring = calloc(v->shared->rings_max, sizeof *v->ring);
        v->queue = calloc(v->shared->rings_max, sizeof *v->queue);
        v->batch = calloc(HG_BATCH_OPS, sizeof *v->batch);
        write_header(header, sizeof header, v->shared, parent_trace, on_full);
    }
    if (!v->shared || !v->ring || !v->queue || !v->batch || !hg_slots_open(&v->slots) ||
        hg_trace_writer_open(trace_path, header, &v->writer) != HG_OK) {
        const int error = errno;
        free_view(v);
        errno = error;
        return NULL;
    }
    v->pid = v->shared->pid;
    v->pid_fd = (int)syscall(SYS_pidfd_open, v->pid, 0);
    v->clock_ns = v->shared->start_ns;
    v->flush_ns = v->clock_ns;
    return v;
}

/* ---- operations out ---- */

/* Gives up on this image: its program goes on, unrecorded. */
static void give_up(struct hg_image_view *v, enum hg_status status) {
    if (v->status != HG_OK)
        return;
    v->error = errno;
    v->status = status;
    atomic_store(&v->shared->is_closed, 1);
}

static __attribute__((noinline)) void write_batch(struct hg_image_view *v) {
    const enum hg_status status = hg_trace_writer_put_many(v->writer, v->batch, v->batch_count);
    v->batch_count = 0;
    if (status != HG_OK)
        give_up(v, status);
}

static inline void put(struct hg_image_view *v, const hg_op *op) {
    v->batch[v->batch_count++] = *op;
    if (__builtin_expect(v->batch_count == HG_BATCH_OPS, 0))
        write_batch(v);
}

static void put_plain(struct hg_image_view *v, unsigned kind, uint32_t thread, uint32_t slot,
                      uint64_t size, uint64_t arg) {
    const hg_op op = {(uint8_t)kind, 0, (uint16_t)thread, slot, size, arg};
    put(v, &op);
}

static void put_thread_start(struct hg_image_view *v, uint32_t thread, uint64_t creator) {
    struct hg_ring_view *const ring = &v->ring[thread];
    if (ring->is_live)
        put_plain(v, HG_OP_THREAD_END, thread, HG_SLOT_NONE, 0, 0);
    if (thread != 0 || ring->was_used) /* the first thread is there from the start */
        put_plain(v, HG_OP_THREAD_START, thread, HG_SLOT_NONE, 0,
                  creator < HG_RINGS_MAX ? creator : 0);
    ring->was_used = ring->is_live = true;
    ring->is_ending = false;
}

static void put_thread_end(struct hg_image_view *v, uint32_t thread) {
    put_plain(v, HG_OP_THREAD_END, thread, HG_SLOT_NONE, 0, 0);
    v->ring[thread].is_live = v->ring[thread].is_ending = false;
}

static void give_back(struct hg_image_view *v, uint32_t slot) {
    if (!hg_slots_give_back(&v->slots, slot))
        give_up(v, HG_ERR_MEMORY);
}

/* The program got `address`. Whoever had it before must have been freed unseen: by a dropped event,
 * or while recording was stopped. */
static void place(struct hg_image_view *v, uint32_t thread, uint64_t address, uint32_t slot) {
    uint32_t former;
    if (!hg_slots_place(&v->slots, address, slot, &former))
        give_up(v, HG_ERR_MEMORY);
    if (__builtin_expect(former != HG_SLOT_NONE, 0)) {
        put_plain(v, HG_OP_FREE, thread, former, 0, 0);
        give_back(v, former);
        v->inferred_free_count++;
    }
}

static uint32_t new_slot(struct hg_image_view *v) {
    const uint32_t slot = hg_slots_take(&v->slots);
    if (slot == HG_SLOT_NONE)
        give_up(v, HG_ERR_MEMORY);
    return slot;
}

static void allocated(struct hg_image_view *v, hg_op *op, uint64_t address) {
    if (address == 0) {
        op->flags = HG_OPF_FAILED;
        op->slot = HG_SLOT_NONE;
    } else {
        const uint32_t slot = new_slot(v);
        place(v, op->thread, address, slot);
        op->slot = slot;
    }
    put(v, op);
}

static void freed(struct hg_image_view *v, hg_op *op, uint64_t address) {
    op->slot = HG_SLOT_NONE;
    if (address != 0) {
        op->slot = hg_slots_remove(&v->slots, address);
        if (op->slot == HG_SLOT_NONE) {
            v->unknown_free_count++;
            return;
        }
        give_back(v, op->slot);
    }
    put(v, op);
}

static void reallocated(struct hg_image_view *v, hg_op *op, uint64_t address, uint64_t old) {
    struct hg_ring_view *const ring = &v->ring[op->thread];
    uint32_t slot = HG_SLOT_NONE;
    if (ring->is_reallocating)
        slot = ring->slot_in_flight;
    else if (old)
        slot = hg_slots_remove(&v->slots, old);
    ring->is_reallocating = false;
    if (op->kind == HG_OP_REALLOCARRAY) {
        op->arg = ring->count_ahead;
        ring->count_ahead = 0;
    }
    if (old && slot == HG_SLOT_NONE)
        v->unknown_free_count++;

    if (address) {
        if (slot == HG_SLOT_NONE)
            slot = new_slot(v);
        place(v, op->thread, address, slot);
    } else if (old && hg_op_bytes(op) == 0) { /* realloc to 0 has freed */
        if (slot != HG_SLOT_NONE) {
            put_plain(v, HG_OP_FREE, op->thread, slot, 0, 0);
            give_back(v, slot);
        }
        return;
    } else {
        op->flags = HG_OPF_FAILED;
        if (slot != HG_SLOT_NONE)
            place(v, op->thread, old, slot);
    }
    op->slot = slot;
    put(v, op);
}

/* A realloc that never ended (its second event was dropped): its block counts as freed. */
static void end_stray_realloc(struct hg_image_view *v, uint32_t thread) {
    struct hg_ring_view *const ring = &v->ring[thread];
    ring->is_reallocating = false;
    if (ring->slot_in_flight == HG_SLOT_NONE)
        return;
    put_plain(v, HG_OP_FREE, thread, ring->slot_in_flight, 0, 0);
    give_back(v, ring->slot_in_flight);
    v->inferred_free_count++;
}

/* One event, as the ring holds it. */
struct event {
    unsigned kind;
    uint64_t address, size, arg;
};

static void take_event(struct hg_image_view *v, uint32_t thread, const struct event *e) {
    struct hg_ring_view *const ring = &v->ring[thread];
    hg_op op = {(uint8_t)e->kind, 0, (uint16_t)thread, HG_SLOT_NONE, e->size, e->arg};

    if (__builtin_expect(!ring->is_live, 0) && e->kind != HG_OP_THREAD_START)
        put_thread_start(v, thread, 0);
    if (__builtin_expect(v->clock_due_ns != 0, 0) && ring->is_live) {
        /* Time goes on in the trace, too, in steps: an allocator may go by it. */
        put_plain(v, HG_OP_CLOCK, thread, HG_SLOT_NONE, v->clock_due_ns, 0);
        v->clock_due_ns = 0;
    }
    if (__builtin_expect(ring->is_reallocating, 0) && e->kind != HG_OP_REALLOC &&
        e->kind != HG_OP_REALLOCARRAY && e->kind != HG_EVENT_COUNT)
        end_stray_realloc(v, thread);
    switch (e->kind) {
    case HG_OP_MALLOC:
    case HG_OP_CALLOC:
    case HG_OP_ALIGNED_ALLOC:
    case HG_OP_POSIX_MEMALIGN:
    case HG_OP_MEMALIGN:
    case HG_OP_VALLOC:
    case HG_OP_PVALLOC:
        allocated(v, &op, e->address);
        break;
    case HG_OP_FREE:
    case HG_OP_FREE_SIZED:
    case HG_OP_FREE_ALIGNED_SIZED:
        freed(v, &op, e->address);
        break;
    case HG_OP_REALLOC:
    case HG_OP_REALLOCARRAY:
        op.arg = 0;
        reallocated(v, &op, e->address, e->arg);
        break;
    case HG_OP_USABLE_SIZE:
        if (e->address) {
            op.slot = hg_slots_find(&v->slots, e->address);
            if (op.slot == HG_SLOT_NONE)
                break; /* of a block from before */
        }
        put(v, &op);
        break;
    case HG_EVENT_REALLOC_BEGIN:
        ring->is_reallocating = true;
        ring->slot_in_flight = hg_slots_remove(&v->slots, e->address);
        break;
    case HG_EVENT_TOUCHED:
        op.slot = hg_slots_find(&v->slots, e->address);
        if (op.slot != HG_SLOT_NONE) /* else of a block from before */
            put_plain(v, HG_OP_TOUCHED, thread, op.slot, e->size, 0);
        break;
    case HG_EVENT_COUNT:
        ring->count_ahead = e->size;
        break;
    case HG_OP_THREAD_START:
        put_thread_start(v, thread, e->address);
        break;
    case HG_OP_THREAD_END:
        ring->is_ending = true;
        break;
    default: /* the ring was overwritten by a program gone wild */
        v->missing_count++;
        break;
    }
}

/* ---- merging ---- */

/* The full number of the event at the ring's tail; events carry its low half. */
static uint64_t number_at(const struct hg_image_view *v, const struct hg_ring_view *ring,
                          const struct hg_unit *units) {
    const uint32_t low = (uint32_t)(units[ring->tail % HG_RING_UNITS].word[0] >> 32);
    return v->expected + (uint64_t)(int64_t)(int32_t)(low - (uint32_t)v->expected);
}

static bool comes_before(const struct hg_image_view *v, uint32_t a, uint32_t b) {
    return (int64_t)(v->ring[a].next - v->ring[b].next) < 0;
}

static void sift_up(struct hg_image_view *v, uint32_t at) {
    uint32_t *const queue = v->queue;
    while (at && comes_before(v, queue[at], queue[(at - 1) / 2])) {
        const uint32_t other = queue[(at - 1) / 2];
        queue[(at - 1) / 2] = queue[at];
        queue[at] = other;
        at = (at - 1) / 2;
    }
}

static void sift_down(struct hg_image_view *v) {
    uint32_t *const queue = v->queue;
    for (uint32_t at = 0;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++)
            if (child < v->queue_count && comes_before(v, queue[child], queue[least]))
                least = child;
        if (least == at)
            return;
        const uint32_t other = queue[least];
        queue[least] = queue[at];
        queue[at] = other;
        at = least;
    }
}

/* Looks at every ring for new events, and queues those that were empty. */
static void look_at_rings(struct hg_image_view *v) {
    uint32_t count = atomic_load_explicit(&v->shared->ring_count, memory_order_acquire);
    if (count > v->shared->rings_max)
        count = v->shared->rings_max;
    for (uint32_t i = 0; i < count; i++) {
        struct hg_ring_view *const ring = &v->ring[i];
        const uint64_t head = atomic_load_explicit(&v->shared->ring[i].head, memory_order_acquire);
        if (head - ring->tail > HG_RING_UNITS) /* damaged, or stepping back: look again later */
            continue;
        ring->head = head;
        if (ring->is_queued || ring->head == ring->tail)
            continue;
        ring->next = number_at(v, ring, hg_ring_units(v->shared, i));
        ring->is_queued = true;
        v->queue[v->queue_count++] = i;
        sift_up(v, v->queue_count - 1);
    }
    v->ring_count = count;
}

/* Tells the producer what was read. One that waits for room is woken once there is plenty: waking costs
 * as much as some thousand events. */
static void publish_tail(struct hg_image_view *v, uint32_t i, bool is_plenty) {
    struct hg_ring *const shared = &v->shared->ring[i];
    if (v->ring[i].tail_published != v->ring[i].tail) {
        v->ring[i].tail_published = v->ring[i].tail;
        atomic_store(&shared->tail, v->ring[i].tail);
    }
    if (is_plenty && atomic_load(&shared->is_waiting) && atomic_exchange(&shared->is_waiting, 0))
        syscall(SYS_futex, &shared->is_waiting, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* What nearly all events are, in a loop of its own: mallocs that worked and frees, of a thread of which
 * nothing else is pending, numbered as expected. Stops before any other, before room for operations
 * ends, and where the tail is to be published. Returns how many there were. */
static uint64_t read_plain(struct hg_image_view *v, uint32_t thread, const struct hg_unit *units) {
    struct hg_ring_view *const ring = &v->ring[thread];
    const uint64_t first = ring->tail, publish = ring->tail_published + PUBLISH_UNITS;
    const uint64_t stop = ring->head < publish ? ring->head : publish;
    struct hg_slots slots = v->slots; /* no store below can be taken for one to it */
    hg_op *op = v->batch + v->batch_count;
    uint64_t room = HG_BATCH_OPS - 1 - v->batch_count, tail = first;
    if (stop <= tail || slots.given_back_capacity - slots.given_back_count < room)
        return 0; /* an event of two units may have gone past `publish` */
    if (room > stop - tail)
        room = stop - tail;
    for (uint32_t expected = (uint32_t)v->expected; room; room--, tail++, expected++) {
        const struct hg_unit unit = units[tail % HG_RING_UNITS];
        const unsigned kind = unit.word[0] & 255;
        const uint64_t address = unit.word[1];
        hg_slots_prefetch(&slots, units[(tail + LOOK_AHEAD) % HG_RING_UNITS].word[1]);
        if ((uint32_t)(unit.word[0] >> 32) != expected || address == 0)
            break;
        struct hg_slot_entry *const entry = hg_slots_seek(&slots, address);
        if (entry->address == 0)
            break;
        if (kind == HG_OP_FREE && entry->slot != HG_SLOT_NONE) {
            *op++ = (hg_op){HG_OP_FREE, 0, (uint16_t)thread, entry->slot, 0, 0};
            slots.given_back[slots.given_back_count++] = entry->slot;
            entry->slot = HG_SLOT_NONE;
            slots.live_count--;
        } else if (kind == HG_OP_MALLOC && entry->slot == HG_SLOT_NONE && slots.given_back_count) {
            const uint64_t size = unit.word[0] >> 8 & HG_EVENT_SIZE_ELSEWHERE;
            if (size == HG_EVENT_SIZE_ELSEWHERE)
                break;
            entry->slot = slots.given_back[--slots.given_back_count];
            slots.live_count++;
            *op++ = (hg_op){HG_OP_MALLOC, 0, (uint16_t)thread, entry->slot, size, 0};
        } else {
            break;
        }
    }
    v->slots = slots;
    v->batch_count = (uint32_t)(op - v->batch);
    v->expected += tail - first;
    ring->tail = tail;
    return tail - first;
}

/* The event at the ring's tail, read whole. */
static struct event read_event(struct hg_ring_view *ring, const struct hg_unit *units) {
    const struct hg_unit unit = units[ring->tail++ % HG_RING_UNITS];
    struct event e = {.kind = unit.word[0] & 255,
                      .address = unit.word[1],
                      .size = unit.word[0] >> 8 & HG_EVENT_SIZE_ELSEWHERE};
    if (e.size == HG_EVENT_SIZE_ELSEWHERE) {
        const struct hg_unit second = units[ring->tail++ % HG_RING_UNITS];
        e.size = second.word[0];
        e.arg = second.word[1];
    }
    return e;
}

/* Reads from one ring as long as its events are the ones to come. Returns how many were. */
static uint64_t read_run(struct hg_image_view *v, uint32_t i) {
    struct hg_ring_view *const ring = &v->ring[i];
    const struct hg_unit *const units = hg_ring_units(v->shared, i);
    uint64_t count = 0;
    while (ring->tail < ring->head) {
        if (ring->is_live && !ring->is_reallocating && v->clock_due_ns == 0)
            count += read_plain(v, i, units);
        if (ring->tail - ring->tail_published >= PUBLISH_UNITS)
            publish_tail(v, i, ring->head - ring->tail <= HG_RING_UNITS / 2);
        if (ring->tail >= ring->head)
            break;
        ring->next = number_at(v, ring, units);
        if ((int64_t)(ring->next - v->expected) > 0)
            break;
        v->expected += ring->next == v->expected;
        const struct event e = read_event(ring, units);
        take_event(v, i, &e);
        count++;
    }
    return count;
}

/* The number to come is not there, though later ones are: a thread is between taking and publishing
 * it. True iff it is to be waited for. */
static bool wait_for_gap(struct hg_image_view *v, uint64_t now_ns, bool is_last) {
    const uint64_t next = v->ring[v->queue[0]].next;
    for (int i = 0; i < GAP_LOOKS; i++) {
        look_at_rings(v);
        if ((int64_t)(v->ring[v->queue[0]].next - v->expected) <= 0)
            return false;
#if defined __x86_64__
        __builtin_ia32_pause();
#endif
    }
    if (v->stalled_ns == 0)
        v->stalled_ns = now_ns;
    if (!is_last && now_ns - v->stalled_ns < gap_patience_ns)
        return true;
    v->missing_count += next - v->expected;
    v->expected = next;
    return false;
}

uint64_t hg_image_drain(struct hg_image_view *v, uint64_t now_ns, bool is_last) {
    uint64_t count = 0;
    if (v->status != HG_OK)
        return 0;
    look_at_rings(v);
    if (v->queue_count && v->was_started && now_ns >= v->clock_ns + clock_step_ns) {
        v->clock_due_ns = now_ns - v->clock_ns;
        v->clock_ns = now_ns;
    }
    while (v->queue_count && v->status == HG_OK && (is_last || count < EVENTS_AT_ONCE)) {
        const uint32_t i = v->queue[0];
        if ((int64_t)(v->ring[i].next - v->expected) > 0) {
            if (wait_for_gap(v, now_ns, is_last))
                break;
            continue;
        }
        v->stalled_ns = 0;
        count += read_run(v, i);
        if (v->ring[i].tail >= v->ring[i].head) { /* >: a program gone wild wrote half an event */
            v->ring[i].is_queued = false;
            v->queue[0] = v->queue[--v->queue_count];
        }
        sift_down(v);
        if (v->queue_count == 0)
            look_at_rings(v);
    }
    v->was_started |= count != 0;
    for (uint32_t i = 0; i < v->ring_count; i++)
        publish_tail(v, i, true);
    return count;
}

/* ---- now and then ---- */

void hg_image_tend(struct hg_image_view *v, uint64_t now_ns) {
    for (uint32_t i = 0; i < v->ring_count && v->status == HG_OK; i++) {
        if (!v->ring[i].is_ending || !v->ring[i].is_live)
            continue;
        const bool is_gone =
            syscall(SYS_tgkill, v->pid, atomic_load(&v->shared->ring[i].tid), 0) != 0;
        if (is_gone && atomic_load(&v->shared->ring[i].head) == v->ring[i].tail)
            put_thread_end(v, i);
    }
    if (v->status != HG_OK || now_ns < v->flush_ns + flush_every_ns)
        return;
    v->flush_ns = now_ns;
    write_batch(v);
    const enum hg_status status = hg_trace_writer_flush(v->writer);
    if (status != HG_OK)
        give_up(v, status);
}

/* ---- the end ---- */

static uint64_t count_dropped(const struct hg_image_view *v) {
    uint64_t count = atomic_load(&v->shared->lost_count) + v->missing_count;
    for (uint32_t i = 0; i < v->ring_count; i++)
        count += atomic_load(&v->shared->ring[i].dropped_count);
    return count;
}

enum hg_status hg_image_close(struct hg_image_view *v, struct hg_image_end end,
                              struct hg_trace_totals *totals) {
    for (uint32_t i = 0; i < v->ring_count; i++)
        if (v->ring[i].is_ending && v->ring[i].is_live)
            put_thread_end(v, i);
    write_batch(v);
    atomic_store(&v->shared->is_closed, 1);
    struct hg_trace_totals *const written = hg_trace_writer_totals(v->writer);
    written->dropped_count = count_dropped(v);
    written->unknown_free_count = v->unknown_free_count;
    written->was_cut = end.was_cut;
    written->exit_status = end.exit_status;
    *totals = *written;
    enum hg_status status = hg_trace_writer_close(v->writer);
    int error = errno;
    if (v->status != HG_OK) {
        status = v->status;
        error = v->error;
    }
    free_view(v);
    errno = error;
    return status;
}
