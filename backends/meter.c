#define _GNU_SOURCE
#include "heapgauge/meter.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

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

/* One line of /proc/self/maps: "55e0-55f0 r-xp 00000000 08:01 1234   /usr/bin/x". */
static void settle_mapping(const char *line) {
    char *at;
    const uintptr_t begin = strtoull(line, &at, 16);
    const uintptr_t end = *at == '-' ? strtoull(at + 1, &at, 16) : 0;
    if (end > begin && at[0] == ' ' && at[1] == 'r' && strchr(at, '/'))
        madvise((void *)begin, end - begin, MADV_POPULATE_READ); /* refused: it stays as it is */
}

void hg_rss_settle_files(void) {
    static char text[1 << 16];
    size_t length = 0;
    const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    for (ssize_t n; (n = read(fd, text + length, sizeof text - 1 - length)) > 0;) {
        char *line = text, *line_end;
        length += (size_t)n;
        text[length] = '\0';
        for (; (line_end = strchr(line, '\n')); line = line_end + 1) {
            *line_end = '\0';
            settle_mapping(line);
        }
        length -= (size_t)(line - text);
        memmove(text, line, length);
    }
    close(fd);
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
