#define _GNU_SOURCE
#include "synth_stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WHEEL_LEVELS = 6,
    WHEEL_BITS = 8,
    WHEEL_SIZE = 1 << WHEEL_BITS,
    TREE_SIZE = 256, /* a power of two above HG_MODEL_STRATA */
};
_Static_assert((int)HG_MODEL_STRATA < (int)TREE_SIZE, "every stratum has a leaf");

static const uint32_t none = UINT32_MAX;

/* A block that lives. */
struct live {
    const struct hg_story *story;
    uint64_t birth, due;
    uint32_t next; /* in its list of the wheel, or among the free slots */
    uint32_t done; /* reallocations */
    bool is_long, is_live;
    bool is_told; /* how much of it was touched */
};

struct hg_synth {
    const struct hg_model *model;
    uint64_t random, wanted, made, time;
    double stretch;                   /* wanted / the trace's operations */
    double factor_short, factor_long; /* blocks made, of the trace's */
    /* what the phase still has to make, by stratum; tree: sums (Fenwick 1994) */
    unsigned phase;
    uint64_t left[TREE_SIZE], tree[TREE_SIZE + 1], left_total;
    double carry[HG_MODEL_STRATA];
    double repeats[HG_MODEL_STRATA]; /* the share made just after one of the same stratum */
    uint32_t cursor[HG_MODEL_STRATA];
    unsigned last; /* stratum drawn last */
    /* blocks */
    struct live *live;
    uint32_t live_capacity, fresh, free_list;
    uint32_t wheel[WHEEL_LEVELS][WHEEL_SIZE];
    uint32_t ready; /* a stack: what is due */
    uint32_t last_made;
    uint64_t waiting_count; /* in the wheel */
    /* threads */
    uint8_t *runs;
    uint32_t run_count, ended; /* threads to be ended at the end */
    bool has_pending, is_exhausted;
    hg_op pending;
};

/* ---- the urn ---- */

static void urn_add(hg_synth *s, unsigned index, uint64_t count) {
    s->left[index] += count;
    s->left_total += count;
    for (unsigned i = index + 1; i <= TREE_SIZE; i += i & -i)
        s->tree[i] += count;
}

static void urn_remove_one(hg_synth *s, unsigned index) {
    s->left[index]--;
    s->left_total--;
    for (unsigned i = index + 1; i <= TREE_SIZE; i += i & -i)
        s->tree[i]--;
}

/* The stratum in which the number falls. */
static unsigned urn_find(const hg_synth *s, uint64_t number) {
    unsigned at = 0;
    for (unsigned step = TREE_SIZE; step; step /= 2) {
        if (at + step <= TREE_SIZE && s->tree[at + step] <= number) {
            at += step;
            number -= s->tree[at];
        }
    }
    return at;
}

/* Draws a stratum; in runs, where the trace had more of them than chance has. */
static unsigned draw(hg_synth *s) {
    const uint64_t points = s->left[HG_MODEL_POINTS], blocks = s->left_total - points;
    if (hg_random_below(&s->random, s->left_total) < points)
        return HG_MODEL_POINTS;
    if (s->left[s->last]) {
        const double seen = s->repeats[s->last];
        const double chance = (double)s->left[s->last] / (double)blocks;
        const double stay = seen > chance ? (seen - chance) / (1 - chance) : 0;
        if ((double)(hg_random(&s->random) >> 11) * 0x1p-53 < stay)
            return s->last;
    }
    return urn_find(s, hg_random_below(&s->random, blocks)); /* points come last */
}

static bool is_long(unsigned stratum) {
    return stratum >= HG_MODEL_CLASSES && stratum < HG_MODEL_POINTS;
}

/* Fills the urn with a phase, or with a share of its short-lived blocks. */
static void fill_urn(hg_synth *s, unsigned phase, double share_short, double share_long) {
    for (unsigned i = 0; i < HG_MODEL_STRATA; i++) {
        const double exact = s->carry[i] + (double)s->model->stratum[phase][i].count *
                                               (is_long(i) ? share_long : share_short);
        const double whole = s->model->stratum[phase][i].kept ? floor(exact + 1e-9) : 0;
        s->carry[i] = exact - whole;
        if (whole > 0)
            urn_add(s, i, (uint64_t)whole);
        s->cursor[i] = 0;
    }
}

