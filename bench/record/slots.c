#define _GNU_SOURCE
#include "slots.h"

#include <sys/mman.h>

#include "heapgauge/operation.h"
#include "heapgauge/trace.h"

enum { BITS_AT_FIRST = 12, GIVEN_BACK_AT_FIRST = 4096 };

static void *map_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static size_t table_size(unsigned bits) {
    return sizeof(struct hg_slot_entry) << bits;
}

bool hg_slots_open(struct hg_slots *s) {
    *s = (struct hg_slots){.bits = BITS_AT_FIRST, .given_back_capacity = GIVEN_BACK_AT_FIRST};
    s->entry = map_memory(table_size(s->bits));
    s->given_back = map_memory(s->given_back_capacity * sizeof *s->given_back);
    return s->entry && s->given_back;
}

void hg_slots_close(struct hg_slots *s) {
    if (s->entry)
        munmap(s->entry, table_size(s->bits));
    if (s->given_back)
        munmap(s->given_back, s->given_back_capacity * sizeof *s->given_back);
}

static inline uint64_t address_of(const struct hg_slot_entry *entry) {
    return entry->address_low | (uint64_t)entry->address_high << 32;
}

/* Where the search for an address begins (Fibonacci hashing; blocks are 8-aligned at least). */
static inline size_t home_of(const struct hg_slots *s, uint64_t address) {
    return (address >> 3) * 0x9E3779B97F4A7C15u >> (64 - s->bits);
}

static inline size_t mask_of(const struct hg_slots *s) {
    return ((size_t)1 << s->bits) - 1;
}

/* The entry of the address, or the empty one where it would stand. */
static inline struct hg_slot_entry *seek(const struct hg_slots *s, uint64_t address) {
    for (size_t i = home_of(s, address);; i = (i + 1) & mask_of(s)) {
        const uint64_t there = address_of(&s->entry[i]);
        if (there == address || there == 0)
            return &s->entry[i];
    }
}

uint32_t hg_slots_find(const struct hg_slots *s, uint64_t address) {
    const struct hg_slot_entry *const entry = seek(s, address);
    return address_of(entry) ? entry->slot : HG_SLOT_NONE;
}

uint32_t hg_slots_remove(struct hg_slots *s, uint64_t address) {
    struct hg_slot_entry *const entry = seek(s, address);
    if (address_of(entry) == 0)
        return HG_SLOT_NONE;
    const uint32_t slot = entry->slot;
    entry->slot = HG_SLOT_NONE;
    s->live_count -= slot != HG_SLOT_NONE;
    return slot;
}

/* Builds the table anew with the live entries only. */
static bool rebuild(struct hg_slots *s) {
    const struct hg_slots old = *s;
    unsigned bits = BITS_AT_FIRST;
    while (3 * old.live_count > (size_t)1 << bits)
        bits++;
    struct hg_slot_entry *const table = map_memory(table_size(bits));
    if (!table)
        return false;
    s->entry = table;
    s->bits = bits;
    s->used_count = old.live_count;
    for (size_t i = 0; i <= mask_of(&old); i++)
        if (address_of(&old.entry[i]) && old.entry[i].slot != HG_SLOT_NONE)
            *seek(s, address_of(&old.entry[i])) = old.entry[i];
    munmap(old.entry, table_size(old.bits));
    return true;
}

bool hg_slots_place(struct hg_slots *s, uint64_t address, uint32_t slot, uint32_t *former) {
    struct hg_slot_entry *entry = seek(s, address);
    *former = HG_SLOT_NONE;
    if (address_of(entry) == 0) {
        if (s->used_count * 10 >= (size_t)7 << s->bits) {
            if (!rebuild(s))
                return false;
            entry = seek(s, address);
        }
        s->used_count++;
        entry->address_low = (uint32_t)address;
        entry->address_high = (uint16_t)(address >> 32);
    } else {
        *former = entry->slot;
    }
    s->live_count += *former == HG_SLOT_NONE;
    entry->slot = slot;
    return true;
}

uint32_t hg_slots_take(struct hg_slots *s) {
    if (s->given_back_count)
        return s->given_back[--s->given_back_count];
    return s->fresh < HG_TRACE_SLOTS_MAX ? s->fresh++ : HG_SLOT_NONE;
}

bool hg_slots_give_back(struct hg_slots *s, uint32_t slot) {
    if (s->given_back_count == s->given_back_capacity) {
        void *const memory =
            mremap(s->given_back, s->given_back_capacity * sizeof *s->given_back,
                   2 * s->given_back_capacity * sizeof *s->given_back, MREMAP_MAYMOVE);
        if (memory == MAP_FAILED)
            return false;
        s->given_back = memory;
        s->given_back_capacity *= 2;
    }
    s->given_back[s->given_back_count++] = slot;
    return true;
}
