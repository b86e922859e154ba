/* What happens around blocks: fork, purge, verification, shortage; and the usable size. */
#define _GNU_SOURCE
#include "oracle_private.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* In the child: inherited blocks are whole, can be freed, and new ones can be had (C54). Returns the
 * exit status: 0 well, 1 content lost. */
static int live_in_child(hg_oracle *oracle) {
    if (hg__verify_all(oracle))
        return 1;
    for (uint32_t slot = 0; slot < oracle->slot_end; slot += 2)
        if (oracle->blocks[slot].ptr)
            hg__free_block(oracle->backend, &oracle->blocks[slot]);
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
               hg__broken(oracle, "C54", 'M', "the child of fork found content of a block changed");
    return false;
}

bool hg__oracle_environment(hg_oracle *oracle, const hg_op *op) {
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
