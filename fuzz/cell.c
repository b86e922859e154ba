/* A cell: the process that opens a backend, and in it children one after the other, each of which plays
 * inputs until its time is up or something breaks. */
#define _GNU_SOURCE
#include "campaign.h"
#include "mutate.h"
#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "heapgauge/contain.h"
#include "heapgauge/meter.h"

double hg__now_s(void) {
    return (double)hg_time_ns() * 1e-9;
}

double hg__cpu_of_children_s(void) {
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

/* ---- the child ---- */

static size_t next_input(struct hg_fuzz_cell *cell, uint8_t *data) {
    uint64_t *random = &cell->random;
    if (cell->options->random) {
        for (size_t i = 0; i < HG_FUZZ_HEADER_BYTES + USUAL_OPS * HG_FUZZ_RECORD_BYTES; i += 8) {
            uint64_t bits = hg_random(random);
            memcpy(data + i, &bits, 8);
        }
        return HG_FUZZ_HEADER_BYTES + USUAL_OPS * HG_FUZZ_RECORD_BYTES;
    }
    uint32_t choice = hg_random_below(random, 10), count = (uint32_t)cell->corpus_count;
    if (count == 0 || choice < 4)
        return hg_fuzz_fresh(data, INPUT_BYTES, 4 + hg_random_below(random, 2 * USUAL_OPS - 8),
                             random);
    const struct hg_fuzz_entry *a = &cell->corpus[hg_random_below(random, count)];
    const struct hg_fuzz_entry *b = &cell->corpus[hg_random_below(random, count)];
    if (choice < 5)
        return hg_fuzz_crossover(a->data, a->size, b->data, b->size, data, INPUT_BYTES, random);
    memcpy(data, a->data, a->size);
    return hg_fuzz_mutate(data, a->size, INPUT_BYTES, random);
}

/* Plays inputs until the slice is over, something is found or the log is full. A child that is not the first begins
 * with a plan. */
static int play_inputs(void *argument) {
    struct hg_fuzz_cell *cell = argument;
    struct hg_fuzz_session *session = cell->session;
    static uint8_t data[INPUT_BYTES];
    double end = hg__now_s() + cell->slice_s;
    uint64_t inputs_max = cell->options->inputs_max;
    bool found = false;
    session->collects_features = session->target->plays_operations && !cell->options->random;
    if (cell->children > 0 && session->target->run == hg_fuzz_play_input &&
        !session->target->fresh_process && !cell->options->random)
        found = hg_fuzz_play_plan(session, (unsigned)(cell->children - 1), hg_random(&cell->random),
                                  cell->slice_s);
    for (uint64_t i = 0; !found && (i % 16 != 0 || hg__now_s() < end); i++) {
        if (cell->log->op_count + HG_FUZZ_OPS_MAX + HG_FUZZ_SLOTS_MAX + 16 > HG_FUZZ_LOG_OPS ||
            (inputs_max && cell->log->inputs >= inputs_max))
            break;
        size_t size = next_input(cell, data);
        session->fresh_features = false;
        found = session->target->run(session, data, size);
        if (!found && session->fresh_features)
            hg__corpus_keep(cell, data, size);
        if (session->target->fresh_process)
            break;
    }
    uint64_t every = session->target->fresh_process ? 1024 : 4;
    if (!found && session->target->plays_operations && cell->children % every == 0) {
        cell->log->op_count = cell->log->input_begin = 0; /* no operations of ours show it */
        found = hg_fuzz_check_without_input(session);
    }
    for (size_t i = 0; hg_waiver_at(i) && i < 64; i++)
        cell->waiver_uses[i] += hg_waiver_uses(i);
    cell->log->finished = true;
    return found;
}

/* What the last child's end means as an item; "" if it ended well. */
static void outcome_of(const struct hg_contained *child, const struct hg_fuzz_log *log,
                       struct hg_trial *seen) {
    memset(seen, 0, sizeof *seen);
    if (log->found) {
        seen->finding = log->finding;
    } else if (!log->finished) {
        const char *word = child->outcome == HG_OUTCOME_TIMEOUT  ? "hang"
                           : child->outcome == HG_OUTCOME_MEMORY ? "memory"
                                                                 : "crash";
        snprintf(seen->finding.item, sizeof seen->finding.item, "%s", word);
        snprintf(seen->finding.text, sizeof seen->finding.text, "signal %d, status %d, %.1f s",
                 child->signal, child->exit_status, child->seconds);
        seen->finding.op_index = UINT64_MAX;
        seen->finding.level = 'M';
    }
    snprintf(seen->item, sizeof seen->item, "%s", seen->finding.item);
}

/* One line on a terminal, gone when the cell's row is printed (seconds < 0). */
static void show_progress(const struct hg_fuzz_cell *cell, double seconds) {
    if (!isatty(STDERR_FILENO))
        return;
    if (seconds < 0)
        fprintf(stderr, "\r\033[K");
    else
        fprintf(stderr, "\r\033[K%s, %s: %.0f s of %.0f, %" PRIu64 " inputs, %zu found",
                cell->backend, cell->target->name, seconds, cell->options->time_s,
                cell->log->inputs, cell->finding_count);
}

/* Child after child, until the time is up or something is found. */
static void fuzz(struct hg_fuzz_cell *cell, double begin_s, double begin_cpu_s) {
    const struct hg_campaign_options *options = cell->options;
    cell->random = options->seed;
    while (hg__now_s() - begin_s < options->time_s &&
           !(options->inputs_max && cell->log->inputs >= options->inputs_max)) {
        double left = options->time_s - (hg__now_s() - begin_s);
        cell->slice_s = cell->children == 0 ? 0.2 : 1.0;
        if (cell->slice_s > left)
            cell->slice_s = left;
        struct hg_limits limits = {.timeout_s = cell->slice_s + 8,
                                   .memory_bytes = (uint64_t)4 << 30,
                                   .beat = &cell->log->beat};
        struct hg_contained child;
        struct hg_trial seen;
        cell->log->op_count = cell->log->input_begin = 0;
        cell->log->found = cell->log->finished = false;
        if (hg_contain(play_inputs, cell, &limits, &child) != HG_OK)
            return;
        /* The child's random state is lost with it unless shared: it is, as the cell is. */
        outcome_of(&child, cell->log, &seen);
        cell->children++;
        cell->random += UINT64_C(0x5851F42D4C957F2D); /* another stream even after a kill */
        hg__corpus_save(cell);
        show_progress(cell, hg__now_s() - begin_s);
        if (*seen.item)
            hg__found_take(cell, &seen, begin_s, begin_cpu_s);
        if (*seen.item && !options->keep_going)
            break;
    }
}

int hg__cell_run(void *argument) {
    struct hg_fuzz_cell *cell = argument;
    const struct hg_campaign_options *options = cell->options;
    static struct hg_fuzz_session session;
    cell->session = &session;
    if (hg_fuzz_session_open(&session, cell->target, cell->backend, cell->log, cell->why,
                             sizeof cell->why) != HG_OK) {
        cell->unavailable = true;
        return 2;
    }
    session.config.strict = options->strict;
    session.config.no_waivers = options->no_waivers;
    session.config.oracle_fault = options->oracle_fault;
    snprintf(cell->muted, sizeof cell->muted, "%s", options->muted ? options->muted : "");
    session.config.muted = cell->muted;
    if (!hg_fuzz_session_renew(&session))
        return 2;
    hg__corpus_load(cell);
    double begin_s = hg__now_s(), begin_cpu_s = hg__cpu_of_children_s();
    if (options->by_libfuzzer)
        cell->unavailable = !hg__libfuzzer_run(cell, begin_s, begin_cpu_s);
    else
        fuzz(cell, begin_s, begin_cpu_s);
    show_progress(cell, -1);
    cell->wall_s = hg__now_s() - begin_s;
    cell->cpu_s = hg__cpu_of_children_s() - begin_cpu_s;
    return cell->unavailable ? 2 : 0;
}
