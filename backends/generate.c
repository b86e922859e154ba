#define _GNU_SOURCE
#include "heapgauge/generate.h"

#include <sys/mman.h>

enum { BLOCK_OPS = 4096, TABLE_FACTOR = 2 };

struct slot_state {
    uint8_t live, layout, align_log2, origin_kind;
};

struct hg_generator {
    struct hg_generator_config config;
    uint64_t state; /* splitmix64 */
    uint64_t made;
    uint32_t slot_count, live;
    uint16_t thread; /* whose run it is */
    size_t mapped_bytes;
    hg_op ops[BLOCK_OPS];
    struct slot_state slots[];
};

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t random_u64(hg_generator *g) {
    uint64_t z = g->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* 0 .. bound-1; the bias below 2^-32 does not matter here. */
static uint32_t random_below(hg_generator *g, uint32_t bound) {
    return (uint32_t)((random_u64(g) >> 32) * bound >> 32);
}

static bool one_in(hg_generator *g, uint32_t n) {
    return random_below(g, n) == 0;
}

static uint32_t log2_floor(uint32_t value) {
    return 31 - (uint32_t)__builtin_clz(value);
}

/* Log-uniform, a third of them at a power of two or next to one; one in five hundred up to 4 MiB. */
static uint64_t random_size(hg_generator *g) {
    if (one_in(g, 50))
        return 0;
    uint32_t max = one_in(g, 500) ? 4u << 20 : g->config.size_max;
    uint32_t exponent = random_below(g, log2_floor(max) + 1);
    uint64_t size = UINT64_C(1) << exponent;
    switch (random_below(g, 6)) {
    case 0:
        break;
    case 1:
        size += random_below(g, 3) - 1;
        break;
    default:
        size += random_below(g, (uint32_t)size);
    }
    return size > max ? max : size;
}

/* 1 .. 4096 mostly; one in twenty up to 16 MiB. */
static uint64_t random_align(hg_generator *g) {
    return UINT64_C(1) << (one_in(g, 20) ? random_below(g, 25) : random_below(g, 13));
}

static void allocate_layout(hg_generator *g, hg_op *op) {
    op->kind = one_in(g, 5) ? HG_OP_ALLOC_ZEROED : HG_OP_ALLOC;
    op->size = random_size(g);
    if (op->size == 0)
        op->size = 1;
    op->arg = random_align(g);
}

static void allocate_libc(hg_generator *g, hg_op *op) {
    op->size = random_size(g);
    switch (random_below(g, 12)) {
    case 0:
    case 1:
        op->kind = HG_OP_CALLOC;
        op->arg = 1 + random_below(g, 8);
        op->size = op->size / op->arg;
        break;
    case 2:
        op->kind = HG_OP_ALIGNED_ALLOC;
        op->arg = random_align(g);
        op->size = (op->size + op->arg - 1) & ~(op->arg - 1);
        break;
    case 3:
        op->kind = HG_OP_POSIX_MEMALIGN;
        op->arg = random_align(g);
        if (op->arg < sizeof(void *))
            op->arg = sizeof(void *);
        break;
    case 4:
        op->kind = HG_OP_MEMALIGN;
        op->arg = random_align(g);
        break;
    case 5:
        op->kind = one_in(g, 2) ? HG_OP_VALLOC : HG_OP_PVALLOC;
        if (!one_in(g, 4))
            op->kind = HG_OP_MALLOC;
        break;
    case 6: /* of NULL */
        op->kind = one_in(g, 3) ? HG_OP_REALLOC : HG_OP_MALLOC;
        if (op->size == 0)
            op->size = 1;
        break;
    default:
        op->kind = HG_OP_MALLOC;
    }
}

/* Arguments that must be refused, for an empty slot. */
static void allocate_hostile(hg_generator *g, hg_op *op) {
    static const uint64_t sizes[] = {
        UINT64_MAX,        UINT64_MAX - 15,          UINT64_MAX - 64,         UINT64_MAX - 4095,
        UINT64_C(1) << 63, (UINT64_C(1) << 63) + 64, (UINT64_C(1) << 32) + 64};
    uint64_t huge = sizes[random_below(g, 7)];
    switch (random_below(g, 7)) {
    case 0:
        op->kind = one_in(g, 4) ? HG_OP_PVALLOC : HG_OP_MALLOC;
        op->size = huge;
        break;
    case 5: /* of NULL */
        op->kind = HG_OP_FREE;
        break;
    case 6:
        op->kind = HG_OP_USABLE_SIZE;
        break;
    case 1:
        op->kind = one_in(g, 3) ? HG_OP_REALLOCARRAY : HG_OP_CALLOC;
        op->size = UINT64_C(1) << (32 + random_below(g, 16));
        op->arg = (UINT64_MAX / op->size) + 1 + random_below(g, 3);
        break;
    case 2:
        op->kind = HG_OP_POSIX_MEMALIGN;
        op->size = 64;
        op->arg = (uint64_t[]){0, 1, 2, 4, 12, 24, 48, 4097}[random_below(g, 8)];
        break;
    case 3:
        op->kind = HG_OP_ALIGNED_ALLOC;
        op->size = huge;
        op->arg = random_align(g);
        break;
    default:
        op->kind = HG_OP_ALIGNED_ALLOC;
        op->size = 96;
        op->arg = (uint64_t[]){0, 3, 6, 12, 24, 48, 96, 127, 4095, 4097}[random_below(g, 10)];
    }
}

static void use_block(hg_generator *g, hg_op *op, struct slot_state *slot) {
    bool warm = g->live >= g->config.live_blocks;
    uint32_t choice = random_below(g, 20);
    if (g->config.hostile && !slot->layout && one_in(g, 100)) { /* frees, or leaves nothing */
        op->kind = HG_OP_REALLOC;
        op->size = 0;
        slot->live = 0;
        g->live--;
    } else if (g->config.hostile && !slot->layout &&
               one_in(g, 100)) { /* refused: the block stays */
        op->kind = HG_OP_REALLOC;
        op->flags = HG_OPF_FAILED;
        op->size = UINT64_MAX - random_below(g, 8192);
    } else if (choice < 5) {
        op->kind = slot->layout ? HG_OP_LAYOUT_REALLOC : HG_OP_REALLOC;
        op->size = random_size(g);
        if (op->size == 0)
            op->size = 1;
        if (!slot->layout && one_in(g, 8)) {
            op->kind = HG_OP_REALLOCARRAY;
            op->arg = 1 + random_below(g, 4);
            if (g->config.hostile && one_in(g, 8))
                op->arg = UINT64_MAX / 2;
            else
                op->size = op->size / op->arg + 1;
        }
        if (op->kind != HG_OP_REALLOCARRAY || op->arg < UINT64_MAX / 2)
            slot->origin_kind = HG_OP_MALLOC;
    } else if (choice < 6 && !slot->layout) {
        op->kind = HG_OP_USABLE_SIZE;
    } else if (choice < 7 && !warm) {
        op->kind = HG_OP_VERIFY;
    } else {
        op->kind = slot->layout ? HG_OP_DEALLOC : HG_OP_FREE;
        if (!slot->layout && slot->origin_kind == HG_OP_ALIGNED_ALLOC && one_in(g, 2))
            op->kind = HG_OP_FREE_ALIGNED_SIZED;
        else if (!slot->layout && slot->origin_kind <= HG_OP_REALLOCARRAY && one_in(g, 4))
            op->kind = HG_OP_FREE_SIZED;
        slot->live = 0;
        g->live--;
    }
}

static bool make_environment(hg_generator *g, hg_op *op) {
    if (!g->config.environment || !one_in(g, 2000))
        return false;
    op->kind = one_in(g, 4) ? HG_OP_FORK : HG_OP_PURGE;
    op->slot = HG_SLOT_NONE;
    return true;
}

static void make(hg_generator *g, hg_op *op) {
    *op = (hg_op){.slot = random_below(g, g->slot_count)};
    if (g->config.threads > 1 && one_in(g, 8)) /* runs of some operations each */
        g->thread = (uint16_t)random_below(g, g->config.threads);
    op->thread = g->thread;
    if (make_environment(g, op))
        return;
    struct slot_state *slot = &g->slots[op->slot];
    if (slot->live) {
        use_block(g, op, slot);
        return;
    }
    if (g->config.hostile && !g->config.layout_face && one_in(g, 50)) {
        allocate_hostile(g, op);
        op->slot = HG_SLOT_NONE;
        return;
    }
    if (g->config.layout_face)
        allocate_layout(g, op);
    else
        allocate_libc(g, op);
    *slot =
        (struct slot_state){.live = 1, .layout = g->config.layout_face, .origin_kind = op->kind};
    g->live++;
}

hg_generator *hg_generator_create(const struct hg_generator_config *config) {
    if (!config->live_blocks || !config->size_max || !config->threads ||
        config->live_blocks > 1u << 26)
        return NULL;
    uint32_t slot_count = config->live_blocks * TABLE_FACTOR;
    size_t bytes = sizeof(hg_generator) + slot_count * sizeof(struct slot_state);
    hg_generator *g = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g == MAP_FAILED)
        return NULL;
    g->config = *config;
    g->state = config->seed;
    g->slot_count = slot_count;
    g->mapped_bytes = bytes;
    return g;
}

void hg_generator_destroy(hg_generator *generator) {
    munmap(generator, generator->mapped_bytes);
}

static enum hg_status next(void *context, const hg_op **ops, size_t *count, uint64_t *first) {
    hg_generator *g = context;
    uint64_t left = g->config.operation_count - g->made;
    if (left == 0)
        return HG_END;
    size_t n = left < BLOCK_OPS ? (size_t)left : BLOCK_OPS;
    for (size_t i = 0; i < n; i++)
        make(g, &g->ops[i]);
    *ops = g->ops;
    *count = n;
    *first = g->made;
    g->made += n;
    return HG_OK;
}

struct hg_source hg_generator_source(hg_generator *generator) {
    return (struct hg_source){next, generator, generator->slot_count, UINT64_MAX};
}
