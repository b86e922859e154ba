/* `heapgauge reduce`: the smallest stream that still breaks the same item, as a trace, as text and as a C
 * file. */
#define _GNU_SOURCE
#include "artifact.h"
#include "commands.h"
#include "shrink.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "heapgauge/meter.h"

static const char usage[] =
    "usage: heapgauge reduce [OPTIONS] FILE\n\n"
    "FILE is a trace (.hgt) that breaks a promise under heapgauge check or fuzz, or an input that a\n"
    "fuzzing engine wrote (crash-...). The result breaks the same item of the contract with as few and as\n"
    "small operations as can be found; it is printed, and written as FILE.reduced.hgt, .txt and .c.\n\n"
    "  --backend=NAME|PATH.so  the allocator (the one that the trace names, else core)\n"
    "  --target=NAME        how to read an engine's input (libc)\n"
    "  --item=C4            the item to keep (what the stream breaks first)\n"
    "  --time=S             CPU seconds (30)\n"
    "  --strict, --no-waivers  as for check\n"
    "  -o BASE              where to write, without extension (FILE.reduced)\n\n"
    "Exit status: 1 reduced (there is a finding), 0 the stream breaks nothing, 2 usage or environment.\n";

struct options {
    const char *file, *backend, *target, *item, *base;
    double time_s;
    bool strict, no_waivers;
};

static int wrong(const char *text, const char *value) {
    fprintf(stderr, "heapgauge reduce: %s%s%s\n", text, *value ? ": " : "", value);
    return 2;
}

static bool is_trace(const char *path) {
    unsigned char head[12] = {0};
    FILE *file = fopen(path, "rbe");
    if (!file)
        return false;
    size_t size = fread(head, 1, sizeof head, file);
    fclose(file);
    return size == sizeof head && memcmp(head + 8, "HGT", 3) == 0;
}

static int say_where(const char *base, const char *unwritten, const char *extensions) {
    if (unwritten) {
        fprintf(stderr, "heapgauge reduce: cannot write %s: %s; another place: -o BASE\n",
                unwritten, strerror(errno));
        return 2;
    }
    printf("written: %s.%s\n", base, extensions);
    return 1;
}

static const char *base_of(const struct options *options) {
    static char base[600];
    snprintf(base, sizeof base, "%s%s", options->base ? options->base : options->file,
             options->base ? "" : ".reduced");
    return base;
}

static uint8_t *read_file(const char *path, size_t *size) {
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rbe");
    if (!file)
        return NULL;
    *size = fread(data, 1, sizeof data, file);
    bool bad = ferror(file);
    fclose(file);
    return bad ? NULL : data;
}

/* A target whose input is no stream: the bytes themselves are reduced. */
static int reduce_bytes(const struct options *options, struct hg_fuzz_session *session) {
    size_t size = 0;
    uint8_t *data = read_file(options->file, &size);
    if (!data)
        return wrong(strerror(errno), options->file);
    struct hg_trial trial;
    uint64_t begin = hg_time_ns(), trials = 0;
    hg_fuzz_try_input(session, data, size, 60, &trial);
    if (!*trial.item || (options->item && strcmp(options->item, trial.item) != 0)) {
        printf("%s: %zu bytes break %s in %s\n", options->file, size,
               *trial.item ? trial.item : "nothing", session->target->name);
        return 0;
    }
    char item[HG_ITEM_BYTES];
    snprintf(item, sizeof item, "%s", trial.item);
    size_t before = size;
    size = hg_fuzz_shrink_input(session, data, size, item, options->time_s, &trial, &trials);
    printf("%s in %s: %zu bytes of %zu, %" PRIu64 " trials, %.1f s\n  %s\n", item,
           session->target->name, size, before, trials, (double)(hg_time_ns() - begin) * 1e-9,
           trial.finding.text);
    const char *base = base_of(options);
    return say_where(base, hg_artifact_write_input(base, session, &trial.finding, data, size),
                     "bin, .txt");
}

/* An input of an engine: bytes that the target decodes. NULL: it cannot be read. */
static hg_op *read_input(struct hg_fuzz_session *session, const char *path, size_t *count) {
    size_t size = 0;
    uint8_t *data = read_file(path, &size);
    if (!data)
        return NULL;
    hg_fuzz_decode(&session->decode, data, size, &session->decoded);
    hg_op *ops = malloc((session->decoded.count + 1) * sizeof *ops);
    if (ops)
        memcpy(ops, session->decoded.ops, session->decoded.count * sizeof *ops);
    *count = session->decoded.count;
    return ops;
}

