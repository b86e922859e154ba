#define _GNU_SOURCE
#include "shrink.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "heapgauge/contain.h"
#include "heapgauge/meter.h"
#include "heapgauge/trace.h"

static const uint64_t MEMORY_MAX_BYTES = UINT64_C(4) << 30;

struct play {
    struct hg_fuzz_session *session;
    const hg_op *ops;
    size_t count;
};

/* What an allocator says when it dies need not be read for each trial. */
static void be_silent(void) {
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDERR_FILENO);
}

static int play_in_child(void *argument) {
    struct play *play = argument;
    struct hg_fuzz_session *session = play->session;
    be_silent();
    bool found = hg_fuzz_play_ops(session, play->ops, play->count, HG_FUZZ_END_FULL);
    if (!found && play->count == 0)
        found = hg_fuzz_check_without_input(session);
    session->log->finished = true;
    return found;
}

/* What a child that played came to, by what it left in the log. */
static void judge(const struct hg_fuzz_log *log, const struct hg_contained *child,
                  struct hg_trial *trial) {
    if (log->found) {
        trial->finding = log->finding;
        snprintf(trial->item, sizeof trial->item, "%s", log->finding.item);
        return;
    }
    if (log->finished)
        return;
    const char *word = child->outcome == HG_OUTCOME_TIMEOUT  ? "hang"
                       : child->outcome == HG_OUTCOME_MEMORY ? "memory"
                                                             : "crash";
    snprintf(trial->item, sizeof trial->item, "%s", word);
    snprintf(trial->finding.item, sizeof trial->finding.item, "%s", word);
    trial->finding.level = 'M';
    trial->finding.op_index = UINT64_MAX;
    if (child->outcome == HG_OUTCOME_CRASHED)
        snprintf(trial->finding.text, sizeof trial->finding.text, "died of signal %d",
                 child->signal);
    else if (child->outcome == HG_OUTCOME_EXITED)
        snprintf(trial->finding.text, sizeof trial->finding.text, "ended the process, status %d",
                 child->exit_status);
    else
        snprintf(trial->finding.text, sizeof trial->finding.text,
                 "stopped after %.1f s with %llu MiB", child->seconds,
                 (unsigned long long)(child->rss_seen_bytes >> 20));
}

static void try_body(struct hg_fuzz_session *session, int (*body)(void *), void *argument,
                     double timeout_s, struct hg_trial *trial) {
    struct hg_limits limits = {.timeout_s = timeout_s, .memory_bytes = MEMORY_MAX_BYTES};
    struct hg_contained child;
    memset(trial, 0, sizeof *trial);
    session->log->op_count = session->log->input_begin = 0;
    session->log->finished = session->log->found = false;
    if (hg_contain(body, argument, &limits, &child) == HG_OK)
        judge(session->log, &child, trial);
}

void hg_fuzz_try(struct hg_fuzz_session *session, const hg_op *ops, size_t count, double timeout_s,
                 struct hg_trial *trial) {
    struct play play = {session, ops, count};
    try_body(session, play_in_child, &play, timeout_s, trial);
}

struct run {
    struct hg_fuzz_session *session;
    const uint8_t *data;
    size_t size;
};

static int run_in_child(void *argument) {
    struct run *run = argument;
    be_silent();
    bool found = run->session->target->run(run->session, run->data, run->size);
    run->session->log->finished = true;
    return found;
}

void hg_fuzz_try_input(struct hg_fuzz_session *session, const uint8_t *data, size_t size,
                       double timeout_s, struct hg_trial *trial) {
    struct run run = {session, data, size};
    try_body(session, run_in_child, &run, timeout_s, trial);
}

/* ---- how long ---- */

/* So much CPU time of ours and of the trials, so that the result is the same on a busy machine; but for
 * trials that hang never more than some times that of the wall clock. */
struct deadline {
    double cpu_s;
    uint64_t wall_ns;
};

