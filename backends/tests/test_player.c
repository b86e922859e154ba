/* The player: what is asked arrives at the allocator, in every mode and on both faces; wrong streams are
 * refused; happens-before holds between threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../counting.h"
#include "../operation_facts.h"
#include "heapgauge/generate.h"
#include "heapgauge/player.h"

/* A source over an array. */
struct script {
    const hg_op *ops;
    size_t count;
    bool given;
};

static enum hg_status next_of_script(void *context, const hg_op **ops, size_t *count,
                                     uint64_t *first) {
    struct script *script = context;
    if (script->given)
        return HG_END;
    script->given = true;
    *ops = script->ops;
    *count = script->count;
    *first = 0;
    return HG_OK;
}

static const hg_backend *open_backend(const char *spec) {
    const hg_backend *backend;
    char why[300];
    if (hg_backend_open(spec, &backend, why, sizeof why) != HG_OK)
        fail_msg("%s", why);
    return backend;
}

static enum hg_status play_script(const struct hg_play_config *config, const hg_op *ops,
                                  size_t count, struct hg_play_result *result) {
    struct script script = {ops, count, false};
    struct hg_source source = {next_of_script, &script, 16, UINT64_MAX};
    return hg_play(config, &source, result);
}

static void asked_equals_counted(void **state) {
    (void)state;
    const hg_backend *backend = open_backend("count:core");
    for (int mode = HG_PLAY_SINGLE; mode <= HG_PLAY_PARALLEL; mode++) {
        for (int face = HG_FACE_AS_RECORDED; face <= HG_FACE_LAYOUT; face++) {
            struct hg_generator_config stream = {.seed = 5,
                                                 .operation_count = 400000, /* two windows */
                                                 .live_blocks = 500,
                                                 .size_max = 2000,
                                                 .threads = mode == HG_PLAY_SINGLE ? 1 : 4};
            hg_generator *generator = hg_generator_create(&stream);
            struct hg_source source = hg_generator_source(generator);
            struct hg_play_config config = {
                .backend = backend, .mode = (enum hg_play_mode)mode, .face = (enum hg_face)face};
            struct hg_play_result result;
            uint64_t before = hg_counting_total();
            assert_int_equal(hg_play(&config, &source, &result), HG_OK);
            uint64_t calls = hg_counting_total() - before;
            /* warm-up: one pair; drain: one call a block */
            assert_int_equal(calls, result.operations + result.live_end_blocks + 2);
            assert_int_equal(result.operations + result.left_out, 400000);
            assert_int_equal(result.failed, 0);
            if (face == HG_FACE_AS_RECORDED)
                assert_true(result.left_out == 390 || result.left_out < 20000); /* VERIFY ops */
            if (mode == HG_PLAY_PARALLEL)
                assert_int_equal(result.threads, 4);
            hg_generator_destroy(generator);
        }
    }
}

static void wrong_streams_are_refused(void **state) {
    (void)state;
    const hg_op twice[] = {{.kind = HG_OP_MALLOC, .slot = 3, .size = 10},
                           {.kind = HG_OP_FREE, .slot = 3},
                           {.kind = HG_OP_MALLOC, .slot = 3, .size = 10},
                           {.kind = HG_OP_MALLOC, .slot = 3, .size = 10}};
    struct hg_play_config config = {.backend = open_backend("core")};
    struct hg_play_result result;
    for (int face = HG_FACE_AS_RECORDED; face <= HG_FACE_LAYOUT; face++) {
        config.face = (enum hg_face)face;
        assert_int_equal(play_script(&config, twice, 4, &result), HG_ERR_FORMAT);
        assert_int_equal(result.error_index, 3);
        assert_int_equal(result.operations, 3);
        assert_int_equal(play_script(&config, twice, 3, &result), HG_OK);
    }
}

/* A backend that notes on which thread each call came, to see that hand-over works. */
static atomic_int live_blocks, live_blocks_max, freed_null;

