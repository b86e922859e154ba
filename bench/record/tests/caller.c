/* Programs to be recorded, by name. Each says in a comment what its trace must hold. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring.h"

extern char **environ;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(99);                                                                              \
        }                                                                                          \
    } while (0)

/* Sizes no libc uses at start, so that a test finds our own calls. */
enum { MARK = 1000003 };

static void churn(unsigned seed, int count) {
    void *blocks[64] = {NULL};
    for (int i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        void **const block = &blocks[seed >> 26];
        switch (seed >> 8 & 7) {
        case 0:
            free(*block);
            *block = calloc(1 + (seed >> 12 & 7), 1 + (seed >> 16 & 63));
            break;
        case 1:
        case 2: {
            void *const moved = realloc(*block, 1 + (seed >> 12 & 1023));
            CHECK(moved);
            *block = moved;
            break;
        }
        default:
            free(*block);
            *block = malloc(seed >> 12 & 255);
        }
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
}

/* Every function of the family once, with MARK + its place in the list. */
static int every(void) {
    void *block = NULL;
    void *volatile kept;
    kept = malloc(MARK);
    kept = realloc(kept, MARK + 1);
    kept = reallocarray(kept, 2, MARK + 2);
    CHECK(malloc_usable_size(kept) >= 2 * MARK + 4);
    free(kept);
    kept = calloc(3, MARK + 3);
    CHECK(((char *)kept)[3 * MARK] == 0);
    free(kept);
    kept = aligned_alloc(256, MARK + 4);
    CHECK((uintptr_t)kept % 256 == 0);
    free(kept);
    CHECK(posix_memalign(&block, 512, MARK + 5) == 0 && (uintptr_t)block % 512 == 0);
    free(block);
    kept = memalign(1024, MARK + 6);
    free(kept);
    kept = valloc(MARK + 7);
    free(kept);
    kept = pvalloc(MARK + 8);
    free(kept);
    kept = realloc(NULL, MARK + 9);
    kept = realloc(kept, 0); /* glibc frees */
    CHECK(!kept);
    void (*const sized)(void *, size_t) =
        (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    if (sized)
        sized(malloc(MARK + 10), MARK + 10);
    return 0;
}

/* Failures leave errno as the real functions do, and free leaves it alone. */
static int failures(void) {
    const volatile size_t huge = SIZE_MAX / 2 - 4096;
    void *block = &block;
    errno = 0;
    CHECK(!malloc(huge) && errno == ENOMEM);
    errno = 0;
    CHECK(!calloc(huge, 16) && errno == ENOMEM);
    errno = 0;
    CHECK(!reallocarray(NULL, huge, 16) && errno == ENOMEM);
    void *const kept = malloc(MARK);
    errno = 0;
    CHECK(!realloc(kept, huge) && errno == ENOMEM);
    errno = 77;
    free(kept);
    CHECK(errno == 77);
    CHECK(posix_memalign(&block, 3, 8) == EINVAL && block == &block);
    errno = 77;
    churn(1, 200000); /* the ring fills and wraps */
    CHECK(errno == 77);
    return 0;
}

static void *churn_thread(void *argument) {
    churn((unsigned)(uintptr_t)argument, 20000);
    return NULL;
}

/* Waves of threads, more in all than at once. */
static int threads(void) {
    for (unsigned wave = 0; wave < 6; wave++) {
        pthread_t thread[8];
        for (uintptr_t i = 0; i < 8; i++)
            CHECK(pthread_create(&thread[i], NULL, churn_thread, (void *)(wave * 8 + i + 1)) == 0);
        churn(wave, 20000);
        for (int i = 0; i < 8; i++)
            CHECK(pthread_join(thread[i], NULL) == 0);
    }
    return 0;
}

/* Blocks handed from thread to thread through a table, reallocated and freed by whoever comes. */
static void *_Atomic table[64];
static void *hand_over_thread(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (int i = 0; i < 100000; i++) {
        seed = seed * 1664525u + 1013904223u;
        void *block = __atomic_exchange_n((void **)&table[seed >> 26], NULL, __ATOMIC_SEQ_CST);
        if (seed >> 8 & 1) {
            free(block);
            block = malloc(1 + (seed >> 9 & 127));
        } else {
            block = realloc(block, 1 + (seed >> 9 & 2047));
        }
        CHECK(block);
        free(__atomic_exchange_n((void **)&table[seed >> 26], block, __ATOMIC_SEQ_CST));
    }
    return NULL;
}
static int hand_over(void) {
    pthread_t thread[4];
    for (uintptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&thread[i], NULL, hand_over_thread, (void *)(i + 1)) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    for (int i = 0; i < 64; i++)
        free(table[i]);
    return 0;
}

/* A destructor that frees late, again and again. */
static pthread_key_t late_key;
static void late(void *block) {
    static __thread int round;
    free(block);
    if (++round < 4)
        pthread_setspecific(late_key, malloc(MARK));
}
static void *late_thread(void *argument) {
    pthread_setspecific(late_key, malloc(MARK));
    return argument;
}
static int destructors(void) {
    pthread_t thread;
    CHECK(pthread_key_create(&late_key, late) == 0);
    for (int i = 0; i < 20; i++) {
        CHECK(pthread_create(&thread, NULL, late_thread, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    return 0;
}

/* The child frees what it inherited and works on its own. */
static int forks(void) {
    void *volatile inherited = malloc(MARK);
    const pid_t child = fork();
    if (child == 0) {
        free(inherited);
        free(malloc(MARK + 1));
        churn(5, 1000);
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    free(malloc(MARK + 2));
    free(inherited);
    return 0;
}

/* Forks while other threads allocate; children with threads of their own. */
static int forks_with_threads(void) {
    pthread_t thread[2], other;
    for (uintptr_t i = 0; i < 2; i++)
        CHECK(pthread_create(&thread[i], NULL, churn_thread, (void *)(i + 1)) == 0);
    for (int i = 0; i < 4; i++) {
        const pid_t child = fork();
        if (child == 0) {
            CHECK(pthread_create(&other, NULL, churn_thread, (void *)7) == 0);
            churn(9, 5000);
            CHECK(pthread_join(other, NULL) == 0);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    return 0;
}

static int execs(const char *self) {
    free(malloc(MARK));
    execl(self, self, "marked", (char *)NULL);
    return 98;
}

static int spawns(const char *self) {
    pid_t child;
    int status;
    char *arguments[] = {(char *)self, "marked", NULL};
    free(malloc(MARK));
    CHECK(posix_spawn(&child, self, NULL, NULL, arguments, environ) == 0);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    child = vfork();
    if (child == 0) {
        execv(self, arguments);
        _exit(98);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    free(malloc(MARK + 2));
    return 0;
}

static int marked(void) {
    free(malloc(MARK + 1));
    return 0;
}

/* Signals that allocate, at any moment. To be run on an allocator that bears it (bump.c). */
static volatile sig_atomic_t signal_count;
static void allocating_handler(int number) {
    (void)number;
    free(malloc(48));
    signal_count++;
}
static int signals(void) {
    const struct itimerval fast = {{0, 50}, {0, 50}}, off = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = allocating_handler, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &fast, NULL);
    for (int i = 0; i < 3000000 && signal_count < 2000; i++)
        free(malloc((size_t)i % 100));
    setitimer(ITIMER_REAL, &off, NULL);
    return 0;
}

/* Our parent is the collector. It is stopped while we fill more than a ring. */
static int flood(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    const pid_t collector = getppid(), helper = fork();
    if (helper == 0) { /* lets the collector go on after the flood, or when that waits for it */
        close(ends[1]);
        poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, 1000);
        kill(collector, SIGCONT);
        _exit(0);
    }
    kill(collector, SIGSTOP);
    for (int i = 0; i < 100000; i++)
        free(malloc(10));
    close(ends[1]);
    CHECK(waitpid(helper, NULL, 0) == helper);
    for (int i = 0; i < 20; i++) { /* once the collector reads again, events pass again */
        usleep(50 * 1000);
        free(malloc(MARK));
    }
    return 0;
}

/* The collector is killed; we go on all the same. */
static int orphan(const char *done_file) {
    churn(1, 5000);
    usleep(50 * 1000);
    kill(getppid(), SIGKILL);
    for (int i = 0; i < 200000; i++)
        free(malloc(10));
    FILE *const file = fopen(done_file, "w");
    CHECK(file);
    fclose(file);
    return 0;
}

/* Allocates MARK only once `file` has been seen to say "start". */
static int waits(const char *file) {
    char word[8] = "";
    free(malloc(MARK + 1));
    FILE *const control = fopen(file, "w");
    CHECK(control && fputs("start", control) >= 0 && fclose(control) == 0);
    usleep(400 * 1000);
    free(malloc(MARK));
    (void)word;
    return 0;
}

/* Four threads work all the time, while recording is stopped and started again and again. */
static _Atomic int is_over;
static void *work_thread(void *argument) {
    while (!is_over)
        churn((unsigned)(uintptr_t)argument, 500);
    return NULL;
}
/* Writes a word into the control file and waits until the collector has read it. */
static int say(const char *file, const char *word) {
    char other[256];
    snprintf(other, sizeof other, "%s.new", file);
    FILE *const control = fopen(other, "w");
    if (control) {
        fputs(word, control);
        fclose(control);
    }
    rename(other, file);
    snprintf(other, sizeof other, "%s/control", getenv(HG_RECORD_DIRECTORY_VARIABLE));
    const int shared = open(other, O_RDONLY);
    const struct hg_control *const seen =
        mmap(NULL, sizeof *seen, PROT_READ, MAP_SHARED, shared, 0);
    CHECK(shared >= 0 && seen != MAP_FAILED);
    for (int i = 0; i < 30000 && seen->is_paused != (strcmp(word, "stop") == 0); i++)
        usleep(1000);
    CHECK(seen->is_paused == (strcmp(word, "stop") == 0));
    munmap((void *)seen, sizeof *seen);
    close(shared);
    return 0;
}
static int sampled(const char *file) {
    pthread_t thread[4];
    for (uintptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&thread[i], NULL, work_thread, (void *)(i + 1)) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(say(file, "start") == 0);
        free(malloc(MARK));
        CHECK(say(file, "stop") == 0);
        free(malloc(MARK + 1));
    }
    is_over = 1;
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    return 0;
}

/* Works in two threads until a helper kills us, or our parent the collector. */
static int killed(const char *whom, const char *after_us) {
    pthread_t thread;
    const pid_t us = getpid(), collector = getppid(), helper = fork();
    if (helper == 0) {
        usleep((useconds_t)atoi(after_us));
        kill(strcmp(whom, "collector") == 0 ? collector : us, SIGKILL);
        usleep(200 * 1000);
        kill(us, SIGKILL);
        _exit(0);
    }
    CHECK(pthread_create(&thread, NULL, work_thread, (void *)1) == 0);
    for (;;)
        churn(2, 500);
}

static int dies(const char *how) {
    churn(3, 1000);
    free(malloc(MARK));
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(how, "_exit") == 0)
        _exit(7);
    exit(7);
}

static int opens(void) {
    void *const library = dlopen("libm.so.6", RTLD_NOW);
    free(malloc(MARK));
    return library ? dlclose(library) : 1;
}

/* MARK: a quarter touched, then freed. MARK + 1: touched whole, freed. MARK + 2: nothing touched, moved to
 * MARK + 3: half touched, and kept. A forked child touches and frees MARK + 4, which it was born with. */
static void touch(char *block, size_t size) {
    for (size_t at = 0; at < size; at += 4096)
        block[at] = 1;
}

static int large_blocks(void) {
    char *const quarter = malloc(MARK), *const whole = malloc(MARK + 1);
    touch(quarter, MARK / 4);
    touch(whole, MARK + 1);
    char *const inherited = malloc(MARK + 4);
    const pid_t child = fork();
    if (child == 0) {
        touch(inherited, MARK / 2);
        free(inherited);
        exit(0);
    }
    waitpid(child, NULL, 0);
    free(quarter);
    char *half = malloc(MARK + 2);
    half = realloc(half, 8 * (size_t)MARK); /* cannot stay where it is touched */
    CHECK(half != NULL);
    touch(half, 4 * (size_t)MARK);
    free(whole);
    return 0;
}

int main(int argc, char **argv) {
    const char *const name = argc > 1 ? argv[1] : "";
    const char *const argument = argc > 2 ? argv[2] : "";
    if (strcmp(name, "large") == 0)
        return large_blocks();
    if (strcmp(name, "every") == 0)
        return every();
    if (strcmp(name, "failures") == 0)
        return failures();
    if (strcmp(name, "threads") == 0)
        return threads();
    if (strcmp(name, "hand_over") == 0)
        return hand_over();
    if (strcmp(name, "destructors") == 0)
        return destructors();
    if (strcmp(name, "forks") == 0)
        return forks();
    if (strcmp(name, "forks_with_threads") == 0)
        return forks_with_threads();
    if (strcmp(name, "execs") == 0)
        return execs(argv[0]);
    if (strcmp(name, "spawns") == 0)
        return spawns(argv[0]);
    if (strcmp(name, "marked") == 0)
        return marked();
    if (strcmp(name, "signals") == 0)
        return signals();
    if (strcmp(name, "flood") == 0)
        return flood();
    if (strcmp(name, "orphan") == 0)
        return orphan(argument);
    if (strcmp(name, "waits") == 0)
        return waits(argument);
    if (strcmp(name, "long") == 0) {
        for (unsigned i = 0; i < 6000000; i++)
            free(malloc(i % 500));
        return 0;
    }
    if (strcmp(name, "sampled") == 0)
        return sampled(argument);
    if (strcmp(name, "killed") == 0)
        return killed(argument, argc > 3 ? argv[3] : "0");
    if (strcmp(name, "dies") == 0)
        return dies(argument);
    if (strcmp(name, "opens") == 0)
        return opens();
    fprintf(stderr, "caller: no program %s\n", name);
    return 97;
}
