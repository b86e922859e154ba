/* `heapgauge fuzz`: campaigns. For each backend and target a cell: a process that opens the backend, and
 * in it children one after the other, each of which plays inputs until its time is up or something breaks.
 * What a child did stands in memory shared with the cell, so a crash loses nothing.
 *
 *   heapgauge fuzz -- cell (opens the backend) -- child (plays inputs) ... until found or time is up
 *                                              -- children that reduce what was found */
#define _GNU_SOURCE
#include "artifact.h"
#include "commands.h"
#include "mutate.h"
#include "shrink.h"

#include "../backends/faults/faulty.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "heapgauge/contain.h"
#include "heapgauge/meter.h"

static const char usage[] =
    "usage: heapgauge fuzz [OPTIONS]\n\n"
    "Feeds allocators with streams of operations, biased to where allocators break, and checks every\n"
    "promise of the contract. What breaks is reduced and written as a trace, as text and as a C file.\n\n"
    "  --backend=A,B|all|PATH.so  allocators (all that are here)\n"
    "  --target=A,B|all     layout, libc, threads, parallel, environment, native, first, differential, core_inside,\n"
    "                       trace_reader, kernel (all)\n"
    "  --time=S             seconds for each backend and target (60)\n"
    "  --inputs=N           at most so many inputs each\n"
    "  --seed=N             the first input's seed; by default one of the clock, printed\n"
    "  --keep-going         do not stop a target at its first finding\n"
    "  --random             purely random bytes: no mutation, no corpus (for comparison)\n"
    "  --corpus=DIR         inputs to begin with: files of DIR/TARGET/\n"
    "  --strict             quality items are findings too\n"
    "  --no-waivers         known deviations of a backend are findings too\n"
    "  --mute=C4,C41        items not to report\n"
    "  --oracle-fault=NAME  a fault of the oracle itself, for tests of the tests\n"
    "  --no-reduce          write what was found as it is\n"
    "  --json=FILE          the table as JSON\n"
    "  --faults             list the planted faults, tab-separated: name, item, found as, target, what\n"
    "                       a plain stream lacks to show it, ease, what it is\n"
    "  -o DIR               where findings and corpus go (heapgauge-findings)\n\n"
    "Exit status: 0 clean, 1 a finding, 2 usage or environment.\n";

enum {
    CORPUS_MAX = 2048,
    INPUT_BYTES = HG_FUZZ_HEADER_BYTES + 256 * HG_FUZZ_RECORD_BYTES,
    USUAL_OPS = 100,
    FINDINGS_MAX = 32,
    SHAPE_BYTES = 96,
    SAME_ITEM_MAX = 3, /* then it is muted */
};

struct options {
    const char *backends, *targets, *directory, *json, *muted, *corpus;
    double time_s;
    uint64_t inputs_max, seed;
    unsigned oracle_fault;
    bool keep_going, random, strict, no_waivers, no_reduce;
};

struct found {
    char item[HG_ITEM_BYTES];
    char shape[SHAPE_BYTES]; /* kinds of the reduced stream, a letter each */
    char text[HG_FINDING_TEXT_BYTES];
    char path[400]; /* without extension */
    uint64_t times, op_count, op_count_before, inputs, operations;
    double cpu_s, wall_s;
    bool reproduced;
};

struct entry {
    uint32_t size;
    uint8_t data[INPUT_BYTES];
};

/* What a cell leaves for the command: shared. */
struct cell {
    const struct options *options;
    const char *backend;
    const struct hg_fuzz_target *target;
    struct hg_fuzz_session *session;
    struct hg_fuzz_log *log;
    bool unavailable;
    char why[400];
    struct found findings[FINDINGS_MAX];
    size_t finding_count;
    char muted[256];
    double wall_s, cpu_s;
    uint64_t random, children;
    uint64_t waiver_uses[64];
    double slice_s; /* of the child in hand */
    size_t corpus_count, corpus_saved;
    struct entry corpus[CORPUS_MAX];
};

