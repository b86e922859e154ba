#define _GNU_SOURCE
#include "heapgauge/oracle.h"

#include "interval.h"
#include "pattern.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FUNDAMENTAL_ALIGN = 16, PAGE_BYTES = 4096 };
static const int ERRNO_SENTINEL = 4095; /* no call of ours sets it */
static const uint64_t FIRST_DIGEST = UINT64_C(0xCBF29CE484222325);

#ifndef HG_SANITIZED
#define HG_SANITIZED 0
#endif

enum block_face { FACE_LIBC, FACE_LAYOUT };

/* How a block was allocated decides how it may be freed by size (C48). */
enum block_origin { ORIGIN_PLAIN, ORIGIN_ALIGNED_ALLOC, ORIGIN_OTHER };

struct block {
    unsigned char *ptr; /* NULL: the slot is empty */
    size_t size;        /* asked for */
    size_t usable;      /* >= size; bytes that belong to the block */
    uint64_t op_index;  /* the operation that made it */
    uint32_t generation;
    uint8_t align_log2; /* alignment promised */
    uint8_t face, origin;
    uint8_t reallocated;
    uint8_t refused; /* empty because its allocation returned NULL: operations on it are left out */
};

struct hg_oracle {
    struct hg_oracle_config config;
    const hg_backend *backend;
    struct block *blocks;
    size_t block_capacity;
    size_t slot_end; /* slots ever used: 0 .. slot_end-1 */
    hg_intervals *intervals;
    struct hg_oracle_counts counts;
    struct hg_finding finding;
    bool found;
    uint64_t digest;
    size_t size_max;      /* largest block that was ever granted */
    uint32_t budget;      /* only for HG_ORACLE_COUNTER_WRAPS */
    uint64_t page_credit; /* page requests that still succeed; UINT64_MAX: no shortage */
    bool was_short;       /* a shortage was made in this stream */
    pthread_mutex_t lock;
    /* the operation in hand, for messages */
    hg_op op;
    uint64_t op_index;
};

/* Table of waivers: an item that a backend is known to break, and why that is not news. */
static const struct hg_waiver waivers[] = {
    {"system", "C31", "2026-11-23",
     "glibc before 2.38 rounds an alignment that is no power of two up in aligned_alloc, which is its "
     "memalign"},
    {"tcmalloc", "C31", "2026-11-23",
     "gperftools 2.10 serves aligned_alloc by memalign, which does not check its alignment"},
    {"mimalloc", "C13", "2026-11-23",
     "mimalloc 2.0.9 refuses a size above PTRDIFF_MAX without setting errno"},
};
enum { WAIVER_COUNT = sizeof waivers / sizeof *waivers };
static atomic_uint_fast64_t waiver_uses[WAIVER_COUNT];

const struct hg_waiver *hg_waiver_at(size_t index) {
    return index < WAIVER_COUNT ? &waivers[index] : NULL;
}

uint64_t hg_waiver_uses(size_t index) {
    return atomic_load(&waiver_uses[index]);
}

const char *hg_oracle_fault_name(unsigned fault) {
    static const char *const names[HG_ORACLE_FAULT_COUNT] = {
        "sound",          "no-alignment", "skip-slot-0",   "one-byte",
        "max-align-only", "skip-realloc", "counter-wraps",
    };
    return fault < HG_ORACLE_FAULT_COUNT ? names[fault] : NULL;
}

/* ---- tables ---- */

