// The same loops with the real library.
#include <benchmark/benchmark.h>

static void empty(benchmark::State &state) {
    for (auto _ : state) {
    }
}
BENCHMARK(empty);

static void clobber_iterate(benchmark::State &state) {
    for (auto _ : state)
        benchmark::ClobberMemory();
}
BENCHMARK(clobber_iterate);

static void clobber(benchmark::State &state) {
    while (state.KeepRunning())
        benchmark::ClobberMemory();
}
BENCHMARK(clobber);

static void pause_resume(benchmark::State &state) {
    for (auto _ : state) {
        state.PauseTiming();
        state.ResumeTiming();
    }
}
BENCHMARK(pause_resume);

BENCHMARK_MAIN();