static double now_s(void) {
    return (double)hg_time_ns() * 1e-9;
}

static double cpu_of_children_s(void) {
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

/* ---- the child ---- */

static size_t next_input(struct cell *cell, uint8_t *data) {
    uint64_t *random = &cell->random;
    if (cell->options->random) {
        for (size_t i = 0; i < HG_FUZZ_HEADER_BYTES + USUAL_OPS * HG_FUZZ_RECORD_BYTES; i += 8) {
            uint64_t bits = hg_random(random);
            memcpy(data + i, &bits, 8);
        }
        return HG_FUZZ_HEADER_BYTES + USUAL_OPS * HG_FUZZ_RECORD_BYTES;
    }
    uint32_t choice = hg_random_below(random, 10), count = (uint32_t)cell->corpus_count;
    if (count == 0 || choice < 4)
        return hg_fuzz_fresh(data, INPUT_BYTES, 4 + hg_random_below(random, 2 * USUAL_OPS - 8),
                             random);
    const struct entry *a = &cell->corpus[hg_random_below(random, count)];
    const struct entry *b = &cell->corpus[hg_random_below(random, count)];
    if (choice < 5)
        return hg_fuzz_crossover(a->data, a->size, b->data, b->size, data, INPUT_BYTES, random);
    memcpy(data, a->data, a->size);
    return hg_fuzz_mutate(data, a->size, INPUT_BYTES, random);
}

static void keep(struct cell *cell, const uint8_t *data, size_t size) {
    if (cell->corpus_count == CORPUS_MAX || size > INPUT_BYTES)
        return;
    struct entry *entry = &cell->corpus[cell->corpus_count]; /* the rarest features come last */
    entry->size = (uint32_t)size;
    memcpy(entry->data, data, size);
    cell->corpus_count++; /* last: a kill before leaves the corpus sound */
}

/* Plays inputs until the slice is over, something is found or the log is full. */
static int play_inputs(void *argument) {
    struct cell *cell = argument;
    struct hg_fuzz_session *session = cell->session;
    static uint8_t data[INPUT_BYTES];
    double end = now_s() + cell->slice_s;
    uint64_t inputs_max = cell->options->inputs_max;
    bool found = false;
    session->collects_features = session->target->plays_operations && !cell->options->random;
    for (uint64_t i = 0; !found && (i % 16 != 0 || now_s() < end); i++) {
        if (cell->log->op_count + HG_FUZZ_OPS_MAX + HG_FUZZ_SLOTS_MAX + 16 > HG_FUZZ_LOG_OPS ||
            (inputs_max && cell->log->inputs >= inputs_max))
            break;
        size_t size = next_input(cell, data);
        session->fresh_features = false;
        found = session->target->run(session, data, size);
        if (!found && session->fresh_features)
            keep(cell, data, size);
        if (session->target->fresh_process)
            break;
    }
    uint64_t every = session->target->fresh_process ? 1024 : 4;
    if (!found && session->target->plays_operations && cell->children % every == 0) {
        cell->log->op_count = cell->log->input_begin = 0; /* no operations of ours show it */
        found = hg_fuzz_check_without_input(session);
    }
    for (size_t i = 0; hg_waiver_at(i) && i < 64; i++)
        cell->waiver_uses[i] += hg_waiver_uses(i);
    cell->log->finished = true;
    return found;
}

/* ---- the cell ---- */

static void shape_of(const hg_op *ops, size_t count, char shape[SHAPE_BYTES]) {
    static const char letters[] = "mcrafApvVPusSlzLdgFtevfk-nNxq";
    size_t i = 0;
    for (; i < count && i < SHAPE_BYTES - 1; i++)
        shape[i] = ops[i].kind < sizeof letters - 1 ? letters[ops[i].kind] : '?';
    shape[i] = '\0';
}

static void clean_name(char *text) {
    for (; *text; text++)
        if (!((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
              (*text >= '0' && *text <= '9') || *text == '-' || *text == '.'))
            *text = '_';
}

static bool write_bytes(const char *path, const void *bytes, size_t size) {
    FILE *out = fopen(path, "wbe");
    if (!out)
        return false;
    bool good = fwrite(bytes, 1, size, out) == size;
    return fclose(out) == 0 && good;
}

static void write_finding(struct cell *cell, struct found *found, const hg_op *ops, size_t count,
                          const struct hg_finding *finding) {
    char name[160], path[440];
    const char *slash = strrchr(cell->backend, '/');
    snprintf(name, sizeof name, "%.60s-%s-%s-%zu", slash ? slash + 1 : cell->backend,
             cell->target->name, found->item, cell->finding_count + 1);
    clean_name(name);
    snprintf(found->path, sizeof found->path, "%.200s/%s", cell->options->directory, name);
    bool good;
    if (cell->target->plays_operations) {
        snprintf(path, sizeof path, "%s.hgt", found->path);
        good =
            hg_artifact_write_trace(path, cell->backend, cell->target->name, finding, ops, count);
        snprintf(path, sizeof path, "%s.txt", found->path);
        good &= hg_artifact_write_text(path, cell->backend, finding, ops, count);
        snprintf(path, sizeof path, "%s.c", found->path);
        good &=
            hg_artifact_write_c(path, &cell->session->backend, cell->backend, finding, ops, count);
    } else {
        snprintf(path, sizeof path, "%s.bin", found->path);
        good = write_bytes(path, cell->log->input, cell->log->input_size);
    }
    if (!good)
        fprintf(stderr, "heapgauge fuzz: cannot write %s: %s\n", path, strerror(errno));
}

/* The shortest piece of the log that shows it: the last input, or all since the child began. */
static hg_op *reproducing_ops(struct cell *cell, const char *item, size_t *count,
                              bool *reproduced) {
    struct hg_fuzz_log *log = cell->log;
    size_t all = log->op_count, begin = log->input_begin < all ? log->input_begin : 0;
    hg_op *ops = malloc((all + 1) * sizeof *ops);
    struct hg_trial trial;
    if (!ops)
        return NULL;
    memcpy(ops, log->ops, all * sizeof *ops);
    hg_fuzz_try(cell->session, ops + begin, all - begin, 20, &trial);
    *reproduced = strcmp(trial.item, item) == 0;
    *count = all;
    if (!*reproduced && begin > 0) {
        hg_fuzz_try(cell->session, ops, all, 60, &trial);
        *reproduced = strcmp(trial.item, item) == 0;
        return ops;
    }
    *count = all - begin;
    memmove(ops, ops + begin, *count * sizeof *ops);
    return ops;
}

static struct found *same_finding(struct cell *cell, const char *item, const char *shape) {
    for (size_t i = 0; i < cell->finding_count; i++)
        if (strcmp(cell->findings[i].item, item) == 0 &&
            strcmp(cell->findings[i].shape, shape) == 0)
            return &cell->findings[i];
    return NULL;
}

static void mute_if_frequent(struct cell *cell, const char *item) {
    uint64_t times = 0;
    for (size_t i = 0; i < cell->finding_count; i++)
        if (strcmp(cell->findings[i].item, item) == 0)
            times += cell->findings[i].times;
    size_t length = strlen(cell->muted);
    if (times < SAME_ITEM_MAX || item[0] != 'C' || length + HG_ITEM_BYTES + 2 > sizeof cell->muted)
        return;
    snprintf(cell->muted + length, sizeof cell->muted - length, "%s%s", length ? "," : "", item);
    cell->session->config.muted = cell->muted;
    (void)hg_fuzz_session_renew(cell->session);
}

static void take_finding(struct cell *cell, const struct hg_trial *seen, double begin_s,
                         double begin_cpu_s) {
    struct hg_fuzz_log *log = cell->log;
    struct found found = {.times = 1, .inputs = log->inputs + 1, .operations = log->operations};
    size_t count = 0;
    struct hg_trial trial = *seen;
    hg_op *ops = NULL;
    snprintf(found.item, sizeof found.item, "%s", seen->item);
    found.wall_s = now_s() - begin_s;
    found.cpu_s = cpu_of_children_s() - begin_cpu_s;
    if (cell->target->plays_operations) {
        struct hg_fuzz_log *kept = malloc(sizeof *kept - sizeof kept->ops);
        if (kept) /* trials overwrite the books */
            memcpy(kept, log, sizeof *kept - sizeof kept->ops);
        ops = reproducing_ops(cell, seen->item, &count, &found.reproduced);
        found.op_count_before = count;
        uint64_t trials = 0;
        if (ops && found.reproduced && !cell->options->no_reduce)
            count = hg_fuzz_shrink(cell->session, ops, count, seen->item, 10, &trial, &trials);
        if (kept)
            memcpy(log, kept, sizeof *kept - sizeof kept->ops);
        free(kept);
    }
    found.op_count = count;
    if (*trial.item == '\0')
        trial = *seen;
    snprintf(found.text, sizeof found.text, "%s", trial.finding.text);
    shape_of(ops, ops ? count : 0, found.shape);
    struct found *same = same_finding(cell, found.item, found.shape);
    if (same) {
        same->times++;
    } else if (cell->finding_count < FINDINGS_MAX) {
        write_finding(cell, &found, ops, ops ? count : 0, &trial.finding);
        cell->findings[cell->finding_count++] = found;
    }
    free(ops);
    mute_if_frequent(cell, found.item);
}

static void save_corpus(struct cell *cell) {
    char path[600];
    snprintf(path, sizeof path, "%s/corpus", cell->options->directory);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/corpus/%s", cell->options->directory, cell->target->name);
    mkdir(path, 0777);
    for (; cell->corpus_saved < cell->corpus_count; cell->corpus_saved++) {
        const struct entry *entry = &cell->corpus[cell->corpus_saved];
        uint64_t hash = UINT64_C(0xCBF29CE484222325);
        for (size_t i = 0; i < entry->size; i++)
            hash = (hash ^ entry->data[i]) * UINT64_C(0x100000001B3);
        snprintf(path, sizeof path, "%s/corpus/%s/%016" PRIx64, cell->options->directory,
                 cell->target->name, hash);
        if (access(path, F_OK) != 0)
            (void)!write_bytes(path, entry->data, entry->size);
    }
}

static void load_corpus(struct cell *cell) {
    char path[600];
    static uint8_t data[INPUT_BYTES];
    if (!cell->options->corpus)
        return;
    snprintf(path, sizeof path, "find '%.300s/%s' -type f 2>/dev/null", cell->options->corpus,
             cell->target->name);
    FILE *list = popen(path, "re");
    while (list && fgets(path, sizeof path, list)) {
        path[strcspn(path, "\n")] = '\0';
        FILE *file = fopen(path, "rbe");
        size_t size = file ? fread(data, 1, sizeof data, file) : 0;
        if (size > 0)
            keep(cell, data, size);
        if (file)
            fclose(file);
    }
    if (list)
        pclose(list);
    cell->corpus_saved = cell->corpus_count;
}

/* What the last child's end means as an item; "" if it ended well. */
static void outcome_of(const struct hg_contained *child, const struct hg_fuzz_log *log,
                       struct hg_trial *seen) {
    memset(seen, 0, sizeof *seen);
    if (log->found) {
        seen->finding = log->finding;
    } else if (!log->finished) {
        const char *word = child->outcome == HG_OUTCOME_TIMEOUT  ? "hang"
                           : child->outcome == HG_OUTCOME_MEMORY ? "memory"
                                                                 : "crash";
        snprintf(seen->finding.item, sizeof seen->finding.item, "%s", word);
        snprintf(seen->finding.text, sizeof seen->finding.text, "signal %d, status %d, %.1f s",
                 child->signal, child->exit_status, child->seconds);
        seen->finding.op_index = UINT64_MAX;
        seen->finding.level = 'M';
    }
    snprintf(seen->item, sizeof seen->item, "%s", seen->finding.item);
}

static int run_cell(void *argument) {
    struct cell *cell = argument;
    const struct options *options = cell->options;
    static struct hg_fuzz_session session;
    cell->session = &session;
    if (hg_fuzz_session_open(&session, cell->target, cell->backend, cell->log, cell->why,
                             sizeof cell->why) != HG_OK) {
        cell->unavailable = true;
        return 2;
    }
    session.config.strict = options->strict;
    session.config.no_waivers = options->no_waivers;
    session.config.oracle_fault = options->oracle_fault;
    snprintf(cell->muted, sizeof cell->muted, "%s", options->muted ? options->muted : "");
    session.config.muted = cell->muted;
    if (!hg_fuzz_session_renew(&session))
        return 2;
    load_corpus(cell);
    double begin_s = now_s(), begin_cpu_s = cpu_of_children_s();
    cell->random = options->seed;
    while (now_s() - begin_s < options->time_s &&
           !(options->inputs_max && cell->log->inputs >= options->inputs_max)) {
        double left = options->time_s - (now_s() - begin_s);
        cell->slice_s = cell->children == 0 ? 0.2 : 1.0;
        if (cell->slice_s > left)
            cell->slice_s = left;
        struct hg_limits limits = {.timeout_s = cell->slice_s + 8,
                                   .memory_bytes = (uint64_t)4 << 30};
        struct hg_contained child;
        struct hg_trial seen;
        cell->log->op_count = cell->log->input_begin = 0;
        cell->log->found = cell->log->finished = false;
        if (hg_contain(play_inputs, cell, &limits, &child) != HG_OK)
            return 2;
        /* The child's random state is lost with it unless shared: it is, as the cell is. */
        outcome_of(&child, cell->log, &seen);
        cell->children++;
        cell->random += UINT64_C(0x5851F42D4C957F2D); /* another stream even after a kill */
        save_corpus(cell);
        if (*seen.item)
            take_finding(cell, &seen, begin_s, begin_cpu_s);
        if (*seen.item && !options->keep_going)
            break;
    }
    cell->wall_s = now_s() - begin_s;
    cell->cpu_s = cpu_of_children_s() - begin_cpu_s;
    return 0;
}

/* ---- the table ---- */

static void print_row(const struct cell *cell) {
    if (cell->unavailable) {
        printf("%-22s %-13s not run: %s\n", cell->backend, cell->target->name, cell->why);
        return;
    }
    double seconds = cell->wall_s > 0 ? cell->wall_s : 1;
    printf("%-22s %-13s %10" PRIu64 " %12" PRIu64 " %9.0f %6" PRIu64 " %5zu  ", cell->backend,
           cell->target->name, cell->log->inputs, cell->log->operations,
           (double)cell->log->inputs / seconds, cell->log->feature_count, cell->finding_count);
    for (size_t i = 0; i < cell->finding_count; i++)
        printf("%s%s", i ? "," : "", cell->findings[i].item);
    printf("%s\n", cell->finding_count ? "" : "-");
    for (size_t i = 0; i < cell->finding_count; i++) {
        const struct found *found = &cell->findings[i];
        printf("    %s%s: %.200s\n      %" PRIu64 " operations of %" PRIu64 ", after %" PRIu64
               " inputs, %.2f CPU s; %s\n",
               found->item, found->times > 1 ? " (several times)" : "", found->text,
               found->op_count, found->op_count_before, found->inputs, found->cpu_s, found->path);
        if (cell->target->plays_operations && !found->reproduced)
            printf("      did NOT show again in a fresh process: it hangs on what came before\n");
    }
    fflush(stdout);
}

static void json_text(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        if ((unsigned char)*text >= 0x20)
            fputc(*text, out);
    }
    fputc('"', out);
}

static void json_cell(FILE *out, const struct cell *cell, bool first) {
    fprintf(out, "%s\n  {\"backend\": ", first ? "" : ",");
    json_text(out, cell->backend);
    fprintf(out,
            ", \"target\": \"%s\", \"run\": %s, \"inputs\": %" PRIu64 ", \"operations\": %" PRIu64
            ", \"checks\": %" PRIu64
            ", \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"quality\": %" PRIu64
            ", \"waived\": %" PRIu64 ", \"features\": %" PRIu64 ",\n   \"findings\": [",
            cell->target->name, cell->unavailable ? "false" : "true", cell->log->inputs,
            cell->log->operations, cell->log->counts.checks, cell->wall_s, cell->cpu_s,
            cell->log->counts.quality, cell->log->counts.waived, cell->log->feature_count);
    for (size_t i = 0; i < cell->finding_count; i++) {
        const struct found *found = &cell->findings[i];
        fprintf(out,
                "%s\n    {\"item\": \"%s\", \"shape\": \"%s\", \"times\": %" PRIu64
                ", \"operations\": %" PRIu64 ", \"operations_before\": %" PRIu64
                ", \"inputs_to_exposure\": %" PRIu64 ", \"operations_to_exposure\": %" PRIu64
                ", \"cpu_seconds_to_exposure\": %.6f, \"seconds_to_exposure\": %.6f, "
                "\"reproduced\": %s, \"path\": ",
                i ? "," : "", found->item, found->shape, found->times, found->op_count,
                found->op_count_before, found->inputs, found->operations, found->cpu_s,
                found->wall_s, found->reproduced ? "true" : "false");
        json_text(out, found->path);
        fputs(", \"text\": ", out);
        json_text(out, found->text);
        fputs("}", out);
    }
    fputs("]}", out);
}

/* A waiver that no longer fires: the deviation is gone, or was never one. */
static void print_idle_waivers(const char *backend, const uint64_t uses[64]) {
    for (size_t i = 0; hg_waiver_at(i) && i < 64; i++) {
        const struct hg_waiver *waiver = hg_waiver_at(i);
        if (strcmp(waiver->backend, backend) == 0 && uses[i] == 0)
            printf("waiver of %s for %s (%s) did not fire: is it still needed? \"%s\"\n", backend,
                   waiver->item, waiver->date, waiver->reason);
    }
}

/* ---- the command ---- */

struct campaign {
    struct options options;
    FILE *json;
    size_t cells;
    bool any_finding, any_run;
};

static bool is_listed(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == length && strncmp(at, word, length) == 0)
            return true;
    return false;
}

