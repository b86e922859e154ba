#include <heapgauge/benchmark.h>

static void empty(hg_state *state) {
    while (hg_keep_running(state)) {
    }
}
HG_BENCHMARK(empty);
HG_BENCHMARK_MAIN()