static void *map_bytes(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

hg_oracle *hg_oracle_create(const struct hg_oracle_config *config) {
    hg_oracle *oracle = map_bytes(sizeof *oracle);
    if (!oracle)
        return NULL;
    oracle->config = *config;
    oracle->backend = config->backend;
    oracle->block_capacity = 4096;
    oracle->blocks = map_bytes(oracle->block_capacity * sizeof *oracle->blocks);
    oracle->intervals = hg_intervals_create();
    oracle->digest = FIRST_DIGEST;
    oracle->page_credit = UINT64_MAX;
    pthread_mutex_init(&oracle->lock, NULL);
    if (!oracle->blocks || !oracle->intervals) {
        hg_oracle_destroy(oracle);
        return NULL;
    }
    return oracle;
}

void hg_oracle_destroy(hg_oracle *oracle) {
    if (oracle->blocks)
        munmap(oracle->blocks, oracle->block_capacity * sizeof *oracle->blocks);
    if (oracle->intervals)
        hg_intervals_destroy(oracle->intervals);
    pthread_mutex_destroy(&oracle->lock);
    munmap(oracle, sizeof *oracle);
}

void hg_oracle_reset(hg_oracle *oracle) {
    for (uint32_t slot = 0; slot < oracle->slot_end; slot++) {
        if (oracle->blocks[slot].ptr)
            hg_intervals_remove(oracle->intervals, slot);
    }
    /* Generations go on: a block must not look right because the stream before left the same bytes. */
    for (uint32_t slot = 0; slot < oracle->slot_end; slot++)
        oracle->blocks[slot] = (struct block){.generation = oracle->blocks[slot].generation + 1};
    memset(&oracle->counts, 0, sizeof oracle->counts);
    oracle->found = false;
    oracle->digest = FIRST_DIGEST;
    oracle->size_max = 0;
    oracle->budget = 0;
    oracle->page_credit = UINT64_MAX;
    oracle->was_short = false;
}

const struct hg_finding *hg_oracle_finding(const hg_oracle *oracle) {
    return oracle->found ? &oracle->finding : NULL;
}

const struct hg_oracle_counts *hg_oracle_counts(const hg_oracle *oracle) {
    return &oracle->counts;
}

uint64_t hg_oracle_digest(const hg_oracle *oracle) {
    return oracle->digest;
}

static void lock(hg_oracle *oracle) {
    if (oracle->config.concurrent)
        pthread_mutex_lock(&oracle->lock);
}

static void unlock(hg_oracle *oracle) {
    if (oracle->config.concurrent)
        pthread_mutex_unlock(&oracle->lock);
}

static bool make_slot(hg_oracle *oracle, uint32_t slot) {
    if (slot >= oracle->block_capacity) {
        size_t capacity = oracle->block_capacity;
        while (slot >= capacity)
            capacity *= 2;
        void *blocks = mremap(oracle->blocks, oracle->block_capacity * sizeof *oracle->blocks,
                              capacity * sizeof *oracle->blocks, MREMAP_MAYMOVE);
        if (blocks == MAP_FAILED)
            return false;
        oracle->blocks = blocks;
        oracle->block_capacity = capacity;
    }
    if (slot >= oracle->slot_end)
        oracle->slot_end = slot + 1;
    return true;
}

/* ---- findings ---- */

static bool is_waived(const hg_oracle *oracle, const char *item) {
    if (oracle->config.no_waivers)
        return false;
    for (size_t i = 0; i < WAIVER_COUNT; i++) {
        if (strcmp(waivers[i].item, item) == 0 &&
            strcmp(waivers[i].backend, oracle->backend->facts.name) == 0) {
            atomic_fetch_add(&waiver_uses[i], 1);
            return true;
        }
    }
    return false;
}

/* True iff `item` stands in the comma-separated list. */
static bool is_listed(const char *list, const char *item) {
    size_t length = strlen(item);
    for (const char *at = list; at && *at; at += *at == ',') {
        size_t word = strcspn(at, ",");
        if (word == length && memcmp(at, item, word) == 0)
            return true;
        at += word;
    }
    return false;
}

/* Records a broken promise. Returns true iff it ends the run. */
static __attribute__((format(printf, 4, 5))) bool broken(hg_oracle *oracle, const char *item,
                                                         char level, const char *format, ...) {
    if (is_waived(oracle, item)) {
        oracle->counts.waived++;
        return false;
    }
    if (is_listed(oracle->config.muted, item))
        return false;
    if (level == 'Q' && !oracle->config.strict) {
        oracle->counts.quality++;
        return false;
    }
    if (oracle->found)
        return true;
    struct hg_finding *finding = &oracle->finding;
    snprintf(finding->item, sizeof finding->item, "%s", item);
    finding->level = level;
    finding->op = oracle->op;
    finding->op_index = oracle->op_index;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
    oracle->found = true;
    return true;
}

/* "slot 7: 100 bytes, aligned to 16, at 0x... (made by operation 12)" */
static const char *describe(const hg_oracle *oracle, uint32_t slot, const struct block *block,
                            char *text, size_t text_size) {
    (void)oracle;
    snprintf(text, text_size, "slot %u: %zu bytes, alignment %zu, at %p (operation %llu)", slot,
             block->size, (size_t)1 << block->align_log2, (void *)block->ptr,
             (unsigned long long)block->op_index);
    return text;
}

/* ---- what is owed ---- */

static uint8_t log2_floor(size_t value) {
    return (uint8_t)(63 - __builtin_clzll(value));
}

/* C2: the largest power of two not above the size, at most the fundamental alignment. */
static size_t owed_by_malloc(size_t size) {
    if (size == 0)
        return 1;
    return size >= FUNDAMENTAL_ALIGN ? FUNDAMENTAL_ALIGN : (size_t)1 << log2_floor(size);
}

static bool is_power_of_two(uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

bool hg_op_to_layout(hg_op *op, bool slot_is_empty) {
    uint64_t size = op->size, align = 0, product;
    switch (op->kind) {
    case HG_OP_CALLOC:
    case HG_OP_REALLOCARRAY:
        if (__builtin_mul_overflow(op->size, op->arg, &product))
            return false;
        size = product;
        break;
    case HG_OP_ALIGNED_ALLOC:
    case HG_OP_POSIX_MEMALIGN:
    case HG_OP_MEMALIGN:
        align = op->arg;
        break;
    case HG_OP_PVALLOC:
        if (size > SIZE_MAX - PAGE_BYTES)
            return false;
        size = (size + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
        align = PAGE_BYTES;
        break;
    case HG_OP_VALLOC:
        align = PAGE_BYTES;
        break;
    case HG_OP_USABLE_SIZE:
        return false;
    case HG_OP_MALLOC:
    case HG_OP_REALLOC:
        break;
    case HG_OP_FREE:
    case HG_OP_FREE_SIZED:
    case HG_OP_FREE_ALIGNED_SIZED:
        op->kind = HG_OP_DEALLOC;
        return op->slot != HG_SLOT_NONE;
    default:
        return true; /* already a layout operation, or one of the environment */
    }
    if (op->slot == HG_SLOT_NONE)
        return false;
    if (hg_op_reallocates(op->kind) && !slot_is_empty) {
        op->kind = size == 0 ? HG_OP_DEALLOC : HG_OP_LAYOUT_REALLOC;
    } else {
        if (size == 0)
            return false;
        op->kind = op->kind == HG_OP_CALLOC ? HG_OP_ALLOC_ZEROED : HG_OP_ALLOC;
    }
    op->size = size;
    op->arg = align ? align : owed_by_malloc(size);
    return op->kind == HG_OP_DEALLOC ||
           (is_power_of_two(op->arg) && hg_layout_is_valid((hg_layout){op->size, op->arg}));
}

/* ---- content ---- */

static bool checks_content(const hg_oracle *oracle, uint32_t slot, const struct block *block) {
    unsigned fault = oracle->config.oracle_fault;
    return !(fault == HG_ORACLE_SKIP_SLOT_0 && slot == 0) &&
           !(fault == HG_ORACLE_SKIP_REALLOC && block->reallocated);
}

static void fill(const struct block *block, uint32_t slot) {
    hg__pattern_fill(block->ptr, block->usable, hg__pattern_seed(slot, block->generation));
}

/* Checks the first `size` bytes of what fill() wrote when the block had `filled` bytes.
 * Item: C7 in place, C22 after a reallocation, C23 after a failed one. True iff the run ends. */
static bool content_lost(hg_oracle *oracle, uint32_t slot, const struct block *block,
                         const unsigned char *ptr, size_t filled, size_t size, const char *item) {
    if (!checks_content(oracle, slot, block))
        return false;
    if (oracle->config.oracle_fault == HG_ORACLE_ONE_BYTE && size > 1)
        size = 1;
    oracle->counts.checks++;
    uint64_t seed = hg__pattern_seed(slot, block->generation);
    size_t offset = hg__pattern_verify(ptr, filled, size, seed);
    if (offset == SIZE_MAX)
        return false;
    /* Bytes beyond the size asked for are the block's too (C41); name what broke by where it did. */
    const char *shown = offset >= block->size && strcmp(item, "C7") == 0 ? "C41" : item;
    char text[160];
    return broken(oracle, shown, 'M',
                  "byte %zu of the block is 0x%02x where 0x%02x was written; %s", offset,
                  ptr[offset], hg__pattern_byte(offset, seed),
                  describe(oracle, slot, block, text, sizeof text));
}

/* ---- a new block ---- */

static bool misaligned(hg_oracle *oracle, const void *ptr, size_t owed, const char *item,
                       char level) {
    oracle->counts.checks++;
    if (oracle->config.oracle_fault == HG_ORACLE_NO_ALIGNMENT)
        return false;
    if (oracle->config.oracle_fault == HG_ORACLE_MAX_ALIGN_ONLY && owed > FUNDAMENTAL_ALIGN)
        owed = FUNDAMENTAL_ALIGN;
    uintptr_t address = (uintptr_t)ptr;
    if ((address & (owed - 1)) == 0)
        return false;
    return broken(oracle, item, level,
                  "alignment %zu is owed, but the block at %p is aligned to %zu only", owed, ptr,
                  (size_t)(address & -address));
}

/* C6: what of the harness's own memory does [begin, end) touch? NULL: nothing. */
static const char *harness_memory(const hg_oracle *oracle, uintptr_t begin, uintptr_t end) {
    enum { STACK_SHOWN = 64 << 10 };
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    uintptr_t books = (uintptr_t)oracle->blocks;
    if (begin < frame + 4096 && end > frame - STACK_SHOWN)
        return "the stack";
    if (begin < books + oracle->block_capacity * sizeof *oracle->blocks && end > books)
        return "the oracle's table of blocks";
    if (begin < (uintptr_t)(oracle + 1) && end > (uintptr_t)oracle)
        return "the oracle itself";
    return NULL;
}

static bool over_harness(hg_oracle *oracle, const struct block *block, size_t extent) {
    uintptr_t begin = (uintptr_t)block->ptr;
    const char *own = begin + extent > begin ? harness_memory(oracle, begin, begin + extent) : NULL;
    return own && broken(oracle, "C6", 'M', "the block at %p of %zu bytes lies over %s",
                         (void *)block->ptr, extent, own);
}

static bool overlapping(hg_oracle *oracle, uint32_t slot, const struct block *block,
                        size_t extent) {
    uintptr_t begin = (uintptr_t)block->ptr;
    uint32_t other;
    oracle->counts.checks++;
    if (begin + extent < begin || extent > PTRDIFF_MAX)
        return broken(oracle, "C6", 'M', "the block at %p of %zu bytes wraps the address space",
                      (void *)block->ptr, extent);
    if (!hg_intervals_overlap(oracle->intervals, begin, begin + extent, &other))
        return false;
    const struct block *live = &oracle->blocks[other];
    size_t live_size = live->size ? live->size : 1, size = block->size ? block->size : 1;
    bool requested =
        begin < (uintptr_t)live->ptr + live_size && (uintptr_t)live->ptr < begin + size;
    char ours[160], theirs[160];
    const char *item = !requested                                    ? "C5"
                       : block->size == 0 && block->ptr == live->ptr ? "C8"
                                                                     : "C4";
    return broken(oracle, item, 'M', "%s%s; overlaps %s", requested ? "" : "(usable bytes) ",
                  describe(oracle, slot, block, ours, sizeof ours),
                  describe(oracle, other, live, theirs, sizeof theirs));
}

static bool not_zero(hg_oracle *oracle, const struct block *block, size_t from, size_t to,
                     const char *item) {
    oracle->counts.checks++;
    size_t offset = hg__first_nonzero(block->ptr, from, to);
    if (offset == SIZE_MAX)
        return false;
    return broken(oracle, item, 'M', "byte %zu of %zu is 0x%02x where zero is owed", offset, to,
                  block->ptr[offset]);
}

/* The usable size, checked to be at least the size (C40); the size where it can't be asked. */
static bool ask_usable(hg_oracle *oracle, struct block *block) {
    const struct hg_libc_face *libc = &oracle->backend->libc;
    block->usable = block->size;
    if (block->face != FACE_LIBC || !libc->malloc_usable_size || oracle->config.skip_usable)
        return false;
    size_t usable = libc->malloc_usable_size(block->ptr);
    oracle->counts.checks++;
    if (usable < block->size)
        return broken(oracle, "C40", 'M', "usable size %zu is below the %zu bytes asked for",
                      usable, block->size);
    block->usable = usable;
    return false;
}

/* The item that alignment falls under, by what was called. */
static const char *alignment_item(unsigned kind, const struct block *block) {
    switch (kind) {
    case HG_OP_LAYOUT_REALLOC:
        return "C68";
    case HG_OP_ALLOC:
    case HG_OP_ALLOC_ZEROED:
        return "C65";
    case HG_OP_CALLOC:
        return "C20";
    case HG_OP_VALLOC:
    case HG_OP_PVALLOC:
        return "C43";
    case HG_OP_MALLOC:
    case HG_OP_REALLOC:
    case HG_OP_REALLOCARRAY:
        return "C2";
    default:
        return block->align_log2 > 4 ? "C30" : "C1";
    }
}

static bool block_misaligned(hg_oracle *oracle, const struct block *block) {
    size_t owed = (size_t)1 << block->align_log2;
    if (block->size == 0 && block->face == FACE_LIBC)
        return misaligned(oracle, block->ptr, owed, "C33", 'Q');
    return misaligned(oracle, block->ptr, owed, alignment_item(oracle->op.kind, block), 'M');
}

/* Takes a granted block into the books: alignment, overlap, then its pattern. True iff the run ends. */
static bool admit(hg_oracle *oracle, uint32_t slot, const struct block *granted, bool zeroed) {
    struct block block = *granted;
    if (block_misaligned(oracle, &block))
        return true;
    if (block.face == FACE_LIBC && block.size > 0 &&
        (uintptr_t)block.ptr % FUNDAMENTAL_ALIGN != 0 &&
        broken(oracle, "C3", 'Q', "%zu bytes at %p: less than alignof(max_align_t) aligned",
               block.size, (void *)block.ptr))
        return true;
    if (over_harness(oracle, &block, block.size ? block.size : 1) || ask_usable(oracle, &block))
        return true;
    size_t extent = block.usable ? block.usable : 1;
    if (overlapping(oracle, slot, &block, extent))
        return true;
    if (zeroed &&
        not_zero(oracle, &block, 0, block.size, block.face == FACE_LAYOUT ? "C67" : "C17"))
        return true;
    fill(&block, slot);
    if (!hg_intervals_insert(oracle->intervals, (uintptr_t)block.ptr, (uintptr_t)block.ptr + extent,
                             slot))
        return broken(oracle, "H1", 'M', "no memory left for the oracle's tables");
    oracle->blocks[slot] = block;
    oracle->counts.live_blocks++;
    oracle->counts.live_bytes += block.size;
    if (block.size > oracle->size_max)
        oracle->size_max = block.size;
    oracle->budget += (uint32_t)block.size;
    return false;
}

/* Takes a block out of the books before it is freed. */
static void dismiss(hg_oracle *oracle, uint32_t slot) {
    struct block *block = &oracle->blocks[slot];
    hg_intervals_remove(oracle->intervals, slot);
    oracle->counts.live_blocks--;
    oracle->counts.live_bytes -= block->size;
    oracle->budget -= (uint32_t)block->size;
    block->ptr = NULL;
    block->generation++;
}

/* ---- calls ---- */

/* Lack of memory for a backend that cannot be told to fail: while a call of it runs, the address space
 * may not grow by more than the pages still granted. Slow, and only in force between a FAIL_PAGES and
 * the next. The oracle's own tables grow outside. */
enum { GRANT_BYTES = 64 << 10 };

static uint64_t address_space_bytes(void) {
    char text[64];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    uint64_t pages = 0;
    for (ssize_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; i++)
        pages = pages * 10 + (uint64_t)(text[i] - '0');
    return pages * PAGE_BYTES;
}

/* Returns the limit to set back. */
static rlim_t starve(const hg_oracle *oracle) {
    struct rlimit limit;
    if (oracle->page_credit == UINT64_MAX || getrlimit(RLIMIT_AS, &limit) != 0)
        return RLIM_INFINITY;
    rlim_t before = limit.rlim_cur;
    uint64_t now = address_space_bytes();
    limit.rlim_cur = now + oracle->page_credit * GRANT_BYTES;
    if (now > 0 && limit.rlim_cur < limit.rlim_max)
        setrlimit(RLIMIT_AS, &limit);
    return before;
}

static void feed(const hg_oracle *oracle, rlim_t before) {
    struct rlimit limit;
    int error = errno;
    if (oracle->page_credit != UINT64_MAX && getrlimit(RLIMIT_AS, &limit) == 0) {
        limit.rlim_cur = before;
        setrlimit(RLIMIT_AS, &limit);
    }
    errno = error;
}

static void end_shortage(hg_oracle *oracle) {
    oracle->page_credit = UINT64_MAX;
    if (oracle->was_short && oracle->backend->fail_pages)
        oracle->backend->fail_pages(oracle->backend, UINT64_MAX);
}

/* What one allocating call was asked for and what came back. */
struct call {
    size_t size;    /* bytes owed */
    size_t align;   /* owed if it succeeds */
    bool must_fail; /* overflow, a size above PTRDIFF_MAX, an alignment that is none */
    const char *must_fail_item;
    bool sets_errno; /* ENOMEM is owed on failure (C13) */
    bool zeroed;
    bool may_refuse; /* NULL is allowed although memory is there (C32, C33, size 0) */
    void *result;
    int error;          /* errno after the call, or posix_memalign's result */
    bool clobbered_out; /* posix_memalign wrote *memptr and failed */
};

static void owe_size(struct call *call, size_t size) {
    call->size = size;
    if (size > PTRDIFF_MAX) {
        call->must_fail = true;
        call->must_fail_item = "C11";
    }
}

static void owe_product(struct call *call, uint64_t count, uint64_t size, const char *item) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product)) {
        call->must_fail = true;
        call->must_fail_item = item;
        return;
    }
    owe_size(call, product);
}

