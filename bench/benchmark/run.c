/* One repetition of one instance: how many iterations, on which threads, and the row that comes of
 * it. */
#include "internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MEMORY_ITERATIONS = 16 };
static const uint64_t max_iterations = UINT64_C(1000000000000);

const hg_memory_manager *hg__memory_manager;

void hg_benchmark_set_memory_manager(const hg_memory_manager *manager) {
    hg__memory_manager = manager;
}

typedef struct worker {
    hg_state state;
    struct hg__run_state run;
    pthread_t thread;
    bool started;
} worker;

typedef struct results {
    uint64_t iterations; /* of all threads, as are the times and counters */
    double real_s, cpu_s, manual_s;
    hg__counters counters; /* scratch */
    int64_t complexity_n;
    hg__skip skip;
    char message[HG__MESSAGE_SIZE];
    char label[HG__MESSAGE_SIZE];
} results;

/* ---- Threads ---- */

/* A function that returns without having run its loop to the end has measured nothing. */
static void judge_loop(hg_state *state) {
    if (state->skipped || state->finished)
        return;
    hg_skip_with_error(state, state->started ? "the benchmark left its loop before the end"
                                             : "the benchmark returned without running its loop");
}

static void *work(void *arg) {
    worker *self = arg;
    hg__perf_open(&self->run.perf);
    self->run.instance->family->fn(&self->state);
    judge_loop(&self->state);
    hg__perf_close(&self->run.perf, self->run.perf_values);
    hg__barrier_leave(self->run.barrier);
    return NULL;
}

static void init_worker(worker *w, const hg__instance *instance, hg__barrier *barrier, int index,
                        uint64_t iterations) {
    w->run = (struct hg__run_state){
        .instance = instance,
        .barrier = barrier,
        .thread_index = index,
        .timer.process_cpu = instance->family->process_cpu,
    };
    w->state = (hg_state){.max_iterations = iterations, .run = &w->run};
}

/* Thread 0 is the caller. A thread that can't be had is an error of the benchmark. */
static void run_workers(worker *workers, int threads, hg__barrier *barrier) {
    for (int i = 1; i < threads; i++) {
        int error = pthread_create(&workers[i].thread, NULL, work, &workers[i]);
        workers[i].started = error == 0;
        if (error == 0)
            continue;
        hg_skip_with_error(&workers[i].state, "thread %d could not be started: %s", i,
                           strerror(error));
        hg__barrier_leave(barrier);
    }
    work(&workers[0]);
    for (int i = 1; i < threads; i++) {
        if (workers[i].started)
            pthread_join(workers[i].thread, NULL);
    }
}

static void add_worker(results *sum, const worker *w) {
    const struct hg__run_state *run = &w->run;
    sum->iterations += hg_state_iterations(&w->state);
    sum->real_s += run->timer.real_s;
    sum->cpu_s += run->timer.cpu_s;
    sum->manual_s += run->timer.manual_s;
    hg__counters_add(&sum->counters, &run->counters, hg__scratch_alloc);
    for (size_t i = 0; i < hg__perf_count(); i++) {
        hg__counter *counter =
            hg__counters_get(&sum->counters, hg__perf_name(i), hg__scratch_alloc);
        counter->value += run->perf_values[i];
        counter->flags = HG_COUNTER_AVG_ITERATIONS;
    }
    if (run->complexity_n > sum->complexity_n)
        sum->complexity_n = run->complexity_n;
    if (run->skip > sum->skip) {
        sum->skip = run->skip;
        memcpy(sum->message, run->message, sizeof sum->message);
    }
    if (!sum->label[0])
        memcpy(sum->label, run->label, sizeof sum->label);
}

static void call_hook(hg_benchmark_fn *hook, const hg__instance *instance) {
    if (!hook)
        return;
    worker *w = hg__scratch_alloc(sizeof *w);
    init_worker(w, instance, NULL, 0, 0);
    hook(&w->state);
}

/* Set-up, `iterations` on every thread, tear-down. */
static void run_iterations(const hg__instance *instance, uint64_t iterations, results *sum) {
    hg__log(2, "Running %s for %llu", instance->name, (unsigned long long)iterations);
    hg__scratch_reset();
    *sum = (results){0};
    worker *workers = hg__scratch_alloc((size_t)instance->threads * sizeof *workers);
    hg__barrier barrier;
    hg__barrier_init(&barrier, instance->threads);
    for (int i = 0; i < instance->threads; i++)
        init_worker(&workers[i], instance, &barrier, i, iterations);
    call_hook(instance->family->setup, instance);
    run_workers(workers, instance->threads, &barrier);
    call_hook(instance->family->teardown, instance);
    hg__barrier_destroy(&barrier);
    for (int i = 0; i < instance->threads; i++)
        add_worker(sum, &workers[i]);
    if (instance->family->process_cpu)
        sum->cpu_s /= instance->threads; /* each thread has read the whole process's */
}

/* ---- How many iterations ---- */

static double seconds_that_count(const hg_benchmark *family, const results *sum) {
    if (family->use_manual_time)
        return sum->manual_s;
    return family->use_real_time ? sum->real_s : sum->cpu_s;
}

