/* Event counters through perf_event_open: the generic events of the kernel by their libpfm names.
 * Each thread of a benchmark counts itself, while its clock runs. */
#include "internal.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct event {
    const char *name;
    uint32_t type;
    uint64_t config;
} event;

static const event events[] = {
    {"CYCLES", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
    {"CPU-CYCLES", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
    {"INSTRUCTIONS", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
    {"CACHE-REFERENCES", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_REFERENCES},
    {"CACHE-MISSES", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES},
    {"BRANCHES", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_INSTRUCTIONS},
    {"BRANCH-INSTRUCTIONS", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_INSTRUCTIONS},
    {"BRANCH-MISSES", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES},
    {"BUS-CYCLES", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BUS_CYCLES},
    {"REF-CYCLES", PERF_TYPE_HARDWARE, PERF_COUNT_HW_REF_CPU_CYCLES},
    {"TASK-CLOCK", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK},
    {"PAGE-FAULTS", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS},
    {"MINOR-FAULTS", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MIN},
    {"MAJOR-FAULTS", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MAJ},
    {"CONTEXT-SWITCHES", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES},
    {"CPU-MIGRATIONS", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS},
};

static const event *selected[HG__PERF_MAX];
static size_t selected_count;

size_t hg__perf_count(void) {
    return selected_count;
}

const char *hg__perf_name(size_t index) {
    return selected[index]->name;
}

static int open_event(const event *e) {
    struct perf_event_attr attr = {
        .type = e->type,
        .size = sizeof attr,
        .config = e->config,
        .disabled = 1,
        .exclude_hv = 1,
        .exclude_kernel = e->type == PERF_TYPE_HARDWARE,
    };
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static const event *find_event(const char *name) {
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (strcmp(events[i].name, name) == 0)
            return &events[i];
    }
    return NULL;
}

static bool select_event(const char *name) {
    const event *e = find_event(name);
    if (!e) {
        hg__complain("performance counter '%s' is unknown; there are CYCLES, INSTRUCTIONS, "
                     "CACHE-REFERENCES, CACHE-MISSES, BRANCHES, BRANCH-MISSES, BUS-CYCLES, "
                     "REF-CYCLES, TASK-CLOCK, PAGE-FAULTS, MINOR-FAULTS, MAJOR-FAULTS, "
                     "CONTEXT-SWITCHES, CPU-MIGRATIONS",
                     name);
        return false;
    }
    if (selected_count == HG__PERF_MAX) {
        hg__complain("more than %d performance counters", HG__PERF_MAX);
        return false;
    }
    int fd = open_event(e);
    if (fd < 0) {
        const char *reason = errno == ENOENT || errno == EOPNOTSUPP
                                 ? "this machine (a virtual one, perhaps) does not count it"
                                 : strerror(errno);
        hg__complain(
            "performance counter '%s' is not supported here: %s%s", name, reason,
            errno == EACCES || errno == EPERM ? " (see /proc/sys/kernel/perf_event_paranoid)" : "");
        return false;
    }
    close(fd);
    selected[selected_count++] = e;
    return true;
}

bool hg__perf_select(const char *list) {
    char *name, *rest = hg__strdup(list);
    selected_count = 0;
    while ((name = strsep(&rest, ","))) {
        if (*name && !select_event(name))
            return false;
    }
    return true;
}

void hg__perf_open(hg__perf *perf) {
    for (size_t i = 0; i < selected_count; i++)
        perf->fds[i] = open_event(selected[i]);
}

void hg__perf_enable(hg__perf *perf, bool on) {
    for (size_t i = 0; i < selected_count; i++)
        ioctl(perf->fds[i], on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, 0);
}

void hg__perf_close(hg__perf *perf, double values[HG__PERF_MAX]) {
    for (size_t i = 0; i < selected_count; i++) {
        uint64_t value = 0;
        if (perf->fds[i] < 0 || read(perf->fds[i], &value, sizeof value) != sizeof value)
            value = 0;
        values[i] = (double)value;
        if (perf->fds[i] >= 0)
            close(perf->fds[i]);
    }
}