static bool do_aligned_alloc(const struct hg_libc_face *libc, const hg_op *op, struct call *call) {
    if (!libc->aligned_alloc)
        return false;
    owe_size(call, op->size);
    call->align = op->arg;
    if (!is_power_of_two(op->arg)) {
        call->must_fail = true;
        call->must_fail_item = "C31";
        call->align = 1;
    } else if (op->size > SIZE_MAX - op->arg) {
        call->must_fail = true;
        call->must_fail_item = "C34";
    }
    call->may_refuse = op->size % (op->arg ? op->arg : 1) != 0 || op->arg > PAGE_BYTES;
    call->result = libc->aligned_alloc(op->arg, op->size);
    call->error = errno;
    return true;
}

static bool do_posix_memalign(const struct hg_libc_face *libc, const hg_op *op, struct call *call) {
    if (!libc->posix_memalign)
        return false;
    static char marker;
    void *out = &marker;
    owe_size(call, op->size);
    call->align = op->arg;
    call->sets_errno = false;
    if (!is_power_of_two(op->arg) || op->arg % sizeof(void *) != 0) {
        call->must_fail = true;
        call->must_fail_item = "C36";
        call->align = 1;
    }
    call->may_refuse = op->arg > (UINT64_C(1) << 26);
    call->error = libc->posix_memalign(&out, op->arg, op->size);
    call->result = call->error == 0 ? out : NULL;
    call->clobbered_out = call->error != 0 && out != &marker;
    return true;
}

