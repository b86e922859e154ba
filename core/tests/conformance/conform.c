/* What other projects' suites and real programs expect of a malloc, asked of whichever malloc this
 * program runs on: the C library's, or a preloaded one. Arguments name the groups to run (default:
 * all). Each unmet expectation is a line; exit status 1 iff there was one.
 *
 * Sources: C17 7.22.3, POSIX.1-2024, the Linux manual pages; where these leave a choice, glibc's. */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

void *pvalloc(size_t size); /* not declared by every libc */

static int unmet;

#define EXPECT(x)                                                                                  \
    ((x) ? (void)0 : (void)(unmet++, fprintf(stderr, "line %d: not so: %s\n", __LINE__, #x)))
/* `call` returns NULL and sets errno to `error`. */
#define EXPECT_FAILS(call, error) (errno = 0, EXPECT((call) == NULL), EXPECT(errno == (error)))

/* Calls through these: else a compiler that knows malloc removes what is being tested. */
static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_calloc)(size_t, size_t) = calloc;
static void *(*volatile do_realloc)(void *, size_t) = realloc;
static void *(*volatile do_reallocarray)(void *, size_t, size_t) = reallocarray;
static void *(*volatile do_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void *(*volatile do_memalign)(size_t, size_t) = memalign;
static void *(*volatile do_valloc)(size_t) = valloc;
static void *(*volatile do_pvalloc)(size_t) = pvalloc;
static void (*volatile do_free)(void *) = free;
static int (*volatile do_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static size_t (*volatile usable)(void *) = malloc_usable_size;

static bool is_filled(const unsigned char *p, int value, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (p[i] != value)
            return false;
    return true;
}

static size_t page(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void zero_sizes(void) {
    enum { COUNT = 2000 };
    static void *p[COUNT];
    for (int i = 0; i < COUNT; i++) {
        switch (i % 4) {
        case 0:
            p[i] = do_malloc(0);
            break;
        case 1:
            p[i] = do_calloc(0, i % 8 == 1 ? 0 : SIZE_MAX);
            break;
        case 2:
            p[i] = do_realloc(NULL, 0);
            break;
        default:
            p[i] = do_aligned_alloc(64, 0);
            break;
        }
        EXPECT(p[i] != NULL);
        EXPECT((uintptr_t)p[i] % _Alignof(long double) == 0);
    }
    for (int i = 1; i < COUNT; i++)
        for (int j = i - 64 > 0 ? i - 64 : 0; j < i; j++)
            EXPECT(p[i] != p[j]);
    for (int i = 0; i < COUNT; i++)
        do_free(p[i]);
    void *out = NULL;
    EXPECT(do_posix_memalign(&out, sizeof(void *), 0) == 0);
    do_free(out);
    p[0] = do_valloc(0), p[1] = do_pvalloc(0), p[2] = do_memalign(256, 0);
    EXPECT(p[0] && (uintptr_t)p[0] % page() == 0);
    EXPECT(p[1] && (uintptr_t)p[1] % page() == 0);
    EXPECT(p[2] && (uintptr_t)p[2] % 256 == 0);
    for (int i = 0; i < 3; i++)
        do_free(p[i]);
    do_free(NULL);
    EXPECT(usable(NULL) == 0);
    p[0] = do_malloc(10);
    errno = 5;
    EXPECT(do_realloc(p[0], 0) == NULL); /* glibc frees; success, so errno is not ENOMEM */
    EXPECT(errno == 5);
    p[0] = do_malloc(10);
    EXPECT(do_reallocarray(p[0], 0, 10) == NULL);
}

static void too_large(size_t size) {
    char *kept = do_malloc(16);
    memset(kept, 7, 16);
    EXPECT_FAILS(do_malloc(size), ENOMEM);
    EXPECT_FAILS(do_realloc(NULL, size), ENOMEM);
    EXPECT_FAILS(do_realloc(kept, size), ENOMEM);
    EXPECT_FAILS(do_calloc(1, size), ENOMEM);
    EXPECT_FAILS(do_calloc(size, 1), ENOMEM);
    EXPECT_FAILS(do_reallocarray(kept, size, 1), ENOMEM);
    EXPECT_FAILS(do_reallocarray(kept, 1, size), ENOMEM);
    EXPECT_FAILS(do_valloc(size), ENOMEM);
    EXPECT_FAILS(do_pvalloc(size), ENOMEM);
    for (size_t count = 2; count; count *= 16) {
        EXPECT_FAILS(do_calloc(size, count), ENOMEM);
        EXPECT_FAILS(do_calloc(count, size), ENOMEM);
        EXPECT_FAILS(do_reallocarray(kept, size, count), ENOMEM);
        EXPECT_FAILS(do_calloc(SIZE_MAX / count + 1, count), ENOMEM);
    }
    for (size_t align = 1; align; align *= 2) {
        void *out = kept;
        EXPECT_FAILS(do_memalign(align, size), align > SIZE_MAX / 2 + 1 ? EINVAL : ENOMEM);
        EXPECT(do_posix_memalign(&out, align, size) == (align % sizeof(void *) ? EINVAL : ENOMEM));
        EXPECT(out == kept);
        EXPECT_FAILS(do_aligned_alloc(align, size), ENOMEM);
    }
    EXPECT(is_filled((unsigned char *)kept, 7, 16));
    do_free(kept);
}

static void too_large_sizes(void) {
    for (size_t i = 0; i <= 16; i++) {
        too_large(SIZE_MAX - i);
        too_large((size_t)PTRDIFF_MAX + 1 + i);
        too_large(SIZE_MAX - page() + i);
        too_large(SIZE_MAX - i * page());
    }
    for (unsigned shift = 1; shift < 8; shift++)
        too_large((size_t)PTRDIFF_MAX + ((size_t)1 << shift));
    EXPECT_FAILS(do_malloc(PTRDIFF_MAX), ENOMEM);
#if SIZE_MAX > UINT32_MAX
    EXPECT_FAILS(do_malloc((size_t)1 << 48), ENOMEM);
    EXPECT_FAILS(do_aligned_alloc(16, (size_t)1 << 48), ENOMEM);
#endif
}

static void alignments(void) {
    static const size_t wrong[] = {3, 5, 6, 7, 9, 12, 24, 40, 48, 100, 4095, 4097};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        void *out = &out;
        errno = 0;
        EXPECT(do_posix_memalign(&out, wrong[i], 32) == EINVAL);
        EXPECT(out == &out);
        EXPECT(do_posix_memalign(&out, wrong[i] * sizeof(void *), 32) == EINVAL ||
               (wrong[i] & (wrong[i] - 1)) == 0);
        void *p = do_memalign(wrong[i], 100); /* rounded up */
        size_t align = 1;
        while (align < wrong[i])
            align *= 2;
        EXPECT(p && (uintptr_t)p % align == 0);
        do_free(p);
    }
    void *out = &out;
    EXPECT(do_posix_memalign(&out, 0, 32) == EINVAL);
    EXPECT(do_posix_memalign(&out, sizeof(void *) / 2, 32) == EINVAL);
    EXPECT(do_posix_memalign(&out, SIZE_MAX, 32) == EINVAL);
    EXPECT(out == &out);
    void *p = do_memalign(0, 100);
    EXPECT(p != NULL);
    do_free(p);
    EXPECT_FAILS(do_memalign(SIZE_MAX, 1), EINVAL);
    EXPECT_FAILS(do_memalign(SIZE_MAX / 2 + 2, 1), EINVAL);
    for (size_t align = 1; align <= (size_t)1 << 27; align *= 2)
        for (size_t size = 1; size <= 1 << 20; size = size * 7 - 3) {
            unsigned char *a = do_aligned_alloc(align, size), *b = do_memalign(align, size);
            EXPECT(a && (uintptr_t)a % align == 0);
            EXPECT(b && (uintptr_t)b % align == 0);
            if (a && b) {
                EXPECT(usable(a) >= size && usable(b) >= size);
                memset(a, 1, size), memset(b, 2, size);
                b = do_realloc(b, size * 2);
                EXPECT(b && is_filled(b, 2, size) && is_filled(a, 1, size));
            }
            do_free(a), do_free(b);
        }
#if SIZE_MAX > UINT32_MAX
    for (size_t align = (size_t)1 << 28; align <= (size_t)1 << 32; align *= 2) {
        errno = 0;
        p = do_aligned_alloc(align, 100);
        EXPECT(p ? (uintptr_t)p % align == 0 : errno == ENOMEM);
        if (p)
            memset(p, 1, 100);
        do_free(p);
    }
#endif
    for (size_t size = 0; size < 5 * page(); size += 1000) {
        p = do_valloc(size);
        EXPECT(p && (uintptr_t)p % page() == 0);
        do_free(p);
        p = do_pvalloc(size);
        EXPECT(p && (uintptr_t)p % page() == 0);
        EXPECT(usable(p) >= (size + page() - 1) / page() * page());
        do_free(p);
    }
}

/* All of what malloc_usable_size says may be written, without harm to neighbours. */
static void usable_sizes(void) {
    enum { COUNT = 500 };
    static unsigned char *p[COUNT];
    static size_t size[COUNT];
    for (size_t base = 0; base < 40000; base = base * 2 + 7) {
        for (int i = 0; i < COUNT; i++) {
            p[i] = do_malloc(base + (size_t)i % 64);
            size[i] = usable(p[i]);
            EXPECT(size[i] >= base + (size_t)i % 64);
            memset(p[i], i, size[i]);
        }
        for (int i = 0; i < COUNT; i++) {
            EXPECT(usable(p[i]) == size[i]);
            EXPECT(is_filled(p[i], i & 255, size[i]));
            do_free(p[i]);
        }
    }
}

static void reallocs(void) {
    for (size_t from = 1; from < 300000; from = from * 3 / 2 + 1)
        for (size_t to = 1; to < 300000; to = to * 2 + 5) {
            unsigned char *p = do_malloc(from);
            memset(p, 0x55, from);
            p = do_realloc(p, to);
            EXPECT(p && is_filled(p, 0x55, from < to ? from : to));
            memset(p, 0x66, to);
            do_free(p);
        }
    unsigned char *p = do_calloc(100, 1);
    for (size_t i = 0; i < 100; i++)
        p[i] = (unsigned char)i;
    p = do_reallocarray(p, 1000, 10);
    for (size_t i = 0; i < 100; i++)
        EXPECT(p[i] == i);
    EXPECT_FAILS(do_reallocarray(p, SIZE_MAX / 4, 8), ENOMEM);
    for (size_t i = 0; i < 100; i++)
        EXPECT(p[i] == i);
    do_free(p);
    for (int i = 0; i < 100000; i++) /* memory is used again */
        do_free(do_realloc(do_malloc(1000), 500000));
}

static void zeroed(void) {
    for (int round = 0; round < 3; round++)
        for (size_t size = 1; size < 3 << 20; size = size * 2 + 3) {
            unsigned char *p = do_malloc(size);
            memset(p, 0xff, size);
            do_free(p);
            p = do_calloc(size, 1);
            EXPECT(p && is_filled(p, 0, size));
            memset(p, 0xff, size);
            do_free(p);
        }
}

/* free keeps errno, also where it has to call the system (POSIX.1-2024, glibc 2.33). */
static void free_keeps_errno(void) {
    enum { COUNT = 1000 };
    static void *p[COUNT];
    for (int i = 0; i < COUNT; i++)
        p[i] = do_malloc(i % 3 ? (size_t)i * 10 : (size_t)i * 2000);
    for (int i = 0; i < COUNT; i++) {
        errno = 1789 + i;
        do_free(p[i]);
        EXPECT(errno == 1789 + i);
    }
    errno = 1789;
    do_free(NULL);
    void *q = do_malloc(10 << 20);
    do_free(q);
    EXPECT(errno == 1789);
}

/* What malloc_stats writes to descriptor `number`, bytes. */
static size_t stats_written(int number) {
    char text[4096];
    int ends[2], kept = dup(number);
    if (kept < 0 || pipe(ends) != 0)
        return 0;
    fflush(NULL);
    dup2(ends[1], number);
    malloc_stats();
    fflush(NULL);
    dup2(kept, number);
    close(kept), close(ends[1]);
    ssize_t size = read(ends[0], text, sizeof text);
    close(ends[0]);
    return size > 0 ? (size_t)size : 0;
}

static void statistics(void) {
#ifdef __GLIBC__
    EXPECT(stats_written(STDERR_FILENO) > 10);
    fprintf(stderr, "(malloc_stats, to standard error:)\n");
    EXPECT(stats_written(STDOUT_FILENO) == 0);
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 before = mallinfo2();
    enum { COUNT = 1000 };
    static void *p[COUNT];
    for (int i = 0; i < COUNT; i++)
        p[i] = do_malloc(1000);
    void *big = do_malloc(64 << 20);
    struct mallinfo2 with = mallinfo2();
    EXPECT(with.uordblks + with.hblkhd >=
           before.uordblks + before.hblkhd + COUNT * 1000 + (64 << 20));
    EXPECT(with.hblkhd >= before.hblkhd + (64 << 20));
    EXPECT(with.arena + with.hblkhd >= with.uordblks);
    for (int i = 0; i < COUNT; i++)
        do_free(p[i]);
    do_free(big);
    void *middling = do_malloc(20480), *above = do_malloc((128 << 10) + 1);
    struct mallinfo2 two = mallinfo2();
    EXPECT(two.uordblks >= 20480 && two.uordblks + two.hblkhd > 20480 + (128 << 10));
    EXPECT(two.arena == two.uordblks + two.fordblks);
    do_free(above);
    struct mallinfo2 one = mallinfo2();
    above = do_malloc(128 << 10); /* a block takes more than was asked, as with headers */
    two = mallinfo2();
    EXPECT(two.uordblks + two.hblkhd > one.uordblks + one.hblkhd + (128 << 10));
    EXPECT((size_t)mallinfo().arena == two.arena && (size_t)mallinfo().hblks == two.hblks);
    do_free(middling), do_free(above);
    struct mallinfo2 after = mallinfo2();
    EXPECT(after.uordblks + COUNT * 500 <= with.uordblks);
    EXPECT(after.hblkhd < with.hblkhd);
    void *huge = do_malloc((size_t)3 << 30); /* beyond mallinfo's int */
    if (huge)
        EXPECT(mallinfo2().hblkhd >= (size_t)3 << 30);
    do_free(huge);
#endif
    EXPECT(mallopt(M_MXFAST, 64) == 1);
    EXPECT(mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1);
    EXPECT(mallopt(M_ARENA_MAX, 2) == 1);
    malloc_trim(0);
    malloc_trim(0); /* nothing is left to give */
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    EXPECT(malloc_info(0, f) == 0);
    EXPECT(malloc_info(1, f) == EINVAL);
    fclose(f);
    EXPECT(text && strncmp(text, "<malloc version=", 16) == 0 && strstr(text, "</malloc>"));
    do_free(text);
#endif
}

/* Other names of the same heap: what one gives any other takes. */
static void other_names(void) {
#ifdef __GLIBC__
    extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
    extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
    extern void *__libc_valloc(size_t), *__libc_pvalloc(size_t), __libc_free(void *);
    void *p[] = {__libc_malloc(100),        __libc_calloc(10, 10), __libc_realloc(NULL, 100),
                 __libc_memalign(256, 100), __libc_valloc(100),    __libc_pvalloc(100)};
    for (size_t i = 0; i < sizeof p / sizeof *p; i++) {
        EXPECT(usable(p[i]) >= 100);
        p[i] = i % 2 ? do_realloc(p[i], 5000) : p[i];
        do_free(p[i]);
    }
    __libc_free(__libc_realloc(do_calloc(10, 10), 100000));
    __libc_free(do_memalign(4096, 10));
#endif
}

/* ---- the life of a process ---- */

static pthread_key_t keys[3];

static void destroy(void *value) {
    static _Atomic int again;
    do_free(value);
    do_free(do_malloc(100));
    if (++again % 4)
        pthread_setspecific(keys[again % 3], do_calloc(1, 500));
}

static void *brief(void *p) {
    do_free(p);
    for (int i = 0; i < 3; i++)
        pthread_setspecific(keys[i], do_malloc(40));
    return do_malloc(3000);
}

static void threads(void) {
    for (int i = 0; i < 3; i++)
        pthread_key_create(&keys[i], destroy);
    struct rusage before, after;
    for (int i = 0; i < 3000; i++) {
        pthread_t t;
        void *p = NULL;
        EXPECT(pthread_create(&t, NULL, brief, do_malloc(100)) == 0);
        pthread_join(t, &p);
        do_free(p);
        if (i == 300)
            getrusage(RUSAGE_SELF, &before);
    }
    getrusage(RUSAGE_SELF, &after);
    EXPECT(after.ru_maxrss - before.ru_maxrss < 4096); /* KiB: ended threads leave nothing */
}

static _Atomic bool stop;

static void *churn(void *argument) {
    uint64_t state = (uintptr_t)argument * 2654435761u + 1;
    void *p[64] = {0};
    while (!stop) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t i = state >> 58, size = (state >> 40) % ((state >> 33) % 32 ? 2000 : 300000);
        do_free(p[i]);
        p[i] = do_malloc(size);
    }
    for (int i = 0; i < 64; i++)
        do_free(p[i]);
    return NULL;
}

static void *on_little_stack(void *p) {
    void *list[200], *out = NULL;
    for (size_t i = 0; i < 200; i++)
        list[i] = do_realloc(do_malloc(i * 300), i * 1000 + 1);
    for (size_t i = 0; i < 200; i++)
        do_free(list[i]);
    EXPECT(do_posix_memalign(&out, 4096, 5000) == 0 && usable(out) >= 5000);
    do_free(out);
    EXPECT(usable(p) >= 5);
    do_free(p);
    malloc_trim(0);
    return do_calloc(3, 100);
}

/* Threads with as little stack as there can be. */
static void little_stacks(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    EXPECT(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN) == 0);
    for (int i = 0; i < 50; i++) {
        pthread_t t;
        void *p = NULL;
        EXPECT(pthread_create(&t, &attributes, on_little_stack, do_malloc(5)) == 0);
        pthread_join(t, &p);
        EXPECT(p != NULL);
        do_free(p);
    }
    pthread_attr_destroy(&attributes);
}

static bool ended_well(pid_t child) {
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* Handlers of fork that allocate, registered before anything was allocated: other threads are at
 * work, and the allocator's own locks must be taken after the first and released before the others. */
static bool handlers_allocate;
static void *from_handler[600];

static void before_fork(void) {
    for (size_t i = 0; i < 600 && handlers_allocate; i++)
        from_handler[i] = do_malloc(i * 31 + 1);
}

static void after_fork(void) {
    for (size_t i = 0; i < 600 && handlers_allocate; i++) {
        do_free(from_handler[i]);
        from_handler[i] = do_malloc(i * 41 + 1);
        do_free(from_handler[i]);
    }
}

static void forks(void) {
    pthread_t t[4];
    stop = false;
    handlers_allocate = true;
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, churn, (void *)i);
    char *inherited = do_malloc(100);
    for (int i = 0; i < 150; i++) {
        handlers_allocate = i % 10 == 0;
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            do_free(inherited);
            for (size_t k = 0; k < 300; k++)
                do_free(do_realloc(do_malloc(k * k), k * 100 + 1));
            pthread_t one;
            stop = true;
            if (i % 10 == 0 && (pthread_create(&one, NULL, churn, NULL) || pthread_join(one, NULL)))
                _exit(3);
            FILE *f = fopen("/dev/null", "w");
            _exit(f && fprintf(f, "%d", i) > 0 && fclose(f) == 0 ? 0 : 4);
        }
        EXPECT(ended_well(child));
    }
    extern char **environ;
    for (int i = 0; i < 20; i++) {
        pid_t child;
        char *words[] = {(char *)"true", NULL};
        EXPECT(posix_spawnp(&child, "true", NULL, NULL, words, environ) == 0 && ended_well(child));
        EXPECT(system("exit 0") == 0);
    }
    handlers_allocate = false;
    for (int i = 0; i < 20; i++) { /* questions asked meanwhile */
        malloc_trim(0);
        FILE *f = fopen("/dev/null", "w");
        EXPECT(f && malloc_info(0, f) == 0 && fclose(f) == 0);
        EXPECT(mallinfo().arena != 0);
    }
    stop = true;
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    do_free(inherited);
}

/* A program with one thread may fork in a signal handler, wherever the signal came. */
static volatile sig_atomic_t forked;

static void on_alarm(int number) {
    (void)number;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (ended_well(child))
        forked++;
}

static void fork_in_handler(void) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct sigaction before;
    struct itimerval every = {{0, 700}, {0, 700}}, off = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &every, NULL);
    for (uint64_t i = 0; forked < 300 && i < 400000000; i++) {
        void *p[40];
        for (size_t k = 0; k < 40; k++)
            p[k] = do_malloc(k % 8 ? 2000 + k * 700 : 70000);
        for (size_t k = 0; k < 40; k++)
            do_free(p[k]);
    }
    setitimer(ITIMER_REAL, &off, NULL);
    sigaction(SIGALRM, &before, NULL);
    EXPECT(forked >= 300);
}

