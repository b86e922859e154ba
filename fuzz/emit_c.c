/* A stream as a C program. What it checks is what the oracle checked, written anew for a reader who has
 * no Heapgauge: each operation one line, each promise a line that says what was owed. */
#define _GNU_SOURCE
#include "artifact.h"
#include "emit_native.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char runtime[] =
    "#pragma GCC diagnostic ignored \"-Wunused-function\" /* one set of helpers for all */\n"
    "#define _GNU_SOURCE\n"
    "#include <dlfcn.h>\n"
    "#include <errno.h>\n"
    "#include <pthread.h>\n"
    "#include <stdint.h>\n"
    "#include <stdio.h>\n"
    "#include <stdlib.h>\n"
    "#include <string.h>\n"
    "#include <sys/wait.h>\n"
    "#include <unistd.h>\n"
    "\n"
    "/* Called through volatile pointers, so that no compiler removes or folds a call. */\n"
    "static void *(*volatile f_malloc)(size_t), *(*volatile f_calloc)(size_t, size_t),\n"
    "    *(*volatile f_realloc)(void *, size_t), *(*volatile f_reallocarray)(void *, size_t, size_t),\n"
    "    *(*volatile f_aligned_alloc)(size_t, size_t), *(*volatile f_memalign)(size_t, size_t),\n"
    "    *(*volatile f_valloc)(size_t), *(*volatile f_pvalloc)(size_t);\n"
    "static int (*volatile f_posix_memalign)(void **, size_t, size_t);\n"
    "static void (*volatile f_free)(void *);\n"
    "static size_t (*volatile f_usable)(void *);\n"
    "static void *loaded;\n"
    "\n"
    "static struct { unsigned char *volatile p; size_t size, usable, align; unsigned filled; } s[SLOTS];\n"
    "static int line;\n"
    "\n"
    "static void fail(const char *what, size_t owed, size_t seen) {\n"
    "    printf(\"BROKEN at operation %d: %s: owed %zu, seen %zu\\n\", line, what, owed, seen);\n"
    "    fflush(stdout);\n"
    "    _exit(1);\n"
    "}\n"
    "\n"
    "static unsigned char byte(int i, size_t at) {\n"
    "    return (unsigned char)((unsigned)i * 37 + s[i].filled * 101 + at * 13 + (at >> 8) + 1);\n"
    "}\n"
    "\n"
    "static void verify(int i, size_t size) {\n"
    "    for (size_t at = 0; s[i].p && at < size; at++)\n"
    "        if (s[i].p[at] != byte(i, at))\n"
    "            fail(\"content of a block changed: byte\", byte(i, at), s[i].p[at]);\n"
    "}\n"
    "\n"
    "/* A new block in slot i: aligned, apart from every other, as large as asked for. Then it is filled. */\n"
    "static void take(int i, void *result, size_t size, size_t align, int zeroed) {\n"
    "    uintptr_t p = (uintptr_t)result;\n"
    "    s[i].p = result;\n"
    "    if (!result) {\n"
    "        if (size > 0 && SHORT == 0) fail(\"refused although memory is there\", 1, 0);\n"
    "        return;\n"
    "    }\n"
    "    s[i].size = s[i].usable = size;\n"
    "    s[i].align = align;\n"
    "    s[i].filled++;\n"
    "    if (size > 0 && p % align) fail(\"alignment\", align, p & -p);\n"
    "    if (f_usable) s[i].usable = f_usable(result);\n"
    "    if (s[i].usable < size) fail(\"usable size\", size, s[i].usable);\n"
    "    for (int j = 0; j < SLOTS; j++)\n"
    "        if (j != i && s[j].p && p < (uintptr_t)s[j].p + (s[j].usable ? s[j].usable : 1) &&\n"
    "            (uintptr_t)s[j].p < p + (s[i].usable ? s[i].usable : 1))\n"
    "            fail(\"two live blocks overlap: distance\", s[i].usable, p - (uintptr_t)s[j].p);\n"
    "    for (size_t at = 0; zeroed && at < size; at++)\n"
    "        if (s[i].p[at]) fail(\"zeroed memory: byte\", 0, s[i].p[at]);\n"
    "    for (size_t at = 0; at < s[i].usable; at++) s[i].p[at] = byte(i, at);\n"
    "}\n"
    "\n"
    "static void give(int i) {\n"
    "    verify(i, s[i].usable);\n"
    "    void *p = s[i].p;\n"
    "    if (p && f_usable && f_usable(p) != s[i].usable)\n"
    "        fail(\"usable size of a live block\", s[i].usable, f_usable(p));\n"
    "    s[i].p = NULL;\n"
    "    errno = 4095;\n"
    "    f_free(p);\n"
    "    if (errno != 4095) fail(\"errno after free\", 4095, (size_t)errno);\n"
    "}\n"
    "\n"
    "/* A block after realloc: what was kept, then as a new one. */\n"
    "static void move(int i, void *result, size_t size, size_t align) {\n"
    "    size_t old = s[i].size;\n"
    "    unsigned char *before = s[i].p;\n"
    "    if (!result && size > 0) { verify(i, s[i].usable); return; }\n"
    "    s[i].p = result;\n"
    "    if (before && result) verify(i, old < size ? old : size);\n"
    "    if (result && size == 0) { s[i].p = NULL; f_free(result); return; }\n"
    "    take(i, result, size, align, 0);\n"
    "}\n"
    "\n"
    "/* A call that must fail. */\n"
    "static void must_fail(void *result, int owed_errno) {\n"
    "    if (result) fail(\"a call that must fail returned a block\", 0, (size_t)(uintptr_t)result);\n"
    "    if (owed_errno && errno != owed_errno) fail(\"errno\", (size_t)owed_errno, (size_t)errno);\n"
    "}\n"
    "\n"
    "/* A call that may fail for lack of memory, but must then say so; what it grants goes back. */\n"
    "static void *may_fail(void *result) {\n"
    "    if (!result && errno != ENOMEM) fail(\"errno\", ENOMEM, (size_t)errno);\n"
    "    f_free(result);\n"
    "    return result;\n"
    "}\n"
    "\n"
    "static void *posix(size_t align, size_t size, int owed) {\n"
    "    static char marker;\n"
    "    void *out = &marker;\n"
    "    int error = f_posix_memalign(&out, align, size);\n"
    "    if (owed && error != owed) fail(\"posix_memalign's result\", (size_t)owed, (size_t)error);\n"
    "    if (error && out != &marker) fail(\"*memptr after a failure\", (size_t)(uintptr_t)&marker, (size_t)(uintptr_t)out);\n"
    "    return error ? NULL : out;\n"
    "}\n"
    "\n"
    "static size_t owed(size_t size) { /* by malloc: the largest power of two in size, at most 16 */\n"
    "    size_t align = 1;\n"
    "    while (align < 16 && align * 2 <= size) align *= 2;\n"
    "    return align;\n"
    "}\n"
    "\n"
    "static void fork_child(void) {\n"
    "    pid_t child = fork();\n"
    "    if (child == 0) {\n"
    "        alarm(5);\n"
    "        for (int i = 0; i < SLOTS; i += 2) if (s[i].p) give(i);\n"
    "        for (size_t size = 1; size <= 1 << 17; size *= 4) f_free(f_malloc(size));\n"
    "        _exit(0);\n"
    "    }\n"
    "    int status = 0;\n"
    "    if (child > 0 && waitpid(child, &status, 0) == child && status != 0)\n"
    "        fail(\"status of the child of fork\", 0, (size_t)status);\n"
    "}\n"
    "\n";