static bool do_memalign(const struct hg_libc_face *libc, const hg_op *op, struct call *call) {
    if (!libc->memalign)
        return false;
    owe_size(call, op->size);
    call->align = is_power_of_two(op->arg) ? op->arg : 1; /* rounding up is allowed (C43) */
    call->may_refuse = !is_power_of_two(op->arg) || op->arg > PAGE_BYTES;
    call->result = libc->memalign(op->arg, op->size);
    call->error = errno;
    return true;
}

static bool do_valloc(void *(*function)(size_t), const hg_op *op, struct call *call) {
    if (!function)
        return false;
    bool rounds = op->kind == HG_OP_PVALLOC;
    if (rounds && op->size > SIZE_MAX - (PAGE_BYTES - 1)) {
        call->must_fail = true;
        call->must_fail_item = "C43";
    } else {
        owe_size(call, rounds ? (op->size + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1) : op->size);
    }
    call->align = PAGE_BYTES;
    call->may_refuse = op->size == 0;
    call->result = function(op->size);
    call->error = errno;
    return true;
}

/* Performs an allocating operation. False iff the backend has no such function. */
static bool do_allocate(const hg_backend *backend, const hg_op *op, struct call *call) {
    const struct hg_libc_face *libc = &backend->libc;
    *call = (struct call){.sets_errno = true};
    errno = ERRNO_SENTINEL;
    switch (op->kind) {
    case HG_OP_MALLOC:
        if (!libc->malloc)
            return false;
        owe_size(call, op->size);
        call->align = owed_by_malloc(op->size);
        call->result = libc->malloc(op->size);
        break;
    case HG_OP_CALLOC:
        if (!libc->calloc)
            return false;
        owe_product(call, op->arg, op->size, "C18");
        call->align = owed_by_malloc(call->size);
        call->zeroed = true;
        call->result = libc->calloc(op->arg, op->size);
        break;
    case HG_OP_ALIGNED_ALLOC:
        return do_aligned_alloc(libc, op, call);
    case HG_OP_POSIX_MEMALIGN:
        return do_posix_memalign(libc, op, call);
    case HG_OP_MEMALIGN:
        return do_memalign(libc, op, call);
    case HG_OP_VALLOC:
        return do_valloc(libc->valloc, op, call);
    case HG_OP_PVALLOC:
        return do_valloc(libc->pvalloc, op, call);
    default: { /* the layout face */
        hg_layout layout = {op->size, op->arg};
        call->size = op->size;
        call->align = op->arg;
        call->sets_errno = false;
        call->zeroed = op->kind == HG_OP_ALLOC_ZEROED;
        call->may_refuse = op->arg > backend->facts.align_max;
        void *(*function)(const hg_backend *, hg_layout) =
            call->zeroed ? backend->layout.alloc_zeroed : backend->layout.alloc;
        if (!function)
            return false;
        call->result = function(backend, layout);
        break;
    }
    }
    call->error = errno;
    if (call->size == 0)
        call->may_refuse = true; /* C8: NULL or unique */
    return true;
}

/* A request that memory is there for came back empty-handed. */
static bool is_refusal(const hg_oracle *oracle, const struct call *call) {
    return !call->must_fail && !call->may_refuse && !oracle->config.may_fail &&
           !oracle->was_short && call->size > 0 && call->size <= (size_t)256 << 20 &&
           call->align <= (size_t)64 << 20;
}

static bool refused(hg_oracle *oracle, const struct call *call) {
    oracle->counts.failed_for_memory++;
    if (oracle->op.kind == HG_OP_ALIGNED_ALLOC)
        return broken(oracle, "C30", 'M',
                      "refused %zu bytes aligned to %zu, which must be supported", call->size,
                      call->align);
    return broken(oracle, "C12", 'M', "refused %zu bytes although memory is there", call->size);
}

