/* show and stat: text that parses back to the same trace; numbers a person can add up by hand. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "commands.h"
#include "heapgauge/trace.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/heapgauge-commands-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *in_folder(const char *name) {
    static char path[4][128];
    static unsigned next;
    char *const out = path[next++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

/* Runs a command in a process of its own; its output goes to folder/out and folder/messages. */
static int run(int (*command)(int, char **), const char *const *words) {
    char name[] = "command", *arguments[16] = {name};
    int count = 1, status;
    for (; *words; words++)
        arguments[count++] = (char *)*words;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        dup2(open(in_folder("out"), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
        dup2(open(in_folder("messages"), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
        status = command(count, arguments);
        fflush(NULL);
        _exit(status);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define SHOW(...) run(hg_show_main, (const char *const[]){__VA_ARGS__, NULL})
#define STAT(...) run(hg_stat_main, (const char *const[]){__VA_ARGS__, NULL})

static char *text_of(const char *name) {
    static char text[1 << 20];
    FILE *const file = fopen(in_folder(name), "r");
    assert_non_null(file);
    const size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    fclose(file);
    return text;
}

static void assert_says(const char *name, const char *what) {
    if (!strstr(text_of(name), what))
        print_error("%s\ndoes not say: %s\n", text_of(name), what);
    assert_non_null(strstr(text_of(name), what));
}

static void write_text(const char *name, const char *text) {
    FILE *const file = fopen(in_folder(name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static const char small[] = "# program: small\n"
                            "t0 s0 = malloc(100)\n"
                            "t0 s1 = calloc(10, 5)\n"
                            "t1 thread_start(t0)\n"
                            "t1 s0 = realloc(s0, 300)\n"
                            "t1 NULL = realloc(s0, 99999)\n"
                            "t1 free(s0)\n"
                            "t1 thread_end()\n"
                            "t0 s0 = aligned_alloc(64, 640)\n"
                            "t0 NULL = malloc(18446744073709551615)\n"
                            "t0 free(NULL)\n"
                            "t0 clock(1500000000)\n"
                            "t0 free(s0)\n"
                            "#= dropped_count 3\n"
                            "#= unknown_free_count 2\n"
                            "#= was_cut 1\n"
                            "#= exit_status 9\n";

static void text_and_trace_are_the_same(void **state) {
    (void)state;
    write_text("small.txt", small);
    assert_int_equal(SHOW("--parse", in_folder("small.txt"), "-o", in_folder("small.hgt")), 0);
    assert_int_equal(SHOW(in_folder("small.hgt")), 0);
    assert_string_equal(text_of("out"), small);
}

static void numbered_text_parses_too(void **state) {
    (void)state;
    write_text("small.txt", small);
    assert_int_equal(SHOW("--parse", in_folder("small.txt"), "-o", in_folder("small.hgt")), 0);
    assert_int_equal(SHOW("--number", in_folder("small.hgt")), 0);
    assert_says("out", "\n5: t1 free(s0)\n");
    assert_int_equal(rename(in_folder("out"), in_folder("numbered.txt")), 0);
    assert_int_equal(SHOW("--parse", in_folder("numbered.txt"), "-o", in_folder("b.hgt")), 0);
    assert_int_equal(SHOW(in_folder("b.hgt")), 0);
    assert_string_equal(text_of("out"), small);
}

/* A trace of several blocks; every range of it is the range of the whole. */
static void any_range_can_be_shown(void **state) {
    enum { COUNT = 150000 };
    hg_trace_writer *writer;
    char from[32], count[32], expected[64];
    (void)state;
    assert_int_equal(hg_trace_writer_open(in_folder("long.hgt"), "", &writer), HG_OK);
    for (uint64_t i = 0; i < COUNT; i++) {
        const hg_op op = {HG_OP_MALLOC, 0, 0, (uint32_t)i, i, 0};
        assert_int_equal(hg_trace_writer_put(writer, &op), HG_OK);
    }
    assert_int_equal(hg_trace_writer_close(writer), HG_OK);
    static const int cases[][2] = {{0, 1},   {65535, 2},  {65536, 1},  {70000, 3},
                                   {100, 5}, {149999, 5}, {149999, 1}, {131071, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(from, sizeof from, "--from=%d", cases[i][0]);
        snprintf(count, sizeof count, "--count=%d", cases[i][1]);
        assert_int_equal(SHOW("--number", from, count, in_folder("long.hgt")), 0);
        int lines = 0;
        for (const char *at = text_of("out"); (at = strchr(at, '\n')); at++)
            lines++;
        const int there = COUNT - cases[i][0] < cases[i][1] ? COUNT - cases[i][0] : cases[i][1];
        assert_int_equal(lines, there + 4); /* and the four totals */
        snprintf(expected, sizeof expected, "%d: t0 s%d = malloc(%d)\n", cases[i][0], cases[i][0],
                 cases[i][0]);
        assert_non_null(strstr(text_of("out"), expected));
    }
    assert_int_equal(SHOW("--from=150000", in_folder("long.hgt")), 0);
}

static void bad_text_is_told_with_line_and_column(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"t0 s0 = malloc(1)\n\nt0 s1 = mallok(3)\n", ":3:9: not an operation"},
        {"  t0 free(s1) x\n", ":1:15: not an operation"},
        {"t0 wait(t1, 3)\n", ":1: cannot stand in a trace"},
        {"#= what 3\n", ":1: no total has this name"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text("bad.txt", cases[i].text);
        assert_int_equal(SHOW("--parse", in_folder("bad.txt"), "-o", in_folder("bad.hgt")), 2);
        assert_says("messages", cases[i].says);
    }
}

static void what_came_before_the_damage_is_shown(void **state) {
    (void)state;
    hg_trace_writer *writer;
    const hg_op op = {HG_OP_MALLOC, 0, 0, 0, 24, 0};
    assert_int_equal(hg_trace_writer_open(in_folder("cut.hgt"), "", &writer), HG_OK);
    assert_int_equal(hg_trace_writer_put(writer, &op), HG_OK);
    assert_int_equal(hg_trace_writer_close(writer), HG_OK);
    assert_int_equal(truncate(in_folder("cut.hgt"), 120), 0);
    assert_int_equal(SHOW(in_folder("cut.hgt")), 2);
    assert_says("out", "t0 s0 = malloc(24)\n");
    assert_says("messages", "byte 120: the file ends here");
    assert_int_equal(STAT(in_folder("cut.hgt")), 2);
    assert_says("messages", "byte 120: the file ends here");
}

static void stat_adds_up(void **state) {
    static const char *const expected[] = {
        "\"operations\": 12,",
        "\"is_cut\": false",
        "\"malloc\": 2, \"calloc\": 1, \"realloc\": 2, \"free\": 3, \"aligned_alloc\": 1",
        "\"requested_bytes\": 1090,",
        "\"live_bytes_peak\": 690,",
        "\"live_bytes_peak_operation\": 7,",
        "\"live_blocks_peak\": 2,",
        "\"live_bytes_end\": 50,",
        "\"live_blocks_end\": 1,",
        "\"failed\": 2,",
        "\"clock_ns\": 1500000000,",
        "\"frees_of_blocks\": 2,",
        "\"frees_of_null\": 1,",
        "\"cross_thread_frees\": 1,",
        "\"reallocations\": 1,",
        "\"reallocations_growing\": 1,",
        "\"operations_by_thread\": [7, 5]",
        "\"alignments_bytes\": [{\"from\": 64, \"count\": 1}]",
        "\"lifetimes_operations\": [{\"from\": 4, \"count\": 2}]",
        "\"reallocations_per_block\": [{\"from\": 0, \"count\": 1}, {\"from\": 1, \"count\": 1}]",
        "{\"operation\": 12, \"bytes\": 50, \"blocks\": 1}",
    };
    (void)state;
    write_text("small.txt", small);
    assert_int_equal(SHOW("--parse", in_folder("small.txt"), "-o", in_folder("small.hgt")), 0);
    assert_int_equal(STAT("--json", in_folder("small.hgt")), 0);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_says("out", expected[i]);
    assert_int_equal(STAT(in_folder("small.hgt")), 0);
    assert_says("out", "cross-thread frees 1 of 2 (50.00 %)");
}

static void wrong_usage_is_answered(void **state) {
    (void)state;
    assert_int_equal(run(hg_show_main, (const char *const[]){NULL}), 2);
    assert_int_equal(SHOW("--from=x", "t.hgt"), 2);
    assert_says("messages", "--from=x: give a whole number");
    assert_int_equal(SHOW("--parse", "t.txt"), 2);
    assert_int_equal(SHOW("/nonexistent.hgt"), 2);
    assert_says("messages", "/nonexistent.hgt: cannot open");
    assert_int_equal(run(hg_stat_main, (const char *const[]){NULL}), 2);
    assert_int_equal(STAT("--points=0", "t.hgt"), 2);
    assert_int_equal(STAT("/nonexistent.hgt"), 2);
    assert_int_equal(SHOW("--help"), 0);
    assert_int_equal(STAT("--help"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_trace_are_the_same),
        cmocka_unit_test(numbered_text_parses_too),
        cmocka_unit_test(any_range_can_be_shown),
        cmocka_unit_test(bad_text_is_told_with_line_and_column),
        cmocka_unit_test(what_came_before_the_damage_is_shown),
        cmocka_unit_test(stat_adds_up),
        cmocka_unit_test(wrong_usage_is_answered),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
