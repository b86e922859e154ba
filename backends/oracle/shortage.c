/* Lack of memory, made for a backend that cannot be told to fail. */
#define _GNU_SOURCE
#include "oracle_private.h"

#include <fcntl.h>
#include <unistd.h>

/* Lack of memory for a backend that cannot be told to fail: while a call of it runs, the address space
 * may not grow by more than the pages still granted. Slow, and only in force between a FAIL_PAGES and
 * the next. The oracle's own tables grow outside. */
enum { GRANT_BYTES = 64 << 10 };

static uint64_t address_space_bytes(void) {
    char text[64];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    uint64_t pages = 0;
    for (ssize_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; i++)
        pages = pages * 10 + (uint64_t)(text[i] - '0');
    return pages * HG__PAGE_BYTES;
}

/* A tebibyte, which calloc or a moving realloc might touch: there is no room for it, so a call that is
 * granted all the same had its size cut short. (Less than that an allocator may still have from a malloc.) */
static bool asks_for_too_much(const hg_op *op) {
    uint64_t bytes = hg_op_bytes(op);
    return (op->kind == HG_OP_CALLOC || op->kind == HG_OP_REALLOC) && bytes >= UINT64_C(1) << 40 &&
           bytes < UINT64_C(1) << 47 && !HG_SANITIZED;
}

/* Returns the limit to set back. */
rlim_t hg__starve(hg_oracle *oracle, const hg_op *op) {
    struct rlimit limit;
    bool too_much = asks_for_too_much(op);
    if ((oracle->page_credit == UINT64_MAX && !too_much) || getrlimit(RLIMIT_AS, &limit) != 0)
        return RLIM_INFINITY;
    rlim_t before = limit.rlim_cur;
    uint64_t now = address_space_bytes();
    limit.rlim_cur = now + (too_much ? 0 : oracle->page_credit * GRANT_BYTES);
    oracle->starves =
        now > 0 && limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_AS, &limit) == 0;
    return before;
}

void hg__feed(hg_oracle *oracle, rlim_t before) {
    struct rlimit limit;
    int error = errno;
    if (oracle->starves && getrlimit(RLIMIT_AS, &limit) == 0) {
        limit.rlim_cur = before;
        setrlimit(RLIMIT_AS, &limit);
    }
    oracle->starves = false;
    errno = error;
}

void hg__end_shortage(hg_oracle *oracle) {
    oracle->page_credit = UINT64_MAX;
    if (oracle->was_short && oracle->backend->fail_pages)
        oracle->backend->fail_pages(oracle->backend, UINT64_MAX);
}
