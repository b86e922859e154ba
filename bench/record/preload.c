/* The preload library: sees every call of the malloc family, hands it to the real function, and
 * leaves an event in this thread's ring (ring.h). It makes no thread, opens no file on the way of a
 * call, takes no lock there and never allocates from the heap it watches.
 *
 * Each function below is the real one and one line about it. What is rare (first event of a process
 * or thread, a full ring, a fork) is kept out of line and leaves errno alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ring.h"

#define PUBLIC    __attribute__((visibility("default")))
#define COLD      __attribute__((noinline, cold))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define BARRIER()                                                                                  \
    __asm__ volatile("" ::: "memory") /* against the compiler: signals see our stores */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* glibc 2.32 and later; without it the process counts as threaded. */
extern char __libc_single_threaded __attribute__((weak));

/* ---- the real functions ---- */

static void *first_malloc(size_t size);
static void *first_calloc(size_t count, size_t size);
static void *first_realloc(void *old, size_t size);
static void first_free(void *block);
static void *first_aligned(size_t align, size_t size);
static int first_posix(void **out, size_t align, size_t size);
static void *first_valloc(size_t size);
static size_t first_usable(void *block);

/* Until resolved each entry is a stub that resolves all, so that no call has to ask. */
static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    size_t (*malloc_usable_size)(void *);
} real = {first_malloc,  first_calloc, first_realloc, first_free,   first_aligned,
          first_aligned, first_posix,  first_valloc,  first_valloc, first_usable};

static int (*real_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/* Blocks handed out while dlsym itself wants memory; never given back. */
static _Alignas(16) char early[16384];
static size_t early_used;

static void *early_alloc(size_t size) {
    const size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded < size || rounded > sizeof early - early_used) {
        errno = ENOMEM;
        return NULL;
    }
    void *const block = early + early_used;
    early_used += rounded;
    return block;
}

static inline bool is_early(const void *block) {
    return (uintptr_t)block - (uintptr_t)early < sizeof early;
}

static pthread_key_t thread_key;
static bool has_thread_key;
static void thread_ends(void *ring);

/* False iff called from within itself: dlsym wants memory. */
static COLD bool resolve(void) {
    static bool is_resolving;
    if (is_resolving)
        return false;
    is_resolving = true;
    const int error = errno;
    __typeof__(real) found;
    *(void **)&found.malloc = dlsym(RTLD_NEXT, "malloc");
    *(void **)&found.calloc = dlsym(RTLD_NEXT, "calloc");
    *(void **)&found.realloc = dlsym(RTLD_NEXT, "realloc");
    *(void **)&found.free = dlsym(RTLD_NEXT, "free");
    *(void **)&found.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
    *(void **)&found.memalign = dlsym(RTLD_NEXT, "memalign");
    *(void **)&found.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    *(void **)&found.valloc = dlsym(RTLD_NEXT, "valloc");
    *(void **)&found.pvalloc = dlsym(RTLD_NEXT, "pvalloc");
    *(void **)&found.malloc_usable_size = dlsym(RTLD_NEXT, "malloc_usable_size");
    *(void **)&real_pthread_create = dlsym(RTLD_NEXT, "pthread_create");
    real = found;
    has_thread_key = pthread_key_create(&thread_key, thread_ends) == 0;
    is_resolving = false;
    errno = error;
    return true;
}

static void *first_malloc(size_t size) {
    return resolve() ? real.malloc(size) : early_alloc(size);
}
static void *first_calloc(size_t count, size_t size) {
    return resolve() ? real.calloc(count, size) : early_alloc(count * size);
}
static void *first_realloc(void *old, size_t size) {
    return resolve() ? real.realloc(old, size) : NULL;
}
static void first_free(void *block) {
    if (resolve())
        real.free(block);
}
static void *first_aligned(size_t align, size_t size) {
    return resolve() ? real.memalign(align, size) : NULL;
}
static int first_posix(void **out, size_t align, size_t size) {
    return resolve() ? real.posix_memalign(out, align, size) : ENOMEM;
}
static void *first_valloc(size_t size) {
    return resolve() ? real.valloc(size) : NULL;
}
static size_t first_usable(void *block) {
    return resolve() ? real.malloc_usable_size(block) : 0;
}

/* ---- where events go ---- */

