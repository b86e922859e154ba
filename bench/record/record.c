/* The command and the collector: starts the program with the preload library, reads the rings of
 * all its processes until the last has ended, writes one trace each. README.md says why it is a
 * process of its own. */
#define _GNU_SOURCE
#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "image.h"

enum {
    STATUS_USAGE = 2,
    COMPRESSION_LEVEL = 1, /* the program may have to wait for us; 3 saves a tenth of the size */
    SLEEP_NS_MIN = 100 * 1000,
    SLEEP_NS_MAX = 10 * 1000 * 1000,
    TEND_EVERY_NS = 20 * 1000 * 1000,
    CONTROL_FILE_EVERY_NS = 100 * 1000 * 1000,
    DIRECTORY_FREE_MIN = 64 << 20 /* bytes that the folder for rings should have free */
};

static const char usage[] =
    "usage: heapgauge record [-o T.hgt] [options] -- COMMAND [ARGUMENT...]\n"
    "Runs COMMAND and records what it and its children ask of malloc.\n"
    "  -o, --output=T.hgt     the trace (heapgauge.hgt); further processes go to T.1.hgt, T.2.hgt ...\n"
    "      --on-full=block    when the program allocates faster than can be written, it waits (default)\n"
    "      --on-full=drop     ... or events are dropped, counted and shown\n"
    "      --no-children      record COMMAND itself only\n"
    "      --program=NAME     record only processes that run a file of that name (past wrappers)\n"
    "      --start=paused     record nothing until SIGUSR1 comes to this process; SIGUSR2 pauses again\n"
    "      --control=FILE     ... or until FILE says \"start\"; \"stop\" pauses again\n"
    "      --level=N          how hard to compress: 1 (default) to 19\n"
    "  -q, --quiet            print nothing but errors\n"
    "  -h, --help\n"
    "A trace holds sizes, alignments, order and thread numbers; never content, addresses, arguments or\n"
    "environment.\n"
    "Exit status: COMMAND's own; 128+n if signal n ended it; 2 could not record.\n";

struct options {
    const char *output, *program, *control_file;
    bool drop, no_children, start_paused, quiet;
    int level;
    char **command;
};

/* What is told of a trace at the end. */
struct summary {
    char path[512], program[64];
    int32_t pid;
    uint32_t number; /* of the trace, in order of appearance */
    struct hg_trace_totals totals;
    uint64_t inferred_free_count, byte_count;
    struct summary *next;
};

struct collector {
    struct options options;
    char directory[128];
    int lock_fd;
    struct hg_control *control;
    char library[PATH_MAX];
    struct hg_image_view *images; /* newest first */
    struct summary *summaries;    /* last trace first */
    uint32_t images_seen;         /* of control->image_count */
    uint32_t trace_count;
    pid_t program_pid;
    bool program_ended;
    int program_status;
    bool failed; /* a trace could not be written */
};

static volatile sig_atomic_t asked_to_start, asked_to_pause, asked_to_end;
static volatile sig_atomic_t program_to_tell; /* its pid */

