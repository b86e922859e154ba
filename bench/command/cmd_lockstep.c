#define _GNU_SOURCE
#include "lockstep.h"

#include "heapgauge/meter.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: heapgauge lockstep WORKLOAD --json=DIR [OPTIONS] BACKEND...\n\n"
    "Runs the same benchmark of one thread, or the same trace, on several backends, each in a process of\n"
    "its own, in slices that take turns: what heapgauge compare runs in a round. DIR gets a cell's JSON for\n"
    "each, 0.json, 1.json, ..., with the times of its slices.\n\n"
    "  --json=DIR       an existing folder\n"
    "  --ops=N          iterations (1M); a trace is played whole\n"
    "  --slices=N       slices, 2 to 4096, no more than iterations or operations of the trace (200)\n"
    "  --seed=N         of the order in which they take turns (1)\n"
    "  --cpu=N          the processor (0)\n"
    "  --timeout=S      seconds, for all together (600)\n"
    "  --memory=BYTES   resident memory each may take (three quarters of what is free)\n\n"
    "Exit status: 0 when every file was written, 2 else.\n";

struct run {
    const char *workload, *directory, *memory;
    char **backends;
    unsigned entries;
    uint64_t iterations, slices, seed, cpu;
    double timeout_s;
    char self[4096];
    int fd;
    struct hg_lockstep *shared;
    pid_t pids[HG_LOCKSTEP_ENTRIES_MAX]; /* 0: ended */
    bool failed;
    unsigned turn_seen; /* see end_stall() */
    uint64_t turn_seen_ns;
};

static void exec_cell(const struct run *run, unsigned entry) {
    char backend[700], ops[64], json[4200], timeout[64], memory[64], cpu[32], lockstep[64];
    snprintf(backend, sizeof backend, "--backend=%s", run->backends[entry]);
    snprintf(ops, sizeof ops, "--ops=%" PRIu64, run->iterations);
    snprintf(json, sizeof json, "--json=%s/%u.json", run->directory, entry);
    snprintf(timeout, sizeof timeout, "--timeout=%g", 2 * run->timeout_s); /* we are first */
    snprintf(memory, sizeof memory, "--memory=%s", run->memory ? run->memory : "0");
    snprintf(cpu, sizeof cpu, "--cpu=%" PRIu64, run->cpu);
    snprintf(lockstep, sizeof lockstep, "--lockstep=%d:%u", run->fd, entry);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    execl(run->self, "heapgauge", "cell", run->workload, backend, ops, json, timeout, memory, cpu,
          lockstep, (char *)NULL);
    _exit(HG_EXIT_USAGE);
}

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){0, ms * 1000000}, NULL);
}

/* Notes which processes ended. True while one is left. */
static bool look_after(struct run *run) {
    bool any = false;
    for (unsigned e = 0; e < run->entries; e++) {
        int status;
        if (run->pids[e] > 0 && waitpid(run->pids[e], &status, WNOHANG) == run->pids[e]) {
            run->failed |= !WIFEXITED(status) || WEXITSTATUS(status) != HG_EXIT_OK;
            run->pids[e] = 0;
        }
        if (run->pids[e] == 0)
            hg_lockstep_is_gone(run->shared, e);
        any |= run->pids[e] > 0;
    }
    return any;
}

/* Kills the entry that has held its turn for too long, and says so in its place: the others wait. */
static void end_stall(struct run *run) {
    unsigned entry, turn;
    if (!hg_lockstep_holder(run->shared, &entry, &turn) || run->pids[entry] <= 0)
        return;
    if (run->turn_seen_ns == 0 || turn != run->turn_seen) {
        run->turn_seen = turn;
        run->turn_seen_ns = hg_time_ns();
        return;
    }
    double seconds = (double)(hg_time_ns() - run->turn_seen_ns) * 1e-9;
    if (seconds < run->timeout_s / 2)
        return;
    kill(run->pids[entry], SIGKILL);
    waitpid(run->pids[entry], NULL, 0);
    run->pids[entry] = 0;
    char path[4200];
    snprintf(path, sizeof path, "%s/%u.json", run->directory, entry);
    FILE *file = fopen(path, "w");
    if (!file || fprintf(file,
                         "{\"cell_version\": 1, \"status\": \"timeout\", "
                         "\"detail\": \"no end of a slice after %.1f s\"}\n",
                         seconds) < 0)
        run->failed = true;
    if (file && fclose(file) != 0)
        run->failed = true;
    hg_lockstep_is_gone(run->shared, entry);
}

