/* Operations: names, facts, text. The table is the one place that knows what a kind is. */
#include "heapgauge/operation.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "heapgauge/trace.h"
#include "operation_facts.h"

/* Short names for the table below. */
enum {
    SLOT = HG__OP_SLOT,
    SIZE = HG__OP_SIZE,
    ARG = HG__OP_ARG,
    MAKES = HG__OP_MAKES,
    ENDS = HG__OP_ENDS,
    MOVES = HG__OP_MOVES,
    UNSTORED = HG__OP_UNSTORED
};

/* How the arguments stand between the brackets. */
enum form {
    NOTHING,
    BYTES,
    ALIGN_BYTES,
    BYTES_ALIGN,
    COUNT_BYTES,
    THREAD,
    BYTES_OR_NEVER,
    WAIT_FOR,
    NATIVE
};

/* An X-macro, because the facts also stand alone: the trace reader wants them in one cache line. */
#define HG_KINDS(X)                                                                                \
    X(HG_OP_MALLOC, "malloc", SLOT | SIZE | MAKES, BYTES)                                          \
    X(HG_OP_CALLOC, "calloc", SLOT | SIZE | ARG | MAKES, COUNT_BYTES)                              \
    X(HG_OP_REALLOC, "realloc", SLOT | SIZE | MOVES, BYTES)                                        \
    X(HG_OP_REALLOCARRAY, "reallocarray", SLOT | SIZE | ARG | MOVES, COUNT_BYTES)                  \
    X(HG_OP_FREE, "free", SLOT | ENDS, NOTHING)                                                    \
    X(HG_OP_ALIGNED_ALLOC, "aligned_alloc", SLOT | SIZE | ARG | MAKES, ALIGN_BYTES)                \
    X(HG_OP_POSIX_MEMALIGN, "posix_memalign", SLOT | SIZE | ARG | MAKES, ALIGN_BYTES)              \
    X(HG_OP_MEMALIGN, "memalign", SLOT | SIZE | ARG | MAKES, ALIGN_BYTES)                          \
    X(HG_OP_VALLOC, "valloc", SLOT | SIZE | MAKES, BYTES)                                          \
    X(HG_OP_PVALLOC, "pvalloc", SLOT | SIZE | MAKES, BYTES)                                        \
    X(HG_OP_USABLE_SIZE, "malloc_usable_size", SLOT, NOTHING)                                      \
    X(HG_OP_FREE_SIZED, "free_sized", SLOT | ENDS, NOTHING)                                        \
    X(HG_OP_FREE_ALIGNED_SIZED, "free_aligned_sized", SLOT | ENDS, NOTHING)                        \
    X(HG_OP_ALLOC, "alloc", SLOT | SIZE | ARG | MAKES, BYTES_ALIGN)                                \
    X(HG_OP_ALLOC_ZEROED, "alloc_zeroed", SLOT | SIZE | ARG | MAKES, BYTES_ALIGN)                  \
    X(HG_OP_LAYOUT_REALLOC, "layout_realloc", SLOT | SIZE | MOVES, BYTES)                          \
    X(HG_OP_DEALLOC, "dealloc", SLOT | ENDS, NOTHING)                                              \
    X(HG_OP_PURGE, "purge", 0, NOTHING)                                                            \
    X(HG_OP_FORK, "fork", 0, NOTHING)                                                              \
    X(HG_OP_THREAD_START, "thread_start", ARG, THREAD)                                             \
    X(HG_OP_THREAD_END, "thread_end", 0, NOTHING)                                                  \
    X(HG_OP_VERIFY, "verify", SLOT, NOTHING)                                                       \
    X(HG_OP_FAIL_PAGES, "fail_pages", SIZE, BYTES_OR_NEVER)                                        \
    X(HG_OP_CLOCK, "clock", SIZE, BYTES)                                                           \
    X(HG_OP_WAIT, "wait", SLOT | SIZE | UNSTORED, WAIT_FOR)                                        \
    X(HG_OP_NATIVE_ALLOC, "native_alloc", SLOT | SIZE | ARG | MAKES, NATIVE)                       \
    X(HG_OP_NATIVE_REALLOC, "native_realloc", SLOT | SIZE | ARG | MOVES, NATIVE)                   \
    X(HG_OP_NATIVE_FREE, "native_free", SLOT | ARG | ENDS, NATIVE)                                 \
    X(HG_OP_NATIVE_LOOK, "native_look", SIZE | ARG, NATIVE)                                        \
    X(HG_OP_TOUCHED, "touched", SLOT | SIZE, BYTES)

