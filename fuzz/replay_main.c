/* A main for targets without a fuzzing engine: replays files and folders of inputs under any compiler,
 * counts what happened in them, and fails when a class of operation never did. With no file it reads one
 * input from standard input, as AFL++ hands it over.
 *
 *   fuzz_libc_replay [--counts] [--random=N] [FILE|FOLDER ...]
 *
 * Exit status: 0 well, 1 a class of operation never happened, 2 a file could not be read; a finding
 * aborts. */
#define _GNU_SOURCE
#include "mutate.h"
#include "session.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern struct hg_fuzz_session hg_engine_session;

enum { INPUT_BYTES_MAX = 1 << 20 };
static uint8_t input[INPUT_BYTES_MAX];
static uint64_t files;

static int replay_stream(FILE *stream, const char *name) {
    size_t size = fread(input, 1, sizeof input, stream);
    if (ferror(stream)) {
        fprintf(stderr, "heapgauge: cannot read %s\n", name);
        return 2;
    }
    files++;
    return LLVMFuzzerTestOneInput(input, size);
}

static int replay_file(const char *path) {
    FILE *stream = fopen(path, "rbe");
    if (!stream) {
        perror(path);
        return 2;
    }
    int status = replay_stream(stream, path);
    fclose(stream);
    return status;
}

static int replay_path(const char *path) {
    struct stat facts;
    if (stat(path, &facts) == 0 && !S_ISDIR(facts.st_mode))
        return replay_file(path);
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        perror(path);
        return 2;
    }
    int status = 0;
    for (int i = 0; i < count; i++) {
        char inside[4096];
        snprintf(inside, sizeof inside, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && status == 0)
            status = replay_file(inside);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* Must this kind happen in a corpus of the target? */
static bool is_expected(const struct hg_fuzz_target *target, unsigned kind) {
    const struct hg_decode_options *options = &target->decode;
    bool layout = options->layout_face || options->both_faces;
    bool libc = !options->layout_face || options->both_faces;
    if (kind <= HG_OP_FREE_ALIGNED_SIZED)
        return libc;
    if (kind <= HG_OP_DEALLOC)
        return layout;
    switch (kind) {
    case HG_OP_PURGE:
    case HG_OP_FORK:
    case HG_OP_FAIL_PAGES:
        return options->environment;
    case HG_OP_THREAD_START:
    case HG_OP_THREAD_END:
        return options->threads > 1;
    case HG_OP_VERIFY:
        return true;
    default:
        return false;
    }
}

static int print_counts(void) {
    const struct hg_fuzz_session *session = &hg_engine_session;
    const struct hg_oracle_counts *counts = &session->log->counts;
    int missing = 0;
    printf("%s on %s: %" PRIu64 " files, %" PRIu64 " inputs, %" PRIu64 " operations, %" PRIu64
           " checks\n",
           session->target->name, session->name, files, session->log->inputs,
           session->log->operations, counts->checks);
    if (!session->target->plays_operations)
        return session->log->inputs == 0;
    for (unsigned kind = 0; kind < HG_OP_KIND_COUNT; kind++) {
        bool lacks = is_expected(session->target, kind) && !counts->performed[kind];
        if (counts->performed[kind] || lacks)
            printf("  %-20s %10" PRIu64 "%s\n", hg_op_kind_name(kind), counts->performed[kind],
                   lacks ? "  NEVER HAPPENED" : "");
        missing += lacks;
    }
    printf("  granted %" PRIu64 ", refused as owed %" PRIu64 ", refused for memory %" PRIu64
           ", moved %" PRIu64 ", stayed %" PRIu64 "\n",
           counts->succeeded, counts->failed_as_owed, counts->failed_for_memory, counts->moved,
           counts->stayed);
    missing += !counts->moved + !counts->stayed +
               (!counts->failed_as_owed && !session->target->decode.layout_face);
    return missing ? 1 : 0;
}

int main(int argc, char **argv) {
    bool counts = false;
    uint64_t random_inputs = 0;
    int first = 1, status = LLVMFuzzerInitialize(&argc, &argv);
    for (; first < argc && strncmp(argv[first], "--", 2) == 0; first++) {
        counts |= strcmp(argv[first], "--counts") == 0;
        if (strncmp(argv[first], "--random=", 9) == 0)
            random_inputs = strtoull(argv[first] + 9, NULL, 10);
    }
    for (int i = first; i < argc && status == 0; i++)
        status = replay_path(argv[i]);
    if (first == argc && !random_inputs)
        status = replay_stream(stdin, "standard input");
    uint64_t random = 1;
    for (uint64_t i = 0; i < random_inputs && status == 0; i++)
        status = LLVMFuzzerTestOneInput(
            input, hg_fuzz_fresh(input, HG_FUZZ_INPUT_BYTES_MAX, 100, &random));
    if (status == 0 && counts)
        status = print_counts();
    return status;
}