static void on_signal(int number) {
    if (number == SIGUSR1)
        asked_to_start = 1;
    else if (number == SIGUSR2)
        asked_to_pause = 1;
    else
        asked_to_end++;
    if ((number == SIGTERM || number == SIGHUP) && program_to_tell)
        kill(program_to_tell, number);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- options ---- */

static bool read_options(int argc, char **argv, struct options *o, int *status) {
    enum { ON_FULL = 256, NO_CHILDREN, PROGRAM, START, CONTROL, LEVEL };
    static const struct option names[] = {
        {"output", required_argument, NULL, 'o'},
        {"on-full", required_argument, NULL, ON_FULL},
        {"no-children", no_argument, NULL, NO_CHILDREN},
        {"program", required_argument, NULL, PROGRAM},
        {"start", required_argument, NULL, START},
        {"control", required_argument, NULL, CONTROL},
        {"level", required_argument, NULL, LEVEL},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.output = "heapgauge.hgt", .level = COMPRESSION_LEVEL};
    *status = STATUS_USAGE;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "+o:qh", names, NULL)) != -1;) {
        switch (option) {
        case 'o':
            o->output = optarg;
            break;
        case ON_FULL:
            if (strcmp(optarg, "block") != 0 && strcmp(optarg, "drop") != 0) {
                fprintf(stderr,
                        "heapgauge record: --on-full=%s: say --on-full=block or --on-full=drop\n",
                        optarg);
                return false;
            }
            o->drop = optarg[0] == 'd';
            break;
        case NO_CHILDREN:
            o->no_children = true;
            break;
        case PROGRAM:
            o->program = optarg;
            break;
        case START:
            if (strcmp(optarg, "paused") != 0 && strcmp(optarg, "now") != 0) {
                fprintf(stderr, "heapgauge record: --start=%s: say --start=now or --start=paused\n",
                        optarg);
                return false;
            }
            o->start_paused = optarg[0] == 'p';
            break;
        case CONTROL:
            o->control_file = optarg;
            break;
        case LEVEL:
            o->level = atoi(optarg);
            if (o->level < 1 || o->level > 19) {
                fprintf(stderr, "heapgauge record: --level=%s: give a number from 1 to 19\n",
                        optarg);
                return false;
            }
            break;
        case 'q':
            o->quiet = true;
            break;
        case 'h':
            fputs(usage, stdout);
            *status = 0;
            return false;
        default:
            return false;
        }
    }
    if (optind == argc) {
        fprintf(stderr, "heapgauge record: no command to run: "
                        "heapgauge record -o T.hgt -- COMMAND [ARGUMENT...]\n");
        return false;
    }
    o->command = argv + optind;
    return true;
}

/* ---- the control directory ---- */

static void remove_directory(const char *path) {
    char file[PATH_MAX];
    DIR *const directory = opendir(path);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        snprintf(file, sizeof file, "%.2000s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(file);
    }
    closedir(directory);
    rmdir(path);
}

/* Removes what collectors that were killed have left. */
static void remove_stale(const char *parent) {
    char path[PATH_MAX], lock_path[PATH_MAX + 8];
    DIR *const directory = opendir(parent);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strncmp(entry->d_name, "heapgauge-record-", 17) != 0)
            continue;
        snprintf(path, sizeof path, "%.2000s/%s", parent, entry->d_name);
        snprintf(lock_path, sizeof lock_path, "%s/lock", path);
        const int file = open(lock_path, O_RDONLY | O_CLOEXEC);
        if (file < 0)
            continue;
        if (flock(file, LOCK_EX | LOCK_NB) == 0)
            remove_directory(path);
        close(file);
    }
    closedir(directory);
}

static bool has_room(const char *path) {
    struct statvfs facts;
    return access(path, W_OK | X_OK) == 0 && statvfs(path, &facts) == 0 &&
           (uint64_t)facts.f_bavail * facts.f_frsize >= DIRECTORY_FREE_MIN;
}

static bool make_directory(struct collector *c) {
    char path[256];
    const char *parent = "/dev/shm";
    if (!has_room(parent)) {
        parent = getenv("TMPDIR");
        if (!parent || !*parent || strlen(parent) > 80)
            parent = "/tmp";
    }
    remove_stale(parent);
    snprintf(c->directory, sizeof c->directory, "%s/heapgauge-record-XXXXXX", parent);
    if (!mkdtemp(c->directory)) {
        fprintf(stderr, "heapgauge record: cannot make a folder for buffers in %s: %s\n", parent,
                strerror(errno));
        c->directory[0] = '\0';
        return false;
    }
    snprintf(path, sizeof path, "%s/lock", c->directory);
    c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    snprintf(path, sizeof path, "%s/control", c->directory);
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (c->lock_fd < 0 || file < 0 || flock(c->lock_fd, LOCK_EX | LOCK_NB) != 0 ||
        ftruncate(file, sizeof *c->control) != 0 ||
        (c->control = mmap(NULL, sizeof *c->control, PROT_READ | PROT_WRITE, MAP_SHARED, file,
                           0)) == MAP_FAILED) {
        fprintf(stderr, "heapgauge record: cannot set up %s: %s\n", path, strerror(errno));
        return false;
    }
    close(file);
    c->control->collector_pid = (int32_t)getpid();
    c->control->drop = c->options.drop;
    if (c->options.program)
        snprintf(c->control->only_program, sizeof c->control->only_program, "%s",
                 c->options.program);
    c->control->is_paused = c->options.start_paused;
    c->control->magic = HG_RECORD_MAGIC;
    return true;
}

