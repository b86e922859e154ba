#define _GNU_SOURCE
#include "heapgauge/player.h"

#include "heapgauge/meter.h"
#include "clock.h"
#include "operation_facts.h"
#include "play.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
    WINDOW_OPS = 1 << 18,            /* operations of all threads played between two barriers */
    QUEUE_OPS = 2 * WINDOW_OPS + 64, /* with the waits that the demultiplexer adds */
    THREADS_MAX = 65536,
    SPARE_REMOTE = 1024, /* slots freed by others that a thread keeps before it reuses the oldest */
    STACK_BYTES = 256 << 10,
    SPINS_BEFORE_YIELD = 200,
};

/* Set on a queued operation that another thread waits for (never stored in a trace). */
static const uint8_t AWAITED = 0x80;
static const uint32_t NO_SLOT = UINT32_MAX;

struct play;

struct worker {
    _Alignas(64) atomic_uint done; /* operations of its queue completed in this window */
    pthread_t thread;
    struct play *play;
    unsigned begin, count, filled; /* its part of the shared queue */
    uint64_t start_ns, stop_ns;
    struct hg_play_tally tally;
    sem_t go; /* posted when its next run is due (turns) */
    bool exists, ends;
    bool called; /* to play its part of the window; under the lock */
    /* slots to reuse, as lists through slot_info.next */
    uint32_t local_head, remote_head, remote_tail, remote_count;
};

/* For each slot as played: who owns it, and who touched it last in which window. */
struct slot_info {
    uint32_t next;
    uint32_t window;
    uint32_t position;
    uint16_t toucher, owner;
};

struct play {
    const struct hg_play_config *config;
    struct hg_source *source;
    struct hg_play_result *result;
    struct hg_played *slots;
    size_t slot_capacity;
    uint64_t slice, slice_end, slice_begin_ns; /* see hg_play_slices; slice_end UINT64_MAX: none */
    /* several threads */
    struct worker *workers;
    unsigned worker_end; /* thread numbers seen: 0 .. worker_end-1 */
    hg_op *queue;
    uint32_t *run_length;     /* at the first operation of a run: its length */
    uint32_t *position_index; /* queued operation -> its index in the window */
    hg_op *window;
    size_t window_count;
    uint64_t window_first;
    uint32_t window_number;
    uint32_t *renamed; /* slot of the trace -> slot as played */
    size_t renamed_capacity;
    struct slot_info *info;
    uint32_t slot_next;
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    unsigned remaining;
    atomic_int status; /* enum hg_status of the first worker that stopped */
    bool over;
};

