// The same benchmarks as twin_ours.c, one for one, with the real library.
#include <benchmark/benchmark.h>

#include <algorithm>

using benchmark::Counter;
using benchmark::State;

static void plain(State &state) {
    while (state.KeepRunning()) {
    }
}
BENCHMARK(plain)->Iterations(1000);
BENCHMARK(plain)->Name("estimated");

static void args(State &state) {
    for (auto _ : state)
        benchmark::ClobberMemory();
    state.SetItemsProcessed(state.iterations());
    state.SetBytesProcessed(state.iterations() * 64);
    state.SetLabel("a \"label\"");
    state.counters["foo"] = state.range(1);
}
BENCHMARK(args)->ArgNames({"size", "live"})->ArgsProduct({{1, 8}, {2, 3}})->Iterations(100);

static void threads(State &state) {
    for (auto _ : state)
        benchmark::ClobberMemory();
    state.counters["t"] = 1;
    state.counters["t_avg"] = Counter(3, Counter::kAvgThreads);
}
BENCHMARK(threads)
    ->Threads(1)
    ->Threads(2)
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Repetitions(2)
    ->MinTime(0.01)
    ->MinWarmUpTime(0.005);
BENCHMARK(plain)->Name("thread_range")->ThreadRange(1, 3)->Iterations(10);
BENCHMARK(plain)->Name("dense_threads")->DenseThreadRange(1, 4, 2)->Iterations(10);

BENCHMARK(plain)->Name("range")->Range(0, 65)->Iterations(10);
BENCHMARK(plain)->Name("negative")->Range(-8, 8)->Iterations(10);
BENCHMARK(plain)->Name("dense")->DenseRange(0, 5, 2)->Iterations(10);
BENCHMARK(plain)->Name("ranges")->RangeMultiplier(2)->Ranges({{1, 4}, {3, 3}})->Iterations(10);

static void error_before(State &state) {
    state.SkipWithError("backend \"foo\" is not built");
    for (auto _ : state) {
    }
}
BENCHMARK(error_before);

static void error_inside(State &state) {
    for (auto _ : state) {
        state.SkipWithError("inside");
        break;
    }
}
BENCHMARK(error_inside)->Repetitions(3);

static void manual(State &state) {
    double n = state.range(0) ? state.range(0) : 1;
    for (auto _ : state)
        state.SetIterationTime(n * 1e-6);
    state.SetComplexityN(state.range(0));
}
static double twice(benchmark::IterationCount n) {
    return 2.0 * n;
}
BENCHMARK(manual)->Arg(8)->UseManualTime()->Iterations(5)->Unit(benchmark::kMicrosecond);
BENCHMARK(manual)
    ->Name("manual_ms")
    ->Arg(8)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(5)
    ->MeasureProcessCPUTime();
BENCHMARK(manual)->Name("manual_min")->Arg(1000)->UseManualTime()->MinTime(0.05);
BENCHMARK(manual)
    ->Name("linear")
    ->Range(8, 1024)
    ->UseManualTime()
    ->Iterations(5)
    ->Complexity(benchmark::oN);
BENCHMARK(manual)
    ->Name("square")
    ->Range(8, 1024)
    ->UseManualTime()
    ->Iterations(5)
    ->Complexity(benchmark::oNSquared);
BENCHMARK(manual)
    ->Name("nlogn")
    ->Range(8, 1024)
    ->UseManualTime()
    ->Iterations(5)
    ->Complexity(benchmark::oNLogN)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(manual)
    ->Name("lambda")
    ->Range(8, 1024)
    ->UseManualTime()
    ->Iterations(5)
    ->Complexity(twice);

static void counters(State &state) {
    for (auto _ : state)
        state.SetIterationTime(0.25);
    state.counters["plain"] = 12;
    state.counters["rate"] = Counter(12, Counter::kIsRate);
    state.counters["avg"] = Counter(12, Counter::kAvgThreads);
    state.counters["avg_rate"] = Counter(12, Counter::kAvgThreadsRate);
    state.counters["invariant"] = Counter(12, Counter::kIsIterationInvariant);
    state.counters["invariant_rate"] = Counter(12, Counter::kIsIterationInvariantRate);
    state.counters["per_iteration"] = Counter(12, Counter::kAvgIterations);
    state.counters["per_iteration_rate"] = Counter(12, Counter::kAvgIterationsRate);
    state.counters["inverted"] = Counter(12, Counter::kInvert);
    state.counters["inverted_rate"] = Counter(12, Counter::kIsRate | Counter::kInvert);
    state.counters["small"] = 0.0012;
    state.counters["large"] = 123456789;
}
BENCHMARK(counters)->UseManualTime()->Iterations(8);

static double greatest(const std::vector<double> &values) {
    return *std::max_element(values.begin(), values.end());
}
BENCHMARK(counters)
    ->Name("statistics")
    ->UseManualTime()
    ->Iterations(8)
    ->Repetitions(3)
    ->ComputeStatistics("max", greatest);
BENCHMARK(plain)->Name("aggregates_only")->Repetitions(3)->Iterations(8)->ReportAggregatesOnly();

static void batch(State &state) {
    while (state.KeepRunningBatch(4)) {
    }
}
BENCHMARK(batch)->Iterations(10);

static void paused(State &state) {
    for (auto _ : state) {
        state.PauseTiming();
        state.ResumeTiming();
    }
}
BENCHMARK(paused)->Iterations(10);

static int setups, teardowns;
static void count_setup(const State &state) {
    setups += state.threads();
}
static void count_teardown(const State &state) {
    teardowns += state.range(0);
}
static void hooks(State &state) {
    for (auto _ : state) {
    }
    if (state.thread_index() == 0) {
        state.counters["setups"] = setups;
        state.counters["teardowns"] = teardowns;
    }
}
BENCHMARK(hooks)->Arg(3)->Threads(2)->Iterations(5)->Repetitions(2)->Setup(count_setup)->Teardown(
    count_teardown);

BENCHMARK_MAIN();
