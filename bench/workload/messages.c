/* messages: each thread allocates messages and sends them on; a message passes through two more
 * threads before it is freed, unless a queue is full: then it is freed where it is. Stresses frees
 * far from home, with forwarding: the freeing thread has no other business with the allocating one.
 * An iteration is one message sent and up to two received. */
#include "support.h"

enum { THREADS_MAX = 8, HOPS = 2, RECEIVED_MAX = 2 };

/* From each thread to each. The hops left are in the low bits of the address, which are 0: messages
 * are of 16 bytes and more. */
static struct hg_queue (*queues)[THREADS_MAX];
enum { HOPS_MASK = 7 };

static void setup(hg_state *state) {
    (void)state;
    queues = hg_workload_map(sizeof *queues * THREADS_MAX);
}

static void *message_of(uintptr_t item) {
    return (void *)(item & ~(uintptr_t)HOPS_MASK);
}

static void teardown(hg_state *state) {
    const hg_backend *backend = hg_workload_backend(state);
    uintptr_t item;
    for (size_t from = 0; from < THREADS_MAX; from++)
        for (size_t to = 0; to < THREADS_MAX; to++)
            while (hg_queue_pop(&queues[from][to], &item))
                backend->libc.free(message_of(item));
    hg_workload_unmap(queues, sizeof *queues * THREADS_MAX);
}

struct node {
    size_t self, count;
    void (*release)(void *);
    uint64_t freed;
    size_t from_next; /* whom to listen to next */
};

/* To the next thread after `self`, in a circle. */
static void send(struct node *node, uintptr_t item) {
    size_t to = (node->self + 1) % node->count;
    if (hg_queue_push(&queues[node->self][to], item))
        return;
    node->release(message_of(item));
    node->freed++;
}

static void receive_one(struct node *node) {
    uintptr_t item;
    size_t from = node->from_next;
    node->from_next = (from + 1) % node->count;
    if (!hg_queue_pop(&queues[from][node->self], &item))
        return;
    hg_workload_touch(message_of(item));
    if ((item & HOPS_MASK) > 0) {
        send(node, item - 1);
        return;
    }
    node->release(message_of(item));
    node->freed++;
}

static void messages(hg_state *state) {
    if (!hg_workload_needs_malloc(state))
        return;
    static const uint16_t sizes[] = {48, 64, 96, 128, 64, 48, 256, 1024};
    void *(*const allocate)(size_t) = hg_workload_backend(state)->libc.malloc;
    struct hg_random random = hg_random_of(state, 13);
    struct node node = {
        .self = (size_t)hg_state_thread_index(state),
        .count = (size_t)hg_state_threads(state),
        .release = hg_workload_backend(state)->libc.free,
    };
    HG_WORKLOAD_LOOP(state) {
        void *message = allocate(sizes[hg_random_next(&random) % 8]);
        hg_workload_touch(message);
        send(&node, (uintptr_t)message | HOPS);
        for (int i = 0; i < RECEIVED_MAX * HOPS; i++)
            receive_one(&node);
    }
    hg_workload_done(state, hg_state_iterations(state) + node.freed);
}

static void configure(hg_benchmark *b) {
    hg_benchmark_threads(b, 2);
    hg_benchmark_threads(b, 4);
    hg_benchmark_setup(b, setup);
    hg_benchmark_teardown(b, teardown);
}

const struct hg_workload hg__workload_messages = {
    "messages",
    "messages passed on through other threads before they are freed: frees far from home",
    messages,
    configure,
};
