#include "pattern.h"

#include <string.h>

enum { WHOLE_BYTES = 4096, EDGE_BYTES = 256, PAGE_BYTES = 4096, WORD = 8 };

static const uint64_t STEP = UINT64_C(0x9E3779B97F4A7C15);

uint64_t hg__pattern_seed(uint32_t slot, uint32_t generation) {
    uint64_t x = ((uint64_t)slot << 32 | generation) + 1;
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x | 1;
}

static uint64_t word_at(size_t offset, uint64_t seed) {
    return seed + (offset / WORD) * STEP;
}

unsigned char hg__pattern_byte(size_t offset, uint64_t seed) {
    return (unsigned char)(word_at(offset, seed) >> (offset % WORD * 8));
}

/* Fills [from, to); `from` is a multiple of 8, `ptr` may have any alignment. */
static void fill_range(unsigned char *ptr, size_t from, size_t to, uint64_t seed) {
    uint64_t word = word_at(from, seed);
    size_t offset = from;
    for (; offset + WORD <= to; offset += WORD, word += STEP)
        memcpy(ptr + offset, &word, WORD);
    memcpy(ptr + offset, &word, to - offset);
}

static size_t verify_range(const unsigned char *ptr, size_t from, size_t to, uint64_t seed) {
    uint64_t word = word_at(from, seed), difference = 0;
    size_t offset = from;
    for (; offset + WORD <= to; offset += WORD, word += STEP) {
        uint64_t seen;
        memcpy(&seen, ptr + offset, WORD);
        difference |= seen ^ word;
    }
    uint64_t tail = word;
    memcpy(&tail, ptr + offset, to - offset);
    difference |= tail ^ word;
    if (!difference)
        return SIZE_MAX;
    for (offset = from; offset < to; offset++)
        if (ptr[offset] != hg__pattern_byte(offset, seed))
            return offset;
    return SIZE_MAX;
}

static size_t round_down(size_t value) {
    return value & ~(size_t)(WORD - 1);
}

/* From one page edge to the next one looked at: each of the first 64 pages' worth, then evenly so many. */
static size_t edge_step(size_t size) {
    enum { EDGES_MAX = 64 };
    return (size / PAGE_BYTES / EDGES_MAX + 1) * PAGE_BYTES;
}

void hg__pattern_fill(unsigned char *ptr, size_t size, uint64_t seed) {
    if (size <= WHOLE_BYTES) {
        fill_range(ptr, 0, size, seed);
        return;
    }
    fill_range(ptr, 0, EDGE_BYTES, seed);
    for (size_t edge = PAGE_BYTES; edge + WORD <= size; edge += edge_step(size))
        fill_range(ptr, edge - WORD, edge + WORD, seed);
    fill_range(ptr, round_down(size - EDGE_BYTES), size, seed);
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t hg__pattern_verify(const unsigned char *ptr, size_t filled, size_t size, uint64_t seed) {
    if (filled <= WHOLE_BYTES)
        return verify_range(ptr, 0, size, seed);
    size_t bad = verify_range(ptr, 0, smaller(EDGE_BYTES, size), seed);
    for (size_t edge = PAGE_BYTES; bad == SIZE_MAX && edge + WORD <= filled && edge - WORD < size;
         edge += edge_step(filled))
        bad = verify_range(ptr, edge - WORD, smaller(edge + WORD, size), seed);
    size_t tail = round_down(filled - EDGE_BYTES);
    if (bad == SIZE_MAX && tail < size)
        bad = verify_range(ptr, tail, size, seed);
    return bad;
}

size_t hg__first_nonzero(const unsigned char *ptr, size_t from, size_t to) {
    size_t offset = from;
    for (; offset + 64 <= to; offset += 64) {
        uint64_t words[8], any = 0;
        memcpy(words, ptr + offset, sizeof words);
        for (int i = 0; i < 8; i++)
            any |= words[i];
        if (any)
            break;
    }
    for (; offset < to; offset++)
        if (ptr[offset])
            return offset;
    return SIZE_MAX;
}
