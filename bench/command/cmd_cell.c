#define _GNU_SOURCE
#include "command.h"
#include "curve.h"
#include "lockstep.h"

#include "../../backends/counting.h"
#include "workload.h"

#include "heapgauge/meter.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: heapgauge cell WORKLOAD --backend=B --json=FILE [OPTIONS]\n\n"
    "One measurement in a contained child process: what heapgauge compare runs once a round. WORKLOAD is\n"
    "a trace (*.hgt), or the name of a benchmark instance as heapgauge bench lists it, without its\n"
    "backend part: pair/size:64. FILE always gets one JSON object that says how it went.\n\n"
    "  --backend=B      one allocator\n"
    "  --json=FILE      where the result goes (-: standard output)\n"
    "  --ops=N          iterations of a benchmark (each thread's); a trace is played whole (1M)\n"
    "  --face=recorded|layout  for traces (recorded)\n"
    "  --cpu=N          a workload of one thread runs on processor N alone; others run where they like\n"
    "  --curve=latency|footprint  percentiles of each operation's time, or memory over operations,\n"
    "                   instead of timing: what that costs is no figure of speed\n"
    "  --lockstep=FD:N  in slices, as entry N of heapgauge lockstep\n"
    "  --count          count the calls at the allocator: for proof, not for timing\n"
    "  --timeout=S      seconds (600)\n"
    "  --memory=BYTES   resident memory the child may take (three quarters of what is free)\n\n"
    "Exit status: 0 when FILE was written, 2 else.\n";

struct cell {
    const char *workload, *backend_spec, *json;
    const hg_backend *backend;
    enum hg_face face;
    uint64_t iterations, cpu;
    bool count, has_cpu;
    enum hg_curve_kind curve_kind;
    struct hg_curve *curve;         /* NULL: none is asked for */
    struct hg_lockstep_entry turns; /* .shared NULL: it runs alone */
    struct hg_limits limits;
};

/* What the child found out; shared with it. */
struct measured {
    bool finished;
    char status[16];
    char detail[300];
    uint64_t threads, asked, counted, wall_ns, cpu_ns;
    uint64_t rss_baseline, rss_at_live_peak, rss_peak, rss_end, live_peak, minor_faults;
    bool has_footprint, is_pinned;
};

struct cell_job {
    const struct cell *cell;
    struct measured *measured;
};

static void say(struct measured *measured, const char *status, const char *detail) {
    snprintf(measured->status, sizeof measured->status, "%s", status);
    snprintf(measured->detail, sizeof measured->detail, "%s", detail);
    measured->finished = true;
}

/* Keeps this process on one processor: half of what differs from run to run is gone with it. */
static void pin(const struct cell *cell, struct measured *measured) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cell->cpu, &set);
    measured->is_pinned = cell->has_cpu && sched_setaffinity(0, sizeof set, &set) == 0;
}

/* ---- a trace ---- */

static int play_trace(const struct cell *cell, struct measured *measured) {
    struct hg_session_options stream = {.command = "cell", .trace = cell->workload, .touch = true};
    struct hg_session session;
    if (hg_session_open(&stream, &session) != HG_EXIT_OK)
        return HG_EXIT_USAGE;
    const struct hg_trace_totals *totals = hg_trace_reader_totals(session.reader);
    struct hg_play_config config = {
        .backend = cell->backend,
        .face = cell->face,
        .mode = totals->thread_count > 1 ? HG_PLAY_PARALLEL : HG_PLAY_SINGLE,
        .touch = true,
        .trace_clock = true,
    };
    if (config.mode == HG_PLAY_SINGLE)
        pin(cell, measured);
    static uint64_t times_ns[HG_LOCKSTEP_SLICES_MAX];
    struct hg_lockstep_entry turns = cell->turns;
    struct hg_play_slices slices = {
        .count = turns.shared ? hg_lockstep_slices(turns.shared) : 0,
        .operations = totals->operation_count,
        .turn = hg_lockstep_between,
        .context = &turns,
        .times_ns = times_ns,
    };
    if (turns.shared && slices.count > slices.operations) {
        say(measured, "error", "a trace of fewer operations than slices");
        return HG_EXIT_OK;
    }
    if (turns.shared)
        config.slices = &slices;
    struct hg_play_result result;
    uint64_t calls = hg_counting_total();
    hg_curve_start();
    enum hg_status status = hg_play(&config, &session.source, &result);
    hg_curve_stop();
    if (status != HG_OK) {
        say(measured, "error", *result.why ? result.why : hg_session_why(&session));
        return HG_EXIT_OK;
    }
    if (turns.shared)
        hg_lockstep_put_times(turns.shared, turns.entry, times_ns);
    measured->threads = result.threads;
    measured->asked = result.operations;
    /* The drain and the warm-up are calls as well. */
    measured->counted =
        cell->count ? hg_counting_total() - calls - result.live_end_blocks - 2 : result.operations;
    measured->wall_ns = result.time_ns;
    measured->cpu_ns = result.cpu_ns;
    measured->has_footprint = cell->backend->facts.frees;
    measured->live_peak = totals->live_bytes_peak;
    measured->rss_baseline = result.rss_baseline_bytes;
    measured->rss_at_live_peak = result.rss_baseline_bytes + result.rss_at_live_peak_bytes;
    measured->rss_peak = result.rss_baseline_bytes + result.rss_peak_bytes;
    measured->rss_end = result.rss_baseline_bytes + result.rss_end_bytes;
    measured->minor_faults = result.minor_faults;
    say(measured, "ok", "");
    if (result.failed) {
        char detail[120];
        snprintf(detail, sizeof detail, "%" PRIu64 " allocations returned NULL", result.failed);
        say(measured, "invalid", detail);
    }
    if (result.unsupported && !cell->backend->libc.malloc)
        say(measured, "unsupported", "the backend has no libc face: replay with --face=layout");
    return HG_EXIT_OK;
}

