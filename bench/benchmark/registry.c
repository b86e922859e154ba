/* The families that were registered, and their setters. */
#include "internal.h"

#include <string.h>
#include <unistd.h>

static hg_benchmark *first, *last;

hg_benchmark *hg__first_benchmark(void) {
    return first;
}

static void require(bool condition, const hg_benchmark *b, const char *what) {
    if (!condition)
        hg__misuse(b && b->name ? b->name : "hg_benchmark_register", what);
}

hg_benchmark *hg_benchmark_register(const char *name, hg_benchmark_fn *fn, void *arg) {
    require(name && name[0] && fn, NULL, "a benchmark needs a name and a function");
    hg_benchmark *b = hg__alloc(sizeof *b);
    *b = (hg_benchmark){.name = hg__strdup(name),
                        .fn = fn,
                        .arg = arg,
                        .range_multiplier = 8,
                        .min_warmup_s = -1,
                        .unit = -1};
    if (last)
        last->next = b;
    else
        first = b;
    last = b;
    return b;
}

hg_benchmark *hg_benchmark_name(hg_benchmark *b, const char *name) {
    require(name && name[0], b, "an empty name");
    b->name = hg__strdup(name);
    return b;
}

hg_benchmark *hg_benchmark_args(hg_benchmark *b, size_t count, const int64_t *args) {
    require(!b->has_args || b->arity == count, b, "argument lists of different lengths");
    b->has_args = true;
    b->arity = count;
    int64_t *copy = hg__alloc((count + 1) * sizeof *copy);
    memcpy(copy, args, count * sizeof *copy);
    b->args = hg__grow(b->args, b->args_count, &b->args_capacity, sizeof *b->args);
    b->args[b->args_count++] = copy;
    return b;
}

hg_benchmark *hg_benchmark_arg(hg_benchmark *b, int64_t arg) {
    return hg_benchmark_args(b, 1, &arg);
}

hg_benchmark *hg_benchmark_arg_names(hg_benchmark *b, size_t count, const char *const *names) {
    b->arg_names = hg__alloc(count * sizeof *b->arg_names);
    b->arg_name_count = count;
    for (size_t i = 0; i < count; i++)
        b->arg_names[i] = hg__strdup(names[i] ? names[i] : "");
    return b;
}

typedef struct numbers {
    int64_t *items;
    size_t count, capacity;
} numbers;

static void append(numbers *list, int64_t value) {
    list->items = hg__grow(list->items, list->count, &list->capacity, sizeof *list->items);
    list->items[list->count++] = value;
}

/* -mult^k, largest magnitude first, then 0, then mult^k: those strictly between low and high. */
static void append_powers(numbers *list, int64_t low, int64_t high, int64_t multiplier) {
    int64_t powers[64];
    int count = 0;
    for (int64_t power = 1;; power *= multiplier) {
        powers[count++] = power;
        if (power > INT64_MAX / multiplier)
            break;
    }
    for (int i = count; i-- > 0;) {
        if (-powers[i] > low && -powers[i] < high)
            append(list, -powers[i]);
    }
    if (low < 0 && high > 0)
        append(list, 0);
    for (int i = 0; i < count; i++) {
        if (powers[i] > low && powers[i] < high)
            append(list, powers[i]);
    }
}

static numbers range_numbers(const hg_benchmark *b, int64_t low, int64_t high, int64_t multiplier) {
    require(low <= high, b, "a range whose low is above its high");
    numbers list = {0};
    append(&list, low);
    append_powers(&list, low, high, multiplier);
    if (high > low)
        append(&list, high);
    return list;
}

hg_benchmark *hg_benchmark_range(hg_benchmark *b, int64_t low, int64_t high) {
    numbers list = range_numbers(b, low, high, b->range_multiplier);
    for (size_t i = 0; i < list.count; i++)
        hg_benchmark_arg(b, list.items[i]);
    return b;
}

hg_benchmark *hg_benchmark_range_multiplier(hg_benchmark *b, int64_t multiplier) {
    require(multiplier >= 2, b, "a range multiplier below 2");
    b->range_multiplier = multiplier;
    return b;
}

hg_benchmark *hg_benchmark_dense_range(hg_benchmark *b, int64_t start, int64_t limit,
                                       int64_t step) {
    require(start <= limit && step > 0, b, "a dense range that is empty or has no step");
    for (int64_t value = start;; value += step) {
        hg_benchmark_arg(b, value);
        if (value > limit - step)
            return b;
    }
}

hg_benchmark *hg_benchmark_ranges(hg_benchmark *b, size_t count, const int64_t (*ranges)[2]) {
    hg_arg_list *lists = hg__alloc((count + 1) * sizeof *lists);
    for (size_t i = 0; i < count; i++) {
        numbers list = range_numbers(b, ranges[i][0], ranges[i][1], b->range_multiplier);
        lists[i] = (hg_arg_list){list.count, list.items};
    }
    return hg_benchmark_args_product(b, count, lists);
}

