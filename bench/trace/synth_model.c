#define _GNU_SOURCE
#include "synth_model.h"

#include <stdlib.h>
#include <string.h>

/* A block whose story goes on. */
struct open_story {
    struct hg_story story;
    uint64_t last_realloc;
    bool is_live, is_repeat;
};

struct fit {
    struct hg_model *model;
    struct open_story *open; /* by slot */
    size_t open_count;
    uint64_t index, random;
    unsigned last_class;
};

static unsigned class_of(uint64_t bytes) {
    return bytes ? 64 - (unsigned)__builtin_clzll(bytes) : 0;
}

static unsigned phase_of(const struct fit *f, uint64_t index) {
    const unsigned phase = (unsigned)(index * HG_MODEL_PHASES / (f->model->operation_count + 1));
    return phase < HG_MODEL_PHASES ? phase : HG_MODEL_PHASES - 1;
}

/* Counts a story that is complete; keeps it with the right probability. */
static bool close_story(struct fit *f, unsigned phase, unsigned index,
                        const struct hg_story *story) {
    struct hg_stratum *const s = &f->model->stratum[phase][index];
    uint64_t at = s->kept;
    s->count++;
    s->operation_count += 1 + story->realloc_count + (story->touched != 0) +
                          (index < HG_MODEL_POINTS && story->lifetime != HG_LIFETIME_NEVER);
    if (s->kept == HG_MODEL_KEPT_MAX) {
        at = hg_random_below(&f->random, s->count);
        if (at >= HG_MODEL_KEPT_MAX)
            return true;
    } else if (s->kept == s->capacity) {
        const uint32_t capacity = s->capacity ? 2 * s->capacity : 4;
        void *const memory = realloc(s->story, capacity * sizeof *s->story);
        if (!memory)
            return false;
        s->story = memory;
        s->capacity = capacity;
    }
    if (at == s->kept) {
        s->kept++;
        f->model->kept_count++;
    }
    s->story[at] = *story;
    return true;
}

static bool end_block(struct fit *f, struct open_story *open) {
    struct hg_story *const story = &open->story;
    const hg_op op = {.kind = story->kind, .size = story->size, .arg = story->arg};
    const unsigned class = class_of(story->realloc_count ? story->bytes_max : hg_op_bytes(&op));
    const bool is_long = story->lifetime >= f->model->long_operations;
    const unsigned phase = phase_of(f, open->story.birth);
    const unsigned index = class + (is_long ? HG_MODEL_CLASSES : 0);
    story->realloc_span = story->realloc_count ? open->last_realloc - open->story.birth : 0;
    f->model->stratum[phase][index].repeat_count +=
        open->is_repeat && !story->realloc_count; /* those that grow are in another class by now */
    open->is_live = false;
    return close_story(f, phase, index, story);
}

static bool begin_block(struct fit *f, struct open_story *open, const hg_op *op) {
    if (open->is_live) { /* its free is not there: it ends here, as in `heapgauge stat` */
        open->story.lifetime = f->index - open->story.birth;
        if (!end_block(f, open))
            return false;
    }
    const uint64_t bytes = hg_op_bytes(op);
    const unsigned class = class_of(bytes);
    *open = (struct open_story){
        .story = {.size = op->size,
                  .arg = op->arg,
                  .bytes_max = bytes,
                  .bytes_end = bytes,
                  .lifetime = HG_LIFETIME_NEVER,
                  .birth = f->index,
                  .thread = op->thread,
                  .free_thread = op->thread,
                  .kind = op->kind,
                  .realloc_kind = HG_OP_REALLOC,
                  .free_kind = HG_OP_FREE},
        .is_live = true,
        .is_repeat = class == f->last_class,
    };
    f->last_class = class;
    return true;
}

static void resize_block(struct fit *f, struct open_story *open, const hg_op *op) {
    struct hg_story *const story = &open->story;
    story->realloc_count++;
    story->realloc_kind = op->kind == HG_OP_LAYOUT_REALLOC ? HG_OP_LAYOUT_REALLOC : HG_OP_REALLOC;
    story->bytes_end = hg_op_bytes(op);
    story->touched = 0;
    if (story->bytes_end > story->bytes_max)
        story->bytes_max = story->bytes_end;
    open->last_realloc = f->index;
}

/* An operation that makes no block: a story of one step. */
static bool point(struct fit *f, const hg_op *op) {
    const struct hg_story story = {.size = op->size,
                                   .arg = op->arg,
                                   .thread = op->thread,
                                   .kind = op->kind,
                                   .flags = op->flags};
    if (op->kind == HG_OP_THREAD_START)
        return true; /* threads start when they are needed */
    if (op->kind == HG_OP_VERIFY || op->kind == HG_OP_FAIL_PAGES) {
        f->model->left_out_count++;
        return true;
    }
    return close_story(f, phase_of(f, f->index), HG_MODEL_POINTS, &story);
}

static bool make_room(struct fit *f, uint32_t slot) {
    if (slot < f->open_count)
        return true;
    const size_t count = slot < 4096 ? 8192 : 2 * (size_t)slot;
    struct open_story *const memory = realloc(f->open, count * sizeof *memory);
    if (!memory)
        return false;
    memset(memory + f->open_count, 0, (count - f->open_count) * sizeof *memory);
    f->open = memory;
    f->open_count = count;
    return true;
}

static bool take(struct fit *f, const hg_op *op) {
    f->model->has_threads |= op->thread != 0;
    if (op->slot == HG_SLOT_NONE || op->flags & HG_OPF_FAILED || op->kind == HG_OP_USABLE_SIZE ||
        op->kind == HG_OP_VERIFY)
        return point(f, op);
    if (!make_room(f, op->slot))
        return false;
    struct open_story *const open = &f->open[op->slot];
    if (op->kind == HG_OP_TOUCHED) {
        open->story.touched = op->size + 1;
        return true;
    }
    if (hg_op_frees(op->kind)) {
        if (!open->is_live)
            return true;
        open->story.lifetime = f->index - open->story.birth;
        open->story.free_thread = op->thread;
        open->story.free_kind = op->kind;
        return end_block(f, open);
    }
    if (hg_op_reallocates(op->kind) && open->is_live) {
        resize_block(f, open, op);
        return true;
    }
    return begin_block(f, open, op);
}

enum hg_status hg_model_fit(struct hg_model *model, hg_trace_reader *reader,
                            uint64_t operation_count, uint64_t long_operations) {
    struct fit f = {.model = model, .last_class = HG_MODEL_CLASSES};
    const hg_op *ops;
    size_t count;
    enum hg_status status;
    memset(model, 0, sizeof *model);
    model->operation_count = operation_count;
    model->long_operations = long_operations;
    while ((status = hg_trace_reader_next(reader, &ops, &count, NULL)) == HG_OK) {
        for (size_t i = 0; i < count && status == HG_OK; i++, f.index++)
            if (!take(&f, &ops[i]))
                status = HG_ERR_MEMORY;
        if (status != HG_OK)
            break;
    }
    for (size_t i = 0; status == HG_END && i < f.open_count; i++)
        if (f.open[i].is_live && !end_block(&f, &f.open[i]))
            status = HG_ERR_MEMORY;
    free(f.open);
    return status == HG_END ? HG_OK : status;
}

void hg_model_close(struct hg_model *model) {
    for (unsigned phase = 0; phase < HG_MODEL_PHASES; phase++)
        for (unsigned i = 0; i < HG_MODEL_STRATA; i++)
            free(model->stratum[phase][i].story);
}
