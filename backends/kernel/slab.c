#include "slab.h"

#include "slab_rule.h"

#include <linux/cache.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/version.h>

/* No warning in the log and nobody killed when a stream asks for more than there is: NULL is the answer. */
#define FLAGS (GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY)

/* False once three quarters of the guest's memory are taken: a stream that wants more is refused, or the
 * kernel would kill its only process for want of memory and panic. Looked up for large blocks, now and
 * then for small ones, and always while it is full. */
static bool there_is_room(size_t size) {
    enum { LARGE_BYTES = 64 << 10, EVERY = 256 };
    static unsigned asked;
    static bool is_full;
    if (size >= LARGE_BYTES || is_full || ++asked % EVERY == 0)
        is_full = si_mem_available() <= (long)(totalram_pages() / 4);
    return !is_full;
}

/* ARCH_SLAB_MINALIGN is not exported under one name in all releases; every slab object has at least this. */
#ifdef ARCH_SLAB_MINALIGN
enum { SLAB_MIN = ARCH_SLAB_MINALIGN };
#else
enum { SLAB_MIN = __alignof__(unsigned long long) };
#endif

/* A reallocation by hand, for allocators that have none of their own. */
static void *move(const hg_backend *self, void *ptr, hg_layout layout, size_t new_size) {
    hg_layout wanted = {new_size, layout.align};
    void *moved = self->layout.alloc(self, wanted);
    if (!moved)
        return NULL;
    memcpy(moved, ptr, layout.size < new_size ? layout.size : new_size);
    self->layout.dealloc(self, ptr, layout);
    return moved;
}

/* ---- kmalloc, kvmalloc: the size alone ---- */

static void *kmalloc_alloc(const hg_backend *self, hg_layout layout) {
    return there_is_room(layout.size) ? kmalloc(layout.size, FLAGS) : NULL;
}

static void *kmalloc_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    return there_is_room(layout.size) ? kzalloc(layout.size, FLAGS) : NULL;
}

static void kmalloc_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    kfree(ptr);
}

static void *kvmalloc_alloc(const hg_backend *self, hg_layout layout) {
    bool fits = layout.size <= INT_MAX && there_is_room(layout.size);
    return fits ? kvmalloc(layout.size, FLAGS) : NULL;
}

static void *kvmalloc_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    bool fits = layout.size <= INT_MAX && there_is_room(layout.size);
    return fits ? kvzalloc(layout.size, FLAGS) : NULL;
}

static void kvmalloc_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    kvfree(ptr);
}

/* ---- krealloc, by each rule of slab_rule.h ---- */

static enum hg_slab_rule rule_of(const hg_backend *self) {
    return (enum hg_slab_rule)(uintptr_t)self->state;
}

static void *rule_call(const hg_backend *self, void *ptr, hg_layout layout, gfp_t flags) {
    size_t size = hg__slab_size(rule_of(self), layout, SLAB_MIN);
    return size <= KMALLOC_MAX_SIZE && there_is_room(size) ? krealloc(ptr, size, flags) : NULL;
}

static void *rule_alloc(const hg_backend *self, hg_layout layout) {
    return rule_call(self, NULL, layout, FLAGS);
}

static void *rule_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    return rule_call(self, NULL, layout, FLAGS | __GFP_ZERO);
}

static void *rule_realloc(const hg_backend *self, void *ptr, hg_layout layout, size_t new_size) {
    return rule_call(self, ptr, (hg_layout){new_size, layout.align}, FLAGS);
}

/* ---- kmem_cache: one cache a power of two of size and alignment ---- */

enum { CACHE_SIZE_LOG2_MAX = 17, CACHE_ALIGN_LOG2_MAX = 12 };
static struct kmem_cache *caches[CACHE_SIZE_LOG2_MAX + 1][CACHE_ALIGN_LOG2_MAX + 1];

static struct kmem_cache *cache_for(hg_layout layout) {
    unsigned size_log2 = __builtin_ctzll(hg__power_of_two_above(layout.size));
    unsigned align_log2 = __builtin_ctzll(layout.align);
    if (layout.size > (size_t)1 << CACHE_SIZE_LOG2_MAX || align_log2 > CACHE_ALIGN_LOG2_MAX)
        return NULL;
    struct kmem_cache **cache = &caches[size_log2][align_log2];
    if (!*cache) {
        char name[40];
        snprintf(name, sizeof name, "heapgauge-%u-%u", 1u << size_log2, 1u << align_log2);
        *cache = kmem_cache_create(name, 1u << size_log2, layout.align, 0, NULL);
    }
    return *cache;
}

