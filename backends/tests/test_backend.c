/* Loading: the right file serves the calls, whatever else is loaded; what is missing says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heapgauge/backend.h"
#include "heapgauge/profile.h"

static void unknown_names(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        enum hg_status status;
        const char *says;
    } rows[] = {
        {"jemaloc", HG_ERR_UNKNOWN, "did you mean 'jemalloc'"},
        {"zzzzzzzzz", HG_ERR_UNKNOWN, "heapgauge backends"},
        {"", HG_ERR_USAGE, "empty"},
        {"/nonexistent/lib.so", HG_ERR_UNAVAILABLE, "No such file"},
        {"fault-align-msk:core", HG_ERR_UNKNOWN, "did you mean 'align-mask'"},
        {"cuont:core", HG_ERR_UNKNOWN, "unknown decorator"},
        {"count:nothing", HG_ERR_UNKNOWN, "unknown backend"},
        {"libm.so.6", HG_ERR_UNAVAILABLE, "not a malloc library"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const hg_backend *backend = (const hg_backend *)&rows;
        char why[512] = "";
        assert_int_equal(hg_backend_open(rows[i].spec, &backend, why, sizeof why), rows[i].status);
        assert_ptr_equal(backend, &rows); /* untouched */
        if (!strstr(why, rows[i].says))
            fail_msg("'%s' says '%s', not '%s'", rows[i].spec, why, rows[i].says);
    }
}

static void registered_backends(void **state) {
    (void)state;
    static const struct {
        const char *name, *file;
    } rows[] = {{"system", "libc.so"},       {"jemalloc", "libjemalloc"},
                {"mimalloc", "libmimalloc"}, {"tcmalloc", "libtcmalloc"},
                {"core", "test_backend"},    {"libtcmalloc_minimal.so.4", "libtcmalloc"}};
#if defined(HG_SANITIZED)
    const size_t count = 0; /* the sanitizer's own malloc serves the process */
#else
    const size_t count = sizeof rows / sizeof *rows;
#endif
    for (size_t i = 0; i < count; i++) {
        const hg_backend *backend, *again;
        char why[512], hex[65];
        if (hg_backend_open(rows[i].name, &backend, why, sizeof why) != HG_OK) {
            print_message("skipped: %s\n", why);
            continue;
        }
        assert_int_equal(hg_backend_open(rows[i].name, &again, why, sizeof why), HG_OK);
        assert_ptr_equal(backend, again);
        if (!strstr(backend->facts.path, rows[i].file))
            fail_msg("%s is served by %s", rows[i].name, backend->facts.path);
        assert_true(hg_file_sha256(backend->facts.path, hex));
        assert_int_equal(strlen(hex), 64);
        assert_non_null(backend->layout.alloc);
        assert_non_null(backend->libc.malloc);
        assert_string_not_equal(backend->facts.version, "");
        /* one program, several allocators: blocks of one are not another's */
        void *ptr = backend->layout.alloc(backend, (hg_layout){100, 64});
        assert_non_null(ptr);
        assert_int_equal((uintptr_t)ptr % 64, 0);
        memset(ptr, 1, 100);
        ptr = backend->layout.realloc(backend, ptr, (hg_layout){100, 64}, 5000);
        assert_int_equal(((char *)ptr)[99], 1);
        backend->layout.dealloc(backend, ptr, (hg_layout){5000, 64});
    }
}

/* The harness's lower bound: nothing is looked up, kept or aligned. */
static void null_serves_one_block(void **state) {
    (void)state;
    const hg_backend *null;
    char why[512];
    assert_int_equal(hg_backend_open("null", &null, why, sizeof why), HG_OK);
    char *first = null->libc.malloc(1);
    assert_non_null(first);
    null->libc.free(first);
    assert_ptr_equal(null->libc.malloc(0), first);
    assert_ptr_equal(null->libc.malloc((size_t)8 << 30), first);
    assert_ptr_equal(null->libc.aligned_alloc((size_t)1 << 30, 64), first);
    assert_int_equal((uintptr_t)first % ((size_t)1 << 30), 0);
    assert_ptr_equal(null->layout.alloc(null, (hg_layout){100, 4096}), first);
    assert_null(null->libc.malloc(SIZE_MAX / 2));
}

/* What it burns is for clocks (results/method); here: every call arrives, and no second one. */
static void slow_passes_calls_on(void **state) {
    (void)state;
    const hg_backend *slow, *core;
    char why[512];
    assert_int_equal(hg_backend_open("core", &core, why, sizeof why), HG_OK);
    assert_int_equal(hg_backend_open("slow-50%:core", &slow, why, sizeof why), HG_OK);
    assert_ptr_equal(slow->libc.free, core->libc.free);
    assert_ptr_not_equal(slow->libc.malloc, core->libc.malloc);
    for (int i = 0; i < 10000; i++) {
        void *ptr = slow->libc.malloc(100);
        assert_true(core->libc.malloc_usable_size(ptr) >= 100);
        slow->libc.free(ptr);
        ptr = slow->layout.alloc(slow, (hg_layout){100, 256});
        assert_int_equal((uintptr_t)ptr % 256, 0);
        slow->layout.dealloc(slow, ptr, (hg_layout){100, 256});
    }
    assert_int_equal(hg_backend_open("slow-1%:core", &slow, why, sizeof why), HG_ERR_USAGE);
    assert_non_null(strstr(why, "one slow backend"));
}

static void *no_empty_blocks(size_t size) {
    if (size == 0)
        abort();
    return malloc(size);
}

static const char *answer_to(const struct hg_profile_answer *answers, size_t count,
                             const char *key) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(answers[i].key, key) == 0)
            return answers[i].answer;
    return "not asked";
}

/* Some allocators end the process for 0 bytes: that is an answer, and not our end. */
static void a_profile_is_asked_apart(void **state) {
    (void)state;
    const hg_backend *core;
    char why[512];
    struct hg_profile_answer answers[HG_PROFILE_QUESTIONS_MAX];
    assert_int_equal(hg_backend_open("core", &core, why, sizeof why), HG_OK);
    size_t count = hg_profile_ask(core, answers);
    assert_string_equal(answer_to(answers, count, "malloc_16"), "aligned to 16");
    assert_string_equal(answer_to(answers, count, "aligned_alloc_odd"), "NULL");
    hg_backend strict = {.libc = {.malloc = no_empty_blocks, .free = free}};
    count = hg_profile_ask(&strict, answers);
    assert_string_equal(answer_to(answers, count, "malloc_zero"), "ends the process (signal 6)");
    assert_string_equal(answer_to(answers, count, "pvalloc_zero"), "no such function");
}

int main(int argc, char **argv) {
    (void)argc;
    hg_backend_prepare_process(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_names),
        cmocka_unit_test(registered_backends),
        cmocka_unit_test(null_serves_one_block),
        cmocka_unit_test(slow_passes_calls_on),
        cmocka_unit_test(a_profile_is_asked_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
