#define _GNU_SOURCE
#include "heapgauge/contain.h"

#include "heapgauge/meter.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_MS = 10 };

static uint64_t number_in_file(const char *path, const char *key) {
    char text[4096] = "";
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static uint64_t rss_of(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    return number_in_file(path, "VmRSS:") * 1024;
}

static uint64_t default_memory_limit(void) {
    return number_in_file("/proc/meminfo", "MemAvailable:") * 1024 / 4 * 3;
}

static int run_child(int (*body)(void *), void *argument, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        _exit(1);
    setpgid(0, 0);
    int status = body(argument);
    fflush(NULL);
    _exit(status);
}

static void kill_group(pid_t child) {
    kill(-child, SIGKILL);
    kill(child, SIGKILL);
}

enum hg_status hg_contain(int (*body)(void *argument), void *argument,
                          const struct hg_limits *limits, struct hg_contained *out) {
    uint64_t memory_max = limits->memory_bytes ? limits->memory_bytes : default_memory_limit();
    pid_t parent = getpid();
    fflush(NULL);
    uint64_t begin = hg_time_ns();
    pid_t child = fork();
    if (child < 0)
        return HG_ERR_SYSTEM;
    if (child == 0)
        run_child(body, argument, parent);
    setpgid(child, child);
    struct hg_contained result = {.outcome = HG_OUTCOME_EXITED};
    /* A pidfd wakes us the moment the child ends: no time is added to what is measured. */
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    int status = 0;
    for (;;) {
        struct pollfd ended = {.fd = pidfd, .events = POLLIN};
        poll(pidfd >= 0 ? &ended : NULL, pidfd >= 0, POLL_MS);
        if (waitpid(child, &status, WNOHANG) == child)
            break;
        result.seconds = (double)(hg_time_ns() - begin) * 1e-9;
        uint64_t rss = rss_of(child);
        if (rss > result.rss_seen_bytes)
            result.rss_seen_bytes = rss;
        bool late = limits->timeout_s > 0 && result.seconds > limits->timeout_s;
        if (!late && !(memory_max && rss > memory_max))
            continue;
        result.outcome = late ? HG_OUTCOME_TIMEOUT : HG_OUTCOME_MEMORY;
        kill_group(child);
        waitpid(child, &status, 0);
        break;
    }
    if (pidfd >= 0)
        close(pidfd);
    result.seconds = (double)(hg_time_ns() - begin) * 1e-9;
    if (result.outcome == HG_OUTCOME_EXITED && WIFSIGNALED(status)) {
        result.outcome = HG_OUTCOME_CRASHED;
        result.signal = WTERMSIG(status);
    } else if (result.outcome == HG_OUTCOME_EXITED) {
        result.exit_status = WEXITSTATUS(status);
    }
    *out = result;
    return HG_OK;
}

void *hg_shared_map(uint64_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

const char *hg_outcome_name(enum hg_outcome outcome) {
    switch (outcome) {
    case HG_OUTCOME_EXITED:
        return "ok";
    case HG_OUTCOME_CRASHED:
        return "crashed";
    case HG_OUTCOME_TIMEOUT:
        return "timeout";
    case HG_OUTCOME_MEMORY:
        return "out-of-memory";
    }
    return "unknown";
}
