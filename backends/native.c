/* Native calls: the one table of what they are, their symbols, and how each is called. */
#include "native_call.h"

#include <string.h>

#include "heapgauge/operation.h"

#define ENTRY(symbol, field)                                                                       \
    { symbol, offsetof(struct hg_native_face, field) }

static const struct {
    const char *symbol;
    size_t offset;
} entries[] = {
    ENTRY("mallocx", mallocx),
    ENTRY("rallocx", rallocx),
    ENTRY("xallocx", xallocx),
    ENTRY("sallocx", sallocx),
    ENTRY("dallocx", dallocx),
    ENTRY("sdallocx", sdallocx),
    ENTRY("nallocx", nallocx),
    ENTRY("mi_malloc_aligned_at", mi_malloc_aligned_at),
    ENTRY("mi_zalloc_aligned_at", mi_zalloc_aligned_at),
    ENTRY("mi_zalloc", mi_zalloc),
    ENTRY("mi_realloc_aligned_at", mi_realloc_aligned_at),
    ENTRY("mi_rezalloc", mi_rezalloc),
    ENTRY("mi_rezalloc_aligned", mi_rezalloc_aligned),
    ENTRY("mi_expand", mi_expand),
    ENTRY("mi_free", mi_free),
    ENTRY("mi_free_size", mi_free_size),
    ENTRY("mi_heap_new", mi_heap_new),
    ENTRY("mi_heap_malloc_aligned", mi_heap_malloc_aligned),
    ENTRY("mi_heap_delete", mi_heap_delete),
    ENTRY("mi_good_size", mi_good_size),
    ENTRY("mi_usable_size", mi_usable_size),
    /* Itanium C++ ABI names of the replaceable allocation functions, LP64 */
    ENTRY("_ZnwmRKSt9nothrow_t", new_),
    ENTRY("_ZnamRKSt9nothrow_t", new_array),
    ENTRY("_ZnwmSt11align_val_tRKSt9nothrow_t", new_aligned),
    ENTRY("_ZdlPv", delete_),
    ENTRY("_ZdaPv", delete_array),
    ENTRY("_ZdlPvm", delete_sized),
    ENTRY("_ZdaPvm", delete_array_sized),
    ENTRY("_ZdlPvSt11align_val_t", delete_aligned),
    ENTRY("_ZdlPvmSt11align_val_t", delete_sized_aligned),
    ENTRY("mallinfo2", mallinfo2),
    ENTRY("mallinfo", mallinfo),
    ENTRY("malloc_info", malloc_info),
    ENTRY("malloc_trim", malloc_trim),
    ENTRY("mi_collect", mi_collect),
    ENTRY("MallocExtension_ReleaseFreeMemory", release_free_memory),
};
enum { ENTRY_COUNT = sizeof entries / sizeof *entries };

const char *hg_native_symbol(size_t index, size_t *offset) {
    if (index >= ENTRY_COUNT)
        return NULL;
    *offset = entries[index].offset;
    return entries[index].symbol;
}

enum { ALLOC = HG_OP_NATIVE_ALLOC, REALLOC = HG_OP_NATIVE_REALLOC, FREE = HG_OP_NATIVE_FREE };
enum { LOOK = HG_OP_NATIVE_LOOK };
enum { JE = HG_NATIVE_JEMALLOC, MI = HG_NATIVE_MIMALLOC, CXX = HG_NATIVE_CXX };
enum { STATISTICS = HG_NATIVE_STATISTICS };

