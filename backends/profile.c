#include "heapgauge/profile.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "heapgauge/contain.h"

/* ---- answers ---- */

static void say(char *answer, const char *text) {
    snprintf(answer, HG_PROFILE_ANSWER_BYTES, "%s", text);
}

static void say_pointer(char *answer, const void *ptr) {
    say(answer, ptr ? "a block" : "NULL");
}

static size_t alignment_of(const void *ptr) {
    uintptr_t address = (uintptr_t)ptr;
    return address & -address;
}

static void say_alignment(char *answer, size_t align, const char *before) {
    snprintf(answer, HG_PROFILE_ANSWER_BYTES, "%saligned to %zu", before, align);
}

/* The least alignment of so many blocks at once: one may lie well by chance. */
static size_t least_alignment(void *(*allocate)(const struct hg_libc_face *libc),
                              const struct hg_libc_face *libc) {
    size_t least = 0;
    for (int i = 0; i < 64; i++) {
        void *ptr = allocate(libc);
        size_t align = ptr ? alignment_of(ptr) : 0;
        if (!align)
            return 0;
        if (!least || align < least)
            least = align;
    }
    return least;
}

static void say_least(char *answer, void *(*allocate)(const struct hg_libc_face *libc),
                      const struct hg_libc_face *libc) {
    size_t least = least_alignment(allocate, libc);
    if (least)
        say_alignment(answer, least > 4096 ? 4096 : least, "");
    else
        say(answer, "NULL");
}

/* ---- questions ---- */

static void ask_malloc_zero(const struct hg_libc_face *libc, char *answer) {
    say_pointer(answer, libc->malloc(0));
}

static void ask_calloc_zero(const struct hg_libc_face *libc, char *answer) {
    say_pointer(answer, libc->calloc(0, 8));
}

static void ask_realloc_zero(const struct hg_libc_face *libc, char *answer) {
    void *ptr = libc->malloc(16);
    void *after = ptr ? libc->realloc(ptr, 0) : NULL;
    say(answer, after ? "a block of 0 bytes" : "NULL, and frees");
}

static void *aligned_zero(const struct hg_libc_face *libc) {
    return libc->aligned_alloc(64, 0);
}

static void ask_aligned_zero(const struct hg_libc_face *libc, char *answer) {
    say_least(answer, aligned_zero, libc);
}

static void *aligned_odd(const struct hg_libc_face *libc) {
    return libc->aligned_alloc(48, 96);
}

static void ask_aligned_odd(const struct hg_libc_face *libc, char *answer) {
    say_least(answer, aligned_odd, libc);
}

static void ask_aligned_size(const struct hg_libc_face *libc, char *answer) {
    say_pointer(answer, libc->aligned_alloc(64, 100));
}

static void *memalign_odd(const struct hg_libc_face *libc) {
    return libc->memalign(48, 96);
}

static void ask_memalign_odd(const struct hg_libc_face *libc, char *answer) {
    say_least(answer, memalign_odd, libc);
}

static void ask_pvalloc_zero(const struct hg_libc_face *libc, char *answer) {
    void *ptr = libc->pvalloc(0);
    if (ptr && libc->malloc_usable_size)
        snprintf(answer, HG_PROFILE_ANSWER_BYTES, "a block of %zu usable bytes",
                 libc->malloc_usable_size(ptr));
    else
        say_pointer(answer, ptr);
}

static void *eight(const struct hg_libc_face *libc) {
    return libc->malloc(8);
}

static void ask_malloc_eight(const struct hg_libc_face *libc, char *answer) {
    say_least(answer, eight, libc);
}

static void *sixteen(const struct hg_libc_face *libc) {
    return libc->malloc(16);
}

static void ask_malloc_sixteen(const struct hg_libc_face *libc, char *answer) {
    say_least(answer, sixteen, libc);
}

static void *realigned(const struct hg_libc_face *libc) {
    void *ptr = libc->aligned_alloc(512, 512);
    return ptr ? libc->realloc(ptr, 900) : NULL;
}

