#include "heapgauge/flat.h"

#include <stdio.h>
#include <string.h>

#include "operation_facts.h"

_Static_assert(sizeof(hg_op) == 24, "an operation is as long as flat.h says");

void hg_flat_head(unsigned char head[HG_FLAT_HEADER_BYTES], uint64_t count) {
    memcpy(head, HG_FLAT_MAGIC, 8);
    memcpy(head + 8, &count, sizeof count);
}

const hg_op *hg_flat_read(const void *bytes, size_t size, uint64_t *count) {
    uint64_t claimed;
    if (size < HG_FLAT_HEADER_BYTES || memcmp(bytes, HG_FLAT_MAGIC, 8) != 0)
        return NULL;
    memcpy(&claimed, (const char *)bytes + 8, sizeof claimed);
    if (claimed != (size - HG_FLAT_HEADER_BYTES) / sizeof(hg_op) ||
        (size - HG_FLAT_HEADER_BYTES) % sizeof(hg_op) != 0)
        return NULL;
    const hg_op *ops = (const void *)((const char *)bytes + HG_FLAT_HEADER_BYTES);
    for (uint64_t i = 0; i < claimed; i++)
        if (!hg__op_is_well_formed(&ops[i]))
            return NULL;
    *count = claimed;
    return ops;
}

static enum hg_status play(hg_oracle *oracle, const hg_op *ops, uint64_t count,
                           struct hg_verdict *verdict) {
    enum hg_status status = HG_OK;
    for (uint64_t i = 0; i < count && status == HG_OK; i++) {
        status = hg_oracle_perform(oracle, &ops[i], verdict->operations);
        verdict->operations++;
    }
    return status;
}

static void conclude(hg_oracle *oracle, enum hg_status status, unsigned order,
                     struct hg_verdict *verdict) {
    verdict->digest = hg_oracle_digest(oracle); /* of the stream, not of its end */
    if (status == HG_OK)
        status = hg_oracle_finish(oracle, order);
    verdict->status = status;
    verdict->counts = *hg_oracle_counts(oracle);
    if (hg_oracle_finding(oracle))
        verdict->finding = *hg_oracle_finding(oracle);
    if (status == HG_OK)
        hg_oracle_reset(oracle);
}

void hg_flat_play(hg_oracle *oracle, const hg_op *ops, uint64_t count, unsigned order,
                  struct hg_verdict *verdict) {
    memset(verdict, 0, sizeof *verdict);
    conclude(oracle, play(oracle, ops, count, verdict), order, verdict);
}

void hg_flat_play_source(hg_oracle *oracle, struct hg_source *source, unsigned order,
                         struct hg_verdict *verdict) {
    memset(verdict, 0, sizeof *verdict);
    const hg_op *ops;
    size_t count;
    uint64_t first;
    enum hg_status status = HG_OK, next;
    while (status == HG_OK &&
           (next = source->next(source->context, &ops, &count, &first)) != HG_END)
        status = next == HG_OK ? play(oracle, ops, count, verdict) : next;
    conclude(oracle, status, order, verdict);
}

static const char *word_of(enum hg_status status) {
    return status == HG_OK ? "clean" : status == HG_END ? "broken" : "error";
}

int hg_verdict_print(const struct hg_verdict *verdict, char *text, size_t text_size) {
    const struct hg_oracle_counts *counts = &verdict->counts;
    int length = snprintf(
        text, text_size,
        "verdict=%s ops=%llu succeeded=%llu failed=%llu moved=%llu stayed=%llu unsupported=%llu "
        "checks=%llu digest=%016llx",
        word_of(verdict->status), (unsigned long long)verdict->operations,
        (unsigned long long)counts->succeeded,
        (unsigned long long)(counts->failed_for_memory + counts->failed_as_owed),
        (unsigned long long)counts->moved, (unsigned long long)counts->stayed,
        (unsigned long long)counts->unsupported, (unsigned long long)counts->checks,
        (unsigned long long)verdict->digest);
    if (verdict->status != HG_END || length < 0 || (size_t)length >= text_size)
        return length;
    char op[128];
    hg_op_print(&verdict->finding.op, op, sizeof op);
    return length + snprintf(text + length, text_size - (size_t)length,
                             " item=%s at=%lld op=%s text=%s", verdict->finding.item,
                             (long long)verdict->finding.op_index, op, verdict->finding.text);
}