static void *cache_alloc(const hg_backend *self, hg_layout layout) {
    struct kmem_cache *cache = cache_for(layout);
    return cache && there_is_room(layout.size) ? kmem_cache_alloc(cache, FLAGS) : NULL;
}

static void *cache_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    struct kmem_cache *cache = cache_for(layout);
    return cache && there_is_room(layout.size) ? kmem_cache_zalloc(cache, FLAGS) : NULL;
}

static void cache_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    kmem_cache_free(cache_for(layout), ptr);
}

void hg__slab_exit(void) {
    for (size_t i = 0; i <= CACHE_SIZE_LOG2_MAX; i++)
        for (size_t j = 0; j <= CACHE_ALIGN_LOG2_MAX; j++)
            kmem_cache_destroy(caches[i][j]); /* of NULL: nothing */
}

#ifdef CONFIG_RUST
/* ---- the kernel's own Rust allocator: what its Rust core exports ---- */

/* alloc::alloc and its kin: krealloc_aligned of rust/kernel/allocator.rs. */
void *__rust_alloc(size_t size, size_t align);
void *__rust_alloc_zeroed(size_t size, size_t align);
void *__rust_realloc(void *ptr, size_t size, size_t align, size_t new_size);
void __rust_dealloc(void *ptr, size_t size, size_t align);
/* GlobalAlloc's functions of the same allocator: plain krealloc of the layout's size. */
void *__rg_alloc(size_t size, size_t align);
void *__rg_alloc_zeroed(size_t size, size_t align);
void *__rg_realloc(void *ptr, size_t size, size_t align, size_t new_size);
void __rg_dealloc(void *ptr, size_t size, size_t align);

/* What the Rust side may ask krealloc for; above it the kernel warns of a caller who asks too much. */
static bool rust_has_room(size_t size, size_t align) {
    size_t asked = hg__slab_size(HG_SLAB_ALIGNED, (hg_layout){size, align}, SLAB_MIN);
    return asked <= KMALLOC_MAX_SIZE && there_is_room(asked);
}

#define RUST_FACE(prefix)                                                                          \
    static void *prefix##_face_alloc(const hg_backend *self, hg_layout layout) {                   \
        bool room = rust_has_room(layout.size, layout.align);                                      \
        return room ? __##prefix##_alloc(layout.size, layout.align) : NULL;                        \
    }                                                                                              \
    static void *prefix##_face_zeroed(const hg_backend *self, hg_layout layout) {                  \
        bool room = rust_has_room(layout.size, layout.align);                                      \
        return room ? __##prefix##_alloc_zeroed(layout.size, layout.align) : NULL;                 \
    }                                                                                              \
    static void *prefix##_face_realloc(const hg_backend *self, void *ptr, hg_layout layout,        \
                                       size_t new_size) {                                          \
        bool room = rust_has_room(new_size, layout.align);                                         \
        return room ? __##prefix##_realloc(ptr, layout.size, layout.align, new_size) : NULL;       \
    }                                                                                              \
    static void prefix##_face_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {       \
        __##prefix##_dealloc(ptr, layout.size, layout.align);                                      \
    }
RUST_FACE(rust)
RUST_FACE(rg)
#endif

/* ---- planted faults, over krealloc_aligned ---- */

/* Writes one byte past what it asked krealloc for: the oracle sees it only in a neighbour that is live,
 * a red zone (slub_debug=Z) when the block is freed. */
static void *overflow_alloc(const hg_backend *self, hg_layout layout) {
    unsigned char *ptr = rule_alloc(self, layout);
    size_t size = hg__slab_size(rule_of(self), layout, SLAB_MIN);
    if (ptr)
        *(volatile unsigned char *)(ptr + size) = 0x5A;
    return ptr;
}

/* Forgets the last byte of what a reallocation keeps. */
static void *prefix_realloc(const hg_backend *self, void *ptr, hg_layout layout, size_t new_size) {
    size_t kept = layout.size < new_size ? layout.size : new_size;
    unsigned char *moved = rule_realloc(self, ptr, layout, new_size);
    if (moved)
        moved[kept - 1] ^= 0xFF;
    return moved;
}

/* Leaves the last byte of a zeroed block as it may be. */
static void *dirty_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    unsigned char *ptr = rule_alloc_zeroed(self, layout);
    if (ptr)
        ptr[layout.size - 1] = 0xA5;
    return ptr;
}