enum liveness { UNKNOWN = 0, ON, OFF };

enum {
    LARGE_BYTES = 8192,  /* of blocks from here on it is asked how much was touched */
    LARGE_SKIPS_MAX = 7, /* blocks of a size not looked at after some that were touched whole */
    LARGE_BUCKETS = 4096,
    LARGE_WAYS = 8,
    PAGE_BYTES = 4096,
    PAGES_AT_ONCE = 512
};

/* A live large block. */
struct large {
    uintptr_t address;
    size_t size; /* 0: none */
};

/* Lies on pages that the kernel wipes in the child of a fork, whichever call made it: a child
 * finds UNKNOWN, open locks and no blocks, and starts anew. */
struct local {
    _Atomic uint32_t liveness;   /* enum liveness */
    _Atomic uint32_t lock;       /* taking a ring, attaching */
    _Atomic uint32_t large_lock; /* the two below; `used` is read without */
    _Atomic uint8_t used[LARGE_BUCKETS];
    struct large large[LARGE_BUCKETS][LARGE_WAYS]; /* one that finds no room is not followed */
};
static struct local not_yet;
static struct local *local = &not_yet;
static struct hg_image *image;
static struct hg_control *control;
static char directory[256]; /* kept from the first attach: programs overwrite their environment */
static char image_path[320];

static __thread struct {
    struct hg_ring *ring;
    struct hg_unit *units;
    uint32_t depth; /* 1: in the middle of an event; a signal handler must not make another */
    uint32_t ring_refused; /* there was none for us */
    uint32_t creator;      /* number of the thread that started this one */
    uint32_t end_round;
} self __attribute__((tls_model("initial-exec")));

static long futex(void *word, int operation, uint32_t value, const struct timespec *timeout) {
    return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

static void lock(void) {
    while (atomic_exchange_explicit(&local->lock, 1, memory_order_acquire))
        sched_yield();
}

static void unlock(void) {
    atomic_store_explicit(&local->lock, 0, memory_order_release);
}

static void wake_collector(void) {
    if (atomic_load_explicit(&control->is_asleep, memory_order_relaxed)) {
        atomic_fetch_add(&control->wake, 1);
        futex(&control->wake, FUTEX_WAKE, 1, NULL);
    }
}

/* ---- attaching ---- */

/* Where the control directory is: from the environment, which libc may not have set up yet. */
static bool find_directory(void) {
    static const char name[] = HG_RECORD_DIRECTORY_VARIABLE "=";
    if (directory[0])
        return true;
    const char *value = getenv(HG_RECORD_DIRECTORY_VARIABLE);
    if (value) {
        if (strlen(value) >= sizeof directory)
            return false;
        strcpy(directory, value);
        return directory[0] != '\0';
    }
    /* A byte at a time through a small state machine would do; one variable rarely crosses 64 KiB.
     */
    const int file = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    static char environment[65536];
    size_t size = 0;
    for (ssize_t length;
         size < sizeof environment - 1 &&
         (length = read(file, environment + size, sizeof environment - 1 - size)) > 0;)
        size += (size_t)length;
    close(file);
    for (const char *at = environment; at < environment + size; at += strlen(at) + 1)
        if (strncmp(at, name, sizeof name - 1) == 0 &&
            strlen(at + sizeof name - 1) < sizeof directory)
            strcpy(directory, at + sizeof name - 1);
    return directory[0] != '\0';
}

static bool map_control(void) {
    char path[320];
    if (control)
        return true;
    snprintf(path, sizeof path, "%s/control", directory);
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return false;
    void *const memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED)
        return false;
    control = memory;
    return control->magic == HG_RECORD_MAGIC;
}

/* Only the name of a file, never its folder: a trace tells nothing of the machine. */
static void copy_file_name(char *out, size_t out_size, const char *path) {
    const char *const slash = strrchr(path, '/');
    snprintf(out, out_size, "%s", slash ? slash + 1 : path);
    for (char *at = out; *at; at++)
        if (*at < ' ')
            *at = '?';
}

static uint32_t count_arguments(void) {
    char bytes[4096];
    uint32_t count = 0;
    const int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    for (ssize_t length; (length = read(file, bytes, sizeof bytes)) > 0;)
        for (ssize_t i = 0; i < length; i++)
            count += bytes[i] == '\0';
    close(file);
    return count ? count - 1 : 0;
}

