/* The flags and environment variables: Google Benchmark 1.9.5's, and three of ours. */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

hg__flags hg__flag = {
    .filter = "",
    .min_time_s = 0.5,
    .repetitions = 1,
    .format = HG__CONSOLE,
    .out_format = HG__JSON,
    .color = -1,
};

const char *hg__executable = "benchmark";
static const char *usage_head = "";

typedef enum kind {
    BOOLEAN,  /* bool */
    TEXT,     /* const char * */
    NATURAL,  /* int >= min */
    SEED,     /* uint64_t */
    SECONDS,  /* double >= 0 */
    MIN_TIME, /* seconds or iterations */
    CHOICE,   /* int: index in choices */
    COLOR,    /* auto, or a truth value */
    CONTEXT,  /* key=value,... */
} kind;

static const char *const formats[] = {"console", "json", "csv", NULL};
static const char *const units[] = {"ns", "us", "ms", "s", NULL};
static const char *const dashboards[] = {"googlecpp", "customSmallerIsBetter", "bmf", NULL};

typedef struct flag {
    const char *name;
    kind kind;
    void *value;
    const char *const *choices;
    int min;
    const char *help;
} flag;

static const flag flags[] = {
    {"benchmark_list_tests", BOOLEAN, &hg__flag.list_tests, NULL, 0, "{true|false}"},
    {"benchmark_filter", TEXT, &hg__flag.filter, NULL, 0, "<regex>; a leading - inverts it"},
    {"benchmark_min_time", MIN_TIME, NULL, NULL, 0, "<int>x iterations, or <float>s"},
    {"benchmark_min_warmup_time", SECONDS, &hg__flag.min_warmup_s, NULL, 0, "<seconds>"},
    {"benchmark_repetitions", NATURAL, &hg__flag.repetitions, NULL, 1, "<count>"},
    {"benchmark_dry_run", BOOLEAN, &hg__flag.dry_run, NULL, 0, "{true|false}"},
    {"benchmark_enable_random_interleaving", BOOLEAN, &hg__flag.random_interleaving, NULL, 0,
     "{true|false}"},
    {"benchmark_interleaving_seed", SEED, &hg__flag.seed, NULL, 0,
     "<number>; 0: from the system. Seed and order are in the context"},
    {"benchmark_report_aggregates_only", BOOLEAN, &hg__flag.report_aggregates_only, NULL, 0,
     "{true|false}"},
    {"benchmark_display_aggregates_only", BOOLEAN, &hg__flag.display_aggregates_only, NULL, 0,
     "{true|false}"},
    {"benchmark_format", CHOICE, &hg__flag.format, formats, 0, NULL},
    {"benchmark_out", TEXT, &hg__flag.out, NULL, 0, "<file>"},
    {"benchmark_out_format", CHOICE, &hg__flag.out_format, formats, 0, NULL},
    {"benchmark_color", COLOR, &hg__flag.color, NULL, 0, "{auto|true|false}"},
    {"benchmark_counters_tabular", BOOLEAN, &hg__flag.counters_tabular, NULL, 0, "{true|false}"},
    {"benchmark_perf_counters", TEXT, &hg__flag.perf_counters, NULL, 0, "<event>,..."},
    {"benchmark_context", CONTEXT, NULL, NULL, 0, "<key>=<value>,..."},
    {"benchmark_time_unit", CHOICE, &hg__flag.unit, units, 0, NULL},
    {"dashboard_out", TEXT, &hg__flag.dashboard_out, NULL, 0,
     "<file>; one entry a benchmark, the median"},
    {"dashboard_format", CHOICE, &hg__flag.dashboard_format, dashboards, 0, NULL},
    {"v", NATURAL, &hg__flag.verbosity, NULL, 0, "<verbosity>"},
};
enum { FLAG_COUNT = sizeof flags / sizeof flags[0] };

static bool parse_truth(const char *text) {
    if (text[0] == '\0')
        return true;
    if (text[1] == '\0')
        return isalnum((unsigned char)text[0]) && !strchr("0fFnN", text[0]);
    return strcasecmp(text, "false") != 0 && strcasecmp(text, "no") != 0 &&
           strcasecmp(text, "off") != 0;
}

static bool parse_u64(const char *text, uint64_t *value) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno)
        return false;
    *value = number;
    return true;
}

/* A finite decimal number >= 0, with an optional suffix. */
static bool parse_seconds(const char *text, const char *suffix, double *value) {
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    bool starts_well = isdigit((unsigned char)text[0]) || text[0] == '.';
    if (!starts_well || end == text || errno || !isfinite(number) ||
        (*end && strcmp(end, suffix) != 0))
        return false;
    *value = number;
    return true;
}

/* <int>x | <float>s | <float> */
static bool parse_min_time(const char *text) {
    size_t length = strlen(text);
    if (length == 0)
        return false;
    if (text[length - 1] != 'x') {
        if (!parse_seconds(text, "s", &hg__flag.min_time_s))
            return false;
        hg__flag.min_time_iterations = 0;
        return true;
    }
    char digits[24];
    if (length > sizeof digits)
        return false;
    memcpy(digits, text, length - 1);
    digits[length - 1] = '\0';
    uint64_t iterations;
    if (!parse_u64(digits, &iterations) || iterations == 0)
        return false;
    hg__flag.min_time_iterations = iterations;
    return true;
}

