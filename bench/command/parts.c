/* Where the program's parts in Python lie, and how one is started. */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

/* Beside the program: the same way from its folder in the build tree and installed, so both can be moved. */
static bool beside_program(const char *program, const char *part, char out[PATH_SIZE]) {
    const char *slash = strrchr(program, '/');
    int folder_length = slash ? (int)(slash - program) : 0;
    int length =
        snprintf(out, PATH_SIZE, "%.*s/" HG_DATADIR_FROM_BIN "/%s", folder_length, program, part);
    return length > 0 && length < PATH_SIZE;
}

/* The words Python is started with; NULL without memory. The caller frees the array. */
static char **python_words(char *script, int argc, char **argv) {
    static char interpreter[] = HG_PYTHON, module_option[] = "-m", package[] = "heapgauge";
    char **words = calloc((size_t)argc + 4, sizeof *words), **next = words;
    if (!words)
        return NULL;
    *next++ = interpreter;
    if (script) {
        *next++ = script;
    } else {
        *next++ = module_option;
        *next++ = package;
    }
    memcpy(next, argv, (size_t)argc * sizeof *argv);
    return words;
}

int hg_run_python(const char *command, const char *script, int argc, char **argv) {
    char self[PATH_SIZE], folder[PATH_SIZE], file[PATH_SIZE];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    const char *directory = getenv("HEAPGAUGE_PYTHON_DIR");
    if (!beside_program(self, "python", folder) ||
        !beside_program(self, script ? script : "", file))
        return hg_usage_error(command, "%s: this path is too long to find the program's parts by",
                              self);
    const char *needed = script ? file : directory ? directory : folder;
    if (access(needed, R_OK) != 0)
        return hg_usage_error(command, "%s is missing; it belongs to the program: install it again",
                              needed);
    setenv("HEAPGAUGE", self, 1);
    setenv("PYTHONPATH", directory ? directory : folder, 1);
    char **words = python_words(script ? file : NULL, argc, argv);
    if (!words)
        return hg_usage_error(command, "cannot start: out of memory");
    execv(HG_PYTHON, words);
    free(words);
    return hg_usage_error(command, "cannot start %s: %s; install it with: apt-get install python3",
                          HG_PYTHON, strerror(errno));
}

static _Noreturn void run_silent(char *word, int output) {
    const int nowhere = open("/dev/null", O_WRONLY);
    if (dup2(output, STDOUT_FILENO) >= 0 && dup2(nowhere, STDERR_FILENO) >= 0)
        hg_run_python("bench", NULL, 1, &word);
    _exit(127);
}

static void read_pairs(FILE *from, void (*take)(const char *key, const char *value)) {
    char line[PATH_SIZE];
    while (fgets(line, sizeof line, from)) {
        line[strcspn(line, "\n")] = '\0';
        char *value = strchr(line, '\t');
        if (value) {
            *value = '\0';
            take(line, value + 1);
        }
    }
}

void hg_read_python(char *word, void (*take)(const char *key, const char *value)) {
    int ends[2];
    if (pipe(ends) != 0)
        return;
    const pid_t child = fork();
    if (child == 0)
        run_silent(word, ends[1]);
    close(ends[1]);
    FILE *const from = fdopen(ends[0], "r");
    if (from && child > 0)
        read_pairs(from, take);
    if (from)
        fclose(from);
    else
        close(ends[0]);
    if (child > 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
}