static void *kept_early;
__attribute__((constructor(101))) static void before_main(void) {
    pthread_atfork(before_fork, after_fork, after_fork);
    kept_early = do_realloc(do_calloc(3, 100), 5000);
}
static void at_end(void) {
    do_free(kept_early);
    do_free(do_malloc(300));
}

/* ---- no memory ---- */

static size_t fill_up(void **list, size_t size) {
    size_t count = 0;
    errno = 0;
    for (void **p; (p = do_malloc(size)); list = p, count++)
        *p = list;
    EXPECT(errno == ENOMEM);
    if (size > 100000) { /* of smaller ones some may lie about */
        EXPECT_FAILS(do_calloc(3, size), ENOMEM);
        EXPECT_FAILS(do_aligned_alloc(1 << 16, size), ENOMEM);
        EXPECT_FAILS(do_realloc(list, size * 3), ENOMEM);
    }
    for (void *next; list; list = next) {
        next = *list;
        do_free(list);
    }
    return count * size;
}

static void *fill_in_thread(void *out) {
    *(size_t *)out = fill_up(NULL, 50000);
    return NULL;
}

static void short_of_memory(size_t limit_mb) {
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {limit_mb << 20, limit_mb << 20};
        size_t in_thread = 0;
        pthread_t t;
        if (setrlimit(RLIMIT_AS, &limit) != 0)
            _exit(9);
        unmet = 0;
        size_t least = (limit_mb / 2) << 20;
        for (int round = limit_mb < 500 ? 0 : 2; round < 3;
             round++) /* nothing is lost from one to the next */
            for (size_t size = 8 << 20; size > 100; size /= 8)
                EXPECT(fill_up(NULL, size) > least);
        if (pthread_create(&t, NULL, fill_in_thread, &in_thread) == 0) {
            pthread_join(t, NULL);
            EXPECT(in_thread > least / 2);
        }
        _exit(unmet != 0);
    }
    EXPECT(ended_well(child));
}

