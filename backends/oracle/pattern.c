#include "pattern.h"

#include <stdbool.h>
#include <string.h>

enum { WHOLE_BYTES = 4096, EDGE_BYTES = 256, PAGE_BYTES = 4096, WORD = 8, HEAD_BYTES = 16 };

static const uint64_t STEP = UINT64_C(0x9E3779B97F4A7C15);

uint64_t hg__pattern_seed(uint32_t slot, uint32_t generation) {
    uint64_t x = ((uint64_t)slot << 32 | generation) + 1;
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x | 16; /* above the bits that mean something */
}

/* Some blocks begin with what an allocator may take for its own: zeroes, ones. */
static bool has_head(uint64_t seed) {
    return (seed & HG__PATTERN_HEAD_MASK) != 0;
}

static uint64_t head_word(uint64_t seed) {
    return (seed & HG__PATTERN_HEAD_MASK) == HG__PATTERN_HEAD_ZEROES ? 0 : UINT64_MAX;
}

static uint64_t word_at(size_t offset, uint64_t seed) {
    return seed + (offset / WORD) * STEP;
}

unsigned char hg__pattern_byte(size_t offset, uint64_t seed) {
    if (offset < HEAD_BYTES && has_head(seed))
        return (unsigned char)head_word(seed);
    return (unsigned char)(word_at(offset, seed) >> (offset % WORD * 8));
}

/* The pattern goes by four words at a time: writing and comparing it is most of what a checked operation
 * costs. */
enum { LANES = 2, STRIDE = 2 * LANES * WORD };
typedef uint64_t lanes __attribute__((vector_size(LANES * WORD)));

struct stride {
    lanes low, high;
};

static struct stride stride_at(uint64_t word) {
    lanes both = {word, word};
    return (struct stride){both + (lanes){0, STEP}, both + (lanes){2 * STEP, 3 * STEP}};
}

static struct stride next_stride(struct stride now) {
    const lanes step = {2 * LANES * STEP, 2 * LANES * STEP};
    return (struct stride){now.low + step, now.high + step};
}

/* Fills [from, to); `from` is a multiple of 8, `ptr` may have any alignment. */
static void fill_range(unsigned char *ptr, size_t from, size_t to, uint64_t seed) {
    size_t offset = from;
    struct stride words = stride_at(word_at(from, seed));
    for (; offset + STRIDE <= to; offset += STRIDE, words = next_stride(words)) {
        memcpy(ptr + offset, &words.low, sizeof words.low);
        memcpy(ptr + offset + sizeof words.low, &words.high, sizeof words.high);
    }
    uint64_t word = words.low[0];
    for (; offset + WORD <= to; offset += WORD, word += STEP)
        memcpy(ptr + offset, &word, WORD);
    for (; offset < to; offset++, word >>= 8)
        ptr[offset] = (unsigned char)word;
}

static bool differs(const unsigned char *ptr, size_t from, size_t to, uint64_t seed) {
    size_t offset = from;
    struct stride words = stride_at(word_at(from, seed));
    lanes any = {0, 0};
    for (; offset + STRIDE <= to; offset += STRIDE, words = next_stride(words)) {
        struct stride seen;
        memcpy(&seen.low, ptr + offset, sizeof seen.low);
        memcpy(&seen.high, ptr + offset + sizeof seen.low, sizeof seen.high);
        any |= (seen.low ^ words.low) | (seen.high ^ words.high);
    }
    uint64_t difference = any[0] | any[1], word = words.low[0], seen;
    for (; offset + WORD <= to; offset += WORD, word += STEP) {
        memcpy(&seen, ptr + offset, WORD);
        difference |= seen ^ word;
    }
    for (; offset < to; offset++, word >>= 8)
        difference |= ptr[offset] ^ (unsigned char)word;
    return difference != 0;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t verify_range(const unsigned char *ptr, size_t from, size_t to, uint64_t seed) {
    bool headed = from == 0 && has_head(seed);
    size_t head = headed ? smaller(HEAD_BYTES, to) : 0;
    for (size_t offset = 0; offset < head; offset++)
        if (ptr[offset] != (unsigned char)head_word(seed))
            return offset;
    from += head;
    if (!differs(ptr, from, to, seed))
        return SIZE_MAX;
    for (size_t offset = from; offset < to; offset++)
        if (ptr[offset] != hg__pattern_byte(offset, seed))
            return offset;
    return SIZE_MAX;
}

static size_t round_down(size_t value) {
    return value & ~(size_t)(WORD - 1);
}

/* From one page edge to the next one looked at: each of the first 16 pages' worth, then evenly so many. */
static size_t edge_step(size_t size) {
    enum { EDGES_MAX = 16 };
    return (size / PAGE_BYTES / EDGES_MAX + 1) * PAGE_BYTES;
}

/* Small blocks are looked at whole; larger ones where their seed's lowest bit says so, since what is lost
 * inside a page is seen by nothing else. */
static bool is_whole(size_t size, uint64_t seed) {
    enum { LARGE_WHOLE_BYTES = 1 << 20, GIANT_WHOLE_BYTES = 128 << 20 };
    return size <= WHOLE_BYTES || (size <= LARGE_WHOLE_BYTES && seed & HG__PATTERN_WHOLE) ||
           (size <= GIANT_WHOLE_BYTES && seed & HG__PATTERN_WHOLE_GIANT);
}

static void fill(unsigned char *ptr, size_t size, uint64_t seed) {
    if (is_whole(size, seed)) {
        fill_range(ptr, 0, size, seed);
        return;
    }
    fill_range(ptr, 0, EDGE_BYTES, seed);
    for (size_t edge = PAGE_BYTES; edge + WORD <= size; edge += edge_step(size))
        fill_range(ptr, edge - WORD, edge + WORD, seed);
    fill_range(ptr, round_down(size - EDGE_BYTES), size, seed);
}

void hg__pattern_fill(unsigned char *ptr, size_t size, uint64_t seed) {
    fill(ptr, size, seed);
    if (has_head(seed))
        memset(ptr, (unsigned char)head_word(seed), smaller(HEAD_BYTES, size));
}

size_t hg__pattern_verify(const unsigned char *ptr, size_t filled, size_t size, uint64_t seed) {
    if (is_whole(filled, seed))
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
        lanes words[4];
        memcpy(words, ptr + offset, sizeof words);
        lanes any = words[0] | words[1] | words[2] | words[3];
        if (any[0] | any[1])
            break;
    }
    for (; offset < to; offset++)
        if (ptr[offset])
            return offset;
    return SIZE_MAX;
}