static const struct {
    const char *name;
    uint8_t form;
} kinds[HG_OP_KIND_COUNT] = {
#define X(kind, name, facts, form) [kind] = {name, form},
    HG_KINDS(X)
#undef X
};

const uint8_t hg__op_facts[32] = {
#define X(kind, name, facts, form) [kind] = HG__OP_KNOWN | (facts),
    HG_KINDS(X)
#undef X
};

static unsigned facts_of(unsigned kind) {
    return kind < HG_OP_KIND_COUNT ? hg__op_facts[kind] : 0;
}

const char *hg_op_kind_name(unsigned kind) {
    return kind < HG_OP_KIND_COUNT ? kinds[kind].name : NULL;
}

const char *hg_op_name(const hg_op *op) {
    const struct hg_native_facts *native =
        hg__op_is_native(op->kind) ? hg_native_facts(hg_native_function(op->arg)) : NULL;
    return native ? native->name : hg_op_kind_name(op->kind);
}

static unsigned kind_by_name(const char *name, size_t length) {
    for (unsigned kind = 0; kind < HG_OP_KIND_COUNT; kind++)
        if (strncmp(kinds[kind].name, name, length) == 0 && kinds[kind].name[length] == '\0')
            return kind;
    return HG_OP_KIND_COUNT;
}

unsigned hg_op_kind_by_name(const char *name) {
    return kind_by_name(name, strlen(name));
}

bool hg_op_allocates(unsigned kind) {
    return facts_of(kind) & MAKES;
}

bool hg_op_frees(unsigned kind) {
    return facts_of(kind) & ENDS;
}

bool hg_op_reallocates(unsigned kind) {
    return facts_of(kind) & MOVES;
}

bool hg_op_has_slot(unsigned kind) {
    return facts_of(kind) & SLOT;
}

bool hg_op_has_size(unsigned kind) {
    return facts_of(kind) & SIZE;
}

bool hg_op_has_arg(unsigned kind) {
    return facts_of(kind) & ARG;
}

uint64_t hg_op_bytes(const hg_op *op) {
    return hg__op_bytes(op);
}

bool hg_op_is_well_formed(const hg_op *op) {
    return hg__op_is_well_formed(op);
}

/* ---- text ---- */

struct out {
    char *text;
    size_t size, length;
};

static void put_text(struct out *out, const char *text) {
    for (; *text; text++, out->length++)
        if (out->length + 1 < out->size)
            out->text[out->length] = *text;
}

static void put_number(struct out *out, const char *before, uint64_t number) {
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, number);
    put_text(out, before);
    put_text(out, digits);
}

static void put_block(struct out *out, const hg_op *op, const char *none) {
    if (op->slot == HG_SLOT_NONE)
        put_text(out, none);
    else
        put_number(out, "s", op->slot);
}

static void put_native(struct out *out, const hg_op *op) {
    if (op->kind != HG_OP_NATIVE_FREE)
        put_number(out, "", op->size);
    if (hg_native_align_log2(op->arg))
        put_number(out, ", align ", UINT64_C(1) << hg_native_align_log2(op->arg));
    if (hg_native_offset(op->arg))
        put_number(out, ", offset ", hg_native_offset(op->arg));
    if (hg_native_zero(op->arg))
        put_text(out, ", zero");
}