/* The preload library lies beside this program, at HG_LIBDIR_FROM_BIN, or where $HEAPGAUGE_LIBDIR says. */
static bool find_library(struct collector *c) {
    char self[PATH_MAX / 2];
    const char *const folder = getenv("HEAPGAUGE_LIBDIR");
    if (folder && *folder) {
        snprintf(self, sizeof self, "%s/%s", folder, HG_RECORD_LIBRARY);
    } else {
        const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 160);
        self[length > 0 ? length : 0] = '\0';
        char *const slash = strrchr(self, '/');
        strcpy(slash ? slash : self, "/" HG_LIBDIR_FROM_BIN "/" HG_RECORD_LIBRARY);
    }
    if (realpath(self, c->library) && !strpbrk(c->library, " :"))
        return true;
    fprintf(stderr,
            access(self, R_OK) == 0
                ? "heapgauge record: %s: LD_PRELOAD can't hold a path with a space or colon; "
                  "copy the library elsewhere and set HEAPGAUGE_LIBDIR\n"
                : "heapgauge record: %s: no such library; build it, or set HEAPGAUGE_LIBDIR to its "
                  "folder\n",
            self);
    return false;
}

/* ---- the program ---- */

static void run_in_child(struct collector *c, int error_fd) {
    static const int signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
    const char *const before = getenv("LD_PRELOAD");
    char preload[2 * PATH_MAX];
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], SIG_DFL);
    snprintf(preload, sizeof preload, "%s%s%s", c->library, before && *before ? ":" : "",
             before ? before : "");
    if (c->options.no_children)
        c->control->only_pid = (int32_t)getpid();
    if (setenv("LD_PRELOAD", preload, 1) == 0 &&
        setenv(HG_RECORD_DIRECTORY_VARIABLE, c->directory, 1) == 0)
        execvp(c->options.command[0], c->options.command);
    const int error = errno;
    if (write(error_fd, &error, sizeof error) < 0)
        _exit(126);
    _exit(127);
}

static bool start_program(struct collector *c) {
    int error = 0, ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0 || (c->program_pid = fork()) < 0) {
        fprintf(stderr, "heapgauge record: cannot start a process: %s\n", strerror(errno));
        return false;
    }
    if (c->program_pid == 0)
        run_in_child(c, ends[1]);
    program_to_tell = c->program_pid;
    close(ends[1]);
    const ssize_t length = read(ends[0], &error, sizeof error);
    close(ends[0]);
    if (length <= 0)
        return true;
    waitpid(c->program_pid, NULL, 0);
    fprintf(stderr, "heapgauge record: cannot run %s: %s\n", c->options.command[0],
            strerror(error));
    return false;
}

/* ---- images ---- */

/* T.hgt for the first, T.1.hgt ... for the others. */
static void name_trace(const struct collector *c, char *path, size_t size) {
    const char *const output = c->options.output;
    const size_t length = strlen(output);
    const size_t stem =
        length > 4 && strcmp(output + length - 4, ".hgt") == 0 ? length - 4 : length;
    if (c->trace_count == 0)
        snprintf(path, size, "%s", output);
    else
        snprintf(path, size, "%.*s.%u%s", (int)stem, output, c->trace_count, output + stem);
}

/* The trace of the process that forked a new one. */
static const char *find_parent(const struct collector *c, int32_t pid) {
    for (const struct hg_image_view *v = c->images; v && pid; v = v->next)
        if (v->pid == pid)
            return v->trace_path;
    for (const struct summary *s = c->summaries; s && pid; s = s->next)
        if (s->pid == pid)
            return s->path;
    return pid ? "a process not recorded" : NULL;
}

