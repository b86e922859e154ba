#define _GNU_SOURCE
#include "command.h"

#include "heapgauge/benchmark.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the whole machine, since it started. */
struct reading {
    uint64_t steal_ticks, context_switches;
    bool is_known;
};

/* Stands in the context until the run is over; in a file it leaves room for a number and for blanks, which
 * JSON allows behind a value. */
static const char unknown[] = "unknown             ";

static struct reading before;

static struct reading read_machine(void) {
    struct reading now = {0};
    FILE *const file = fopen("/proc/stat", "r");
    if (!file)
        return now;
    /* cpu user nice system idle iowait irq softirq steal */
    bool has_steal =
        fscanf(file, "cpu %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &now.steal_ticks) == 1;
    char *line = NULL;
    size_t size = 0;
    bool has_switches = false;
    while (!has_switches && getline(&line, &size, file) >= 0)
        has_switches = sscanf(line, "ctxt %" SCNu64, &now.context_switches) == 1;
    now.is_known = has_steal && has_switches;
    free(line);
    fclose(file);
    return now;
}

/* Writes `value` over what stands in the file for `key`. */
static void settle(int fd, const char *text, size_t length, const char *key, const char *value) {
    char place[80], settled[sizeof unknown + 2];
    int size = snprintf(place, sizeof place, "\"%s\": \"%s\"", key, unknown);
    const char *const at = memmem(text, length, place, (size_t)size);
    if (!at)
        return;
    char quoted[sizeof unknown];
    snprintf(quoted, sizeof quoted, "\"%s\"", value);
    size = snprintf(settled, sizeof settled, "%-*s", (int)sizeof unknown + 1, quoted);
    off_t offset = at - text + (off_t)strlen(key) + 4;
    (void)!pwrite(fd, settled, (size_t)size, offset); /* else it stays unknown */
}

void hg_late_context_begin(bool into_file) {
    before = read_machine();
    const char *const text = into_file ? unknown : "unknown";
    hg_benchmark_add_context("steal_ticks_delta", text);
    hg_benchmark_add_context("ctx_switches", text);
    hg_benchmark_add_context("load_avg_after", text);
}

void hg_late_context_end(const char *path) {
    enum { CONTEXT_MAX = 1 << 18 };
    const struct reading after = read_machine();
    char *const text = malloc(CONTEXT_MAX);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    ssize_t length = fd >= 0 && text ? pread(fd, text, CONTEXT_MAX, 0) : 0;
    if (length > 0) {
        char value[sizeof unknown];
        double load;
        if (before.is_known && after.is_known) {
            snprintf(value, sizeof value, "%" PRIu64, after.steal_ticks - before.steal_ticks);
            settle(fd, text, (size_t)length, "steal_ticks_delta", value);
            snprintf(value, sizeof value, "%" PRIu64,
                     after.context_switches - before.context_switches);
            settle(fd, text, (size_t)length, "ctx_switches", value);
        }
        if (getloadavg(&load, 1) == 1) {
            snprintf(value, sizeof value, "%.2f", load);
            settle(fd, text, (size_t)length, "load_avg_after", value);
        }
    }
    if (fd >= 0)
        close(fd);
    free(text);
}