static void *noting_malloc(size_t size) {
    int live = atomic_fetch_add(&live_blocks, 1) + 1;
    int max = atomic_load(&live_blocks_max);
    while (live > max && !atomic_compare_exchange_weak(&live_blocks_max, &max, live))
        ;
    return malloc(size);
}

static void noting_free(void *ptr) {
    if (ptr)
        atomic_fetch_sub(&live_blocks, 1);
    else
        atomic_fetch_add(&freed_null, 1);
    free(ptr);
}

/* Thread 0 allocates what thread 1 frees, 100000 times through 8 slots: were the order not kept, thread
 * 1 would free empty slots and blocks would pile up. */
static void blocks_are_freed_after_they_exist(void **state) {
    (void)state;
    enum { PAIRS = 100000, SLOTS = 8 };
    static hg_op ops[2 * PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        uint32_t slot = (uint32_t)i % SLOTS;
        int at = i / SLOTS * 2 * SLOTS + i % SLOTS;
        ops[at] = (hg_op){.kind = HG_OP_MALLOC, .slot = slot, .size = 32, .thread = 0};
        ops[at + SLOTS] = (hg_op){.kind = HG_OP_FREE, .slot = slot, .thread = 1};
    }
    hg_backend backend = {.libc = {.malloc = noting_malloc, .free = noting_free},
                          .facts = {.name = "noting"}};
    struct hg_play_config config = {.backend = &backend, .mode = HG_PLAY_PARALLEL};
    struct hg_play_result result;
    assert_int_equal(play_script(&config, ops, 2 * PAIRS, &result), HG_OK);
    assert_int_equal(result.operations, 2 * PAIRS);
    assert_int_equal(atomic_load(&freed_null), 0);
    assert_int_equal(atomic_load(&live_blocks), 0);
    assert_true(atomic_load(&live_blocks_max) >= SLOTS);
}

/* A backend that knows its blocks: what is freed or reallocated must be live. */
struct header {
    uint64_t mark; /* plain: that it is ordered between threads is what is tested */
    uint64_t size;
};
static const uint64_t live_mark = 0x11FE11FE11FE11FE;
static atomic_int wrong_blocks, empty_slots;

static void *marked_malloc(size_t size) {
    struct header *header = malloc(sizeof *header + size);
    *header = (struct header){live_mark, size};
    return header + 1;
}

static struct header *check_mark(void *ptr) {
    struct header *header = (struct header *)ptr - 1;
    if (header->mark != live_mark)
        atomic_fetch_add(&wrong_blocks, 1);
    return header;
}

static void marked_free(void *ptr) {
    if (!ptr) {
        atomic_fetch_add(&empty_slots, 1);
        return;
    }
    struct header *header = check_mark(ptr);
    header->mark = 0;
    free(header);
}

static void *marked_realloc(void *ptr, size_t size) {
    void *moved = marked_malloc(size);
    if (ptr) {
        const size_t there = check_mark(ptr)->size;
        memcpy(moved, ptr, size < there ? size : there);
        marked_free(ptr);
    }
    return moved;
}

static size_t marked_usable_size(void *ptr) {
    return ptr ? check_mark(ptr)->size : 0;
}

static uint32_t next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Blocks go from thread to thread at every operation of their lives, few slots are used again and again,
 * threads end and start anew; more than one window. */
static size_t write_hand_over(hg_op *ops, size_t count, unsigned threads, uint32_t slots,
                              uint64_t seed) {
    static bool is_full[1024];
    bool runs[16] = {true};
    memset(is_full, 0, sizeof is_full);
    for (size_t i = 0; i < count; i++) {
        const uint16_t thread = (uint16_t)(next_random(&seed) % threads);
        const uint32_t slot = next_random(&seed) % slots, choice = next_random(&seed) % 100;
        hg_op *op = &ops[i];
        *op = (hg_op){.thread = thread, .slot = slot, .size = 1 + next_random(&seed) % 300};
        if (!runs[thread] || (choice == 0 && thread)) {
            *op = (hg_op){.kind = runs[thread] ? HG_OP_THREAD_END : HG_OP_THREAD_START,
                          .thread = thread,
                          .slot = HG_SLOT_NONE};
            runs[thread] = !runs[thread];
        } else if (!is_full[slot]) {
            op->kind = choice < 50 ? HG_OP_MALLOC : HG_OP_REALLOC;
            is_full[slot] = true;
        } else if (choice < 40) {
            op->kind = HG_OP_REALLOC;
        } else {
            op->kind = choice < 60 ? HG_OP_USABLE_SIZE : HG_OP_FREE;
            op->size = 0;
            is_full[slot] = op->kind != HG_OP_FREE;
        }
    }
    return count;
}

