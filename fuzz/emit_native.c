#include "emit_native.h"

#include <inttypes.h>

#include "heapgauge/native.h"

static const char runtime[] =
    "/* A function of the library by its symbol. */\n"
    "static void *n(const char *symbol) {\n"
    "    void *function = dlsym(loaded, symbol);\n"
    "    if (!function) { fprintf(stderr, \"the library has no %s\\n\", symbol); exit(2); }\n"
    "    return function;\n"
    "}\n"
    "typedef void *(*a1)(size_t); typedef void *(*a2)(size_t, size_t);\n"
    "typedef void *(*a3)(size_t, size_t, size_t); typedef void *(*ai)(size_t, int);\n"
    "typedef void *(*ap)(size_t, const void *); typedef void *(*aap)(size_t, size_t, const void *);\n"
    "typedef void *(*r1)(void *, size_t); typedef void *(*r2)(void *, size_t, size_t);\n"
    "typedef void *(*r3)(void *, size_t, size_t, size_t); typedef void *(*ri)(void *, size_t, int);\n"
    "typedef size_t (*xi)(void *, size_t, size_t, int); typedef size_t (*si)(size_t, int);\n"
    "typedef size_t (*s1)(size_t);\n"
    "typedef void (*f1)(void *); typedef void (*fi)(void *, int); typedef void (*f2)(void *, size_t);\n"
    "typedef void (*f3)(void *, size_t, size_t); typedef void (*f2i)(void *, size_t, int);\n"
    "static const char nothrow;\n"
    "\n"
    "/* A block of a native call: p + offset is aligned; [from, to) is zero; filled up to usable. */\n"
    "static void take_native(int i, void *result, size_t size, size_t align, size_t offset, size_t from,\n"
    "                        size_t to, int exact) {\n"
    "    unsigned char *p = result;\n"
    "    if (p && ((uintptr_t)p + offset) % align)\n"
    "        fail(\"alignment\", align, ((uintptr_t)p + offset) & -((uintptr_t)p + offset));\n"
    "    for (size_t at = from; p && at < to; at++)\n"
    "        if (p[at]) fail(\"zeroed memory: byte\", 0, p[at]);\n"
    "    size_t (*usable)(void *) = f_usable;\n"
    "    if (exact) f_usable = NULL;\n"
    "    take(i, p, size, 1, 0);\n"
    "    f_usable = usable;\n"
    "}\n"
    "\n";

void hg_emit_native_runtime(FILE *out) {
    fputs(runtime, out);
}

/* A number as a C constant. */
#define N "UINT64_C(%" PRIu64 ")"

static int flags_of(const hg_op *op, unsigned asked_log2) {
    return (int)asked_log2 | (hg_native_zero(op->arg) ? 0x40 : 0);
}

static void emit_allocation(FILE *out, const hg_op *op) {
    uint64_t align = UINT64_C(1) << hg_native_align_log2(op->arg);
    uint64_t offset = hg_native_offset(op->arg);
    const char *name = hg_op_name(op);
    switch (hg_native_function(op->arg)) {
    case HG_NATIVE_MALLOCX:
        fprintf(out, "((ai)n(\"mallocx\"))(" N ", %d)", op->size,
                flags_of(op, hg_native_align_log2(op->arg)));
        break;
    case HG_NATIVE_MI_MALLOC_ALIGNED_AT:
    case HG_NATIVE_MI_ZALLOC_ALIGNED_AT:
        fprintf(out, "((a3)n(\"%s\"))(" N ", " N ", " N ")", name, op->size, align, offset);
        break;
    case HG_NATIVE_MI_ZALLOC:
        fprintf(out, "((a1)n(\"mi_zalloc\"))(" N ")", op->size);
        break;
    case HG_NATIVE_MI_HEAP_MALLOC: /* its heap is left undeleted here */
        fprintf(out,
                "((r2)n(\"mi_heap_malloc_aligned\"))(((void *(*)(void))n(\"mi_heap_new\"))(), " N
                ", " N ")",
                op->size, align);
        break;
    case HG_NATIVE_NEW:
    case HG_NATIVE_NEW_ARRAY:
        fprintf(out, "((ap)n(\"%s\"))(" N ", &nothrow)",
                hg_native_function(op->arg) == HG_NATIVE_NEW ? "_ZnwmRKSt9nothrow_t"
                                                             : "_ZnamRKSt9nothrow_t",
                op->size);
        break;
    default:
        fprintf(out, "((aap)n(\"_ZnwmSt11align_val_tRKSt9nothrow_t\"))(" N ", " N ", &nothrow)",
                op->size, align);
    }
}

static void emit_reallocation(FILE *out, const hg_op *op, const struct hg_emit_block *block) {
    uint64_t align = UINT64_C(1) << hg_native_align_log2(op->arg);
    const char *name = hg_op_name(op);
    char p[32];
    snprintf(p, sizeof p, "s[%u].p", op->slot);
    switch (hg_native_function(op->arg)) {
    case HG_NATIVE_RALLOCX:
        fprintf(out, "((ri)n(\"rallocx\"))(%s, " N ", %d)", p, op->size,
                flags_of(op, hg_native_align_log2(op->arg)));
        break;
    case HG_NATIVE_XALLOCX:
        fprintf(out, "(((xi)n(\"xallocx\"))(%s, " N ", 0, %d) >= " N " ? %s : NULL)", p, op->size,
                flags_of(op, block->asked_log2), op->size, p);
        break;
    case HG_NATIVE_MI_REALLOC_ALIGNED_AT:
        fprintf(out, "((r3)n(\"%s\"))(%s, " N ", " N ", " N ")", name, p, op->size, align,
                (uint64_t)hg_native_offset(op->arg));
        break;
    case HG_NATIVE_MI_REZALLOC_ALIGNED:
        fprintf(out, "((r2)n(\"%s\"))(%s, " N ", " N ")", name, p, op->size, align);
        break;
    default:
        fprintf(out, "((r1)n(\"%s\"))(%s, " N ")", name, p, op->size);
    }
}

