/* Calls with their results, as ltrace and valgrind --trace-malloc=yes print them:
 *
 *   prog->malloc(100)                         = 0x5635d01bb2a0
 *   [pid 77] realloc(0x5635d01bb2a0, 200)     = 0x5635d01bb360        (or "77 realloc...")
 *   77 prog->free(0x5635d01bb360 <unfinished ...>
 *   77 <... free resumed> )                   = <void>
 *   --77-- realloc(0x0,33)malloc(33) = 0x4A43550
 *   --77-- realloc(0x4A43740,0)free(0x4A43740)
 *   --77-- memalign(al 64, size 300) = 0x4A435C0
 *
 * Each process id is a thread of the trace: one log is one process with its threads. ltrace does not
 * show the address that posix_memalign stored; the first free of an unknown address with that
 * alignment is taken for it. A call that never returns is left out. */
#define _GNU_SOURCE
#include "import.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What a function is, by which of its arguments is what (-1: none). */
static const struct call_shape {
    const char *name;
    uint8_t kind;
    int8_t block, size, arg;
    uint8_t count; /* arguments needed */
} shapes[] = {
    {"malloc", HG_OP_MALLOC, -1, 0, -1, 1},
    {"calloc", HG_OP_CALLOC, -1, 1, 0, 2},
    {"realloc", HG_OP_REALLOC, 0, 1, -1, 2},
    {"reallocarray", HG_OP_REALLOCARRAY, 0, 2, 1, 3},
    {"free", HG_OP_FREE, 0, -1, -1, 1},
    {"cfree", HG_OP_FREE, 0, -1, -1, 1},
    {"aligned_alloc", HG_OP_ALIGNED_ALLOC, -1, 1, 0, 2},
    {"posix_memalign", HG_OP_POSIX_MEMALIGN, -1, 2, 1, 3},
    {"memalign", HG_OP_MEMALIGN, -1, 1, 0, 2},
    {"valloc", HG_OP_VALLOC, -1, 0, -1, 1},
    {"pvalloc", HG_OP_PVALLOC, -1, 0, -1, 1},
    {"_Znwm", HG_OP_MALLOC, -1, 0, -1, 1},
    {"_Znam", HG_OP_MALLOC, -1, 0, -1, 1},
    {"_ZnwmRKSt9nothrow_t", HG_OP_MALLOC, -1, 0, -1, 1},
    {"_ZnamRKSt9nothrow_t", HG_OP_MALLOC, -1, 0, -1, 1},
    {"_ZdlPv", HG_OP_FREE, 0, -1, -1, 1},
    {"_ZdaPv", HG_OP_FREE, 0, -1, -1, 1},
    {"_ZdlPvm", HG_OP_FREE, 0, -1, -1, 1},
    {"_ZdaPvm", HG_OP_FREE, 0, -1, -1, 1},
    {"operator new", HG_OP_MALLOC, -1, 0, -1, 1},
    {"operator new[]", HG_OP_MALLOC, -1, 0, -1, 1},
    {"operator delete", HG_OP_FREE, 0, -1, -1, 1},
    {"operator delete[]", HG_OP_FREE, 0, -1, -1, 1},
};

