/* The recorder on real processes: what a program asked of malloc stands in its trace, all of it, in
 * an order that can be performed; and whatever happens to the program, its trace says so. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "heapgauge/trace.h"
#include "count.h"
#include "record.h"

enum { MARK = 1000003 }; /* as in caller.c */

static char folder[64], trace[128];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/heapgauge-record-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(trace, sizeof trace, "%s/t.hgt", folder);
    return 0;
}

static int empty_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s/*", folder);
    return system(command);
}

static int remove_folder(void **state) {
    return empty_folder(state) || rmdir(folder);
}

static const char *in_folder(const char *name) {
    static char path[4][192];
    static unsigned next;
    char *const out = path[next++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

/* ---- running ---- */

/* The collector's greatest resident size, shared rings included, goes to folder/memory. */
static void note_memory(void) {
    char text[4096];
    const int status = open("/proc/self/status", O_RDONLY);
    const ssize_t size = read(status, text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
    const char *const line = strstr(text, "VmHWM:");
    FILE *const out = fopen(in_folder("memory"), "w");
    fprintf(out, "%ld", line ? strtol(line + 6, NULL, 10) : -1);
    fclose(out);
    close(status);
}

static long memory_kib(void) {
    long kib = -1;
    FILE *const file = fopen(in_folder("memory"), "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &kib), 1);
    fclose(file);
    return kib;
}

/* Runs `heapgauge record` in a process of its own; its messages go to folder/messages. Returns its
 * wait status. `environment`: "NAME=value" to add, or NULL. */
static int record_with(const char *environment, const char *const *words) {
    char name[] = "record", *arguments[32] = {name};
    int count = 1, status;
    for (; *words; words++)
        arguments[count++] = (char *)*words;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int messages = open(in_folder("messages"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(messages, STDERR_FILENO);
        setenv("HEAPGAUGE_LIBDIR", HG_TEST_LIBDIR, 1);
        if (environment)
            putenv((char *)environment);
        const int exit_status = hg_record_main(count, arguments);
        note_memory();
        _exit(exit_status);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#define RECORD(...) record_with(NULL, (const char *const[]){__VA_ARGS__, NULL})

static void show_messages(void) {
    char text[4096];
    FILE *const file = fopen(in_folder("messages"), "r");
    if (!file)
        return;
    const size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    print_error("%s", text);
    fclose(file);
}

static bool messages_have(const char *what) {
    char text[8192];
    FILE *const file = fopen(in_folder("messages"), "r");
    assert_non_null(file);
    const size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    fclose(file);
    return strstr(text, what) != NULL;
}

static void assert_exited(int status, int expected) {
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected)
        show_messages();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
}

/* ---- reading ---- */

/* A trace, checked: every allocation fills an empty slot, every free empties a filled one, a thread
 * starts before its first operation and does nothing after its last. */
struct checked {
    struct hg_trace_totals totals;
    uint64_t mark_count[16]; /* operations that ask for MARK + i */
    uint64_t starts, ends;
    char started_by[192];
};

static void check_op(struct checked *c, const hg_op *op, uint64_t index, uint8_t *slot,
                     uint8_t *thread) {
    const bool failed = op->flags & HG_OPF_FAILED;
    bool good = true;
    if (op->kind == HG_OP_THREAD_START) {
        good = !thread[op->thread];
        thread[op->thread] = 1;
        c->starts++;
    }
    good = good && (thread[op->thread] || op->thread == 0);
    if (op->kind == HG_OP_THREAD_END) {
        good = good && thread[op->thread];
        thread[op->thread] = 0;
        c->ends++;
    }
    if (op->slot != HG_SLOT_NONE && !failed) {
        if (hg_op_allocates(op->kind)) {
            good = good && !slot[op->slot];
            slot[op->slot] = 1;
        } else if (hg_op_frees(op->kind)) {
            good = good && slot[op->slot];
            slot[op->slot] = 0;
        } else if (hg_op_reallocates(op->kind)) {
            slot[op->slot] = 1;
        }
    }
    if (op->size >= MARK && op->size < MARK + 16)
        c->mark_count[op->size - MARK]++;
    if (!good) {
        char text[128];
        hg_op_print(op, text, sizeof text);
        print_error("operation %" PRIu64 " can't be performed: %s\n", index, text);
        fail();
    }
}

static struct checked check_trace(const char *path) {
    enum { SLOTS = 1 << 22 };
    struct checked checked = {0};
    uint8_t *const slot = calloc(1, SLOTS), *const thread = calloc(1, 65536);
    hg_trace_reader *reader;
    char why[512];
    const hg_op *ops;
    size_t count;
    uint64_t first;
    enum hg_status status = hg_trace_reader_open(path, &reader, why, sizeof why);
    if (status != HG_OK)
        print_error("%s\n", why);
    assert_int_equal(status, HG_OK);
    thread[0] = 1;
    while ((status = hg_trace_reader_next(reader, &ops, &count, &first)) == HG_OK)
        for (size_t i = 0; i < count; i++) {
            assert_true(ops[i].slot == HG_SLOT_NONE || ops[i].slot < SLOTS);
            check_op(&checked, &ops[i], first + i, slot, thread);
        }
    if (status != HG_END)
        print_error("%s\n", hg_trace_reader_why(reader));
    assert_int_equal(status, HG_END);
    checked.totals = *hg_trace_reader_totals(reader);
    hg_trace_reader_header_get(reader, "started-by", checked.started_by, sizeof checked.started_by);
    hg_trace_reader_close(reader);
    free(slot);
    free(thread);
    return checked;
}

/* A trace whose writer was killed: readable as far as it goes, and then it says that it is cut. */
static void check_cut_trace(const char *path) {
    hg_trace_reader *reader;
    char why[512] = "";
    const hg_op *ops;
    size_t count;
    enum hg_status read = hg_trace_reader_open(path, &reader, why, sizeof why);
    if (read == HG_OK) {
        assert_null(hg_trace_reader_totals(reader));
        while ((read = hg_trace_reader_next(reader, &ops, &count, NULL)) == HG_OK)
            assert_true(count > 0);
        hg_trace_reader_close(reader);
    }
    assert_int_equal(read, HG_ERR_CUT);
}

static void assert_complete(const struct checked *c) {
    assert_int_equal(c->totals.dropped_count, 0);
    assert_int_equal(c->totals.unknown_free_count, 0);
    assert_int_equal(c->totals.was_cut, 0);
}

static size_t count_traces(void) {
    glob_t found;
    size_t count = 0;
    if (glob(in_folder("t*.hgt"), 0, NULL, &found) == 0)
        count = found.gl_pathc;
    globfree(&found);
    return count;
}

/* ---- every function, every way to fail ---- */

static void every_function_is_recorded(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "every"), 0);
    const struct checked c = check_trace(trace);
    assert_complete(&c);
    static const unsigned kinds[] = {HG_OP_MALLOC,         HG_OP_REALLOC,  HG_OP_REALLOCARRAY,
                                     HG_OP_USABLE_SIZE,    HG_OP_CALLOC,   HG_OP_ALIGNED_ALLOC,
                                     HG_OP_POSIX_MEMALIGN, HG_OP_MEMALIGN, HG_OP_VALLOC,
                                     HG_OP_PVALLOC,        HG_OP_FREE,     HG_OP_FREE_SIZED};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!c.totals.kind_count[kinds[i]])
            fail_msg("no %s in the trace", hg_op_kind_name(kinds[i]));
    for (int i = 0; i <= 10; i++)
        assert_int_equal(c.mark_count[i], 1);
}

static void failures_and_errno_stay_as_they_are(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "failures"), 0);
    const struct checked c = check_trace(trace);
    assert_complete(&c);
    hg_trace_reader *reader;
    const hg_op *ops;
    size_t count;
    unsigned failed = 0;
    assert_int_equal(hg_trace_reader_open(trace, &reader, NULL, 0), HG_OK);
    while (hg_trace_reader_next(reader, &ops, &count, NULL) == HG_OK)
        for (size_t i = 0; i < count; i++)
            failed += ops[i].flags & HG_OPF_FAILED;
    hg_trace_reader_close(reader);
    assert_int_equal(failed, 5);
}