/* ---- a benchmark ---- */

/* "pair/size:64" -> "^pair/backend:cell/size:64$" */
static bool filter_of(const char *workload, char *filter, size_t size) {
    size_t name = strcspn(workload, "/");
    int length = snprintf(filter, size, "--benchmark_filter=^%.*s/backend:cell%s$", (int)name,
                          workload, workload + name);
    return length > 0 && (size_t)length < size && !strpbrk(workload, "*+?[](){}|^$\\");
}

/* Threads of its own are named by real_time, those of the library by their number as well. */
static bool has_one_thread(const char *workload) {
    return !strstr(workload, "/real_time") && !strstr(workload, "/threads:");
}

static bool be_silent(void) {
    int nowhere = open("/dev/null", O_WRONLY);
    return nowhere >= 0 && dup2(nowhere, STDOUT_FILENO) >= 0 && dup2(nowhere, STDERR_FILENO) >= 0;
}

static uint64_t sum_of_slices(const struct hg_lockstep_entry *turns) {
    const uint64_t *times_ns = hg_lockstep_times(turns->shared, turns->entry);
    uint64_t sum = 0;
    for (unsigned i = 0; i < hg_lockstep_slices(turns->shared); i++)
        sum += times_ns[i];
    return sum;
}

static int run_benchmark(const struct cell *cell, struct measured *measured) {
    char filter[512], min_time[64], program[] = "cell";
    snprintf(min_time, sizeof min_time, "--benchmark_min_time=%" PRIu64 "x", cell->iterations);
    if (!filter_of(cell->workload, filter, sizeof filter)) {
        say(measured, "error", "no such workload; see: heapgauge bench --benchmark_list_tests");
        return HG_EXIT_OK;
    }
    char *words[] = {program, filter, min_time, NULL};
    int count = 3;
    if (strncmp(cell->workload, "scaling_", 8) == 0)
        hg_workload_register_scaling(cell->backend, "cell");
    else
        hg_workload_register(cell->backend, "cell");
    if (!be_silent() || hg_benchmark_initialize(&count, words) != HG_BENCHMARK_OK) {
        say(measured, "error", "cannot start the benchmark");
        return HG_EXIT_OK;
    }
    if (has_one_thread(cell->workload))
        pin(cell, measured);
    struct hg_lockstep_entry turns = cell->turns;
    if (turns.shared)
        hg_benchmark_set_slices(hg_lockstep_slices(turns.shared), hg_lockstep_between, &turns);
    hg_rss_settle_files();
    hg_rss_peak_reset();
    measured->rss_baseline = hg_rss_bytes();
    uint64_t faults = hg_minor_faults();
    int status = hg_benchmark_run_specified();
    struct hg_workload_times times = hg_workload_times();
    measured->minor_faults = hg_minor_faults() - faults;
    measured->rss_peak = hg_rss_peak_bytes();
    measured->rss_end = hg_rss_bytes();
    measured->asked = hg_workload_operations();
    measured->counted = cell->count ? times.calls : measured->asked;
    measured->wall_ns = turns.shared ? sum_of_slices(&turns) : times.wall_ns;
    measured->cpu_ns = times.cpu_ns;
    measured->threads = times.threads;
    measured->live_peak = times.live_peak_bytes;
    measured->rss_at_live_peak = times.rss_at_live_peak_bytes;
    measured->has_footprint = times.live_peak_bytes > 0 && cell->backend->facts.frees;
    if (status == HG_BENCHMARK_USAGE)
        say(measured, "error", "no such workload; see: heapgauge bench --benchmark_list_tests");
    else if (status != HG_BENCHMARK_OK)
        say(measured, "error", "the benchmark reported an error");
    else if (measured->asked == 0)
        say(measured, "unsupported", "the backend lacks a function that the workload needs");
    else
        say(measured, "ok", "");
    return HG_EXIT_OK;
}