static bool parse_choice(const flag *f, const char *text) {
    for (int i = 0; f->choices[i]; i++) {
        if (strcmp(text, f->choices[i]) == 0) {
            *(int *)f->value = i;
            return true;
        }
    }
    return false;
}

/* key=value,key=value: neither part may hold a comma or an equals sign. */
static bool parse_context(const char *text) {
    char *pair, *rest = hg__strdup(text);
    while ((pair = strsep(&rest, ","))) {
        char *value = strchr(pair, '=');
        if (!value || value == pair || strchr(value + 1, '='))
            return false;
        *value = '\0';
        hg_benchmark_add_context(pair, value + 1);
    }
    return true;
}

static bool parse_natural(const flag *f, const char *text) {
    uint64_t number;
    if (!parse_u64(text, &number) || number > INT32_MAX || (int)number < f->min)
        return false;
    *(int *)f->value = (int)number;
    return true;
}

static bool parse(const flag *f, const char *text) {
    switch (f->kind) {
    case BOOLEAN:
        *(bool *)f->value = parse_truth(text);
        return true;
    case TEXT:
        *(const char **)f->value = hg__strdup(text);
        return true;
    case NATURAL:
        return parse_natural(f, text);
    case SEED:
        return parse_u64(text, f->value);
    case SECONDS:
        return parse_seconds(text, "", f->value);
    case MIN_TIME:
        return parse_min_time(text);
    case CHOICE:
        return parse_choice(f, text);
    case COLOR:
        *(int *)f->value = strcmp(text, "auto") == 0 ? -1 : parse_truth(text);
        return true;
    default:
        return parse_context(text);
    }
}

static const char *wanted(const flag *f) {
    if (f->choices) {
        const char *all = f->choices[0];
        for (int i = 1; f->choices[i]; i++)
            all = hg__textf("%s|%s", all, f->choices[i]);
        return hg__textf("{%s}", all);
    }
    return f->help;
}

static bool set(const flag *f, const char *origin, const char *text) {
    if (parse(f, text))
        return true;
    hg__complain("%s=%s: expected %s", origin, text, wanted(f));
    return false;
}

/* The flag's name in capitals; V, being anybody's, counts only where it is a number. */
static bool read_environment(const flag *f) {
    char name[64];
    size_t length = strlen(f->name);
    for (size_t i = 0; i <= length; i++)
        name[i] = (char)toupper((unsigned char)f->name[i]);
    const char *text = getenv(name);
    if (!text)
        return true;
    if (strcmp(name, "V") == 0) {
        parse(f, text);
        return true;
    }
    return set(f, name, text);
}

/* Finds the flag of an argument and its value; text flags need one. */
static const flag *find(const char *argument, const char **value) {
    if (strncmp(argument, "--", 2) != 0)
        return NULL;
    const char *name = argument + 2;
    size_t length = strcspn(name, "=");
    for (int i = 0; i < FLAG_COUNT; i++) {
        if (strlen(flags[i].name) != length || strncmp(flags[i].name, name, length) != 0)
            continue;
        bool has_value = name[length] == '=';
        if (!has_value && flags[i].kind != BOOLEAN)
            return NULL;
        *value = has_value ? name + length + 1 : "";
        return &flags[i];
    }
    return NULL;
}

static void print_usage(void) {
    hg_sink out;
    hg_sink_init_fd(&out, STDOUT_FILENO);
    hg_sink_puts(&out, usage_head);
    hg_sink_puts(&out, "Benchmark flags (each is also an environment variable, in capitals):\n");
    for (int i = 0; i < FLAG_COUNT; i++)
        hg_sink_printf(&out, "  --%s=%s\n", flags[i].name, wanted(&flags[i]));
    hg_sink_puts(&out, "  --help\n"
                       "Exit status: 0 all ran, 1 a benchmark reported an error, 2 usage.\n");
    hg_sink_flush(&out);
}

void hg_benchmark_set_usage(const char *usage) {
    usage_head = usage;
}

bool hg_benchmark_wants_exit(void) {
    return hg__flag.help;
}

int hg_benchmark_initialize(int *argc, char **argv) {
    if (*argc > 0)
        hg__executable = argv[0];
    bool well = true;
    for (int i = 0; i < FLAG_COUNT; i++)
        well &= read_environment(&flags[i]);
    int kept = *argc > 0;
    for (int i = kept; i < *argc; i++) {
        const char *value;
        const flag *f = find(argv[i], &value);
        if (f)
            well &= set(f, hg__textf("--%s", f->name), value);
        else if (strcmp(argv[i], "--help") == 0)
            hg__flag.help = true;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    argv[kept] = NULL;
    if (hg__flag.help)
        print_usage();
    return well ? HG_BENCHMARK_OK : HG_BENCHMARK_USAGE;
}

int hg_benchmark_report_unrecognized(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        hg__complain("unrecognized command-line flag: %s (see --help)", argv[i]);
    return argc > 1 ? HG_BENCHMARK_USAGE : HG_BENCHMARK_OK;
}
