/* The program: a table of steps and a loop over it. Threads take turns, so that it does the same every
 * time; each block carries a mark at its ends that is looked at before it goes. */
#define _GNU_SOURCE
#include "export_c.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool hg_export_steps_add(struct hg_export_steps *steps, const hg_op *op) {
    if (steps->count == steps->capacity) {
        const size_t capacity = steps->capacity ? 2 * steps->capacity : 4096;
        hg_op *const memory = realloc(steps->op, capacity * sizeof *memory);
        if (!memory)
            return false;
        steps->op = memory;
        steps->capacity = capacity;
    }
    steps->op[steps->count++] = *op;
    return true;
}

void hg_export_steps_free(struct hg_export_steps *steps) {
    free(steps->op);
    *steps = (struct hg_export_steps){0};
}

static const char head[] =
    "/* gcc -O2 -fno-builtin -pthread %s -o repro && ./repro\n"
    " * Another allocator: LD_PRELOAD=LIBRARY.so ./repro\n"
    " *\n"
    " * %zu calls taken from a trace by heapgauge export; needs nothing of Heapgauge. The first %zu make\n"
    " * what lived before. Exit status 1: a block's content changed, or an allocation failed. */\n"
    "#define _GNU_SOURCE\n"
    "#include <malloc.h>\n#include <pthread.h>\n#include <stdint.h>\n#include <stdio.h>\n"
    "#include <stdlib.h>\n#include <string.h>\n#include <sys/wait.h>\n#include <unistd.h>\n\n"
    "enum { THREADS = %u, SLOTS = %u };\n";

static const char runtime[] =
    "struct step {\n"
    "    unsigned char kind, fails;\n"
    "    unsigned short thread;\n"
    "    unsigned slot; /* SLOTS: none */\n"
    "    size_t size, arg;\n"
    "};\n"
    "extern const struct step steps[];\n"
    "extern const size_t step_count;\n"
    "\n"
    "static struct { unsigned char *p; size_t size, align; } block[SLOTS + 1];\n"
    "static size_t at, live, peak;\n"
    "static struct { pthread_t id; int runs, is_new; } thread[THREADS + 1];\n"
    "static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;\n"
    "static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;\n"
    "\n"
    "static void fail(const char *what, unsigned slot) {\n"
    "    char text[160];\n"
    "    int length = snprintf(text, sizeof text, \"step %zu, block %u: %s\\n\", at, slot, what);\n"
    "    _exit(write(2, text, (size_t)length) < 0 ? 2 : 1);\n"
    "}\n"
    "static unsigned char mark(unsigned i) { return (unsigned char)(i * 37 + 1); }\n"
    "static void look(unsigned i) {\n"
    "    if (!block[i].p || !block[i].size) return;\n"
    "    if (block[i].p[0] != mark(i) || block[i].p[block[i].size - 1] != mark(i))\n"
    "        fail(\"its content changed\", i);\n"
    "}\n"
    "static void give(unsigned i) {\n"
    "    look(i);\n"
    "    free(block[i].p);\n"
    "    live -= block[i].size;\n"
    "    block[i].p = NULL;\n"
    "    block[i].size = 0;\n"
    "}\n"
    "static void take(unsigned i, void *p, size_t size, size_t align) {\n"
    "    if (!p && size) fail(\"no memory\", i);\n"
    "    live += size - block[i].size;\n"
    "    if (live > peak) peak = live;\n"
    "    block[i].p = p;\n"
    "    block[i].size = size;\n"
    "    block[i].align = align;\n"
    "    if (size) block[i].p[0] = block[i].p[size - 1] = mark(i);\n"
    "}\n"
    "static void *aligned(size_t align, size_t size) {\n"
    "    void *p = NULL;\n"
    "    return posix_memalign(&p, align < sizeof p ? sizeof p : align, size) ? NULL : p;\n"
    "}\n"
    "static void *zeroed(void *p, size_t size) { return p ? memset(p, 0, size) : p; }\n"
    "static void *layout_realloc(unsigned i, size_t size) {\n"
    "    if (block[i].align <= 16) return realloc(block[i].p, size);\n"
    "    void *p = aligned(block[i].align, size);\n"
    "    if (p) memcpy(p, block[i].p, size < block[i].size ? size : block[i].size);\n"
    "    if (p) free(block[i].p);\n"
    "    return p;\n"
    "}\n"
    "static void child(void) {\n"
    "    pid_t pid = fork();\n"
    "    if (pid == 0) { for (unsigned i = 0; i < SLOTS; i++) give(i); _exit(0); }\n"
    "    if (pid > 0) waitpid(pid, NULL, 0);\n"
    "}\n"
    "\n"
    "/* A call that failed when it was recorded. */\n"
    "static void refused(const struct step *s) {\n"
    "    if (s->slot == SLOTS) { free(malloc(s->size)); return; }\n"
    "    if (s->size > PTRDIFF_MAX && realloc(block[s->slot].p, s->size)) fail(\"realloc worked\", s->slot);\n"
    "}\n"
    "\n"
    "static void perform(const struct step *s) {\n"
    "    unsigned i = s->slot;\n"
    "    size_t n = s->size, a = s->arg;\n"
    "    if (s->fails) { refused(s); return; }\n"
    "    switch (s->kind) {\n";

