#include "support.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct hg_random hg_random_of(const hg_state *state, uint64_t salt) {
    uint64_t thread = (uint64_t)hg_state_thread_index(state) + 1;
    struct hg_random random = {salt * UINT64_C(0xd1342543de82ef95) + thread};
    random.state = hg_random_next(&random);
    return random;
}

/* ---- sizes ---- */

void hg_sizes_from_knots(struct hg_sizes *sizes, const struct hg_size_knot *knots) {
    for (size_t i = 0; i < HG_SIZES_COUNT; i++) {
        double part = (double)i / (HG_SIZES_COUNT - 1);
        while (knots[1].part < part)
            knots++;
        double at = (part - knots[0].part) / (knots[1].part - knots[0].part);
        double log_size = log(knots[0].size) + at * (log(knots[1].size) - log(knots[0].size));
        sizes->at[i] = (uint32_t)lround(exp(log_size));
    }
}

void hg_sizes_log_uniform(struct hg_sizes *sizes, size_t low, size_t high) {
    const struct hg_size_knot knots[] = {{0, (double)low}, {1, (double)high}};
    hg_sizes_from_knots(sizes, knots);
}

/* No profile of anybody's: a curve through the middle of the ranges that ten published profiles of
 * Google's servers span (fleetbench, tcmalloc/distributions, Apache-2.0; the ranges were computed
 * from its tables): p50 48..64 bytes, p90 184..1664, p99 4096..32768; 88..98 % of the requests are
 * of 1024 bytes or less, and these are 7.5..44 % of the bytes. Here: p50 56, p90 550, p99 12
 * thousand, 92 % of the requests and 11 % of the bytes up to 1024, mean 867 (bench/workload/tests
 * checks these). */
void hg_sizes_production(struct hg_sizes *sizes) {
    static const struct hg_size_knot knots[] = {
        {0.00, 8},   {0.10, 16},    {0.30, 32},     {0.50, 56},     {0.70, 112},
        {0.90, 550}, {0.99, 11600}, {0.999, 65536}, {1.00, 262144},
    };
    hg_sizes_from_knots(sizes, knots);
}

/* ---- memory ---- */

static atomic_uint_fast64_t mapped_bytes;

uint64_t hg_workload_mapped_bytes(void) {
    return atomic_load(&mapped_bytes);
}

void *hg_workload_map(size_t size) {
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("heapgauge: memory for a workload's tables");
        abort();
    }
    atomic_fetch_add(&mapped_bytes, size);
    return memory;
}

void hg_workload_unmap(void *memory, size_t size) {
    munmap(memory, size);
    atomic_fetch_sub(&mapped_bytes, size);
}

/* ---- needs ---- */

static bool need(hg_state *state, bool present, const char *what) {
    if (!present)
        hg_skip_with_message(state, "%s has no %s", hg_workload_backend(state)->facts.name, what);
    return present;
}

bool hg_workload_needs_malloc(hg_state *state) {
    const hg_backend *backend = hg_workload_backend(state);
    return need(state, backend->libc.malloc && backend->libc.free, "malloc and free");
}

bool hg_workload_needs_layout(hg_state *state) {
    const hg_backend *backend = hg_workload_backend(state);
    return need(state, backend->layout.alloc && backend->layout.dealloc, "layout face");
}

bool hg_workload_needs_content(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return false;
    const hg_backend *backend = hg_workload_backend(state);
    if (!need(state, backend->libc.realloc != NULL, "realloc"))
        return false;
    /* The one backend that doesn't free is the one whose blocks overlap. */
    return need(state, backend->facts.frees, "blocks that keep their content");
}

/* ---- live sets ---- */

static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t live_sum_bytes;
static int live_said;

void hg_workload_live_share(const hg_state *state, uint64_t bytes) {
    pthread_mutex_lock(&live_lock);
    live_sum_bytes += bytes;
    if (++live_said == hg_state_threads(state)) {
        hg_workload_live(live_sum_bytes);
        live_sum_bytes = 0;
        live_said = 0;
    }
    pthread_mutex_unlock(&live_lock);
}

/* ---- threads ---- */

void hg_workload_wait(unsigned *count) {
    enum { SPINS = 200 };
    if (++*count < SPINS) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
        return;
    }
    sched_yield();
}

struct hg_program hg_program_of(const hg_state *state) {
    const hg_backend *backend = hg_workload_backend(state);
    return (struct hg_program){
        .malloc = backend->libc.malloc,
        .realloc = backend->libc.realloc,
        .free = backend->libc.free,
    };
}