static int run_one(struct campaign *campaign, const char *backend,
                   const struct hg_fuzz_target *target, uint64_t uses[64]) {
    static struct cell *cell;
    static struct hg_fuzz_log *log;
    if (!cell) {
        cell = hg_shared_map(sizeof *cell);
        log = hg_shared_map(sizeof *log);
    }
    if (!cell || !log)
        return 2;
    memset(cell, 0, offsetof(struct cell, corpus));
    memset(log, 0, offsetof(struct hg_fuzz_log, ops));
    cell->options = &campaign->options;
    cell->backend = backend;
    cell->target = target;
    cell->log = log;
    struct hg_limits limits = {.timeout_s = campaign->options.time_s * 2 + 600,
                               .memory_bytes = (uint64_t)6 << 30};
    struct hg_contained contained;
    if (hg_contain(run_cell, cell, &limits, &contained) != HG_OK)
        return 2;
    if (contained.outcome == HG_OUTCOME_CRASHED && cell->children == 0) {
        /* It died while it was loaded or asked for its size classes. */
        struct found *found = &cell->findings[cell->finding_count++];
        snprintf(found->item, sizeof found->item, "crash");
        snprintf(found->text, sizeof found->text, "died of signal %d before the first input",
                 contained.signal);
    }
    print_row(cell);
    if (campaign->json)
        json_cell(campaign->json, cell, campaign->cells == 0);
    campaign->cells++;
    campaign->any_finding |= cell->finding_count > 0;
    campaign->any_run |= !cell->unavailable;
    for (size_t i = 0; i < 64; i++)
        uses[i] += cell->waiver_uses[i];
    return cell->unavailable && strcmp(campaign->options.backends, "all") != 0 ? 2 : 0;
}

