/* What a campaign found: on disk at once, reduced, named by its shape, listed once. */
#define _GNU_SOURCE
#include "artifact.h"
#include "campaign.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

uint64_t hg__hash_of(const void *bytes, size_t size) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001B3);
    return hash;
}

bool hg__write_bytes(const char *path, const void *bytes, size_t size) {
    FILE *out = fopen(path, "wbe");
    if (!out)
        return false;
    bool good = fwrite(bytes, 1, size, out) == size;
    return hg_artifact_close(out) && good;
}

/* The same finding has the same name, also in a campaign that goes on where another was killed. */
static void name_finding(const struct hg_fuzz_cell *cell, struct hg_found *found) {
    char name[160];
    const char *slash = strrchr(cell->backend, '/');
    uint64_t hash = hg__hash_of(found->shape, strlen(found->shape));
    snprintf(name, sizeof name, "%.60s-%s-%s-%06" PRIx64, slash ? slash + 1 : cell->backend,
             cell->target->name, found->item, hash >> 40);
    clean_name(name);
    snprintf(found->path, sizeof found->path, "%.200s/%s", cell->options->directory, name);
}

void hg__complain_unless(const char *unwritten) {
    if (unwritten)
        fprintf(stderr, "heapgauge fuzz: cannot write %s: %s; another place: -o DIR\n", unwritten,
                strerror(errno));
}

static hg_op *copy_of_log(const struct hg_fuzz_log *log, size_t *count) {
    *count = log->op_count;
    hg_op *ops = malloc((*count + 1) * sizeof *ops);
    if (ops)
        memcpy(ops, log->ops, *count * sizeof *ops);
    return ops;
}