/* Hands a live block out a second time, one time in 61. */
static void *last_block;
static size_t last_size, turn;

static void *twice_alloc(const hg_backend *self, hg_layout layout) {
    if (++turn % 61 == 0 && last_block && layout.size <= last_size &&
        ((uintptr_t)last_block & (layout.align - 1)) == 0)
        return last_block;
    last_block = rule_alloc(self, layout);
    last_size = layout.size;
    return last_block;
}

/* A block that was handed out twice is freed once: the kernel must live through our own fault. */
static void twice_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    if (ptr == last_block)
        last_block = NULL;
    kfree(ptr);
}

/* Writes where nothing is: the kernel's own report is the finding. */
static void *oops_alloc(const hg_backend *self, hg_layout layout) {
    if (++turn % 61 == 0)
        *(volatile char *)NULL = 1;
    return rule_alloc(self, layout);
}

/* ---- the table ---- */

#define BACKEND(word, rule, alloc_, zeroed_, realloc_, dealloc_, align)                            \
    {                                                                                              \
        .layout = {alloc_, zeroed_, realloc_, dealloc_},                                           \
        .facts = {.name = word, .align_min = SLAB_MIN, .align_max = align, .frees = true},         \
        .state = (const void *)(uintptr_t)(rule),                                                  \
    }
#define BY_RULE(word, rule)                                                                        \
    BACKEND(word, rule, rule_alloc, rule_alloc_zeroed, rule_realloc, kmalloc_dealloc,              \
            KMALLOC_MAX_SIZE)

static const hg_backend backends[] = {
    BACKEND("kmalloc", HG_SLAB_RAW, kmalloc_alloc, kmalloc_alloc_zeroed, move, kmalloc_dealloc,
            KMALLOC_MAX_SIZE),
    BY_RULE("krealloc", HG_SLAB_RAW),
    BACKEND("kvmalloc", HG_SLAB_RAW, kvmalloc_alloc, kvmalloc_alloc_zeroed, move, kvmalloc_dealloc,
            KMALLOC_MAX_SIZE),
    BACKEND("kmem_cache", HG_SLAB_RAW, cache_alloc, cache_alloc_zeroed, move, cache_dealloc,
            (size_t)1 << CACHE_ALIGN_LOG2_MAX),
    BY_RULE("krealloc_padded", HG_SLAB_PADDED),
    BY_RULE("krealloc_aligned", HG_SLAB_ALIGNED),
    BY_RULE("fault-unpadded", HG_SLAB_UNPADDED),
    BACKEND("fault-overflow", HG_SLAB_ALIGNED, overflow_alloc, rule_alloc_zeroed, rule_realloc,
            kmalloc_dealloc, KMALLOC_MAX_SIZE),
    BACKEND("fault-prefix", HG_SLAB_ALIGNED, rule_alloc, rule_alloc_zeroed, prefix_realloc,
            kmalloc_dealloc, KMALLOC_MAX_SIZE),
    BACKEND("fault-dirty", HG_SLAB_ALIGNED, rule_alloc, dirty_alloc_zeroed, rule_realloc,
            kmalloc_dealloc, KMALLOC_MAX_SIZE),
    BACKEND("fault-twice", HG_SLAB_ALIGNED, twice_alloc, rule_alloc_zeroed, rule_realloc,
            twice_dealloc, KMALLOC_MAX_SIZE),
    BACKEND("fault-oops", HG_SLAB_ALIGNED, oops_alloc, rule_alloc_zeroed, rule_realloc,
            kmalloc_dealloc, KMALLOC_MAX_SIZE),
#ifdef CONFIG_RUST
    BACKEND("rust_alloc", HG_SLAB_RAW, rust_face_alloc, rust_face_zeroed, rust_face_realloc,
            rust_face_dealloc, KMALLOC_MAX_SIZE),
    BACKEND("rg_alloc", HG_SLAB_RAW, rg_face_alloc, rg_face_zeroed, rg_face_realloc,
            rg_face_dealloc, KMALLOC_MAX_SIZE),
#endif
};

const hg_backend *hg__slab_backend_at(size_t index) {
    return index < sizeof backends / sizeof *backends ? &backends[index] : NULL;
}

const hg_backend *hg__slab_backend(const char *name) {
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(backends[i].facts.name, name) == 0)
            return &backends[i];
    return NULL;
}
