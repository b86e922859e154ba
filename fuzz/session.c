#define _GNU_SOURCE
#include "session.h"

#include "turns.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "heapgauge/contain.h"
#include "heapgauge/core.h"

enum { FULL_CHECK_EVERY = 64 };

extern const struct hg_fuzz_target hg_fuzz_target_layout, hg_fuzz_target_libc,
    hg_fuzz_target_threads, hg_fuzz_target_environment, hg_fuzz_target_core_inside,
    hg_fuzz_target_trace_reader, hg_fuzz_target_differential, hg_fuzz_target_native,
    hg_fuzz_target_kernel, hg_fuzz_target_first, hg_fuzz_target_parallel;

static const struct hg_fuzz_target *const targets[] = {
    &hg_fuzz_target_layout,       &hg_fuzz_target_libc,         &hg_fuzz_target_threads,
    &hg_fuzz_target_parallel,     &hg_fuzz_target_environment,  &hg_fuzz_target_native,
    &hg_fuzz_target_first,        &hg_fuzz_target_differential, &hg_fuzz_target_core_inside,
    &hg_fuzz_target_trace_reader, &hg_fuzz_target_kernel,
};
enum { TARGET_COUNT = sizeof targets / sizeof *targets };

const struct hg_fuzz_target *hg_fuzz_target_at(size_t index) {
    return index < TARGET_COUNT ? targets[index] : NULL;
}

const struct hg_fuzz_target *hg_fuzz_target_by_name(const char *name) {
    for (size_t i = 0; i < TARGET_COUNT; i++)
        if (strcmp(targets[i]->name, name) == 0)
            return targets[i];
    return NULL;
}

/* The reference allocator counts page requests from 1; 0 ends it. */
static void core_fail_pages(const hg_backend *self, uint64_t count) {
    (void)self;
    hg_fail_page_request(count == UINT64_MAX ? 0 : count + 1);
}

static bool is_core(const char *spec) {
    const char *colon = strrchr(spec, ':');
    return strcmp(colon ? colon + 1 : spec, "core") == 0;
}

/* What the child learns; in a child, so that no stream begins with the heap as this leaves it. */
struct lesson {
    const hg_backend *backend;
    size_t count;
    size_t edges[HG_FUZZ_EDGES_MAX];
};

static int learn(void *argument) {
    struct lesson *lesson = argument;
    lesson->count = hg_fuzz_learn_edges(lesson->backend, lesson->edges);
    return 0;
}

static void learn_in_child(struct hg_fuzz_session *session) {
    struct lesson *lesson = hg_shared_map(sizeof *lesson);
    struct hg_limits limits = {.timeout_s = 5, .memory_bytes = (uint64_t)1 << 30};
    struct hg_contained child;
    if (!lesson)
        return;
    lesson->backend = &session->backend;
    if (hg_contain(learn, lesson, &limits, &child) != HG_OK)
        return;
    session->decode.edge_count = lesson->count;
    memcpy(session->edges, lesson->edges, sizeof session->edges);
}

bool hg_fuzz_session_renew(struct hg_fuzz_session *session) {
    if (session->oracle)
        hg_oracle_destroy(session->oracle);
    session->oracle = hg_oracle_create(&session->config);
    return session->oracle != NULL;
}

enum hg_status hg_fuzz_session_open(struct hg_fuzz_session *session,
                                    const struct hg_fuzz_target *target, const char *backend,
                                    struct hg_fuzz_log *log, char *why, size_t why_size) {
    const hg_backend *opened;
    memset(session, 0, sizeof *session);
    enum hg_status status = hg_backend_open(backend, &opened, why, why_size);
    if (status != HG_OK)
        return status;
    session->target = target;
    session->backend = *opened;
    snprintf(session->name, sizeof session->name, "%s", backend);
    if (!session->backend.fail_pages && is_core(backend))
        session->backend.fail_pages = core_fail_pages;
    session->config = (struct hg_oracle_config){.backend = &session->backend};
    session->decode = target->decode;
    session->decode.edges = session->edges;
    for (unsigned i = 0; i < HG_NATIVE_COUNT; i++)
        session->decode.natives |= (uint32_t)hg_native_is_there(&session->backend.native, i) << i;
    if (target->needs_backend)
        learn_in_child(session);
    session->log = log ? log : hg_shared_map(sizeof *log);
    if (session->log)
        session->config.beat = &session->log->beat;
    if (!session->log || !hg_fuzz_session_renew(session)) {
        snprintf(why, why_size, "out of memory for the oracle's tables");
        return HG_ERR_MEMORY;
    }
    return HG_OK;
}

static void sum_up(struct hg_oracle_counts *sum, const struct hg_oracle_counts *counts) {
    for (size_t i = 0; i < HG_OP_KIND_COUNT; i++)
        sum->performed[i] += counts->performed[i];
    sum->succeeded += counts->succeeded;
    sum->failed_as_owed += counts->failed_as_owed;
    sum->failed_for_memory += counts->failed_for_memory;
    sum->moved += counts->moved;
    sum->stayed += counts->stayed;
    sum->unsupported += counts->unsupported;
    sum->quality += counts->quality;
    sum->waived += counts->waived;
    sum->checks += counts->checks;
}

