#include "command.h"

#include "../../backends/counting.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: heapgauge replay [OPTIONS] TRACE.hgt\n\n"
    "Plays a trace on one or several backends as fast as they serve it, each in a fresh process, and\n"
    "shows time and memory. One run proves nothing about speed: use heapgauge compare for that.\n\n"
    "  --backend=A,B|all   allocators (system)\n"
    "  --face=recorded|layout  through the libc face as recorded, or translated to layouts (recorded)\n"
    "  --single            one thread plays everything, in order (default: the trace's own threads)\n"
    "  --turns             the trace's own threads, one at a time, in the order recorded\n"
    "  --no-touch          do not write to the blocks\n"
    "  --clock=trace|machine  time passes for the allocator as it did for the program, by the trace's clock\n"
    "                      operations, or as it does here (trace)\n"
    "  --cut-ok            play what there is of a cut trace\n"
    "  --timeout=S         seconds (600)\n"
    "  --memory=BYTES      resident memory the child may take (three quarters of what is free)\n\n"
    "Exit status: 0 played, 1 the allocator crashed, hung or took too much memory, 2 usage or environment.\n";

struct replay {
    struct hg_session_options stream;
    struct hg_play_config play;
    struct hg_limits limits;
};

struct replay_job {
    const struct replay *replay;
    struct outcome *outcome;
};

struct outcome {
    bool finished;
    enum hg_status status;
    struct hg_play_result result;
    char why[300];
};

static int replay_in_child(void *argument) {
    struct replay_job *job = argument;
    struct hg_session session;
    int opened = hg_session_open(&job->replay->stream, &session);
    if (opened != HG_EXIT_OK)
        return opened;
    job->outcome->status = hg_play(&job->replay->play, &session.source, &job->outcome->result);
    snprintf(job->outcome->why, sizeof job->outcome->why, "%s",
             *job->outcome->result.why ? job->outcome->result.why : hg_session_why(&session));
    job->outcome->finished = true;
    return HG_EXIT_OK;
}

static void print_result(const hg_backend *backend, const struct hg_play_result *r) {
    double operations = r->operations ? (double)r->operations : 1;
    printf("%-10s %10" PRIu64
           " operations %8.3f s %7.1f ns/op   peak %8.1f MiB   at live peak %8.1f "
           "MiB   %" PRIu64 " thread%s",
           backend->facts.name, r->operations, (double)r->time_ns * 1e-9,
           (double)r->time_ns / operations, (double)r->rss_peak_bytes / 1048576,
           (double)r->rss_at_live_peak_bytes / 1048576, r->threads, r->threads == 1 ? "" : "s");
    if (r->failed)
        printf("   %" PRIu64 " allocations failed", r->failed);
    if (r->unsupported)
        printf("   %" PRIu64 " calls not supported", r->unsupported);
    printf("\n");
}

static int replay_backend(const hg_backend *backend, const char *spec, void *context) {
    (void)spec;
    struct replay *replay = context;
    replay->play.backend = backend;
    struct outcome *outcome = hg_shared_map(sizeof *outcome);
    if (!outcome)
        return hg_usage_error("replay", "out of memory");
    struct replay_job job = {replay, outcome};
    struct hg_contained child;
    if (hg_contain(replay_in_child, &job, &replay->limits, &child) != HG_OK)
        return hg_usage_error("replay", "cannot start a child process");
    if (child.outcome != HG_OUTCOME_EXITED) {
        printf("%-10s %s (signal %d) after %.1f s, %" PRIu64 " MiB\n", backend->facts.name,
               hg_outcome_name(child.outcome), child.signal, child.seconds,
               child.rss_seen_bytes >> 20);
        return HG_EXIT_FINDING;
    }
    if (!outcome->finished)
        return child.exit_status ? child.exit_status : HG_EXIT_FINDING;
    if (outcome->status != HG_OK)
        return hg_usage_error("replay", "%s: %s (operation %" PRIu64 ")", replay->stream.trace,
                              outcome->why, outcome->result.error_index);
    if (outcome->result.operations == 0 && outcome->result.unsupported > 0)
        return hg_usage_error("replay",
                              "%s is unsupported: it has no libc face; replay with --face=layout",
                              backend->facts.name);
    print_result(backend, &outcome->result);
    return HG_EXIT_OK;
}

int hg_cmd_replay(int argc, char **argv) {
    enum { BACKEND = 256, FACE, SINGLE, TURNS, NO_TOUCH, CLOCK, CUT_OK, TIMEOUT, MEMORY };
    static const struct option options[] = {
        {"backend", required_argument, NULL, BACKEND},
        {"face", required_argument, NULL, FACE},
        {"single", no_argument, NULL, SINGLE},
        {"turns", no_argument, NULL, TURNS},
        {"no-touch", no_argument, NULL, NO_TOUCH},
        {"clock", required_argument, NULL, CLOCK},
        {"cut-ok", no_argument, NULL, CUT_OK},
        {"timeout", required_argument, NULL, TIMEOUT},
        {"memory", required_argument, NULL, MEMORY},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct replay replay = {.stream = {.command = "replay", .touch = true},
                            .play = {.mode = HG_PLAY_PARALLEL, .touch = true, .trace_clock = true},
                            .limits = {.timeout_s = 600}};
    const char *backends = "system";
    bool good = true;
    int index = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, &index)) != -1;) {
        switch (option) {
        case BACKEND:
            backends = optarg;
            break;
        case FACE:
            good = strcmp(optarg, "layout") == 0 || strcmp(optarg, "recorded") == 0;
            replay.play.face = strcmp(optarg, "layout") == 0 ? HG_FACE_LAYOUT : HG_FACE_AS_RECORDED;
            break;
        case SINGLE:
            replay.play.mode = HG_PLAY_SINGLE;
            break;
        case TURNS:
            replay.play.mode = HG_PLAY_TURNS;
            break;
        case NO_TOUCH:
            replay.play.touch = replay.stream.touch = false;
            break;
        case CLOCK:
            replay.play.trace_clock = strcmp(optarg, "trace") == 0;
            good = replay.play.trace_clock || strcmp(optarg, "machine") == 0;
            break;
        case CUT_OK:
            replay.stream.cut_ok = true;
            break;
        case TIMEOUT:
            good = hg_parse_double(optarg, &replay.limits.timeout_s);
            break;
        case MEMORY:
            good = hg_parse_u64(optarg, &replay.limits.memory_bytes);
            break;
        case 'h':
            fputs(usage, stdout);
            return HG_EXIT_OK;
        default:
            return HG_EXIT_USAGE;
        }
        if (!good)
            return hg_usage_error("replay",
                                  "--%s=%s: not a value it takes; see: heapgauge help replay",
                                  options[index].name, optarg);
    }
    if (argc - optind != 1)
        return hg_usage_error("replay", "name one trace; see: heapgauge help replay");
    replay.stream.trace = argv[optind];
    hg_trace_reader *reader;
    char why[300];
    if (hg_trace_reader_open(replay.stream.trace, &reader, why, sizeof why) != HG_OK)
        return hg_usage_error("replay", "%s", why);
    const struct hg_trace_totals *totals = hg_trace_reader_totals(reader);
    if (totals && totals->thread_count <= 1)
        replay.play.mode = HG_PLAY_SINGLE; /* no window, no barrier */
    hg_trace_reader_close(reader);
    return hg_each_backend("replay", backends, replay_backend, &replay);
}
