#include "command.h"

#include "heapgauge/meter.h"
#include "heapgauge/oracle.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: heapgauge check [OPTIONS] [TRACE.hgt]\n\n"
    "Plays a trace, or without one a seeded stream of random operations, under the oracle: alignment,\n"
    "overlap, content, zeroing, reallocation, errors. Says which promise of the contract was broken, at\n"
    "which operation. The allocator runs in a child process: its crash, hang or hunger is a finding.\n\n"
    "  --backend=A,B|all    allocators to check (all)\n"
    "  --face=recorded|layout  through the libc face as recorded, or translated to layouts (recorded)\n"
    "  --single             everything on one thread (each operation on its own, in turns)\n"
    "  --strict             quality items (alignof(max_align_t) for small sizes, ...) are findings too\n"
    "  --no-waivers         known deviations of a backend are findings too\n"
    "  --cut-ok             check what there is of a cut trace\n"
    "  --seed=N             the stream's seed (1)\n"
    "  --ops=N              its length (200k)\n"
    "  --live=N             its live blocks (1000)\n"
    "  --size-max=N         its largest usual size, bytes (4096)\n"
    "  --threads=N          its threads (1)\n"
    "  --layout             its operations are of the layout face\n"
    "  --environment        with forks and purges\n"
    "  --times=N            N times, each in a fresh process: the verdict must be the same each time (1)\n"
    "  --timeout=S          seconds (300)\n"
    "  --memory=BYTES       resident memory the child may take (three quarters of what is free)\n"
    "  --oracle-fault=NAME  a fault of the oracle itself, for tests of the tests\n"
    "  --json=FILE          the verdict as JSON (one backend)\n\n"
    "Exit status: 0 clean, 1 a finding, 2 usage or environment.\n";

struct check {
    struct hg_session_options stream;
    struct hg_play_config play;
    struct hg_oracle_config oracle;
    struct hg_limits limits;
    const char *json;
    uint64_t times;
    bool any_finding;
};

/* What the child leaves for its parent. */
struct verdict {
    bool finished;
    enum hg_status status;
    struct hg_finding finding;
    struct hg_oracle_counts counts;
    struct hg_play_result result;
    uint64_t digest;
    char why[300];
};

struct job {
    const struct check *check;
    struct verdict *verdict; /* shared */
};

static int check_in_child(void *argument) {
    struct job *job = argument;
    struct verdict *verdict = job->verdict;
    struct hg_session session;
    int opened = hg_session_open(&job->check->stream, &session);
    if (opened != HG_EXIT_OK)
        return opened;
    hg_oracle *oracle = hg_oracle_create(&job->check->oracle);
    if (!oracle)
        return hg_usage_error("check", "out of memory for the oracle's tables");
    struct hg_play_config play = job->check->play;
    play.oracle = oracle;
    verdict->status = hg_play(&play, &session.source, &verdict->result);
    const struct hg_finding *finding = hg_oracle_finding(oracle);
    if (finding)
        verdict->finding = *finding;
    verdict->counts = *hg_oracle_counts(oracle);
    verdict->digest = hg_oracle_digest(oracle);
    snprintf(verdict->why, sizeof verdict->why, "%s",
             *verdict->result.why ? verdict->result.why : hg_session_why(&session));
    verdict->finished = true;
    return 0; /* no clean-up: the heap under test may be broken */
}

/* Nothing was asked that the backend has a function for: no verdict. */
static bool nothing_supported(const struct verdict *verdict) {
    return verdict->counts.unsupported > 0 && verdict->counts.succeeded == 0;
}

/* The word of a verdict, for people and JSON. */
static const char *verdict_word(const struct hg_contained *child, const struct verdict *verdict) {
    if (child->outcome != HG_OUTCOME_EXITED)
        return hg_outcome_name(child->outcome);
    if (!verdict->finished)
        return child->exit_status == HG_EXIT_USAGE ? "error" : "crashed";
    if (verdict->status == HG_END)
        return "broken";
    if (verdict->status == HG_OK && nothing_supported(verdict))
        return "unsupported";
    return verdict->status == HG_OK ? "clean" : "error";
}