int hg_op_print(const hg_op *op, char *text, size_t text_size) {
    struct out out = {text, text_size, 0};
    const unsigned facts = facts_of(op->kind);

    put_number(&out, "t", op->thread);
    put_text(&out, " ");
    if (facts & (MAKES | MOVES)) {
        if (op->flags & HG_OPF_FAILED)
            put_text(&out, "NULL");
        else
            put_block(&out, op, "NULL");
        put_text(&out, " = ");
    }
    put_text(&out, facts ? hg_op_name(op) : "?");
    put_text(&out, "(");
    if (facts & SLOT && !(facts & MAKES) && op->kind != HG_OP_WAIT) {
        put_block(&out, op, op->kind == HG_OP_VERIFY ? "all" : "NULL");
        if (facts & SIZE)
            put_text(&out, ", ");
    }
    switch (op->kind < HG_OP_KIND_COUNT ? (enum form)kinds[op->kind].form : NOTHING) {
    case NOTHING:
        break;
    case BYTES:
        put_number(&out, "", op->size);
        break;
    case ALIGN_BYTES:
    case COUNT_BYTES:
        put_number(&out, "", op->arg);
        put_number(&out, ", ", op->size);
        break;
    case BYTES_ALIGN:
        put_number(&out, "", op->size);
        put_number(&out, ", ", op->arg);
        break;
    case THREAD:
        put_number(&out, "t", op->arg);
        break;
    case BYTES_OR_NEVER:
        if (op->size == UINT64_MAX)
            put_text(&out, "never");
        else
            put_number(&out, "", op->size);
        break;
    case WAIT_FOR:
        put_number(&out, "t", op->slot);
        put_number(&out, ", ", op->size);
        break;
    case NATIVE:
        put_native(&out, op);
        break;
    }
    put_text(&out, ")");
    if (out.size)
        out.text[out.length < out.size ? out.length : out.size - 1] = '\0';
    return (int)out.length;
}

/* A cursor over the line. Each take_ returns false and leaves the cursor on what it did not
 * understand. */
struct in {
    const char *at;
};

static void skip_blanks(struct in *in) {
    while (*in->at == ' ' || *in->at == '\t')
        in->at++;
}

static bool take_text(struct in *in, const char *text) {
    skip_blanks(in);
    const size_t length = strlen(text);
    if (strncmp(in->at, text, length) != 0)
        return false;
    in->at += length;
    return true;
}

static bool take_number(struct in *in, const char *before, uint64_t limit, uint64_t *number) {
    const char *const start = in->at;
    uint64_t value = 0;
    if (!take_text(in, before) || *in->at < '0' || *in->at > '9') {
        in->at = start;
        skip_blanks(in);
        return false;
    }
    for (; *in->at >= '0' && *in->at <= '9'; in->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*in->at - '0'), &value)) {
            in->at = start;
            return false;
        }
    if (value > limit) {
        in->at = start;
        skip_blanks(in);
        return false;
    }
    *number = value;
    return true;
}

static bool take_block(struct in *in, const char *none, uint32_t *slot) {
    uint64_t number;
    if (take_text(in, none)) {
        *slot = HG_SLOT_NONE;
        return true;
    }
    if (!take_number(in, "s", HG_TRACE_SLOTS_MAX - 1, &number))
        return false;
    *slot = (uint32_t)number;
    return true;
}

/* The native function of that name; false iff there is none. */
static bool native_by_name(const char *name, size_t length, hg_op *op) {
    const struct hg_native_facts *native;
    for (unsigned i = 0; (native = hg_native_facts(i)) != NULL; i++)
        if (strncmp(native->name, name, length) == 0 && native->name[length] == '\0') {
            op->kind = native->kind;
            op->arg = i;
            return true;
        }
    return false;
}

static bool take_kind(struct in *in, hg_op *op) {
    skip_blanks(in);
    const size_t length = strspn(in->at, "abcdefghijklmnopqrstuvwxyz_");
    op->kind = (uint8_t)kind_by_name(in->at, length);
    if (length == 0 || hg__op_is_native(op->kind) ||
        (op->kind == HG_OP_KIND_COUNT && !native_by_name(in->at, length, op)))
        return false;
    in->at += length;
    return true;
}

