/* Addresses to slots: which slot the live block at an address has.
 *
 * An open-addressing table with linear probing. An address that was freed keeps its entry, with no
 * slot in it, because allocators hand the same addresses out again: then freeing and reusing cost
 * one probe each and nothing moves. When the table is full, it is built anew without them, so that
 * the live ones fill a third of it or less. 12 bytes an entry: 17 to 69 bytes a live block at most.
 * Slots given back are taken again last in, first out: 4 bytes each. One thread at a time. */
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
    unsigned bits;        /* the table has 1 << bits entries */
    size_t used_count;    /* entries with an address */
    size_t live_count;    /* ... and a slot */
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

/* The slot of an address; HG_SLOT_NONE if it has none. */
uint32_t hg_slots_find(const struct hg_slots *slots, uint64_t address);
/* Takes the slot from an address and returns it; HG_SLOT_NONE if it had none. The slot is not given
 * back. */
uint32_t hg_slots_remove(struct hg_slots *slots, uint64_t address);
/* Gives an address a slot; *former gets the one it had (HG_SLOT_NONE: none). False iff memory is
 * short. */
bool hg_slots_place(struct hg_slots *slots, uint64_t address, uint32_t slot, uint32_t *former);

/* A slot that is not in use; HG_SLOT_NONE iff all are. */
uint32_t hg_slots_take(struct hg_slots *slots);
/* Gives a slot back. False iff memory is short. */
bool hg_slots_give_back(struct hg_slots *slots, uint32_t slot);

#endif