/* NULL came back: was that owed, allowed, or a refusal? True iff the run ends. */
static bool judge_failure(hg_oracle *oracle, const struct call *call) {
    oracle->counts.checks++;
    bool refused_zero = call->size == 0 && !call->must_fail;
    if (call->clobbered_out &&
        broken(oracle, "C37", 'M', "posix_memalign failed with %d and changed *memptr",
               call->error))
        return true;
    if (oracle->op.kind == HG_OP_POSIX_MEMALIGN && call->must_fail) {
        int owed = strcmp(call->must_fail_item, "C36") == 0 ? EINVAL : ENOMEM;
        bool both = owed == EINVAL && call->size > PTRDIFF_MAX; /* two reasons: either will do */
        if (call->error != owed && !(both && call->error == ENOMEM) &&
            broken(oracle, "C36", 'M', "posix_memalign returned %d where %d is owed", call->error,
                   owed))
            return true;
    }
    if (is_refusal(oracle, call))
        return refused(oracle, call);
    bool bad_align = call->must_fail && strcmp(call->must_fail_item, "C31") == 0;
    /* POSIX says so of its own functions only. */
    bool is_posix = oracle->op.kind != HG_OP_MEMALIGN && oracle->op.kind != HG_OP_VALLOC &&
                    oracle->op.kind != HG_OP_PVALLOC;
    if (call->sets_errno && !refused_zero && !call->may_refuse && call->error != ENOMEM &&
        !(bad_align && call->error == EINVAL) && /* POSIX.1-2024 */
        broken(oracle, "C13", is_posix ? 'M' : 'Q', "NULL with errno %d where ENOMEM (%d) is owed",
               call->error == ERRNO_SENTINEL ? 0 : call->error, ENOMEM))
        return true;
    if (call->must_fail) {
        oracle->counts.failed_as_owed++;
        return false;
    }
    oracle->counts.failed_for_memory++;
    if (oracle->op.kind == HG_OP_POSIX_MEMALIGN && call->error != ENOMEM && !call->may_refuse &&
        broken(oracle, "C36", 'M', "posix_memalign returned %d for lack of memory (ENOMEM is %d)",
               call->error, ENOMEM))
        return true;
    if (call->size == 0 && oracle->op.kind == HG_OP_MALLOC &&
        oracle->backend->facts.malloc_zero == HG_ZERO_UNIQUE && !oracle->was_short &&
        broken(oracle, "C8", 'Q', "malloc(0) gave a block before, and now NULL"))
        return true;
    return false;
}

static enum block_origin origin_of(unsigned kind) {
    switch (kind) {
    case HG_OP_ALIGNED_ALLOC:
        return ORIGIN_ALIGNED_ALLOC;
    case HG_OP_MALLOC:
    case HG_OP_CALLOC:
    case HG_OP_REALLOC:
    case HG_OP_REALLOCARRAY:
        return ORIGIN_PLAIN;
    default:
        return ORIGIN_OTHER;
    }
}

static void free_by_face(const hg_backend *backend, const struct block *block) {
    if (block->face == FACE_LIBC)
        backend->libc.free(block->ptr);
    else
        backend->layout.dealloc(backend, block->ptr,
                                (hg_layout){block->size, (size_t)1 << block->align_log2});
}

static bool allocate(hg_oracle *oracle, const hg_op *op) {
    struct call call;
    rlim_t limit = starve(oracle);
    unlock(oracle);
    bool supported = do_allocate(oracle->backend, op, &call);
    lock(oracle);
    feed(oracle, limit);
    if (!supported) {
        oracle->counts.unsupported++;
        if (op->slot != HG_SLOT_NONE)
            oracle->blocks[op->slot].refused = 1;
        return false;
    }
    oracle->op = *op;
    if (!call.result) {
        if (op->slot != HG_SLOT_NONE)
            oracle->blocks[op->slot].refused = 1;
        return judge_failure(oracle, &call);
    }
    struct block block = {
        .ptr = call.result,
        .size = call.size,
        .op_index = oracle->op_index,
        .align_log2 = call.align ? log2_floor(call.align) : 0,
        .face = op->kind >= HG_OP_ALLOC ? FACE_LAYOUT : FACE_LIBC,
        .origin = (uint8_t)origin_of(op->kind),
    };
    if (call.must_fail) {
        bool ends =
            broken(oracle, call.must_fail_item, 'M',
                   "returned %p where the call must fail (size %llu, alignment or count %llu)",
                   call.result, (unsigned long long)op->size, (unsigned long long)op->arg);
        if (!ends) /* waived: hand it back, its extent is not defined */
            free_by_face(oracle->backend, &block);
        return ends;
    }
    oracle->counts.succeeded++;
    if (call.error != ERRNO_SENTINEL && call.sets_errno &&
        broken(oracle, "C9", 'Q', "a call that succeeded set errno to %d", call.error))
        return true;
    if (op->slot == HG_SLOT_NONE) {
        if (block_misaligned(oracle, &block))
            return true;
        free_by_face(oracle->backend, &block);
        return false;
    }
    block.generation = oracle->blocks[op->slot].generation;
    return admit(oracle, op->slot, &block, call.zeroed);
}

/* ---- freeing ---- */

static bool usable_changed(hg_oracle *oracle, uint32_t slot, const struct block *block) {
    (void)slot;
    const struct hg_libc_face *libc = &oracle->backend->libc;
    if (block->face != FACE_LIBC || !libc->malloc_usable_size || oracle->config.skip_usable)
        return false;
    size_t usable = libc->malloc_usable_size(block->ptr);
    oracle->counts.checks++;
    if (usable == block->usable)
        return false;
    return broken(oracle, "C42", 'M', "usable size was %zu and is now %zu", block->usable, usable);
}

static bool release(hg_oracle *oracle, const hg_op *op) {
    const hg_backend *backend = oracle->backend;
    if (op->slot == HG_SLOT_NONE || !oracle->blocks[op->slot].ptr) {
        errno = ERRNO_SENTINEL; /* C45: no operation at all */
        if (op->kind == HG_OP_FREE && backend->libc.free)
            backend->libc.free(NULL);
        else if (op->kind == HG_OP_FREE_SIZED && backend->libc.free_sized)
            backend->libc.free_sized(NULL, 1);
        else if (op->kind == HG_OP_FREE_ALIGNED_SIZED && backend->libc.free_aligned_sized)
            backend->libc.free_aligned_sized(NULL, 64, 1);
        oracle->counts.checks++;
        if (errno != ERRNO_SENTINEL)
            return broken(oracle, "C45", 'M', "%s(NULL) set errno to %d", hg_op_kind_name(op->kind),
                          errno);
        return false;
    }
    struct block block = oracle->blocks[op->slot];
    if (content_lost(oracle, op->slot, &block, block.ptr, block.usable, block.usable, "C7") ||
        usable_changed(oracle, op->slot, &block))
        return true;
    dismiss(oracle, op->slot);
    unlock(oracle);
    errno = ERRNO_SENTINEL;
    if (op->kind == HG_OP_FREE_SIZED && backend->libc.free_sized && block.origin == ORIGIN_PLAIN)
        backend->libc.free_sized(block.ptr, block.size);
    else if (op->kind == HG_OP_FREE_ALIGNED_SIZED && backend->libc.free_aligned_sized &&
             block.origin == ORIGIN_ALIGNED_ALLOC)
        backend->libc.free_aligned_sized(block.ptr, (size_t)1 << block.align_log2, block.size);
    else
        free_by_face(backend, &block);
    int error = errno;
    lock(oracle);
    oracle->op = *op;
    oracle->counts.checks++;
    if (error != ERRNO_SENTINEL && block.face == FACE_LIBC)
        return broken(oracle, "C46", 'M', "free changed errno to %d", error);
    return false;
}

