#define _GNU_SOURCE
#include "lockstep.h"

#include "heapgauge/meter.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const uint64_t mark = UINT64_C(0x6c6f636b73746570); /* "lockstep" */

/* turn: position in `order`, of entries * slices; the holder of the turn alone moves it on, or who knows
 * that the holder is gone. go[e]: turns given to entry e so far, its futex. */
struct hg_lockstep {
    uint64_t mark;
    unsigned entries, slices;
    atomic_uint turn;
    atomic_bool has_begun;
    atomic_bool ready[HG_LOCKSTEP_ENTRIES_MAX], gone[HG_LOCKSTEP_ENTRIES_MAX];
    atomic_uint go[HG_LOCKSTEP_ENTRIES_MAX];
    uint8_t order[HG_LOCKSTEP_ENTRIES_MAX * HG_LOCKSTEP_SLICES_MAX];
    uint64_t times_ns[HG_LOCKSTEP_ENTRIES_MAX][HG_LOCKSTEP_SLICES_MAX];
};

static uint64_t next_random(uint64_t *state) {
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Each slice of all entries in an order of its own: nobody always follows the same one. */
static void shuffle(struct hg_lockstep *shared, uint64_t seed) {
    for (unsigned slice = 0; slice < shared->slices; slice++) {
        uint8_t *row = &shared->order[slice * shared->entries];
        for (unsigned i = 0; i < shared->entries; i++) {
            unsigned j = (unsigned)(next_random(&seed) % (i + 1));
            row[i] = row[j];
            row[j] = (uint8_t)i;
        }
    }
}

static struct hg_lockstep *map(int fd) {
    void *memory =
        mmap(NULL, sizeof(struct hg_lockstep), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

struct hg_lockstep *hg_lockstep_create(unsigned entries, unsigned slices, uint64_t seed, int *fd) {
    *fd = memfd_create("heapgauge-lockstep", 0);
    if (*fd < 0 || ftruncate(*fd, sizeof(struct hg_lockstep)) != 0)
        return NULL;
    struct hg_lockstep *shared = map(*fd);
    if (!shared)
        return NULL;
    shared->mark = mark;
    shared->entries = entries;
    shared->slices = slices;
    shuffle(shared, seed);
    return shared;
}

struct hg_lockstep *hg_lockstep_attach(int fd) {
    off_t size = lseek(fd, 0, SEEK_END);
    struct hg_lockstep *shared = size == sizeof(struct hg_lockstep) ? map(fd) : NULL;
    return shared && shared->mark == mark ? shared : NULL;
}

unsigned hg_lockstep_slices(const struct hg_lockstep *shared) {
    return shared->slices;
}

void hg_lockstep_put_times(struct hg_lockstep *shared, unsigned entry, const uint64_t *times_ns) {
    memcpy(shared->times_ns[entry], times_ns, shared->slices * sizeof *times_ns);
}

const uint64_t *hg_lockstep_times(const struct hg_lockstep *shared, unsigned entry) {
    return shared->times_ns[entry];
}

/* ---- turns ---- */

/* Gives the turn at shared->turn to its entry, or to the next one that is there. */
static void give_turn(struct hg_lockstep *shared) {
    unsigned end = shared->entries * shared->slices;
    unsigned turn = atomic_load(&shared->turn);
    while (turn < end && atomic_load(&shared->gone[shared->order[turn]]))
        turn++;
    atomic_store(&shared->turn, turn);
    if (turn == end)
        return;
    unsigned entry = shared->order[turn];
    atomic_fetch_add(&shared->go[entry], 1);
    syscall(SYS_futex, &shared->go[entry], FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void wait_for_turn(struct hg_lockstep *shared, unsigned entry, unsigned turns) {
    unsigned given;
    while ((given = atomic_load(&shared->go[entry])) < turns)
        syscall(SYS_futex, &shared->go[entry], FUTEX_WAIT, given, NULL, NULL, 0);
}

void hg_lockstep_between(void *context, uint64_t slice) {
    uint64_t now_ns = hg_time_ns();
    struct hg_lockstep_entry *self = context;
    struct hg_lockstep *shared = self->shared;
    if (slice == 0) {
        atomic_store(&shared->ready[self->entry], true);
    } else {
        shared->times_ns[self->entry][slice - 1] = now_ns - self->begin_ns;
        atomic_fetch_add(&shared->turn, 1);
        give_turn(shared);
    }
    if (slice == shared->slices)
        return;
    wait_for_turn(shared, self->entry, (unsigned)slice + 1);
    self->begin_ns = hg_time_ns();
}

bool hg_lockstep_is_ready(const struct hg_lockstep *shared, unsigned entry) {
    return atomic_load(&shared->ready[entry]);
}

void hg_lockstep_begin(struct hg_lockstep *shared) {
    atomic_store(&shared->has_begun, true);
    give_turn(shared);
}

/* Held by the one that is gone, a turn is given on; before the beginning there is none to give. An entry
 * that did all its slices gave its last turn on itself. */
void hg_lockstep_is_gone(struct hg_lockstep *shared, unsigned entry) {
    unsigned turn = atomic_load(&shared->turn), end = shared->entries * shared->slices;
    atomic_store(&shared->gone[entry], true);
    if (atomic_load(&shared->has_begun) && turn < end && shared->order[turn] == entry)
        give_turn(shared);
}

bool hg_lockstep_holder(const struct hg_lockstep *shared, unsigned *entry, unsigned *turn) {
    unsigned now = atomic_load(&shared->turn), end = shared->entries * shared->slices;
    if (!atomic_load(&shared->has_begun) || now >= end)
        return false;
    *entry = shared->order[now];
    *turn = now;
    return true;
}