static void describe(const struct hg_contained *child, const struct verdict *verdict, char *text,
                     size_t size) {
    const char *word = verdict_word(child, verdict);
    uint64_t done = verdict->counts.checks;
    if (strcmp(word, "broken") == 0) {
        char op[128] = "after the last operation";
        if (verdict->finding.op_index != UINT64_MAX)
            hg_op_print(&verdict->finding.op, op, sizeof op);
        snprintf(text, size, "%s [%c]: %s", op, verdict->finding.level, verdict->finding.text);
    } else if (strcmp(word, "crashed") == 0 && child->outcome == HG_OUTCOME_CRASHED) {
        snprintf(text, size, "killed by signal %d (%s)", child->signal, strsignal(child->signal));
    } else if (strcmp(word, "crashed") == 0) {
        snprintf(text, size, "ended by itself with exit status %d", child->exit_status);
    } else if (strcmp(word, "timeout") == 0) {
        snprintf(text, size, "no end after %.0f s", child->seconds);
    } else if (strcmp(word, "out-of-memory") == 0) {
        snprintf(text, size, "took %" PRIu64 " MiB", child->rss_seen_bytes >> 20);
    } else if (strcmp(word, "error") == 0) {
        snprintf(text, size, "%s", *verdict->why ? verdict->why : "the stream could not be opened");
        if (verdict->status == HG_ERR_FORMAT && *verdict->result.why)
            snprintf(text, size, "operation %" PRIu64 ": %s", verdict->result.error_index,
                     verdict->why);
    } else if (strcmp(word, "unsupported") == 0) {
        snprintf(text, size,
                 "it has none of the functions asked for (no libc face? then check it with "
                 "--layout, or a trace with --face=layout)");
    } else {
        snprintf(text, size, "%" PRIu64 " checks, %" PRIu64 " blocks live at the end", done,
                 verdict->counts.live_blocks);
    }
}

static void print_verdict(const hg_backend *backend, const struct hg_contained *child,
                          const struct verdict *verdict) {
    const char *word = verdict_word(child, verdict);
    char text[700];
    describe(child, verdict, text, sizeof text);
    if (strcmp(word, "error") == 0 && !verdict->finished) /* the child said why */
        return;
    if (strcmp(word, "error") == 0 || strcmp(word, "unsupported") == 0) {
        hg_usage_error("check", "%s: %s", backend->facts.name, text);
        return;
    }
    printf("%-10s %-8s", backend->facts.name, word);
    if (strcmp(word, "broken") == 0 && verdict->finding.op_index != UINT64_MAX)
        printf(" %s at operation %" PRIu64 ": %s\n", verdict->finding.item,
               verdict->finding.op_index, text);
    else if (strcmp(word, "broken") == 0)
        printf(" %s at the end: %s\n", verdict->finding.item, text);
    else
        printf(" %s\n", text);
    if (strcmp(word, "clean") != 0)
        return;
    double seconds = (double)verdict->result.time_ns * 1e-9;
    printf("%-10s          %" PRIu64 " operations, %.1f million/s; %" PRIu64
           " quality deviations, %" PRIu64 " waived, %" PRIu64 " unsupported; digest %016" PRIx64
           "\n",
           "", verdict->result.operations,
           seconds > 0 ? (double)verdict->result.operations / seconds * 1e-6 : 0,
           verdict->counts.quality, verdict->counts.waived, verdict->counts.unsupported,
           verdict->digest);
}

static int write_json(const struct check *check, const hg_backend *backend,
                      const struct hg_contained *child, const struct verdict *verdict) {
    int fd = hg_json_open("check", check->json);
    if (fd < 0)
        return HG_EXIT_USAGE;
    const char *word = verdict_word(child, verdict);
    bool broken = strcmp(word, "broken") == 0;
    char text[700];
    describe(child, verdict, text, sizeof text);
    hg_sink sink;
    hg_json json;
    hg_sink_init_fd(&sink, fd);
    hg_json_begin(&json, &sink);
    hg_json_object(&json);
    hg_json_member_string(&json, "backend", backend->facts.name);
    hg_json_member_string(&json, "version", backend->facts.version);
    hg_json_member_string(&json, "verdict", word);
    if (broken) {
        hg_json_member_string(&json, "item", verdict->finding.item);
        char level[2] = {verdict->finding.level, 0};
        hg_json_member_string(&json, "level", level);
        if (verdict->finding.op_index != UINT64_MAX)
            hg_json_member_u64(&json, "operation", verdict->finding.op_index);
    }
    hg_json_member_string(&json, "detail", text);
    hg_json_member_u64(&json, "operations", verdict->result.operations);
    hg_json_member_u64(&json, "checks", verdict->counts.checks);
    hg_json_member_u64(&json, "quality", verdict->counts.quality);
    hg_json_member_u64(&json, "waived", verdict->counts.waived);
    hg_json_member_u64(&json, "unsupported", verdict->counts.unsupported);
    hg_json_member_u64(&json, "moved", verdict->counts.moved);
    hg_json_member_u64(&json, "stayed", verdict->counts.stayed);
    hg_json_key(&json, "seconds");
    hg_json_double(&json, (double)verdict->result.time_ns * 1e-9);
    char digest[17];
    snprintf(digest, sizeof digest, "%016" PRIx64, verdict->digest);
    hg_json_member_string(&json, "digest", digest);
    hg_json_end_object(&json);
    hg_json_finish(&json);
    return hg_json_close("check", check->json, &sink, fd);
}

