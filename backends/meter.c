#include "heapgauge/meter.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Reads a small file of /proc whole; returns its length, 0 on failure. */
static size_t read_file(const char *path, char *text, size_t text_size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    size_t length = 0;
    ssize_t n;
    while (length + 1 < text_size && (n = read(fd, text + length, text_size - 1 - length)) > 0)
        length += (size_t)n;
    close(fd);
    text[length] = '\0';
    return length;
}

/* The number after `key` in text of the form "Key:   123 kB", in bytes; 0 if it isn't there. */
static uint64_t kib_after(const char *text, const char *key) {
    const char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

uint64_t hg_rss_bytes_fast(void) {
    char text[128];
    if (!read_file("/proc/self/statm", text, sizeof text))
        return 0;
    char *second = strchr(text, ' ');
    return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

uint64_t hg_rss_bytes(void) {
    char text[2048];
    if (read_file("/proc/self/smaps_rollup", text, sizeof text)) {
        uint64_t bytes = kib_after(text, "\nRss:");
        if (bytes)
            return bytes;
    }
    return hg_rss_bytes_fast();
}

bool hg_rss_peak_reset(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool done = write(fd, "5", 1) == 1;
    close(fd);
    return done;
}

uint64_t hg_rss_peak_bytes(void) {
    char text[4096];
    return read_file("/proc/self/status", text, sizeof text) ? kib_after(text, "VmHWM:") : 0;
}

uint64_t hg_minor_faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_minflt;
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t hg_time_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t hg_cpu_ns(void) {
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}