/* ---- the wheel ---- */

static void push(hg_synth *s, uint32_t *list, uint32_t slot) {
    s->live[slot].next = *list;
    *list = slot;
}

/* Puts a slot where it is found in time; `due` is after now. */
static void schedule(hg_synth *s, uint32_t slot, uint64_t due) {
    const uint64_t reach = (uint64_t)1 << (WHEEL_LEVELS * WHEEL_BITS);
    if (due >= s->time + reach)
        due = s->time + reach - 1;
    s->live[slot].due = due;
    unsigned level = 0;
    while (level + 1 < WHEEL_LEVELS &&
           due >> ((level + 1) * WHEEL_BITS) != s->time >> ((level + 1) * WHEEL_BITS))
        level++;
    push(s, &s->wheel[level][due >> (level * WHEEL_BITS) & (WHEEL_SIZE - 1)], slot);
    s->waiting_count++;
}

/* Moves what a coarser level holds for the time that begins now. */
static void spread(hg_synth *s, unsigned level) {
    uint32_t *const list = &s->wheel[level][s->time >> (level * WHEEL_BITS) & (WHEEL_SIZE - 1)];
    uint32_t slot = *list;
    *list = none;
    while (slot != none) {
        const uint32_t next = s->live[slot].next;
        s->waiting_count--;
        schedule(s, slot, s->live[slot].due);
        slot = next;
    }
}

/* One operation's time passes. What is due goes onto the stack. */
static void tick(hg_synth *s) {
    s->time++;
    for (unsigned level = WHEEL_LEVELS - 1; level; level--)
        if ((s->time & (((uint64_t)1 << (level * WHEEL_BITS)) - 1)) == 0)
            spread(s, level);
    uint32_t *const list = &s->wheel[0][s->time & (WHEEL_SIZE - 1)];
    while (*list != none) {
        const uint32_t slot = *list;
        *list = s->live[slot].next;
        s->waiting_count--;
        push(s, &s->ready, slot);
    }
}

/* ---- blocks ---- */

static uint32_t new_slot(hg_synth *s) {
    if (s->free_list != none) {
        const uint32_t slot = s->free_list;
        s->free_list = s->live[slot].next;
        return slot;
    }
    if (s->fresh == s->live_capacity) {
        const uint32_t capacity = s->live_capacity ? 2 * s->live_capacity : 4096;
        if (capacity > HG_TRACE_SLOTS_MAX)
            return none;
        void *const memory = realloc(s->live, capacity * sizeof *s->live);
        if (!memory)
            return none;
        s->live = memory;
        s->live_capacity = capacity;
    }
    return s->fresh++;
}

/* When the block's next event is due; 0: never. */
static uint64_t next_due(const hg_synth *s, const struct live *live) {
    const struct hg_story *const story = live->story;
    double after;
    if (live->done < story->realloc_count)
        after = (double)story->realloc_span * (live->done + 1) / story->realloc_count;
    else if (story->touched && !live->is_told)
        return s->time + 1;
    else if (story->lifetime != HG_LIFETIME_NEVER)
        after = (double)story->lifetime;
    else
        return 0;
    /* a long-lived block's events keep their place in the course of things: a program that tidies up at
     * its end does so */
    const double exact =
        live->is_long ? ((double)story->birth + after) * s->stretch : (double)live->birth + after;
    const uint64_t due = exact < 0x1p60 ? (uint64_t)exact : (uint64_t)1 << 60;
    return due > s->time ? due : s->time + 1;
}

/* Bytes after the n-th reallocation, 1 .. count: in even ratios up to the most; then, if it is less, the
 * last. */