static double seconds_of(const struct rusage *used) {
    return (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
           (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) * 1e-6;
}

static double cpu_used_s(void) {
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    return seconds_of(&own) + seconds_of(&children);
}

static struct deadline in_seconds(double seconds) {
    enum { WALL_FACTOR = 4 };
    return (struct deadline){cpu_used_s() + seconds,
                             hg_time_ns() + (uint64_t)(seconds * WALL_FACTOR * 1e9)};
}

static bool is_past(const struct deadline *deadline) {
    return hg_time_ns() > deadline->wall_ns || cpu_used_s() > deadline->cpu_s;
}

/* ---- streams as shrinking wants them ---- */

struct shrink {
    struct hg_fuzz_session *session;
    hg_op *ops, *candidate;
    size_t count;
    uint32_t *live; /* by slot: 0 empty, 1 live */
    uint32_t slot_end;
    const char *item;
    double timeout_s;
    struct deadline deadline;
    uint64_t trials;
    struct hg_trial best;
};

static bool names_slot(const hg_op *op) {
    return hg_op_has_slot(op->kind) && op->slot != HG_SLOT_NONE;
}

static uint32_t slots_of(const hg_op *ops, size_t count) {
    uint32_t slots = 0;
    for (size_t i = 0; i < count; i++)
        if (names_slot(&ops[i]) && ops[i].slot >= slots)
            slots = ops[i].slot + 1;
    return slots;
}

/* Gives each allocation a slot of its own, so that an operation can go without another one filling its
 * slot twice. Operations on slots that are empty go. */
static bool give_own_slots(struct shrink *s) {
    uint32_t slots = slots_of(s->ops, s->count), next = 0;
    uint32_t *own = malloc((slots + 1) * sizeof *own);
    if (!own)
        return false;
    memset(own, 0xFF, (slots + 1) * sizeof *own);
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        hg_op op = s->ops[i];
        if (names_slot(&op)) {
            uint32_t *slot = &own[op.slot];
            if (*slot == UINT32_MAX && !hg_op_allocates(op.kind) &&
                (!hg_op_reallocates(op.kind) || op.kind == HG_OP_LAYOUT_REALLOC))
                continue;
            if (*slot == UINT32_MAX)
                *slot = next++;
            op.slot = *slot;
            if (hg_op_frees(op.kind) || (op.kind == HG_OP_REALLOC && op.size == 0))
                own[s->ops[i].slot] = UINT32_MAX;
        }
        s->ops[kept++] = op;
    }
    free(own);
    s->count = kept;
    s->slot_end = next;
    return true;
}

/* Leaves out what has lost its block, or would fill a slot twice. Returns the new count. */
static size_t tidy(struct shrink *s, hg_op *ops, size_t count) {
    memset(s->live, 0, (s->slot_end + 1) * sizeof *s->live);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const hg_op *op = &ops[i];
        if (names_slot(op)) {
            bool reallocates = hg_op_reallocates(op->kind) && op->kind != HG_OP_LAYOUT_REALLOC;
            if (hg_op_allocates(op->kind) ? s->live[op->slot] : !s->live[op->slot] && !reallocates)
                continue;
            if (!s->live[op->slot] && op->kind == HG_OP_REALLOC && op->size == 0)
                continue;
            s->live[op->slot] =
                !(hg_op_frees(op->kind) || (op->kind == HG_OP_REALLOC && op->size == 0));
        }
        ops[kept++] = *op;
    }
    return kept;
}

static bool is_late(const struct shrink *s) {
    return is_past(&s->deadline);
}

/* Tries the candidate; if it still breaks the item it becomes the stream. */
static bool adopt(struct shrink *s, size_t count) {
    struct hg_trial trial;
    if (is_late(s))
        return false;
    count = tidy(s, s->candidate, count);
    if (count == 0) /* that would be the check without a stream: long, and another finding */
        return false;
    s->trials++;
    hg_fuzz_try(s->session, s->candidate, count, s->timeout_s, &trial);
    if (strcmp(trial.item, s->item) != 0)
        return false;
    if (trial.finding.op_index < count) /* what comes after the finding cannot matter */
        count = (size_t)trial.finding.op_index + 1;
    memcpy(s->ops, s->candidate, count * sizeof *s->ops);
    s->count = count;
    s->best = trial;
    return true;
}

