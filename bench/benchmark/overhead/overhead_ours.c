/* What the loop itself costs, ours. */
#include <heapgauge/benchmark.h>

static void empty(hg_state *state) {
    while (hg_keep_running(state)) {
    }
}
HG_BENCHMARK(empty);

static void empty_iterate(hg_state *state) {
    HG_ITERATE(state) {
    }
}
HG_BENCHMARK(empty_iterate);

static void clobber(hg_state *state) {
    while (hg_keep_running(state))
        hg_clobber_memory();
}
HG_BENCHMARK(clobber);

static void clobber_iterate(hg_state *state) {
    HG_ITERATE(state) {
        hg_clobber_memory();
    }
}
HG_BENCHMARK(clobber_iterate);

static void pause_resume(hg_state *state) {
    while (hg_keep_running(state)) {
        hg_pause_timing(state);
        hg_resume_timing(state);
    }
}
HG_BENCHMARK(pause_resume);

HG_BENCHMARK_MAIN()