static const char rest[] =
    "    default: break; /* nothing that C can do */\n"
    "    }\n"
    "}\n"
    "\n"
    "static void *work(void *number);\n"
    "/* Starts the thread of the step to come, if it does not run. */\n"
    "static void prepare(void) {\n"
    "    if (at == step_count) return;\n"
    "    unsigned t = steps[at].thread;\n"
    "    if (t == 0 || thread[t].runs) return;\n"
    "    if (thread[t].is_new) pthread_join(thread[t].id, NULL);\n"
    "    thread[t].runs = thread[t].is_new = 1;\n"
    "    if (pthread_create(&thread[t].id, NULL, work, (void *)(uintptr_t)t)) fail(\"no thread\", t);\n"
    "}\n"
    "static void *work(void *number) {\n"
    "    unsigned self = (unsigned)(uintptr_t)number;\n"
    "    int ends = 0;\n"
    "    pthread_mutex_lock(&lock);\n"
    "    while (!ends) {\n"
    "        while (at < step_count && steps[at].thread != self) pthread_cond_wait(&moved, &lock);\n"
    "        if (at == step_count) break;\n"
    "        ends = steps[at].kind == THREAD_END && self;\n"
    "        perform(&steps[at]);\n"
    "        if (ends) thread[self].runs = 0;\n"
    "        at++;\n"
    "        if (at < step_count && steps[at].thread == self && !ends) continue;\n"
    "        prepare();\n"
    "        pthread_cond_broadcast(&moved);\n"
    "    }\n"
    "    pthread_mutex_unlock(&lock);\n"
    "    return NULL;\n"
    "}\n"
    "\n"
    "int main(void) {\n"
    "    char text[160];\n"
    "    pthread_mutex_lock(&lock);\n"
    "    prepare();\n"
    "    pthread_mutex_unlock(&lock);\n"
    "    work(NULL);\n"
    "    for (unsigned t = 1; t < THREADS; t++) if (thread[t].is_new) pthread_join(thread[t].id, NULL);\n"
    "    for (unsigned i = 0; i < SLOTS; i++) look(i);\n"
    "    int length = snprintf(text, sizeof text, \"%zu steps, live at most %zu bytes, at the end %zu bytes\\n\",\n"
    "                          step_count, peak, live);\n"
    "    return write(1, text, (size_t)length) < 0;\n"
    "}\n\n";

/* What each kind does, in C. */
static const struct {
    uint8_t kind;
    const char *name, *does;
} calls[] = {
    {HG_OP_MALLOC, "MALLOC", "take(i, malloc(n), n, 1)"},
    {HG_OP_CALLOC, "CALLOC", "take(i, calloc(a, n), a * n, 1)"},
    {HG_OP_REALLOC, "REALLOC", "look(i); take(i, realloc(block[i].p, n), n, 1)"},
    {HG_OP_REALLOCARRAY, "REALLOCARRAY",
     "look(i); take(i, reallocarray(block[i].p, a, n), a * n, 1)"},
    {HG_OP_FREE, "FREE", "give(i)"},
    {HG_OP_ALIGNED_ALLOC, "ALIGNED_ALLOC", "take(i, aligned_alloc(a, n), n, a)"},
    {HG_OP_POSIX_MEMALIGN, "POSIX_MEMALIGN", "take(i, aligned(a, n), n, a)"},
    {HG_OP_MEMALIGN, "MEMALIGN", "take(i, memalign(a, n), n, a)"},
    {HG_OP_VALLOC, "VALLOC", "take(i, valloc(n), n, 4096)"},
    {HG_OP_PVALLOC, "PVALLOC", "take(i, pvalloc(n), n, 4096)"},
    {HG_OP_USABLE_SIZE, "USABLE_SIZE",
     "if (malloc_usable_size(block[i].p) < block[i].size) fail(\"usable size\", i)"},
    {HG_OP_FREE_SIZED, "FREE_SIZED", "give(i)"},
    {HG_OP_FREE_ALIGNED_SIZED, "FREE_ALIGNED_SIZED", "give(i)"},
    {HG_OP_ALLOC, "ALLOC", "take(i, a <= 16 && a <= n ? malloc(n) : aligned(a, n), n, a)"},
    {HG_OP_ALLOC_ZEROED, "ALLOC_ZEROED",
     "take(i, a <= 16 && a <= n ? calloc(1, n) : zeroed(aligned(a, n), n), n, a)"},
    {HG_OP_LAYOUT_REALLOC, "LAYOUT_REALLOC",
     "look(i); take(i, layout_realloc(i, n), n, block[i].align)"},
    {HG_OP_DEALLOC, "DEALLOC", "give(i)"},
    {HG_OP_PURGE, "PURGE", "malloc_trim(0)"},
    {HG_OP_FORK, "FORK", "child()"},
    {HG_OP_THREAD_START, "THREAD_START", ""},
    {HG_OP_THREAD_END, "THREAD_END", ""},
    {HG_OP_VERIFY, "VERIFY",
     "for (unsigned k = 0; k < SLOTS; k++) if (i == SLOTS || i == k) look(k)"},
    {HG_OP_FAIL_PAGES, "FAIL_PAGES", ""},
    {HG_OP_CLOCK, "CLOCK", ""},
    {HG_OP_TOUCHED, "TOUCHED", ""},
};
enum { CALL_COUNT = sizeof calls / sizeof calls[0] };

