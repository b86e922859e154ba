/* From families to instances: names, the filter, the order. */
#include "internal.h"

#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

/* Joins "/part" to a name that may be of any length. */
__attribute__((format(printf, 2, 3))) static const char *join(const char *name, const char *format,
                                                              ...) {
    va_list args;
    va_start(args, format);
    const char *part = hg__vtextf(format, args);
    va_end(args);
    return hg__textf("%s/%s", name, part);
}

static const char *join_args(const char *name, const hg_benchmark *family, const int64_t *args) {
    for (size_t i = 0; i < family->arity; i++) {
        const char *label = i < family->arg_name_count ? family->arg_names[i] : "";
        name =
            label[0] ? join(name, "%s:%" PRId64, label, args[i]) : join(name, "%" PRId64, args[i]);
    }
    return name;
}

const char *hg__instance_name(const hg_benchmark *family, const int64_t *args, int threads) {
    const char *name = args ? join_args(family->name, family, args) : family->name;
    if (family->min_time_s > 0)
        name = join(name, "min_time:%0.3f", family->min_time_s);
    if (family->min_warmup_s > 0)
        name = join(name, "min_warmup_time:%0.3f", family->min_warmup_s);
    if (family->iterations > 0)
        name = join(name, "iterations:%" PRIu64, family->iterations);
    if (family->repetitions > 0)
        name = join(name, "repeats:%d", family->repetitions);
    if (family->process_cpu)
        name = join(name, "process_time");
    if (family->use_manual_time)
        name = join(name, "manual_time");
    else if (family->use_real_time)
        name = join(name, "real_time");
    if (family->thread_count > 0)
        name = join(name, "threads:%d", threads);
    return name;
}

typedef struct filter {
    bool everything, negative;
    regex_t expression;
} filter;

static int filter_compile(filter *f, const char *text) {
    f->negative = text[0] == '-';
    const char *expression = text + f->negative;
    f->everything = expression[0] == '\0' || strcmp(expression, "all") == 0;
    if (f->everything)
        return HG_BENCHMARK_OK;
    int error = regcomp(&f->expression, expression, REG_EXTENDED | REG_NOSUB);
    if (error == 0)
        return HG_BENCHMARK_OK;
    char reason[128];
    regerror(error, &f->expression, reason, sizeof reason);
    hg__complain("--benchmark_filter=%s is no extended regular expression: %s", text, reason);
    return HG_BENCHMARK_USAGE;
}

static bool filter_takes(const filter *f, const char *name) {
    bool matches = f->everything || regexec(&f->expression, name, 0, NULL, 0) == 0;
    return matches != f->negative;
}

static void filter_free(filter *f) {
    if (!f->everything)
        regfree(&f->expression);
}

typedef struct list {
    hg__instance *items;
    size_t count, capacity;
} list;

static void append(list *found, const hg__instance *instance) {
    found->items = hg__grow(found->items, found->count, &found->capacity, sizeof *found->items);
    found->items[found->count++] = *instance;
}

/* Adds the family's instances that the filter takes; index counts all of them. */
static void expand(const hg_benchmark *family, const filter *f, int family_index, list *found) {
    static const int64_t no_args[1];
    static const int one_thread[] = {1};
    size_t args_count = family->has_args ? family->args_count : 1;
    const int *threads = family->thread_count ? family->threads : one_thread;
    size_t thread_count = family->thread_count ? family->thread_count : 1;
    int index = 0;
    for (size_t i = 0; i < args_count; i++) {
        const int64_t *args = family->has_args ? family->args[i] : no_args;
        for (size_t t = 0; t < thread_count; t++) {
            hg__instance instance = {
                .family = family,
                .name = hg__instance_name(family, args, threads[t]),
                .args = args,
                .threads = threads[t],
                .family_index = family_index,
                .per_family_instance_index = index,
                .repetitions = family->repetitions ? family->repetitions : hg__flag.repetitions,
                .unit = family->unit >= 0 ? (hg_time_unit)family->unit : hg__flag.unit,
            };
            if (hg__flag.dry_run)
                instance.repetitions = 1;
            if (!filter_takes(f, instance.name))
                continue;
            append(found, &instance);
            index++;
        }
    }
}

static bool is_disabled(const hg_benchmark *family) {
    return strncmp(family->name, "DISABLED_", strlen("DISABLED_")) == 0;
}

int hg__find_instances(const char *filter_text, hg__instance **instances, size_t *count) {
    filter f;
    int status = filter_compile(&f, filter_text);
    if (status != HG_BENCHMARK_OK)
        return status;
    list found = {0};
    int family_index = 0;
    for (const hg_benchmark *family = hg__first_benchmark(); family; family = family->next) {
        size_t before = found.count;
        if (!is_disabled(family))
            expand(family, &f, family_index, &found);
        family_index += found.count > before;
    }
    filter_free(&f);
    if (found.count == 0) {
        hg__complain("no benchmark matches --benchmark_filter=%s (--benchmark_list_tests lists "
                     "their names)",
                     filter_text);
        return HG_BENCHMARK_USAGE;
    }
    *instances = found.items;
    *count = found.count;
    return HG_BENCHMARK_OK;
}