static const char loading[] =
    "/* A function if the library that has malloc defines it itself: another's would mix two heaps. */\n"
    "static void *own(void *library, const char *name) {\n"
    "    Dl_info all, one;\n"
    "    void *function = dlsym(library, name);\n"
    "    return function && dladdr(dlsym(library, \"malloc\"), &all) && dladdr(function, &one) &&\n"
    "           all.dli_fbase == one.dli_fbase ? function : NULL;\n"
    "}\n"
    "\n"
    "/* The library to call: the first argument, or what serves the program's own malloc (LD_PRELOAD). */\n"
    "static void load(const char *file) {\n"
    "    void *library = file ? dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND) : RTLD_DEFAULT;\n"
    "    if (file && !library) { fprintf(stderr, \"%s\\n\", dlerror()); exit(2); }\n"
    "    loaded = library;\n"
    "    *(void **)&f_malloc = own(library, \"malloc\");\n"
    "    *(void **)&f_calloc = own(library, \"calloc\");\n"
    "    *(void **)&f_realloc = own(library, \"realloc\");\n"
    "    *(void **)&f_reallocarray = own(library, \"reallocarray\");\n"
    "    *(void **)&f_aligned_alloc = own(library, \"aligned_alloc\");\n"
    "    *(void **)&f_memalign = own(library, \"memalign\");\n"
    "    *(void **)&f_valloc = own(library, \"valloc\");\n"
    "    *(void **)&f_pvalloc = own(library, \"pvalloc\");\n"
    "    *(void **)&f_posix_memalign = own(library, \"posix_memalign\");\n"
    "    *(void **)&f_free = own(library, \"free\");\n"
    "    *(void **)&f_usable = own(library, \"malloc_usable_size\");\n"
    "    /* The heap as Heapgauge had it, which asks for these two answers when it opens a library. */\n"
    "    f_free(f_malloc(0));\n"
    "    f_free(f_realloc(f_malloc(16), 0));\n"
    "}\n"
    "\n";