/* ---- how much was touched ---- */

/* Bytes told to be touched of the block made by the operation that asks for `size`; UINT64_MAX: nothing was told. */
static uint64_t touched_of(const char *path, uint64_t size) {
    hg_trace_reader *reader;
    const hg_op *ops;
    size_t count;
    uint64_t touched = UINT64_MAX;
    uint32_t slot = HG_SLOT_NONE;
    assert_int_equal(hg_trace_reader_open(path, &reader, NULL, 0), HG_OK);
    while (hg_trace_reader_next(reader, &ops, &count, NULL) == HG_OK)
        for (size_t i = 0; i < count; i++) {
            if (hg_op_bytes(&ops[i]) == size)
                slot = ops[i].slot;
            else if (ops[i].kind == HG_OP_TOUCHED && ops[i].slot == slot)
                touched = ops[i].size;
            else if (ops[i].slot == slot && (hg_op_frees(ops[i].kind) || hg_op_bytes(&ops[i])))
                slot = HG_SLOT_NONE; /* it has ended */
        }
    hg_trace_reader_close(reader);
    return touched;
}

static void touched_share_of_large_blocks(void **state) {
    enum { SLACK = 2 * 4096 };
    (void)state;
    assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "large"), 0);
    const struct checked c = check_trace(trace);
    assert_complete(&c);
    assert_in_range(touched_of(trace, MARK), MARK / 4, MARK / 4 + SLACK);
    assert_int_equal(touched_of(trace, MARK + 1), UINT64_MAX);
    assert_in_range(touched_of(trace, MARK + 2), 0, SLACK);
    assert_in_range(touched_of(trace, 8 * (uint64_t)MARK), 4 * (uint64_t)MARK,
                    4 * (uint64_t)MARK + SLACK); /* live at the end */
    assert_in_range(touched_of(trace, MARK + 4), 0, SLACK);
    /* the child says nothing of what it did not make */
    const struct checked child = check_trace(in_folder("t.1.hgt"));
    assert_int_equal(child.totals.kind_count[HG_OP_TOUCHED], 0);
    assert_int_equal(child.totals.unknown_free_count, 1);
}