static int run_backend(struct campaign *campaign, const char *backend, bool is_first) {
    const struct hg_fuzz_target *target;
    uint64_t uses[64] = {0};
    int status = 0;
    bool all = strcmp(campaign->options.targets, "all") == 0;
    for (size_t i = 0; (target = hg_fuzz_target_at(i)) != NULL && status == 0; i++)
        if ((all || is_listed(campaign->options.targets, target->name)) &&
            (target->needs_backend || is_first))
            status = run_one(campaign, target->needs_backend ? backend : "core", target, uses);
    if (status == 0 && all)
        print_idle_waivers(backend, uses);
    return status;
}

static int run_campaign(struct campaign *campaign) {
    printf("%-22s %-13s %10s %12s %9s %6s %5s  %s\n", "backend", "target", "inputs", "operations",
           "inputs/s", "feat.", "found", "items");
    int status = 0;
    if (strcmp(campaign->options.backends, "all") == 0) {
        const char *name;
        for (size_t i = 0; (name = hg_backend_name(i)) != NULL && status == 0; i++)
            if (strcmp(name, "null") != 0) /* never frees: says nothing about reuse */
                status = run_backend(campaign, name, i == 0);
    } else {
        char *list = strdup(campaign->options.backends), *rest = list, *word;
        bool is_first = true;
        while (list && (word = strsep(&rest, ",")) != NULL && status == 0) {
            status = run_backend(campaign, strdup(word), is_first);
            is_first = false;
        }
        free(list);
    }
    if (status)
        fprintf(stderr, "heapgauge fuzz: a backend could not be opened; see: heapgauge backends\n");
    return status ? status : campaign->any_finding ? 1 : campaign->any_run ? 0 : 2;
}