static const struct call_shape *shape_named(const char *name) {
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

/* ---- who ---- */

/* Takes "[pid 77] ", "77 " or "--77-- " off the line's front. */
static uint64_t take_process(char **at) {
    uint64_t id = 0;
    int length = 0;
    *at += strspn(*at, " ");
    if ((sscanf(*at, "[pid %" SCNu64 "]%n", &id, &length) == 1 && length) ||
        (sscanf(*at, "--%" SCNu64 "--%n", &id, &length) == 1 && length) ||
        (sscanf(*at, "%" SCNu64 " %n", &id, &length) == 1 && length))
        *at += length;
    /* times of day or since the start (ltrace -t, -r) */
    *at += strspn(*at, " ");
    if (isdigit((unsigned char)**at))
        *at += strspn(*at, "0123456789:. ");
    return id;
}

static bool set_thread(struct hg_import *im, uint64_t id) {
    for (unsigned i = 0; i < im->thread_count; i++) {
        if (im->threads[i].id == id) {
            im->thread = (uint16_t)i;
            return true;
        }
    }
    if (im->thread_count == HG_IMPORT_THREADS_MAX)
        return hg_import_fail(im, "more than %d processes and threads", HG_IMPORT_THREADS_MAX);
    im->thread = (uint16_t)im->thread_count++;
    im->threads[im->thread].id = id;
    return im->thread == 0 ||
           hg_import_put(im, (hg_op){.kind = HG_OP_THREAD_START, .slot = HG_SLOT_NONE});
}

/* ---- what ---- */

/* Reads "name(1, 0x2, size 3" into `call`, leaving *at behind the last argument. False: it is no call
 * of ours. */
static bool take_call(char **at, struct hg_import_call *call) {
    char *const arrow = strstr(*at, "->");
    char *const open = strchr(*at, '(');
    char *name = arrow && open && arrow < open ? arrow + 2 : *at;
    if (!open)
        return false;
    char *end = memchr(name, '@', (size_t)(open - name)); /* malloc@libc.so.6 */
    if (!end)
        end = open;
    const size_t length = (size_t)(end - name);
    if (length == 0 || length >= sizeof call->name)
        return false;
    memset(call, 0, sizeof *call);
    memcpy(call->name, name, length);
    call->slot_in_flight = HG_SLOT_NONE;
    if (!shape_named(call->name))
        return false;
    for (char *argument = open + 1; call->count < 4; argument++) {
        argument += strspn(argument, " alsize"); /* valgrind's "al 64, size 300" */
        if (!hg_import_number(&argument, 0, &call->number[call->count]))
            break;
        call->count++;
        *at = argument;
        if (*argument != ',')
            break;
    }
    return true;
}

static hg_op op_of(const struct call_shape *shape, const struct hg_import_call *call) {
    return (hg_op){.kind = shape->kind,
                   .slot = HG_SLOT_NONE,
                   .size = shape->size < 0 ? 0 : call->number[shape->size],
                   .arg = shape->arg < 0 ? 0 : call->number[shape->arg]};
}

static bool put_orphan(struct hg_import *im, hg_op op) {
    if (im->orphan_count == im->orphan_capacity) {
        const size_t capacity = im->orphan_capacity ? 2 * im->orphan_capacity : 64;
        void *const memory = realloc(im->orphan, capacity * sizeof *im->orphan);
        if (!memory)
            return hg_import_fail(im, "out of memory");
        im->orphan = memory;
        im->orphan_capacity = capacity;
    }
    op.slot = hg_slots_take(&im->slots);
    if (op.slot == HG_SLOT_NONE)
        return hg_import_fail(im, "out of slots");
    im->orphan[im->orphan_count++] = (struct hg_import_orphan){op.arg ? op.arg : 1, op.slot};
    return hg_import_put(im, op);
}

/* Before the call: what ends a block ends it now, for another thread may have its address before this
 * one is back. */
static bool begin(struct hg_import *im, struct hg_import_call *call) {
    const struct call_shape *const shape = shape_named(call->name);
    if (call->count < shape->count)
        return hg_import_fail(im, "%s( with %u numbers, expected %u", call->name, call->count,
                              shape->count);
    if (hg_op_frees(shape->kind))
        return hg_import_freed(im, call->number[0]);
    if (hg_op_reallocates(shape->kind))
        call->slot_in_flight = hg_import_lift(im, call->number[0]);
    return true;
}

static bool end(struct hg_import *im, const struct hg_import_call *call, uint64_t result) {
    const struct call_shape *const shape = shape_named(call->name);
    const hg_op op = op_of(shape, call);
    if (hg_op_frees(shape->kind))
        return true;
    if (hg_op_reallocates(shape->kind))
        return hg_import_landed(im, op, call->number[0], call->slot_in_flight, result);
    if (shape->kind == HG_OP_POSIX_MEMALIGN)
        return result ? hg_import_allocated(im, op, 0) : put_orphan(im, op);
    return hg_import_allocated(im, op, result);
}

/* The number behind the last '='. False: there is none. */
static bool take_result(char *at, uint64_t *result) {
    char *const equals = strrchr(at, '=');
    if (!equals)
        return false;
    at = equals + 1 + strspn(equals + 1, " ");
    return hg_import_number(&at, 0, result);
}

static bool resume(struct hg_import *im, char *at) {
    struct hg_import_call *const call = &im->threads[im->thread].call;
    const size_t length = strlen(call->name);
    uint64_t result = 0;
    at += 5;
    if (!call->is_pending || strncmp(at, call->name, length) != 0 || at[length] != ' ') {
        im->ignored_count++;
        return true;
    }
    call->is_pending = false;
    if (!hg_op_frees(shape_named(call->name)->kind) && !take_result(at, &result))
        return hg_import_fail(im, "%s resumed, but no result after '='", call->name);
    return end(im, call, result);
}

bool hg_import_ltrace(struct hg_import *im, char *line) {
    struct hg_import_call call;
    uint64_t result = 0;
    char *at = line;
    const uint64_t id = take_process(&at);
    const bool is_resumed = strncmp(at, "<... ", 5) == 0;
    struct hg_import_call *open = NULL;
    if (!is_resumed && !take_call(&at, &call)) {
        /* valgrind: the result of a realloc on a line of its own */
        im->ignored_count += *at != '\0';
        return true;
    }
    if (!set_thread(im, id))
        return false;
    open = &im->threads[im->thread].call;
    if (is_resumed)
        return resume(im, at);
    if (!begin(im, &call))
        return false;
    if (strstr(at, "<unfinished ...>")) {
        *open = call;
        open->is_pending = true;
        return true;
    }
    if (hg_op_frees(shape_named(call.name)->kind))
        return true;
    if (strncmp(at, ")free(", 6) == 0) /* valgrind: realloc(p,0) */
        return end(im, &call, 0);
    if (strstr(at, "<no return") || !take_result(at, &result)) {
        if (strstr(at, "<no return"))
            return true;
        return hg_import_fail(im, "%s(...) without a result after '='", call.name);
    }
    return end(im, &call, result);
}
