#include "workload.h"

#include "../../backends/counting.h"

#include "heapgauge/meter.h"

#include <pthread.h>
#include <stdio.h>

/* Each file's workload, in the order of listings. */
extern const struct hg_workload hg__workload_pair;
extern const struct hg_workload hg__workload_lifo;
extern const struct hg_workload hg__workload_fifo;
extern const struct hg_workload hg__workload_churn;
extern const struct hg_workload hg__workload_churn_threads;
extern const struct hg_workload hg__workload_sizes;
extern const struct hg_workload hg__workload_aligned;
extern const struct hg_workload hg__workload_aligned_realloc;
extern const struct hg_workload hg__workload_realloc;
extern const struct hg_workload hg__workload_calloc;
extern const struct hg_workload hg__workload_sized_free;
extern const struct hg_workload hg__workload_larson;
extern const struct hg_workload hg__workload_sh6;
extern const struct hg_workload hg__workload_sh8;
extern const struct hg_workload hg__workload_xmalloc;
extern const struct hg_workload hg__workload_mstress;
extern const struct hg_workload hg__workload_messages;
extern const struct hg_workload hg__workload_one_freer;
extern const struct hg_workload hg__workload_false_sharing;
extern const struct hg_workload hg__workload_glibc_simple;
extern const struct hg_workload hg__workload_glibc_thread;
extern const struct hg_workload hg__workload_pareto;
extern const struct hg_workload hg__workload_production;
extern const struct hg_workload hg__workload_thread_churn;
extern const struct hg_workload hg__workload_startup;
extern const struct hg_workload hg__workload_large;
extern const struct hg_workload hg__workload_factor;
extern const struct hg_workload hg__workload_minimise;
extern const struct hg_workload hg__workload_interpret;
extern const struct hg_workload hg__workload_store;

extern const struct hg_workload hg__workload_scaling_blocks;
extern const struct hg_workload hg__workload_scaling_bytes;
extern const struct hg_workload hg__workload_scaling_threads;

static const struct hg_workload *const workloads[] = {
    &hg__workload_pair,          &hg__workload_lifo,
    &hg__workload_fifo,          &hg__workload_churn,
    &hg__workload_churn_threads, &hg__workload_sizes,
    &hg__workload_aligned,       &hg__workload_aligned_realloc,
    &hg__workload_realloc,       &hg__workload_calloc,
    &hg__workload_sized_free,    &hg__workload_larson,
    &hg__workload_sh6,           &hg__workload_sh8,
    &hg__workload_xmalloc,       &hg__workload_mstress,
    &hg__workload_messages,      &hg__workload_one_freer,
    &hg__workload_false_sharing, &hg__workload_glibc_simple,
    &hg__workload_glibc_thread,  &hg__workload_pareto,
    &hg__workload_production,    &hg__workload_thread_churn,
    &hg__workload_startup,       &hg__workload_large,
    &hg__workload_factor,        &hg__workload_minimise,
    &hg__workload_interpret,     &hg__workload_store,
};
enum { WORKLOAD_COUNT = sizeof workloads / sizeof *workloads };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t operations;
static int running;
static bool ended;
static uint64_t begin_wall_ns, begin_cpu_ns, begin_calls;
static struct hg_workload_times times;
static void (*begin_hook)(const hg_state *state), (*end_hook)(const hg_state *state);

const struct hg_workload *hg_workload_at(size_t index) {
    return index < WORKLOAD_COUNT ? workloads[index] : NULL;
}

static void register_one(const struct hg_workload *workload, const hg_backend *backend,
                         const char *label) {
    char name[256];
    snprintf(name, sizeof name, "%s/backend:%s", workload->name, label);
    union {
        const hg_backend *in;
        void *out;
    } argument = {backend};
    hg_benchmark *b = hg_benchmark_register(name, workload->run, argument.out);
    workload->configure(b);
}

void hg_workload_register(const hg_backend *backend, const char *label) {
    for (size_t i = 0; i < WORKLOAD_COUNT; i++)
        register_one(workloads[i], backend, label);
}

void hg_workload_register_scaling(const hg_backend *backend, const char *label) {
    register_one(&hg__workload_scaling_blocks, backend, label);
    register_one(&hg__workload_scaling_bytes, backend, label);
    register_one(&hg__workload_scaling_threads, backend, label);
}

void hg_workload_done(hg_state *state, uint64_t count) {
    hg_set_items_processed(state, (int64_t)count);
    pthread_mutex_lock(&lock);
    operations += count;
    pthread_mutex_unlock(&lock);
}

uint64_t hg_workload_operations(void) {
    return operations;
}

struct hg_workload_times hg_workload_times(void) {
    return times;
}

void hg_workload_live(uint64_t bytes) {
    pthread_mutex_lock(&lock);
    if (bytes > times.live_peak_bytes) {
        times.live_peak_bytes = bytes;
        times.rss_at_live_peak_bytes = hg_rss_bytes();
    }
    pthread_mutex_unlock(&lock);
}

void hg_workload_set_hooks(void (*begin)(const hg_state *state),
                           void (*end)(const hg_state *state)) {
    begin_hook = begin;
    end_hook = end;
}

void hg__workload_begin(hg_state *state) {
    pthread_mutex_lock(&lock);
    if (running++ == 0) {
        ended = false;
        if (begin_hook)
            begin_hook(state);
        times.threads = (uint64_t)hg_state_threads(state);
        begin_calls = hg_counting_total();
        begin_cpu_ns = hg_cpu_ns();
        begin_wall_ns = hg_time_ns();
    }
    pthread_mutex_unlock(&lock);
}

void hg__workload_end(hg_state *state) {
    pthread_mutex_lock(&lock);
    running--;
    /* All have passed the barrier at the end of the loop; only the first to come here knows that no
     * thread has gone on to free what is left. */
    if (!ended) {
        ended = true;
        times.wall_ns = hg_time_ns() - begin_wall_ns;
        times.cpu_ns = hg_cpu_ns() - begin_cpu_ns;
        times.calls = hg_counting_total() - begin_calls;
        if (end_hook)
            end_hook(state);
    }
    pthread_mutex_unlock(&lock);
}