static int wrong(const char *text, const char *value) {
    fprintf(stderr, "heapgauge fuzz: %s '%s'; see: heapgauge help fuzz\n", text, value);
    return 2;
}

static const char *target_name(size_t index) {
    const struct hg_fuzz_target *target = hg_fuzz_target_at(index);
    return target ? target->name : NULL;
}

static int check_targets(const char *list) {
    char word[64];
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',') {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, ","), at);
        if (strcmp(word, "all") == 0 || hg_fuzz_target_by_name(word))
            continue;
        const char *near = hg_nearest_word(word, target_name);
        fprintf(stderr, "heapgauge fuzz: unknown target '%s'%s%s%s; see: heapgauge help fuzz\n",
                word, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        return 2;
    }
    return 0;
}

enum {
    OPT_BACKEND = 256,
    OPT_TARGET,
    OPT_TIME,
    OPT_INPUTS,
    OPT_SEED,
    OPT_KEEP_GOING,
    OPT_RANDOM,
    OPT_CORPUS,
    OPT_STRICT,
    OPT_NO_WAIVERS,
    OPT_MUTE,
    OPT_ORACLE_FAULT,
    OPT_NO_REDUCE,
    OPT_JSON,
    OPT_FAULTS
};

static const struct option long_options[] = {
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"target", required_argument, NULL, OPT_TARGET},
    {"time", required_argument, NULL, OPT_TIME},
    {"inputs", required_argument, NULL, OPT_INPUTS},
    {"seed", required_argument, NULL, OPT_SEED},
    {"keep-going", no_argument, NULL, OPT_KEEP_GOING},
    {"random", no_argument, NULL, OPT_RANDOM},
    {"corpus", required_argument, NULL, OPT_CORPUS},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"no-waivers", no_argument, NULL, OPT_NO_WAIVERS},
    {"mute", required_argument, NULL, OPT_MUTE},
    {"oracle-fault", required_argument, NULL, OPT_ORACLE_FAULT},
    {"no-reduce", no_argument, NULL, OPT_NO_REDUCE},
    {"json", required_argument, NULL, OPT_JSON},
    {"faults", no_argument, NULL, OPT_FAULTS},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int list_faults(void) {
    const struct hg_fault *fault;
    for (size_t i = 0; (fault = hg_fault_at(i)) != NULL; i++)
        printf("%s\t%s\t%s\t%s\t%s\t%d\t%s\n", fault->name, fault->item ? fault->item : "-",
               fault->found_as ? fault->found_as : "-", fault->target,
               *fault->needs ? fault->needs : "-", fault->ease, fault->what);
    return 0;
}