static uint64_t size_after(const struct hg_story *story, uint32_t n) {
    if (n >= story->realloc_count)
        return story->bytes_end;
    const uint32_t steps = story->realloc_count - (story->bytes_end < story->bytes_max);
    const hg_op first = {.kind = story->kind, .size = story->size, .arg = story->arg};
    const double from = (double)hg_op_bytes(&first) + 1, to = (double)story->bytes_max + 1;
    const double bytes = from * pow(to / from, (double)n / steps) - 1;
    return bytes < 1 ? 1 : (uint64_t)bytes;
}

static void make_block(hg_synth *s, const struct hg_story *story, bool lives_long, hg_op *op,
                       uint32_t slot) {
    struct live *const live = &s->live[slot];
    *live = (struct live){.story = story, .birth = s->time, .is_long = lives_long, .is_live = true};
    *op = (hg_op){story->kind, 0, story->thread, slot, story->size, story->arg};
    s->last_made = slot;
    const uint64_t due = next_due(s, live);
    if (due)
        schedule(s, slot, due);
}

/* The event that is due: a reallocation, how much was touched, or the free. */
static void follow_story(hg_synth *s, uint32_t slot, hg_op *op) {
    struct live *const live = &s->live[slot];
    const struct hg_story *const story = live->story;
    if (live->done < story->realloc_count) {
        live->done++;
        *op =
            (hg_op){story->realloc_kind, 0, story->thread, slot, size_after(story, live->done), 0};
        const uint64_t due = next_due(s, live);
        if (due)
            schedule(s, slot, due);
        return;
    }
    if (story->touched && !live->is_told) {
        live->is_told = true;
        *op = (hg_op){HG_OP_TOUCHED, 0, story->thread, slot, story->touched - 1, 0};
        const uint64_t due = next_due(s, live);
        if (due)
            schedule(s, slot, due);
        return;
    }
    *op = (hg_op){story->free_kind, 0, story->free_thread, slot, 0, 0};
    live->is_live = false;
    push(s, &s->free_list, slot);
}

static void make_point(hg_synth *s, const struct hg_story *story, hg_op *op) {
    *op = (hg_op){story->kind, story->flags, story->thread, HG_SLOT_NONE, story->size, story->arg};
    if (story->kind == HG_OP_USABLE_SIZE && s->last_made != none && s->live[s->last_made].is_live)
        op->slot = s->last_made;
}

/* ---- the stream ---- */

/* A story of the stratum: one after the other if all were kept, else any. */
static const struct hg_story *pick(hg_synth *s, unsigned stratum) {
    const struct hg_stratum *const from = &s->model->stratum[s->phase][stratum];
    uint64_t at;
    if (from->count == from->kept)
        at = s->cursor[stratum]++ % from->kept;
    else
        at = hg_random_below(&s->random, from->kept);
    return &from->story[at];
}

/* True iff there is something to make; goes on to the next phase, or repeats the last one's. */
static bool refill(hg_synth *s) {
    while (s->left_total == 0 && s->phase + 1 < HG_MODEL_PHASES)
        fill_urn(s, ++s->phase, s->factor_short, s->factor_long);
    for (unsigned tries = 0; s->left_total == 0 && tries < 2 * HG_MODEL_PHASES; tries++) {
        /* rounding left us short: a little more of the latest phase that has anything short-lived */
        fill_urn(s, s->phase, s->factor_short > 0.01 ? s->factor_short : 0.01, 0);
        if (s->left_total == 0 && tries % 2 && s->phase)
            s->phase--;
    }
    return s->left_total != 0;
}

static enum hg_status next_of_model(hg_synth *s, hg_op *op) {
    tick(s);
    if (s->ready != none) {
        const uint32_t slot = s->ready;
        s->ready = s->live[slot].next;
        follow_story(s, slot, op);
        return HG_OK;
    }
    if (!refill(s))
        return HG_END;
    const unsigned stratum = draw(s);
    urn_remove_one(s, stratum);
    const struct hg_story *const story = pick(s, stratum);
    if (stratum == HG_MODEL_POINTS) {
        make_point(s, story, op);
        return HG_OK;
    }
    s->last = stratum;
    const uint32_t slot = new_slot(s);
    if (slot == none)
        return HG_ERR_MEMORY;
    make_block(s, story, is_long(stratum), op, slot);
    return HG_OK;
}