static void *map_bytes(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Grows a table to hold `needed` entries, doubling; new entries are zero. */
static bool grow(void *table, size_t *capacity, size_t needed, size_t entry_size) {
    void **pointer = table;
    if (needed <= *capacity)
        return true;
    size_t target = *capacity ? *capacity : 4096;
    while (target < needed)
        target *= 2;
    void *bigger =
        *pointer ? mremap(*pointer, *capacity * entry_size, target * entry_size, MREMAP_MAYMOVE)
                 : map_bytes(target * entry_size);
    if (!bigger || bigger == MAP_FAILED)
        return false;
    *pointer = bigger;
    *capacity = target;
    return true;
}

static enum hg_status fail(struct play *play, enum hg_status status, uint64_t index,
                           const char *why) {
    play->result->error_index = index;
    snprintf(play->result->why, sizeof play->result->why, "%s", why);
    return status;
}

static enum hg_status wrong_stream(struct play *play, uint64_t index) {
    return fail(
        play, HG_ERR_FORMAT, index,
        "the stream is wrong: it allocates into a full slot, or frees through the wrong face");
}

static void add_tally(struct hg_play_result *result, const struct hg_play_tally *tally) {
    result->operations += tally->performed;
    result->left_out += tally->left_out;
    result->unsupported += tally->unsupported;
    result->failed += tally->failed;
}

static uint64_t above_baseline(const struct play *play, uint64_t bytes) {
    uint64_t baseline = play->result->rss_baseline_bytes;
    return bytes > baseline ? bytes - baseline : 0;
}

/* ---- slices ---- */

static uint64_t end_of_slice(const struct hg_play_slices *slices, uint64_t slice) {
    return (uint64_t)((unsigned __int128)slices->operations * (slice + 1) / slices->count);
}

static void begin_slices(struct play *play) {
    const struct hg_play_slices *slices = play->config->slices;
    play->slice_end = slices ? end_of_slice(slices, 0) : UINT64_MAX;
    if (slices)
        slices->turn(slices->context, 0);
}

/* Operations before `index` are performed: the others' turn, where that ends a slice. */
static void may_end_slice(struct play *play, uint64_t index) {
    const struct hg_play_slices *slices = play->config->slices;
    if (index != play->slice_end)
        return;
    slices->times_ns[play->slice] = play->result->time_ns - play->slice_begin_ns;
    play->slice_begin_ns = play->result->time_ns;
    play->slice_end = UINT64_MAX;
    if (++play->slice == slices->count)
        return;
    play->slice_end = end_of_slice(slices, play->slice);
    slices->turn(slices->context, play->slice);
}

/* Environment operations that the measuring hand knows: a purge, and time (no call: it counts as left
 * out). Native calls are the oracle's only. */
static void play_environment(const struct hg_play_config *config, const hg_op *op,
                             struct hg_play_tally *tally) {
    if (op->kind == HG_OP_CLOCK && config->trace_clock)
        hg__clock_advance(op->size);
    if (op->kind == HG_OP_PURGE && config->backend->purge) {
        config->backend->purge(config->backend);
        tally->performed++;
    } else if (hg__op_is_native(op->kind)) {
        tally->unsupported++;
    } else {
        tally->left_out++;
    }
}

/* The measuring hand that calls nothing which is not there. */
static hg_hand *hand_for(const struct hg_play_config *config) {
    if (config->face == HG_FACE_LAYOUT)
        return hg__play_layout;
    return config->backend->libc.malloc ? hg__play_libc : hg__play_without_libc;
}

/* An allocation whose block is touched in part. False: the stream is wrong. */
static bool play_partly(struct play *play, hg_hand *hand, hg_op op, struct hg_play_tally *tally) {
    const uint64_t touched = hg__op_unmark_partly(&op);
    if (hand(play->config->backend, play->slots, &op, 1, false, tally) != 1)
        return false;
    if (play->config->touch && op.slot != HG_SLOT_NONE && play->slots[op.slot].ptr)
        hg__play_touch(&play->slots[op.slot], touched);
    return true;
}

/* One thread's operations in a row. Returns how many were performed; fewer: the stream is wrong. */
static size_t play_run(struct play *play, const hg_op *ops, size_t count,
                       struct hg_play_tally *tally) {
    const struct hg_play_config *config = play->config;
    hg_hand *hand = hand_for(config);
    size_t done = 0;
    while (done < count) {
        size_t plain = done;
        while (plain < count && ops[plain].kind < HG_OP_PURGE &&
               !(ops[plain].flags & HG_OPF_PARTLY))
            plain++;
        done += hand(config->backend, play->slots, ops + done, plain - done, config->touch, tally);
        if (done < plain)
            return done;
        for (; done < count && ops[done].flags & HG_OPF_PARTLY; done++)
            if (!play_partly(play, hand, ops[done], tally))
                return done;
        for (; done < count && ops[done].kind >= HG_OP_PURGE; done++)
            play_environment(config, &ops[done], tally);
    }
    return done;
}

static enum hg_status check_run(struct play *play, const hg_op *ops, const uint32_t *index,
                                uint64_t first, size_t count, struct hg_play_tally *tally) {
    enum { FAR = 16, NEAR = 8 };
    bool alone = play->config->mode != HG_PLAY_PARALLEL; /* at a time */
    for (size_t i = 0; i < count; i++) {
        if (alone)
            hg_oracle_expect(play->config->oracle, i + FAR < count ? &ops[i + FAR] : NULL,
                             i + NEAR < count ? &ops[i + NEAR] : NULL);
        hg_op op = ops[i];
        op.flags &= (uint8_t)~AWAITED;
        uint64_t at = first + (index ? index[i] : i);
        enum hg_status status = hg_oracle_perform(play->config->oracle, &op, at);
        if (status == HG_ERR_FORMAT)
            return wrong_stream(play, at);
        if (status != HG_OK)
            return status;
        tally->performed++;
    }
    return HG_OK;
}

/* ---- one thread ---- */

static uint32_t slot_max(const hg_op *ops, size_t count) {
    uint32_t max = 0;
    for (size_t i = 0; i < count; i++)
        if (ops[i].slot != HG_SLOT_NONE && ops[i].slot > max)
            max = ops[i].slot;
    return max;
}

static enum hg_status play_timed(struct play *play, const hg_op *ops, size_t count,
                                 uint64_t first) {
    struct hg_play_tally tally = {0};
    uint64_t cpu = hg_cpu_ns(), begin = hg_time_ns();
    size_t done = play_run(play, ops, count, &tally);
    play->result->time_ns += hg_time_ns() - begin;
    play->result->cpu_ns += hg_cpu_ns() - cpu;
    add_tally(play->result, &tally);
    return done == count ? HG_OK : wrong_stream(play, first + done);
}

/* How many of `count` operations are played in one piece: up to and with the one after which live bytes are
 * greatest, up to the end of a slice. */
static size_t until_stop(const struct play *play, uint64_t first, size_t count) {
    uint64_t peak = play->source->live_peak_operation;
    if (peak != UINT64_MAX && peak >= first && peak < first + count)
        count = (size_t)(peak - first + 1);
    return play->slice_end - first < count ? (size_t)(play->slice_end - first) : count;
}

static enum hg_status play_block(struct play *play, const hg_op *ops, size_t count,
                                 uint64_t first) {
    if (!play->config->oracle && !grow(&play->slots, &play->slot_capacity,
                                       (size_t)slot_max(ops, count) + 1, sizeof *play->slots))
        return fail(play, HG_ERR_MEMORY, first, "out of memory for the slot table");
    if (play->config->oracle) {
        struct hg_play_tally tally = {0};
        uint64_t cpu = hg_cpu_ns(), begin = hg_time_ns();
        enum hg_status status = check_run(play, ops, NULL, first, count, &tally);
        play->result->time_ns += hg_time_ns() - begin;
        play->result->cpu_ns += hg_cpu_ns() - cpu;
        add_tally(play->result, &tally);
        return status;
    }
    while (count) {
        size_t part = until_stop(play, first, count);
        enum hg_status status = play_timed(play, ops, part, first);
        if (status != HG_OK)
            return status;
        ops += part;
        first += part;
        count -= part;
        if (first - 1 == play->source->live_peak_operation)
            play->result->rss_at_live_peak_bytes = above_baseline(play, hg_rss_bytes());
        may_end_slice(play, first);
    }
    return HG_OK;
}

/* ---- several threads: the demultiplexer ---- */

static void push_local(struct play *play, struct worker *worker, uint32_t slot) {
    play->info[slot].next = worker->local_head;
    worker->local_head = slot;
}

static void push_remote(struct play *play, struct worker *owner, uint32_t slot) {
    play->info[slot].next = NO_SLOT;
    if (owner->remote_head == NO_SLOT)
        owner->remote_head = slot;
    else
        play->info[owner->remote_tail].next = slot;
    owner->remote_tail = slot;
    owner->remote_count++;
}

/* A slot for a new block of `thread`. Slots are renamed so that threads share one only where the
 * program's threads shared the block: a trace reuses slot numbers across threads, and waiting for those
 * would serialise what ran in parallel. */
static uint32_t take_slot(struct play *play, unsigned thread) {
    struct worker *worker = &play->workers[thread];
    uint32_t slot = worker->local_head;
    if (slot != NO_SLOT) {
        worker->local_head = play->info[slot].next;
    } else if (worker->remote_count > SPARE_REMOTE) {
        slot = worker->remote_head;
        worker->remote_head = play->info[slot].next;
        worker->remote_count--;
    } else {
        size_t info_capacity = play->slot_capacity;
        slot = play->slot_next;
        if (!grow(&play->info, &info_capacity, (size_t)slot + 1, sizeof *play->info) ||
            !grow(&play->slots, &play->slot_capacity, (size_t)slot + 1, sizeof *play->slots))
            return NO_SLOT;
        play->slot_next++;
        play->info[slot].window = UINT32_MAX;
    }
    play->info[slot].owner = (uint16_t)thread;
    return slot;
}

static void give_slot(struct play *play, unsigned thread, uint32_t slot) {
    unsigned owner = play->info[slot].owner;
    if (owner == thread)
        push_local(play, &play->workers[thread], slot);
    else
        push_remote(play, &play->workers[owner], slot);
}

/* Gives the operation its slot as played. False iff memory is exhausted. */
static bool rename_slot(struct play *play, hg_op *op) {
    if (op->slot == HG_SLOT_NONE || !hg__op_names_block(op->kind))
        return true;
    uint32_t traced = op->slot;
    size_t known = play->renamed_capacity;
    if (!grow(&play->renamed, &play->renamed_capacity, (size_t)traced + 1, sizeof *play->renamed))
        return false;
    for (size_t i = known; i < play->renamed_capacity; i++)
        play->renamed[i] = NO_SLOT;
    if (play->renamed[traced] == NO_SLOT) { /* also a realloc of an empty slot */
        play->renamed[traced] = take_slot(play, op->thread);
        if (play->renamed[traced] == NO_SLOT)
            return false;
    }
    op->slot = play->renamed[traced];
    bool to_zero = op->kind == HG_OP_REALLOC && op->size == 0;
    if (hg_op_frees(op->kind) || to_zero) {
        play->renamed[traced] = NO_SLOT;
        give_slot(play, op->thread, op->slot);
    }
    return true;
}

static void enqueue(struct play *play, struct worker *worker, const hg_op *op, uint32_t index) {
    unsigned at = worker->begin + worker->filled++;
    play->queue[at] = *op;
    play->position_index[at] = index;
}

static void enqueue_wait(struct play *play, struct worker *worker, unsigned awaited,
                         uint32_t position) {
    struct worker *other = &play->workers[awaited];
    play->queue[other->begin + position].flags |= AWAITED;
    hg_op wait = {.kind = HG_OP_WAIT, .slot = awaited, .size = (uint64_t)position + 1};
    enqueue(play, worker, &wait, 0);
}

/* Before `op`: wait for the last operation on its slot, if another thread's in this window; a thread's
 * start waits for its starter. */
static void order_after_others(struct play *play, const hg_op *op) {
    struct worker *worker = &play->workers[op->thread];
    if (op->kind == HG_OP_THREAD_START && op->arg < play->worker_end && op->arg != op->thread) {
        struct worker *starter = &play->workers[op->arg];
        if (starter->filled > 0)
            enqueue_wait(play, worker, (unsigned)op->arg, starter->filled - 1);
        return;
    }
    if (op->slot == HG_SLOT_NONE || !hg__op_names_block(op->kind))
        return;
    struct slot_info *info = &play->info[op->slot];
    if (info->window == play->window_number && info->toucher != op->thread)
        enqueue_wait(play, worker, info->toucher, info->position);
    info->window = play->window_number;
    info->toucher = op->thread;
    info->position = worker->filled;
}

/* Marks the runs of each queue: what can be played without looking left or right. */
static void mark_runs(struct play *play, const struct worker *worker) {
    unsigned end = worker->begin + worker->filled;
    for (unsigned at = worker->begin; at < end;) {
        unsigned stop = at;
        if (play->queue[at].kind == HG_OP_WAIT) {
            stop++;
        } else if (play->config->mode == HG_PLAY_TURNS) {
            do /* consecutive in the recorded order */
                stop++;
            while (stop < end && play->position_index[stop] == play->position_index[stop - 1] + 1);
        } else {
            bool awaited = false;
            while (stop < end && !awaited && play->queue[stop].kind != HG_OP_WAIT)
                awaited = play->queue[stop++].flags & AWAITED;
        }
        play->run_length[at] = stop - at;
        at = stop;
    }
}

static enum hg_status demultiplex(struct play *play) {
    bool parallel = play->config->mode == HG_PLAY_PARALLEL;
    for (unsigned i = 0; i < play->worker_end; i++)
        play->workers[i].count = play->workers[i].filled = 0;
    for (size_t i = 0; i < play->window_count; i++)
        play->workers[play->window[i].thread].count += parallel ? 2 : 1;
    unsigned begin = 0;
    for (unsigned i = 0; i < play->worker_end; i++) {
        play->workers[i].begin = begin;
        begin += play->workers[i].count;
    }
    for (size_t i = 0; i < play->window_count; i++) {
        hg_op op = play->window[i];
        if (parallel) {
            if (!rename_slot(play, &op))
                return fail(play, HG_ERR_MEMORY, play->window_first + i,
                            "out of memory for the slot tables");
            order_after_others(play, &op);
        }
        enqueue(play, &play->workers[op.thread], &op, (uint32_t)i);
        if (op.kind == HG_OP_THREAD_END)
            play->workers[op.thread].ends = true;
    }
    for (unsigned i = 0; i < play->worker_end; i++)
        mark_runs(play, &play->workers[i]);
    return HG_OK;
}

/* ---- several threads: the workers ---- */

static void spin_until(const atomic_uint *counter, unsigned target, const struct play *play) {
    for (unsigned spins = 0; atomic_load_explicit(counter, memory_order_acquire) < target;) {
        if (atomic_load_explicit(&play->status, memory_order_relaxed) != HG_OK)
            return;
        if (++spins > SPINS_BEFORE_YIELD)
            sched_yield();
#if defined(__x86_64__) || defined(__i386__)
        else
            __builtin_ia32_pause();
#endif
    }
}

static enum hg_status play_queue_run(struct play *play, struct worker *worker, unsigned at,
                                     unsigned length) {
    const hg_op *ops = play->queue + at;
    const uint32_t *index = play->position_index + at;
    if (play->config->oracle)
        return check_run(play, ops, index, play->window_first, length, &worker->tally);
    size_t done = play_run(play, ops, length, &worker->tally);
    return done == length ? HG_OK : wrong_stream(play, play->window_first + index[done]);
}

/* Turns: the thread of the window's operation `index` goes next. */
static void hand_over(struct play *play, size_t index) {
    if (index < play->window_count)
        sem_post(&play->workers[play->window[index].thread].go);
}

static void play_queue(struct play *play, struct worker *worker) {
    unsigned end = worker->begin + worker->filled;
    worker->start_ns = hg_time_ns();
    for (unsigned at = worker->begin; at < end;) {
        unsigned length = play->run_length[at];
        const hg_op *op = &play->queue[at];
        enum hg_status status = HG_OK;
        bool stopped = atomic_load_explicit(&play->status, memory_order_relaxed) != HG_OK;
        if (stopped && play->config->mode != HG_PLAY_TURNS) /* turns go round to the end */
            break;
        if (op->kind == HG_OP_WAIT) {
            spin_until(&play->workers[op->slot].done, (unsigned)op->size, play);
        } else if (play->config->mode == HG_PLAY_TURNS) {
            while (sem_wait(&worker->go) != 0) /* interrupted */
                ;
            if (atomic_load_explicit(&play->status, memory_order_acquire) == HG_OK)
                status = play_queue_run(play, worker, at, length);
            hand_over(play, play->position_index[at] + length);
        } else {
            status = play_queue_run(play, worker, at, length);
        }
        if (status != HG_OK)
            atomic_store(&play->status, (int)status);
        at += length;
        atomic_store_explicit(&worker->done, at - worker->begin, memory_order_release);
    }
    worker->stop_ns = hg_time_ns();
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct play *play = worker->play;
    for (bool ends = false; !ends;) {
        pthread_mutex_lock(&play->lock);
        while (!play->over && !worker->called)
            pthread_cond_wait(&play->begin, &play->lock);
        bool over = play->over;
        worker->called = false;
        pthread_mutex_unlock(&play->lock);
        if (over)
            break;
        play_queue(play, worker);
        ends = worker->ends;
        pthread_mutex_lock(&play->lock);
        if (--play->remaining == 0)
            pthread_cond_signal(&play->end);
        pthread_mutex_unlock(&play->lock);
    }
    return NULL;
}

static bool start_worker(struct play *play, struct worker *worker) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    worker->play = play;
    worker->ends = worker->called = false;
    worker->exists = pthread_create(&worker->thread, &attributes, work, worker) == 0;
    pthread_attr_destroy(&attributes);
    return worker->exists;
}

