/* Property: what holds on one thread holds when threads really run at once (C10, C47, C52): each writes its
 * blocks full, hands some to the others, and finds in every block what was written there, until it is freed
 * by whoever has it then; a fork amid all this leaves a child that can allocate and free (C54). The input
 * decides what each thread does; how they meet the machine decides, so a finding may want some replays. */
#define _GNU_SOURCE
#include "session.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mutate.h"

enum {
    THREADS_MAX = 40,
    THREADS_USUAL = 6,
    SLOTS = 48,
    EXCHANGE = 32,
    STEPS = 9000, /* of all threads together, and of each at least: */
    STEPS_MIN = 600,
    STEPS_BEFORE = 8, /* of each before they all go on at once */
    CHILD_SECONDS = 5
};

/* Stands at the beginning of each block, whoever has it. */
struct label {
    uint64_t seed;
    size_t size;
};

struct race {
    struct hg_fuzz_session *session;
    _Atomic(unsigned char *) exchange[EXCHANGE];
    atomic_uint found;
    char item[8], text[200];
    unsigned threads, steps;
    pthread_mutex_t gate; /* shut until all are there: else the first ends before the last begins */
    uint64_t seed;
    bool forks;
};

struct runner {
    struct race *race;
    pthread_t thread;
    uint64_t random;
    unsigned number;
    unsigned char *blocks[SLOTS];
};

static void broken(struct race *race, const char *item, const char *text) {
    if (atomic_fetch_add(&race->found, 1) > 0)
        return;
    snprintf(race->item, sizeof race->item, "%s", item);
    snprintf(race->text, sizeof race->text, "%s", text);
}

static unsigned char byte_at(uint64_t seed, size_t offset) {
    return (unsigned char)(seed >> offset % 7 * 8) ^ (unsigned char)offset;
}

static void fill(unsigned char *block, uint64_t seed, size_t size) {
    struct label label = {seed, size};
    memcpy(block, &label, sizeof label);
    for (size_t i = sizeof label; i < size; i++)
        block[i] = byte_at(seed, i);
}

/* The first `kept` bytes after the label are as they were written. */
static bool is_whole(const unsigned char *block, const struct label *label, size_t kept) {
    for (size_t i = sizeof *label; i < kept; i++)
        if (block[i] != byte_at(label->seed, i))
            return false;
    return true;
}

static struct label label_of(const unsigned char *block) {
    struct label label;
    memcpy(&label, block, sizeof label);
    return label;
}

static size_t random_size(uint64_t *random) {
    uint32_t wide = hg_random_below(random, 64) == 0 ? 200000
                    : hg_random_below(random, 8)     ? 400
                                                     : 9000;
    return sizeof(struct label) + hg_random_below(random, wide);
}

static unsigned char *allocate(struct runner *runner, size_t size) {
    const struct hg_libc_face *libc = &runner->race->session->backend.libc;
    unsigned way = hg_random_below(&runner->random, 8);
    unsigned char *block;
    size_t align = 16;
    if (way == 0 && libc->calloc) {
        block = libc->calloc(1, size);
        for (size_t i = 0; block && i < size; i++)
            if (block[i]) {
                broken(runner->race, "C17", "calloc: a byte is not zero");
                break;
            }
    } else if (way == 1 && libc->aligned_alloc) {
        align = (size_t)1 << (5 + hg_random_below(&runner->random, 8));
        block = libc->aligned_alloc(align, (size + align - 1) & ~(align - 1));
    } else {
        block = libc->malloc(size);
    }
    if ((uintptr_t)block & (align - 1))
        broken(runner->race, "C30", "a block of aligned_alloc is not aligned");
    return block;
}

static void release(struct runner *runner, unsigned char *block, const char *item) {
    struct label label = label_of(block);
    if (label.size < sizeof label || label.size > 1 << 20 || !is_whole(block, &label, label.size))
        broken(runner->race, item, "content of a block changed while other threads ran");
    runner->race->session->backend.libc.free(block);
}

static void resize(struct runner *runner, unsigned char **block) {
    const struct hg_libc_face *libc = &runner->race->session->backend.libc;
    struct label label = label_of(*block);
    size_t size = random_size(&runner->random);
    unsigned char *moved = libc->realloc(*block, size);
    if (!moved)
        return;
    if (!is_whole(moved, &label, label.size < size ? label.size : size))
        broken(runner->race, "C22", "realloc lost content while other threads ran");
    fill(moved, hg_random(&runner->random), size);
    *block = moved;
}

/* ---- fork amid it ---- */

