/* The parts, each on inputs that can be worked out by hand. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-12 * fmax(1, fabs(b));
}

/* ---- JSON writer ---- */

/* What `write` gives, through a FILE. */
static void json_text(void (*write_json)(hg_json *json), char *text, size_t size) {
    FILE *file = fmemopen(text, size, "w");
    hg_sink sink;
    hg_json json;
    hg_sink_init_file(&sink, file);
    hg_json_begin(&json, &sink);
    write_json(&json);
    hg_json_finish(&json);
    assert_int_equal(hg_sink_flush(&sink), 0);
    fclose(file);
}

static void write_everything(hg_json *json) {
    hg_json_object(json);
    hg_json_key(json, "i");
    hg_json_i64(json, INT64_MIN);
    hg_json_key(json, "u");
    hg_json_u64(json, UINT64_MAX);
    hg_json_key(json, "list");
    hg_json_array(json);
    hg_json_double(json, 17.640939785062852);
    hg_json_double(json, -0.0);
    hg_json_double(json, NAN);
    hg_json_double(json, -INFINITY);
    hg_json_bool(json, true);
    hg_json_end_array(json);
    hg_json_key(json, "empty");
    hg_json_array(json);
    hg_json_end_array(json);
    hg_json_key(json, "nothing");
    hg_json_object(json);
    hg_json_end_object(json);
    hg_json_key(json, "raw");
    hg_json_raw(json, "[1,2]");
    hg_json_end_object(json);
}

static void test_json_layout(void **unused) {
    (void)unused;
    char text[1024] = "";
    json_text(write_everything, text, sizeof text);
    assert_string_equal(text, "{\n"
                              "  \"i\": -9223372036854775808,\n"
                              "  \"u\": 18446744073709551615,\n"
                              "  \"list\": [\n"
                              "    1.7640939785062852e+01,\n"
                              "    -0.0000000000000000e+00,\n"
                              "    null,\n"
                              "    null,\n"
                              "    true\n"
                              "  ],\n"
                              "  \"empty\": [],\n"
                              "  \"nothing\": {},\n"
                              "  \"raw\": [1,2]\n"
                              "}\n");
}

static const char *string_given;
static void write_string(hg_json *json) {
    hg_json_string(json, string_given);
}