/* ---- against an independent count of the same run ---- */

static void assert_counts_agree(const char *const *command, const char *extra_environment) {
    const char *words[32] = {"-o", trace, "--"};
    char preload[512], counts_path[192];
    glob_t found;
    int count = 3;
    for (; *command; command++)
        words[count++] = *command;
    words[count] = NULL;
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", HG_TEST_COUNT_LIBRARY);
    snprintf(counts_path, sizeof counts_path, "%s/counts", folder);
    setenv("HEAPGAUGE_TEST_COUNTS", counts_path, 1);
    if (extra_environment)
        putenv((char *)extra_environment);
    const int status = record_with(preload, words);
    unsetenv("HEAPGAUGE_TEST_COUNTS");
    assert_exited(status, 0);

    const struct checked c = check_trace(trace);
    assert_complete(&c);
    struct counts seen = {0};
    assert_int_equal(glob(in_folder("counts.*"), 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    const int file = open(found.gl_pathv[0], O_RDONLY);
    assert_int_equal(read(file, &seen, sizeof seen), sizeof seen);
    close(file);
    globfree(&found);
    const uint64_t *const kinds = c.totals.kind_count;
    print_message("%lu malloc, %lu calloc, %lu realloc, %lu free, %" PRIu64 " threads\n",
                  seen.malloc_count, seen.calloc_count, seen.realloc_count, seen.free_count,
                  c.totals.thread_count);
    assert_true(seen.malloc_count > 1000);
    assert_int_equal(kinds[HG_OP_MALLOC], seen.malloc_count);
    assert_int_equal(kinds[HG_OP_CALLOC], seen.calloc_count);
    assert_int_equal(kinds[HG_OP_POSIX_MEMALIGN] + kinds[HG_OP_ALIGNED_ALLOC], seen.aligned_count);
    /* a realloc to 0 stands as a free */
    assert_int_equal(kinds[HG_OP_REALLOC] + kinds[HG_OP_REALLOCARRAY] + kinds[HG_OP_FREE],
                     seen.realloc_count + seen.free_count);
    assert_true(kinds[HG_OP_FREE] >= seen.free_count &&
                kinds[HG_OP_FREE] - seen.free_count <= seen.realloc_count / 100 + 10);
}

#define ASSERT_COUNTS_AGREE(...) assert_counts_agree((const char *const[]){__VA_ARGS__, NULL}, NULL)

static void threads_agree_with_independent_count(void **state) {
    (void)state;
    ASSERT_COUNTS_AGREE(HG_TEST_CALLER, "threads");
    const struct checked c = check_trace(trace);
    assert_int_equal(c.starts, 48);
    assert_int_equal(c.ends, 48);
    assert_true(c.totals.thread_count <= 17); /* numbers are used again */
}

static void blocks_handed_over_agree(void **state) {
    (void)state;
    ASSERT_COUNTS_AGREE(HG_TEST_CALLER, "hand_over");
    const struct checked c = check_trace(trace);
    assert_true(c.totals.live_blocks_end < 200);
}

static void real_python_agrees(void **state) {
    static const char script[] =
        "import threading, sqlite3\n"
        "def work(n):\n"
        "    db = sqlite3.connect(':memory:')\n"
        "    db.execute('create table t(a, b)')\n"
        "    db.executemany('insert into t values(?, ?)', ((i, 'x' * (i % 90)) for i in range(4000)))\n"
        "    db.execute('select b, count(*), sum(a) from t group by b order by 3').fetchall()\n"
        "threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n";
    (void)state;
    if (access("/usr/bin/python3", X_OK) != 0) {
        print_message("no /usr/bin/python3: skipped\n");
        skip();
    }
    assert_counts_agree((const char *const[]){"/usr/bin/python3", "-c", script, NULL},
                        "PYTHONMALLOC=malloc");
}

static void real_perl_agrees(void **state) {
    static const char script[] =
        "use threads; my @t = map { my $n = $_; threads->create(sub {"
        "  my %h; $h{$_ % 977} .= $_ for 1 .. 20000; return scalar keys %h;"
        "}) } 1 .. 4; $_->join for @t;";
    (void)state;
    if (system("/usr/bin/perl -Mthreads -e 1 2>/dev/null") != 0) {
        print_message("no perl with ithreads: skipped\n");
        skip();
    }
    ASSERT_COUNTS_AGREE("/usr/bin/perl", "-e", script);
}

/* ---- processes and threads come and go ---- */

static void late_destructors_are_recorded(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "destructors"), 0);
    const struct checked c = check_trace(trace);
    assert_complete(&c);
    assert_int_equal(c.mark_count[0], 20 * 4);
    assert_true(c.starts >= 20 && c.starts == c.ends);
}

