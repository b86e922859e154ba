#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int hg_usage_error(const char *command, const char *format, ...) {
    fprintf(stderr, "heapgauge %s: ", command);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return HG_EXIT_USAGE;
}

bool hg_take_word(int *argc, char **argv, const char *word) {
    int kept = 1;
    for (int i = 1; i < *argc; i++)
        if (strcmp(argv[i], word) != 0)
            argv[kept++] = argv[i];
    bool found = kept < *argc;
    argv[kept] = NULL;
    *argc = kept;
    return found;
}

bool hg_parse_u64(const char *text, uint64_t *out) {
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {
        {"", 1},           {"k", 1000},      {"K", 1000},      {"M", 1000000},
        {"G", 1000000000}, {"Ki", 1u << 10}, {"Mi", 1u << 20}, {"Gi", 1u << 30},
    };
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    for (size_t i = 0; errno == 0 && i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].suffix) == 0)
            return !__builtin_mul_overflow(value, units[i].factor, out);
    return false;
}

bool hg_parse_double(const char *text, double *out) {
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end || errno || !(value >= 0) || value > 1e12)
        return false;
    *out = value;
    return true;
}

static int each_of_all(const char *command,
                       int (*each)(const hg_backend *backend, const char *spec, void *context),
                       void *context) {
    const char *name;
    for (size_t i = 0; (name = hg_backend_name(i)) != NULL; i++) {
        const hg_backend *backend;
        char why[512];
        if (strcmp(name, "null") == 0)
            continue;
        if (hg_backend_open(name, &backend, why, sizeof why) != HG_OK) {
            fprintf(stderr, "heapgauge %s: left out: %s\n", command, why);
            continue;
        }
        int status = each(backend, name, context);
        if (status)
            return status;
    }
    return HG_EXIT_OK;
}

int hg_each_backend(const char *command, const char *list,
                    int (*each)(const hg_backend *backend, const char *spec, void *context),
                    void *context) {
    if (strcmp(list, "all") == 0)
        return each_of_all(command, each, context);
    char copy[2048];
    if (strlen(list) >= sizeof copy)
        return hg_usage_error(command, "the list of backends is too long");
    strcpy(copy, list);
    for (char *rest = copy, *spec; (spec = strsep(&rest, ",")) != NULL;) {
        const hg_backend *backend;
        char why[512];
        if (hg_backend_open(spec, &backend, why, sizeof why) != HG_OK)
            return hg_usage_error(command, "%s", why);
        int status = each(backend, spec, context);
        if (status)
            return status;
    }
    return HG_EXIT_OK;
}

int hg_json_open(const char *command, const char *path) {
    if (strcmp(path, "-") == 0)
        return dup(STDOUT_FILENO);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        hg_usage_error(command, "cannot write %s: %s", path, strerror(errno));
    return fd;
}

int hg_json_close(const char *command, const char *path, hg_sink *sink, int fd) {
    int error = hg_sink_flush(sink);
    if (close(fd) != 0 && !error)
        error = errno;
    if (error)
        return hg_usage_error(command, "cannot write %s: %s", path, strerror(error));
    return HG_EXIT_OK;
}

bool hg_is_trace(const char *word) {
    size_t length = strlen(word);
    return length > 4 && strcmp(word + length - 4, ".hgt") == 0;
}
