/* Addresses to slots: which slot the live block at an address has.
 *
 * An open-addressing table with linear probing. An address that was freed keeps its entry, with no
 * slot in it, because allocators hand the same addresses out again: then freeing and reusing cost
 * one probe each and nothing moves. When the table is full, it is built anew without them, so that
 * the live ones fill a third of it or less. 12 bytes an entry: 24 to 72 bytes a live block at most.
 * Slots given back are taken again last in, first out: 4 bytes each. One thread at a time. */
#ifndef HG_RECORD_SLOTS_H
#define HG_RECORD_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heapgauge/trace.h"

struct __attribute__((packed, aligned(4))) hg_slot_entry {
    uint64_t address; /* 0: empty */
    uint32_t slot;
};

struct hg_slots {
    struct hg_slot_entry *entry;
    unsigned shift;       /* the table has 1 << (64 - shift) entries */
    size_t used_count;    /* entries with an address */
    size_t live_count;    /* ... and a slot */
    uint32_t *given_back; /* a stack */
    size_t given_back_count, given_back_capacity;
    uint32_t fresh; /* slots from here on were never used */
};

/* Starts empty. False iff memory is short. */
bool hg_slots_open(struct hg_slots *slots);
void hg_slots_close(struct hg_slots *slots);

/* Where the search for an address begins (Fibonacci hashing; blocks are 8-aligned at least). */
static inline size_t hg_slots_home(const struct hg_slots *slots, uint64_t address) {
    return (address >> 3) * 0x9E3779B97F4A7C15u >> slots->shift;
}

/* Gets the entry of an address into the cache. */
static inline void hg_slots_prefetch(const struct hg_slots *slots, uint64_t address) {
    __builtin_prefetch(&slots->entry[hg_slots_home(slots, address)]);
}

/* The entry of the address, or the empty one where it would stand. */
static inline struct hg_slot_entry *hg_slots_seek(const struct hg_slots *slots, uint64_t address) {
    const size_t mask = ~(uint64_t)0 >> slots->shift;
    for (size_t i = hg_slots_home(slots, address);; i = (i + 1) & mask) {
        const uint64_t there = slots->entry[i].address;
        if (there == address || there == 0)
            return &slots->entry[i];
    }
}

/* The slot of an address; HG_SLOT_NONE if it has none. */
static inline uint32_t hg_slots_find(const struct hg_slots *slots, uint64_t address) {
    const struct hg_slot_entry *const entry = hg_slots_seek(slots, address);
    return entry->address ? entry->slot : HG_SLOT_NONE;
}

/* Takes the slot from an address and returns it; HG_SLOT_NONE if it had none. The slot is not given
 * back. */
static inline uint32_t hg_slots_remove(struct hg_slots *slots, uint64_t address) {
    struct hg_slot_entry *const entry = hg_slots_seek(slots, address);
    if (entry->address == 0)
        return HG_SLOT_NONE;
    const uint32_t slot = entry->slot;
    entry->slot = HG_SLOT_NONE;
    slots->live_count -= slot != HG_SLOT_NONE;
    return slot;
}

/* Gives an address that the table has never seen a slot. False iff memory is short. */
bool hg_slots_add(struct hg_slots *slots, uint64_t address, uint32_t slot);

/* Gives an address a slot; *former gets the one it had (HG_SLOT_NONE: none). False iff memory is
 * short. */
static inline bool hg_slots_place(struct hg_slots *slots, uint64_t address, uint32_t slot,
                                  uint32_t *former) {
    struct hg_slot_entry *const entry = hg_slots_seek(slots, address);
    *former = HG_SLOT_NONE;
    if (__builtin_expect(entry->address == 0, 0))
        return hg_slots_add(slots, address, slot);
    *former = entry->slot;
    slots->live_count += *former == HG_SLOT_NONE;
    entry->slot = slot;
    return true;
}

/* A slot that is not in use; HG_SLOT_NONE iff all are. */
static inline uint32_t hg_slots_take(struct hg_slots *slots) {
    if (slots->given_back_count)
        return slots->given_back[--slots->given_back_count];
    return slots->fresh < HG_TRACE_SLOTS_MAX ? slots->fresh++ : HG_SLOT_NONE;
}

/* Makes room for more slots given back. False iff memory is short. */
bool hg_slots_grow_given_back(struct hg_slots *slots);

/* Gives a slot back. False iff memory is short. */
static inline bool hg_slots_give_back(struct hg_slots *slots, uint32_t slot) {
    if (__builtin_expect(slots->given_back_count == slots->given_back_capacity, 0) &&
        !hg_slots_grow_given_back(slots))
        return false;
    slots->given_back[slots->given_back_count++] = slot;
    return true;
}

#endif