static void child_of_fork(struct runner *runner) {
    const struct hg_libc_face *libc = &runner->race->session->backend.libc;
    signal(SIGALRM, SIG_DFL);
    alarm(CHILD_SECONDS);
    for (unsigned i = 0; i < SLOTS; i++)
        if (runner->blocks[i])
            release(runner, runner->blocks[i], "C54");
    for (size_t size = 1; size < 1 << 18; size *= 3) {
        unsigned char *block = libc->malloc(size);
        if (block)
            memset(block, 1, size);
        libc->free(block);
    }
    _exit(atomic_load(&runner->race->found) ? 1 : 0);
}

static void fork_amid(struct runner *runner) {
    pid_t child = fork();
    int status = 0;
    if (child == 0)
        child_of_fork(runner);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        broken(runner->race, "C54", "the child of a fork amid allocations hung for 5 s");
    else if (status != 0 && !atomic_load(&runner->race->found))
        broken(runner->race, "C54",
               "the child of a fork amid allocations died or found a block changed");
}

/* ---- a thread ---- */

static void step(struct runner *runner) {
    unsigned char **block = &runner->blocks[hg_random_below(&runner->random, SLOTS)];
    uint32_t choice = hg_random_below(&runner->random, 16);
    if (!*block) {
        size_t size = random_size(&runner->random);
        if ((*block = allocate(runner, size)) != NULL)
            fill(*block, hg_random(&runner->random), size);
    } else if (choice < 3 && runner->race->session->backend.libc.realloc) {
        resize(runner, block);
    } else if (choice < 9) { /* to whoever comes by, for what lies there */
        uint32_t place = hg_random_below(&runner->random, EXCHANGE);
        *block = atomic_exchange(&runner->race->exchange[place], *block);
    } else {
        release(runner, *block, "C7");
        *block = NULL;
    }
}

static void *work(void *argument) {
    struct runner *runner = argument;
    struct race *race = runner->race;
    unsigned steps = race->steps;
    for (int i = 0; i < STEPS_BEFORE; i++) /* so that the allocator knows them all at a time */
        step(runner);
    pthread_mutex_lock(&race->gate);
    pthread_mutex_unlock(&race->gate);
    for (unsigned i = 0; i < steps && !atomic_load_explicit(&race->found, memory_order_relaxed);
         i++) {
        step(runner);
        if (race->forks && runner->number == 0 && i == steps / 2)
            fork_amid(runner);
    }
    for (unsigned i = 0; i < SLOTS && !atomic_load(&race->found); i++)
        if (runner->blocks[i])
            release(runner, runner->blocks[i], "C7");
    return NULL;
}

static bool run(struct hg_fuzz_session *session, const uint8_t *data, size_t size) {
    static struct runner runners[THREADS_MAX];
    struct race race = {.session = session, .seed = UINT64_C(0xCBF29CE484222325)};
    for (size_t i = 0; i < size; i++)
        race.seed = (race.seed ^ data[i]) * UINT64_C(0x100000001B3);
    session->log->inputs++;
    session->log->input_size = size < sizeof session->log->input ? (uint32_t)size : 0;
    memcpy(session->log->input, data, session->log->input_size);
    if (!session->backend.libc.malloc || !session->backend.libc.free)
        return false;
    race.threads = 2 + (unsigned)(race.seed >> 20) %
                           (race.seed >> 50 & 7 ? THREADS_USUAL - 1 : THREADS_MAX - 1);
#if !defined(HG_SANITIZED) /* a sanitizer's own threads and locks do not survive a fork amid it */
    race.forks = race.seed >> 40 & 1;
#endif
    race.steps = STEPS / race.threads > STEPS_MIN ? STEPS / race.threads : STEPS_MIN;
    pthread_mutex_init(&race.gate, NULL);
    pthread_mutex_lock(&race.gate);
    unsigned started = 0;
    for (; started < race.threads; started++) {
        runners[started] =
            (struct runner){.race = &race, .number = started, .random = race.seed + started};
        if (pthread_create(&runners[started].thread, NULL, work, &runners[started]) != 0)
            break;
    }
    pthread_mutex_unlock(&race.gate);
    for (unsigned i = 0; i < started; i++)
        pthread_join(runners[i].thread, NULL);
    pthread_mutex_destroy(&race.gate);
    struct runner last = {.race = &race};
    for (unsigned i = 0; i < EXCHANGE && !atomic_load(&race.found); i++) {
        unsigned char *block = atomic_load(&race.exchange[i]);
        if (block)
            release(&last, block, "C52");
    }
    session->log->operations += (uint64_t)started * race.steps;
    return atomic_load(&race.found) && hg_fuzz_found(session, race.item, "%s", race.text);
}

extern const struct hg_fuzz_target hg_fuzz_target_parallel;
const struct hg_fuzz_target hg_fuzz_target_parallel = {
    .name = "parallel",
    .property = "threads that really run at once do each other no harm",
    .decode = {.threads = 1},
    .needs_backend = true,
    .run = run,
};