static bool take_number(const char *text, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && errno == 0;
}

static bool take_oracle_fault(const char *name, unsigned *out) {
    for (*out = 0; *out < HG_ORACLE_FAULT_COUNT; ++*out)
        if (strcmp(hg_oracle_fault_name(*out), name) == 0)
            return true;
    return false;
}

/* False: the option's value is wrong. */
static bool take_option(struct options *options, int option, const char *value) {
    char *end;
    switch (option) {
    case OPT_BACKEND:
        options->backends = value;
        return *value;
    case OPT_TARGET:
        options->targets = value;
        return *value;
    case OPT_TIME:
        options->time_s = strtod(value, &end);
        return end != value && !*end && options->time_s > 0 && options->time_s < 1e7;
    case OPT_INPUTS:
        return take_number(value, &options->inputs_max);
    case OPT_SEED:
        return take_number(value, &options->seed);
    case OPT_KEEP_GOING:
        options->keep_going = true;
        return true;
    case OPT_RANDOM:
        options->random = true;
        return true;
    case OPT_CORPUS:
        options->corpus = value;
        return true;
    case OPT_STRICT:
        options->strict = true;
        return true;
    case OPT_NO_WAIVERS:
        options->no_waivers = true;
        return true;
    case OPT_MUTE:
        options->muted = value;
        return true;
    case OPT_ORACLE_FAULT:
        return take_oracle_fault(value, &options->oracle_fault);
    case OPT_NO_REDUCE:
        options->no_reduce = true;
        return true;
    case OPT_JSON:
        options->json = value;
        return true;
    default: /* -o */
        options->directory = value;
        return *value;
    }
}