/* 0 clean, 1 finding, 2 environment; prints unless a repetition told the same. */
static int check_once(struct check *check, struct verdict *verdict, struct hg_contained *child) {
    struct job job = {check, verdict};
    memset(verdict, 0, sizeof *verdict);
    if (hg_contain(check_in_child, &job, &check->limits, child) != HG_OK)
        return hg_usage_error("check", "cannot start a child process");
    const char *word = verdict_word(child, verdict);
    if (strcmp(word, "clean") == 0)
        return HG_EXIT_OK;
    bool no_verdict = strcmp(word, "error") == 0 || strcmp(word, "unsupported") == 0;
    return no_verdict ? HG_EXIT_USAGE : HG_EXIT_FINDING;
}

static bool same_verdict(const struct verdict *a, const struct verdict *b) {
    return a->status == b->status && a->finding.op_index == b->finding.op_index &&
           strcmp(a->finding.item, b->finding.item) == 0;
}

static int check_backend(const hg_backend *backend, const char *spec, void *context) {
    (void)spec;
    struct check *check = context;
    struct verdict *verdict = hg_shared_map(sizeof *verdict);
    if (!verdict)
        return hg_usage_error("check", "out of memory");
    check->oracle.backend = check->play.backend = backend;
    struct hg_contained child;
    int status = check_once(check, verdict, &child);
    struct verdict first = *verdict;
    uint64_t same = 1;
    for (uint64_t i = 1; i < check->times && status != HG_EXIT_USAGE; i++) {
        struct hg_contained again;
        check_once(check, verdict, &again);
        same += again.outcome == child.outcome && same_verdict(&first, verdict);
    }
    print_verdict(backend, &child, &first);
    if (check->times > 1 && status != HG_EXIT_USAGE)
        printf("%-10s          the same verdict %" PRIu64 " times of %" PRIu64 "\n", "", same,
               check->times);
    if (check->json) {
        int written = write_json(check, backend, &child, &first);
        if (written)
            return written;
    }
    if (status == HG_EXIT_USAGE)
        return status;
    check->any_finding |= status == HG_EXIT_FINDING || same != check->times;
    return HG_EXIT_OK;
}

enum {
    OPT_BACKEND = 256,
    OPT_FACE,
    OPT_SINGLE,
    OPT_STRICT,
    OPT_NO_WAIVERS,
    OPT_CUT_OK,
    OPT_SEED,
    OPT_OPS,
    OPT_LIVE,
    OPT_SIZE_MAX,
    OPT_THREADS,
    OPT_LAYOUT,
    OPT_ENVIRONMENT,
    OPT_TIMES,
    OPT_TIMEOUT,
    OPT_MEMORY,
    OPT_ORACLE_FAULT,
    OPT_JSON,
};