static int measure_in_child(void *argument) {
    struct cell_job *job = argument;
    struct cell cell = *job->cell;
    if (cell.curve)
        cell.backend = hg_curve_wrap(cell.curve, cell.curve_kind, cell.backend);
    if (!cell.backend) {
        say(job->measured, "error", "no memory to record a curve in");
        return HG_EXIT_OK;
    }
    int status = hg_is_trace(cell.workload) ? play_trace(&cell, job->measured)
                                            : run_benchmark(&cell, job->measured);
    if (cell.curve)
        hg_curve_gather(cell.curve);
    return status;
}

/* ---- the result ---- */

static void judge_child(const struct hg_contained *child, struct measured *measured) {
    char detail[200];
    if (child->outcome == HG_OUTCOME_EXITED && measured->finished)
        return;
    switch (child->outcome) {
    case HG_OUTCOME_CRASHED:
        snprintf(detail, sizeof detail, "signal %d (%s) after %.2f s", child->signal,
                 strsignal(child->signal), child->seconds);
        break;
    case HG_OUTCOME_TIMEOUT:
        snprintf(detail, sizeof detail, "no end after %.1f s", child->seconds);
        break;
    case HG_OUTCOME_MEMORY:
        snprintf(detail, sizeof detail, "took %" PRIu64 " MiB in %.1f s",
                 child->rss_seen_bytes >> 20, child->seconds);
        break;
    case HG_OUTCOME_EXITED:
        snprintf(detail, sizeof detail, "ended by itself with exit status %d", child->exit_status);
        break;
    }
    const char *status =
        child->outcome == HG_OUTCOME_EXITED ? "crashed" : hg_outcome_name(child->outcome);
    say(measured, status, detail);
}

static void json_measurement(hg_json *json, const struct cell *cell,
                             const struct measured *measured) {
    double seconds = (double)measured->wall_ns * 1e-9;
    hg_json_member_u64(json, "threads", measured->threads);
    hg_json_member_u64(json, "operations_asked", measured->asked);
    hg_json_member_u64(json, "operations_counted", measured->counted);
    hg_json_key(json, "seconds");
    hg_json_double(json, seconds);
    hg_json_key(json, "cpu_seconds");
    hg_json_double(json, (double)measured->cpu_ns * 1e-9);
    hg_json_key(json, "ns_per_op");
    hg_json_double(json, (double)measured->wall_ns / (double)measured->asked);
    if (cell->turns.shared) {
        const uint64_t *times_ns = hg_lockstep_times(cell->turns.shared, cell->turns.entry);
        hg_json_key(json, "slices_ns");
        hg_json_array(json);
        for (unsigned i = 0; i < hg_lockstep_slices(cell->turns.shared); i++)
            hg_json_u64(json, times_ns[i]);
        hg_json_end_array(json);
    }
    if (measured->is_pinned)
        hg_json_member_u64(json, "cpu", cell->cpu);
    hg_json_member_u64(json, "rss_baseline_bytes", measured->rss_baseline);
    hg_json_member_u64(json, "rss_peak_bytes", measured->rss_peak);
    hg_json_member_u64(json, "rss_end_bytes", measured->rss_end);
    hg_json_member_u64(json, "minor_faults", measured->minor_faults);
    if (measured->has_footprint) {
        hg_json_member_u64(json, "live_peak_bytes", measured->live_peak);
        hg_json_member_u64(json, "rss_at_live_peak_bytes", measured->rss_at_live_peak);
    }
}

static int write_cell(const struct cell *cell, const struct measured *measured) {
    int fd = hg_json_open("cell", cell->json);
    if (fd < 0)
        return HG_EXIT_USAGE;
    hg_sink sink;
    hg_json json;
    hg_sink_init_fd(&sink, fd);
    hg_json_begin(&json, &sink);
    hg_json_object(&json);
    hg_json_member_u64(&json, "cell_version", 1);
    hg_json_member_string(&json, "workload", cell->workload);
    hg_json_member_string(&json, "backend", cell->backend_spec);
    hg_json_member_string(&json, "status", measured->status);
    hg_json_member_string(&json, "detail", measured->detail);
    if (measured->asked > 0)
        json_measurement(&json, cell, measured);
    if (cell->curve)
        hg_curve_json(&json, cell->curve);
    if (cell->backend) {
        hg_json_member_string(&json, "backend_version", cell->backend->facts.version);
        hg_json_member_string(&json, "backend_path", cell->backend->facts.path);
    }
    hg_json_end_object(&json);
    hg_json_finish(&json);
    return hg_json_close("cell", cell->json, &sink, fd);
}

