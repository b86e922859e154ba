/* What a benchmark function may ask of and tell its state. */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static double read_clock_s(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double read_cpu_s(const hg__timer *timer) {
    return read_clock_s(timer->process_cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID);
}

/* The CPU clock is a system call: it is read outside the real interval. */
void hg__timer_start(hg__timer *timer) {
    timer->running = true;
    timer->cpu_start_s = read_cpu_s(timer);
    timer->real_start_s = read_clock_s(CLOCK_MONOTONIC);
}

void hg__timer_stop(hg__timer *timer) {
    double real_stop_s = read_clock_s(CLOCK_MONOTONIC);
    double cpu_stop_s = read_cpu_s(timer);
    timer->running = false;
    timer->real_s += real_stop_s - timer->real_start_s;
    if (cpu_stop_s > timer->cpu_start_s)
        timer->cpu_s += cpu_stop_s - timer->cpu_start_s;
}

/* ---- slices ---- */

static uint64_t slice_count;
static void (*between_slices)(void *context, uint64_t index);
static void *slice_context;

void hg_benchmark_set_slices(uint64_t count, void (*between)(void *context, uint64_t index),
                             void *context) {
    slice_count = between ? count : 0;
    between_slices = between;
    slice_context = context;
}

static bool is_sliced(const hg_state *state) {
    return slice_count > 0 && state->run->instance->threads == 1 &&
           state->max_iterations >= slice_count;
}

/* The first slices take what does not divide evenly. */
static void refill(hg_state *state, uint64_t index) {
    uint64_t size = state->max_iterations / slice_count;
    size += index < state->max_iterations % slice_count;
    between_slices(slice_context, index);
    state->held_back -= size;
    state->remaining = size;
}

static uint64_t slice_index(const hg_state *state) {
    uint64_t done = state->max_iterations - state->held_back;
    uint64_t size = state->max_iterations / slice_count,
             longer = state->max_iterations % slice_count;
    return done <= longer * (size + 1) ? done / (size + 1)
                                       : longer + (done - longer * (size + 1)) / size;
}

static void start(hg_state *state) {
    state->started = true;
    hg__barrier_wait(state->run->barrier);
    if (state->skipped)
        return;
    state->held_back = state->max_iterations;
    if (is_sliced(state)) {
        refill(state, 0);
    } else {
        state->remaining = state->max_iterations;
        state->held_back = 0;
    }
    hg_resume_timing(state);
}

static void finish(hg_state *state) {
    if (state->finished)
        return;
    if (state->run->timer.running)
        hg_pause_timing(state);
    if (is_sliced(state) && !state->skipped)
        between_slices(slice_context, slice_count);
    state->finished = true;
    hg__barrier_wait(state->run->barrier);
}

/* Loops that ask for more than one at a time are not sliced. */
static void take_all(hg_state *state) {
    state->remaining += state->held_back;
    state->held_back = 0;
}

bool hg__keep_running_slow(hg_state *state, uint64_t count, bool is_batch) {
    if (!state->started || state->held_back > 0) {
        if (!state->started)
            start(state);
        else if (!is_batch)
            refill(state, slice_index(state));
        if (is_batch)
            take_all(state);
        if (state->remaining >= count) {
            state->remaining -= count;
            return true;
        }
    }
    if (is_batch && state->remaining != 0) {
        state->batch_leftover = count - state->remaining;
        state->remaining = 0;
        return true;
    }
    finish(state);
    return false;
}

uint64_t hg__loop_begin(hg_state *state) {
    if (state->started)
        return 0;
    start(state);
    take_all(state);
    uint64_t count = state->remaining;
    state->remaining = 0;
    return count;
}

void hg__loop_end(hg_state *state) {
    finish(state);
}

int64_t hg_state_range(const hg_state *state, size_t index) {
    const hg__instance *instance = state->run->instance;
    if (index >= instance->family->arity)
        hg__misuse(instance->name, "hg_state_range() of an argument that the benchmark hasn't");
    return instance->args[index];
}

void *hg_state_arg(const hg_state *state) {
    return state->run->instance->family->arg;
}

const char *hg_state_name(const hg_state *state) {
    return state->run->instance->name;
}

int hg_state_threads(const hg_state *state) {
    return state->run->instance->threads;
}

int hg_state_thread_index(const hg_state *state) {
    return state->run->thread_index;
}

uint64_t hg_state_iterations(const hg_state *state) {
    if (!state->started)
        return 0;
    return state->max_iterations - state->remaining - state->held_back + state->batch_leftover;
}

uint64_t hg_state_max_iterations(const hg_state *state) {
    return state->max_iterations;
}

void hg_pause_timing(hg_state *state) {
    if (!state->run->timer.running)
        hg__misuse(state->run->instance->name, "hg_pause_timing() of a clock that is not running");
    hg__timer_stop(&state->run->timer);
    hg__perf_enable(&state->run->perf, false);
}

void hg_resume_timing(hg_state *state) {
    if (state->run->timer.running)
        hg__misuse(state->run->instance->name, "hg_resume_timing() of a clock that is running");
    if (!state->started || state->finished)
        hg__misuse(state->run->instance->name, "hg_resume_timing() outside the loop");
    hg__perf_enable(&state->run->perf, true);
    hg__timer_start(&state->run->timer);
}

void hg_set_iteration_time(hg_state *state, double seconds) {
    state->run->timer.manual_s += seconds;
}

__attribute__((format(printf, 3, 0))) static void skip(hg_state *state, hg__skip kind,
                                                       const char *format, va_list args) {
    if (state->run->timer.running)
        hg_pause_timing(state);
    state->remaining = 0;
    state->held_back = 0;
    if (state->skipped)
        return;
    state->skipped = true;
    state->run->skip = kind;
    vsnprintf(state->run->message, sizeof state->run->message, format, args);
}

void hg_skip_with_error(hg_state *state, const char *format, ...) {
    va_list args;
    va_start(args, format);
    skip(state, HG__SKIPPED_ERROR, format, args);
    va_end(args);
}

void hg_skip_with_message(hg_state *state, const char *format, ...) {
    va_list args;
    va_start(args, format);
    skip(state, HG__SKIPPED_MESSAGE, format, args);
    va_end(args);
}

bool hg_state_is_skipped(const hg_state *state) {
    return state->skipped;
}

void hg_set_label(hg_state *state, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(state->run->label, sizeof state->run->label, format, args);
    va_end(args);
}

void hg_set_counter(hg_state *state, const char *name, double value, unsigned flags) {
    hg__counter *counter = hg__counters_get(&state->run->counters, name, hg__scratch_alloc);
    counter->value = value;
    counter->flags = flags;
}

void hg_set_items_processed(hg_state *state, int64_t items) {
    hg_set_counter(state, "items_per_second", (double)items, HG_COUNTER_IS_RATE);
}

void hg_set_bytes_processed(hg_state *state, int64_t bytes) {
    hg_set_counter(state, "bytes_per_second", (double)bytes, HG_COUNTER_IS_RATE | HG_COUNTER_1024);
}

void hg_set_complexity_n(hg_state *state, int64_t n) {
    state->run->complexity_n = n;
}