static bool take_native(struct in *in, hg_op *op) {
    uint64_t align = 1, offset = 0;
    if (op->kind != HG_OP_NATIVE_FREE && !take_number(in, "", UINT64_MAX, &op->size))
        return false;
    const char *const after_size = in->at;
    if (take_text(in, ", align ") &&
        (!take_number(in, "", UINT64_MAX, &align) || align < 2 || (align & (align - 1)) != 0)) {
        in->at = after_size;
        return false;
    }
    if (take_text(in, ", offset ") && (!take_number(in, "", UINT32_MAX, &offset) || offset == 0))
        return false;
    bool zero = take_text(in, ", zero");
    op->arg = hg_native_arg((enum hg_native)op->arg, (unsigned)__builtin_ctzll(align), zero,
                            (uint32_t)offset);
    return hg_native_arg_is_sound(op->kind, op->arg);
}

static bool take_arguments(struct in *in, hg_op *op) {
    uint64_t number;
    switch ((enum form)kinds[op->kind].form) {
    case NOTHING:
        return true;
    case BYTES:
        return take_number(in, "", UINT64_MAX, &op->size);
    case ALIGN_BYTES:
    case COUNT_BYTES:
        return take_number(in, "", UINT64_MAX, &op->arg) && take_text(in, ",") &&
               take_number(in, "", UINT64_MAX, &op->size);
    case BYTES_ALIGN:
        return take_number(in, "", UINT64_MAX, &op->size) && take_text(in, ",") &&
               take_number(in, "", UINT64_MAX, &op->arg);
    case THREAD:
        return take_number(in, "t", HG_TRACE_THREADS_MAX - 1, &op->arg);
    case BYTES_OR_NEVER:
        if (take_text(in, "never")) {
            op->size = UINT64_MAX;
            return true;
        }
        return take_number(in, "", UINT64_MAX, &op->size);
    case WAIT_FOR:
        if (!take_number(in, "t", HG_TRACE_THREADS_MAX - 1, &number) || !take_text(in, ","))
            return false;
        op->slot = (uint32_t)number;
        return take_number(in, "", UINT64_MAX, &op->size);
    case NATIVE:
        return take_native(in, op);
    }
    return false;
}

static bool take_op(struct in *in, hg_op *op) {
    uint64_t thread;
    uint32_t result = HG_SLOT_NONE;
    const char *result_at;

    if (!take_number(in, "t", HG_TRACE_THREADS_MAX - 1, &thread))
        return false;
    op->thread = (uint16_t)thread;
    skip_blanks(in);
    result_at = in->at;
    const bool has_result =
        take_text(in, "NULL") || (in->at[0] == 's' && in->at[1] >= '0' && in->at[1] <= '9');
    if (has_result) {
        in->at = result_at;
        if (!take_block(in, "NULL", &result) || !take_text(in, "="))
            return false;
    }
    const char *const kind_at = in->at;
    if (!take_kind(in, op))
        return false;
    const unsigned facts = hg__op_facts[op->kind];
    if (has_result != ((facts & (MAKES | MOVES)) != 0)) {
        in->at = kind_at;
        skip_blanks(in);
        return false;
    }
    if (has_result && result == HG_SLOT_NONE)
        op->flags = HG_OPF_FAILED;
    op->slot = result;
    if (!take_text(in, "("))
        return false;
    if (facts & SLOT && !(facts & MAKES) && op->kind != HG_OP_WAIT) {
        const char *const block_at = in->at;
        if (!take_block(in, op->kind == HG_OP_VERIFY ? "all" : "NULL", &op->slot))
            return false;
        if (has_result && result != HG_SLOT_NONE &&
            op->slot != result) { /* s1 = realloc(s2, ...) */
            in->at = block_at;
            return false;
        }
        if (facts & SIZE && !take_text(in, ","))
            return false;
    }
    if (!take_arguments(in, op) || !take_text(in, ")"))
        return false;
    skip_blanks(in);
    if (*in->at == '\r')
        in->at++;
    return *in->at == '\0' || *in->at == '\n';
}

bool hg_op_parse(const char *line, hg_op *op, size_t *column) {
    struct in in = {line};
    hg_op parsed = {.slot = HG_SLOT_NONE};
    if (!take_op(&in, &parsed) || !hg_op_is_well_formed(&parsed)) {
        if (column)
            *column = (size_t)(in.at - line);
        return false;
    }
    *op = parsed;
    return true;
}