/* Under ThreadSanitizer a missing wait also shows as a race on the slot or on the block. */
static void hand_over_keeps_its_order(void **state) {
    enum { COUNT = 300000 };
    static const struct {
        unsigned threads;
        uint32_t slots;
    } cases[] = {{2, 1}, {2, 64}, {4, 3}, {8, 1000}, {3, 1000}};
    hg_op *ops = malloc(COUNT * sizeof *ops);
    hg_backend backend = {.libc = {.malloc = marked_malloc,
                                   .free = marked_free,
                                   .realloc = marked_realloc,
                                   .malloc_usable_size = marked_usable_size},
                          .facts = {.name = "marked"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int mode = HG_PLAY_SINGLE; mode <= HG_PLAY_PARALLEL; mode++) {
            /* a turn is a switch of threads: fewer of them */
            const size_t count = mode == HG_PLAY_TURNS ? 20000 : COUNT;
            write_hand_over(ops, count, cases[i].threads, cases[i].slots, i + 1);
            struct script script = {ops, count, false};
            struct hg_source source = {next_of_script, &script, 1024, UINT64_MAX};
            struct hg_play_config config = {
                .backend = &backend, .mode = (enum hg_play_mode)mode, .touch = true};
            struct hg_play_result result;
            assert_int_equal(hg_play(&config, &source, &result), HG_OK);
            assert_int_equal(result.operations + result.left_out, count);
            assert_int_equal(atomic_load(&wrong_blocks), 0);
            assert_int_equal(atomic_load(&empty_slots), 0);
            if (mode != HG_PLAY_SINGLE)
                assert_int_equal(result.threads, cases[i].threads);
        }
    }
    free(ops);
}

/* What a play in slices told: the turns in their order, and the calls made when each came. */
struct turns {
    uint64_t next, calls[64], begin;
};

static void note_turn(void *context, uint64_t i) {
    struct turns *turns = context;
    assert_int_equal(i, turns->next++);
    turns->calls[i] = hg_counting_total() - turns->begin;
}

/* Every slice holds its share of the operations, none is lost or done twice, and the last turn comes when the blocks
 * that were left are freed; the times add up to the whole. */
static void slices_share_the_operations(void **state) {
    enum { OPS = 300000, SLICES = 7 };
    (void)state;
    const hg_backend *backend = open_backend("count:core");
    for (int mode = HG_PLAY_SINGLE; mode <= HG_PLAY_PARALLEL; mode++) {
        struct hg_generator_config stream = {.seed = 5,
                                             .operation_count = OPS,
                                             .live_blocks = 500,
                                             .size_max = 2000,
                                             .threads = mode == HG_PLAY_SINGLE ? 1 : 4};
        hg_generator *generator = hg_generator_create(&stream);
        struct hg_source source = hg_generator_source(generator);
        source.live_peak_operation = 1234;
        uint64_t times_ns[SLICES], sum = 0;
        struct turns turns = {.begin = hg_counting_total()};
        struct hg_play_slices slices = {SLICES, OPS, note_turn, &turns, times_ns};
        struct hg_play_config config = {
            .backend = backend, .mode = (enum hg_play_mode)mode, .slices = &slices};
        struct hg_play_result result;
        assert_int_equal(hg_play(&config, &source, &result), HG_OK);
        assert_int_equal(turns.next, SLICES + 1);
        assert_int_equal(turns.calls[0], 2); /* the warm-up */
        assert_int_equal(turns.calls[SLICES], result.operations + result.live_end_blocks + 2);
        for (uint64_t i = 0; i < SLICES; i++) {
            sum += times_ns[i];
            if (i + 1 < SLICES) /* some operations are no calls */
                assert_in_range(turns.calls[i + 1] - turns.calls[i], OPS / SLICES * 9 / 10,
                                OPS / SLICES + 1);
        }
        assert_int_equal(sum, result.time_ns);
        hg_generator_destroy(generator);
    }
}

