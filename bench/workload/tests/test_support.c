/* What workloads share: distributions are what their comments say, random sequences differ from thread to thread,
 * queues pass everything on, in order. */
#include "support.h"

#include <pthread.h>
#include <stdio.h>

static int failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            failures++;                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
        }                                                                                          \
    } while (0)

static struct hg_sizes sizes;

static uint32_t quantile(double part) {
    return sizes.at[(size_t)(part * (HG_SIZES_COUNT - 1))];
}

/* The ranges over the published profiles; see hg_sizes_production(). */
static void test_production(void) {
    hg_sizes_production(&sizes);
    double bytes = 0, small_bytes = 0, small = 0;
    for (size_t i = 0; i < HG_SIZES_COUNT; i++) {
        CHECK(i == 0 || sizes.at[i] >= sizes.at[i - 1]);
        bytes += sizes.at[i];
        small += sizes.at[i] <= 1024;
        small_bytes += sizes.at[i] <= 1024 ? sizes.at[i] : 0;
    }
    CHECK(quantile(0.5) >= 48 && quantile(0.5) <= 64);
    CHECK(quantile(0.9) >= 184 && quantile(0.9) <= 1664);
    CHECK(quantile(0.99) >= 4096 && quantile(0.99) <= 32768);
    CHECK(small / HG_SIZES_COUNT >= 0.88 && small / HG_SIZES_COUNT <= 0.98);
    CHECK(small_bytes / bytes >= 0.075 && small_bytes / bytes <= 0.44);
    CHECK(bytes / HG_SIZES_COUNT >= 197 && bytes / HG_SIZES_COUNT <= 1334);
}

static void test_log_uniform(void) {
    hg_sizes_log_uniform(&sizes, 16, 1024);
    CHECK(sizes.at[0] == 16 && sizes.at[HG_SIZES_COUNT - 1] == 1024);
    CHECK(quantile(0.5) >= 127 && quantile(0.5) <= 128);
    hg_sizes_log_uniform(&sizes, 64, 64);
    CHECK(sizes.at[0] == 64 && sizes.at[HG_SIZES_COUNT - 1] == 64);
}

static void test_random(void) {
    struct hg_random a = {1}, b = {2};
    CHECK(hg_random_next(&a) != hg_random_next(&b));
    uint64_t seen[10] = {0};
    for (int i = 0; i < 100000; i++)
        seen[hg_random_below(&a, 10)]++;
    for (int i = 0; i < 10; i++)
        CHECK(seen[i] > 9500 && seen[i] < 10500);
}

enum { ITEMS = 300000 };

static void *push_all(void *argument) {
    unsigned waited = 0;
    for (uintptr_t i = 1; i <= ITEMS; i++)
        while (!hg_queue_push(argument, i))
            hg_workload_wait(&waited);
    return NULL;
}

static void test_queue(void) {
    static struct hg_queue queue;
    uintptr_t item;
    CHECK(!hg_queue_pop(&queue, &item));
    for (uintptr_t i = 0; i < HG_QUEUE_CAPACITY; i++)
        CHECK(hg_queue_push(&queue, i));
    CHECK(!hg_queue_push(&queue, 0)); /* full */
    for (uintptr_t i = 0; i < HG_QUEUE_CAPACITY; i++)
        CHECK(hg_queue_pop(&queue, &item) && item == i);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, push_all, &queue) == 0);
    unsigned waited = 0;
    for (uintptr_t want = 1; want <= ITEMS; want++) {
        while (!hg_queue_pop(&queue, &item))
            hg_workload_wait(&waited);
        CHECK(item == want);
    }
    pthread_join(thread, NULL);
}

int main(void) {
    test_production();
    test_log_uniform();
    test_random();
    test_queue();
    printf("%d failures\n", failures);
    return failures > 0;
}
