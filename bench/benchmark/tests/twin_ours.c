/* The same benchmarks as twin_real.cc, one for one: test_structure.py compares what the two report.
 */
#include <heapgauge/benchmark.h>

static void plain(hg_state *state) {
    while (hg_keep_running(state)) {
    }
}
HG_BENCHMARK(plain, hg_benchmark_iterations(b, 1000));
HG_BENCHMARK(plain, hg_benchmark_name(b, "estimated"));

static void args(hg_state *state) {
    while (hg_keep_running(state))
        hg_clobber_memory();
    hg_set_items_processed(state, (int64_t)hg_state_iterations(state));
    hg_set_bytes_processed(state, (int64_t)hg_state_iterations(state) * 64);
    hg_set_label(state, "a \"label\"");
    hg_set_counter(state, "foo", (double)hg_state_range(state, 1), HG_COUNTER_PLAIN);
}
static const hg_arg_list product[] = {HG_ARG_LIST(1, 8), HG_ARG_LIST(2, 3)};
HG_BENCHMARK(args, HG_ARG_NAMES(b, "size", "live"), hg_benchmark_args_product(b, 2, product),
             hg_benchmark_iterations(b, 100));

static void threads(hg_state *state) {
    while (hg_keep_running(state))
        hg_clobber_memory();
    hg_set_counter(state, "t", 1, HG_COUNTER_PLAIN);
    hg_set_counter(state, "t_avg", 3, HG_COUNTER_AVG_THREADS);
}
HG_BENCHMARK(threads, hg_benchmark_threads(b, 1), hg_benchmark_threads(b, 2),
             hg_benchmark_use_real_time(b), hg_benchmark_measure_process_cpu_time(b),
             hg_benchmark_repetitions(b, 2), hg_benchmark_min_time(b, 0.01),
             hg_benchmark_min_warmup_time(b, 0.005));
HG_BENCHMARK(plain, hg_benchmark_name(b, "thread_range"), hg_benchmark_thread_range(b, 1, 3),
             hg_benchmark_iterations(b, 10));
HG_BENCHMARK(plain, hg_benchmark_name(b, "dense_threads"),
             hg_benchmark_dense_thread_range(b, 1, 4, 2), hg_benchmark_iterations(b, 10));

HG_BENCHMARK(plain, hg_benchmark_name(b, "range"), hg_benchmark_range(b, 0, 65),
             hg_benchmark_iterations(b, 10));
HG_BENCHMARK(plain, hg_benchmark_name(b, "negative"), hg_benchmark_range(b, -8, 8),
             hg_benchmark_iterations(b, 10));
HG_BENCHMARK(plain, hg_benchmark_name(b, "dense"), hg_benchmark_dense_range(b, 0, 5, 2),
             hg_benchmark_iterations(b, 10));
static const int64_t pairs_of_ranges[][2] = {{1, 4}, {3, 3}};
HG_BENCHMARK(plain, hg_benchmark_name(b, "ranges"), hg_benchmark_range_multiplier(b, 2),
             hg_benchmark_ranges(b, 2, pairs_of_ranges), hg_benchmark_iterations(b, 10));

static void error_before(hg_state *state) {
    hg_skip_with_error(state, "backend \"foo\" is not built");
    while (hg_keep_running(state)) {
    }
}
HG_BENCHMARK(error_before);

static void error_inside(hg_state *state) {
    while (hg_keep_running(state)) {
        hg_skip_with_error(state, "inside");
        break;
    }
}
HG_BENCHMARK(error_inside, hg_benchmark_repetitions(b, 3));

static void manual(hg_state *state) {
    double n = hg_state_range(state, 0) ? (double)hg_state_range(state, 0) : 1;
    while (hg_keep_running(state))
        hg_set_iteration_time(state, n * 1e-6);
    hg_set_complexity_n(state, hg_state_range(state, 0));
}
static double twice(int64_t n) {
    return 2 * (double)n;
}
HG_BENCHMARK(manual, hg_benchmark_arg(b, 8), hg_benchmark_use_manual_time(b),
             hg_benchmark_iterations(b, 5), hg_benchmark_unit(b, HG_UNIT_US));
HG_BENCHMARK(manual, hg_benchmark_name(b, "manual_ms"), hg_benchmark_arg(b, 8),
             hg_benchmark_use_manual_time(b), hg_benchmark_unit(b, HG_UNIT_MS),
             hg_benchmark_iterations(b, 5), hg_benchmark_measure_process_cpu_time(b));
HG_BENCHMARK(manual, hg_benchmark_name(b, "manual_min"), hg_benchmark_arg(b, 1000),
             hg_benchmark_use_manual_time(b), hg_benchmark_min_time(b, 0.05));
