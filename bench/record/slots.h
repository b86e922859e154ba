/* Addresses to slots: which slot the live block at an address has.
 *
 * An open-addressing table with linear probing and deletion by shifting back, so it never fills
 * with the dead; 12 bytes an entry, at most 70 % full, doubled in place of a new mapping. Slots
 * given back are taken again last in, first out. Memory: 17 to 34 bytes a live block, and 4 a slot
 * given back. One thread at a time. */
#ifndef HG_RECORD_SLOTS_H
#define HG_RECORD_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hg_slot_entry {
    uint32_t address_low;
    uint16_t address_high; /* addresses have 48 bits; 0 and 0: empty */
    uint16_t unused;
    uint32_t slot;
};

struct hg_slots {
    struct hg_slot_entry *entry;
    unsigned bits; /* the table has 1 << bits entries */
    size_t count;
    uint32_t *given_back; /* a stack */
    size_t given_back_count, given_back_capacity;
    uint32_t fresh; /* slots from here on were never used */
};

/* Starts empty. False iff memory is short. */
bool hg_slots_open(struct hg_slots *slots);
void hg_slots_close(struct hg_slots *slots);

/* Gets the entry of an address into the cache. */
static inline void hg_slots_prefetch(const struct hg_slots *slots, uint64_t address) {
    __builtin_prefetch(&slots->entry[(address >> 3) * 0x9E3779B97F4A7C15u >> (64 - slots->bits)]);
}

/* Forgets the address and returns its slot; HG_SLOT_NONE if it was not known. The slot is not given
 * back. */
uint32_t hg_slots_remove(struct hg_slots *slots, uint64_t address);
/* The slot of an address; HG_SLOT_NONE if it is not known. */
uint32_t hg_slots_find(const struct hg_slots *slots, uint64_t address);
/* Notes the slot of an address that is not known yet. False iff memory is short. */
bool hg_slots_insert(struct hg_slots *slots, uint64_t address, uint32_t slot);

/* A slot that is not in use; HG_SLOT_NONE iff all are. */
uint32_t hg_slots_take(struct hg_slots *slots);
/* Gives a slot back. False iff memory is short. */
bool hg_slots_give_back(struct hg_slots *slots, uint32_t slot);

#endif
