/* `heapgauge fuzz`: the command, its table and its JSON. campaign.h has the parts. */
#define _GNU_SOURCE
#include "campaign.h"
#include "commands.h"

#include "../backends/faults/faulty.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "heapgauge/contain.h"

static const char usage[] =
    "usage: heapgauge fuzz [OPTIONS]\n\n"
    "Feeds allocators with streams of operations, biased to where allocators break, and checks every\n"
    "promise of the contract. What breaks is reduced and written as a trace, as text and as a C file.\n\n"
    "  --backend=A,B|all|PATH.so  allocators (all that are here)\n"
    "  --target=A,B|all     layout, libc, threads, parallel, environment, native, first, differential,\n"
    "                       core_inside, trace_reader, kernel (all)\n"
    "  --time=S             seconds for each backend and target (60)\n"
    "  --inputs=N           at most so many inputs each\n"
    "  --seed=N             the first input's seed; by default one of the clock, printed\n"
    "  --keep-going         do not stop a target at its first finding\n"
    "  --random             purely random bytes: no mutation, no corpus (for comparison)\n"
    "  --corpus=DIR         inputs to begin with: files of DIR/TARGET/\n"
    "  --engine=E           heapgauge, or libfuzzer: the programs of build/fuzz (preset fuzz, needs clang)\n"
    "  --strict             quality items are findings too\n"
    "  --no-waivers         known deviations of a backend are findings too\n"
    "  --mute=C4,C41        items not to report\n"
    "  --oracle-fault=NAME  a fault of the oracle itself, for tests of the tests\n"
    "  --no-reduce          write what was found as it is, with all that came before, and do not try it again\n"
    "  --json=FILE          the table as JSON\n"
    "  --faults             list the planted faults, tab-separated: name, item, found as, target, what\n"
    "                       a plain stream lacks to show it, ease, what it is\n"
    "  -o DIR               where findings and corpus go; one that is there is gone on with (heapgauge-findings)\n\n"
    "Exit status: 0 clean, 1 a finding, 2 usage or environment.\n";

/* ---- the table ---- */

static void print_row(const struct hg_fuzz_cell *cell) {
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
        const struct hg_found *found = &cell->findings[i];
        printf("    %s%s: %.200s\n      %" PRIu64 " %s of %" PRIu64 ", after %" PRIu64
               " inputs, %.2f CPU s; %s\n",
               found->item, found->times > 1 ? " (several times)" : "", found->text,
               found->op_count, cell->target->plays_operations ? "operations" : "bytes",
               found->op_count_before, found->inputs, found->cpu_s, found->path);
        if (!found->reproduced && !cell->options->no_reduce)
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

static void json_cell(FILE *out, const struct hg_fuzz_cell *cell, bool first) {
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
        const struct hg_found *found = &cell->findings[i];
        fprintf(out,
                "%s\n    {\"item\": \"%s\", \"shape\": \"%s\", \"times\": %" PRIu64
                ", \"operations\": %" PRIu64 ", \"operations_before\": %" PRIu64
                ", \"inputs_to_exposure\": %" PRIu64 ", \"operations_to_exposure\": %" PRIu64
                ", \"cpu_seconds_to_exposure\": %.6f, \"seconds_to_exposure\": %.6f, "
                "\"reduce_seconds\": %.6f, "
                "\"reproduced\": %s, \"path\": ",
                i ? "," : "", found->item, found->shape, found->times, found->op_count,
                found->op_count_before, found->inputs, found->operations, found->cpu_s,
                found->wall_s, found->reduce_s, found->reproduced ? "true" : "false");
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
    struct hg_campaign_options options;
    FILE *json;
    size_t cells, findings;
    uint64_t operations;
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
    static struct hg_fuzz_cell *cell;
    static struct hg_fuzz_log *log;
    if (!cell) {
        cell = hg_shared_map(sizeof *cell);
        log = hg_shared_map(sizeof *log);
    }
    if (!cell || !log)
        return 2;
    memset(cell, 0, offsetof(struct hg_fuzz_cell, corpus));
    memset(log, 0, offsetof(struct hg_fuzz_log, ops));
    cell->options = &campaign->options;
    cell->backend = backend;
    cell->target = target;
    cell->log = log;
    struct hg_limits limits = {.timeout_s = campaign->options.time_s * 2 + 600,
                               .memory_bytes = (uint64_t)6 << 30};
    struct hg_contained contained;
    if (hg_contain(hg__cell_run, cell, &limits, &contained) != HG_OK)
        return 2;
    if (contained.outcome == HG_OUTCOME_CRASHED && cell->children == 0) {
        /* It died while it was loaded or asked for its size classes. */
        struct hg_found *found = &cell->findings[cell->finding_count++];
        snprintf(found->item, sizeof found->item, "crash");
        snprintf(found->text, sizeof found->text, "died of signal %d before the first input",
                 contained.signal);
    }
    print_row(cell);
    if (campaign->json)
        json_cell(campaign->json, cell, campaign->cells == 0);
    campaign->cells++;
    campaign->findings += cell->finding_count;
    campaign->operations += cell->log->operations;
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
            status = run_backend(campaign, word, is_first);
            is_first = false;
        }
        free(list);
    }
    if (status)
        fprintf(stderr,
                "heapgauge fuzz: not run, see its row; backends there are: heapgauge backends\n");
    else
        printf("%zu cells, %" PRIu64 " operations, %zu findings in %s\n", campaign->cells,
               campaign->operations, campaign->findings, campaign->options.directory);
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
    OPT_FAULTS,
    OPT_ENGINE
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
    {"engine", required_argument, NULL, OPT_ENGINE},
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
static bool take_option(struct hg_campaign_options *options, int option, const char *value) {
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
    case OPT_ENGINE:
        options->by_libfuzzer = strcmp(value, "libfuzzer") == 0;
        return options->by_libfuzzer || strcmp(value, "heapgauge") == 0;
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
