/* Messages, put together without allocating. */
#include "base.h"

#include "os.h"

static char *append(char *at, const char *end, const char *text) {
    while (*text && at < end)
        *at++ = *text++;
    return at;
}

static char *append_number(char *at, const char *end, uintmax_t value, unsigned radix) {
    char digits[24];
    char *first = digits + sizeof digits;
    *--first = 0;
    do
        *--first = "0123456789abcdef"[value % radix];
    while (value /= radix);
    return append(at, end, first);
}

void hg__die(const char *what, const void *address, const char *detail) {
    char line[256] = "";
    char *at = line;
    const char *end = line + sizeof line - 1;
    at = append(at, end, "heapgauge: ");
    at = append(at, end, what);
    if (address) {
        at = append(at, end, " 0x");
        at = append_number(at, end, (uintptr_t)address, 16);
    }
    if (detail) {
        at = append(at, end, ": ");
        at = append(at, end, detail);
    }
    *at++ = '\n';
    hg__os_abort(line, (size_t)(at - line));
}

bool hg__wrong(struct hg__why *why, const char *text, size_t at, size_t value) {
    if (why->size == 0)
        return false;
    const char *end = why->text + why->size - 1;
    char *next = append(why->text, end, text);
    next = append(next, end, " (at ");
    next = append_number(next, end, at, 10);
    next = append(next, end, ", value ");
    next = append_number(next, end, value, 10);
    next = append(next, end, ")");
    *next = 0;
    return false;
}
