/* Property: the first call may be any function of the family, from any thread (C57); a library that stands
 * in for malloc exports the whole family (C55), and a program preloaded with it comes up and ends. Each
 * input is played in a process of its own, in which a library given by its path was never called before. */
#define _GNU_SOURCE
#include "session.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heapgauge/contain.h"

/* Runs this very program, which allocates, starts threads and ends, under the library. */
static int run_preloaded(void *path) {
    const char *const words[] = {"heapgauge",  "check",       "--backend=core",
                                 "--ops=2000", "--threads=2", NULL};
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    setenv("LD_PRELOAD", path, 1);
    execv("/proc/self/exe", (char *const *)words);
    return 127;
}

static bool preload_fails(struct hg_fuzz_session *session) {
    char path[4096];
    struct hg_limits limits = {.timeout_s = 20};
    struct hg_contained child;
    const char *asked = session->backend.facts.path;
    if (!asked || !strstr(asked, ".so") || strstr(asked, "libc.so") || !realpath(asked, path) ||
        access("/proc/self/exe", X_OK) != 0)
        return false;
    if (hg_contain(run_preloaded, path, &limits, &child) != HG_OK ||
        (child.outcome == HG_OUTCOME_EXITED &&
         (child.exit_status == 0 || child.exit_status == 127)))
        return false;
    return hg_fuzz_found(session, "C55",
                         "a program preloaded with it ended: %s, signal %d, status %d",
                         hg_outcome_name(child.outcome), child.signal, child.exit_status);
}

/* glibc's manual, "Replacing malloc": without these four two heaps meet in one program. */
static bool exports_half(struct hg_fuzz_session *session) {
    const struct hg_libc_face *libc = &session->backend.libc;
    if (!libc->malloc || (libc->free && libc->calloc && libc->realloc))
        return false;
    return hg_fuzz_found(session, "C55", "defines malloc, and not%s%s%s: preloaded, two heaps mix",
                         libc->free ? "" : " free", libc->calloc ? "" : " calloc",
                         libc->realloc ? "" : " realloc");
}

static bool without_input(struct hg_fuzz_session *session) {
    return exports_half(session) || preload_fails(session);
}

extern const struct hg_fuzz_target hg_fuzz_target_first;
const struct hg_fuzz_target hg_fuzz_target_first = {
    .name = "first",
    .property = "the first call may be any, from any thread; the library can be preloaded",
    .decode = {.threads = 4, .both_faces = true},
    .plays_operations = true,
    .needs_backend = true,
    .fresh_process = true,
    .run = hg_fuzz_play_input,
    .without_input = without_input,
};