static enum hg_status play_window(struct play *play) {
    enum hg_status status = demultiplex(play);
    if (status != HG_OK)
        return status;
    unsigned busy = 0;
    for (unsigned i = 0; i < play->worker_end; i++) {
        struct worker *worker = &play->workers[i];
        if (!worker->filled)
            continue;
        bool ends = worker->ends;
        if (i > 0 && !worker->exists && !start_worker(play, worker))
            return fail(play, HG_ERR_SYSTEM, play->window_first, "cannot start another thread");
        worker->ends = ends;
        atomic_store(&worker->done, 0);
        busy++;
    }
    uint64_t cpu = hg_cpu_ns();
    pthread_mutex_lock(&play->lock);
    play->remaining = busy;
    for (unsigned i = 1; i < play->worker_end; i++)
        play->workers[i].called = play->workers[i].filled > 0;
    pthread_cond_broadcast(&play->begin);
    if (play->config->mode == HG_PLAY_TURNS)
        hand_over(play, 0);
    if (play->workers[0].filled) { /* the caller is the program's first thread, with its arena */
        pthread_mutex_unlock(&play->lock);
        play_queue(play, &play->workers[0]);
        pthread_mutex_lock(&play->lock);
        play->remaining--;
    }
    while (play->remaining)
        pthread_cond_wait(&play->end, &play->lock);
    pthread_mutex_unlock(&play->lock);
    play->result->cpu_ns += hg_cpu_ns() - cpu;
    if (busy > play->result->threads)
        play->result->threads = busy;
    uint64_t start = UINT64_MAX, stop = 0;
    for (unsigned i = 0; i < play->worker_end; i++) {
        struct worker *worker = &play->workers[i];
        if (!worker->filled)
            continue;
        start = worker->start_ns < start ? worker->start_ns : start;
        stop = worker->stop_ns > stop ? worker->stop_ns : stop;
        add_tally(play->result, &worker->tally);
        worker->tally = (struct hg_play_tally){0};
        if (worker->ends && worker->exists)
            pthread_join(worker->thread, NULL);
        if (worker->ends)
            worker->exists = worker->ends = false;
    }
    play->result->time_ns += stop > start ? stop - start : 0;
    play->window_first += play->window_count;
    play->window_count = 0;
    play->window_number++;
    return (enum hg_status)atomic_load(&play->status);
}