static void forks_get_traces_of_their_own(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "forks"), 0);
    assert_int_equal(count_traces(), 2);
    const struct checked parent = check_trace(trace);
    assert_complete(&parent);
    assert_int_equal(parent.mark_count[0], 1);
    assert_int_equal(parent.mark_count[1], 0);
    assert_int_equal(parent.mark_count[2], 1);
    const struct checked child = check_trace(in_folder("t.1.hgt"));
    assert_int_equal(child.mark_count[1], 1);
    assert_int_equal(child.mark_count[2], 0);
    assert_true(child.totals.unknown_free_count >= 1); /* the block inherited */
    assert_int_equal(child.totals.was_cut, 0);
    assert_non_null(strstr(child.started_by, "fork in"));
}

static void forks_of_threaded_programs(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "forks_with_threads"), 0);
    assert_int_equal(count_traces(), 5);
    const struct checked parent = check_trace(trace);
    assert_complete(&parent);
    for (int i = 1; i <= 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "t.%d.hgt", i);
        const struct checked child = check_trace(in_folder(name));
        assert_int_equal(child.totals.thread_count, 2);
        assert_int_equal(child.totals.was_cut, 0);
        assert_int_equal(child.totals.dropped_count, 0);
    }
}

static void children_can_be_left_out(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--no-children", "--", HG_TEST_CALLER, "forks"), 0);
    assert_int_equal(count_traces(), 1);
}