/*                                       name                  kind  family  align  zero  offset zeroes */
static const struct hg_native_facts functions[HG_NATIVE_COUNT] = {
    [HG_NATIVE_MALLOCX] = {"mallocx", ALLOC, JE, true, true, false, false},
    [HG_NATIVE_RALLOCX] = {"rallocx", REALLOC, JE, true, true, false, false},
    [HG_NATIVE_XALLOCX] = {"xallocx", REALLOC, JE, false, true, false, false},
    [HG_NATIVE_DALLOCX] = {"dallocx", FREE, JE, false, false, false, false},
    [HG_NATIVE_SDALLOCX] = {"sdallocx", FREE, JE, false, false, false, false},
    [HG_NATIVE_NALLOCX] = {"nallocx", LOOK, STATISTICS, false, false, false, false},
    [HG_NATIVE_MI_MALLOC_ALIGNED_AT] = {"mi_malloc_aligned_at", ALLOC, MI, true, false, true,
                                        false},
    [HG_NATIVE_MI_ZALLOC_ALIGNED_AT] = {"mi_zalloc_aligned_at", ALLOC, MI, true, false, true, true},
    [HG_NATIVE_MI_ZALLOC] = {"mi_zalloc", ALLOC, MI, false, false, false, true},
    [HG_NATIVE_MI_REALLOC_ALIGNED_AT] = {"mi_realloc_aligned_at", REALLOC, MI, true, false, true,
                                         false},
    [HG_NATIVE_MI_REZALLOC] = {"mi_rezalloc", REALLOC, MI, false, false, false, true},
    [HG_NATIVE_MI_REZALLOC_ALIGNED] = {"mi_rezalloc_aligned", REALLOC, MI, true, false, false,
                                       true},
    [HG_NATIVE_MI_EXPAND] = {"mi_expand", REALLOC, MI, false, false, false, false},
    [HG_NATIVE_MI_FREE] = {"mi_free", FREE, MI, false, false, false, false},
    [HG_NATIVE_MI_FREE_SIZE] = {"mi_free_size", FREE, MI, false, false, false, false},
    [HG_NATIVE_MI_HEAP_MALLOC] = {"mi_heap_malloc", ALLOC, MI, true, false, false, false},
    [HG_NATIVE_MI_GOOD_SIZE] = {"mi_good_size", LOOK, STATISTICS, false, false, false, false},
    [HG_NATIVE_NEW] = {"operator_new", ALLOC, CXX, false, false, false, false},
    [HG_NATIVE_NEW_ARRAY] = {"operator_new_array", ALLOC, CXX, false, false, false, false},
    [HG_NATIVE_NEW_ALIGNED] = {"operator_new_aligned", ALLOC, CXX, true, false, false, false},
    [HG_NATIVE_DELETE] = {"operator_delete", FREE, CXX, false, false, false, false},
    [HG_NATIVE_DELETE_SIZED] = {"operator_delete_sized", FREE, CXX, false, false, false, false},
    [HG_NATIVE_MALLINFO] = {"mallinfo", LOOK, STATISTICS, false, false, false, false},
    [HG_NATIVE_MALLOC_INFO] = {"malloc_info", LOOK, STATISTICS, false, false, false, false},
};

const struct hg_native_facts *hg_native_facts(unsigned function) {
    return function < HG_NATIVE_COUNT ? &functions[function] : NULL;
}

bool hg_native_arg_is_sound(unsigned kind, uint64_t arg) {
    const struct hg_native_facts *facts = hg_native_facts(hg_native_function(arg));
    return facts && facts->kind == kind && hg_native_align_log2(arg) < 64 &&
           !(arg >> 17 & 0x7FFF) && (facts->takes_align || hg_native_align_log2(arg) == 0) &&
           (facts->takes_zero || !hg_native_zero(arg)) &&
           (facts->takes_offset || hg_native_offset(arg) == 0);
}

static bool family_frees(const struct hg_native_face *face, unsigned family) {
    switch (family) {
    case HG_NATIVE_JEMALLOC:
        return face->dallocx && face->sallocx;
    case HG_NATIVE_MIMALLOC:
        return face->mi_free != NULL;
    case HG_NATIVE_CXX:
        return face->delete_ && face->delete_array;
    default:
        return true;
    }
}