static void emit_free(FILE *out, const hg_op *op, const struct hg_emit_block *block) {
    uint64_t align = UINT64_C(1) << block->asked_log2;
    bool sized = hg_native_function(op->arg) == HG_NATIVE_DELETE_SIZED;
    switch (hg_native_function(op->arg)) {
    case HG_NATIVE_DALLOCX:
        fprintf(out, "((fi)n(\"dallocx\"))(p, %d);", (int)block->asked_log2);
        break;
    case HG_NATIVE_SDALLOCX:
        fprintf(out, "((f2i)n(\"sdallocx\"))(p, " N ", %d);", block->size, (int)block->asked_log2);
        break;
    case HG_NATIVE_MI_FREE_SIZE:
        if (!block->asked_log2) {
            fprintf(out, "((f2)n(\"mi_free_size\"))(p, " N ");", block->size);
            break;
        }
        /* fallthrough */
    case HG_NATIVE_MI_FREE:
        fprintf(out, "((f1)n(\"mi_free\"))(p);");
        break;
    default:
        if (block->function == HG_NATIVE_NEW_ALIGNED && sized)
            fprintf(out, "((f3)n(\"_ZdlPvmSt11align_val_t\"))(p, " N ", " N ");", block->size,
                    align);
        else if (block->function == HG_NATIVE_NEW_ALIGNED)
            fprintf(out, "((f2)n(\"_ZdlPvSt11align_val_t\"))(p, " N ");", align);
        else if (sized)
            fprintf(out, "((f2)n(\"%s\"))(p, " N ");",
                    block->function == HG_NATIVE_NEW ? "_ZdlPvm" : "_ZdaPvm", block->size);
        else
            fprintf(out, "((f1)n(\"%s\"))(p);",
                    block->function == HG_NATIVE_NEW ? "_ZdlPv" : "_ZdaPv");
    }
}

static void emit_look(FILE *out, const hg_op *op) {
    unsigned function = hg_native_function(op->arg);
    if (function == HG_NATIVE_NALLOCX || function == HG_NATIVE_MI_GOOD_SIZE)
        fprintf(out,
                "{ void *p = f_malloc(" N "); size_t good = ((%s)n(\"%s\"))(" N "%s); if (good != "
                "f_usable(p)) fail(\"the size foretold\", f_usable(p), good); f_free(p); }",
                op->size, function == HG_NATIVE_NALLOCX ? "si" : "s1", hg_op_name(op), op->size,
                function == HG_NATIVE_NALLOCX ? ", 0" : "");
    else
        fprintf(out, "/* not in C: %s */", hg_op_name(op));
}

void hg_emit_native_op(FILE *out, const hg_op *op, struct hg_emit_block *block) {
    const struct hg_native_facts *facts = hg_native_facts(hg_native_function(op->arg));
    uint64_t align = UINT64_C(1) << hg_native_align_log2(op->arg);
    if (op->kind == HG_OP_NATIVE_LOOK) {
        emit_look(out, op);
        return;
    }
    if (!block) { /* to be refused, or given back */
        fprintf(out, "{ void *p = ");
        if (op->kind == HG_OP_NATIVE_ALLOC)
            emit_allocation(out, op);
        else
            fprintf(out, "NULL");
        fprintf(out, "; if (p && " N " > PTRDIFF_MAX) must_fail(p, 0); }", op->size);
        return;
    }
    if (op->kind == HG_OP_NATIVE_FREE) {
        fprintf(out, "{ void *p = s[%u].p; verify(%u, s[%u].usable); s[%u].p = NULL; if (p) ",
                op->slot, op->slot, op->slot, op->slot);
        emit_free(out, op, block);
        fprintf(out, " }");
        return;
    }
    bool zero = facts->zeroes || hg_native_zero(op->arg);
    if (op->kind == HG_OP_NATIVE_ALLOC) {
        fprintf(out, "take_native(%u, ", op->slot);
        emit_allocation(out, op);
        fprintf(out, ", " N ", " N ", %u, 0, " N ", %d);", op->size, align,
                hg_native_offset(op->arg), zero ? op->size : 0, facts->zeroes);
        *block = (struct hg_emit_block){(uint8_t)hg_native_function(op->arg),
                                        (uint8_t)hg_native_align_log2(op->arg), op->size};
        return;
    }
    bool in_place = hg_native_function(op->arg) == HG_NATIVE_XALLOCX ||
                    hg_native_function(op->arg) == HG_NATIVE_MI_EXPAND;
    fprintf(out, "{ size_t from = s[%u].%s; verify(%u, s[%u].usable); void *p = ", op->slot,
            facts->zeroes ? "size" : "usable", op->slot, op->slot);
    emit_reallocation(out, op, block);
    fprintf(out,
            "; if (p) { s[%u].p = p; verify(%u, s[%u].size < " N " ? s[%u].size : " N
            "); take_native(%u, p, " N ", " N ", %u, from, " N ", %d); } }",
            op->slot, op->slot, op->slot, op->size, op->slot, op->size, op->slot, op->size, align,
            hg_native_offset(op->arg), zero ? op->size : 0, facts->zeroes);
    block->size = op->size;
    if (!in_place)
        block->asked_log2 = (uint8_t)hg_native_align_log2(op->arg);
}
