/* The JSON file: schema version 1, key by key as Google Benchmark 1.9.5 writes it. */
#include "internal.h"

#include <math.h>
#include <stdio.h>

typedef struct json_reporter {
    hg__reporter base;
    hg_json json;
} json_reporter;

static void string_member(hg_json *json, const char *key, const char *value) {
    hg_json_key(json, key);
    hg_json_string(json, value);
}

static void int_member(hg_json *json, const char *key, int64_t value) {
    hg_json_key(json, key);
    hg_json_i64(json, value);
}

static void double_member(hg_json *json, const char *key, double value) {
    hg_json_key(json, key);
    hg_json_double(json, value);
}

static void bool_member(hg_json *json, const char *key, bool value) {
    hg_json_key(json, key);
    hg_json_bool(json, value);
}

static void write_caches(hg_json *json, const hg__context *context) {
    hg_json_key(json, "caches");
    hg_json_array(json);
    for (size_t i = 0; i < context->cache_count; i++) {
        hg_json_object(json);
        string_member(json, "type", context->caches[i].type);
        int_member(json, "level", context->caches[i].level);
        int_member(json, "size", context->caches[i].size);
        int_member(json, "num_sharing", context->caches[i].num_sharing);
        hg_json_end_object(json);
    }
    hg_json_end_array(json);
}

/* On one line, %g, as the original. */
static void write_load(hg_json *json, const hg__context *context) {
    char text[128];
    int used = snprintf(text, sizeof text, "[");
    for (int i = 0; i < context->load_count; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%g", i ? "," : "",
                         context->load_avg[i]);
    snprintf(text + used, sizeof text - (size_t)used, "]");
    hg_json_key(json, "load_avg");
    hg_json_raw(json, text);
}

void hg__json_context(hg_json *json, const hg__context *context) {
    hg_json_object(json);
    string_member(json, "date", context->date);
    string_member(json, "host_name", context->host_name);
    string_member(json, "executable", context->executable);
    int_member(json, "num_cpus", context->num_cpus);
    int_member(json, "mhz_per_cpu", llround(context->mhz_per_cpu));
    if (context->cpu_scaling >= 0)
        bool_member(json, "cpu_scaling_enabled", context->cpu_scaling);
    if (context->aslr >= 0)
        bool_member(json, "aslr_enabled", context->aslr);
    write_caches(json, context);
    write_load(json, context);
    string_member(json, "library_version", HG_LIBRARY_VERSION);
#if defined(NDEBUG) || defined(__OPTIMIZE__)
    string_member(json, "library_build_type", "release");
#else
    string_member(json, "library_build_type", "debug");
#endif
    int_member(json, "json_schema_version", 1);
    for (size_t i = 0; i < context->custom_count; i++)
        string_member(json, context->custom[i].key, context->custom[i].value);
    hg_json_end_object(json);
}

static void write_identity(hg_json *json, const hg__row *row) {
    string_member(json, "name", hg__row_name(row));
    int_member(json, "family_index", row->instance->family_index);
    int_member(json, "per_family_instance_index", row->instance->per_family_instance_index);
    string_member(json, "run_name", row->run_name);
    string_member(json, "run_type", row->type == HG__ITERATION ? "iteration" : "aggregate");
    int_member(json, "repetitions", row->instance->repetitions);
    if (row->type == HG__ITERATION)
        int_member(json, "repetition_index", row->repetition_index);
    int_member(json, "threads", row->instance->threads);
    if (row->type != HG__ITERATION) {
        string_member(json, "aggregate_name", row->aggregate_name);
        string_member(json, "aggregate_unit", row->percentage ? "percentage" : "time");
    }
}

static void write_skip(hg_json *json, const hg__row *row) {
    if (row->skip == HG__NOT_SKIPPED)
        return;
    bool error = row->skip == HG__SKIPPED_ERROR;
    bool_member(json, error ? "error_occurred" : "skipped", true);
    string_member(json, error ? "error_message" : "skip_message", row->message);
}

static void write_times(hg_json *json, const hg__row *row) {
    const char *unit = hg__unit_name(row->instance->unit);
    if (row->type == HG__RMS) {
        double_member(json, "rms", row->cpu_time);
        return;
    }
    if (row->type == HG__BIG_O) {
        double_member(json, "cpu_coefficient", row->cpu_time);
        double_member(json, "real_coefficient", row->real_time);
        string_member(json, "big_o", hg__big_o_name(row->big_o));
        string_member(json, "time_unit", hg__unit_name(hg__flag.unit));
        return;
    }
    hg_json_key(json, "iterations");
    hg_json_u64(json, row->iterations);
    double_member(json, "real_time", row->real_time);
    double_member(json, "cpu_time", row->cpu_time);
    string_member(json, "time_unit", unit);
}

static void write_memory(hg_json *json, const hg__row *row) {
    if (!row->has_memory)
        return;
    double_member(json, "allocs_per_iter", row->allocs_per_iter);
    int_member(json, "max_bytes_used", row->memory.max_bytes_used);
    if (row->memory.total_allocated_bytes != HG_MEMORY_UNKNOWN)
        int_member(json, "total_allocated_bytes", row->memory.total_allocated_bytes);
    if (row->memory.net_heap_growth != HG_MEMORY_UNKNOWN)
        int_member(json, "net_heap_growth", row->memory.net_heap_growth);
}

void hg__json_row(hg_json *json, const hg__row *row) {
    hg_json_object(json);
    write_identity(json, row);
    write_skip(json, row);
    write_times(json, row);
    for (size_t i = 0; i < row->counters.count; i++)
        double_member(json, row->counters.items[i].name, row->counters.items[i].value);
    write_memory(json, row);
    if (row->label[0])
        string_member(json, "label", row->label);
    hg_json_end_object(json);
}

static void begin(hg__reporter *self, const hg__context *context) {
    json_reporter *reporter = (json_reporter *)self;
    hg_json *json = &reporter->json;
    hg_json_object(json);
    hg_json_key(json, "context");
    hg__json_context(json, context);
    hg_json_key(json, "benchmarks");
    hg_json_array(json);
    hg_sink_flush(self->out);
}

static void report(hg__reporter *self, const hg__row *row) {
    hg__json_row(&((json_reporter *)self)->json, row);
    hg_sink_flush(self->out);
}

static void end(hg__reporter *self) {
    hg_json *json = &((json_reporter *)self)->json;
    hg_json_end_array(json);
    hg_json_end_object(json);
    hg_json_finish(json);
    hg_sink_flush(self->out);
}

static void list(hg__reporter *self, const hg__instance *instances, size_t count) {
    hg_json *json = &((json_reporter *)self)->json;
    hg_json_object(json);
    hg_json_key(json, "benchmarks");
    hg_json_array(json);
    for (size_t i = 0; i < count; i++) {
        hg_json_object(json);
        string_member(json, "name", instances[i].name);
        hg_json_end_object(json);
    }
    hg_json_end_array(json);
    hg_json_end_object(json);
    hg_json_finish(json);
}

hg__reporter *hg__json_reporter(hg_sink *out) {
    json_reporter *reporter = hg__alloc(sizeof *reporter);
    reporter->base = (hg__reporter){begin, report, end, list, out, false, false};
    hg_json_begin(&reporter->json, out);
    return &reporter->base;
}