struct emitter {
    FILE *out;
    struct hg_emit_block *blocks; /* by slot */
};

static bool is_power_of_two(uint64_t value) {
    return value && !(value & (value - 1));
}

/* "UINT64_C(n)" for what does not fit an int. */
static const char *number(uint64_t value, char text[40]) {
    if (value > INT32_MAX)
        snprintf(text, 40, "UINT64_C(%" PRIu64 ")", value);
    else
        snprintf(text, 40, "%" PRIu64, value);
    return text;
}

/* The call as a C expression. */
static void emit_call(FILE *out, const hg_op *op, const char *block) {
    char size[40], arg[40];
    number(op->size, size);
    number(op->arg, arg);
    switch (op->kind) {
    case HG_OP_MALLOC:
        fprintf(out, "f_malloc(%s)", size);
        break;
    case HG_OP_CALLOC:
        fprintf(out, "f_calloc(%s, %s)", arg, size);
        break;
    case HG_OP_REALLOC:
        fprintf(out, "f_realloc(%s, %s)", block, size);
        break;
    case HG_OP_REALLOCARRAY:
        fprintf(out, "f_reallocarray(%s, %s, %s)", block, arg, size);
        break;
    case HG_OP_ALIGNED_ALLOC:
        fprintf(out, "f_aligned_alloc(%s, %s)", arg, size);
        break;
    case HG_OP_POSIX_MEMALIGN:
        fprintf(out, "posix(%s, %s, 0)", arg, size);
        break;
    case HG_OP_MEMALIGN:
        fprintf(out, "f_memalign(%s, %s)", arg, size);
        break;
    case HG_OP_VALLOC:
        fprintf(out, "f_valloc(%s)", size);
        break;
    case HG_OP_PVALLOC:
        fprintf(out, "f_pvalloc(%s)", size);
        break;
    case HG_OP_ALLOC: /* as Rust's System: malloc where its guarantee suffices */
        fprintf(out,
                op->arg <= 16 && op->arg <= op->size ? "f_malloc(%s)"
                                                     : "posix(%s < 8 ? 8 : %s, %s, 0)",
                op->arg <= 16 && op->arg <= op->size ? size : arg, arg, size);
        break;
    case HG_OP_ALLOC_ZEROED:
        if (op->arg <= 16 && op->arg <= op->size)
            fprintf(out, "f_calloc(1, %s)", size);
        else
            fprintf(out, "memset(posix(%s < 8 ? 8 : %s, %s, 0), 0, %s)", arg, arg, size, size);
        break;
    }
}

