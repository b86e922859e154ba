/* A trace as a benchmark: "trace/NAME/backend:B". An iteration plays the whole trace; what is reported is
 * the time inside the calls' windows (hg_play), so decoding and freeing what is left are not in it. */
#include "command.h"

#include "heapgauge/benchmark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct traced {
    const hg_backend *backend;
    const char *path;
};

/* False: the benchmark was ended with a message. */
static bool play_once(hg_state *state, const struct traced *traced, struct hg_play_result *result) {
    struct hg_session_options stream = {.command = "bench", .trace = traced->path, .touch = true};
    struct hg_session session;
    if (hg_session_open(&stream, &session) != HG_EXIT_OK) {
        hg_skip_with_error(state, "%s can't be played", traced->path);
        return false;
    }
    const struct hg_play_config config = {
        .backend = traced->backend,
        .mode = hg_trace_reader_totals(session.reader)->thread_count > 1 ? HG_PLAY_PARALLEL
                                                                         : HG_PLAY_SINGLE,
        .touch = true,
        .trace_clock = true,
    };
    const enum hg_status status = hg_play(&config, &session.source, result);
    if (status != HG_OK)
        hg_skip_with_error(state, "%s: %s", traced->path,
                           *result->why ? result->why : hg_session_why(&session));
    hg_session_close(&session);
    return status == HG_OK;
}

static void run_trace(hg_state *state) {
    const struct traced *const traced = hg_state_arg(state);
    struct hg_play_result result;
    uint64_t operations = 0, failed = 0;
    if (!traced->backend->libc.malloc) {
        hg_skip_with_message(state, "no libc face");
        return;
    }
    while (hg_keep_running(state)) {
        if (!play_once(state, traced, &result))
            return;
        hg_set_iteration_time(state, (double)result.time_ns * 1e-9);
        operations += result.operations;
        failed += result.failed;
    }
    hg_set_items_processed(state, (int64_t)operations);
    if (failed)
        hg_set_label(state, "%llu allocations failed", (unsigned long long)failed);
}

int hg_bench_trace_register(const hg_backend *backend, const char *label, const char *path) {
    struct hg_session_options stream = {.command = "bench", .trace = path};
    struct hg_session session;
    const int opened = hg_session_open(&stream, &session);
    if (opened != HG_EXIT_OK)
        return opened;
    hg_session_close(&session);
    const char *const slash = strrchr(path, '/'), *const stem = slash ? slash + 1 : path;
    const size_t length = strlen(stem) - strlen(".hgt") + sizeof "trace//backend:" + strlen(label);
    struct traced *const traced = malloc(sizeof *traced);
    char *const name = malloc(length);
    if (!traced || !name)
        abort(); /* before any benchmark has run */
    *traced = (struct traced){backend, path};
    snprintf(name, length, "trace/%.*s/backend:%s", (int)(strlen(stem) - strlen(".hgt")), stem,
             label);
    hg_benchmark *const benchmark = hg_benchmark_register(name, run_trace, traced);
    hg_benchmark_use_manual_time(benchmark);
    return HG_EXIT_OK;
}