hg_benchmark *hg_benchmark_args_product(hg_benchmark *b, size_t count, const hg_arg_list *lists) {
    size_t total = 1;
    for (size_t i = 0; i < count; i++)
        total *= lists[i].count;
    require(count > 0 && total > 0, b, "a product of nothing");
    int64_t *args = hg__alloc(count * sizeof *args);
    for (size_t index = 0; index < total; index++) {
        size_t rest = index;
        for (size_t i = 0; i < count; i++) {
            args[i] = lists[i].values[rest % lists[i].count];
            rest /= lists[i].count;
        }
        hg_benchmark_args(b, count, args);
    }
    return b;
}

hg_benchmark *hg_benchmark_threads(hg_benchmark *b, int threads) {
    require(threads >= 1, b, "fewer than one thread");
    b->threads = hg__grow(b->threads, b->thread_count, &b->thread_capacity, sizeof *b->threads);
    b->threads[b->thread_count++] = threads;
    return b;
}

hg_benchmark *hg_benchmark_thread_range(hg_benchmark *b, int low, int high) {
    numbers list = range_numbers(b, low, high, 2);
    for (size_t i = 0; i < list.count; i++)
        hg_benchmark_threads(b, (int)list.items[i]);
    return b;
}

hg_benchmark *hg_benchmark_dense_thread_range(hg_benchmark *b, int low, int high, int step) {
    require(low <= high && step > 0, b, "a dense thread range that is empty or has no step");
    for (int threads = low; threads < high; threads += step)
        hg_benchmark_threads(b, threads);
    return hg_benchmark_threads(b, high);
}

hg_benchmark *hg_benchmark_thread_per_cpu(hg_benchmark *b) {
    return hg_benchmark_threads(b, (int)sysconf(_SC_NPROCESSORS_ONLN));
}

hg_benchmark *hg_benchmark_min_time(hg_benchmark *b, double seconds) {
    require(seconds > 0, b, "a min_time that is not above 0 s");
    require(b->iterations == 0, b, "both a min_time and fixed iterations");
    b->min_time_s = seconds;
    return b;
}

hg_benchmark *hg_benchmark_min_warmup_time(hg_benchmark *b, double seconds) {
    require(seconds >= 0, b, "a negative warm-up time");
    b->min_warmup_s = seconds;
    return b;
}

hg_benchmark *hg_benchmark_iterations(hg_benchmark *b, uint64_t iterations) {
    require(iterations >= 1, b, "no iterations");
    require(b->min_time_s <= 0, b, "both a min_time and fixed iterations");
    b->iterations = iterations;
    return b;
}

hg_benchmark *hg_benchmark_repetitions(hg_benchmark *b, int repetitions) {
    require(repetitions >= 1, b, "no repetitions");
    b->repetitions = repetitions;
    return b;
}

hg_benchmark *hg_benchmark_unit(hg_benchmark *b, hg_time_unit unit) {
    b->unit = (int)unit;
    return b;
}

hg_benchmark *hg_benchmark_use_real_time(hg_benchmark *b) {
    require(!b->use_manual_time, b, "both real and manual time");
    b->use_real_time = true;
    return b;
}

hg_benchmark *hg_benchmark_use_manual_time(hg_benchmark *b) {
    require(!b->use_real_time, b, "both real and manual time");
    b->use_manual_time = true;
    return b;
}

hg_benchmark *hg_benchmark_measure_process_cpu_time(hg_benchmark *b) {
    b->process_cpu = true;
    return b;
}

hg_benchmark *hg_benchmark_report_aggregates_only(hg_benchmark *b) {
    b->report_aggregates_only = true;
    return b;
}

hg_benchmark *hg_benchmark_display_aggregates_only(hg_benchmark *b) {
    b->display_aggregates_only = true;
    return b;
}

hg_benchmark *hg_benchmark_complexity(hg_benchmark *b, hg_complexity complexity) {
    require(complexity < HG_O_LAMBDA, b, "a curve without its function: complexity_fn sets both");
    b->complexity = complexity;
    return b;
}

hg_benchmark *hg_benchmark_complexity_fn(hg_benchmark *b, hg_complexity_fn *curve) {
    require(curve != NULL, b, "no curve");
    b->complexity = HG_O_LAMBDA;
    b->complexity_fn = curve;
    return b;
}

hg_benchmark *hg_benchmark_setup(hg_benchmark *b, hg_benchmark_fn *setup) {
    b->setup = setup;
    return b;
}

hg_benchmark *hg_benchmark_teardown(hg_benchmark *b, hg_benchmark_fn *teardown) {
    b->teardown = teardown;
    return b;
}

hg_benchmark *hg_benchmark_statistic(hg_benchmark *b, const char *name, hg_statistic_fn *fn,
                                     void *arg, bool percentage) {
    require(name && name[0] && fn, b, "a statistic needs a name and a function");
    b->statistics =
        hg__grow(b->statistics, b->statistic_count, &b->statistic_capacity, sizeof *b->statistics);
    b->statistics[b->statistic_count++] =
        (hg__statistic){.name = hg__strdup(name), .fn = fn, .arg = arg, .percentage = percentage};
    return b;
}