/* What is owed if the call succeeds, as a C expression. */
static void align_owed(const hg_op *op, char text[64]) {
    char arg[40];
    switch (op->kind) {
    case HG_OP_ALIGNED_ALLOC:
    case HG_OP_POSIX_MEMALIGN:
    case HG_OP_MEMALIGN:
    case HG_OP_ALLOC:
    case HG_OP_ALLOC_ZEROED:
        snprintf(text, 64, "%s", number(op->arg, arg));
        break;
    case HG_OP_VALLOC:
    case HG_OP_PVALLOC:
        snprintf(text, 64, "4096");
        break;
    default:
        snprintf(text, 64, "owed(%s)", number(hg_op_bytes(op), arg));
    }
}

/* A call that names no block: refused as owed, or given back at once. */
static void emit_unnamed(FILE *out, const hg_op *op) {
    if (op->kind == HG_OP_FREE || op->kind == HG_OP_FREE_SIZED ||
        op->kind == HG_OP_FREE_ALIGNED_SIZED) {
        fprintf(
            out,
            "errno = 4095; f_free(NULL); if (errno != 4095) fail(\"errno after free(NULL)\", 4095, (size_t)errno);");
        return;
    }
    if (op->kind == HG_OP_USABLE_SIZE) {
        fprintf(
            out,
            "if (f_usable && f_usable(NULL)) fail(\"usable size of NULL\", 0, f_usable(NULL));");
        return;
    }
    bool bad_align = (op->kind == HG_OP_ALIGNED_ALLOC && !is_power_of_two(op->arg)) ||
                     (op->kind == HG_OP_POSIX_MEMALIGN &&
                      (!is_power_of_two(op->arg) || op->arg % sizeof(void *)));
    bool too_large =
        hg_op_bytes(op) > INT64_MAX || (op->kind == HG_OP_PVALLOC && op->size > UINT64_MAX - 4095);
    char arg[40], size[40];
    if (op->kind == HG_OP_POSIX_MEMALIGN && (bad_align || too_large)) {
        fprintf(out, "posix(%s, %s, %s);", number(op->arg, arg), number(op->size, size),
                bad_align ? "EINVAL" : "ENOMEM");
    } else if (bad_align || too_large) {
        fprintf(out, "errno = 0; must_fail(");
        emit_call(out, op, "NULL");
        fprintf(out, ", %s);", bad_align ? "0" : "ENOMEM");
    } else {
        bool says_so = op->kind <= HG_OP_REALLOCARRAY || op->kind == HG_OP_ALIGNED_ALLOC;
        fprintf(out, says_so ? "errno = 0; may_fail(" : "f_free(");
        emit_call(out, op, "NULL");
        fprintf(out, ");");
    }
}

static bool is_native(unsigned kind) {
    return kind >= HG_OP_NATIVE_ALLOC && kind <= HG_OP_NATIVE_LOOK;
}