static void ask_realloc_align(const struct hg_libc_face *libc, char *answer) {
    say_least(answer, realigned, libc);
}

#define NEEDS(function) offsetof(struct hg_libc_face, function)

static const struct {
    const char *key, *question, *item;
    void (*ask)(const struct hg_libc_face *libc, char *answer);
    size_t needs; /* where in the face the function stands */
} questions[] = {
    {"malloc_zero", "malloc(0)", "C8", ask_malloc_zero, NEEDS(malloc)},
    {"calloc_zero", "calloc(0, 8)", "C19", ask_calloc_zero, NEEDS(calloc)},
    {"realloc_zero", "realloc(p, 0)", "C25", ask_realloc_zero, NEEDS(realloc)},
    {"aligned_alloc_zero", "aligned_alloc(64, 0)", "C33", ask_aligned_zero, NEEDS(aligned_alloc)},
    {"aligned_alloc_odd", "aligned_alloc(48, 96)", "C31", ask_aligned_odd, NEEDS(aligned_alloc)},
    {"aligned_alloc_size", "aligned_alloc(64, 100)", "C32", ask_aligned_size, NEEDS(aligned_alloc)},
    {"memalign_odd", "memalign(48, 96)", "C43", ask_memalign_odd, NEEDS(memalign)},
    {"pvalloc_zero", "pvalloc(0)", "C43", ask_pvalloc_zero, NEEDS(pvalloc)},
    {"malloc_8", "malloc(8)", "C3", ask_malloc_eight, NEEDS(malloc)},
    {"malloc_16", "malloc(16)", "C3", ask_malloc_sixteen, NEEDS(malloc)},
    {"realloc_align", "realloc(aligned_alloc(512, 512), 900)", "C26", ask_realloc_align,
     NEEDS(realloc)},
};
enum { QUESTION_COUNT = sizeof questions / sizeof *questions };
_Static_assert((int)QUESTION_COUNT <= (int)HG_PROFILE_QUESTIONS_MAX, "answers has room");

struct asked {
    const struct hg_libc_face *libc;
    size_t question;
    char answer[HG_PROFILE_ANSWER_BYTES];
};

static int ask_in_child(void *argument) {
    struct asked *asked = argument;
    questions[asked->question].ask(asked->libc, asked->answer);
    return 0;
}

static bool is_there(const struct hg_libc_face *libc, size_t needs) {
    const char *entry = (const char *)libc + needs;
    void *function;
    memcpy(&function, entry, sizeof function);
    return function != NULL;
}

size_t hg_profile_ask(const hg_backend *backend,
                      struct hg_profile_answer answers[HG_PROFILE_QUESTIONS_MAX]) {
    static struct asked *asked; /* shared memory is never given back: one is enough */
    struct hg_limits limits = {.timeout_s = 5};
    struct hg_contained child;
    if (!asked && !(asked = hg_shared_map(sizeof *asked)))
        return 0;
    for (size_t i = 0; i < QUESTION_COUNT; i++) {
        struct hg_profile_answer *answer = &answers[i];
        *answer = (struct hg_profile_answer){questions[i].key, questions[i].question,
                                             questions[i].item, "no such function"};
        if (!backend->libc.malloc || !is_there(&backend->libc, questions[i].needs) ||
            (questions[i].ask == ask_realloc_align && !backend->libc.aligned_alloc))
            continue;
        *asked = (struct asked){&backend->libc, i, "no answer"};
        if (hg_contain(ask_in_child, asked, &limits, &child) != HG_OK)
            continue;
        say(answer->answer, asked->answer);
        if (child.outcome == HG_OUTCOME_CRASHED)
            snprintf(answer->answer, sizeof answer->answer, "ends the process (signal %d)",
                     child.signal);
        else if (child.outcome != HG_OUTCOME_EXITED)
            say(answer->answer, "does not return");
        else if (child.exit_status != 0)
            snprintf(answer->answer, sizeof answer->answer, "ends the process (status %d)",
                     child.exit_status);
    }
    return QUESTION_COUNT;
}