static bool is_fixed(const hg_benchmark *family) {
    return family->iterations > 0 || hg__flag.dry_run ||
           (family->min_time_s <= 0 && hg__flag.min_time_iterations > 0);
}

static uint64_t first_iterations(const hg_benchmark *family) {
    if (hg__flag.dry_run || !is_fixed(family))
        return 1;
    return family->iterations > 0 ? family->iterations : hg__flag.min_time_iterations;
}

static bool ran_enough(const hg_benchmark *family, const results *sum, uint64_t iterations,
                       double min_time_s) {
    return sum->skip != HG__NOT_SKIPPED || iterations >= max_iterations ||
           seconds_that_count(family, sum) >= min_time_s ||
           (sum->real_s >= 5 * min_time_s && !family->use_manual_time);
}

/* Aims 40 % past min_time; where the run was too short to extrapolate from, ten times as many. */
static uint64_t more_iterations(uint64_t iterations, double seconds, double min_time_s) {
    double multiplier = 10;
    if (seconds / min_time_s > 0.1)
        multiplier = min_time_s * 1.4 / fmax(seconds, 1e-9);
    double next = fmax(multiplier * (double)iterations, (double)iterations + 1);
    return next >= (double)max_iterations ? max_iterations : (uint64_t)llround(next);
}

static uint64_t ramp(const hg__instance *instance, uint64_t iterations, double min_time_s,
                     results *sum) {
    for (;;) {
        run_iterations(instance, iterations, sum);
        if (ran_enough(instance->family, sum, iterations, min_time_s))
            return iterations;
        iterations =
            more_iterations(iterations, seconds_that_count(instance->family, sum), min_time_s);
    }
}

static void warm_up(const hg__instance *instance, results *sum) {
    const hg_benchmark *family = instance->family;
    double seconds = family->min_warmup_s >= 0 ? family->min_warmup_s : hg__flag.min_warmup_s;
    if (seconds > 0 && !hg__flag.dry_run)
        ramp(instance, 1, seconds, sum);
}

/* The first repetition settles the number of iterations, the others repeat it. */
static void measure(hg__runner *runner, results *sum) {
    const hg__instance *instance = runner->instance;
    const hg_benchmark *family = instance->family;
    if (runner->done > 0 || is_fixed(family)) {
        if (runner->done == 0)
            warm_up(instance, sum);
        run_iterations(instance, runner->iterations, sum);
        return;
    }
    warm_up(instance, sum);
    double min_time_s = family->min_time_s > 0 ? family->min_time_s : hg__flag.min_time_s;
    runner->iterations = ramp(instance, runner->iterations, min_time_s, sum);
}

/* ---- The row ---- */

static void fill_measured(hg__row *row, const results *sum) {
    const hg__instance *instance = row->instance;
    const hg_benchmark *family = instance->family;
    double unit = hg__unit_per_second(instance->unit);
    double iterations = sum->iterations ? (double)sum->iterations : 1;
    row->real_time = (family->use_manual_time ? sum->manual_s : sum->real_s) * unit / iterations;
    row->cpu_time = sum->cpu_s * unit / iterations;
    row->complexity_n = (double)sum->complexity_n;
    hg__counters_add(&row->counters, &sum->counters, hg__alloc);
    hg__counters_finish(&row->counters, sum->iterations, seconds_that_count(family, sum),
                        instance->threads);
}

/* One more run, untimed, on one thread, between the manager's start and stop. */
static void fill_memory(hg__row *row, uint64_t iterations) {
    hg__instance alone = *row->instance;
    alone.threads = 1;
    if (iterations > MEMORY_ITERATIONS)
        iterations = MEMORY_ITERATIONS;
    row->memory = (hg_memory_result){.total_allocated_bytes = HG_MEMORY_UNKNOWN,
                                     .net_heap_growth = HG_MEMORY_UNKNOWN};
    results ignored;
    hg__memory_manager->start(hg__memory_manager->arg);
    run_iterations(&alone, iterations, &ignored);
    hg__memory_manager->stop(hg__memory_manager->arg, &row->memory);
    row->has_memory = true;
    row->allocs_per_iter = (double)row->memory.allocation_count / (double)iterations;
}

void hg__runner_init(hg__runner *runner, const hg__instance *instance) {
    *runner = (hg__runner){
        .instance = instance,
        .iterations = first_iterations(instance->family),
        .rows = hg__alloc((size_t)instance->repetitions * sizeof(hg__row)),
    };
}

void hg__runner_repeat(hg__runner *runner) {
    results sum;
    measure(runner, &sum);
    hg__row *row = &runner->rows[runner->done];
    *row = (hg__row){
        .instance = runner->instance,
        .run_name = runner->instance->name,
        .type = HG__ITERATION,
        .repetition_index = runner->done,
        .skip = sum.skip,
        .message = hg__strdup(sum.message),
        .iterations = sum.iterations,
        .label = hg__strdup(sum.label),
    };
    runner->done++;
    if (sum.skip != HG__NOT_SKIPPED)
        return;
    fill_measured(row, &sum);
    if (hg__memory_manager)
        fill_memory(row, runner->iterations);
}