bool hg_native_is_there(const struct hg_native_face *face, unsigned function) {
    const struct hg_native_facts *facts = hg_native_facts(function);
    if (!facts || !family_frees(face, facts->family))
        return false;
    switch ((enum hg_native)function) {
    case HG_NATIVE_MALLOCX:
        return face->mallocx;
    case HG_NATIVE_RALLOCX:
        return face->rallocx;
    case HG_NATIVE_XALLOCX:
        return face->xallocx;
    case HG_NATIVE_DALLOCX:
        return face->dallocx;
    case HG_NATIVE_SDALLOCX:
        return face->sdallocx;
    case HG_NATIVE_NALLOCX:
        return face->nallocx;
    case HG_NATIVE_MI_MALLOC_ALIGNED_AT:
        return face->mi_malloc_aligned_at;
    case HG_NATIVE_MI_ZALLOC_ALIGNED_AT:
        return face->mi_zalloc_aligned_at;
    case HG_NATIVE_MI_ZALLOC:
        return face->mi_zalloc;
    case HG_NATIVE_MI_REALLOC_ALIGNED_AT:
        return face->mi_realloc_aligned_at;
    case HG_NATIVE_MI_REZALLOC:
        return face->mi_rezalloc;
    case HG_NATIVE_MI_REZALLOC_ALIGNED:
        return face->mi_rezalloc_aligned;
    case HG_NATIVE_MI_EXPAND:
        return face->mi_expand;
    case HG_NATIVE_MI_FREE:
        return face->mi_free;
    case HG_NATIVE_MI_FREE_SIZE:
        return face->mi_free_size;
    case HG_NATIVE_MI_HEAP_MALLOC:
        return face->mi_heap_new && face->mi_heap_malloc_aligned && face->mi_heap_delete;
    case HG_NATIVE_MI_GOOD_SIZE:
        return face->mi_good_size;
    case HG_NATIVE_NEW:
        return face->new_;
    case HG_NATIVE_NEW_ARRAY:
        return face->new_array;
    case HG_NATIVE_NEW_ALIGNED:
        return face->new_aligned && face->delete_aligned;
    case HG_NATIVE_DELETE:
        return face->delete_;
    case HG_NATIVE_DELETE_SIZED:
        return face->delete_sized && face->delete_array_sized;
    case HG_NATIVE_MALLINFO:
        return face->mallinfo2 != NULL || face->mallinfo != NULL;
    case HG_NATIVE_MALLOC_INFO:
        return face->malloc_info;
    case HG_NATIVE_COUNT:
        break;
    }
    return false;
}

/* ---- calls ---- */

enum { MALLOCX_ZERO = 0x40 }; /* jemalloc.h; the alignment's logarithm is the low six bits */

static int flags_of(uint64_t arg) {
    return (int)hg_native_align_log2(arg) | (hg_native_zero(arg) ? MALLOCX_ZERO : 0);
}

static void *in_a_heap_of_its_own(const struct hg_native_face *face, size_t size, size_t align) {
    void *heap = face->mi_heap_new();
    if (!heap)
        return NULL;
    void *ptr = face->mi_heap_malloc_aligned(heap, size, align);
    face->mi_heap_delete(heap);
    return ptr;
}

void *hg__native_allocate(const struct hg_native_face *face, const hg_op *op) {
    static const char nothrow;
    size_t align = (size_t)1 << hg_native_align_log2(op->arg), offset = hg_native_offset(op->arg);
    switch (hg_native_function(op->arg)) {
    case HG_NATIVE_MALLOCX:
        return face->mallocx(op->size, flags_of(op->arg));
    case HG_NATIVE_MI_MALLOC_ALIGNED_AT:
        return face->mi_malloc_aligned_at(op->size, align, offset);
    case HG_NATIVE_MI_ZALLOC_ALIGNED_AT:
        return face->mi_zalloc_aligned_at(op->size, align, offset);
    case HG_NATIVE_MI_ZALLOC:
        return face->mi_zalloc(op->size);
    case HG_NATIVE_MI_HEAP_MALLOC:
        return in_a_heap_of_its_own(face, op->size, align);
    case HG_NATIVE_NEW:
        return face->new_(op->size, &nothrow);
    case HG_NATIVE_NEW_ARRAY:
        return face->new_array(op->size, &nothrow);
    case HG_NATIVE_NEW_ALIGNED:
        return face->new_aligned(op->size, align, &nothrow);
    default:
        return NULL;
    }
}