/* ---- reallocating ---- */

/* Calls the reallocating function; fills `call`. False iff unsupported. */
static bool do_reallocate(const hg_backend *backend, const hg_op *op, const struct block *old,
                          struct call *call) {
    *call = (struct call){.sets_errno = true};
    errno = ERRNO_SENTINEL;
    if (op->kind == HG_OP_LAYOUT_REALLOC) {
        if (!backend->layout.realloc)
            return false;
        hg_layout layout = {old->size, (size_t)1 << old->align_log2};
        call->size = op->size;
        call->align = layout.align;
        call->sets_errno = false;
        call->result = backend->layout.realloc(backend, old->ptr, layout, op->size);
    } else if (op->kind == HG_OP_REALLOCARRAY) {
        if (!backend->libc.reallocarray)
            return false;
        owe_product(call, op->arg, op->size, "C27");
        call->result = backend->libc.reallocarray(old->ptr, op->arg, op->size);
    } else {
        if (!backend->libc.realloc)
            return false;
        owe_size(call, op->size);
        call->result = backend->libc.realloc(old->ptr, op->size);
    }
    call->error = errno;
    if (op->kind != HG_OP_LAYOUT_REALLOC)
        call->align = owed_by_malloc(call->size);
    return true;
}

/* realloc(p, 0) of a live block: NULL means freed, else a block of size 0 (C25, by profile). */
static bool after_realloc_to_zero(hg_oracle *oracle, const hg_op *op, const struct block *old,
                                  void *result) {
    dismiss(oracle, op->slot);
    enum hg_zero_policy policy = oracle->backend->facts.realloc_zero;
    oracle->counts.checks++;
    if (op->kind == HG_OP_REALLOC && !oracle->was_short &&
        ((policy == HG_ZERO_NULL && result) || (policy == HG_ZERO_UNIQUE && !result)) &&
        broken(oracle, "C25", 'M', "realloc(p, 0) returned %p, and when it was probed %s", result,
               result ? "NULL" : "a block"))
        return true;
    if (!result)
        return false;
    struct block block = *old;
    block.ptr = result;
    block.size = 0;
    block.align_log2 = 0;
    block.generation = oracle->blocks[op->slot].generation;
    if (admit(oracle, op->slot, &block, false))
        return true;
    /* Streams hold that the slot is empty after it, as glibc has it. */
    dismiss(oracle, op->slot);
    oracle->backend->libc.free(result);
    return false;
}

static bool failed_reallocation(hg_oracle *oracle, const hg_op *op, const struct block *old,
                                const struct call *call) {
    if (!old->ptr)
        return judge_failure(oracle, call);
    const char *item = call->must_fail && op->kind == HG_OP_REALLOCARRAY ? "C27" : "C23";
    if (content_lost(oracle, op->slot, old, old->ptr, old->usable, old->usable, item))
        return true;
    if (usable_changed(oracle, op->slot, old))
        return true;
    return judge_failure(oracle, call);
}

static bool reallocate(hg_oracle *oracle, const hg_op *op) {
    static const struct block nothing;
    bool unnamed = op->slot == HG_SLOT_NONE;
    struct block old = unnamed ? nothing : oracle->blocks[op->slot];
    if (old.ptr && (content_lost(oracle, op->slot, &old, old.ptr, old.usable, old.usable, "C7") ||
                    usable_changed(oracle, op->slot, &old)))
        return true;
    struct call call;
    if (old.ptr) /* while the call runs its address may be reused by another thread */
        hg_intervals_remove(oracle->intervals, op->slot);
    rlim_t limit = starve(oracle);
    unlock(oracle);
    bool supported = do_reallocate(oracle->backend, op, &old, &call);
    lock(oracle);
    feed(oracle, limit);
    oracle->op = *op;
    size_t extent = old.usable ? old.usable : 1;
    bool stays = !supported || (!call.result && !(call.size == 0 && !call.must_fail));
    if (old.ptr && (stays || call.size == 0 || call.must_fail)) {
        /* Back into the books. (A block that others took meanwhile shows when they are admitted.) */
        if (!hg_intervals_insert(oracle->intervals, (uintptr_t)old.ptr, (uintptr_t)old.ptr + extent,
                                 op->slot))
            return broken(oracle, "H1", 'M', "no memory left for the oracle's tables");
    }
    if (!unnamed && !old.ptr && (!supported || !call.result))
        oracle->blocks[op->slot].refused = 1;
    if (!supported) {
        oracle->counts.unsupported++;
        return false;
    }
    if (call.result && call.must_fail)
        return broken(oracle, call.must_fail_item, 'M',
                      "returned %p where the call must fail (size %llu, count %llu)", call.result,
                      (unsigned long long)op->size, (unsigned long long)op->arg);
    if (old.ptr && call.size == 0 && !call.must_fail)
        return after_realloc_to_zero(oracle, op, &old, call.result);
    if (!call.result) {
        call.may_refuse = call.size == 0;
        return failed_reallocation(oracle, op, &old, &call);
    }
    oracle->counts.succeeded++;
    struct block block = {
        .ptr = call.result,
        .size = call.size,
        .op_index = oracle->op_index,
        .align_log2 = log2_floor(call.align),
        .face = op->kind == HG_OP_LAYOUT_REALLOC ? FACE_LAYOUT : FACE_LIBC,
        .origin = ORIGIN_PLAIN,
        .generation = old.generation,
        .reallocated = 1,
    };
    if (unnamed) {
        free_by_face(oracle->backend, &block);
        return false;
    }
    if (!old.ptr)
        return admit(oracle, op->slot, &block, false);
    oracle->counts.live_blocks--;
    oracle->counts.live_bytes -= old.size;
    oracle->budget -= (uint32_t)old.size;
    if (oracle->config.oracle_fault == HG_ORACLE_COUNTER_WRAPS)
        oracle->budget -= UINT32_C(1) << 30; /* counted off twice, and below zero */
    if (call.result == old.ptr)
        oracle->counts.stayed++;
    else
        oracle->counts.moved++;
    old.reallocated = 1;
    size_t kept = old.size < block.size ? old.size : block.size;
    bool face_is_layout = block.face == FACE_LAYOUT;
    if (misaligned(oracle, block.ptr, (size_t)1 << block.align_log2, face_is_layout ? "C68" : "C2",
                   'M'))
        return true;
    if (content_lost(oracle, op->slot, &old, block.ptr, old.usable, kept,
                     face_is_layout ? "C68" : "C22"))
        return true;
    block.generation++;
    return admit(oracle, op->slot, &block, false);
}

/* ---- the environment ---- */

static bool verify_all(hg_oracle *oracle) {
    for (uint32_t slot = 0; slot < oracle->slot_end; slot++) {
        const struct block *block = &oracle->blocks[slot];
        if (block->ptr &&
            content_lost(oracle, slot, block, block->ptr, block->usable, block->usable, "C7"))
            return true;
    }
    return false;
}

/* In the child: inherited blocks are whole, can be freed, and new ones can be had (C54). Returns the
 * exit status: 0 well, 1 content lost. */