HG_BENCHMARK(manual, hg_benchmark_name(b, "linear"), hg_benchmark_range(b, 8, 1024),
             hg_benchmark_use_manual_time(b), hg_benchmark_iterations(b, 5),
             hg_benchmark_complexity(b, HG_O_N));
HG_BENCHMARK(manual, hg_benchmark_name(b, "square"), hg_benchmark_range(b, 8, 1024),
             hg_benchmark_use_manual_time(b), hg_benchmark_iterations(b, 5),
             hg_benchmark_complexity(b, HG_O_N_SQUARED));
HG_BENCHMARK(manual, hg_benchmark_name(b, "nlogn"), hg_benchmark_range(b, 8, 1024),
             hg_benchmark_use_manual_time(b), hg_benchmark_iterations(b, 5),
             hg_benchmark_complexity(b, HG_O_N_LOG_N), hg_benchmark_unit(b, HG_UNIT_US));
HG_BENCHMARK(manual, hg_benchmark_name(b, "lambda"), hg_benchmark_range(b, 8, 1024),
             hg_benchmark_use_manual_time(b), hg_benchmark_iterations(b, 5),
             hg_benchmark_complexity_fn(b, twice));

static void counters(hg_state *state) {
    while (hg_keep_running(state))
        hg_set_iteration_time(state, 0.25);
    hg_set_counter(state, "plain", 12, HG_COUNTER_PLAIN);
    hg_set_counter(state, "rate", 12, HG_COUNTER_IS_RATE);
    hg_set_counter(state, "avg", 12, HG_COUNTER_AVG_THREADS);
    hg_set_counter(state, "avg_rate", 12, HG_COUNTER_AVG_THREADS_RATE);
    hg_set_counter(state, "invariant", 12, HG_COUNTER_ITERATION_INVARIANT);
    hg_set_counter(state, "invariant_rate", 12, HG_COUNTER_ITERATION_INVARIANT_RATE);
    hg_set_counter(state, "per_iteration", 12, HG_COUNTER_AVG_ITERATIONS);
    hg_set_counter(state, "per_iteration_rate", 12, HG_COUNTER_AVG_ITERATIONS_RATE);
    hg_set_counter(state, "inverted", 12, HG_COUNTER_INVERT);
    hg_set_counter(state, "inverted_rate", 12, HG_COUNTER_INVERT | HG_COUNTER_IS_RATE);
    hg_set_counter(state, "small", 0.0012, HG_COUNTER_PLAIN);
    hg_set_counter(state, "large", 123456789, HG_COUNTER_PLAIN);
}
HG_BENCHMARK(counters, hg_benchmark_use_manual_time(b), hg_benchmark_iterations(b, 8));

static double greatest(const double *values, size_t count, void *arg) {
    (void)arg;
    double most = values[0];
    for (size_t i = 1; i < count; i++)
        most = values[i] > most ? values[i] : most;
    return most;
}
HG_BENCHMARK(counters, hg_benchmark_name(b, "statistics"), hg_benchmark_use_manual_time(b),
             hg_benchmark_iterations(b, 8), hg_benchmark_repetitions(b, 3),
             hg_benchmark_statistic(b, "max", greatest, 0, false));
HG_BENCHMARK(plain, hg_benchmark_name(b, "aggregates_only"), hg_benchmark_repetitions(b, 3),
             hg_benchmark_iterations(b, 8), hg_benchmark_report_aggregates_only(b));

static void batch(hg_state *state) {
    while (hg_keep_running_batch(state, 4)) {
    }
}
HG_BENCHMARK(batch, hg_benchmark_iterations(b, 10));

static void paused(hg_state *state) {
    while (hg_keep_running(state)) {
        hg_pause_timing(state);
        hg_resume_timing(state);
    }
}
HG_BENCHMARK(paused, hg_benchmark_iterations(b, 10));

static int setups, teardowns;
static void count_setup(hg_state *state) {
    setups += hg_state_threads(state);
}
static void count_teardown(hg_state *state) {
    teardowns += (int)hg_state_range(state, 0);
}
static void hooks(hg_state *state) {
    while (hg_keep_running(state)) {
    }
    if (hg_state_thread_index(state) == 0) {
        hg_set_counter(state, "setups", setups, HG_COUNTER_PLAIN);
        hg_set_counter(state, "teardowns", teardowns, HG_COUNTER_PLAIN);
    }
}
HG_BENCHMARK(hooks, hg_benchmark_arg(b, 3), hg_benchmark_threads(b, 2),
             hg_benchmark_iterations(b, 5), hg_benchmark_repetitions(b, 2),
             hg_benchmark_setup(b, count_setup), hg_benchmark_teardown(b, count_teardown));

HG_BENCHMARK_MAIN()
