/* The collector's side of a ring, on rings written by hand: it reads what was published and nothing else. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "image.h"

enum { ADDRESSES = 7, PUBLISH_UNITS = 2048 /* as in image.c */ };

static char folder[64], image_path[128], trace_path[128];
static struct hg_image *shared;
static uint64_t written, number;

static int make_image(void **state) {
    (void)state;
    strcpy(folder, "/tmp/heapgauge-image-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(image_path, sizeof image_path, "%s/image.1.1", folder);
    snprintf(trace_path, sizeof trace_path, "%s/t.hgt", folder);
    const int file = open(image_path, O_RDWR | O_CREAT, 0600);
    const size_t size = hg_image_size(1);
    if (file < 0 || ftruncate(file, (off_t)size) != 0)
        return -1;
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED)
        return -1;
    *shared = (struct hg_image){
        .magic = HG_RECORD_MAGIC, .pid = (int32_t)getpid(), .rings_max = 1, .ring_count = 1};
    written = number = 0;
    return 0;
}

static int remove_image(void **state) {
    (void)state;
    munmap(shared, hg_image_size(1));
    unlink(image_path);
    unlink(trace_path);
    return rmdir(folder);
}

/* Puts an event behind the others; it is there for the collector once published. */
static void write_event(unsigned kind, uint64_t address, uint64_t size) {
    struct hg_unit *const units = hg_ring_units(shared, 0);
    const bool is_long = size >= HG_EVENT_SIZE_ELSEWHERE;
    units[written++ % HG_RING_UNITS] = (struct hg_unit){
        {kind | (is_long ? HG_EVENT_SIZE_ELSEWHERE : size) << 8 | number++ << 32, address}};
    if (is_long)
        units[written++ % HG_RING_UNITS] = (struct hg_unit){{size, 0}};
}

static void publish(void) {
    atomic_store(&shared->ring[0].head, written);
}

static uint64_t address_of(uint64_t i) {
    return 0x1000 + i % ADDRESSES * 64;
}

/* A malloc and its free, of addresses seen before, until `units` are written. */
static void write_pairs(uint64_t units) {
    for (uint64_t i = 0; written < units; i++)
        write_event(i % 2 ? HG_OP_FREE : HG_OP_MALLOC, address_of(i / 2), i % 2 ? 0 : 24);
}

static struct hg_image_view *open_view(void) {
    struct hg_image_view *const view = hg_image_open(image_path, trace_path, NULL, "block");
    assert_non_null(view);
    return view;
}

static uint64_t close_view(struct hg_image_view *view) {
    struct hg_trace_totals totals;
    assert_int_equal(hg_image_close(view, (struct hg_image_end){false, 0}, &totals), HG_OK);
    return totals.operation_count;
}

/* An event of two units that crosses the place where room is given back: what the producer is just writing behind
 * the head must be left alone (once it was read, and the collector never came back). */
static void a_long_event_at_the_border_stops_at_the_head(void **state) {
    (void)state;
    struct hg_image_view *const view = open_view();
    write_event(HG_OP_THREAD_START, 0, 0);
    for (uint64_t i = 0; i < 10;
         i++) /* so that there is room among the operations handed on at once */
        write_event(HG_OP_MALLOC, 0x200000 + i * 64, HG_EVENT_SIZE_ELSEWHERE);
    write_pairs(PUBLISH_UNITS - 1);
    write_event(HG_OP_MALLOC, 0x100000, HG_EVENT_SIZE_ELSEWHERE);
    write_event(HG_OP_FREE, 0x100000, 0);
    publish();
    const uint64_t events = number;
    write_pairs(written + 20); /* in the making */
    assert_int_equal(hg_image_drain(view, 1, false), events);
    publish();
    assert_int_equal(hg_image_drain(view, 1, true), number - events);
    assert_int_equal(atomic_load(&shared->ring[0].tail), written);
    assert_int_equal(close_view(view), number - 1);
}

/* Half an event, as a program gone wild may leave it: no end of the collector. */
static void half_an_event_is_no_endless_loop(void **state) {
    (void)state;
    struct hg_image_view *const view = open_view();
    write_event(HG_OP_THREAD_START, 0, 0);
    write_pairs(9);
    write_event(HG_OP_MALLOC, 0x100000, HG_EVENT_SIZE_ELSEWHERE);
    atomic_store(&shared->ring[0].head, written - 1);
    assert_int_equal(hg_image_drain(view, 1, false), number);
    assert_int_equal(hg_image_drain(view, 1, true), 0);
    assert_int_equal(close_view(view), number - 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_image, remove_image)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_long_event_at_the_border_stops_at_the_head),
        TEST(half_an_event_is_no_endless_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