static int live_in_child(hg_oracle *oracle) {
    if (verify_all(oracle))
        return 1;
    for (uint32_t slot = 0; slot < oracle->slot_end; slot += 2)
        if (oracle->blocks[slot].ptr)
            free_by_face(oracle->backend, &oracle->blocks[slot]);
    for (size_t size = 1; size <= (size_t)1 << 17 && oracle->backend->libc.malloc; size *= 4) {
        unsigned char *ptr = oracle->backend->libc.malloc(size);
        if (!ptr)
            return 0;
        memset(ptr, 0x5A, size);
        oracle->backend->libc.free(ptr);
    }
    return 0;
}

static bool fork_and_wait(hg_oracle *oracle) {
    enum { WAIT_SECONDS = 5 };
    pid_t child = fork();
    if (child < 0)
        return false; /* no process to be had: nothing learnt */
    if (child == 0)
        _exit(live_in_child(oracle));
    struct timespec pause = {0, 200 * 1000};
    int status = 0;
    for (int waited_us = 0; waitpid(child, &status, WNOHANG) == 0; waited_us += 200) {
        if (waited_us > WAIT_SECONDS * 1000 * 1000) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return broken(oracle, "C54", 'M', "the child of fork hung for %d s", WAIT_SECONDS);
        }
        nanosleep(&pause, NULL);
    }
    oracle->counts.checks++;
    if (WIFSIGNALED(status))
        return broken(oracle, "C54", 'M', "the child of fork died of signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0) /* was it changed before the fork already? */
        return verify_all(oracle) ||
               broken(oracle, "C54", 'M', "the child of fork found content of a block changed");
    return false;
}

static bool do_environment(hg_oracle *oracle, const hg_op *op) {
    const hg_backend *backend = oracle->backend;
    switch (op->kind) {
    case HG_OP_PURGE:
        if (!backend->purge)
            oracle->counts.unsupported++;
        else
            backend->purge(backend);
        return false;
    case HG_OP_FORK:
        return fork_and_wait(oracle);
    case HG_OP_VERIFY:
        if (op->slot == HG_SLOT_NONE)
            return verify_all(oracle);
        return oracle->blocks[op->slot].ptr &&
               content_lost(oracle, op->slot, &oracle->blocks[op->slot],
                            oracle->blocks[op->slot].ptr, oracle->blocks[op->slot].usable,
                            oracle->blocks[op->slot].usable, "C7");
    case HG_OP_FAIL_PAGES:
        oracle->was_short = true; /* and stays so: memory may be short for a while after */
        if (backend->fail_pages)
            backend->fail_pages(backend, op->size);
        else if (!HG_SANITIZED) /* a sanitizer's own tables need address space too */
            oracle->page_credit = op->size;
        else
            oracle->counts.unsupported++;
        return false;
    default:
        return false;
    }
}

static bool do_usable_size(hg_oracle *oracle, const hg_op *op) {
    const struct hg_libc_face *libc = &oracle->backend->libc;
    if (!libc->malloc_usable_size) {
        oracle->counts.unsupported++;
        return false;
    }
    if (op->slot != HG_SLOT_NONE && oracle->blocks[op->slot].ptr)
        return usable_changed(oracle, op->slot, &oracle->blocks[op->slot]);
    oracle->counts.checks++;
    size_t usable = libc->malloc_usable_size(NULL);
    if (usable != 0)
        return broken(oracle, "C40", 'M', "usable size of NULL is %zu", usable);
    return false;
}

/* ---- one operation ---- */

static void digest(hg_oracle *oracle, const hg_op *op) {
    uint64_t words[3] = {(uint64_t)op->kind << 32 | op->slot, op->size, op->arg};
    for (int i = 0; i < 3; i++)
        oracle->digest = (oracle->digest ^ words[i]) * UINT64_C(0x100000001B3);
}

/* Is the operation one that a caller may make now? Undefined ones are never performed (level U). */
static bool stream_allows(const hg_oracle *oracle, const hg_op *op) {
    if (op->slot == HG_SLOT_NONE)
        return true;
    const struct block *block = &oracle->blocks[op->slot];
    if (hg_op_allocates(op->kind))
        return !block->ptr;
    if (!block->ptr)
        return op->kind != HG_OP_LAYOUT_REALLOC && op->kind != HG_OP_DEALLOC;
    bool wants_layout = op->kind == HG_OP_LAYOUT_REALLOC || op->kind == HG_OP_DEALLOC;
    bool wants_libc = op->kind <= HG_OP_FREE_ALIGNED_SIZED;
    return !(wants_layout && block->face != FACE_LAYOUT) &&
           !(wants_libc && block->face != FACE_LIBC);
}

static bool perform(hg_oracle *oracle, const hg_op *op) {
    if (hg_op_allocates(op->kind))
        return allocate(oracle, op);
    if (hg_op_reallocates(op->kind))
        return reallocate(oracle, op);
    if (hg_op_frees(op->kind))
        return release(oracle, op);
    if (op->kind == HG_OP_USABLE_SIZE)
        return do_usable_size(oracle, op);
    return do_environment(oracle, op);
}

enum hg_status hg_oracle_perform(hg_oracle *oracle, const hg_op *op, uint64_t op_index) {
    lock(oracle);
    if (oracle->found ||
        (oracle->config.oracle_fault == HG_ORACLE_COUNTER_WRAPS && oracle->budget > INT32_MAX)) {
        unlock(oracle);
        return HG_END;
    }
    hg_op translated = *op;
    enum hg_status status = HG_OK;
    if (op->slot != HG_SLOT_NONE && op->kind != HG_OP_WAIT && !make_slot(oracle, op->slot)) {
        unlock(oracle);
        return HG_ERR_MEMORY;
    }
    bool empty =
        op->slot == HG_SLOT_NONE || op->kind == HG_OP_WAIT || !oracle->blocks[op->slot].ptr;
    bool left_out = oracle->config.face == HG_FACE_LAYOUT && !hg_op_to_layout(&translated, empty);
    if (empty && op->slot != HG_SLOT_NONE && op->kind != HG_OP_WAIT &&
        oracle->blocks[op->slot].refused &&
        (op->kind == HG_OP_LAYOUT_REALLOC || op->kind == HG_OP_DEALLOC ||
         (op->kind == HG_OP_REALLOC && op->size == 0))) {
        left_out = true; /* its block could not be had */
        digest(oracle, op);
    }
    if (!left_out && oracle->config.face == HG_FACE_LAYOUT && empty &&
        (translated.kind == HG_OP_DEALLOC || translated.kind == HG_OP_LAYOUT_REALLOC))
        left_out = true; /* its allocation was left out */
    if (!left_out) {
        oracle->op = translated;
        oracle->op_index = op_index;
        digest(oracle, op);
        if (!stream_allows(oracle, &translated)) {
            status = HG_ERR_FORMAT;
        } else {
            oracle->counts.performed[translated.kind]++;
            if (perform(oracle, &translated))
                status = HG_END;
        }
    }
    unlock(oracle);
    return status;
}

/* ---- the end ---- */

static bool free_slot(hg_oracle *oracle, uint32_t slot) {
    if (!oracle->blocks[slot].ptr)
        return false;
    hg_op op = {.kind = oracle->blocks[slot].face == FACE_LIBC ? HG_OP_FREE : HG_OP_DEALLOC,
                .slot = slot};
    oracle->op = op;
    return release(oracle, &op);
}

