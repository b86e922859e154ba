/* A broken promise: reported, waived, or put aside. */
#include "oracle_private.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Table of waivers: an item that a backend is known to break, and why that is not news. */
static const struct hg_waiver waivers[] = {
    {"system", "C31", "2026-11-23",
     "glibc before 2.38 rounds an alignment that is no power of two up in aligned_alloc, which is its "
     "memalign"},
    {"tcmalloc", "C31", "2026-11-23",
     "gperftools 2.10 serves aligned_alloc by memalign, which does not check its alignment"},
    {"mimalloc", "C13", "2026-11-23",
     "mimalloc 2.0.9 refuses a size above PTRDIFF_MAX without setting errno"},
};
enum { WAIVER_COUNT = sizeof waivers / sizeof *waivers };
static atomic_uint_fast64_t waiver_uses[WAIVER_COUNT];

const struct hg_waiver *hg_waiver_at(size_t index) {
    return index < WAIVER_COUNT ? &waivers[index] : NULL;
}

uint64_t hg_waiver_uses(size_t index) {
    return atomic_load(&waiver_uses[index]);
}

static bool is_waived(const hg_oracle *oracle, const char *item) {
    if (oracle->config.no_waivers)
        return false;
    for (size_t i = 0; i < WAIVER_COUNT; i++) {
        if (strcmp(waivers[i].item, item) == 0 &&
            strcmp(waivers[i].backend, oracle->backend->facts.name) == 0) {
            atomic_fetch_add(&waiver_uses[i], 1);
            return true;
        }
    }
    return false;
}

bool hg_oracle_is_muted(const char *list, const char *item) {
    size_t length = strlen(item);
    for (const char *at = list; at && *at; at += *at == ',') {
        size_t word = strcspn(at, ",");
        if (word == length && memcmp(at, item, word) == 0)
            return true;
        at += word;
    }
    return false;
}

/* Records a broken promise. Returns true iff it ends the run. */
bool hg__broken(hg_oracle *oracle, const char *item, char level, const char *format, ...) {
    if (is_waived(oracle, item)) {
        oracle->counts.waived++;
        return false;
    }
    if (hg_oracle_is_muted(oracle->config.muted, item))
        return false;
    if (level == 'Q' && !oracle->config.strict) {
        oracle->counts.quality++;
        return false;
    }
    if (oracle->found)
        return true;
    struct hg_finding *finding = &oracle->finding;
    snprintf(finding->item, sizeof finding->item, "%s", item);
    finding->level = level;
    finding->op = oracle->op;
    finding->op_index = oracle->op_index;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
    oracle->found = true;
    return true;
}

const char *hg__describe_block(uint32_t slot, const struct hg__block *block, char *text,
                               size_t text_size) {
    snprintf(text, text_size, "slot %u: %zu bytes, alignment %zu, at %p (operation %llu)", slot,
             block->size, (size_t)1 << block->align_log2, (void *)block->ptr,
             (unsigned long long)block->op_index);
    return text;
}
