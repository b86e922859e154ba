/* A cell run by libFuzzer: build/fuzz's program of the target (cmake --workflow --preset fuzz), on the same
 * corpus; what it leaves is taken as the campaign takes its own findings. */
#define _GNU_SOURCE
#include "artifact.h"
#include "campaign.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 700, WORDS_MAX = 24 };

static const char *program_folder(void) {
    const char *given = getenv("HEAPGAUGE_FUZZ_BIN");
    return given && *given ? given : HG_FUZZ_BIN_DIR;
}

/* The folder of what this cell leaves; emptied of what another left before. */
static bool make_folder(const struct hg_fuzz_cell *cell, char folder[PATH_BYTES]) {
    const char *slash = strrchr(cell->backend, '/');
    snprintf(folder, PATH_BYTES, "%.300s/libfuzzer", cell->options->directory);
    mkdir(folder, 0777);
    snprintf(folder, PATH_BYTES, "%.300s/libfuzzer/%.100s-%s", cell->options->directory,
             slash ? slash + 1 : cell->backend, cell->target->name);
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return false;
    DIR *entries = opendir(folder);
    for (const struct dirent *entry; entries && (entry = readdir(entries)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(entries), entry->d_name, 0);
    if (entries)
        closedir(entries);
    return true;
}

struct command {
    char *words[WORDS_MAX];
    size_t count;
};

static __attribute__((format(printf, 2, 3))) void add(struct command *command, const char *format,
                                                      ...) {
    va_list arguments;
    va_start(arguments, format);
    if (command->count < WORDS_MAX - 1 &&
        vasprintf(&command->words[command->count], format, arguments) >= 0)
        command->count++;
    va_end(arguments);
}

static void build_command(const struct hg_fuzz_cell *cell, const char *folder,
                          struct command *command) {
    const struct hg_campaign_options *options = cell->options;
    char path[PATH_BYTES];
    add(command, "%s/fuzz_%s", program_folder(), cell->target->name);
    add(command, "-max_total_time=%.0f", options->time_s < 1 ? 1 : options->time_s);
    add(command, "-seed=%" PRIu64, options->seed % UINT32_MAX);
    if (options->inputs_max)
        add(command, "-runs=%" PRIu64, options->inputs_max);
    add(command, "-max_len=%d", (int)HG_FUZZ_INPUT_BYTES_MAX);
    add(command, "-timeout=10");
    add(command, "-rss_limit_mb=4096");
    add(command, "-print_final_stats=1");
    add(command, "-artifact_prefix=%s/", folder);
    if (options->keep_going) {
        add(command, "-fork=1");
        add(command, "-ignore_crashes=1");
        add(command, "-ignore_timeouts=1");
        add(command, "-ignore_ooms=1");
    }
    add(command, "%s/corpus/%s", options->directory, cell->target->name); /* it writes here */
    snprintf(path, sizeof path, "%.600s/%s", options->corpus ? options->corpus : "",
             cell->target->name);
    if (options->corpus && access(path, R_OK) == 0)
        add(command, "%s", path);
    command->words[command->count] = NULL;
}

static void become_engine(const struct hg_fuzz_cell *cell, const char *folder,
                          const struct command *command, int log) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("HEAPGAUGE_BACKEND", cell->backend, 1);
    setenv("HEAPGAUGE_FINDINGS", folder, 1);
    if (cell->options->strict)
        setenv("HEAPGAUGE_STRICT", "1", 1);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv(command->words[0], command->words);
    _exit(127);
}

/* Executions, as its last statistics or, with -fork, its last line of progress say; 0 if neither is there. */
static uint64_t read_inputs(const char *path) {
    char line[1024];
    uint64_t inputs = 0, seen;
    FILE *log = fopen(path, "re");
    while (log && fgets(line, sizeof line, log)) {
        const char *hash = line[0] == '#' ? line : strstr(line, "number_of_executed_units:");
        hash = hash ? strpbrk(hash, "0123456789") : NULL;
        if (hash && (seen = strtoull(hash, NULL, 10)) > inputs)
            inputs = seen;
    }
    if (log)
        fclose(log);
    return inputs;
}