static bool take_finding(struct hg_fuzz_session *session) {
    session->finding = *hg_oracle_finding(session->oracle);
    session->log->finding = session->finding;
    session->log->found = true;
    return true;
}

static enum hg_status play(struct hg_fuzz_session *session, const hg_op *ops, size_t count,
                           uint64_t first) {
    if (session->decode.threads > 1)
        return hg_turns_play(session->oracle, ops, count, first);
    enum hg_status status = HG_OK;
    for (size_t i = 0; i < count && status == HG_OK; i++)
        status = hg_oracle_perform(session->oracle, &ops[i], first + i);
    return status;
}

bool hg_fuzz_play_ops(struct hg_fuzz_session *session, const hg_op *ops, size_t count,
                      enum hg_fuzz_end end) {
    struct hg_fuzz_log *log = session->log;
    uint64_t first = log->op_count;
    log->beat++;
    if (first + count <= HG_FUZZ_LOG_OPS) { /* before they are played: they may kill us */
        memcpy(log->ops + first, ops, count * sizeof *ops);
        log->input_begin = first;
        log->op_count = first + count;
    }
    enum hg_status status = play(session, ops, count, first);
    if (status == HG_OK && end == HG_FUZZ_END_FULL)
        status = hg_oracle_finish(session->oracle, 0);
    log->operations += count;
    if (status == HG_OK && end == HG_FUZZ_GOES_ON)
        return false;
    sum_up(&log->counts, hg_oracle_counts(session->oracle));
    log->inputs++;
    if (status == HG_END && hg_oracle_finding(session->oracle))
        return take_finding(session);
    if (status == HG_ERR_FORMAT)
        return hg_fuzz_found(session, "stream",
                             "the decoder made a stream that is none: our error");
    hg_oracle_reset(session->oracle);
    return false;
}

bool hg_fuzz_check_without_input(struct hg_fuzz_session *session) {
    if (session->target->without_input)
        return session->target->without_input(session);
    if (hg_oracle_check_reuse(session->oracle, false) != HG_END &&
        (session->decode.threads < 2 || hg_oracle_check_reuse(session->oracle, true) != HG_END))
        return false;
    return take_finding(session);
}

/* What an input did, as features: a new one makes it worth keeping. An operation, the one before it on the
 * same slot, and the magnitudes of what it asked for. */
static void collect_features(struct hg_fuzz_session *session) {
    struct hg_fuzz_log *log = session->log;
    uint8_t before[HG_FUZZ_SLOTS_MAX] = {0};
    for (size_t i = 0; i < session->decoded.body_count; i++) {
        const hg_op *op = &session->decoded.ops[i];
        uint64_t slot = op->slot % HG_FUZZ_SLOTS_MAX;
        unsigned size_log2 = op->size ? 64u - (unsigned)__builtin_clzll(op->size) : 0;
        unsigned arg_log2 = op->arg ? 64u - (unsigned)__builtin_clzll(op->arg) : 0;
        uint64_t word = op->kind | (uint64_t)before[slot] << 5 | (uint64_t)size_log2 << 10 |
                        (uint64_t)arg_log2 << 17 | (uint64_t)(op->thread != 0) << 24;
        size_t at = (size_t)(word * UINT64_C(0x9E3779B97F4A7C15) >> 48) % HG_FUZZ_FEATURES;
        before[slot] = op->kind;
        if (!log->features[at]) {
            log->features[at] = 1;
            log->feature_count++;
            session->fresh_features = true;
        }
    }
}

bool hg_fuzz_play_input(struct hg_fuzz_session *session, const uint8_t *data, size_t size) {
    struct hg_fuzz_log *log = session->log;
    hg_fuzz_decode(&session->decode, data, size, &session->decoded);
    log->input_size = size < sizeof log->input ? (uint32_t)size : sizeof log->input;
    memcpy(log->input, data, log->input_size);
    session->fresh_features = false;
    if (session->collects_features)
        collect_features(session);
    bool full = session->since_full_check++ % FULL_CHECK_EVERY == 0;
    return hg_fuzz_play_ops(session, session->decoded.ops, session->decoded.count,
                            full ? HG_FUZZ_END_FULL : HG_FUZZ_END_PLAIN);
}

bool hg_fuzz_found(struct hg_fuzz_session *session, const char *item, const char *format, ...) {
    struct hg_finding *finding = &session->finding;
    if (hg_oracle_is_muted(session->config.muted, item))
        return false;
    memset(finding, 0, sizeof *finding);
    snprintf(finding->item, sizeof finding->item, "%s", item);
    finding->level = 'M';
    finding->op_index = UINT64_MAX;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
    session->log->finding = *finding;
    session->log->found = true;
    return true;
}