/* Takes a block into windows; plays each as it fills, and where live bytes are greatest. */
static enum hg_status take_block(struct play *play, const hg_op *ops, size_t count,
                                 uint64_t first) {
    if (play->window_count == 0)
        play->window_first = first;
    for (size_t i = 0; i < count; i++) {
        while (ops[i].thread >= play->worker_end) {
            struct worker *worker = &play->workers[play->worker_end++];
            worker->local_head = worker->remote_head = NO_SLOT;
            sem_init(&worker->go, 0, 0);
        }
        play->window[play->window_count++] = ops[i];
        bool at_peak = first + i == play->source->live_peak_operation;
        if (play->window_count < WINDOW_OPS && !at_peak && first + i + 1 != play->slice_end)
            continue;
        enum hg_status status = play_window(play);
        if (status != HG_OK)
            return status;
        if (at_peak && !play->config->oracle)
            play->result->rss_at_live_peak_bytes = above_baseline(play, hg_rss_bytes());
        may_end_slice(play, first + i + 1);
    }
    return HG_OK;
}

static void dismiss_workers(struct play *play) {
    pthread_mutex_lock(&play->lock);
    play->over = true;
    pthread_cond_broadcast(&play->begin);
    pthread_mutex_unlock(&play->lock);
    for (unsigned i = 0; i < play->worker_end; i++)
        if (play->workers[i].exists)
            pthread_join(play->workers[i].thread, NULL);
}