/* A stream of operations: ops[0..count) is changed. */
static int reduce_stream(const struct options *options, struct hg_fuzz_session *session, hg_op *ops,
                         size_t count) {
    struct hg_trial trial;
    uint64_t begin = hg_time_ns(), trials = 0;
    hg_fuzz_try(session, ops, count, 60, &trial);
    const char *wanted = options->item ? options->item : trial.item;
    if (!*trial.item || (options->item && strcmp(options->item, trial.item) != 0)) {
        printf("%s: %zu operations on %s break %s\n", options->file, count, session->name,
               *trial.item ? trial.item : "nothing");
        return 0;
    }
    char kept[HG_ITEM_BYTES];
    snprintf(kept, sizeof kept, "%s", wanted);
    size_t before = count;
    count = hg_fuzz_shrink(session, ops, count, kept, options->time_s, &trial, &trials);
    printf("%s on %s: %zu operations of %zu, %" PRIu64 " trials, %.1f s\n  %s\n\n", kept,
           session->name, count, before, trials, (double)(hg_time_ns() - begin) * 1e-9,
           trial.finding.text);
    for (size_t i = 0; i < count; i++) {
        char line[160];
        hg_op_print(&ops[i], line, sizeof line);
        printf("  %s\n", line);
    }
    printf("\n");
    const char *base = base_of(options);
    return say_where(base, hg_artifact_write_stream(base, session, &trial.finding, ops, count),
                     "hgt, .txt, .c");
}

static int reduce(const struct options *options) {
    static struct hg_fuzz_session session;
    char why[400] = "", item[16] = "", named[128] = "";
    size_t count = 0;
    hg_op *ops = NULL;
    bool traced = is_trace(options->file);
    if (traced) {
        ops = hg_artifact_read_trace(options->file, HG_FUZZ_LOG_OPS, &count, item, named, why,
                                     sizeof why);
        if (!ops)
            return wrong(why, "");
    }
    const char *backend = options->backend ? options->backend : *named ? named : "core";
    const struct hg_fuzz_target *target = hg_fuzz_target_by_name(options->target);
    if (!target)
        return wrong("no such target", options->target);
    if (traced && !target->plays_operations)
        return wrong("a trace is not read as an input of target", options->target);
    unsigned threads = 1;
    for (size_t i = 0; i < count; i++)
        if (ops[i].thread > 0)
            threads = HG_FUZZ_THREADS_MAX;
    if (hg_fuzz_session_open(&session, target, backend, NULL, why, sizeof why) != HG_OK)
        return wrong(why, "");
    session.config.strict = options->strict;
    session.config.no_waivers = options->no_waivers;
    if (threads > session.decode.threads)
        session.decode.threads = threads;
    if (!hg_fuzz_session_renew(&session))
        return wrong("out of memory for the oracle's tables", "");
    if (!target->plays_operations)
        return reduce_bytes(options, &session);
    if (!traced && !(ops = read_input(&session, options->file, &count)))
        return wrong(strerror(errno), options->file);
    return reduce_stream(options, &session, ops, count);
}

int hg_reduce_main(int argc, char **argv) {
    static const struct option long_options[] = {
        {"backend", required_argument, NULL, 'b'}, {"target", required_argument, NULL, 't'},
        {"item", required_argument, NULL, 'i'},    {"time", required_argument, NULL, 's'},
        {"strict", no_argument, NULL, 'S'},        {"no-waivers", no_argument, NULL, 'W'},
        {"help", no_argument, NULL, 'h'},          {0},
    };
    struct options options = {.target = "libc", .time_s = 30};
    char *end;
    for (int option; (option = getopt_long(argc, argv, "ho:", long_options, NULL)) != -1;) {
        switch (option) {
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'b':
            options.backend = optarg;
            break;
        case 't':
            options.target = optarg;
            break;
        case 'i':
            options.item = optarg;
            break;
        case 's':
            options.time_s = strtod(optarg, &end);
            if (end == optarg || *end || options.time_s <= 0)
                return wrong("--time takes seconds", optarg);
            break;
        case 'S':
            options.strict = true;
            break;
        case 'W':
            options.no_waivers = true;
            break;
        case 'o':
            options.base = optarg;
            break;
        default:
            return 2;
        }
    }
    if (argc - optind != 1)
        return wrong("name one FILE; see: heapgauge help reduce", "");
    options.file = argv[optind];
    return reduce(&options);
}