static void emit_op(struct emitter *e, const hg_op *op) {
    FILE *out = e->out;
    char align[64], bytes[40], block[24];
    if (is_native(op->kind)) {
        hg_emit_native_op(out, op, op->slot == HG_SLOT_NONE ? NULL : &e->blocks[op->slot]);
    } else if (op->kind == HG_OP_FORK) {
        fprintf(out, "fork_child();");
    } else if (op->kind == HG_OP_VERIFY && op->slot == HG_SLOT_NONE) {
        fprintf(out, "for (int i = 0; i < SLOTS; i++) verify(i, s[i].usable);");
    } else if (op->kind == HG_OP_VERIFY) {
        fprintf(out, "verify(%u, s[%u].usable);", op->slot, op->slot);
    } else if (!hg_op_has_slot(op->kind) || op->kind == HG_OP_TOUCHED) {
        fprintf(out, "/* not in C: %s */", hg_op_kind_name(op->kind));
    } else if (op->slot == HG_SLOT_NONE) {
        emit_unnamed(out, op);
    } else if (op->kind == HG_OP_USABLE_SIZE) {
        fprintf(
            out,
            "if (s[%u].p && f_usable && f_usable(s[%u].p) != s[%u].usable) fail(\"usable size\", s[%u].usable, f_usable(s[%u].p));",
            op->slot, op->slot, op->slot, op->slot, op->slot);
    } else if (hg_op_frees(op->kind)) {
        fprintf(out, "give(%u);", op->slot);
    } else if (op->kind == HG_OP_LAYOUT_REALLOC) {
        fprintf(
            out,
            "move(%u, s[%u].align <= 16 && s[%u].align <= %s ? f_realloc(s[%u].p, %s) : layout_realloc(%u, %s), %s, s[%u].align);",
            op->slot, op->slot, op->slot, number(op->size, bytes), op->slot, bytes, op->slot, bytes,
            bytes, op->slot);
    } else if (hg_op_reallocates(op->kind)) {
        align_owed(op, align);
        snprintf(block, sizeof block, "s[%u].p", op->slot);
        fprintf(out, "verify(%u, s[%u].usable); errno = 0; ", op->slot, op->slot);
        if (hg_op_bytes(op) > INT64_MAX) {
            fprintf(out, "must_fail(");
            emit_call(out, op, block);
            fprintf(out, ", ENOMEM); verify(%u, s[%u].usable);", op->slot, op->slot);
            return;
        }
        if (op->flags & HG_OPF_FAILED) {
            fprintf(out, "if (may_fail(");
            emit_call(out, op, block);
            fprintf(out, ")) s[%u].p = NULL; else verify(%u, s[%u].usable);", op->slot, op->slot,
                    op->slot);
            return;
        }
        fprintf(out, "move(%u, ", op->slot);
        emit_call(out, op, block);
        fprintf(out, ", %s, %s);", number(hg_op_bytes(op), bytes), align);
    } else {
        align_owed(op, align);
        bool zeroed = op->kind == HG_OP_CALLOC || op->kind == HG_OP_ALLOC_ZEROED;
        fprintf(out, "take(%u, ", op->slot);
        emit_call(out, op, "NULL");
        fprintf(out, ", %s, %s, %d);", number(hg_op_bytes(op), bytes), align, zeroed);
    }
}

static void emit_threads(FILE *out, const hg_op *ops, size_t count) {
    fprintf(
        out,
        "/* Turn by turn: a thread does its run of operations while the others wait. */\n"
        "static struct { pthread_t id; int runs, turn; } t[4];\n"
        "static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;\n"
        "static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;\n"
        "static void step(int i);\n"
        "static void *work(void *argument) {\n"
        "    int self = (int)(intptr_t)argument;\n"
        "    pthread_mutex_lock(&lock);\n"
        "    for (;;) {\n"
        "        while (t[self].turn == 0) pthread_cond_wait(&changed, &lock);\n"
        "        if (t[self].turn < 0) break;\n"
        "        step(t[self].turn - 1);\n"
        "        t[self].turn = 0;\n"
        "        pthread_cond_broadcast(&changed);\n"
        "    }\n"
        "    pthread_mutex_unlock(&lock);\n"
        "    return NULL;\n"
        "}\n"
        "static void on(int self, int i) {\n"
        "    if (self == 0) { step(i); return; }\n"
        "    if (!t[self].runs++) pthread_create(&t[self].id, NULL, work, (void *)(intptr_t)self);\n"
        "    pthread_mutex_lock(&lock);\n"
        "    t[self].turn = i + 1;\n"
        "    pthread_cond_broadcast(&changed);\n"
        "    while (t[self].turn) pthread_cond_wait(&changed, &lock);\n"
        "    pthread_mutex_unlock(&lock);\n"
        "}\n"
        "static void end(int self) {\n"
        "    if (!t[self].runs) return;\n"
        "    pthread_mutex_lock(&lock);\n"
        "    t[self].turn = -1;\n"
        "    pthread_cond_broadcast(&changed);\n"
        "    pthread_mutex_unlock(&lock);\n"
        "    pthread_join(t[self].id, NULL);\n"
        "    t[self].runs = t[self].turn = 0;\n"
        "}\n\n");
    (void)ops;
    (void)count;
}