/* ---- the passes; each returns true iff it changed the stream ---- */

static bool drop_runs(struct shrink *s, size_t run_min) {
    bool changed = false;
    for (size_t run = s->count / 2; run >= run_min && !is_late(s); run /= 2) {
        for (size_t end = s->count;
             end > 0 && !is_late(s);) { /* from the back: keeps set-up for last */
            size_t begin = end > run ? end - run : 0;
            memcpy(s->candidate, s->ops, begin * sizeof *s->ops);
            memcpy(s->candidate + begin, s->ops + end, (s->count - end) * sizeof *s->ops);
            if (adopt(s, begin + s->count - end)) {
                changed = true;
                end = begin < s->count ? begin : s->count;
            } else {
                end = begin;
            }
        }
    }
    return changed;
}

/* Numbers without gaps, in the order they had: what is live at the end is freed in that order. */
static void number_slots(struct shrink *s) {
    uint32_t next = 0;
    memset(s->live, 0, (s->slot_end + 1) * sizeof *s->live);
    for (size_t i = 0; i < s->count; i++)
        if (names_slot(&s->ops[i]))
            s->live[s->ops[i].slot] = 1;
    for (uint32_t slot = 0; slot < s->slot_end; slot++)
        s->live[slot] = s->live[slot] ? next++ : 0;
    for (size_t i = 0; i < s->count; i++)
        if (names_slot(&s->ops[i]))
            s->ops[i].slot = s->live[s->ops[i].slot];
    s->slot_end = next;
}

/* All operations of some slots: an allocation and its free often must go together. Half of them at a time,
 * then a quarter ... then each. */
static bool drop_slots(struct shrink *s) {
    bool changed = false;
    for (uint32_t run = (s->slot_end + 1) / 2; run >= 1 && !is_late(s); run /= 2) {
        for (uint32_t end = s->slot_end; end > 0 && !is_late(s); end -= end < run ? end : run) {
            uint32_t begin = end > run ? end - run : 0;
            size_t kept = 0;
            for (size_t i = 0; i < s->count; i++)
                if (!names_slot(&s->ops[i]) || s->ops[i].slot < begin || s->ops[i].slot >= end)
                    s->candidate[kept++] = s->ops[i];
            if (kept < s->count)
                changed |= adopt(s, kept);
        }
    }
    if (changed)
        number_slots(s);
    return changed;
}

static bool without_threads(struct shrink *s) {
    bool changed = false;
    for (unsigned thread = HG_FUZZ_THREADS_MAX - 1; thread > 0; thread--) {
        size_t kept = 0;
        bool any = false;
        for (size_t i = 0; i < s->count; i++) {
            hg_op op = s->ops[i];
            if (op.thread == thread) {
                any = true;
                op.thread = 0;
                if (op.kind == HG_OP_THREAD_START || op.kind == HG_OP_THREAD_END)
                    continue;
            }
            s->candidate[kept++] = op;
        }
        if (any)
            changed |= adopt(s, kept);
    }
    return changed;
}

static bool adopt_one(struct shrink *s, size_t index, hg_op op) {
    if (!hg_op_is_well_formed(&op) || memcmp(&op, &s->ops[index], sizeof op) == 0)
        return false;
    memcpy(s->candidate, s->ops, s->count * sizeof *s->ops);
    s->candidate[index] = op;
    return adopt(s, s->count);
}