/* A trace that the target wrote: it has what came before, too. */
static bool take_trace(struct hg_fuzz_cell *cell, const char *path, struct hg_trial *seen) {
    char item[16], backend[128];
    size_t count = 0;
    hg_op *ops = hg_artifact_read_trace(path, HG_FUZZ_LOG_OPS, &count, item, backend, cell->why,
                                        sizeof cell->why);
    if (!ops)
        return false;
    memcpy(cell->log->ops, ops, count * sizeof *ops);
    free(ops);
    cell->log->op_count = count;
    cell->log->input_begin = 0;
    snprintf(seen->item, sizeof seen->item, "%s", item);
    return true;
}

/* An input that it kept (crash-..., timeout-..., oom-...). */
static bool take_input(struct hg_fuzz_cell *cell, const char *path, bool has_trace,
                       struct hg_trial *seen) {
    struct hg_fuzz_log *log = cell->log;
    struct hg_fuzz_session *session = cell->session;
    FILE *file = fopen(path, "rbe");
    if (!file)
        return false;
    log->input_size = (uint32_t)fread(log->input, 1, sizeof log->input, file);
    fclose(file);
    if (cell->target->plays_operations) {
        hg_fuzz_decode(&session->decode, log->input, log->input_size, &session->decoded);
        hg_fuzz_try(session, session->decoded.ops, session->decoded.count, 20, seen);
        memcpy(log->ops, session->decoded.ops, session->decoded.count * sizeof(hg_op));
        log->op_count = session->decoded.count;
        log->input_begin = 0;
    } else {
        hg_fuzz_try_input(session, log->input, log->input_size, 20, seen);
    }
    if (!*seen->item && !has_trace) /* it hangs on what came before */
        snprintf(seen->item, sizeof seen->item, "%s", "crash");
    return *seen->item;
}

static void take_findings(struct hg_fuzz_cell *cell, const char *folder, double begin_s,
                          double begin_cpu_s) {
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    bool has_trace = false;
    for (int pass = 0; pass < 2; pass++) { /* traces first: an input beside one says the same */
        for (int i = 0; i < count; i++) {
            char path[PATH_BYTES + 300];
            struct hg_trial seen = {0};
            const char *name = entries[i]->d_name;
            bool is_trace = strncmp(name, "finding-", 8) == 0;
            bool is_input = strncmp(name, "crash-", 6) == 0 || strncmp(name, "timeout-", 8) == 0 ||
                            strncmp(name, "oom-", 4) == 0;
            snprintf(path, sizeof path, "%s/%s", folder, name);
            if (pass == 0 && is_trace && take_trace(cell, path, &seen)) {
                hg__found_take(cell, &seen, begin_s, begin_cpu_s);
                has_trace = true;
            }
            if (pass == 1 && is_input && (!has_trace || cell->options->keep_going) &&
                take_input(cell, path, has_trace, &seen))
                hg__found_take(cell, &seen, begin_s, begin_cpu_s);
        }
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    if (count >= 0)
        free(entries);
}

bool hg__libfuzzer_run(struct hg_fuzz_cell *cell, double begin_s, double begin_cpu_s) {
    char folder[PATH_BYTES], log_path[PATH_BYTES + 16];
    struct command command = {0};
    hg__corpus_save(cell); /* makes its folder */
    if (!make_folder(cell, folder)) {
        snprintf(cell->why, sizeof cell->why, "%.200s: %s", folder, strerror(errno));
        return false;
    }
    build_command(cell, folder, &command);
    if (access(command.words[0], X_OK) != 0) {
        snprintf(cell->why, sizeof cell->why, "%.200s is not there; cmake --workflow --preset fuzz",
                 command.words[0]);
        return false;
    }
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    int log = open(log_path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0666);
    pid_t child = log < 0 ? -1 : fork();
    if (child == 0)
        become_engine(cell, folder, &command, log);
    int status = 0;
    if (child > 0)
        waitpid(child, &status, 0);
    if (log >= 0)
        close(log);
    if (child < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 127)) {
        snprintf(cell->why, sizeof cell->why, "%.200s could not be started", command.words[0]);
        return false;
    }
    cell->log->inputs = read_inputs(log_path);
    take_findings(cell, folder, begin_s, begin_cpu_s);
    if (status != 0 && cell->finding_count == 0) { /* it ended badly and left nothing */
        snprintf(cell->why, sizeof cell->why, "libFuzzer ended with status %d; see %.300s",
                 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), log_path);
        return false;
    }
    for (size_t i = 0; i < command.count; i++)
        free(command.words[i]);
    return true;
}
