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
    char text[16384] = "";
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

/* A limit that the machine has not got protects nothing. */
static uint64_t memory_limit(uint64_t asked_bytes) {
    uint64_t free_bytes = number_in_file("/proc/meminfo", "MemAvailable:") * 1024;
    if (asked_bytes == 0)
        return free_bytes / 4 * 3;
    uint64_t most = free_bytes / 10 * 9;
    return most && most < asked_bytes ? most : asked_bytes;
}

/* Processes that the kernel killed for want of memory, since it was started. */
static uint64_t kernel_kills(void) {
    return number_in_file("/proc/vmstat", "\noom_kill ");
}

/* Should memory run out between two looks, the kernel takes the child, not the campaign or its neighbours.
 * (A limit of the address space would change what an allocator under test is granted.) */
static void volunteer(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "1000", 4);
        close(fd);
    }
}

/* How long until the next look: shorter as the limit comes nearer at the pace of the last step. */
static int poll_ms(uint64_t rss, uint64_t rss_before, uint64_t memory_max) {
    uint64_t step = rss > rss_before ? rss - rss_before : 0;
    uint64_t left = memory_max > rss ? memory_max - rss : 0;
    return step == 0 || left / 2 > step * 4 ? POLL_MS : 1;
}

static int run_child(int (*body)(void *), void *argument, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        _exit(1);
    setpgid(0, 0);
    volunteer();
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
    static uint64_t kills_before;
    if (!kills_before)
        kills_before = kernel_kills() + 1;
    uint64_t memory_max = memory_limit(limits->memory_bytes), rss = 0;
    int wait_ms = POLL_MS;
    pid_t parent = getpid();
    fflush(NULL);
    uint64_t begin = hg_time_ns(), beat_ns = begin, beat = 0;
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
        poll(pidfd >= 0 ? &ended : NULL, pidfd >= 0, wait_ms);
        if (waitpid(child, &status, WNOHANG) == child)
            break;
        uint64_t now = hg_time_ns();
        if (limits->beat && beat != __atomic_load_n(limits->beat, __ATOMIC_RELAXED)) {
            beat = __atomic_load_n(limits->beat, __ATOMIC_RELAXED);
            beat_ns = now;
        }
        uint64_t rss_before = rss;
        rss = rss_of(child);
        wait_ms = poll_ms(rss, rss_before, memory_max);
        if (rss > result.rss_seen_bytes)
            result.rss_seen_bytes = rss;
        bool late = limits->timeout_s > 0 && ((double)(now - beat_ns) * 1e-9 > limits->timeout_s ||
                                              (double)(now - begin) * 1e-10 > limits->timeout_s);
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
        if (result.signal == SIGKILL && kernel_kills() + 1 > kills_before) {
            kills_before = kernel_kills() + 1;
            result.outcome = HG_OUTCOME_MEMORY;
        }
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
