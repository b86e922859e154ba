#include "survey.h"

#include <stdio.h>

/* Outside the heap under test; one survey at a time. */
static void *blocks[HG_SURVEY_BLOCKS_MAX];

static void *make(const hg_backend *backend, hg_layout layout, size_t from_size) {
    if (from_size == 0)
        return backend->layout.alloc(backend, layout);
    hg_layout former = {from_size, layout.align};
    void *ptr = backend->layout.alloc(backend, former);
    void *grown = ptr ? backend->layout.realloc(backend, ptr, former, layout.size) : NULL;
    if (ptr && !grown)
        backend->layout.dealloc(backend, ptr, former);
    return grown;
}

struct hg_survey hg__survey(const hg_backend *backend, hg_layout layout, size_t from_size,
                            size_t count) {
    struct hg_survey seen = {0};
    if (count > HG_SURVEY_BLOCKS_MAX)
        count = HG_SURVEY_BLOCKS_MAX;
    uintptr_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        void *ptr = make(backend, layout, from_size);
        if (!ptr)
            break;
        blocks[seen.blocks++] = ptr;
        seen.less += ((uintptr_t)ptr & (layout.align - 1)) != 0;
        bits |= (uintptr_t)ptr;
    }
    for (size_t i = 0; i < seen.blocks; i++)
        backend->layout.dealloc(backend, blocks[i], layout);
    seen.least = (size_t)(bits & -bits);
    return seen;
}

size_t hg__survey_classes(const hg_backend *backend, size_t from, size_t to, size_t step,
                          size_t count, char *text, size_t text_size) {
    size_t length = 0, first = from, least = 0, last = from;
    for (size_t size = from; size <= to && step > 0; last = size, size += step) {
        size_t seen = hg__survey(backend, (hg_layout){size, 1}, 0, count).least;
        if (size > from && seen != least) {
            length += (size_t)snprintf(length < text_size ? text + length : NULL,
                                       length < text_size ? text_size - length : 0, "%zu-%zu:%zu ",
                                       first, last, least);
            first = size;
        }
        least = seen;
    }
    return length + (size_t)snprintf(length < text_size ? text + length : NULL,
                                     length < text_size ? text_size - length : 0, "%zu-%zu:%zu",
                                     first, last, least);
}
