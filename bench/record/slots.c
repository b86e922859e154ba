#define _GNU_SOURCE
#include "slots.h"

#include <sys/mman.h>

enum { BITS_AT_FIRST = 12, GIVEN_BACK_AT_FIRST = 4096 };

static void *map_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static size_t entry_count(const struct hg_slots *s) {
    return (size_t)1 << (64 - s->shift);
}

static size_t table_size(const struct hg_slots *s) {
    return sizeof(struct hg_slot_entry) * entry_count(s);
}

bool hg_slots_open(struct hg_slots *s) {
    *s = (struct hg_slots){.shift = 64 - BITS_AT_FIRST, .given_back_capacity = GIVEN_BACK_AT_FIRST};
    s->entry = map_memory(table_size(s));
    s->given_back = map_memory(s->given_back_capacity * sizeof *s->given_back);
    return s->entry && s->given_back;
}

void hg_slots_close(struct hg_slots *s) {
    if (s->entry)
        munmap(s->entry, table_size(s));
    if (s->given_back)
        munmap(s->given_back, s->given_back_capacity * sizeof *s->given_back);
}

/* Builds the table anew with the live entries only. */
static bool rebuild(struct hg_slots *s) {
    const struct hg_slots old = *s;
    struct hg_slots anew = *s;
    anew.shift = 64 - BITS_AT_FIRST;
    while (3 * old.live_count > entry_count(&anew))
        anew.shift--;
    anew.entry = map_memory(table_size(&anew));
    if (!anew.entry)
        return false;
    anew.used_count = old.live_count;
    *s = anew;
    for (size_t i = 0; i < entry_count(&old); i++)
        if (old.entry[i].address && old.entry[i].slot != HG_SLOT_NONE)
            *hg_slots_seek(s, old.entry[i].address) = old.entry[i];
    munmap(old.entry, table_size(&old));
    return true;
}

bool hg_slots_add(struct hg_slots *s, uint64_t address, uint32_t slot) {
    if (s->used_count * 2 >= entry_count(s) && !rebuild(s))
        return false;
    struct hg_slot_entry *const entry = hg_slots_seek(s, address);
    s->used_count++;
    s->live_count++;
    *entry = (struct hg_slot_entry){address, slot};
    return true;
}

bool hg_slots_grow_given_back(struct hg_slots *s) {
    void *const memory = mremap(s->given_back, s->given_back_capacity * sizeof *s->given_back,
                                2 * s->given_back_capacity * sizeof *s->given_back, MREMAP_MAYMOVE);
    if (memory == MAP_FAILED)
        return false;
    s->given_back = memory;
    s->given_back_capacity *= 2;
    return true;
}
