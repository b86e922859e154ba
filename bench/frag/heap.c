#include "frag.h"

#include "heapgauge/meter.h"

#include <math.h>
#include <time.h>

enum { PAGE = 4096 };
static const uint64_t first_interval = 64; /* operations */

const double hg_frag_retention_s[HG_FRAG_RETENTIONS] = {0, 0.1, 1, 5};

/* ---- samples ---- */

static uint64_t above_baseline(const struct hg_frag_heap *heap, uint64_t rss_bytes) {
    uint64_t baseline = heap->result->baseline_bytes;
    return rss_bytes > baseline ? rss_bytes - baseline : 0;
}

static struct hg_frag_sample sample_now(const struct hg_frag_heap *heap, uint64_t rss_bytes) {
    return (struct hg_frag_sample){
        .operation = heap->result->operations,
        .live_bytes = heap->live_bytes,
        .rss_bytes = above_baseline(heap, rss_bytes),
        .usable_bytes = heap->usable_known ? heap->usable_bytes : 0,
    };
}

/* When the table is full every second one goes, and the interval doubles. */
static void keep(struct hg_frag_result *result, const struct hg_frag_sample *sample) {
    if (result->sample_count == HG_FRAG_SAMPLES_MAX) {
        for (size_t i = 0; i < HG_FRAG_SAMPLES_MAX / 2; i++)
            result->samples[i] = result->samples[2 * i];
        result->sample_count /= 2;
        result->sample_every *= 2;
    }
    result->samples[result->sample_count++] = *sample;
}

static void judge(struct hg_frag_heap *heap, const struct hg_frag_sample *sample) {
    struct hg_frag_result *result = heap->result;
    if (sample->live_bytes > result->at_live_peak.live_bytes)
        result->at_live_peak = *sample;
    if (sample->rss_bytes > result->at_rss_peak.rss_bytes)
        result->at_rss_peak = *sample;
    /* Of a nearly empty heap the ratio says nothing. */
    if (!heap->ended && sample->live_bytes >= heap->config->live_bytes_max / 16 &&
        hg_frag_overhead(sample) > hg_frag_overhead(&result->at_worst))
        result->at_worst = *sample;
}

void hg_frag_mark(struct hg_frag_heap *heap) {
    struct hg_frag_sample sample = sample_now(heap, hg_rss_bytes());
    keep(heap->result, &sample);
    judge(heap, &sample);
}

void hg_frag_end(struct hg_frag_heap *heap) {
    hg_frag_mark(heap);
    heap->ended = true;
}

static void count_operation(struct hg_frag_heap *heap) {
    struct hg_frag_result *result = heap->result;
    if (++result->operations % result->sample_every != 0)
        return;
    struct hg_frag_sample sample = sample_now(heap, hg_rss_bytes_fast());
    keep(result, &sample);
    judge(heap, &sample);
}

/* ---- blocks ---- */

static uint64_t usable_of(struct hg_frag_heap *heap, void *ptr, size_t size) {
    if (!heap->usable_known)
        return 0;
    size_t usable = heap->config->backend->libc.malloc_usable_size(ptr);
    heap->usable_known = usable >= size;
    return usable;
}

void *hg_frag_alloc(struct hg_frag_heap *heap, size_t size) {
    char *block = heap->config->backend->libc.malloc(size);
    if (!block) {
        heap->result->failed++;
        return NULL;
    }
    for (size_t i = 0; i < size; i += PAGE)
        *(volatile char *)(block + i) = 1;
    *(volatile char *)(block + size - 1) = 1;
    heap->live_bytes += size;
    heap->usable_bytes += usable_of(heap, block, size);
    heap->size_min = size < heap->size_min ? size : heap->size_min;
    heap->size_max = size > heap->size_max ? size : heap->size_max;
    count_operation(heap);
    return block;
}

void hg_frag_free(struct hg_frag_heap *heap, void *ptr, size_t size) {
    if (!ptr)
        return;
    heap->usable_bytes -= usable_of(heap, ptr, size);
    heap->live_bytes -= size;
    heap->config->backend->libc.free(ptr);
    count_operation(heap);
}

/* ---- a run ---- */

static void sleep_until(uint64_t time_ns) {
    for (uint64_t now = hg_time_ns(); now < time_ns; now = hg_time_ns()) {
        uint64_t rest = time_ns - now;
        struct timespec pause = {(time_t)(rest / 1000000000), (long)(rest % 1000000000)};
        nanosleep(&pause, NULL);
    }
}

static void read_retention(struct hg_frag_heap *heap) {
    struct hg_frag_result *result = heap->result;
    const hg_backend *backend = heap->config->backend;
    uint64_t start = hg_time_ns();
    for (size_t i = 0; i < HG_FRAG_RETENTIONS; i++) {
        if (hg_frag_retention_s[i] > heap->config->retention_s)
            break;
        sleep_until(start + (uint64_t)(hg_frag_retention_s[i] * 1e9));
        result->retention_bytes[i] = above_baseline(heap, hg_rss_bytes());
        result->retention_count = i + 1;
    }
    if (!backend->purge)
        return;
    backend->purge(backend);
    result->has_purge = true;
    result->purged_bytes = above_baseline(heap, hg_rss_bytes());
}

void hg_frag_run(const struct hg_frag_config *config, const struct hg_adversary *adversary,
                 struct hg_frag_result *result) {
    struct hg_frag_heap heap = {
        .config = config,
        .result = result,
        .size_min = UINT64_MAX,
        .usable_known = config->backend->libc.malloc_usable_size != NULL,
    };
    *result = (struct hg_frag_result){.sample_every = first_interval};
    adversary->attack(&heap, config->live_bytes_max);
    read_retention(&heap);
    result->size_ratio = (double)heap.size_max / (double)heap.size_min;
    result->finished = true;
}

/* ---- figures ---- */

double hg_frag_overhead(const struct hg_frag_sample *sample) {
    return sample->live_bytes ? (double)sample->rss_bytes / (double)sample->live_bytes : 0;
}

double hg_frag_internal(const struct hg_frag_sample *sample) {
    return sample->usable_bytes && sample->live_bytes
               ? (double)sample->usable_bytes / (double)sample->live_bytes - 1
               : NAN;
}

double hg_frag_external(const struct hg_frag_sample *sample) {
    return hg_frag_overhead(sample) - 1 - hg_frag_internal(sample);
}

double hg_frag_bound_first_fit(double n) {
    return 1 + ceil(log2(n));
}

double hg_frag_bound_any(double n) {
    return 1 + log2(n) / 2;
}