void *hg__native_reallocate(const struct hg_native_face *face, const hg_op *op, void *old,
                            size_t *real_size) {
    size_t align = (size_t)1 << hg_native_align_log2(op->arg), offset = hg_native_offset(op->arg);
    switch (hg_native_function(op->arg)) {
    case HG_NATIVE_RALLOCX:
        return face->rallocx(old, op->size, flags_of(op->arg));
    case HG_NATIVE_XALLOCX:
        *real_size = face->xallocx(old, op->size, 0, flags_of(op->arg));
        return old;
    case HG_NATIVE_MI_REALLOC_ALIGNED_AT:
        return face->mi_realloc_aligned_at(old, op->size, align, offset);
    case HG_NATIVE_MI_REZALLOC:
        return face->mi_rezalloc(old, op->size);
    case HG_NATIVE_MI_REZALLOC_ALIGNED:
        return face->mi_rezalloc_aligned(old, op->size, align);
    case HG_NATIVE_MI_EXPAND:
        return face->mi_expand(old, op->size);
    default:
        return NULL;
    }
}

/* operator delete as the block's operator new wants it. */
static void delete_block(const struct hg_native_face *face, unsigned origin, void *ptr, size_t size,
                         size_t align, bool sized) {
    if (origin == HG_NATIVE_NEW_ALIGNED) {
        if (sized && face->delete_sized_aligned)
            face->delete_sized_aligned(ptr, size, align);
        else
            face->delete_aligned(ptr, align);
    } else if (origin == HG_NATIVE_NEW_ARRAY) {
        if (sized)
            face->delete_array_sized(ptr, size);
        else
            face->delete_array(ptr);
    } else if (sized) {
        face->delete_sized(ptr, size);
    } else {
        face->delete_(ptr);
    }
}

void hg__native_free(const struct hg_native_face *face, unsigned function, unsigned origin,
                     void *ptr, size_t size, unsigned align_log2) {
    switch (function) {
    case HG_NATIVE_DALLOCX:
        face->dallocx(ptr, (int)align_log2);
        break;
    case HG_NATIVE_SDALLOCX:
        face->sdallocx(ptr, size, (int)align_log2);
        break;
    case HG_NATIVE_MI_FREE:
        face->mi_free(ptr);
        break;
    case HG_NATIVE_MI_FREE_SIZE:
        face->mi_free_size(ptr, size);
        break;
    case HG_NATIVE_DELETE:
    case HG_NATIVE_DELETE_SIZED:
        delete_block(face, origin, ptr, size, (size_t)1 << align_log2,
                     function == HG_NATIVE_DELETE_SIZED);
        break;
    default:
        break;
    }
}

unsigned hg__native_plain_free(unsigned origin) {
    const struct hg_native_facts *facts = hg_native_facts(origin);
    return facts->family == HG_NATIVE_JEMALLOC   ? HG_NATIVE_DALLOCX
           : facts->family == HG_NATIVE_MIMALLOC ? HG_NATIVE_MI_FREE
                                                 : HG_NATIVE_DELETE;
}

size_t hg__native_good_size(const struct hg_native_face *face, const hg_op *op) {
    return hg_native_function(op->arg) == HG_NATIVE_NALLOCX ? face->nallocx(op->size, 0)
                                                            : face->mi_good_size(op->size);
}