static void ignore_turn(void *context, uint64_t i) {
    (void)context;
    (void)i;
}

/* Windows of a few operations each, most threads without a part in most of them: one that wakes late must not take
 * the next window's half-filled queue for its own. */
static void idle_threads_stay_idle(void **state) {
    enum { SLICES = 4000, EACH = 6, OPS = SLICES * EACH, THREADS = 8 };
    static uint64_t times_ns[SLICES];
    hg_op *ops = malloc(OPS * sizeof *ops);
    (void)state;
    for (size_t i = 0; i < OPS; i++) {
        size_t slice = i / EACH;
        unsigned thread = i % EACH < 2 ? 0 : 1 + (unsigned)(slice * 5 % (THREADS - 1));
        ops[i] = (hg_op){.kind = i % 2 ? HG_OP_FREE : HG_OP_MALLOC,
                         .thread = (uint16_t)thread,
                         .slot = thread,
                         .size = i % 2 ? 0 : 40};
    }
    struct script script = {ops, OPS, false};
    struct hg_source source = {next_of_script, &script, 1024, UINT64_MAX};
    struct hg_play_slices slices = {SLICES, OPS, ignore_turn, NULL, times_ns};
    struct hg_play_config config = {
        .backend = open_backend("core"), .mode = HG_PLAY_PARALLEL, .slices = &slices};
    struct hg_play_result result;
    alarm(100);
    assert_int_equal(hg_play(&config, &source, &result), HG_OK);
    alarm(0);
    assert_int_equal(result.operations, OPS);
    free(ops);
}

/* Of a block that its program touched in part, the replay makes no more resident; by every call, on both faces. */
static void no_more_is_touched_than_was(void **state) {
    enum { MIB = 1 << 20, PAGE = 4096 };
    static const hg_op made[] = {
        {HG_OP_MALLOC, 0, 0, 0, 64 * MIB, 0},           {HG_OP_CALLOC, 0, 0, 0, 64, MIB},
        {HG_OP_REALLOC, 0, 0, 0, 64 * MIB, 0},          {HG_OP_REALLOCARRAY, 0, 0, 0, 64, MIB},
        {HG_OP_ALIGNED_ALLOC, 0, 0, 0, 64 * MIB, PAGE}, {HG_OP_ALLOC, 0, 0, 0, 64 * MIB, PAGE}};
    const uint64_t touched[] = {64 * MIB, 16 * MIB, 0};
    (void)state;
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        for (size_t t = 0; t < sizeof touched / sizeof touched[0]; t++)
            for (int mode = HG_PLAY_SINGLE; mode <= HG_PLAY_PARALLEL; mode++) {
                hg_op op = made[i];
                if (touched[t] < 64 * MIB)
                    hg__op_mark_partly(&op, touched[t]);
                const struct hg_play_config config = {.backend = open_backend("system"),
                                                      .mode = (enum hg_play_mode)mode,
                                                      .touch = true};
                struct hg_play_result result;
                assert_int_equal(play_script(&config, &op, 1, &result), HG_OK);
                assert_int_equal(result.operations, 1);
                assert_int_equal(result.live_end_blocks, 1);
#ifndef HG_SANITIZED /* shadow memory counts, too */
                assert_in_range(result.rss_peak_bytes, touched[t], touched[t] + MIB);
#endif
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_equals_counted),
        cmocka_unit_test(wrong_streams_are_refused),
        cmocka_unit_test(blocks_are_freed_after_they_exist),
        cmocka_unit_test(hand_over_keeps_its_order),
        cmocka_unit_test(slices_share_the_operations),
        cmocka_unit_test(idle_threads_stay_idle),
        cmocka_unit_test(no_more_is_touched_than_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