static void find_program(char *out, size_t out_size) {
    char path[512];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    copy_file_name(out, out_size, path);
}

/* True iff the collector wants this process. */
static bool is_wanted(void) {
    char program[sizeof control->only_program];
    if (control->only_pid && control->only_pid != (int32_t)syscall(SYS_getpid))
        return false;
    if (!control->only_program[0])
        return true;
    find_program(program, sizeof program);
    return strcmp(program, control->only_program) == 0;
}

static void describe(struct hg_image *new_image, uint64_t now_ns, int32_t forked_from) {
    Dl_info server;
    find_program(new_image->program, sizeof new_image->program);
    if (dladdr((void *)real.malloc, &server) && server.dli_fname)
        copy_file_name(new_image->allocator, sizeof new_image->allocator, server.dli_fname);
    new_image->pid = (int32_t)syscall(SYS_getpid);
    new_image->forked_from = forked_from;
    new_image->argument_count = count_arguments();
    new_image->start_ns = now_ns;
    new_image->magic = HG_RECORD_MAGIC;
}

/* Makes the pages real now: a full file system must refuse here, not kill the program later. */
static bool reserve(void *memory, size_t size, uint64_t offset) {
    if (madvise(memory, size, MADV_POPULATE_WRITE) == 0)
        return true;
    if (errno != EINVAL)
        return false;
    const int file = open(image_path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return false;
    const bool done = fallocate(file, 0, (off_t)offset, (off_t)size) == 0;
    close(file);
    return done;
}

static struct hg_image *create_image(int32_t forked_from) {
    char path[340];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    snprintf(image_path, sizeof image_path, "%s/image.%ld.%llu", directory, syscall(SYS_getpid),
             (unsigned long long)now_ns);
    snprintf(path, sizeof path, "%s.new", image_path);
    const int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return NULL;
    uint32_t rings_max = HG_RINGS_MAX;
    struct hg_image *memory = MAP_FAILED;
    if (ftruncate(file, (off_t)hg_image_size(rings_max)) == 0)
        memory = mmap(NULL, hg_image_size(rings_max), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_NORESERVE, file, 0);
    if (memory == MAP_FAILED) {
        rings_max = HG_RINGS_FEW;
        if (ftruncate(file, (off_t)hg_image_size(rings_max)) == 0)
            memory = mmap(NULL, hg_image_size(rings_max), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_NORESERVE, file, 0);
    }
    bool done =
        memory != MAP_FAILED && (madvise(memory, HG_RINGS_START, MADV_POPULATE_WRITE) == 0 ||
                                 fallocate(file, 0, 0, HG_RINGS_START) == 0);
    close(file);
    if (done) {
        madvise(memory, hg_image_size(rings_max), MADV_DONTDUMP);
        memory->rings_max = rings_max;
        describe(memory, now_ns, forked_from);
        done = rename(path, image_path) == 0;
    }
    if (done)
        return memory;
    if (memory != MAP_FAILED)
        munmap(memory, hg_image_size(rings_max));
    unlink(path);
    return NULL;
}

static struct local *map_local(void) {
    void *const pages =
        mmap(NULL, sizeof *local, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    madvise(pages, sizeof *local, MADV_WIPEONFORK);
    return pages;
}

/* Joins the recording, or finds that there is none. In the child of a fork: anew. */
static COLD void attach(void) {
    const int error = errno;
    if (local == &not_yet) { /* before any thread can have been made */
        struct local *const page = map_local();
        if (!page) {
            not_yet.liveness = OFF;
            errno = error;
            return;
        }
        local = page;
    }
    if (real.malloc == first_malloc && !resolve()) { /* a call of dlsym's own: not the program's */
        errno = error;
        return;
    }
    lock();
    if (local->liveness == UNKNOWN) {
        struct hg_image *const inherited = image;
        self.ring = NULL;
        self.ring_refused = 0;
        image = NULL;
        if (find_directory() && map_control() && is_wanted())
            image = create_image(inherited ? inherited->pid : 0);
        if (image) {
            atomic_fetch_add(&control->image_count, 1);
            wake_collector();
        }
        if (inherited)
            munmap(inherited, hg_image_size(inherited->rings_max));
        local->liveness = image ? ON : OFF;
    }
    unlock();
    errno = error;
}

/* ---- rings ---- */

static bool is_dead(int32_t tid, int32_t own_tid) {
    return tid == own_tid ||
           (syscall(SYS_tgkill, syscall(SYS_getpid), tid, 0) != 0 && errno == ESRCH);
}

static struct hg_ring *find_ring(int32_t own_tid) {
    const uint32_t count = atomic_load(&image->ring_count);
    for (uint32_t i = 0; i < count; i++)
        if (image->ring[i].state == HG_RING_ENDING && is_dead(image->ring[i].tid, own_tid))
            return &image->ring[i];
    if (count < image->rings_max) {
        struct hg_unit *const units = hg_ring_units(image, count);
        if (!reserve(units, HG_RING_BYTES, HG_RINGS_START + count * HG_RING_BYTES))
            return NULL;
        atomic_store(&image->ring_count, count + 1);
        return &image->ring[count];
    }
    for (uint32_t i = 0; i < count; i++) /* threads that ended without their destructors */
        if (is_dead(image->ring[i].tid, own_tid))
            return &image->ring[i];
    return NULL;
}

static inline bool make_room(struct hg_ring *ring, uint32_t unit_count);
static inline void write_event(struct hg_ring *ring, unsigned kind, uint64_t address, uint64_t size,
                               uint64_t arg, bool is_long);

/* Gives this thread a ring and announces it. */
static COLD struct hg_ring *take_ring(void) {
    const int error = errno;
    struct hg_ring *ring = NULL;
    if (!self.ring_refused) {
        const int32_t tid = (int32_t)syscall(SYS_gettid);
        lock();
        ring = find_ring(tid);
        if (ring) {
            ring->tid = tid;
            ring->state = HG_RING_ACTIVE;
        }
        unlock();
    }
    if (ring) {
        self.units = hg_ring_units(image, (uint32_t)(ring - image->ring));
        self.ring = ring;
        self.end_round = 0;
        if (make_room(ring, 1))
            write_event(ring, HG_OP_THREAD_START, self.creator, 0, 0, false);
        if (has_thread_key)
            pthread_setspecific(thread_key, ring);
    } else {
        self.ring_refused = 1;
        atomic_fetch_add_explicit(&image->lost_count, 1, memory_order_relaxed);
    }
    errno = error;
    return ring;
}

/* True iff nobody will ever read the ring. The collector holds a lock as long as it lives; where
 * that can't be seen (chroot), its pid has to do. */
static bool collector_is_dead(void) {
    char path[320];
    if (atomic_load(&image->is_closed))
        return true;
    snprintf(path, sizeof path, "%s/lock", directory);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT || (kill(control->collector_pid, 0) != 0 && errno == ESRCH);
    const bool dead = flock(file, LOCK_SH | LOCK_NB) == 0;
    close(file);
    return dead;
}

static bool has_room(struct hg_ring *ring, uint32_t unit_count) {
    ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return atomic_load_explicit(&ring->head, memory_order_relaxed) + unit_count - ring->tail_seen <=
           HG_RING_UNITS;
}

/* Waits until the collector has read enough, or drops. No event has begun yet: a signal handler
 * that comes while we sleep may make its own, and wait here, too. */
static COLD bool wait_for_room(struct hg_ring *ring, uint32_t unit_count) {
    const int error = errno;
    const struct timespec patience = {0, 20 * 1000 * 1000};
    unsigned rounds = 0;
    bool room;
    wake_collector();
    while (!(room = has_room(ring, unit_count)) && !control->drop && local->liveness == ON) {
        atomic_store(&ring->is_waiting, 1);
        if (atomic_load(&ring->tail) != ring->tail_seen)
            continue;
        self.depth = 0;
        BARRIER();
        futex(&ring->is_waiting, FUTEX_WAIT, 1, &patience);
        BARRIER();
        self.depth = 1;
        wake_collector();
        if (++rounds % 8 == 0 && collector_is_dead())
            local->liveness = OFF;
    }
    atomic_store(&ring->is_waiting, 0);
    if (!room)
        atomic_fetch_add_explicit(&ring->dropped_count, 1, memory_order_relaxed);
    errno = error;
    return room;
}

/* Looks how far the collector has got. */
static COLD bool look_for_room(struct hg_ring *ring, uint32_t unit_count) {
    const bool room = has_room(ring, unit_count);
    if (atomic_load_explicit(&ring->head, memory_order_relaxed) - ring->tail_seen >=
        HG_RING_UNITS / 2)
        wake_collector();
    return room || wait_for_room(ring, unit_count);
}

static inline bool make_room(struct hg_ring *ring, uint32_t unit_count) {
    const uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    return LIKELY(head + unit_count - ring->tail_seen <= HG_RING_UNITS) ||
           look_for_room(ring, unit_count);
}

/* ---- events ---- */

static COLD void note_nested(void) {
    /* A signal handler that allocates interrupted us within an event. */
    if (local->liveness == ON)
        atomic_fetch_add_explicit(&image->lost_count, 1, memory_order_relaxed);
}

/* Begins an event of at most `unit_count` units. NULL: there is none to make. On success leave()
 * must follow. */
static inline __attribute__((always_inline)) struct hg_ring *enter(uint32_t unit_count) {
    if (!LIKELY(self.depth == 0)) {
        note_nested();
        return NULL;
    }
    if (!LIKELY(atomic_load_explicit(&local->liveness, memory_order_relaxed) == ON)) {
        if (local->liveness == OFF)
            return NULL;
        self.depth = 1;
        BARRIER();
        attach();
        BARRIER();
        self.depth = 0;
        if (local->liveness != ON)
            return NULL;
    }
    if (!LIKELY(!atomic_load_explicit(&control->is_paused, memory_order_relaxed)))
        return NULL;
    self.depth = 1;
    BARRIER();
    struct hg_ring *ring = self.ring;
    if (!LIKELY(ring != NULL))
        ring = take_ring();
    if (LIKELY(ring != NULL) && LIKELY(make_room(ring, unit_count)))
        return ring;
    BARRIER();
    self.depth = 0;
    return NULL;
}

static inline void leave(void) {
    BARRIER();
    self.depth = 0;
}

static inline bool is_single_threaded(void) {
    return &__libc_single_threaded && __libc_single_threaded;
}

static inline uint64_t next_number(void) {
    if (LIKELY(is_single_threaded())) {
        const uint64_t number = atomic_load_explicit(&image->sequence, memory_order_relaxed);
        atomic_store_explicit(&image->sequence, number + 1, memory_order_relaxed);
        return number;
    }
    return atomic_fetch_add_explicit(&image->sequence, 1, memory_order_seq_cst);
}

static inline void write_event(struct hg_ring *ring, unsigned kind, uint64_t address, uint64_t size,
                               uint64_t arg, bool is_long) {
    const uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    struct hg_unit *const unit = &self.units[head % HG_RING_UNITS];
    is_long |= size >= HG_EVENT_SIZE_ELSEWHERE;
    unit->word[0] = kind | (is_long ? HG_EVENT_SIZE_ELSEWHERE : size) << 8 | next_number() << 32;
    unit->word[1] = address;
    if (is_long) {
        struct hg_unit *const second = &self.units[(head + 1) % HG_RING_UNITS];
        second->word[0] = size;
        second->word[1] = arg;
    }
    atomic_store_explicit(&ring->head, head + 1 + is_long, memory_order_release);
}

/* ---- large blocks: how much of them the program touched ---- */

/* A program that asks for 64 KiB and uses 20 has 20 resident. Only at the block's end is it known, and only
 * the kernel knows; so large blocks are remembered, and looked at when they end, move, or the program does. */

static inline size_t bucket_of(uintptr_t address) {
    return address / PAGE_BYTES * 0x9E3779B97F4A7C15u >> 52;
}
_Static_assert(LARGE_BUCKETS == 1 << (64 - 52), "a bucket for each hash");

/* False in a signal handler that came in the middle of an event or of this. */
static bool lock_large(void) {
    if (self.depth)
        return false;
    self.depth = 1;
    BARRIER();
    while (atomic_exchange_explicit(&local->large_lock, 1, memory_order_acquire))
        sched_yield();
    return true;
}

static void unlock_large(void) {
    atomic_store_explicit(&local->large_lock, 0, memory_order_release);
    leave();
}

static COLD void add_large(const void *block, size_t size) {
    const size_t bucket = bucket_of((uintptr_t)block);
    if (local->liveness != ON || !lock_large())
        return;
    for (struct large *at = local->large[bucket]; at < local->large[bucket] + LARGE_WAYS; at++) {
        if (at->size)
            continue;
        *at = (struct large){(uintptr_t)block, size};
        local->used[bucket]++;
        break;
    }
    unlock_large();
}

/* Takes a block out of its bucket (0: the bucket's first); size 0: there is none. */
static struct large take_large(size_t bucket, uintptr_t address) {
    struct large found = {0, 0};
    if (!lock_large())
        return found;
    for (struct large *at = local->large[bucket]; at < local->large[bucket] + LARGE_WAYS; at++) {
        if (at->size == 0 || (address && at->address != address))
            continue;
        found = *at;
        at->size = 0;
        local->used[bucket]--;
        break;
    }
    unlock_large();
    return found;
}

/* Bytes of the block from its first page on that is not resident. (Pages after it may be, from blocks that lay
 * there before.) */
static size_t count_untouched(struct large block) {
    uintptr_t at = (block.address + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    const uintptr_t end = (block.address + block.size) / PAGE_BYTES * PAGE_BYTES;
    while (at < end) {
        unsigned char resident[PAGES_AT_ONCE];
        const size_t pages = (end - at) / PAGE_BYTES;
        const size_t here = pages < PAGES_AT_ONCE ? pages : PAGES_AT_ONCE;
        if (mincore((void *)at, here * PAGE_BYTES, resident) != 0)
            return 0;
        for (size_t i = 0; i < here; i++)
            if (!(resident[i] & 1))
                return block.address + block.size - (at + i * PAGE_BYTES);
        at += here * PAGE_BYTES;
    }
    return 0;
}

/* Says how much of a block was touched, unless that is nearly all of it. */
static bool note_touched(struct large block) {
    const int error = errno;
    const size_t untouched = count_untouched(block);
    const bool is_partly = untouched > block.size / 8;
    struct hg_ring *const ring = is_partly ? enter(2) : NULL;
    if (ring) {
        write_event(ring, HG_EVENT_TOUCHED, block.address, block.size - untouched, 0, false);
        leave();
    }
    errno = error;
    return is_partly;
}

/* The kernel takes half a microsecond for its answer; a program that writes to all it asks for shall not pay
 * for it each time. By the size's base-2 logarithm; threads may lose each other's counts. */
static COLD void end_large(const void *address) {
    static _Atomic uint8_t skips[64], skips_left[64];
    const struct large block = take_large(bucket_of((uintptr_t)address), (uintptr_t)address);
    if (block.size == 0)
        return;
    const int class = 63 - __builtin_clzll(block.size);
    const uint8_t left = skips_left[class];
    if (left) {
        skips_left[class] = left - 1;
        return;
    }
    const uint8_t more = 2 * skips[class] + 1;
    skips[class] = note_touched(block) ? 0 : more < LARGE_SKIPS_MAX ? more : LARGE_SKIPS_MAX;
    skips_left[class] = skips[class];
}

/* A block begins; is about to end. */
static inline void watch(const void *block, size_t size) {
    if (!LIKELY(size < LARGE_BYTES) && block)
        add_large(block, size);
}
static inline void unwatch(const void *block) {
    const size_t bucket = bucket_of((uintptr_t)block);
    if (!LIKELY(atomic_load_explicit(&local->used[bucket], memory_order_relaxed) == 0) && block)
        end_large(block);
}

/* The program ends: what is still live. */
static void end_all_large(void) {
    for (size_t bucket = 0; bucket < LARGE_BUCKETS; bucket++)
        while (local->used[bucket]) {
            const struct large block = take_large(bucket, 0);
            if (block.size == 0)
                return; /* within a signal handler */
            note_touched(block);
        }
}

/* ---- events, and the calls that make them ---- */

static COLD void note_slowly(unsigned kind, const void *block, size_t size) {
    struct hg_ring *const ring = enter(2);
    if (ring) {
        write_event(ring, kind, (uintptr_t)block, size, 0, false);
        leave();
    }
    watch(block, size);
}

/* What enter() asks, in a piece that calls nothing and so saves no register. */
static inline __attribute__((always_inline)) void note(unsigned kind, const void *block,
                                                       size_t size) {
    struct hg_ring *const ring = self.ring;
    if (LIKELY(ring != NULL) && LIKELY(self.depth == 0) &&
        LIKELY(atomic_load_explicit(&local->liveness, memory_order_relaxed) == ON) &&
        LIKELY(!atomic_load_explicit(&control->is_paused, memory_order_relaxed)) &&
        LIKELY(size < LARGE_BYTES)) {
        self.depth = 1;
        BARRIER();
        const uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
        if (LIKELY(head - ring->tail_seen < HG_RING_UNITS)) {
            write_event(ring, kind, (uintptr_t)block, size, 0, false);
            leave();
            return;
        }
        leave();
    }
    note_slowly(kind, block, size);
}

static inline void note_long(unsigned kind, const void *block, size_t size, uint64_t arg,
                             size_t bytes) {
    struct hg_ring *const ring = enter(2);
    if (ring) {
        write_event(ring, kind, (uintptr_t)block, size, arg, true);
        leave();
    }
    watch(block, bytes);
}

/* ---- the malloc family ---- */

PUBLIC void *malloc(size_t size) {
    void *const block = real.malloc(size);
    note(HG_OP_MALLOC, block, size);
    return block;
}

PUBLIC void *calloc(size_t count, size_t size) {
    void *const block = real.calloc(count, size);
    if (!is_early(block))
        note_long(HG_OP_CALLOC, block, size, count, count * size);
    return block;
}

PUBLIC void free(void *block) {
    if (is_early(block))
        return;
    unwatch(block);
    note(HG_OP_FREE, block, 0);
    real.free(block);
}

/* Takes a block that dlsym was given to the real heap. */
static COLD void *realloc_early(void *old, size_t size) {
    void *const block = real.malloc(size);
    const size_t there = sizeof early - (size_t)((char *)old - early);
    if (block)
        memcpy(block, old, size < there ? size : there);
    note(HG_OP_MALLOC, block, size);
    return block;
}

static inline void *do_realloc(unsigned kind, void *old, size_t count, size_t size, size_t bytes) {
    if (!LIKELY(!is_early(old)))
        return realloc_early(old, bytes);
    unwatch(old);
    if (old && !is_single_threaded()) {
        struct hg_ring *const ring = enter(5); /* room for the other event, too */
        if (ring) {
            write_event(ring, HG_EVENT_REALLOC_BEGIN, (uintptr_t)old, 0, 0, false);
            leave();
        }
    }
    void *const block = real.realloc(old, bytes);
    struct hg_ring *const ring = enter(kind == HG_OP_REALLOCARRAY ? 4 : 2);
    if (ring) {
        if (kind ==
            HG_OP_REALLOCARRAY) /* an event holds size and old address; the count goes ahead */
            write_event(ring, HG_EVENT_COUNT, 0, count, 0, true);
        write_event(ring, kind, (uintptr_t)block, size, (uintptr_t)old, true);
        leave();
    }
    watch(block, bytes);
    return block;
}

PUBLIC void *realloc(void *old, size_t size) {
    return do_realloc(HG_OP_REALLOC, old, 1, size, size);
}

PUBLIC void *reallocarray(void *old, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        struct hg_ring *const ring = enter(4);
        if (ring) {
            write_event(ring, HG_EVENT_COUNT, 0, count, 0, true);
            write_event(ring, HG_OP_REALLOCARRAY, 0, size, (uintptr_t)old, true);
            leave();
        }
        errno = ENOMEM;
        return NULL;
    }
    return do_realloc(HG_OP_REALLOCARRAY, old, count, size, bytes);
}

PUBLIC void *aligned_alloc(size_t align, size_t size) {
    void *const block = real.aligned_alloc(align, size);
    note_long(HG_OP_ALIGNED_ALLOC, block, size, align, size);
    return block;
}

PUBLIC void *memalign(size_t align, size_t size) {
    void *const block = real.memalign(align, size);
    note_long(HG_OP_MEMALIGN, block, size, align, size);
    return block;
}

PUBLIC int posix_memalign(void **out, size_t align, size_t size) {
    void *block = NULL;
    const int status = real.posix_memalign(&block, align, size);
    if (status == 0)
        *out = block;
    note_long(HG_OP_POSIX_MEMALIGN, status == 0 ? block : NULL, size, align, size);
    return status;
}

PUBLIC void *valloc(size_t size) {
    void *const block = real.valloc(size);
    note(HG_OP_VALLOC, block, size);
    return block;
}

PUBLIC void *pvalloc(size_t size) {
    void *const block = real.pvalloc(size);
    note(HG_OP_PVALLOC, block, size);
    return block;
}

PUBLIC size_t malloc_usable_size(void *block) {
    if (is_early(block))
        return 0;
    note(HG_OP_USABLE_SIZE, block, 0);
    return real.malloc_usable_size(block);
}

/* C23. Where the C library has none yet, free() is what they are allowed to be. */
PUBLIC void free_sized(void *block, size_t size);
PUBLIC void free_sized(void *block, size_t size) {
    (void)size;
    if (is_early(block))
        return;
    unwatch(block);
    note(HG_OP_FREE_SIZED, block, 0);
    real.free(block);
}

PUBLIC void free_aligned_sized(void *block, size_t align, size_t size);
PUBLIC void free_aligned_sized(void *block, size_t align, size_t size) {
    (void)align;
    (void)size;
    unwatch(block);
    note(HG_OP_FREE_ALIGNED_SIZED, block, 0);
    real.free(block);
}

/* ---- threads ---- */

/* What a new thread is to do, and who started it. From a pool, so that the heap sees nothing of it.
 */
struct start {
    _Atomic uint32_t is_taken;
    uint32_t creator;
    void *(*routine)(void *);
    void *argument;
};
static struct start starts[256];

static void *start_thread(void *argument) {
    struct start *const start = argument;
    void *(*const routine)(void *) = start->routine;
    void *const routine_argument = start->argument;
    self.creator = start->creator;
    atomic_store_explicit(&start->is_taken, 0, memory_order_release);
    if (enter(1)) /* takes a ring and announces the thread */
        leave();
    return routine(routine_argument);
}

static struct start *take_start(void) {
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        uint32_t not_taken = 0;
        if (atomic_compare_exchange_strong(&starts[i].is_taken, &not_taken, 1))
            return &starts[i];
    }
    return NULL;
}

PUBLIC int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*routine)(void *), void *argument) {
    if (real.malloc == first_malloc)
        resolve();
    if (!real_pthread_create)
        return EAGAIN;
    if (enter(1)) /* the child of a fork attaches before it has threads */
        leave();
    struct start *const start =
        atomic_load_explicit(&local->liveness, memory_order_relaxed) == ON ? take_start() : NULL;
    if (!start) /* the thread announces itself with its first call */
        return real_pthread_create(thread, attributes, routine, argument);
    start->creator = self.ring ? (uint32_t)(self.ring - image->ring) : 0;
    start->routine = routine;
    start->argument = argument;
    const int status = real_pthread_create(thread, attributes, start_thread, start);
    if (status != 0)
        atomic_store_explicit(&start->is_taken, 0, memory_order_release);
    return status;
}

