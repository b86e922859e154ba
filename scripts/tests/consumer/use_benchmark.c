/* A benchmark of one's own, with the library's main. */
#include <heapgauge/benchmark.h>

#include <stdlib.h>

static void pair(hg_state *state) {
    while (hg_keep_running(state)) {
        void *block = malloc((size_t)hg_state_range(state, 0));
        hg_do_not_optimize(block);
        free(block);
    }
}
HG_BENCHMARK(pair, HG_ARG_NAMES(b, "size"), hg_benchmark_arg(b, 64));
HG_BENCHMARK_MAIN()
