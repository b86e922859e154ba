/* The trace's clock: an allocator that gives memory back after some time does so in a replay that takes
 * a fraction of it, and does not where the machine's clock counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "heapgauge/player.h"

enum { BLOCKS = 1000, BLOCK_BYTES = 65536, SECONDS = 60, SMALL = 2000 };

static hg_op ops[2 * BLOCKS + SECONDS * (1 + 2 * SMALL)];

/* 64 MB come and go; a minute passes, with small work in it, so that the allocator gets to look at the
 * clock. */
static size_t write_script(void) {
    size_t count = 0;
    for (uint32_t i = 0; i < BLOCKS; i++)
        ops[count++] = (hg_op){.kind = HG_OP_MALLOC, .slot = i, .size = BLOCK_BYTES};
    for (uint32_t i = 0; i < BLOCKS; i++)
        ops[count++] = (hg_op){.kind = HG_OP_FREE, .slot = i};
    for (uint32_t i = 0; i < SECONDS * SMALL; i++) {
        if (i % SMALL == 0)
            ops[count++] = (hg_op){.kind = HG_OP_CLOCK, .slot = HG_SLOT_NONE, .size = 1000000000};
        ops[count++] = (hg_op){.kind = HG_OP_MALLOC, .slot = i % 64, .size = 1 + i * 37 % 20000};
        ops[count++] = (hg_op){.kind = HG_OP_FREE, .slot = i % 64};
    }
    return count;
}

static enum hg_status next_of_script(void *context, const hg_op **out, size_t *count,
                                     uint64_t *first) {
    bool *given = context;
    if (*given)
        return HG_END;
    *given = true;
    *out = ops;
    *count = write_script();
    *first = 0;
    return HG_OK;
}

/* Resident bytes at the end, in a process of its own: a clock stopped stays so. 0: no such backend. */
static uint64_t resident_at_end(const char *spec, bool trace_clock) {
    uint64_t *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(bytes, MAP_FAILED);
    const pid_t child = fork();
    if (child == 0) {
        const hg_backend *backend;
        char why[300];
        bool given = false;
        if (hg_backend_open(spec, &backend, why, sizeof why) != HG_OK)
            _exit(0);
        struct hg_source source = {next_of_script, &given, BLOCKS, UINT64_MAX};
        struct hg_play_config config = {
            .backend = backend, .touch = true, .trace_clock = trace_clock};
        struct hg_play_result result;
        if (hg_play(&config, &source, &result) != HG_OK)
            _exit(1);
        *bytes = result.rss_end_bytes + 1;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    const uint64_t seen = *bytes;
    munmap(bytes, 4096);
    return seen;
}

static void time_of_the_trace_reaches_the_allocator(const char *spec) {
    const uint64_t machine = resident_at_end(spec, false);
    if (!machine) {
        print_message("no %s here: skipped (apt-get install libjemalloc2 libmimalloc2.0)\n", spec);
        skip();
    }
    const uint64_t trace = resident_at_end(spec, true);
    print_message("%s, resident after a minute of the trace: %.1f MiB by the machine's clock, "
                  "%.1f MiB by the trace's\n",
                  spec, (double)machine / 1048576, (double)trace / 1048576);
    assert_true(machine > BLOCKS / 2 * BLOCK_BYTES); /* little of it given back */
    assert_true(trace < machine / 3 * 2);            /* mimalloc keeps half */
}

static void jemalloc_purges(void **state) {
    (void)state;
    time_of_the_trace_reaches_the_allocator("jemalloc");
}

static void mimalloc_purges(void **state) {
    (void)state;
    time_of_the_trace_reaches_the_allocator("mimalloc");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jemalloc_purges),
        cmocka_unit_test(mimalloc_purges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
