/* heaptrack's files, as its own tools read them (accumulatedtracedata.cpp of heaptrack 1.4). All numbers
 * are hexadecimal. Of interest here:
 *
 *   raw, by its preload library          interpreted, what `heaptrack` leaves behind
 *   + SIZE TRACE ADDRESS                 a SIZE TRACE    a kind of allocation, numbered in order
 *   - ADDRESS                            + KIND          a block of that kind is made
 *   c MILLISECONDS                       - KIND          one is freed
 *
 * An interpreted file does not say which of the blocks of a kind is freed: all have one size and one
 * origin. The youngest is taken, as in a stack: sizes, counts and live bytes are exact, lifetimes within
 * a kind are not. heaptrack writes a realloc as a free and an allocation, and leaves free(NULL) out. */
#define _GNU_SOURCE
#include "import.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool add_kind(struct hg_import *im, uint64_t size) {
    if (im->info_count == im->info_capacity) {
        const size_t capacity = im->info_capacity ? 2 * im->info_capacity : 1024;
        void *const memory = realloc(im->info, capacity * sizeof *im->info);
        if (!memory)
            return hg_import_fail(im, "out of memory");
        im->info = memory;
        im->info_capacity = capacity;
    }
    im->info[im->info_count++] = (struct hg_import_info){size, 0};
    return true;
}

static bool make_room(struct hg_import *im, uint32_t slot) {
    if (slot < im->next_live_capacity)
        return true;
    const size_t capacity = slot < 4096 ? 8192 : 2 * (size_t)slot;
    void *const memory = realloc(im->next_live, capacity * sizeof *im->next_live);
    if (!memory)
        return hg_import_fail(im, "out of memory");
    im->next_live = memory;
    im->next_live_capacity = capacity;
    return true;
}

static bool made_of_kind(struct hg_import *im, uint64_t kind) {
    if (kind >= im->info_count)
        return hg_import_fail(im, "kind %" PRIx64 " of allocation was not announced", kind);
    struct hg_import_info *const info = &im->info[kind];
    const uint32_t slot = hg_slots_take(&im->slots);
    if (slot == HG_SLOT_NONE || !make_room(im, slot))
        return hg_import_fail(im, "out of slots");
    im->next_live[slot] = info->live;
    info->live = slot + (uint64_t)1;
    return hg_import_put(im, (hg_op){.kind = HG_OP_MALLOC, .slot = slot, .size = info->size});
}

static bool freed_of_kind(struct hg_import *im, uint64_t kind) {
    if (kind >= im->info_count)
        return hg_import_fail(im, "kind %" PRIx64 " of allocation was not announced", kind);
    struct hg_import_info *const info = &im->info[kind];
    if (!info->live) {
        im->unknown_free_count++;
        return true;
    }
    const uint32_t slot = (uint32_t)(info->live - 1);
    info->live = im->next_live[slot];
    if (!hg_slots_give_back(&im->slots, slot))
        return hg_import_fail(im, "out of memory");
    return hg_import_put(im, (hg_op){.kind = HG_OP_FREE, .slot = slot});
}

static bool time_passed(struct hg_import *im, uint64_t now_ms) {
    if (now_ms <= im->clock_ms)
        return true;
    const uint64_t step_ns = (now_ms - im->clock_ms) * 1000000;
    im->clock_ms = now_ms;
    return hg_import_put(im, (hg_op){.kind = HG_OP_CLOCK, .slot = HG_SLOT_NONE, .size = step_ns});
}

bool hg_import_heaptrack(struct hg_import *im, char *line) {
    uint64_t number[3] = {0};
    unsigned count = 0;
    if (!line[0] || !strchr("+-ac", line[0]))
        return true; /* strings, modules, call stacks: none of our business */
    for (char *at = line + 1; *at == ' ' && count < 3; count++) {
        at++;
        if (!hg_import_number(&at, 16, &number[count]) || (*at && *at != ' '))
            return hg_import_fail(im, "number %u is none", count + 1);
    }
    im->is_raw = im->is_raw || (line[0] == '+' && count == 3);
    const unsigned expected = line[0] == '+' && im->is_raw ? 3 : line[0] == 'a' ? 2 : 1;
    if (count != expected)
        return hg_import_fail(im, "'%c' has %u numbers, expected %u", line[0], count, expected);
    switch (line[0]) {
    case 'a':
        return add_kind(im, number[0]);
    case 'c':
        return time_passed(im, number[0]);
    case '+':
        if (im->is_raw)
            return hg_import_allocated(im, (hg_op){.kind = HG_OP_MALLOC, .size = number[0]},
                                       number[2]);
        return made_of_kind(im, number[0]);
    default:
        /* a raw file has no kinds; it may begin with a free of a block from before */
        return im->is_raw || im->info_count == 0 ? hg_import_freed(im, number[0])
                                                 : freed_of_kind(im, number[0]);
    }
}