/* The shortest piece of the log that shows it: the last input, or all since the child began. */
static hg_op *reproducing_ops(struct hg_fuzz_cell *cell, const char *item, size_t *count,
                              bool *reproduced) {
    struct hg_fuzz_log *log = cell->log;
    size_t all = log->op_count, begin = log->input_begin < all ? log->input_begin : 0;
    hg_op *ops = copy_of_log(log, count);
    struct hg_trial trial;
    if (!ops)
        return NULL;
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

static struct hg_found *same_finding(struct hg_fuzz_cell *cell, const char *item,
                                     const char *shape) {
    for (size_t i = 0; i < cell->finding_count; i++)
        if (strcmp(cell->findings[i].item, item) == 0 &&
            strcmp(cell->findings[i].shape, shape) == 0)
            return &cell->findings[i];
    return NULL;
}

static void mute_if_frequent(struct hg_fuzz_cell *cell, const char *item) {
    uint64_t times = 0;
    for (size_t i = 0; i < cell->finding_count; i++)
        if (strcmp(cell->findings[i].item, item) == 0)
            times += cell->findings[i].times;
    size_t length = strlen(cell->muted);
    if (cell->options->by_libfuzzer || times < SAME_ITEM_MAX || item[0] != 'C' ||
        length + HG_ITEM_BYTES + 2 > sizeof cell->muted)
        return;
    snprintf(cell->muted + length, sizeof cell->muted - length, "%s%s", length ? "," : "", item);
    cell->session->config.muted = cell->muted;
    (void)hg_fuzz_session_renew(cell->session);
}

/* What was found, on disk before it is reduced: a campaign may be killed at any moment. */
static void write_unreduced(const struct hg_fuzz_cell *cell, const struct hg_found *found,
                            char path[440]) {
    const struct hg_fuzz_log *log = cell->log;
    struct hg_finding finding = log->finding;
    snprintf(path, 440, "%s-unreduced.%s", found->path,
             cell->target->plays_operations ? "hgt" : "bin");
    snprintf(finding.item, sizeof finding.item, "%.7s", found->item);
    bool good = cell->target->plays_operations
                    ? hg_artifact_write_trace(path, cell->backend, cell->target->name, &finding,
                                              log->ops, log->op_count)
                    : hg__write_bytes(path, log->input, log->input_size);
    hg__complain_unless(good ? NULL : path);
}

/* Reduces a stream; *ops is the caller's to free. */
static size_t reduce_stream(struct hg_fuzz_cell *cell, struct hg_found *found, hg_op **ops,
                            struct hg_trial *trial) {
    size_t count = 0;
    uint64_t trials = 0;
    if (cell->options->no_reduce) {
        *ops = copy_of_log(cell->log, &count);
        found->op_count_before = count;
        return *ops ? count : 0;
    }
    *ops = reproducing_ops(cell, found->item, &count, &found->reproduced);
    found->op_count_before = count;
    if (*ops && found->reproduced)
        count = hg_fuzz_shrink(cell->session, *ops, count, found->item, 10, trial, &trials);
    return *ops ? count : 0;
}

static size_t reduce_input(struct hg_fuzz_cell *cell, struct hg_found *found, uint8_t *data,
                           struct hg_trial *trial) {
    size_t size = cell->log->input_size;
    uint64_t trials = 0;
    memcpy(data, cell->log->input, size);
    found->op_count_before = size;
    if (cell->options->no_reduce)
        return size;
    hg_fuzz_try_input(cell->session, data, size, 20, trial);
    found->reproduced = strcmp(trial->item, found->item) == 0;
    if (found->reproduced)
        size = hg_fuzz_shrink_input(cell->session, data, size, found->item, 10, trial, &trials);
    return size;
}

/* Is it there already? Else it is written and listed. */
static void list_finding(struct hg_fuzz_cell *cell, struct hg_found *found,
                         const struct hg_finding *finding, const hg_op *ops, const uint8_t *data) {
    struct hg_found *same = same_finding(cell, found->item, found->shape);
    if (same)
        same->times++;
    if (same || cell->finding_count == FINDINGS_MAX)
        return;
    name_finding(cell, found);
    const char *unwritten =
        ops ? hg_artifact_write_stream(found->path, cell->session, finding, ops, found->op_count)
            : hg_artifact_write_input(found->path, cell->session, finding, data, found->op_count);
    hg__complain_unless(unwritten);
    for (size_t i = 0; unwritten && ops && i < found->op_count && i < 64; i++) {
        char line[160]; /* then at least here */
        hg_op_print(&ops[i], line, sizeof line);
        printf("    %s\n", line);
    }
    cell->findings[cell->finding_count++] = *found;
}

void hg__found_take(struct hg_fuzz_cell *cell, const struct hg_trial *seen, double begin_s,
                    double begin_cpu_s) {
    struct hg_fuzz_log *log = cell->log;
    static uint8_t data[HG_FUZZ_INPUT_BYTES_MAX];
    static struct hg_fuzz_log kept; /* of its books: trials overwrite them */
    enum { BOOKS = offsetof(struct hg_fuzz_log, ops) };
    struct hg_found found = {.times = 1, .inputs = log->inputs + 1, .operations = log->operations};
    struct hg_trial trial = *seen;
    hg_op *ops = NULL;
    char unreduced[440];
    snprintf(found.item, sizeof found.item, "%s", seen->item);
    found.wall_s = hg__now_s() - begin_s;
    found.cpu_s = hg__cpu_of_children_s() - begin_cpu_s;
    name_finding(cell, &found);
    write_unreduced(cell, &found, unreduced);
    memcpy(&kept, log, BOOKS);
    double reduce_begin_s = hg__now_s();
    found.op_count = cell->target->plays_operations ? reduce_stream(cell, &found, &ops, &trial)
                                                    : reduce_input(cell, &found, data, &trial);
    memcpy(log, &kept, BOOKS);
    found.reduce_s = hg__now_s() - reduce_begin_s;
    if (*trial.item == '\0')
        trial = *seen;
    snprintf(found.text, sizeof found.text, "%s", trial.finding.text);
    shape_of(ops, ops ? found.op_count : 0, found.shape);
    list_finding(cell, &found, &trial.finding, ops, data);
    if (found.reproduced || cell->options->no_reduce)
        unlink(unreduced);
    free(ops);
    mute_if_frequent(cell, found.item);
}
