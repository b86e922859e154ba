#include "command.h"

#include "heapgauge/generate.h"

#include <stdio.h>
#include <string.h>

static enum hg_status next_of_trace(void *context, const hg_op **ops, size_t *count,
                                    uint64_t *first) {
    struct hg_session *session = context;
    enum hg_status status = hg_trace_reader_next(session->reader, ops, count, first);
    if (status == HG_ERR_CUT && session->cut_ok) {
        session->was_cut = true;
        return HG_END;
    }
    return status;
}

static int open_trace(const struct hg_session_options *options, struct hg_session *session) {
    char why[300];
    if (hg_trace_reader_open(options->trace, &session->reader, why, sizeof why) != HG_OK)
        return hg_usage_error(options->command, "%s", why);
    const struct hg_trace_totals *totals = hg_trace_reader_totals(session->reader);
    if (!totals && !options->cut_ok) {
        hg_trace_reader_close(session->reader);
        session->reader = NULL;
        return hg_usage_error(options->command,
                              "%s was cut: it has no end; --cut-ok plays what there is",
                              options->trace);
    }
    if (options->touch && hg_trace_reader_look_ahead(session->reader) != HG_OK) {
        hg_usage_error(options->command, "%s", hg_trace_reader_why(session->reader));
        hg_session_close(session);
        return HG_EXIT_USAGE;
    }
    hg_trace_reader_settle(session->reader);
    session->source = (struct hg_source){
        .next = next_of_trace,
        .context = session,
        .slot_count = totals ? totals->slot_count : 0,
        .live_peak_operation = totals ? totals->live_bytes_peak_operation : UINT64_MAX,
    };
    return HG_EXIT_OK;
}

static int open_seed(const struct hg_session_options *options, struct hg_session *session) {
    struct hg_generator_config config = {
        .seed = options->seed,
        .operation_count = options->operations,
        .live_blocks = (uint32_t)options->live_blocks,
        .size_max = (uint32_t)options->size_max,
        .threads = (uint16_t)options->threads,
        .layout_face = options->layout_stream,
        .hostile = options->hostile,
        .environment = options->environment,
    };
    session->generator = hg_generator_create(&config);
    if (!session->generator)
        return hg_usage_error(options->command, "cannot make a stream of %llu live blocks",
                              (unsigned long long)options->live_blocks);
    session->source = hg_generator_source(session->generator);
    return HG_EXIT_OK;
}

int hg_session_open(const struct hg_session_options *options, struct hg_session *session) {
    *session = (struct hg_session){.cut_ok = options->cut_ok};
    return options->trace ? open_trace(options, session) : open_seed(options, session);
}

void hg_session_close(struct hg_session *session) {
    if (session->reader)
        hg_trace_reader_close(session->reader);
    if (session->generator)
        hg_generator_destroy(session->generator);
}

const char *hg_session_why(const struct hg_session *session) {
    return session->reader ? hg_trace_reader_why(session->reader) : "the generator stopped";
}