/* Towards a rounder number: half of it as long as that will do, then its leading bit alone. */
static bool smaller_number(struct shrink *s, size_t index, bool is_arg) {
    bool changed = false;
    for (;;) {
        uint64_t value = is_arg ? s->ops[index].arg : s->ops[index].size;
        uint64_t lead = value ? UINT64_C(1) << (63 - __builtin_clzll(value)) : 0;
        uint64_t choices[4] = {1, value / 2, lead, value - 1};
        bool better = false;
        for (int i = 0; i < 4 && !better && value > 1; i++) {
            hg_op op = s->ops[index];
            if (choices[i] >= value || (i == 3 && value > 64))
                continue;
            *(is_arg ? &op.arg : &op.size) = choices[i];
            better = adopt_one(s, index, op);
            if (index >= s->count)
                return true;
        }
        changed |= better;
        if (!better || is_late(s))
            return changed;
    }
}

static bool simpler_operations(struct shrink *s) {
    bool changed = false;
    for (size_t i = 0; i < s->count && !is_late(s); i++) {
        hg_op op = s->ops[i];
        bool plain = !(op.flags & HG_OPF_FAILED);
        if (hg_op_allocates(op.kind) && op.kind < HG_OP_ALLOC && op.kind != HG_OP_MALLOC && plain) {
            op.size = hg_op_bytes(&op);
            op.kind = HG_OP_MALLOC;
            op.arg = 0;
            changed |= adopt_one(s, i, op);
        } else if (op.kind == HG_OP_FREE_SIZED || op.kind == HG_OP_FREE_ALIGNED_SIZED) {
            op.kind = HG_OP_FREE;
            changed |= adopt_one(s, i, op);
        }
        if (i < s->count && hg_op_has_size(s->ops[i].kind) && s->ops[i].kind != HG_OP_FAIL_PAGES)
            changed |= smaller_number(s, i, false);
        if (i < s->count && hg_op_has_arg(s->ops[i].kind) && s->ops[i].kind != HG_OP_THREAD_START)
            changed |= smaller_number(s, i, true);
    }
    return changed;
}

static void run_passes(struct shrink *s) {
    enum { PASSES_MAX = 6, SHORT = 200 };
    (void)drop_runs(s, s->count / 32 + 1); /* at first by large pieces only */
    (void)drop_slots(s);
    bool changed = true;
    for (int pass = 0; pass < PASSES_MAX && changed && !is_late(s); pass++) {
        changed = drop_runs(s, 1);
        changed |= drop_slots(s);
        changed |= without_threads(s);
        changed |= s->count < SHORT && simpler_operations(s);
    }
    number_slots(s);
}

/* Threads end with the stream when it is tried here; said in the stream, they do wherever it is played. */
static size_t end_threads(hg_op *ops, size_t count, size_t capacity) {
    bool runs[HG_FUZZ_THREADS_MAX] = {false};
    for (size_t i = 0; i < count; i++)
        runs[ops[i].thread % HG_FUZZ_THREADS_MAX] = ops[i].kind != HG_OP_THREAD_END;
    for (uint16_t thread = 1; thread < HG_FUZZ_THREADS_MAX && count < capacity; thread++)
        if (runs[thread])
            ops[count++] =
                (hg_op){.kind = HG_OP_THREAD_END, .thread = thread, .slot = HG_SLOT_NONE};
    return count;
}