static void one_program_can_be_picked(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--program=caller", "--", "/bin/sh", "-c",
                         "/bin/true; " HG_TEST_CALLER " marked; /bin/true"),
                  0);
    assert_int_equal(count_traces(), 1);
    assert_int_equal(check_trace(trace).mark_count[1], 1);
}

static void exec_makes_a_new_trace(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "execs"), 0);
    assert_int_equal(count_traces(), 2);
    const struct checked before = check_trace(trace);
    assert_int_equal(before.mark_count[0], 1);
    const struct checked after = check_trace(in_folder("t.1.hgt"));
    assert_complete(&after);
    assert_int_equal(after.mark_count[1], 1);
    assert_string_equal(after.started_by, "exec");
}

static void spawn_and_vfork(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "spawns"), 0);
    assert_int_equal(count_traces(), 3);
    const struct checked parent = check_trace(trace);
    assert_complete(&parent);
    assert_int_equal(parent.mark_count[0], 1);
    assert_int_equal(parent.mark_count[2], 1);
    assert_int_equal(check_trace(in_folder("t.1.hgt")).mark_count[1], 1);
    assert_int_equal(check_trace(in_folder("t.2.hgt")).mark_count[1], 1);
}

static void dlopen_is_no_trouble(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "opens"), 0);
    const struct checked c = check_trace(trace);
    assert_complete(&c);
    assert_int_equal(c.mark_count[0], 1);
}

/* ---- ends ---- */

static void every_end_is_told(void **state) {
    static const struct {
        const char *how;
        int exit_status;
        bool was_cut;
    } cases[] = {{"exit", 7, false},
                 {"_exit", 7, false},
                 {"abort", 128 + SIGABRT, true},
                 {"kill", 137, true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "dies", cases[i].how),
                      cases[i].exit_status);
        const struct checked c = check_trace(trace);
        assert_int_equal(c.mark_count[0], 1); /* the last call before the end */
        assert_int_equal(c.totals.was_cut, cases[i].was_cut);
        assert_int_equal(c.totals.dropped_count, 0);
        const int status = (int)c.totals.exit_status;
        assert_true(cases[i].was_cut ? WIFSIGNALED(status) : WEXITSTATUS(status) == 7);
        if (cases[i].was_cut)
            assert_true(messages_have("was ended by signal"));
    }
}

static void signal_handlers_do_no_harm(void **state) {
    static char preload[512];
    (void)state;
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", HG_TEST_BUMP_LIBRARY);
    const int status = record_with(
        preload, (const char *const[]){"-o", trace, "--", HG_TEST_CALLER, "signals", NULL});
    assert_exited(status, 0);
    const struct checked c = check_trace(trace);
    print_message("%" PRIu64 " operations, %" PRIu64 " dropped\n", c.totals.operation_count,
                  c.totals.dropped_count);
    assert_true(c.totals.operation_count > 10000);
    assert_true(c.totals.dropped_count < 1000);
}

/* ---- a collector that does not keep up ---- */

static void full_ring_blocks(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--program=caller", "--", HG_TEST_CALLER, "flood"), 0);
    const struct checked c = check_trace(trace);
    assert_complete(&c);
    assert_int_equal(c.mark_count[0], 20);
    assert_true(c.totals.kind_count[HG_OP_MALLOC] >= 100000);
}