/* ---- all ---- */

/* Makes tables and touches them, so that the baseline of resident memory has them. */
static bool prepare(struct play *play) {
    size_t slots = play->source->slot_count ? play->source->slot_count : 4096;
    if (!play->config->oracle) {
        if (!grow(&play->slots, &play->slot_capacity, slots, sizeof *play->slots))
            return false;
        memset(play->slots, 0, play->slot_capacity * sizeof *play->slots);
        for (size_t i = 0; i < play->slot_capacity; i += 64)
            *(void *volatile *)&play->slots[i].ptr = NULL;
    }
    if (play->config->mode == HG_PLAY_SINGLE)
        return true;
    play->workers = map_bytes(THREADS_MAX * sizeof *play->workers);
    play->queue = map_bytes(QUEUE_OPS * sizeof *play->queue);
    play->run_length = map_bytes(QUEUE_OPS * sizeof *play->run_length);
    play->position_index = map_bytes(QUEUE_OPS * sizeof *play->position_index);
    play->window = map_bytes(WINDOW_OPS * sizeof *play->window);
    size_t info_capacity = 0;
    if (play->config->mode == HG_PLAY_PARALLEL &&
        (!grow(&play->info, &info_capacity, play->slot_capacity, sizeof *play->info) ||
         !grow(&play->renamed, &play->renamed_capacity, slots, sizeof *play->renamed)))
        return false;
    if (!play->workers || !play->queue || !play->run_length || !play->position_index ||
        !play->window)
        return false;
    memset(play->queue, 0, QUEUE_OPS * sizeof *play->queue);
    memset(play->run_length, 0, QUEUE_OPS * sizeof *play->run_length);
    memset(play->position_index, 0, QUEUE_OPS * sizeof *play->position_index);
    memset(play->window, 0, WINDOW_OPS * sizeof *play->window);
    if (play->info)
        memset(play->info, 0, info_capacity * sizeof *play->info);
    for (size_t i = 0; i < play->renamed_capacity; i++)
        play->renamed[i] = NO_SLOT;
    return true;
}