static void test_json_strings(void **unused) {
    (void)unused;
    static const struct {
        const char *given, *expected;
    } rows[] = {
        {"", "\"\"\n"},
        {NULL, "null\n"},
        {"a\"b\\c", "\"a\\\"b\\\\c\"\n"},
        {"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"\n"},
        {"\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"\n"},
        {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"\n"},
        {"\xff", "\"\xef\xbf\xbd\"\n"},                                 /* no UTF-8 at all */
        {"\xc3", "\"\xef\xbf\xbd\"\n"},                                 /* cut short */
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"\n"},                 /* overlong NUL */
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\n"}, /* surrogate */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[128] = "";
        string_given = rows[i].given;
        json_text(write_string, text, sizeof text);
        assert_string_equal(text, rows[i].expected);
    }
}

/* ---- Misuse: the child must abort with the message ---- */

static void expect_abort(void (*misuse)(void), const char *message) {
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        misuse();
        _exit(0);
    }
    close(pipe_ends[1]);
    char text[512] = "";
    size_t size = 0;
    for (ssize_t n; (n = read(pipe_ends[0], text + size, sizeof text - 1 - size)) > 0;)
        size += (size_t)n;
    close(pipe_ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_true(size > 0);
    assert_non_null(strstr(text, message));
}

static void nothing(hg_state *state) {
    (void)state;
}

static hg_benchmark *fresh(void) {
    return hg_benchmark_register("DISABLED_fresh", nothing, NULL);
}

static void json_value_without_key(void) {
    hg_sink sink;
    hg_json json;
    hg_sink_init_fd(&sink, -1);
    hg_json_begin(&json, &sink);
    hg_json_object(&json);
    hg_json_u64(&json, 1);
}
static void json_wrong_bracket(void) {
    hg_sink sink;
    hg_json json;
    hg_sink_init_fd(&sink, -1);
    hg_json_begin(&json, &sink);
    hg_json_object(&json);
    hg_json_end_array(&json);
}
static void no_function(void) {
    hg_benchmark_register("x", NULL, NULL);
}
static void two_arities(void) {
    hg_benchmark *b = fresh();
    HG_ARGS(b, 1, 2);
    HG_ARGS(b, 1);
}
static void empty_range(void) {
    hg_benchmark_range(fresh(), 2, 1);
}
static void no_step(void) {
    hg_benchmark_dense_range(fresh(), 1, 2, 0);
}
static void no_threads(void) {
    hg_benchmark_threads(fresh(), 0);
}
static void two_times(void) {
    hg_benchmark_use_manual_time(hg_benchmark_use_real_time(fresh()));
}
static void two_ends(void) {
    hg_benchmark_min_time(hg_benchmark_iterations(fresh(), 3), 1);
}
static void no_repetitions(void) {
    hg_benchmark_repetitions(fresh(), 0);
}
static void empty_product(void) {
    hg_benchmark_args_product(fresh(), 0, NULL);
}
static void no_curve(void) {
    hg_benchmark_complexity(fresh(), HG_O_LAMBDA);
}

static void test_misuse(void **unused) {
    (void)unused;
    static const struct {
        void (*misuse)(void);
        const char *message;
    } rows[] = {
        {json_value_without_key, "a value in an object needs a key"},
        {json_wrong_bracket, "closing what is not open"},
        {no_function, "a benchmark needs a name and a function"},
        {two_arities, "DISABLED_fresh: argument lists of different lengths"},
        {empty_range, "a range whose low is above its high"},
        {no_step, "a dense range that is empty or has no step"},
        {no_threads, "fewer than one thread"},
        {two_times, "both real and manual time"},
        {two_ends, "both a min_time and fixed iterations"},
        {no_repetitions, "no repetitions"},
        {empty_product, "a product of nothing"},
        {no_curve, "complexity_fn sets both"},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_abort(rows[i].misuse, rows[i].message);
}

/* ---- Sink ---- */

static void test_sink_keeps_its_first_error(void **unused) {
    (void)unused;
    int full = open("/dev/full", O_WRONLY);
    assert_true(full >= 0);
    hg_sink sink;
    hg_sink_init_fd(&sink, full);
    hg_sink_puts(&sink, "lost");
    assert_int_equal(hg_sink_flush(&sink), ENOSPC);
    close(full);
    hg_sink_puts(&sink, "lost as well");
    assert_int_equal(hg_sink_flush(&sink), ENOSPC);
}

static void test_sink_passes_on_more_than_its_buffer(void **unused) {
    (void)unused;
    static char text[3 * HG_SINK_BUFFER_SIZE + 8], back[sizeof text];
    memset(text, 'x', sizeof text - 1);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    hg_sink sink;
    hg_sink_init_fd(&sink, ends[1]);
    hg_sink_putc(&sink, 'a');
    hg_sink_puts(&sink, text);
    assert_int_equal(hg_sink_flush(&sink), 0);
    close(ends[1]);
    size_t size = 0;
    for (ssize_t n; (n = read(ends[0], back + size, sizeof back - size)) > 0;)
        size += (size_t)n;
    close(ends[0]);
    assert_int_equal(size, sizeof text);
    assert_int_equal(back[0], 'a');
    assert_int_equal(back[size - 1], 'x');
}

/* ---- Text ---- */

static void test_human_numbers(void **unused) {
    (void)unused;
    static const struct {
        double value;
        unsigned one_k;
        const char *expected;
    } rows[] = {
        {0, 1000, "0"},
        {1, 1000, "1"},
        {999, 1000, "999"},
        {1000, 1000, "1k"},
        {1234.5, 1000, "1.2345k"},
        {1e6, 1000, "1M"},
        {1e24, 1000, "1Y"},
        {1e30, 1000, "1e+06Y"},
        {-1500, 1000, "-1.5k"},
        {1023, 1024, "1023"},
        {1024, 1024, "1Ki"},
        {1536 * 1024, 1024, "1.5Mi"},
        {0.5, 1000, "0.5"},
        {0.01, 1000, "0.01"},
        {0.0012, 1000, "1.2m"},
        {1.5e-7, 1000, "150n"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[HG__NUMBER_SIZE];
        assert_string_equal(hg__human_number(rows[i].value, rows[i].one_k, text), rows[i].expected);
    }
}

/* ---- Statistics ---- */

static void test_statistics(void **unused) {
    (void)unused;
    static const struct {
        double values[6];
        size_t count;
        double mean, median, stddev;
    } rows[] = {
        {{3}, 1, 3, 3, 0},
        {{1, 3}, 2, 2, 2, 1.4142135623730951},
        {{5, 1, 3}, 3, 3, 3, 2},
        {{9, 1, 1, 1}, 4, 3, 1, 4},
        {{2, 4, 4, 4, 5, 5}, 6, 4, 4, 1.0954451150103321},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(near(hg__mean(rows[i].values, rows[i].count), rows[i].mean));
        assert_true(near(hg__median(rows[i].values, rows[i].count), rows[i].median));
        assert_true(near(hg__stddev(rows[i].values, rows[i].count), rows[i].stddev));
        assert_true(near(hg__cv(rows[i].values, rows[i].count), rows[i].stddev / rows[i].mean));
    }
    static const double zeros[2] = {-1, 1};
    assert_true(hg__cv(zeros, 2) == 0); /* a mean of 0: no infinity */
}

static void test_sort_every_permutation(void **unused) {
    (void)unused;
    for (unsigned code = 0; code < 4 * 4 * 4 * 4 * 4; code++) {
        double values[5];
        for (unsigned i = 0, rest = code; i < 5; i++, rest /= 4)
            values[i] = rest % 4;
        hg__sort(values, 5);
        for (unsigned i = 1; i < 5; i++)
            assert_true(values[i - 1] <= values[i]);
    }
}

/* Coverage of [low, high] as ranks: 1 - 2 P(fewer than low + 1 of n coins). From the tables of the
 * sign test. */
static void test_median_interval(void **unused) {
    (void)unused;
    static const struct {
        size_t count, low, high;
    } rows[] = {{6, 0, 5}, {8, 0, 7}, {9, 1, 7}, {10, 1, 8}, {15, 3, 11}, {20, 5, 14}, {25, 7, 17}};
    size_t low, high;
    assert_false(hg__median_interval(5, &low, &high));
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(hg__median_interval(rows[i].count, &low, &high));
        assert_int_equal(low, rows[i].low);
        assert_int_equal(high, rows[i].high);
    }
    assert_true(hg__median_interval(5000, &low, &high));
    assert_true(low > 2400 && high < 2600 && low < high);
}

static void test_fits(void **unused) {
    (void)unused;
    static const double n[] = {8, 64, 512, 4096};
    static const hg_complexity curves[] = {HG_O_1,       HG_O_LOG_N,     HG_O_N,
                                           HG_O_N_LOG_N, HG_O_N_SQUARED, HG_O_N_CUBED};
    for (size_t c = 0; c < COUNT(curves); c++) {
        double y[COUNT(n)];
        for (size_t i = 0; i < COUNT(n); i++) {
            double log = 3 * (double)(i + 1);
            const double values[] = {1, log, n[i], n[i] * log, n[i] * n[i], n[i] * n[i] * n[i]};
            y[i] = 2.5 * values[c];
        }
        hg__fit fit = hg__fit_curve(n, y, COUNT(n), HG_O_AUTO, NULL);
        assert_int_equal(fit.complexity, curves[c]);
        assert_true(near(fit.coefficient, 2.5));
        assert_true(fit.rms < 1e-12);
    }
    static const double y[] = {1, 3}, ones[] = {1, 1};
    hg__fit fit = hg__fit_curve(ones, y, 2, HG_O_1, NULL); /* residuals -1, 1; mean 2 */
    assert_true(near(fit.coefficient, 2) && near(fit.rms, 0.5));
}

/* ---- Counters ---- */

static void test_counters(void **unused) {
    (void)unused;
    static const struct {
        unsigned flags;
        double expected; /* of 12, 8 iterations, 3 s summed over 2 threads */
    } rows[] = {
        {HG_COUNTER_PLAIN, 12},
        {HG_COUNTER_IS_RATE, 8},
        {HG_COUNTER_AVG_THREADS, 6},
        {HG_COUNTER_AVG_THREADS_RATE, 4},
        {HG_COUNTER_ITERATION_INVARIANT, 96},
        {HG_COUNTER_ITERATION_INVARIANT_RATE, 64},
        {HG_COUNTER_AVG_ITERATIONS, 1.5},
        {HG_COUNTER_AVG_ITERATIONS_RATE, 1},
        {HG_COUNTER_INVERT, 1 / 12.},
        {HG_COUNTER_INVERT | HG_COUNTER_IS_RATE, 1 / 8.},
        {HG_COUNTER_1024, 12},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        hg__counters counters = {0};
        hg__counter *counter = hg__counters_get(&counters, "c", hg__alloc);
        counter->value = 12;
        counter->flags = rows[i].flags;
        hg__counters_finish(&counters, 8, 3, 2);
        assert_true(near(counters.items[0].value, rows[i].expected));
    }
}

static void test_counters_are_sorted_and_summed(void **unused) {
    (void)unused;
    hg__counters a = {0}, b = {0};
    for (int i = 99; i >= 0; i--)
        hg__counters_get(&a, hg__textf("c%02d", (i * 37) % 100), hg__alloc)->value = i;
    assert_int_equal(a.count, 100);
    for (size_t i = 1; i < a.count; i++)
        assert_true(strcmp(a.items[i - 1].name, a.items[i].name) < 0);
    hg__counters_add(&b, &a, hg__alloc);
    hg__counters_add(&b, &a, hg__alloc);
    assert_true(hg__counters_same_names(&a, &b));
    for (size_t i = 0; i < a.count; i++)
        assert_true(b.items[i].value == 2 * a.items[i].value);
    hg__counters_get(&b, "d", hg__alloc)->value = NAN;
    assert_false(hg__counters_same_names(&a, &b));
    hg__counters_finish(&b, 1, 1, 1);
    assert_true(hg__counters_same_names(&a, &b)); /* NAN has gone */
}

/* ---- Names and ranges ---- */

static const char *only_name(hg_benchmark *b) {
    return hg__instance_name(b, b->args_count ? b->args[0] : NULL,
                             b->thread_count ? b->threads[0] : 1);
}

static void test_names(void **unused) {
    (void)unused;
    hg_benchmark *b = fresh();
    assert_string_equal(only_name(hg_benchmark_name(b, "f")), "f");
    HG_ARGS(b, 7, -1, 9);
    assert_string_equal(only_name(b), "f/7/-1/9");
    HG_ARG_NAMES(b, "size", "", NULL);
    assert_string_equal(only_name(b), "f/size:7/-1/9");
    hg_benchmark_min_warmup_time(hg_benchmark_min_time(b, 0.05), 0.01);
    hg_benchmark_repetitions(b, 2);
    hg_benchmark_measure_process_cpu_time(hg_benchmark_use_real_time(b));
    hg_benchmark_threads(b, 2);
    assert_string_equal(only_name(b), "f/size:7/-1/9/min_time:0.050/min_warmup_time:0.010/"
                                      "repeats:2/process_time/real_time/threads:2");
    b = hg_benchmark_iterations(hg_benchmark_name(fresh(), "g"), 1000);
    assert_string_equal(only_name(hg_benchmark_use_manual_time(b)),
                        "g/iterations:1000/manual_time");
}

static void test_ranges(void **unused) {
    (void)unused;
    static const struct {
        int64_t low, high, multiplier;
        size_t count;
        int64_t expected[12];
    } rows[] = {
        {8, 512, 8, 3, {8, 64, 512}},
        {5, 65, 8, 4, {5, 8, 64, 65}},
        {1, 1, 8, 1, {1}},
        {0, 2, 2, 3, {0, 1, 2}},
        {-8, 8, 8, 5, {-8, -1, 0, 1, 8}},
        {-9, -1, 2, 5, {-9, -8, -4, -2, -1}},
        {INT64_MAX - 1, INT64_MAX, 2, 2, {INT64_MAX - 1, INT64_MAX}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        hg_benchmark *b = hg_benchmark_range_multiplier(fresh(), rows[i].multiplier);
        hg_benchmark_range(b, rows[i].low, rows[i].high);
        assert_int_equal(b->args_count, rows[i].count);
        for (size_t j = 0; j < rows[i].count; j++)
            assert_true(b->args[j][0] == rows[i].expected[j]);
    }
}

static void test_dense_ranges(void **unused) {
    (void)unused;
    hg_benchmark *b = hg_benchmark_dense_range(fresh(), 1, 8, 3);
    assert_int_equal(b->args_count, 3); /* 1 4 7 */
    assert_true(b->args[2][0] == 7);
    b = hg_benchmark_dense_range(fresh(), INT64_MAX - 1, INT64_MAX, 1);
    assert_int_equal(b->args_count, 2);
    b = hg_benchmark_dense_thread_range(fresh(), 1, 6, 2);
    assert_int_equal(b->thread_count, 4); /* 1 3 5 6 */
    assert_int_equal(b->threads[3], 6);
}

static void test_products(void **unused) {
    (void)unused;
    hg_benchmark *b = fresh();
    HG_ARGS_PRODUCT(b, HG_ARG_LIST(1, 2), HG_ARG_LIST(5), HG_ARG_LIST(7, 8));
    static const int64_t expected[][3] = {{1, 5, 7}, {2, 5, 7}, {1, 5, 8}, {2, 5, 8}};
    assert_int_equal(b->args_count, COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_memory_equal(b->args[i], expected[i], sizeof expected[i]);
}

/* ---- Barrier ---- */

enum { BARRIER_THREADS = 4, BARRIER_PHASES = 200 };
typedef struct barrier_test {
    hg__barrier barrier;
    atomic_int arrived;
    atomic_int early;
} barrier_test;

/* Nobody passes phase p before everybody has arrived at it. */
static void *pass_barriers(void *arg) {
    barrier_test *test = arg;
    for (int phase = 1; phase <= BARRIER_PHASES; phase++) {
        test->arrived++;
        hg__barrier_wait(&test->barrier);
        if (test->arrived < phase * BARRIER_THREADS)
            test->early++;
    }
    return NULL;
}

static void test_barrier(void **unused) {
    (void)unused;
    barrier_test test = {.arrived = 0};
    hg__barrier_init(&test.barrier, BARRIER_THREADS + 1);
    pthread_t threads[BARRIER_THREADS];
    for (int i = 0; i < BARRIER_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pass_barriers, &test), 0);
    hg__barrier_leave(&test.barrier); /* the fifth never comes */
    for (int i = 0; i < BARRIER_THREADS; i++)
        pthread_join(threads[i], NULL);
    hg__barrier_destroy(&test.barrier);
    assert_int_equal(test.early, 0);
}

/* ---- Arena ---- */

static void test_arena(void **unused) {
    (void)unused;
    unsigned char *small = hg__scratch_alloc(3), *large = hg__scratch_alloc(1 << 20);
    assert_int_equal((uintptr_t)small % 16, 0);
    assert_int_equal((uintptr_t)large % 16, 0);
    memset(small, 1, 3);
    memset(large, 1, 1 << 20);
    hg__scratch_reset();
    unsigned char *again = hg__scratch_alloc(64);
    for (int i = 0; i < 64; i++)
        assert_int_equal(again[i], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_layout),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_sink_keeps_its_first_error),
        cmocka_unit_test(test_sink_passes_on_more_than_its_buffer),
        cmocka_unit_test(test_human_numbers),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_sort_every_permutation),
        cmocka_unit_test(test_median_interval),
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_counters_are_sorted_and_summed),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_dense_ranges),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
