#define _GNU_SOURCE
#include "interval.h"

#include <string.h>
#include <sys/mman.h>

/* Address space in chunks of 2 MiB, chunks in granules of 8 bytes.
 *
 * A bit for each granule that a range of this chunk touches: where none is set nothing overlaps, and that
 * is a dense word or two, however many ranges there are. It may be stale at the ends of ranges that are no
 * multiples of 8, never missing. Where one is set, the exact answer: a bit for each granule in which a range starts,
 * summed up twice (64 to 1), and the id of the newest range that starts there. Ranges that start in the
 * same granule (only possible below 8 bytes) are chained through their records.
 *
 *   chunk   |  covered by a range from before  |...[range]....[range]........[range --> next chunk
 *           0                            cover_end
 */
enum {
    CHUNK_SHIFT = 21,
    GRANULE_SHIFT = 3,
    GRANULES = 1 << (CHUNK_SHIFT - GRANULE_SHIFT), /* 262144 */
    LEVEL0 = GRANULES / 64,                        /* 4096 words */
    LEVEL1 = LEVEL0 / 64,                          /* 64 words */
    HUGE_MAX = 256,
    POOLS_MAX = 64,
};
static const size_t LARGE_TABLE_BYTES = (size_t)4 << 20; /* dense: in huge pages from here on */
static const uintptr_t HUGE_BYTES = (uintptr_t)64 << 20; /* such ranges are kept in a short list */
static const uint32_t NONE = UINT32_MAX;

struct chunk {
    uintptr_t number; /* address >> CHUNK_SHIFT */
    uintptr_t cover_end;
    uint32_t cover_id;
    uint64_t level2;
    uint64_t level1[LEVEL1];
    uint64_t level0[LEVEL0];
    uint64_t touched[LEVEL0];
    uint32_t id[GRANULES];
};

struct record {
    uintptr_t begin, end;
    uint32_t next; /* starts in the same granule */
};

struct hg_intervals {
    struct chunk **table; /* open addressing, by chunk number; capacity a power of two */
    size_t table_capacity, chunk_count;
    struct record *records; /* by id */
    size_t record_capacity;
    size_t count;
    uint32_t huge[HUGE_MAX];
    size_t huge_count;
    struct chunk *recent;
    /* Chunks come from pools, each half as large as all before it; most have few pages in use. */
    struct chunk *pools[POOLS_MAX];
    size_t pool_sizes[POOLS_MAX], pool_count, pool_used;
};