static const char *c_name(unsigned kind) {
    for (size_t i = 0; i < CALL_COUNT; i++)
        if (calls[i].kind == kind)
            return calls[i].name;
    return "CLOCK";
}

/* Slots and threads under new numbers, without those that the piece does not use. */
struct numbers {
    uint32_t *slot, *thread; /* new number + 1; 0: not used */
    uint32_t slot_count, thread_count;
};

static bool is_needed(const struct numbers *n, const struct hg_export_steps *s, size_t i) {
    return i >= s->made_before || s->op[i].slot == HG_SLOT_NONE || n->slot[s->op[i].slot];
}

static bool number_all(struct numbers *n, const struct hg_export_steps *s) {
    uint32_t slot_limit = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->op[i].slot != HG_SLOT_NONE && s->op[i].slot >= slot_limit)
            slot_limit = s->op[i].slot + 1;
    n->slot = calloc(slot_limit + 1, sizeof *n->slot);
    n->thread = calloc(UINT16_MAX + 1, sizeof *n->thread);
    if (!n->slot || !n->thread)
        return false;
    n->thread[0] = n->thread_count = 1; /* main */
    for (size_t i = s->made_before; i < s->count; i++)
        if (s->op[i].slot != HG_SLOT_NONE && !n->slot[s->op[i].slot])
            n->slot[s->op[i].slot] = ++n->slot_count;
    if (n->slot_count == 0) /* no loop over none: gcc -Wextra has words for it */
        n->slot_count = 1;
    for (size_t i = 0; i < s->count; i++)
        if (is_needed(n, s, i) && !n->thread[s->op[i].thread])
            n->thread[s->op[i].thread] = ++n->thread_count;
    return true;
}

static void emit_step(FILE *out, const struct numbers *n, const hg_op *op) {
    const uint32_t slot = op->slot == HG_SLOT_NONE ? n->slot_count : n->slot[op->slot] - 1;
    fprintf(out, "    {%s, %d, %" PRIu32 ", %" PRIu32, c_name(op->kind),
            (op->flags & HG_OPF_FAILED) != 0, n->thread[op->thread] - 1, slot);
    /* a failed calloc may have overflowed; any size that large will do */
    const bool asks_in_vain = op->flags & HG_OPF_FAILED;
    fprintf(out, ", %" PRIu64 "u, %" PRIu64 "u},\n", asks_in_vain ? hg_op_bytes(op) : op->size,
            hg_op_has_arg(op->kind) ? op->arg : 0);
}

bool hg_export_c(FILE *out, const char *name, const struct hg_export_steps *s) {
    struct numbers n = {0};
    size_t written = 0, before = 0;
    const char *const slash = strrchr(name, '/');
    bool good = number_all(&n, s);
    if (good) {
        for (size_t i = 0; i < s->made_before; i++)
            before += is_needed(&n, s, i);
        written = before + s->count - s->made_before;
        fprintf(out, head, slash ? slash + 1 : name, written, before, n.thread_count, n.slot_count);
        fputs("enum {", out);
        for (size_t i = 0; i < CALL_COUNT; i++)
            fprintf(out, "%s%s", i ? (i % 8 ? ", " : ",\n       ") : " ", calls[i].name);
        fprintf(out, " };\n\n%s", runtime);
        for (size_t i = 0; i < CALL_COUNT; i++)
            if (*calls[i].does)
                fprintf(out, "    case %s: %s; break;\n", calls[i].name, calls[i].does);
        fprintf(out, "%sconst size_t step_count = %zu;\nconst struct step steps[] = {\n", rest,
                written);
        for (size_t i = 0; i < s->count; i++)
            if (is_needed(&n, s, i))
                emit_step(out, &n, &s->op[i]);
        fputs("    {CLOCK, 0, 0, 0, 0, 0}};\n", out);
    }
    free(n.slot);
    free(n.thread);
    return good && !ferror(out);
}