size_t hg_fuzz_shrink(struct hg_fuzz_session *session, hg_op *ops, size_t count, const char *item,
                      double seconds, struct hg_trial *trial, uint64_t *trials) {
    struct shrink s = {
        .session = session,
        .ops = ops,
        .count = count,
        .item = item,
        .timeout_s = strcmp(item, "hang") == 0 ? 2 : 20,
        .deadline = in_seconds(seconds),
    };
    hg_fuzz_try(session, ops, count, s.timeout_s, trial);
    *trials = 1;
    s.best = *trial;
    s.candidate = malloc((count + 1) * sizeof *s.candidate);
    if (strcmp(trial->item, item) != 0 || !s.candidate) {
        free(s.candidate);
        return count;
    }
    if (trial->finding.op_index < count)
        s.count = (size_t)trial->finding.op_index + 1;
    size_t before_slots = s.count;
    memcpy(s.candidate, ops, s.count * sizeof *ops);
    if (!give_own_slots(&s)) {
        free(s.candidate);
        return count;
    }
    struct hg_trial again;
    hg_fuzz_try(session, s.ops, s.count, s.timeout_s, &again);
    if (strcmp(again.item, item) == 0) {
        s.best = again;
    } else { /* it hangs on its slot numbers: then with those it had */
        memcpy(ops, s.candidate, before_slots * sizeof *ops);
        s.count = before_slots;
        s.slot_end = slots_of(ops, s.count);
    }
    s.live = malloc((s.slot_end + 1) * sizeof *s.live);
    if (s.live)
        run_passes(&s);
    *trials += s.trials;
    if (s.best.finding.op_index == UINT64_MAX)
        s.count = end_threads(ops, s.count, count);
    hg_fuzz_try(session, ops, s.count, s.timeout_s, trial); /* with its last slot numbers */
    if (strcmp(trial->item, item) != 0)
        *trial = s.best;
    free(s.live);
    free(s.candidate);
    return s.count;
}

/* ---- inputs that are no streams ---- */

struct bytes {
    struct hg_fuzz_session *session;
    uint8_t *data, *candidate;
    size_t size;
    const char *item;
    double timeout_s;
    struct deadline deadline;
    uint64_t trials;
    struct hg_trial best;
};

static bool adopt_bytes(struct bytes *b, size_t size) {
    struct hg_trial trial;
    if (is_past(&b->deadline))
        return false;
    b->trials++;
    hg_fuzz_try_input(b->session, b->candidate, size, b->timeout_s, &trial);
    if (strcmp(trial.item, b->item) != 0)
        return false;
    memcpy(b->data, b->candidate, size);
    b->size = size;
    b->best = trial;
    return true;
}

/* Drops runs of `unit` bytes, long runs first, from the back. */
static bool drop_units(struct bytes *b, size_t unit) {
    bool changed = false;
    for (size_t run = (b->size / unit + 1) / 2; run >= 1; run /= 2) {
        for (size_t end = b->size; end > 0 && !is_past(&b->deadline);) {
            size_t begin = end > run * unit ? end - run * unit : 0;
            memcpy(b->candidate, b->data, begin);
            memcpy(b->candidate + begin, b->data + end, b->size - end);
            if (adopt_bytes(b, begin + b->size - end))
                changed = true;
            end = begin;
        }
    }
    return changed;
}

static bool zero_bytes(struct bytes *b) {
    bool changed = false;
    for (size_t i = 0; i < b->size && !is_past(&b->deadline); i++) {
        if (!b->data[i])
            continue;
        memcpy(b->candidate, b->data, b->size);
        b->candidate[i] = 0;
        changed |= adopt_bytes(b, b->size);
    }
    return changed;
}

size_t hg_fuzz_shrink_input(struct hg_fuzz_session *session, uint8_t *data, size_t size,
                            const char *item, double seconds, struct hg_trial *trial,
                            uint64_t *trials) {
    struct bytes b = {
        .session = session,
        .data = data,
        .candidate = malloc(size + 1),
        .size = size,
        .item = item,
        .timeout_s = strcmp(item, "hang") == 0 ? 2 : 20,
        .deadline = in_seconds(seconds),
        .trials = 1,
    };
    hg_fuzz_try_input(session, data, size, b.timeout_s, &b.best);
    if (b.candidate && strcmp(b.best.item, item) == 0) {
        bool changed = true;
        for (int pass = 0; pass < 4 && changed; pass++) {
            changed = drop_units(&b, HG_FUZZ_RECORD_BYTES);
            changed |= drop_units(&b, 1);
            changed |= zero_bytes(&b);
        }
    }
    free(b.candidate);
    *trials = b.trials;
    *trial = b.best;
    return b.size;
}