static void full_ring_drops_and_counts(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace, "--on-full=drop", "--", HG_TEST_CALLER, "flood"), 0);
    const struct checked c = check_trace(trace);
    assert_true(c.mark_count[0] >= 1);
    assert_true(c.totals.dropped_count > 100000);
    assert_true(messages_have(" dropped"));
    /* nothing is lost silently: kept and dropped together are all calls */
    const uint64_t kept = c.totals.kind_count[HG_OP_MALLOC] + c.totals.kind_count[HG_OP_FREE];
    assert_true(kept + c.totals.dropped_count >= 200000);
}

/* 64 MiB and 1 MiB a thread, whatever the length (few blocks live at a time: the table of addresses takes
 * up to 72 bytes for each). */
static void memory_is_bounded(void **state) {
    static const char *const programs[] = {"long", "threads"};
    (void)state;
#if defined(HG_SANITIZED)
    print_message("the sanitizer's own memory would be counted: skipped\n");
    skip();
#endif
    for (size_t i = 0; i < 2; i++) {
        assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, programs[i]), 0);
        const struct checked c = check_trace(trace);
        print_message("%" PRIu64 " operations, %" PRIu64 " threads, %ld KiB\n",
                      c.totals.operation_count, c.totals.thread_count, memory_kib());
        assert_complete(&c);
        assert_in_range(memory_kib(), 1024, (64 + (long)c.totals.thread_count) * 1024);
        assert_true(i > 0 || c.totals.operation_count > 10000000);
    }
}

static void collector_killed_program_goes_on(void **state) {
    (void)state;
    const int status = RECORD("-o", trace, "--", HG_TEST_CALLER, "orphan", in_folder("done"));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    for (int i = 0; i < 300 && access(in_folder("done"), F_OK) != 0; i++)
        usleep(100 * 1000);
    assert_int_equal(access(in_folder("done"), F_OK), 0);
    check_cut_trace(trace);
}

static uint32_t random_below(uint32_t end) {
    static uint64_t seed = 20261125;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % end;
}

static int kill_rounds(void) {
    return getenv("HG_LONG") ? 200 : 8;
}

/* Whenever the program is killed: every call it made is there but those in the making, and the trace
 * says that it was cut. */
static void program_killed_at_any_moment(void **state) {
    (void)state;
    for (int round = 0; round < kill_rounds(); round++) {
        char after_us[16];
        snprintf(after_us, sizeof after_us, "%u", random_below(60000));
        assert_exited(
            RECORD("-o", trace, "--no-children", "--", HG_TEST_CALLER, "killed", "us", after_us),
            137);
        const struct checked c = check_trace(trace);
        assert_int_equal(c.totals.was_cut, 1);
        assert_true(WIFSIGNALED((int)c.totals.exit_status));
        assert_true(c.totals.dropped_count <=
                    2); /* numbers taken by the two threads as they died */
    }
}

/* Whenever the collector is killed: what it had written is readable, and the trace ends as cut. */
static void collector_killed_at_any_moment(void **state) {
    (void)state;
    for (int round = 0; round < kill_rounds(); round++) {
        char after_us[16];
        snprintf(after_us, sizeof after_us, "%u", random_below(100000));
        const int status = RECORD("-o", trace, "--no-children", "--", HG_TEST_CALLER, "killed",
                                  "collector", after_us);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        check_cut_trace(trace);
    }
}

/* Recording is stopped and started while threads work: all of it can be performed, what was freed
 * meanwhile is counted, and nothing of the pauses is in it. */
static void sampling_under_load(void **state) {
    char control[200];
    (void)state;
    snprintf(control, sizeof control, "--control=%s", in_folder("control"));
    assert_exited(RECORD("-o", trace, "--start=paused", control, "--", HG_TEST_CALLER, "sampled",
                         in_folder("control")),
                  0);
    const struct checked c = check_trace(trace);
    print_message("%" PRIu64 " operations, %" PRIu64 " frees of blocks not seen made\n",
                  c.totals.operation_count, c.totals.unknown_free_count);
    assert_int_equal(c.mark_count[0], 3);
    assert_int_equal(c.mark_count[1], 0);
    assert_true(c.totals.operation_count > 1000);
    assert_true(c.totals.unknown_free_count > 0);
    assert_int_equal(c.totals.dropped_count, 0);
    assert_int_equal(c.totals.was_cut, 0);
}