static void close_image(struct collector *c, struct hg_image_view *v, struct hg_image_end end) {
    struct hg_image_view **link = &c->images;
    while (*link != v)
        link = &(*link)->next;
    *link = v->next;

    struct summary *const s = calloc(1, sizeof *s);
    struct hg_trace_totals totals;
    struct stat facts;
    if (s) {
        memcpy(s->path, v->trace_path, sizeof s->path);
        memcpy(s->program, v->shared->program, sizeof s->program);
        s->pid = v->pid;
        s->number = v->number;
        struct summary **place = &c->summaries; /* highest number first */
        while (*place && (*place)->number > s->number)
            place = &(*place)->next;
        s->next = *place;
        *place = s;
    }
    hg_image_drain(v, now_ns(), true);
    if (s)
        s->inferred_free_count = v->inferred_free_count;
    unlink(v->path);
    const enum hg_status status = hg_image_close(v, end, &totals);
    if (status != HG_OK) {
        fprintf(stderr, "heapgauge record: %s: cannot write the trace: %s\n",
                s ? s->path : c->options.output,
                status == HG_ERR_MEMORY ? "out of memory" : strerror(errno));
        c->failed = true;
    }
    if (s) {
        s->totals = totals;
        s->byte_count = stat(s->path, &facts) == 0 ? (uint64_t)facts.st_size : 0;
    }
}

static void open_image(struct collector *c, const char *name) {
    char path[340], trace_path[512];
    int pid;
    snprintf(path, sizeof path, "%s/%.160s", c->directory, name);
    if (sscanf(name, "image.%d.", &pid) != 1)
        return;
    for (struct hg_image_view *v = c->images, *next; v; v = next) {
        next = v->next;
        if (strcmp(v->path, path) == 0)
            return;
        if (v->pid == pid) /* its process has called exec */
            close_image(c, v, (struct hg_image_end){false, UINT64_MAX});
    }
    name_trace(c, trace_path, sizeof trace_path);
    int32_t forked_from = 0;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        struct hg_image head;
        if (pread(file, &head, offsetof(struct hg_image, start_ns), 0) > 0)
            forked_from = head.forked_from;
        close(file);
    }
    struct hg_image_view *const v = hg_image_open(path, trace_path, find_parent(c, forked_from),
                                                  c->options.drop ? "drop" : "block");
    if (!v) {
        if (!c->failed)
            fprintf(stderr, "heapgauge record: %s: cannot write the trace: %s\n", trace_path,
                    strerror(errno));
        c->failed = true;
        unlink(path);
        return;
    }
    hg_trace_writer_set_level(v->writer, c->options.level);
    v->number = c->trace_count++;
    v->next = c->images;
    c->images = v;
}

static int by_time(const void *a, const void *b) {
    const char *const name_a = *(const char *const *)a, *const name_b = *(const char *const *)b;
    const uint64_t time_a = strtoull(strrchr(name_a, '.') + 1, NULL, 10);
    const uint64_t time_b = strtoull(strrchr(name_b, '.') + 1, NULL, 10);
    return (time_a > time_b) - (time_a < time_b);
}

/* Opens the images that have appeared, oldest first. */
static void find_images(struct collector *c) {
    enum { AT_ONCE = 256 };
    char *names[AT_ONCE];
    size_t count = 0;
    const uint32_t there = atomic_load(&c->control->image_count);
    if (there == c->images_seen)
        return;
    DIR *const directory = opendir(c->directory);
    if (!directory)
        return;
    for (struct dirent *entry; count < AT_ONCE && (entry = readdir(directory));) {
        const size_t length = strlen(entry->d_name);
        if (strncmp(entry->d_name, "image.", 6) == 0 &&
            strcmp(entry->d_name + length - 4, ".new") != 0)
            names[count++] = strdup(entry->d_name);
    }
    closedir(directory);
    qsort(names, count, sizeof *names, by_time);
    for (size_t i = 0; i < count; i++) {
        open_image(c, names[i]);
        free(names[i]);
    }
    if (count < AT_ONCE)
        c->images_seen = there;
}

