/* glibc's mtrace(3), as malloc/mtrace.c of glibc writes it:
 *
 *   = Start                              recording begins; "= End"
 *   @ FILE:(FUNCTION+0x1)[0x2] + 0xADDRESS 0xSIZE       malloc, calloc, memalign
 *   @ ... - 0xADDRESS                    free; realloc to 0
 *   @ ... < 0xOLD                        a realloc, its first half; always followed by
 *   @ ... > 0xNEW 0xSIZE                 ... its second
 *   @ ... ! 0xOLD 0xSIZE                 a realloc that failed
 *
 * A file name may hold anything but a newline, so a line is read from behind. */
#define _GNU_SOURCE
#include "import.h"

#include <string.h>

/* The last " S 0x..." or " S (nil)" of the line, S a sign; NULL if there is none. */
static char *find_sign(char *line) {
    char *found = NULL;
    for (char *at = line; *at; at++) {
        const bool starts_word = at == line || at[-1] == ' ';
        if (starts_word && strchr("+-<>!", *at) && at[1] == ' ' &&
            (strncmp(at + 2, "0x", 2) == 0 || strncmp(at + 2, "(nil)", 5) == 0))
            found = at;
    }
    return found;
}

static bool second_half(struct hg_import *im, uint64_t address, uint64_t size) {
    struct hg_import_call *const call = &im->threads[0].call;
    if (!call->is_pending)
        return hg_import_fail(im, "a '>' without the '<' before it");
    call->is_pending = false;
    return hg_import_landed(im, (hg_op){.kind = HG_OP_REALLOC, .size = size}, call->number[0],
                            call->slot_in_flight, address);
}

bool hg_import_mtrace(struct hg_import *im, char *line) {
    if (line[0] == '=' || line[0] == '\0')
        return true;
    char *at = find_sign(line);
    if (!at)
        return hg_import_fail(im, "not a line of mtrace, such as \"@ ./a:[0x1] + 0x2 0x3\"");
    const char sign = *at;
    uint64_t address, size = 0;
    at += 2;
    if (!hg_import_number(&at, 16, &address))
        return hg_import_fail(im, "no address after '%c'", sign);
    const bool has_size = strchr("+>!", sign) != NULL;
    at += *at == ' ';
    if (has_size && !hg_import_number(&at, 0, &size))
        return hg_import_fail(im, "no size after the address");
    if (*at)
        return hg_import_fail(im, "not understood: \"%s\"", at);

    struct hg_import_call *const call = &im->threads[0].call;
    if (call->is_pending && sign != '>')
        return hg_import_fail(im, "a '<' without the '>' after it");
    switch (sign) {
    case '+':
        return hg_import_allocated(im, (hg_op){.kind = HG_OP_MALLOC, .size = size}, address);
    case '-':
        return hg_import_freed(im, address);
    case '<':
        call->is_pending = true;
        call->number[0] = address;
        call->slot_in_flight = hg_import_lift(im, address);
        return true;
    case '>':
        return second_half(im, address, size);
    default:
        return hg_import_reallocated(im, (hg_op){.kind = HG_OP_REALLOC, .size = size}, address, 0);
    }
}
