/* Property: a stream of layout operations that the reference allocator serves is served by the kernel's
 * allocator too: alignment, distance, content, zeroes (C65-C69, C76). Each input is played here, which
 * guides the fuzzer, and then in a guest, whose oracle gives the verdict.
 *
 *   HEAPGAUGE_KERNEL=fd:N          a guest that serves commands (backends/kernel/guest.c): what
 *                                  scripts/kernel-run --fuzz=S sets
 *   HEAPGAUGE_KERNEL=PATH          the module's own file, inside the guest: /proc/heapgauge
 *   not set                        no kernel: the model of its slabs in this process (backends/slab.c)
 *   HEAPGAUGE_KERNEL_BACKEND=NAME  krealloc_aligned, krealloc, krealloc_padded, fault-unpadded, ... */
#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heapgauge/flat.h"

enum { COMMAND_BYTES = 64, ANSWER_BYTES = 64 << 10, PATIENCE_MS = 30000, PIECE_BYTES = 2048 };

static struct {
    uint32_t size; /* of what follows, on a served line */
    char bytes[COMMAND_BYTES + HG_FLAT_HEADER_BYTES + sizeof(((struct hg_decoded *)0)->ops)];
} request;
static char answer[ANSWER_BYTES];

static const char *kernel_backend(void) {
    const char *name = getenv("HEAPGAUGE_KERNEL_BACKEND");
    return name && *name ? name : "krealloc_aligned";
}

/* The command and the flat stream after it. */
static void make_request(const hg_op *ops, size_t count) {
    size_t length =
        (size_t)snprintf(request.bytes, COMMAND_BYTES, "play %.40s 0\n", kernel_backend());
    hg_flat_head((unsigned char *)request.bytes + length, count);
    memcpy(request.bytes + length + HG_FLAT_HEADER_BYTES, ops, count * sizeof *ops);
    request.size = (uint32_t)(length + HG_FLAT_HEADER_BYTES + count * sizeof *ops);
}

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
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, PATIENCE_MS) != 1)
            return false;
        ssize_t n = read(fd, (char *)bytes + done, size - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* In pieces, each but the last acknowledged (backends/kernel/guest.c). */
static bool send_pieces(int fd) {
    char acknowledged;
    if (!write_all(fd, &request.size, sizeof request.size))
        return false;
    for (size_t done = 0, piece; done < request.size; done += piece) {
        piece = request.size - done < PIECE_BYTES ? request.size - done : PIECE_BYTES;
        if ((done > 0 && !read_all(fd, &acknowledged, 1)) ||
            !write_all(fd, request.bytes + done, piece))
            return false;
    }
    return true;
}

static bool ask_served(int fd) {
    uint32_t length;
    if (!send_pieces(fd) || !read_all(fd, &length, sizeof length) || length >= sizeof answer ||
        !read_all(fd, answer, length))
        return false;
    answer[length] = '\0';
    return true;
}

static bool ask_file(const char *path) {
    static int fd = -1;
    if (fd < 0)
        fd = open(path, O_RDWR | O_CLOEXEC);
    ssize_t n = fd >= 0 && write_all(fd, request.bytes, request.size)
                    ? read(fd, answer, sizeof answer - 1)
                    : -1;
    answer[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* No kernel: the rule of that name, on slabs as the kernel promises them. */
static bool ask_model(const hg_op *ops, size_t count) {
    static hg_oracle *oracle;
    static const hg_backend *backend;
    const char *name = kernel_backend();
    char spec[64], why[300];
    snprintf(spec, sizeof spec, "slab-8-%s:core",
             strcmp(name, "krealloc") == 0          ? "raw"
             : strcmp(name, "krealloc_padded") == 0 ? "padded"
             : strcmp(name, "fault-unpadded") == 0  ? "unpadded"
                                                    : "aligned");
    if (!backend && hg_backend_open(spec, &backend, why, sizeof why) != HG_OK)
        return false;
    if (!oracle)
        oracle = hg_oracle_create(&(struct hg_oracle_config){
            .backend = backend, .face = HG_FACE_LAYOUT, .may_fail = true});
    if (!oracle)
        return false;
    static struct hg_verdict verdict;
    hg_flat_play(oracle, ops, count, 0, &verdict);
    hg_verdict_print(&verdict, answer, sizeof answer);
    if (verdict.status != HG_OK) {
        hg_oracle_abandon(oracle);
        hg_oracle_destroy(oracle);
        oracle = NULL;
    }
    return true;
}

static bool ask(const hg_op *ops, size_t count) {
    const char *guest = getenv("HEAPGAUGE_KERNEL");
    if (!guest || !*guest)
        return ask_model(ops, count);
    make_request(ops, count);
    return strncmp(guest, "fd:", 3) == 0 ? ask_served(atoi(guest + 3)) : ask_file(guest);
}

/* True: a finding. */
static bool judge(struct hg_fuzz_session *session) {
    if (strncmp(answer, "verdict=clean ", 14) == 0)
        return false;
    answer[strcspn(answer, "\n")] = '\0';
    const char *item = strstr(answer, " item=");
    if (!item)
        return hg_fuzz_found(session, "guest", "the guest answers: %.300s", answer);
    char name[8];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(item + 6, " "), item + 6);
    const char *what = strchr(item + 6, ' ');
    return hg_fuzz_found(session, name, "%s:%s", kernel_backend(), what ? what : "");
}

static bool run(struct hg_fuzz_session *session, const uint8_t *data, size_t size) {
    session->collects_features = true;
    if (hg_fuzz_play_input(session, data, size))
        return true;
    if (!ask(session->decoded.ops, session->decoded.count))
        return hg_fuzz_found(session, "guest", "the guest does not answer: it hangs or is dead");
    return judge(session);
}

extern const struct hg_fuzz_target hg_fuzz_target_kernel;
const struct hg_fuzz_target hg_fuzz_target_kernel = {
    .name = "kernel",
    .property = "what the reference allocator serves, the kernel's serves too",
    .decode = {.modest = true, .layout_face = true, .threads = 1},
    .run = run,
};