static const struct option options[] = {
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"face", required_argument, NULL, OPT_FACE},
    {"single", no_argument, NULL, OPT_SINGLE},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"no-waivers", no_argument, NULL, OPT_NO_WAIVERS},
    {"cut-ok", no_argument, NULL, OPT_CUT_OK},
    {"seed", required_argument, NULL, OPT_SEED},
    {"ops", required_argument, NULL, OPT_OPS},
    {"live", required_argument, NULL, OPT_LIVE},
    {"size-max", required_argument, NULL, OPT_SIZE_MAX},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"layout", no_argument, NULL, OPT_LAYOUT},
    {"environment", no_argument, NULL, OPT_ENVIRONMENT},
    {"times", required_argument, NULL, OPT_TIMES},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"oracle-fault", required_argument, NULL, OPT_ORACLE_FAULT},
    {"json", required_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static bool parse_oracle_fault(const char *name, unsigned *out) {
    for (unsigned i = 0; i < HG_ORACLE_FAULT_COUNT; i++) {
        if (strcmp(hg_oracle_fault_name(i), name) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool parse_face(const char *name, enum hg_face *out) {
    *out = strcmp(name, "layout") == 0 ? HG_FACE_LAYOUT : HG_FACE_AS_RECORDED;
    return *out == HG_FACE_LAYOUT || strcmp(name, "recorded") == 0;
}

/* Takes one option; false: its value is wrong. */
static bool take_option(struct check *check, int option, const char *value, const char **backends,
                        bool *single) {
    uint64_t threads = check->stream.threads;
    bool good = true;
    switch (option) {
    case OPT_BACKEND:
        *backends = value;
        break;
    case OPT_FACE:
        good = parse_face(value, &check->oracle.face);
        break;
    case OPT_SINGLE:
        *single = true;
        break;
    case OPT_STRICT:
        check->oracle.strict = true;
        break;
    case OPT_NO_WAIVERS:
        check->oracle.no_waivers = true;
        break;
    case OPT_CUT_OK:
        check->stream.cut_ok = true;
        break;
    case OPT_SEED:
        good = hg_parse_u64(value, &check->stream.seed);
        break;
    case OPT_OPS:
        good = hg_parse_u64(value, &check->stream.operations);
        break;
    case OPT_LIVE:
        good = hg_parse_u64(value, &check->stream.live_blocks) && check->stream.live_blocks > 0 &&
               check->stream.live_blocks <= 1u << 26;
        break;
    case OPT_SIZE_MAX:
        good = hg_parse_u64(value, &check->stream.size_max) && check->stream.size_max > 0 &&
               check->stream.size_max <= 1u << 30;
        break;
    case OPT_THREADS:
        good = hg_parse_u64(value, &threads) && threads > 0 && threads <= 1024;
        check->stream.threads = (unsigned)threads;
        break;
    case OPT_LAYOUT:
        check->stream.layout_stream = true;
        break;
    case OPT_ENVIRONMENT:
        check->stream.environment = true;
        break;
    case OPT_TIMES:
        good = hg_parse_u64(value, &check->times) && check->times > 0;
        break;
    case OPT_TIMEOUT:
        good = hg_parse_double(value, &check->limits.timeout_s);
        break;
    case OPT_MEMORY:
        good = hg_parse_u64(value, &check->limits.memory_bytes);
        break;
    case OPT_ORACLE_FAULT:
        good = parse_oracle_fault(value, &check->oracle.oracle_fault);
        break;
    case OPT_JSON:
        check->json = value;
        break;
    }
    return good;
}

int hg_cmd_check(int argc, char **argv) {
    struct check check = {
        .stream = {.command = "check",
                   .seed = 1,
                   .operations = 200000,
                   .live_blocks = 1000,
                   .size_max = 4096,
                   .threads = 1,
                   .hostile = true},
        .limits = {.timeout_s = 300},
        .times = 1,
    };
    const char *backends = "all";
    bool single = false;
    int index = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, &index)) != -1;) {
        if (option == 'h') {
            fputs(usage, stdout);
            return HG_EXIT_OK;
        }
        if (option == '?')
            return HG_EXIT_USAGE;
        if (!take_option(&check, option, optarg, &backends, &single))
            return hg_usage_error("check",
                                  "--%s=%s: not a value it takes; see: heapgauge help check",
                                  options[index].name, optarg);
    }
    if (argc - optind > 1)
        return hg_usage_error("check", "one trace at a time; '%s' is one too many",
                              argv[optind + 1]);
    if (check.json && (strchr(backends, ',') || strcmp(backends, "all") == 0))
        return hg_usage_error("check", "--json is for one backend; name it with --backend=");
    check.stream.trace = optind < argc ? argv[optind] : NULL;
    check.play.mode = single ? HG_PLAY_SINGLE : HG_PLAY_TURNS;
    check.oracle.concurrent = !single;
    if (!check.stream.trace && check.stream.threads == 1) {
        check.play.mode = HG_PLAY_SINGLE;
        check.oracle.concurrent = false;
    }
    int status = hg_each_backend("check", backends, check_backend, &check);
    if (status)
        return status;
    return check.any_finding ? HG_EXIT_FINDING : HG_EXIT_OK;
}