static void unmap(void *memory, size_t size) {
    if (memory)
        munmap(memory, size);
}

static void clean_up(struct play *play) {
    unmap(play->info, play->slot_capacity * sizeof *play->info);
    unmap(play->slots, play->slot_capacity * sizeof *play->slots);
    unmap(play->renamed, play->renamed_capacity * sizeof *play->renamed);
    unmap(play->workers, THREADS_MAX * sizeof *play->workers);
    unmap(play->queue, QUEUE_OPS * sizeof *play->queue);
    unmap(play->run_length, QUEUE_OPS * sizeof *play->run_length);
    unmap(play->position_index, QUEUE_OPS * sizeof *play->position_index);
    unmap(play->window, WINDOW_OPS * sizeof *play->window);
}

/* Wakes the allocator up, so that its start is not charged to the first operations. */
static void warm_up(const struct hg_play_config *config) {
    const hg_backend *backend = config->backend;
    if (config->face == HG_FACE_LAYOUT || !backend->libc.malloc) {
        hg_layout layout = {64, 16};
        void *ptr = backend->layout.alloc(backend, layout);
        if (ptr)
            backend->layout.dealloc(backend, ptr, layout);
    } else {
        backend->libc.free(backend->libc.malloc(64));
    }
}

static void drain(struct play *play) {
    for (size_t i = 0; i < play->slot_capacity; i++) {
        if (play->slots[i].ptr) {
            hg__play_drain(play->config->backend, &play->slots[i]);
            play->result->live_end_blocks++;
        }
    }
}

