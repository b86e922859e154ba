/* The kernel's slabs, in user space: an allocator that takes sizes only and aligns each block to exactly
 * what its promise says, never by luck to more, under each of the rules of slab_rule.h. What the rule
 * forgets shows at the first such block, without a kernel (contract.md, C78).
 *
 *   slab-MIN-RULE:BACKEND        MIN 8, 16, 32, 64 or 128: every block's alignment; RULE raw, padded,
 *                                unpadded, aligned; a block of a power of two is aligned to its size
 *   slab-MIN-RULE-6.11:BACKEND   also to the largest power of two that divides its size (Linux 6.11)
 *
 * A block is taken from BACKEND with one promise's worth of bytes more, at twice the promise, and begins
 * one promise in:
 *
 *   | promise | block, aligned to promise, not to twice that | */
#include "adapter.h"
#include "slab_rule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODELS_MAX = 32, MIN_MAX = 128 };

struct model {
    const hg_backend *inner;
    size_t min;
    enum hg_slab_rule rule;
    bool divisor; /* the promise of 6.11 */
};
static struct model models[MODELS_MAX];
static size_t model_count;

/* Alignment of a block that was asked for with `size` bytes. */
static size_t promise(const struct model *model, size_t size) {
    size_t divisor = size & (0 - size), promised = model->min;
    if ((divisor == size || model->divisor) && divisor > promised)
        promised = divisor;
    return promised;
}

/* What is asked of the backend below for a layout; false iff it is too large. *offset: where the block
 * begins. */
static bool place(const struct model *model, hg_layout layout, hg_layout *below, size_t *offset) {
    size_t size = hg__slab_size(model->rule, layout, model->min);
    if (size > PTRDIFF_MAX / 4)
        return false;
    *offset = promise(model, size);
    return hg_layout_make(size + *offset, 2 * *offset, below);
}

static void *take(const hg_backend *self, hg_layout layout, bool zeroed) {
    const struct model *model = self->state;
    hg_layout below;
    size_t offset;
    if (!place(model, layout, &below, &offset))
        return NULL;
    unsigned char *base = zeroed ? model->inner->layout.alloc_zeroed(model->inner, below)
                                 : model->inner->layout.alloc(model->inner, below);
    return base ? base + offset : NULL;
}

static void *slab_alloc(const hg_backend *self, hg_layout layout) {
    return take(self, layout, false);
}

static void *slab_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    return take(self, layout, true);
}

static void slab_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    const struct model *model = self->state;
    hg_layout below;
    size_t offset;
    if (place(model, layout, &below, &offset))
        model->inner->layout.dealloc(model->inner, (unsigned char *)ptr - offset, below);
}

static void *slab_realloc(const hg_backend *self, void *ptr, hg_layout layout, size_t new_size) {
    hg_layout wanted = {new_size, layout.align};
    void *moved = slab_alloc(self, wanted);
    if (!moved)
        return NULL;
    memcpy(moved, ptr, layout.size < new_size ? layout.size : new_size);
    slab_dealloc(self, ptr, layout);
    return moved;
}

/* Reads "8-raw", "8-padded-6.11". */
static bool read_model(const char *text, struct model *model) {
    static const char *const rules[] = {
        [HG_SLAB_RAW] = "raw",
        [HG_SLAB_PADDED] = "padded",
        [HG_SLAB_UNPADDED] = "unpadded",
        [HG_SLAB_ALIGNED] = "aligned",
    };
    char *rest;
    unsigned long min = strtoul(text, &rest, 10);
    if (*rest != '-' || min < 8 || min > MIN_MAX || (min & (min - 1)) != 0)
        return false;
    rest++;
    size_t length = strcspn(rest, "-");
    model->min = min;
    model->divisor = strcmp(rest + length, "-6.11") == 0;
    if (rest[length] && !model->divisor)
        return false;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strlen(rules[i]) == length && memcmp(rules[i], rest, length) == 0) {
            model->rule = (enum hg_slab_rule)i;
            return true;
        }
    }
    return false;
}

enum hg_status hg__slab_open(const char *text, const hg_backend *inner, hg_backend *backend,
                             char *why, size_t why_size) {
    struct model model = {.inner = inner};
    if (!read_model(text, &model)) {
        snprintf(
            why, why_size,
            "unknown slab model '%s'; give MIN-RULE or MIN-RULE-6.11: MIN 8, 16, 32, 64 or 128, "
            "RULE raw, padded, unpadded or aligned",
            text);
        return HG_ERR_UNKNOWN;
    }
    if (!inner->layout.alloc || !inner->layout.alloc_zeroed || model_count == MODELS_MAX) {
        snprintf(why, why_size, "%s cannot carry a slab model", inner->facts.name);
        return HG_ERR_UNAVAILABLE;
    }
    models[model_count] = model;
    backend->state = &models[model_count++];
    backend->layout =
        (struct hg_layout_face){slab_alloc, slab_alloc_zeroed, slab_realloc, slab_dealloc};
    backend->facts.align_min = model.min;
    backend->facts.align_max = inner->facts.align_max / 2;
    return HG_OK;
}
