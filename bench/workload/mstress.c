/* mstress: threads allocate blocks that soon die and blocks that stay, some very large, and put a
 * quarter of what they hold into places that all threads exchange with; every word of every block
 * is written, and checked before it is freed. After Leijen's mstress. Stresses migration: any block
 * may be freed by any thread, at any age. An iteration is 100 steps. */
#include "support.h"

enum { STEPS = 100, PLACES = 1000, HELD_MAX = 4000, RETAINED_MAX = 2000 };

static const uint64_t cookie = UINT64_C(0xbf58476d1ce4e5b9);
static const uint64_t address_mask = (UINT64_C(1) << 48) - 1;

/* A block and its number of words in one word, so that it can be exchanged at once: 2^exponent
 * words, times 1, 100, 1000 or 10000. */
static uint64_t pack(void *ptr, unsigned exponent, unsigned scale) {
    return (uint64_t)(uintptr_t)ptr | (uint64_t)exponent << 48 | (uint64_t)scale << 52 |
           UINT64_C(1) << 60;
}

static void *pointer_of(uint64_t packed) {
    return (void *)(uintptr_t)(packed & address_mask);
}

static size_t words_of(uint64_t packed) {
    static const size_t scales[] = {1, 100, 1000, 10000};
    return ((size_t)1 << (packed >> 48 & 15)) * scales[packed >> 52 & 3];
}

static atomic_uint_fast64_t places[PLACES];

struct holder {
    const struct hg_libc_face *libc;
    struct hg_random random;
    uint64_t calls, spoilt;
    size_t transient_count, retained_count;
    uint64_t transient[HELD_MAX], retained[RETAINED_MAX];
};

static uint64_t allocate(struct holder *self, unsigned exponent, unsigned scale) {
    uint64_t packed = pack(NULL, exponent, scale);
    size_t words = words_of(packed);
    uint64_t *block = self->libc->malloc(words * sizeof *block);
    self->calls++;
    for (size_t i = 0; i < words; i++)
        block[i] = (words - i) ^ cookie;
    hg_do_not_optimize(block);
    return packed | (uint64_t)(uintptr_t)block;
}

static void release(struct holder *self, uint64_t packed) {
    if (!packed)
        return;
    uint64_t *block = pointer_of(packed), different = 0;
    size_t words = words_of(packed);
    for (size_t i = 0; i < words; i++)
        different |= block[i] ^ (words - i) ^ cookie;
    self->spoilt += different != 0;
    self->libc->free(block);
    self->calls++;
}

static unsigned draw_scale(struct hg_random *random) {
    size_t draw = hg_random_below(random, 10000);
    return draw == 0 ? 3 : draw <= 10 ? 2 : draw <= 110 ? 1 : 0;
}

/* A random one of what is held; 0 if nothing is. The last one takes its place. */
static uint64_t *random_held(struct holder *self, uint64_t **last) {
    bool retained = self->transient_count == 0 || hg_random_below(&self->random, 4) == 0;
    uint64_t *list = retained ? self->retained : self->transient;
    size_t *count = retained ? &self->retained_count : &self->transient_count;
    if (*count == 0)
        return NULL;
    size_t index = hg_random_below(&self->random, *count);
    --*count;
    *last = &list[*count];
    return &list[index];
}

static void free_random(struct holder *self) {
    uint64_t *last, *held = random_held(self, &last);
    if (!held)
        return;
    release(self, *held);
    *held = *last;
}

/* The place's block comes in exchange, or nothing. */
static void exchange_random(struct holder *self) {
    if (self->transient_count == 0)
        return;
    size_t index = hg_random_below(&self->random, self->transient_count);
    atomic_uint_fast64_t *place = &places[hg_random_below(&self->random, PLACES)];
    uint64_t got = atomic_exchange(place, self->transient[index]);
    if (got)
        self->transient[index] = got;
    else
        self->transient[index] = self->transient[--self->transient_count];
}

static void step(struct holder *self) {
    uint64_t draw = hg_random_next(&self->random);
    if ((draw & 1) == 0 && self->transient_count < HELD_MAX)
        self->transient[self->transient_count++] =
            allocate(self, (unsigned)(draw >> 8 & 0xffff) % 5, draw_scale(&self->random));
    else if (self->retained_count < RETAINED_MAX)
        self->retained[self->retained_count++] =
            allocate(self, (unsigned)(draw >> 8 & 0xffff) % 7, 0);
    else
        free_random(self);
    if ((draw >> 24 & 0xff) < 169) /* 66 % */
        free_random(self);
    if ((draw >> 32 & 0xff) < 64)
        exchange_random(self);
    if (self->transient_count + self->retained_count > RETAINED_MAX)
        free_random(self);
}

static void mstress(hg_state *state) {
    if (!hg_workload_needs_content(state))
        return;
    struct holder *self = hg_workload_map(sizeof *self);
    self->libc = &hg_workload_backend(state)->libc;
    self->random = hg_random_of(state, 12);
    HG_WORKLOAD_LOOP(state) {
        for (int i = 0; i < STEPS; i++)
            step(self);
    }
    hg_workload_done(state, self->calls);
    while (self->transient_count > 0)
        release(self, self->transient[--self->transient_count]);
    while (self->retained_count > 0)
        release(self, self->retained[--self->retained_count]);
    for (size_t i = 0; i < PLACES; i++)
        release(self, atomic_exchange(&places[i], 0));
    if (self->spoilt)
        hg_skip_with_error(state, "%llu blocks had lost what was written to them",
                           (unsigned long long)self->spoilt);
    hg_workload_unmap(self, sizeof *self);
}

static void configure(hg_benchmark *b) {
    hg_benchmark_threads(b, 1);
    hg_benchmark_threads(b, 2);
    hg_benchmark_threads(b, 4);
}

const struct hg_workload hg__workload_mstress = {
    "mstress",
    "transient and lasting blocks that migrate between threads, written and checked: any age, any thread",
    mstress,
    configure,
};
