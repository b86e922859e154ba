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
    return hg_artifact_close(out);
}

static const char *named(const char *base, const char *extension) {
    static char path[1000];
    snprintf(path, sizeof path, "%.900s.%s", base, extension);
    return path;
}

const char *hg_artifact_write_stream(const char *base, const struct hg_fuzz_session *session,
                                     const struct hg_finding *finding, const hg_op *ops,
                                     size_t count) {
    const char *backend = session->name;
    if (!hg_artifact_write_trace(named(base, "hgt"), backend, session->target->name, finding, ops,
                                 count))
        return named(base, "hgt");
    if (!hg_artifact_write_text(named(base, "txt"), backend, finding, ops, count))
        return named(base, "txt");
    return hg_artifact_write_c(named(base, "c"), &session->backend, backend, finding, ops, count)
               ? NULL
               : named(base, "c");
}

static void print_bytes(FILE *out, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x%s", data[i], (i + 1) % 16 && i + 1 < size ? " " : "\n");
}

static void print_operations(FILE *out, struct hg_fuzz_session *session, const uint8_t *data,
                             size_t size) {
    hg_fuzz_decode(&session->decode, data, size, &session->decoded);
    for (size_t i = 0; i < session->decoded.count; i++) {
        char line[160];
        hg_op_print(&session->decoded.ops[i], line, sizeof line);
        fprintf(out, "%s\n", line);
    }
}

const char *hg_artifact_write_input(const char *base, struct hg_fuzz_session *session,
                                    const struct hg_finding *finding, const uint8_t *data,
                                    size_t size) {
    FILE *out = fopen(named(base, "bin"), "wbe");
    bool good = out && fwrite(data, 1, size, out) == size;
    if (out && !hg_artifact_close(out))
        good = false;
    if (!good)
        return named(base, "bin");
    out = fopen(named(base, "txt"), "we");
    if (!out)
        return named(base, "txt");
    const char *target = session->target->name;
    fprintf(out, "# %s in target %s: %s\n# again: fuzz_%s_replay FILE.bin\n", finding->item, target,
            finding->text, target);
    fprintf(out, "# %zu bytes:\n", size);
    print_bytes(out, data, size);
    if (strcmp(target, "trace_reader") != 0) {
        fprintf(out, "# which mean, with what precedes and follows them in %s:\n", target);
        print_operations(out, session, data, size);
    }
    return hg_artifact_close(out) ? NULL : named(base, "txt");
}