/* Runs among the thread's destructors. Others may still free, so it asks to be called again, until
 * the last round; what comes even later still finds the ring. */
static void thread_ends(void *ring) {
    enum { ROUNDS = 3 }; /* of PTHREAD_DESTRUCTOR_ITERATIONS, 4 */
    if (ring != self.ring || local->liveness != ON)
        return;
    if (++self.end_round < ROUNDS && pthread_setspecific(thread_key, ring) == 0)
        return;
    struct hg_ring *const mine = enter(1);
    if (mine) {
        write_event(mine, HG_OP_THREAD_END, 0, 0, 0, false);
        leave();
    }
    atomic_store(&self.ring->state, HG_RING_ENDING);
}

/* ---- begin and end ---- */

__attribute__((constructor)) static void begin(void) {
    if (real.malloc == first_malloc)
        resolve();
    if (enter(1))
        leave();
}

static void note_end(void) {
    /* A vfork child ends here, too, in its parent's memory. */
    if (local->liveness != ON || image->pid != (int32_t)syscall(SYS_getpid))
        return;
    end_all_large();
    atomic_store(&image->has_ended, 1);
}

__attribute__((destructor)) static void end(void) {
    note_end();
}

PUBLIC __attribute__((noreturn)) void _exit(int status) {
    note_end();
    for (;;)
        syscall(SYS_exit_group, status);
}

PUBLIC __attribute__((noreturn)) void _Exit(int status) {
    _exit(status);
}
