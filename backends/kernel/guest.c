/* The one program of the guest, its init: loads the module, passes commands on to /proc/heapgauge, ends
 * the guest.
 *
 *   /jobs            a command a line (module.c has them), or "COMMAND < FILE": the file's bytes follow it;
 *                    "serve DEVICE" takes commands from a terminal device until it hangs up
 *   console          "HG 3 12345 verdict=..." for line 3, after 12345 ns; "HG end" last
 *
 * On a served device a command is u32 length, then as many bytes; an answer is the same. A command's bytes
 * come in pieces of PIECE_BYTES, each but the last acknowledged with a byte before the next is sent: a
 * terminal line drops what it has no room for. Linked statically: the guest has no other file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 64 << 10, FRAME_BYTES_MAX = 64 << 20, PIECE_BYTES = 2048 };
static char answer[ANSWER_BYTES];

static bool write_all(int fd, const void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)bytes + done, size - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool read_all(int fd, void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (char *)bytes + done, size - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool load_module(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0) {
        printf("HG error cannot load %s: %s\n", path, strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

/* Passes a file's bytes on. */
static bool send_file(int device, const char *path) {
    static char buffer[1 << 16];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 0;
    while (fd >= 0 && (n = read(fd, buffer, sizeof buffer)) > 0)
        if (!write_all(device, buffer, (size_t)n))
            n = -1;
    if (fd >= 0)
        close(fd);
    return n == 0;
}

/* One line of /jobs; prints its answer. */
static void do_job(int device, unsigned number, char *line) {
    char *file = strstr(line, " < ");
    if (file) {
        *file = '\0';
        file += 3;
    }
    uint64_t begin = now_ns();
    bool sent = write_all(device, line, strlen(line)) && write_all(device, "\n", 1) &&
                (!file || send_file(device, file));
    size_t length = 0;
    for (ssize_t n; sent && length < sizeof answer &&
                    (n = read(device, answer + length, sizeof answer - length)) > 0;)
        length += (size_t)n;
    printf("HG %u %" PRIu64 " ", number, now_ns() - begin);
    if (length)
        fwrite(answer, 1, length, stdout);
    else
        printf("error=%s\n", strerror(errno));
}

static bool read_pieces(int line, char *bytes, uint32_t size) {
    for (uint32_t done = 0; done < size;) {
        uint32_t piece = size - done < PIECE_BYTES ? size - done : PIECE_BYTES;
        if (!read_all(line, bytes + done, piece))
            return false;
        done += piece;
        if (done < size && !write_all(line, "+", 1))
            return false;
    }
    return true;
}

static void serve(int device, const char *path) {
    int line = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios mode;
    if (line < 0 || tcgetattr(line, &mode) != 0) {
        printf("HG error %s: %s\n", path, strerror(errno));
        return;
    }
    cfmakeraw(&mode);
    tcsetattr(line, TCSANOW, &mode);
    char *bytes = malloc(FRAME_BYTES_MAX);
    uint32_t size = 0;
    write_all(line, &size, sizeof size); /* ready */
    while (bytes && read_all(line, &size, sizeof size) && size > 0 && size <= FRAME_BYTES_MAX &&
           read_pieces(line, bytes, size) && write_all(device, bytes, size)) {
        uint32_t length = 0;
        for (ssize_t n; length < sizeof answer &&
                        (n = read(device, answer + length, sizeof answer - length)) > 0;)
            length += (uint32_t)n;
        if (!write_all(line, &length, sizeof length) || !write_all(line, answer, length))
            break;
    }
    free(bytes);
    close(line);
}

static void do_jobs(void) {
    FILE *jobs = fopen("/jobs", "re");
    int device = open("/proc/heapgauge", O_RDWR | O_CLOEXEC);
    char line[512];
    if (!jobs || device < 0) {
        printf("HG error no jobs, or no module: %s\n", strerror(errno));
        return;
    }
    for (unsigned number = 1; fgets(line, sizeof line, jobs); number++) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "serve ", 6) == 0)
            serve(device, line + 6);
        else if (*line)
            do_job(device, number, line);
        fflush(stdout);
    }
    fclose(jobs);
    close(device);
}

int main(void) {
    mkdir("/proc", 0755);
    mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("dev", "/dev", "devtmpfs", 0, NULL); /* mounted already: as well */
    int console = open("/dev/console", O_RDWR);
    if (console >= 0) {
        dup2(console, 0);
        dup2(console, 1);
        dup2(console, 2);
    }
    /* Where the kernel has Rust; it says what it has to say when it is loaded. */
    if (access("/heapgauge_vectors.ko", R_OK) == 0)
        load_module("/heapgauge_vectors.ko");
    if (load_module("/heapgauge.ko"))
        do_jobs();
    printf("HG end\n");
    fflush(stdout);
    tcdrain(1);
    sync();
    reboot(RB_POWER_OFF);
    reboot(RB_AUTOBOOT); /* where there is no way to power off; QEMU is told to end then */
    return 0;
}