/* The end under the oracle. A stream of no operations stands for steady loops (C51, C52): so the fuzzer writes
 * down what no operation of its own shows. */
static enum hg_status finish_checked(struct play *play) {
    hg_oracle *oracle = play->config->oracle;
    enum hg_status status = hg_oracle_finish(oracle, play->config->finish_order);
    if (status == HG_OK && play->result->operations == 0) {
        status = hg_oracle_check_reuse(oracle, false);
        if (status == HG_OK && play->config->mode != HG_PLAY_SINGLE)
            status = hg_oracle_check_reuse(oracle, true);
    }
    return status;
}

static enum hg_status play_all(struct play *play) {
    const hg_op *ops;
    size_t count;
    uint64_t first;
    /* The first block is decoded before the baseline is taken: decoding has its own tables. */
    enum hg_status status = play->source->next(play->source->context, &ops, &count, &first);
    if (!play->config->oracle)
        warm_up(play->config);
    hg_rss_settle_files();
    hg_rss_peak_reset();
    play->result->rss_baseline_bytes = hg_rss_bytes();
    uint64_t faults = hg_minor_faults();
    begin_slices(play);
    while (status == HG_OK) {
        status = play->config->mode == HG_PLAY_SINGLE ? play_block(play, ops, count, first)
                                                      : take_block(play, ops, count, first);
        if (status == HG_OK)
            status = play->source->next(play->source->context, &ops, &count, &first);
        else if (status == HG_END)
            return HG_END; /* the oracle's word */
    }
    if (status == HG_END && play->config->mode != HG_PLAY_SINGLE && play->window_count) {
        status = play_window(play);
        if (status != HG_OK)
            return status;
        status = HG_END;
    }
    play->result->minor_faults = hg_minor_faults() - faults;
    if (play->config->oracle)
        return status == HG_END ? finish_checked(play) : status;
    play->result->rss_end_bytes = above_baseline(play, hg_rss_bytes());
    /* The kernel's high-water mark lags by up to 64 pages a thread; what was read exactly does not. */
    uint64_t peak = above_baseline(play, hg_rss_peak_bytes());
    if (peak < play->result->rss_end_bytes)
        peak = play->result->rss_end_bytes;
    if (peak < play->result->rss_at_live_peak_bytes)
        peak = play->result->rss_at_live_peak_bytes;
    play->result->rss_peak_bytes = peak;
    drain(play);
    play->result->rss_drained_bytes = above_baseline(play, hg_rss_bytes());
    if (status == HG_END && play->config->slices)
        play->config->slices->turn(play->config->slices->context, play->config->slices->count);
    return status == HG_END ? HG_OK : status;
}

enum hg_status hg_play(const struct hg_play_config *config, struct hg_source *source,
                       struct hg_play_result *result) {
    struct play play = {.config = config, .source = source, .result = result};
    *result = (struct hg_play_result){.threads = 1};
    pthread_mutex_init(&play.lock, NULL);
    pthread_cond_init(&play.begin, NULL);
    pthread_cond_init(&play.end, NULL);
    enum hg_status status;
    if (config->trace_clock)
        hg__clock_stop(config->backend->facts.path);
    if (prepare(&play)) {
        status = play_all(&play);
        if (play.workers)
            dismiss_workers(&play);
    } else {
        status = fail(&play, HG_ERR_MEMORY, 0, "out of memory for the player's tables");
    }
    clean_up(&play);
    pthread_mutex_destroy(&play.lock);
    pthread_cond_destroy(&play.begin);
    pthread_cond_destroy(&play.end);
    return status;
}