static void emit_main(FILE *out, const hg_op *ops, size_t count) {
    fprintf(out, "int main(int argc, char **argv) {\n    load(argc > 1 ? argv[1] : NULL);\n");
    for (size_t i = 0; i < count; i++) {
        if (ops[i].kind == HG_OP_THREAD_END)
            fprintf(out, "    end(%u);\n", ops[i].thread % 4u);
        else if (ops[i].kind != HG_OP_THREAD_START)
            fprintf(out, "    on(%u, %zu);\n", ops[i].thread % 4u, i);
    }
    fprintf(out,
            "    line = %zu;\n    for (int i = 0; i < SLOTS; i++) verify(i, s[i].usable);\n"
            "    for (int i = 0; i < SLOTS; i++) if (s[i].p) give(i);\n"
            "    puts(\"kept every promise\");\n    return 0;\n}\n",
            count);
}

static void emit_head(FILE *out, const hg_backend *backend, const char *name, const char *path,
                      const struct hg_finding *finding) {
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    fprintf(
        out,
        "/* %s breaks %s of the contract:\n *   %s\n *\n"
        " * Made by heapgauge reduce; needs nothing of Heapgauge. Exit status 1, a death by a signal\n"
        " * or a hang: the promise is broken.\n"
        " *   cc -O0 -fno-builtin -pthread %s -o repro -ldl\n",
        name, finding->item, finding->text, file);
    const char *library = backend->facts.path ? strrchr(backend->facts.path, '/') : NULL;
    if (library && strstr(library, ".so"))
        fprintf(out, " *   ./repro %s\n * or LD_PRELOAD of that library and ./repro\n",
                library + 1);
    else
        fprintf(out, " *   LD_PRELOAD=LIBRARY.so ./repro\n");
    fprintf(out,
            " * (%s %s; a library with large static TLS needs\n"
            " *  GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384) */\n",
            backend->facts.name, backend->facts.version ? backend->facts.version : "");
}

bool hg_artifact_write_c(const char *path, const hg_backend *backend, const char *name,
                         const struct hg_finding *finding, const hg_op *ops, size_t count) {
    FILE *out = fopen(path, "we");
    if (!out)
        return false;
    uint32_t slots = 1;
    bool is_short = false, layout_realloc = false, native = false;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].slot != HG_SLOT_NONE && ops[i].slot >= slots)
            slots = ops[i].slot + 1;
        is_short |= ops[i].kind == HG_OP_FAIL_PAGES;
        layout_realloc |= ops[i].kind == HG_OP_LAYOUT_REALLOC;
        native |= is_native(ops[i].kind);
    }
    struct emitter emitter = {out, calloc(slots, sizeof *emitter.blocks)};
    if (!emitter.blocks) {
        fclose(out);
        return false;
    }
    emit_head(out, backend, name, path, finding);
    fprintf(out, "#define SLOTS %u\n#define SHORT %d /* memory may be short */\n", slots, is_short);
    fputs(runtime, out);
    fputs(loading, out);
    if (layout_realloc)
        fputs("static void *layout_realloc(int i, size_t size) {\n"
              "    unsigned char *p = posix(s[i].align < 8 ? 8 : s[i].align, size, 0);\n"
              "    if (p) memcpy(p, s[i].p, s[i].size < size ? s[i].size : size);\n"
              "    if (p) f_free(s[i].p);\n    return p;\n}\n\n",
              out);
    if (native)
        hg_emit_native_runtime(out);
    emit_threads(out, ops, count);
    fprintf(out, "static void step(int i) {\n    line = i;\n    switch (i) {\n");
    for (size_t i = 0; i < count; i++) {
        char text[160];
        hg_op_print(&ops[i], text, sizeof text);
        if (ops[i].kind == HG_OP_THREAD_START || ops[i].kind == HG_OP_THREAD_END)
            continue;
        fprintf(out, "    case %zu: /* %s */\n        ", i, text);
        emit_op(&emitter, &ops[i]);
        fprintf(out, "\n        break;\n");
    }
    fprintf(out, "    }\n}\n\n");
    emit_main(out, ops, count);
    free(emitter.blocks);
    return hg_artifact_close(out);
}
