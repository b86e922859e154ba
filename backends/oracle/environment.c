/* What happens around blocks: fork, purge, verification, shortage; and the usable size. */
#define _GNU_SOURCE
#include "oracle_private.h"

#include "heapgauge/contain.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What the child does with slot number `slot`, which is empty: every way to allocate has its turn. */
static bool allocate_in_child(hg_oracle *oracle, uint32_t slot, unsigned turn) {
    static const uint64_t sizes[] = {1, 40, 16, 100, 500, 3000, 20000, 140000};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    static const uint8_t kinds[] = {HG_OP_MALLOC,        HG_OP_CALLOC, HG_OP_MALLOC,
                                    HG_OP_ALIGNED_ALLOC, HG_OP_MALLOC, HG_OP_ALLOC,
                                    HG_OP_ALLOC_ZEROED};
    hg_op op = {.kind = kinds[turn % sizeof kinds], .slot = slot, .size = sizes[turn % SIZES]};
    if (!oracle->backend->libc.malloc && op.kind < HG_OP_ALLOC)
        op.kind = HG_OP_ALLOC;
    op.arg = op.kind == HG_OP_CALLOC ? 1 : op.kind == HG_OP_MALLOC ? 0 : 64;
    return hg__oracle_allocate(oracle, &op);
}

/* Frees or reallocates what is in the slot. */
static bool use_in_child(hg_oracle *oracle, uint32_t slot, bool frees) {
    const struct hg__block *block = &oracle->blocks[slot];
    hg_op grow = {.kind = HG_OP_REALLOC, .slot = slot, .size = block->size * 2 + 1};
    if (frees)
        return hg__free_slot(oracle, slot);
    return block->face == HG__FACE_LIBC && oracle->backend->libc.realloc &&
           block->size < (size_t)1 << 20 && hg__oracle_reallocate(oracle, &grow);
}

/* In the child, under the child's copy of the oracle: inherited blocks are whole, new ones can be had and
 * lie apart from them all, inherited ones can be freed and reallocated, and their memory had again (C54).
 * New ones first, so that it does not hang on slot numbers what is still live then. */
static bool live_in_child(hg_oracle *oracle) {
    enum { SLOTS_MAX = 64, NEW = 24 };
    uint32_t inherited = oracle->slot_end < SLOTS_MAX ? (uint32_t)oracle->slot_end : SLOTS_MAX;
    uint32_t fresh = (uint32_t)oracle->slot_end;
    if (hg__verify_all(oracle) || !hg__make_slot(oracle, fresh + NEW))
        return oracle->found;
    for (uint32_t i = 0; i < NEW; i++)
        if (allocate_in_child(oracle, fresh + i, i))
            return true;
    for (uint32_t slot = 0, live = 0; slot < inherited; slot++)
        if (oracle->blocks[slot].ptr && use_in_child(oracle, slot, live++ % 2))
            return true;
    for (uint32_t slot = 0; slot < inherited; slot++)
        if (!oracle->blocks[slot].ptr && allocate_in_child(oracle, slot, slot))
            return true;
    return hg__verify_all(oracle);
}

static int child_of_fork(hg_oracle *oracle) {
    if (oracle->config.oracle_fault == HG_ORACLE_NO_FORK || !live_in_child(oracle))
        return 0;
    if (oracle->child_finding)
        *oracle->child_finding = oracle->finding;
    return 1;
}

static bool fork_and_wait(hg_oracle *oracle) {
    enum { WAIT_SECONDS = 5 };
    if (!oracle->child_finding)
        oracle->child_finding = hg_shared_map(sizeof *oracle->child_finding);
    pid_t child = fork();
    if (child < 0)
        return false; /* no process to be had: nothing learnt */
    if (child == 0)
        _exit(child_of_fork(oracle));
    struct timespec pause = {0, 200 * 1000};
    int status = 0;
    for (int waited_us = 0; waitpid(child, &status, WNOHANG) == 0; waited_us += 200) {
        if (waited_us > WAIT_SECONDS * 1000 * 1000) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return hg__broken(oracle, "C54", 'M', "the child of fork hung for %d s", WAIT_SECONDS);
        }
        nanosleep(&pause, NULL);
    }
    oracle->counts.checks++;
    if (WIFSIGNALED(status))
        return hg__broken(oracle, "C54", 'M', "the child of fork died of signal %d",
                          WTERMSIG(status));
    if (WEXITSTATUS(status) != 0) /* was it changed before the fork already? */
        return hg__verify_all(oracle) ||
               hg__broken(oracle, "C54", 'M', "in the child of fork %s: %.300s",
                          oracle->child_finding ? oracle->child_finding->item : "something broke",
                          oracle->child_finding ? oracle->child_finding->text : "");
    return false;
}

/* C56: what a purge does to live blocks C7 sees; malloc_trim says 1 or 0. */
static bool purge(hg_oracle *oracle) {
    const hg_backend *backend = oracle->backend;
    if (backend->purge)
        backend->purge(backend);
    if (!backend->native.malloc_trim) {
        oracle->counts.unsupported += !backend->purge;
        return false;
    }
    int trimmed = backend->native.malloc_trim(0);
    oracle->counts.checks++;
    return trimmed != 0 && trimmed != 1 &&
           hg__broken(oracle, "C56", 'M', "malloc_trim returned %d", trimmed);
}

bool hg__oracle_environment(hg_oracle *oracle, const hg_op *op) {
    const hg_backend *backend = oracle->backend;
    switch (op->kind) {
    case HG_OP_PURGE:
        return purge(oracle);
    case HG_OP_FORK:
        return fork_and_wait(oracle);
    case HG_OP_VERIFY:
        if (op->slot == HG_SLOT_NONE)
            return hg__verify_all(oracle);
        return oracle->blocks[op->slot].ptr &&
               hg__content_lost(oracle, op->slot, &oracle->blocks[op->slot],
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

bool hg__oracle_usable_size(hg_oracle *oracle, const hg_op *op) {
    const struct hg_libc_face *libc = &oracle->backend->libc;
    if (!libc->malloc_usable_size) {
        oracle->counts.unsupported++;
        return false;
    }
    if (op->slot != HG_SLOT_NONE && oracle->blocks[op->slot].ptr)
        return hg__usable_changed(oracle, &oracle->blocks[op->slot]);
    oracle->counts.checks++;
    size_t usable = libc->malloc_usable_size(NULL);
    if (usable != 0)
        return hg__broken(oracle, "C40", 'M', "usable size of NULL is %zu", usable);
    return false;
}