static void recording_starts_when_told(void **state) {
    char control[200];
    (void)state;
    snprintf(control, sizeof control, "--control=%s", in_folder("control"));
    assert_exited(RECORD("-o", trace, "--start=paused", control, "--", HG_TEST_CALLER, "waits",
                         in_folder("control")),
                  0);
    const struct checked c = check_trace(trace);
    assert_int_equal(c.mark_count[1], 0);
    assert_int_equal(c.mark_count[0], 1);
}

/* ---- usage and environment ---- */

static void wrong_usage_is_answered(void **state) {
    (void)state;
    assert_exited(RECORD("-o", trace), 2);
    assert_true(messages_have("no command to run"));
    assert_exited(RECORD("--on-full=maybe", "--", "true"), 2);
    assert_true(messages_have("--on-full=block or --on-full=drop"));
    assert_exited(RECORD("-o", trace, "--", "/nonexistent/program"), 2);
    assert_true(messages_have("cannot run /nonexistent/program"));
    assert_exited(RECORD("-o", "/nonexistent/t.hgt", "--", "true"), 2);
    assert_true(messages_have("/nonexistent/t.hgt: cannot write"));
    assert_int_equal(count_traces(), 0);
    assert_exited(record_with("HEAPGAUGE_LIBDIR=/nonexistent",
                              (const char *const[]){"-o", trace, "--", "true", NULL}),
                  2);
    assert_true(messages_have("no such library"));
}

static void static_programs_are_told(void **state) {
    (void)state;
    if (access(HG_TEST_STATIC, X_OK) != 0) {
        print_message("no static libc: skipped\n");
        skip();
    }
    assert_exited(RECORD("-o", trace, "--", HG_TEST_STATIC, "marked"), 2);
    assert_true(messages_have("statically linked"));
    assert_int_equal(count_traces(), 0);
}

static void no_buffers_are_left_behind(void **state) {
    glob_t before, after;
    (void)state;
    glob("/dev/shm/heapgauge-record-*", 0, NULL, &before);
    assert_exited(RECORD("-o", trace, "--", HG_TEST_CALLER, "marked"), 0);
    glob("/dev/shm/heapgauge-record-*", 0, NULL, &after);
    assert_true(after.gl_pathc <= before.gl_pathc);
    globfree(&before);
    globfree(&after);
}

#define TEST(function) cmocka_unit_test_teardown(function, empty_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_function_is_recorded),
        TEST(failures_and_errno_stay_as_they_are),
        TEST(touched_share_of_large_blocks),
        TEST(threads_agree_with_independent_count),
        TEST(blocks_handed_over_agree),
        TEST(real_python_agrees),
        TEST(real_perl_agrees),
        TEST(late_destructors_are_recorded),
        TEST(forks_get_traces_of_their_own),
        TEST(forks_of_threaded_programs),
        TEST(children_can_be_left_out),
        TEST(one_program_can_be_picked),
        TEST(exec_makes_a_new_trace),
        TEST(spawn_and_vfork),
        TEST(dlopen_is_no_trouble),
        TEST(every_end_is_told),
        TEST(signal_handlers_do_no_harm),
        TEST(full_ring_blocks),
        TEST(full_ring_drops_and_counts),
        TEST(memory_is_bounded),
        TEST(collector_killed_program_goes_on),
        TEST(program_killed_at_any_moment),
        TEST(collector_killed_at_any_moment),
        TEST(recording_starts_when_told),
        TEST(sampling_under_load),
        TEST(wrong_usage_is_answered),
        TEST(static_programs_are_told),
        TEST(no_buffers_are_left_behind),
    };
    const int status = cmocka_run_group_tests(tests, make_folder, remove_folder);
    return status;
}
