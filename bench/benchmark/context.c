/* What the machine is: read once at the start, with open and read, not stdio. */
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <time.h>
#include <unistd.h>

static hg__pair *pairs;
static size_t pair_count, pair_capacity;

void hg_benchmark_add_context(const char *key, const char *value) {
    size_t at = 0;
    while (at < pair_count && strcmp(pairs[at].key, key) < 0)
        at++;
    if (at < pair_count && strcmp(pairs[at].key, key) == 0) {
        pairs[at].value = hg__strdup(value);
        return;
    }
    pairs = hg__grow(pairs, pair_count, &pair_capacity, sizeof *pairs);
    memmove(&pairs[at + 1], &pairs[at], (pair_count - at) * sizeof *pairs);
    pairs[at] = (hg__pair){hg__strdup(key), hg__strdup(value)};
    pair_count++;
}

/* Reads the start of a file as text, without its last newline. Returns false iff it can't be read.
 */
static bool read_text(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t used = 0;
    for (ssize_t n; used + 1 < size && (n = read(fd, text + used, size - 1 - used)) > 0;)
        used += (size_t)n;
    close(fd);
    text[used] = '\0';
    if (used > 0 && text[used - 1] == '\n')
        text[used - 1] = '\0';
    return used > 0;
}

static const char *local_date(void) {
    time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    char text[40];
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &local);
    if (length < 5)
        return "";
    /* +0100 to +01:00 */
    return hg__textf("%.*s:%s", (int)length - 2, text, text + length - 2);
}

static double read_mhz(void) {
    char text[4096];
    const char *line = NULL;
    if (read_text("/proc/cpuinfo", text, sizeof text))
        line = strstr(text, "cpu MHz");
    const char *colon = line ? strchr(line, ':') : NULL;
    if (colon)
        return strtod(colon + 1, NULL);
    if (read_text("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", text, sizeof text))
        return strtod(text, NULL) / 1000;
    return 0;
}

/* 1 where a governor is other than "performance". A machine without governors scales nothing that
 * it could tell us of: 0, as the original says. */
static int read_scaling(int num_cpus) {
    for (int cpu = 0; cpu < num_cpus; cpu++) {
        char path[96], governor[32];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpu);
        if (read_text(path, governor, sizeof governor) && strcmp(governor, "performance") != 0)
            return 1;
    }
    return 0;
}

static int read_aslr(void) {
    int current = personality(0xffffffff);
    if (current != -1 && (current & ADDR_NO_RANDOMIZE))
        return 0;
    char text[16];
    if (!read_text("/proc/sys/kernel/randomize_va_space", text, sizeof text))
        return -1;
    return strcmp(text, "0") != 0;
}

static int count_bits(const char *hex_map) {
    int count = 0;
    for (; *hex_map; hex_map++) {
        if (*hex_map != ',') {
            char digit[2] = {*hex_map, '\0'};
            count += __builtin_popcount((unsigned)strtoul(digit, NULL, 16));
        }
    }
    return count;
}

static bool read_cache_file(int index, const char *file, char *text, size_t size) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, file);
    return read_text(path, text, size);
}

static int64_t parse_cache_size(const char *text) {
    char *suffix;
    int64_t size = strtoll(text, &suffix, 10);
    return *suffix == 'K' ? size << 10 : *suffix == 'M' ? size << 20 : size;
}

static void read_caches(hg__context *context) {
    enum { MOST = sizeof context->caches / sizeof context->caches[0] };
    char type[32], level[16], size[32], map[1024];
    for (int i = 0; i < MOST; i++) {
        if (!read_cache_file(i, "type", type, sizeof type) ||
            !read_cache_file(i, "level", level, sizeof level) ||
            !read_cache_file(i, "size", size, sizeof size) ||
            !read_cache_file(i, "shared_cpu_map", map, sizeof map))
            return;
        context->caches[context->cache_count++] =
            (hg__cache){hg__strdup(type), atoi(level), parse_cache_size(size), count_bits(map)};
    }
}

void hg__context_read(hg__context *context) {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    context->date = local_date();
    context->host_name = hg__strdup(host);
    context->executable = hg__executable;
    context->num_cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    context->mhz_per_cpu = read_mhz();
    context->cpu_scaling = read_scaling(context->num_cpus);
    context->aslr = read_aslr();
    read_caches(context);
    int loads = getloadavg(context->load_avg, 3);
    context->load_count = loads > 0 ? loads : 0;
    context->custom = pairs;
    context->custom_count = pair_count;
}

enum { LONGEST_VALUE = 200 }; /* where people read it; JSON holds all of it */

static void print_caches(hg_sink *to, const hg__context *context) {
    if (context->cache_count > 0)
        hg_sink_puts(to, "CPU Caches:\n");
    for (size_t i = 0; i < context->cache_count; i++) {
        const hg__cache *cache = &context->caches[i];
        hg_sink_printf(to, "  L%d %s %lld KiB", cache->level, cache->type,
                       (long long)(cache->size / 1024));
        if (cache->num_sharing > 0)
            hg_sink_printf(to, " (x%d)", context->num_cpus / cache->num_sharing);
        hg_sink_putc(to, '\n');
    }
}

static void print_load(hg_sink *to, const hg__context *context) {
    for (int i = 0; i < context->load_count; i++)
        hg_sink_printf(to, "%s%.2f", i ? ", " : "Load Average: ", context->load_avg[i]);
    if (context->load_count > 0)
        hg_sink_putc(to, '\n');
}

static void print_warnings(hg_sink *to, const hg__context *context) {
    if (context->cpu_scaling == 1)
        hg_sink_puts(to,
                     "***WARNING*** CPU scaling is enabled, the benchmark real time measurements "
                     "may be noisy and will incur extra overhead.\n");
    if (context->aslr == 1)
        hg_sink_puts(to,
                     "***WARNING*** ASLR is enabled, the results may have unreproducible noise in "
                     "them.\n");
#ifndef NDEBUG
#ifndef __OPTIMIZE__
    hg_sink_puts(to, "***WARNING*** Library was built as DEBUG. Timings may be affected.\n");
#endif
#endif
}

void hg__print_context(hg_sink *to, const hg__context *context) {
    hg_sink_printf(to, "%s\n", context->date);
    hg_sink_printf(to, "Running %s\n", context->executable);
    hg_sink_printf(to, "Run on (%d X %g MHz CPU %s)\n", context->num_cpus, context->mhz_per_cpu,
                   context->num_cpus > 1 ? "s" : "");
    print_caches(to, context);
    print_load(to, context);
    for (size_t i = 0; i < context->custom_count; i++) {
        const char *value = context->custom[i].value;
        hg_sink_printf(to, "%s: %.*s%s\n", context->custom[i].key, LONGEST_VALUE, value,
                       strlen(value) > LONGEST_VALUE ? "..." : "");
    }
    print_warnings(to, context);
    hg_sink_flush(to);
}

void hg__log(int level, const char *format, ...) {
    if (hg__flag.verbosity < level)
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    hg_sink err;
    hg_sink_init_fd(&err, STDERR_FILENO);
    hg_sink_printf(&err, "-- LOG(%d): %s\n", level, line);
    hg_sink_flush(&err);
}