/* Ends the threads that run, one a call. */
static enum hg_status end_threads(hg_synth *s, hg_op *op) {
    while (s->ended < HG_TRACE_THREADS_MAX) {
        if (s->runs[++s->ended]) {
            *op = (hg_op){HG_OP_THREAD_END, 0, (uint16_t)s->ended, HG_SLOT_NONE, 0, 0};
            s->made++;
            return HG_OK;
        }
    }
    if (s->is_exhausted || s->made >= s->wanted)
        return HG_END;
    *op = (hg_op){HG_OP_FREE, 0, 0, HG_SLOT_NONE, 0, 0}; /* room kept for a thread, not needed */
    s->made++;
    return HG_OK;
}

/* Puts a thread's start before its first operation, and keeps account of its end. */
static void heed_thread(hg_synth *s, hg_op *op) {
    if (op->thread == 0)
        return;
    if (op->kind == HG_OP_THREAD_END) {
        s->run_count -= s->runs[op->thread];
        if (s->runs[op->thread])
            s->runs[op->thread] = 0;
        else /* it does not run: nothing to end */
            *op = (hg_op){HG_OP_FREE, 0, 0, HG_SLOT_NONE, 0, 0};
        return;
    }
    if (s->runs[op->thread])
        return;
    s->runs[op->thread] = 1;
    s->run_count++;
    s->pending = *op;
    s->has_pending = true;
    *op = (hg_op){HG_OP_THREAD_START, 0, op->thread, HG_SLOT_NONE, 0, 0};
}

enum hg_status hg_synth_next(hg_synth *s, hg_op *op) {
    if (s->has_pending) {
        *op = s->pending;
        s->has_pending = false;
        s->made++;
        return HG_OK;
    }
    /* one more thread may take a start, an operation and an end */
    if (s->ended || s->made + s->run_count + (s->model->has_threads ? 2 : 0) >= s->wanted)
        return end_threads(s, op);
    const enum hg_status status = next_of_model(s, op);
    if (status == HG_END) {
        s->is_exhausted = true;
        return end_threads(s, op);
    }
    if (status != HG_OK)
        return status;
    heed_thread(s, op);
    s->made++;
    return HG_OK;
}

static void set_repeats(hg_synth *s) {
    for (unsigned i = 0; i < HG_MODEL_STRATA; i++) {
        uint64_t count = 0, repeats = 0;
        for (unsigned phase = 0; phase < HG_MODEL_PHASES; phase++) {
            count += s->model->stratum[phase][i].count;
            repeats += s->model->stratum[phase][i].repeat_count;
        }
        s->repeats[i] = count ? (double)repeats / (double)count : 0;
    }
}

/* How often blocks are made, so that there are as many operations as wanted. */
static void set_factors(hg_synth *s) {
    double shorts = 0, longs = 0;
    for (unsigned phase = 0; phase < HG_MODEL_PHASES; phase++)
        for (unsigned i = 0; i < HG_MODEL_STRATA; i++)
            *(is_long(i) ? &longs : &shorts) += (double)s->model->stratum[phase][i].operation_count;
    s->stretch = (double)s->wanted / (double)s->model->operation_count;
    s->factor_long = s->stretch < 1 ? s->stretch : 1;
    s->factor_short = shorts > 0 ? ((double)s->wanted - longs * s->factor_long) / shorts : 0;
    if (s->factor_short < 0)
        s->factor_short = 0;
}

hg_synth *hg_synth_open(const struct hg_model *model, uint64_t operation_count, uint64_t seed) {
    hg_synth *const s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->runs = calloc(HG_TRACE_THREADS_MAX + 1, 1);
    s->model = model;
    s->random = seed;
    s->wanted = operation_count;
    s->free_list = s->ready = s->last_made = none;
    memset(s->wheel, 0xFF, sizeof s->wheel);
    set_factors(s);
    set_repeats(s);
    fill_urn(s, 0, s->factor_short, s->factor_long);
    if (s->runs)
        return s;
    free(s);
    return NULL;
}

void hg_synth_close(hg_synth *s) {
    free(s->live);
    free(s->runs);
    free(s);
}