/* One after the other, so that none sets up its heap beside another that does: each waits at its loop. */
static bool start_all(struct run *run) {
    for (unsigned e = 0; e < run->entries; e++)
        run->pids[e] = -1;
    for (unsigned e = 0; e < run->entries; e++) {
        run->pids[e] = fork();
        if (run->pids[e] < 0)
            return false;
        if (run->pids[e] == 0)
            exec_cell(run, e);
        while (!hg_lockstep_is_ready(run->shared, e) && (look_after(run), run->pids[e] > 0))
            pause_ms(1);
    }
    return true;
}

static int run_all(struct run *run) {
    ssize_t length = readlink("/proc/self/exe", run->self, sizeof run->self - 1);
    run->shared = hg_lockstep_create(run->entries, (unsigned)run->slices, run->seed, &run->fd);
    if (length < 0 || !run->shared)
        return hg_usage_error("lockstep", "cannot share memory: %s", strerror(errno));
    if (!start_all(run))
        return hg_usage_error("lockstep", "cannot start a process: %s", strerror(errno));
    hg_lockstep_begin(run->shared);
    while (look_after(run)) {
        end_stall(run);
        pause_ms(5);
    }
    return run->failed ? HG_EXIT_USAGE : HG_EXIT_OK;
}

int hg_cmd_lockstep(int argc, char **argv) {
    enum { JSON = 256, OPS, SLICES, SEED, CPU, TIMEOUT, MEMORY };
    static const struct option options[] = {
        {"json", required_argument, NULL, JSON},
        {"ops", required_argument, NULL, OPS},
        {"slices", required_argument, NULL, SLICES},
        {"seed", required_argument, NULL, SEED},
        {"cpu", required_argument, NULL, CPU},
        {"timeout", required_argument, NULL, TIMEOUT},
        {"memory", required_argument, NULL, MEMORY},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct run run = {.iterations = 1000000, .slices = 200, .seed = 1, .timeout_s = 600};
    uint64_t bytes;
    bool good = true;
    int index = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, &index)) != -1;) {
        if (option == JSON)
            run.directory = optarg;
        else if (option == OPS)
            good = hg_parse_u64(optarg, &run.iterations) && run.iterations > 0;
        else if (option == SLICES)
            good = hg_parse_u64(optarg, &run.slices) && run.slices >= 2 &&
                   run.slices <= HG_LOCKSTEP_SLICES_MAX;
        else if (option == SEED)
            good = hg_parse_u64(optarg, &run.seed);
        else if (option == CPU)
            good = hg_parse_u64(optarg, &run.cpu);
        else if (option == TIMEOUT)
            good = hg_parse_double(optarg, &run.timeout_s);
        else if (option == MEMORY)
            good = hg_parse_u64(run.memory = optarg, &bytes);
        else if (option == 'h')
            return fputs(usage, stdout) < 0 ? HG_EXIT_USAGE : HG_EXIT_OK;
        else
            return HG_EXIT_USAGE;
        if (!good)
            return hg_usage_error("lockstep",
                                  "--%s=%s: not a value it takes; see: heapgauge help "
                                  "lockstep",
                                  options[index].name, optarg);
    }
    run.workload = argv[optind];
    run.backends = argv + optind + 1;
    run.entries = argc - optind > 1 ? (unsigned)(argc - optind - 1) : 0;
    if (!run.directory || run.entries < 1 || run.entries > HG_LOCKSTEP_ENTRIES_MAX ||
        (run.slices > run.iterations && !hg_is_trace(run.workload)))
        return hg_usage_error("lockstep",
                              "WORKLOAD, --json=DIR, one to %d BACKENDs and no more "
                              "slices than iterations are needed; see: heapgauge help "
                              "lockstep",
                              HG_LOCKSTEP_ENTRIES_MAX);
    return run_all(&run);
}
