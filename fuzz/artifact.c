#define _GNU_SOURCE
#include "artifact.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "heapgauge/trace.h"

void hg_artifact_print(FILE *out, const char *backend, const struct hg_finding *finding) {
    char op[128] = "after the last operation";
    if (finding->op_index != UINT64_MAX)
        hg_op_print(&finding->op, op, sizeof op);
    fprintf(out, "heapgauge: %s breaks %s [%c] at %s\n  %s\n", backend, finding->item,
            finding->level ? finding->level : 'M', op, finding->text);
}

bool hg_artifact_write_trace(const char *path, const char *backend, const char *target,
                             const struct hg_finding *finding, const hg_op *ops, size_t count) {
    char header[1024];
    hg_trace_writer *writer;
    snprintf(header, sizeof header, "program: heapgauge fuzz\nbackend: %s\ntarget: %s\nitem: %s\n",
             backend, target, finding->item);
    if (hg_trace_writer_open(path, header, &writer) != HG_OK)
        return false;
    bool good = true;
    for (size_t i = 0; i < count && good; i++)
        good = hg_trace_writer_put(writer, &ops[i]) == HG_OK;
    return hg_trace_writer_close(writer) == HG_OK && good;
}

hg_op *hg_artifact_read_trace(const char *path, size_t count_max, size_t *count, char *header_item,
                              char *header_backend, char *why, size_t why_size) {
    hg_trace_reader *reader;
    if (hg_trace_reader_open(path, &reader, why, why_size) != HG_OK)
        return NULL;
    *header_item = *header_backend = '\0';
    (void)hg_trace_reader_header_get(reader, "item", header_item, 16);
    (void)hg_trace_reader_header_get(reader, "backend", header_backend, 128);
    size_t capacity = 4096, have = 0, block_count;
    hg_op *ops = malloc(capacity * sizeof *ops);
    const hg_op *block;
    uint64_t first;
    enum hg_status status = HG_OK;
    while (ops && (status = hg_trace_reader_next(reader, &block, &block_count, &first)) == HG_OK) {
        if (have + block_count > count_max) {
            snprintf(why, why_size, "%s: longer than %zu operations", path, count_max);
            free(ops);
            ops = NULL;
            break;
        }
        if (have + block_count > capacity) {
            capacity = (have + block_count) * 2;
            hg_op *more = realloc(ops, capacity * sizeof *ops);
            if (!more) {
                free(ops);
                ops = NULL;
                snprintf(why, why_size, "out of memory");
                break;
            }
            ops = more;
        }
        memcpy(ops + have, block, block_count * sizeof *ops);
        have += block_count;
    }
    if (ops && status != HG_END && status != HG_ERR_CUT) {
        snprintf(why, why_size, "%s", hg_trace_reader_why(reader));
        free(ops);
        ops = NULL;
    }
    hg_trace_reader_close(reader);
    *count = have;
    return ops;
}

bool hg_artifact_write_text(const char *path, const char *backend, const struct hg_finding *finding,
                            const hg_op *ops, size_t count) {
    FILE *out = fopen(path, "we");
    if (!out)
        return false;
    fprintf(out, "# %s on %s: %s\n", finding->item, backend, finding->text);
    for (size_t i = 0; i < count; i++) {
        char line[160];
        hg_op_print(&ops[i], line, sizeof line);
        fprintf(out, "%s\n", line);
    }
    return fclose(out) == 0;
}