static bool free_all(hg_oracle *oracle, unsigned order) {
    size_t n = oracle->slot_end;
    /* An odd stride that shares no factor with n visits every slot once, in scattered order. */
    size_t stride = order == 2 ? (n * 5 / 8) | 1 : 1;
    while (order == 2 && n % stride == 0 && stride > 1)
        stride -= 2;
    for (size_t i = 0, at = 0; i < n; i++, at = (at + stride) % n) {
        size_t slot = order == 1 ? n - 1 - i : at;
        if (free_slot(oracle, (uint32_t)slot))
            return true;
    }
    for (uint32_t slot = 0; order == 2 && slot < n; slot++) /* whatever the stride left over */
        if (free_slot(oracle, slot))
            return true;
    return false;
}

/* C16, C51: with everything freed, the largest block there was can be had again. */
static bool memory_lost(hg_oracle *oracle) {
    size_t size = oracle->size_max;
    if (size == 0 || size > (size_t)256 << 20 || oracle->config.may_fail)
        return false;
    bool was_short = oracle->was_short;
    oracle->was_short = false; /* C16: the shortage is over, and everything freed */
    hg_op op = {.kind = oracle->backend->libc.malloc && oracle->config.face != HG_FACE_LAYOUT
                            ? HG_OP_MALLOC
                            : HG_OP_ALLOC,
                .slot = 0,
                .size = size,
                .arg = 1};
    oracle->op = op;
    bool lost = allocate(oracle, &op) || free_slot(oracle, 0);
    oracle->was_short = was_short;
    return lost;
}

enum hg_status hg_oracle_finish(hg_oracle *oracle, unsigned order) {
    lock(oracle);
    oracle->op_index = UINT64_MAX;
    end_shortage(oracle);
    oracle->op = (hg_op){.kind = HG_OP_VERIFY, .slot = HG_SLOT_NONE};
    bool ends = oracle->found || verify_all(oracle) || free_all(oracle, order) ||
                (make_slot(oracle, 0) && memory_lost(oracle));
    char why[200];
    if (!ends && oracle->backend->validate &&
        !oracle->backend->validate(oracle->backend, why, sizeof why))
        ends = broken(oracle, "V", 'M', "the allocator's own validator: %s", why);
    unlock(oracle);
    return ends ? HG_END : HG_OK;
}

/* ---- reuse ---- */

/* C51: a steady loop of allocations and frees must come to rest: after some rounds it meets only pages it
 * had before. The pages are known by address, so nothing the process does beside it matters. */
/* An allocator may take its time to settle: 16 rounds without a look, 8 looked at; only if each of those
 * met new pages, 96 more, of which the last 40 count. */
enum {
    REUSE_SHORT = 24,
    REUSE_LONG = 120,
    REUSE_LOOKED_AT = 8,
    REUSE_LAST = 40,
    REUSE_BLOCKS_MAX = 3000,
    REUSE_PAGES = 1 << 18
};

static const struct {
    size_t size, count;
} reuse_phases[] = {{40, 3000}, {200, 1500}, {1000, 800}, {3000, 300}, {20000, 48}, {150000, 12}};
enum { REUSE_PHASES = sizeof reuse_phases / sizeof *reuse_phases };

struct reuse {
    const hg_backend *backend;
    uint64_t *pages; /* open addressing; 0: empty */
    size_t new_pages;
    void *blocks[REUSE_BLOCKS_MAX];
    size_t count;
};

static void meet_page(struct reuse *reuse, uint64_t page) {
    size_t at = (size_t)(page * UINT64_C(0x9E3779B97F4A7C15) >> 40) % REUSE_PAGES;
    for (size_t tries = 0; tries < REUSE_PAGES; tries++, at = (at + 1) % REUSE_PAGES) {
        if (reuse->pages[at] == page)
            return;
        if (reuse->pages[at] == 0) {
            reuse->pages[at] = page;
            reuse->new_pages++;
            return;
        }
    }
}

static void *free_blocks(void *argument) {
    struct reuse *reuse = argument;
    for (size_t parity = 0; parity < 2;
         parity++) /* every other one first: neighbours must coalesce */
        for (size_t i = parity; i < reuse->count; i += 2)
            reuse->backend->libc.free(reuse->blocks[i]);
    return NULL;
}

/* False iff an allocation failed. */
static bool reuse_round(struct reuse *reuse, bool across_threads) {
    for (size_t phase = 0; phase < REUSE_PHASES; phase++) {
        reuse->count = 0;
        while (reuse->count < reuse_phases[phase].count) {
            unsigned char *ptr = reuse->backend->libc.malloc(reuse_phases[phase].size);
            if (!ptr)
                break;
            *ptr = 1;
            meet_page(reuse, (uintptr_t)ptr / PAGE_BYTES);
            reuse->blocks[reuse->count++] = ptr;
        }
        pthread_t thread;
        if (!across_threads || pthread_create(&thread, NULL, free_blocks, reuse) != 0)
            free_blocks(reuse);
        else
            pthread_join(thread, NULL);
        if (reuse->count < reuse_phases[phase].count)
            return false;
    }
    return true;
}

enum hg_status hg_oracle_check_reuse(hg_oracle *oracle, bool across_threads) {
    const hg_backend *backend = oracle->backend;
    if (!backend->facts.frees || !backend->libc.malloc || !backend->libc.free)
        return HG_OK;
    struct reuse *reuse = map_bytes(sizeof *reuse);
    uint64_t *pages = map_bytes(REUSE_PAGES * sizeof *pages);
    if (!reuse || !pages)
        return HG_ERR_MEMORY;
    reuse->backend = backend;
    reuse->pages = pages;
    int rounds = REUSE_SHORT, looked_at = REUSE_LOOKED_AT, growing = 0;
    size_t grown = 0;
    bool served = true;
    for (int round = 0; round < rounds && served; round++) {
        reuse->new_pages = 0;
        served = reuse_round(reuse, across_threads);
        if (round < rounds - looked_at)
            continue;
        growing += reuse->new_pages > 0;
        grown += reuse->new_pages;
        if (round == REUSE_SHORT - 1 && growing == REUSE_LOOKED_AT) {
            rounds = REUSE_LONG;
            looked_at = REUSE_LAST;
            growing = 0;
            grown = 0;
        }
    }
    munmap(pages, REUSE_PAGES * sizeof *pages);
    munmap(reuse, sizeof *reuse);
    oracle->counts.checks++;
    oracle->op_index = UINT64_MAX;
    oracle->op = (hg_op){.kind = HG_OP_MALLOC, .slot = HG_SLOT_NONE};
    if (!served || rounds == REUSE_SHORT || growing < REUSE_LAST - 1)
        return HG_OK;
    return broken(
               oracle, across_threads ? "C52" : "C51", 'M',
               "a steady loop of malloc and free%s met %zu new pages in its last %d rounds, almost "
               "all of which: memory freed does not come back",
               across_threads ? " by another thread" : "", grown, (int)REUSE_LAST)
               ? HG_END
               : HG_OK;
}
