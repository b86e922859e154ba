/* Packed files as lines: Zstandard by its library, gzip by the program that every Debian has. */
#define _GNU_SOURCE
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

extern char **environ;

/* One at a time: there is one import in a process. */
static struct {
    FILE *packed;
    ZSTD_DStream *stream;
    char bytes[1 << 16];
    ZSTD_inBuffer in;
    size_t to_come; /* 0: between frames */
    const char *error;
    pid_t gzip;
} input;

static ssize_t read_zstd(void *cookie, char *buffer, size_t size) {
    (void)cookie;
    ZSTD_outBuffer out = {buffer, size, 0};
    while (out.pos == 0) {
        if (input.in.pos == input.in.size) {
            input.in = (ZSTD_inBuffer){input.bytes,
                                       fread(input.bytes, 1, sizeof input.bytes, input.packed), 0};
            if (input.in.size == 0) {
                if (input.to_come && !input.error)
                    input.error = "the packed file ends too early";
                return 0;
            }
        }
        input.to_come = ZSTD_decompressStream(input.stream, &out, &input.in);
        if (ZSTD_isError(input.to_come)) {
            input.error = ZSTD_getErrorName(input.to_come);
            return 0;
        }
    }
    return (ssize_t)out.pos;
}

static FILE *open_zstd(FILE *file) {
    input.packed = file;
    input.in = (ZSTD_inBuffer){input.bytes, 0, 0};
    input.stream = ZSTD_createDStream();
    if (!input.stream)
        return NULL;
    return fopencookie(NULL, "r", (cookie_io_functions_t){.read = read_zstd});
}

static FILE *open_gzip(const char *path) {
    int ends[2];
    char program[] = "gzip", flags[] = "-dc", dashes[] = "--";
    char *const words[] = {program, flags, dashes, (char *)path, NULL};
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    const int error = posix_spawnp(&input.gzip, program, &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error) {
        close(ends[0]);
        input.gzip = 0;
        errno = error;
        return NULL;
    }
    return fdopen(ends[0], "r");
}

FILE *hg_import_open(const char *path) {
    memset(&input, 0, sizeof input);
    if (strcmp(path, "-") == 0)
        return stdin;
    FILE *const file = fopen(path, "re");
    unsigned char magic[4] = {0};
    if (!file)
        return NULL;
    const size_t size = fread(magic, 1, sizeof magic, file);
    rewind(file);
    if (size == 4 && memcmp(magic, "\x28\xB5\x2F\xFD", 4) == 0)
        return open_zstd(file);
    if (size >= 2 && magic[0] == 0x1F && magic[1] == 0x8B) {
        fclose(file);
        return open_gzip(path);
    }
    return file;
}

bool hg_import_close(FILE *file, char *why, size_t why_size) {
    bool good = !ferror(file);
    int status = 0;
    snprintf(why, why_size, "%s", input.error ? input.error : strerror(errno));
    if (file != stdin)
        fclose(file);
    if (input.packed)
        fclose(input.packed);
    ZSTD_freeDStream(input.stream);
    if (input.gzip && (waitpid(input.gzip, &status, 0) != input.gzip || status != 0)) {
        snprintf(why, why_size, "gzip could not unpack all of it");
        good = false;
    }
    return good && !input.error;
}