int hg_fuzz_main(int argc, char **argv) {
    struct campaign campaign = {
        .options = {.backends = "all",
                    .targets = "all",
                    .directory = "heapgauge-findings",
                    .time_s = 60,
                    .seed = (uint64_t)time(NULL)},
    };
    int index = 0;
    for (int option; (option = getopt_long(argc, argv, "ho:", long_options, &index)) != -1;) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (option == OPT_FAULTS)
            return list_faults();
        if (option == '?')
            return 2;
        if (!take_option(&campaign.options, option, optarg ? optarg : ""))
            return wrong(option == 'o' ? "-o" : long_options[index].name, optarg);
    }
    if (optind < argc)
        return wrong("takes no argument, but got", argv[optind]);
    if (check_targets(campaign.options.targets))
        return 2;
    if (mkdir(campaign.options.directory, 0777) != 0 && errno != EEXIST)
        return wrong(strerror(errno), campaign.options.directory);
    if (campaign.options.json && !(campaign.json = fopen(campaign.options.json, "we")))
        return wrong(strerror(errno), campaign.options.json);
    printf("seed %" PRIu64 "; findings go to %s\n", campaign.options.seed,
           campaign.options.directory);
    if (campaign.json)
        fprintf(campaign.json, "{\"seed\": %" PRIu64 ", \"cells\": [", campaign.options.seed);
    int status = run_campaign(&campaign);
    if (campaign.json) {
        fputs("\n]}\n", campaign.json);
        if (fclose(campaign.json) != 0)
            return wrong(strerror(errno), campaign.options.json);
    }
    return status;
}