/* Data instead of address space is limited. */
static void short_of_data(void) {
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {64 << 20, 64 << 20};
        unmet = 0;
        if (setrlimit(RLIMIT_DATA, &limit) != 0)
            _exit(9);
        for (int round = 0; round < 2; round++)
            EXPECT(fill_up(NULL, 150000) > 32 << 20);
        _exit(unmet != 0);
    }
    EXPECT(ended_well(child));
}

/* No address is left at all. */
static void no_address(void) {
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        alarm(60);
        unmet = 0;
        for (size_t size = SIZE_MAX / 4 + 1; size >= page(); size /= 2)
            while (mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                        0) != MAP_FAILED)
                ;
        if (setrlimit(RLIMIT_DATA, &none) != 0)
            _exit(9);
        while (do_malloc(1))
            ;
        EXPECT_FAILS(do_malloc(100000), ENOMEM);
        EXPECT_FAILS(do_calloc(1000, 1000), ENOMEM);
        _exit(unmet != 0);
    }
    EXPECT(ended_well(child));
}

/* All pages are locked, so that none can be given back: calloc must not rely on it. */
static void locked(void) {
    pid_t child = fork();
    if (child == 0) {
        unmet = 0;
        if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0)
            zeroed();
        _exit(unmet != 0);
    }
    EXPECT(ended_well(child));
}

static void no_memory(void) {
    short_of_memory(100);
    short_of_memory(300);
    short_of_memory(1000);
    short_of_data();
    no_address();
    locked();
}

/* `memory` first: later this process has more address space than it allows its children. */
int main(int count, char **words) {
    static const struct {
        const char *name;
        void (*run)(void);
    } groups[] = {
        {"memory", no_memory},        {"zero", zero_sizes},
        {"large", too_large_sizes},   {"align", alignments},
        {"usable", usable_sizes},     {"realloc", reallocs},
        {"zeroed", zeroed},           {"errno", free_keeps_errno},
        {"statistics", statistics},   {"names", other_names},
        {"handler", fork_in_handler}, {"threads", threads},
        {"stack", little_stacks},     {"fork", forks},
    };
    atexit(at_end);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        bool wanted = count == 1;
        for (int k = 1; k < count; k++)
            wanted |= strcmp(words[k], groups[i].name) == 0;
        int before = unmet;
        if (wanted)
            groups[i].run();
        if (unmet != before)
            fprintf(stderr, "%s: %d expectations not met\n", groups[i].name, unmet - before);
    }
    return unmet != 0;
}