static int measure(struct cell *cell) {
    struct measured *measured = hg_shared_map(sizeof *measured);
    if (cell->curve_kind != HG_CURVE_NONE)
        cell->curve = hg_curve_create();
    if (!measured || (cell->curve_kind != HG_CURVE_NONE && !cell->curve))
        return hg_usage_error("cell", "out of memory");
    char spec[600], why[300];
    snprintf(spec, sizeof spec, "%s%s", cell->count ? "count:" : "", cell->backend_spec);
    enum hg_status opened = hg_backend_open(spec, &cell->backend, why, sizeof why);
    if (opened == HG_ERR_UNKNOWN || opened == HG_ERR_USAGE)
        return hg_usage_error("cell", "%s", why);
    if (opened != HG_OK) {
        say(measured, "unsupported", why);
        return write_cell(cell, measured);
    }
    struct cell_job job = {cell, measured};
    struct hg_contained child;
    if (hg_contain(measure_in_child, &job, &cell->limits, &child) != HG_OK)
        return hg_usage_error("cell", "cannot start a child process");
    if (!measured->finished && child.outcome == HG_OUTCOME_EXITED &&
        child.exit_status == HG_EXIT_USAGE)
        return HG_EXIT_USAGE; /* it said why */
    judge_child(&child, measured);
    return write_cell(cell, measured);
}

/* "FD:N" */
static bool take_part(char *text, struct hg_lockstep_entry *turns) {
    uint64_t fd, entry;
    char *colon = strchr(text, ':');
    if (!colon)
        return false;
    *colon = '\0';
    bool good = hg_parse_u64(text, &fd) && hg_parse_u64(colon + 1, &entry) && fd < 1 << 20 &&
                entry < HG_LOCKSTEP_ENTRIES_MAX;
    if (good) {
        turns->entry = (unsigned)entry;
        turns->shared = hg_lockstep_attach((int)fd);
    }
    *colon = ':';
    return good && turns->shared;
}

int hg_cmd_cell(int argc, char **argv) {
    enum { BACKEND = 256, JSON, OPS, FACE, CPU, CURVE, LOCKSTEP, COUNT, TIMEOUT, MEMORY };
    static const struct option options[] = {
        {"backend", required_argument, NULL, BACKEND},
        {"json", required_argument, NULL, JSON},
        {"ops", required_argument, NULL, OPS},
        {"face", required_argument, NULL, FACE},
        {"cpu", required_argument, NULL, CPU},
        {"curve", required_argument, NULL, CURVE},
        {"lockstep", required_argument, NULL, LOCKSTEP},
        {"count", no_argument, NULL, COUNT},
        {"timeout", required_argument, NULL, TIMEOUT},
        {"memory", required_argument, NULL, MEMORY},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct cell cell = {.iterations = 1000000, .limits = {.timeout_s = 600}};
    bool good = true;
    int index = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, &index)) != -1;) {
        switch (option) {
        case BACKEND:
            cell.backend_spec = optarg;
            break;
        case JSON:
            cell.json = optarg;
            break;
        case OPS:
            good = hg_parse_u64(optarg, &cell.iterations) && cell.iterations > 0;
            break;
        case FACE:
            good = strcmp(optarg, "layout") == 0 || strcmp(optarg, "recorded") == 0;
            cell.face = strcmp(optarg, "layout") == 0 ? HG_FACE_LAYOUT : HG_FACE_AS_RECORDED;
            break;
        case CPU:
            good = hg_parse_u64(optarg, &cell.cpu) && cell.cpu < CPU_SETSIZE;
            cell.has_cpu = true;
            break;
        case CURVE:
            cell.curve_kind = strcmp(optarg, "latency") == 0     ? HG_CURVE_LATENCY
                              : strcmp(optarg, "footprint") == 0 ? HG_CURVE_FOOTPRINT
                                                                 : HG_CURVE_NONE;
            good = cell.curve_kind != HG_CURVE_NONE;
            break;
        case LOCKSTEP:
            good = take_part(optarg, &cell.turns);
            break;
        case COUNT:
            cell.count = true;
            break;
        case TIMEOUT:
            good = hg_parse_double(optarg, &cell.limits.timeout_s);
            break;
        case MEMORY:
            good = hg_parse_u64(optarg, &cell.limits.memory_bytes);
            break;
        case 'h':
            fputs(usage, stdout);
            return HG_EXIT_OK;
        default:
            return HG_EXIT_USAGE;
        }
        if (!good)
            return hg_usage_error("cell", "--%s=%s: not a value it takes; see: heapgauge help cell",
                                  options[index].name, optarg);
    }
    if (argc - optind != 1 || !cell.backend_spec || !cell.json)
        return hg_usage_error("cell", "WORKLOAD, --backend= and --json= are needed; see: heapgauge "
                                      "help cell");
    cell.workload = argv[optind];
    return measure(&cell);
}