/* ---- the loop ---- */

static void follow_program(struct collector *c) {
    if (!c->program_ended &&
        waitpid(c->program_pid, &c->program_status, WNOHANG) == c->program_pid) {
        c->program_ended = true;
        program_to_tell = 0;
    }
}

static bool is_gone(const struct collector *c, struct hg_image_view *v) {
    if (v->pid == c->program_pid)
        return c->program_ended;
    if (v->pid_fd < 0)
        return kill(v->pid, 0) != 0 && errno == ESRCH;
    struct pollfd fd = {.fd = v->pid_fd, .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

static void close_ended_images(struct collector *c) {
    for (struct hg_image_view *v = c->images, *next; v; v = next) {
        next = v->next;
        if (!is_gone(c, v))
            continue;
        struct hg_image_end end = {!atomic_load(&v->shared->has_ended), UINT64_MAX};
        if (v->pid == c->program_pid)
            end = (struct hg_image_end){!WIFEXITED(c->program_status), (uint64_t)c->program_status};
        close_image(c, v, end);
    }
}

static void follow_control_file(struct collector *c) {
    char word[16] = "";
    const int file = open(c->options.control_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return;
    if (read(file, word, sizeof word - 1) > 0) {
        if (strncmp(word, "start", 5) == 0)
            atomic_store(&c->control->is_paused, 0);
        else if (strncmp(word, "stop", 4) == 0)
            atomic_store(&c->control->is_paused, 1);
    }
    close(file);
}

static void follow_signals(struct collector *c) {
    if (asked_to_start)
        atomic_store(&c->control->is_paused, 0);
    if (asked_to_pause)
        atomic_store(&c->control->is_paused, 1);
    asked_to_start = asked_to_pause = 0;
}

static void sleep_for(struct collector *c, uint64_t duration_ns) {
    const struct timespec duration = {0, (long)duration_ns};
    const uint32_t wake = atomic_load(&c->control->wake);
    atomic_store(&c->control->is_asleep, 1);
    syscall(SYS_futex, &c->control->wake, FUTEX_WAIT, wake, &duration, NULL, 0);
    atomic_store(&c->control->is_asleep, 0);
}

static void collect(struct collector *c) {
    uint64_t sleep_ns = SLEEP_NS_MIN, tended_ns = 0, control_read_ns = 0;
    bool told = false;
    for (;;) {
        const uint64_t now = now_ns();
        uint64_t count = 0;
        follow_signals(c);
        if (c->options.control_file && now - control_read_ns >= CONTROL_FILE_EVERY_NS) {
            follow_control_file(c);
            control_read_ns = now;
        }
        const bool program_had_ended = c->program_ended;
        follow_program(c);
        find_images(c);
        for (struct hg_image_view *v = c->images; v; v = v->next)
            count += hg_image_drain(v, now, false);
        if (now - tended_ns >= TEND_EVERY_NS || c->program_ended) {
            for (struct hg_image_view *v = c->images; v; v = v->next)
                hg_image_tend(v, now);
            close_ended_images(c);
            tended_ns = now;
        }
        if (program_had_ended && (!c->images || asked_to_end))
            break;
        if (program_had_ended && !told && !c->options.quiet) {
            fprintf(stderr,
                    "heapgauge record: %s has ended; children of it still run. "
                    "Ctrl-C stops recording them\n",
                    c->options.command[0]);
            told = true;
        }
        if (count == 0 && sleep_ns < SLEEP_NS_MAX)
            sleep_ns *= 2;
        else if (count)
            sleep_ns = SLEEP_NS_MIN;
        if (count < 4096 && !(c->program_ended && !program_had_ended))
            sleep_for(c, sleep_ns);
    }
    while (c->images) /* they go on without us */
        close_image(c, c->images, (struct hg_image_end){true, UINT64_MAX});
}

/* ---- what is told at the end ---- */

static void print_bytes(FILE *out, uint64_t bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    fprintf(out, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

/* Oldest first. */
static void print_summaries(const struct summary *s) {
    if (!s)
        return;
    print_summaries(s->next);
    const struct hg_trace_totals *const t = &s->totals;
    fprintf(stderr, "%s: %s, %" PRIu64 " operations, %" PRIu64 " thread%s, peak ", s->path,
            s->program, t->operation_count, t->thread_count, t->thread_count == 1 ? "" : "s");
    print_bytes(stderr, t->live_bytes_peak);
    fprintf(stderr, " live, %.2f bytes/operation, %" PRIu64 " dropped",
            t->operation_count ? (double)s->byte_count / (double)t->operation_count : 0.0,
            t->dropped_count);
    if (t->unknown_free_count)
        fprintf(stderr, ", %" PRIu64 " frees of blocks not seen made", t->unknown_free_count);
    if (s->inferred_free_count)
        fprintf(stderr, ", %" PRIu64 " frees not seen", s->inferred_free_count);
    if (t->was_cut)
        fprintf(stderr, ", cut: it did not end in order");
    fputc('\n', stderr);
}

static uint64_t operations_of(const struct summary *s) {
    uint64_t count = 0;
    for (; s; s = s->next)
        count += s->totals.operation_count - s->totals.kind_count[HG_OP_CLOCK] -
                 s->totals.kind_count[HG_OP_TOUCHED];
    return count;
}

static int report(struct collector *c) {
    const char *const name = c->options.command[0];
    int status = WIFSIGNALED(c->program_status) ? 128 + WTERMSIG(c->program_status)
                                                : WEXITSTATUS(c->program_status);
    if (!c->options.quiet)
        print_summaries(c->summaries);
    if (WIFSIGNALED(c->program_status))
        fprintf(stderr, "heapgauge record: %s was ended by signal %d (%s)\n", name,
                WTERMSIG(c->program_status), strsignal(WTERMSIG(c->program_status)));
    else if (status)
        fprintf(stderr, "heapgauge record: %s ended with exit status %d\n", name, status);
    if (!c->summaries && !c->failed) {
        fprintf(
            stderr,
            "heapgauge record: %s was not recorded: it is statically linked, setuid, or clears "
            "LD_PRELOAD; no trace was written. Use a dynamically linked build, or record it without "
            "the wrapper\n",
            name);
        c->failed = true;
    } else if (!c->failed && operations_of(c->summaries) == 0 && !c->options.quiet) {
        fprintf(stderr, "heapgauge record: no allocation of %s was seen%s\n", name,
                c->options.start_paused ? ": recording stayed paused"
                                        : ": it makes none, or carries a malloc of its own");
    }
    if (c->failed && status == 0)
        status = STATUS_USAGE;
    return status;
}

static bool check_output(const char *path) {
    const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) {
        fprintf(stderr, "heapgauge record: %s: cannot write: %s\n", path, strerror(errno));
        return false;
    }
    close(file);
    return true;
}

static void handle_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    sigaction(SIGINT, &action, NULL); /* the program gets it from the terminal, too, and decides */
    sigaction(SIGQUIT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

int hg_record_main(int argc, char **argv) {
    struct collector c = {.lock_fd = -1};
    int status;
    if (!read_options(argc, argv, &c.options, &status))
        return status;
    status = STATUS_USAGE;
    if (find_library(&c) && check_output(c.options.output) && make_directory(&c)) {
        handle_signals();
        if (c.options.start_paused && !c.options.quiet)
            fprintf(stderr, "heapgauge record: paused; kill -USR1 %d starts, -USR2 pauses\n",
                    (int)getpid());
        if (start_program(&c)) {
            collect(&c);
            status = report(&c);
        }
    }
    for (struct summary *s = c.summaries, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    if (c.trace_count == 0) {
        struct stat facts;
        if (stat(c.options.output, &facts) == 0 && facts.st_size == 0)
            unlink(c.options.output);
    }
    if (c.directory[0])
        remove_directory(c.directory);
    return status;
}