static void *map_bytes(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

hg_intervals *hg_intervals_create(void) {
    hg_intervals *set = map_bytes(sizeof *set);
    if (!set)
        return NULL;
    set->table_capacity = 1024;
    set->record_capacity = 1 << 16;
    set->table = map_bytes(set->table_capacity * sizeof *set->table);
    set->records = map_bytes(set->record_capacity * sizeof *set->records);
    if (!set->table || !set->records) {
        hg_intervals_destroy(set);
        return NULL;
    }
    return set;
}

void hg_intervals_destroy(hg_intervals *set) {
    for (size_t i = 0; i < set->pool_count; i++)
        munmap(set->pools[i], set->pool_sizes[i] * sizeof **set->pools);
    if (set->table)
        munmap(set->table, set->table_capacity * sizeof *set->table);
    if (set->records)
        munmap(set->records, set->record_capacity * sizeof *set->records);
    munmap(set, sizeof *set);
}

size_t hg_intervals_count(const hg_intervals *set) {
    return set->count;
}

static size_t hash_of(uintptr_t number) {
    return (size_t)((number * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
}

static struct chunk *find_chunk(const hg_intervals *set, uintptr_t number) {
    if (set->recent && set->recent->number == number)
        return set->recent;
    size_t mask = set->table_capacity - 1;
    for (size_t i = hash_of(number) & mask; set->table[i]; i = (i + 1) & mask)
        if (set->table[i]->number == number)
            return set->table[i];
    return NULL;
}

static void place_chunk(struct chunk **table, size_t capacity, struct chunk *chunk) {
    size_t mask = capacity - 1, i = hash_of(chunk->number) & mask;
    while (table[i])
        i = (i + 1) & mask;
    table[i] = chunk;
}

static bool grow_table(hg_intervals *set) {
    size_t capacity = set->table_capacity * 2;
    struct chunk **table = map_bytes(capacity * sizeof *table);
    if (!table)
        return false;
    for (size_t i = 0; i < set->table_capacity; i++)
        if (set->table[i])
            place_chunk(table, capacity, set->table[i]);
    munmap(set->table, set->table_capacity * sizeof *set->table);
    set->table = table;
    set->table_capacity = capacity;
    return true;
}

static struct chunk *fresh_chunk(hg_intervals *set) {
    size_t last = set->pool_count - 1;
    if (set->pool_count == 0 || set->pool_used == set->pool_sizes[last]) {
        size_t size = set->chunk_count / 2 + 1;
        if (set->pool_count == POOLS_MAX ||
            !(set->pools[set->pool_count] = map_bytes(size * sizeof **set->pools)))
            return NULL;
        last = set->pool_count++;
        set->pool_sizes[last] = size;
        set->pool_used = 0;
    }
    return &set->pools[last][set->pool_used++];
}

static struct chunk *make_chunk(hg_intervals *set, uintptr_t number) {
    struct chunk *chunk = find_chunk(set, number);
    if (!chunk) {
        if (set->chunk_count * 2 >= set->table_capacity && !grow_table(set))
            return NULL;
        chunk = fresh_chunk(set);
        if (!chunk)
            return NULL;
        chunk->number = number;
        chunk->cover_id = NONE;
        place_chunk(set->table, set->table_capacity, chunk);
        set->chunk_count++;
    }
    set->recent = chunk;
    return chunk;
}

/* ---- what is touched at all ---- */

/* The bits from..to of word `word`, of those from granule `from` to granule `to`. */
static uint64_t mask_in_word(size_t word, size_t from, size_t to) {
    uint64_t mask = UINT64_MAX;
    if (word == from / 64)
        mask &= UINT64_MAX << from % 64;
    if (word == to / 64)
        mask &= UINT64_MAX >> (63 - to % 64);
    return mask;
}

static bool is_touched(const struct chunk *chunk, size_t from, size_t to) {
    uint64_t any = 0;
    for (size_t word = from / 64; word <= to / 64; word++)
        any |= chunk->touched[word] & mask_in_word(word, from, to);
    return any != 0;
}

static void touch(struct chunk *chunk, size_t from, size_t to) {
    for (size_t word = from / 64; word <= to / 64; word++)
        chunk->touched[word] |= mask_in_word(word, from, to);
}

static void untouch(struct chunk *chunk, size_t from, size_t to) {
    for (size_t word = from / 64; word <= to / 64; word++)
        chunk->touched[word] &= ~mask_in_word(word, from, to);
}

/* The granules of [begin, end) that lie in the chunk: begin .. end share bytes with it. */
struct span {
    size_t from, to;
};

static struct span span_in(uintptr_t number, uintptr_t begin, uintptr_t end) {
    uintptr_t base = number << CHUNK_SHIFT, size = (uintptr_t)1 << CHUNK_SHIFT;
    uintptr_t low = begin > base ? begin - base : 0;
    uintptr_t high = end - base < size ? end - base : size;
    return (struct span){low >> GRANULE_SHIFT, (high - 1) >> GRANULE_SHIFT};
}

/* ---- exactly ---- */

/* Highest granule <= `granule` in which a range starts; -1 if none. */
static long granule_at_or_before(const struct chunk *chunk, long granule) {
    if (granule < 0)
        return -1;
    size_t word = (size_t)granule / 64;
    uint64_t bits = chunk->level0[word] & (UINT64_MAX >> (63 - granule % 64));
    if (bits)
        return (long)(word * 64) + 63 - __builtin_clzll(bits);
    size_t group = word / 64;
    bits = chunk->level1[group] & ((UINT64_C(1) << word % 64) - 1);
    if (!bits) {
        uint64_t groups = chunk->level2 & ((UINT64_C(1) << group) - 1);
        if (!groups)
            return -1;
        group = 63 - (size_t)__builtin_clzll(groups);
        bits = chunk->level1[group];
    }
    word = group * 64 + 63 - (size_t)__builtin_clzll(bits);
    return (long)(word * 64) + 63 - __builtin_clzll(chunk->level0[word]);
}

/* Lowest granule > `granule` in which a range starts; GRANULES if none. */
static long granule_after(const struct chunk *chunk, long granule) {
    granule++;
    if (granule >= GRANULES)
        return GRANULES;
    size_t word = (size_t)granule / 64;
    uint64_t bits = chunk->level0[word] & (UINT64_MAX << granule % 64);
    if (bits)
        return (long)(word * 64) + __builtin_ctzll(bits);
    size_t group = word / 64;
    bits = word % 64 == 63 ? 0 : chunk->level1[group] & (UINT64_MAX << (word % 64 + 1));
    if (!bits) {
        uint64_t groups = group == 63 ? 0 : chunk->level2 & (UINT64_MAX << (group + 1));
        if (!groups)
            return GRANULES;
        group = (size_t)__builtin_ctzll(groups);
        bits = chunk->level1[group];
    }
    word = group * 64 + (size_t)__builtin_ctzll(bits);
    return (long)(word * 64) + __builtin_ctzll(chunk->level0[word]);
}

static bool chain_overlaps(const hg_intervals *set, const struct chunk *chunk, long granule,
                           uintptr_t begin, uintptr_t end, uint32_t *id) {
    for (uint32_t i = chunk->id[granule]; i != NONE; i = set->records[i].next) {
        if (set->records[i].begin < end && set->records[i].end > begin) {
            *id = i;
            return true;
        }
    }
    return false;
}

static long granule_of(uintptr_t address) {
    return (long)((address >> GRANULE_SHIFT) & (GRANULES - 1));
}

static bool chunk_overlaps(const hg_intervals *set, const struct chunk *chunk, uintptr_t begin,
                           uintptr_t end, uint32_t *id) {
    uintptr_t base = chunk->number << CHUNK_SHIFT;
    uintptr_t low = begin > base ? begin : base;
    if (chunk->cover_id != NONE && chunk->cover_end > low) {
        *id = chunk->cover_id;
        return true;
    }
    struct span span = span_in(chunk->number, begin, end);
    if (!is_touched(chunk, span.from, span.to))
        return false;
    long at = granule_of(low);
    long before = granule_at_or_before(chunk, at);
    if (before == at) { /* a range starts in the same granule: before or after `low` */
        if (chain_overlaps(set, chunk, at, begin, end, id))
            return true;
        before = granule_at_or_before(chunk, at - 1);
    }
    if (before >= 0 && chain_overlaps(set, chunk, before, begin, end, id))
        return true;
    long after = granule_after(chunk, at);
    return after < GRANULES && base + ((uintptr_t)after << GRANULE_SHIFT) < end &&
           chain_overlaps(set, chunk, after, begin, end, id);
}

bool hg_intervals_overlap(const hg_intervals *set, uintptr_t begin, uintptr_t end, uint32_t *id) {
    for (size_t i = 0; i < set->huge_count; i++) {
        const struct record *record = &set->records[set->huge[i]];
        if (record->begin < end && record->end > begin) {
            *id = set->huge[i];
            return true;
        }
    }
    uintptr_t first = begin >> CHUNK_SHIFT, last = (end - 1) >> CHUNK_SHIFT;
    if (last - first <= set->table_capacity) {
        for (uintptr_t number = first; number <= last; number++) {
            const struct chunk *chunk = find_chunk(set, number);
            if (chunk && chunk_overlaps(set, chunk, begin, end, id))
                return true;
        }
        return false;
    }
    for (size_t i = 0; i < set->table_capacity;
         i++) { /* a range longer than the table: walk that */
        const struct chunk *chunk = set->table[i];
        if (chunk && chunk->number >= first && chunk->number <= last &&
            chunk_overlaps(set, chunk, begin, end, id))
            return true;
    }
    return false;
}

static bool make_record(hg_intervals *set, uint32_t id) {
    size_t capacity = set->record_capacity;
    while (id >= capacity)
        capacity *= 2;
    if (capacity == set->record_capacity)
        return true;
    void *records = mremap(set->records, set->record_capacity * sizeof *set->records,
                           capacity * sizeof *set->records, MREMAP_MAYMOVE);
    if (records == MAP_FAILED)
        return false;
    set->records = records;
    set->record_capacity = capacity;
    if (capacity * sizeof *set->records >= LARGE_TABLE_BYTES)
        (void)madvise(records, capacity * sizeof *set->records, MADV_HUGEPAGE);
    return true;
}

static bool is_huge(const hg_intervals *set, uintptr_t begin, uintptr_t end) {
    return end - begin >= HUGE_BYTES && set->huge_count < HUGE_MAX;
}

/* Clears the touched bits of a range that goes, but for an end that another range may touch, too: one in
 * whose granule another starts, or a beginning that is no multiple of 8. */
static void untouch_range(struct chunk *chunk, uintptr_t begin, uintptr_t end) {
    struct span span = span_in(chunk->number, begin, end);
    bool shares_first = begin >> CHUNK_SHIFT == chunk->number && begin % (1 << GRANULE_SHIFT);
    bool shares_last = chunk->level0[span.to / 64] >> span.to % 64 & 1;
    size_t from = span.from + shares_first;
    if (from + shares_last <= span.to)
        untouch(chunk, from, span.to - shares_last);
}

static void uncover(hg_intervals *set, uint32_t id, uintptr_t first, uintptr_t last) {
    for (uintptr_t number = first + 1; number <= last; number++) {
        struct chunk *chunk = find_chunk(set, number);
        if (chunk && chunk->cover_id == id)
            chunk->cover_id = NONE;
    }
}

bool hg_intervals_insert(hg_intervals *set, uintptr_t begin, uintptr_t end, uint32_t id) {
    if (!make_record(set, id))
        return false;
    struct record *record = &set->records[id];
    *record = (struct record){begin, end, NONE};
    if (is_huge(set, begin, end)) {
        set->huge[set->huge_count++] = id;
        set->count++;
        return true;
    }
    uintptr_t first = begin >> CHUNK_SHIFT, last = (end - 1) >> CHUNK_SHIFT;
    for (uintptr_t number = first + 1; number <= last; number++) {
        struct chunk *chunk = make_chunk(set, number);
        if (!chunk) {
            uncover(set, id, first, number - 1);
            return false;
        }
        chunk->cover_id = id;
        chunk->cover_end = end;
    }
    struct chunk *chunk = make_chunk(set, first);
    if (!chunk) {
        uncover(set, id, first, last);
        return false;
    }
    struct span span = span_in(first, begin, end);
    touch(chunk, span.from, span.to);
    size_t granule = span.from, word = granule / 64, group = word / 64;
    uint64_t bit = UINT64_C(1) << granule % 64;
    record->next = chunk->level0[word] & bit ? chunk->id[granule] : NONE;
    chunk->id[granule] = id;
    chunk->level0[word] |= bit;
    chunk->level1[group] |= UINT64_C(1) << word % 64;
    chunk->level2 |= UINT64_C(1) << group;
    set->count++;
    return true;
}

static bool remove_huge(hg_intervals *set, uint32_t id) {
    for (size_t i = 0; i < set->huge_count; i++) {
        if (set->huge[i] == id) {
            set->huge[i] = set->huge[--set->huge_count];
            return true;
        }
    }
    return false;
}

static void unmark_start(struct chunk *chunk, size_t granule) {
    size_t word = granule / 64, group = word / 64;
    chunk->level0[word] &= ~(UINT64_C(1) << granule % 64);
    if (chunk->level0[word])
        return;
    chunk->level1[group] &= ~(UINT64_C(1) << word % 64);
    if (!chunk->level1[group])
        chunk->level2 &= ~(UINT64_C(1) << group);
}

void hg_intervals_remove(hg_intervals *set, uint32_t id) {
    struct record *record = &set->records[id];
    set->count--;
    if (record->end - record->begin >= HUGE_BYTES && remove_huge(set, id))
        return;
    uintptr_t first = record->begin >> CHUNK_SHIFT;
    uncover(set, id, first, (record->end - 1) >> CHUNK_SHIFT);
    struct chunk *chunk = find_chunk(set, first);
    size_t granule = (size_t)granule_of(record->begin);
    uint32_t *link = &chunk->id[granule];
    while (*link != id)
        link = &set->records[*link].next;
    *link = record->next;
    if (chunk->id[granule] == NONE)
        unmark_start(chunk, granule);
    untouch_range(chunk, record->begin, record->end);
}

void hg_intervals_expect(const hg_intervals *set, uintptr_t begin, uint32_t id) {
    const struct chunk *chunk = find_chunk(set, begin >> CHUNK_SHIFT);
    if (id < set->record_capacity)
        __builtin_prefetch(&set->records[id]);
    if (chunk)
        __builtin_prefetch(&chunk->id[granule_of(begin)]);
}
