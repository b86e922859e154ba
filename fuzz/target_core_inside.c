/* Property: whatever is asked of an instance of the reference allocator, at whatever minimum alignment
 * (8..128, C78) and over the system's memory or a caller's region, its own structures add up after the
 * operations (hg_core_validate) and the layout face keeps its promises; and the algebra of layouts agrees
 * with arithmetic in 128 bits (C63, C64). Each input has a fresh heap. */
#include "session.h"

#include <string.h>
#include <sys/mman.h>

#include "heapgauge/core.h"

enum { REGION_BYTES = 8 << 20, VALIDATE_EVERY = 8 };

static hg_core *core;
static char *region;

static void *inside_alloc(const hg_backend *self, hg_layout layout) {
    (void)self;
    return hg_core_alloc(core, layout);
}

static void *inside_alloc_zeroed(const hg_backend *self, hg_layout layout) {
    (void)self;
    return hg_core_alloc_zeroed(core, layout);
}

static void *inside_realloc(const hg_backend *self, void *ptr, hg_layout layout, size_t new_size) {
    (void)self;
    return hg_core_realloc(core, ptr, layout, new_size);
}

static void inside_dealloc(const hg_backend *self, void *ptr, hg_layout layout) {
    (void)self;
    hg_core_dealloc(core, ptr, layout);
}

static size_t inside_purge(const hg_backend *self) {
    (void)self;
    return hg_core_purge(core);
}

static void inside_fail_pages(const hg_backend *self, uint64_t count) {
    (void)self;
    hg_core_fail_page_request(core, count == UINT64_MAX ? 0 : count + 1);
}

static bool inside_validate(const hg_backend *self, char *why, size_t why_size) {
    (void)self;
    return hg_core_validate(core, why, why_size);
}

/* ---- the algebra of layouts ---- */

typedef unsigned __int128 wide;

static wide round_up(wide size, wide align) {
    return (size + align - 1) / align * align;
}

static bool is_valid(wide size, wide align) {
    return align && !(align & (align - 1)) && round_up(size, align) <= (wide)PTRDIFF_MAX;
}

/* True: a finding. */
static bool algebra_differs(struct hg_fuzz_session *session, hg_layout a, hg_layout b,
                            size_t count) {
    hg_layout out;
    size_t offset, stride;
    if (hg_layout_is_valid(a) != is_valid(a.size, a.align))
        return hg_fuzz_found(session, "C63", "{%zu, %zu} is taken for %svalid", a.size, a.align,
                             hg_layout_is_valid(a) ? "" : "in");
    if (!hg_layout_is_valid(a) || !hg_layout_is_valid(b))
        return false;
    wide begin = round_up(a.size, b.align);
    size_t align = a.align > b.align ? a.align : b.align;
    bool fits = is_valid(begin + b.size, align);
    if (hg_layout_extend(a, b, &out, &offset) != fits ||
        (fits && (offset != begin || out.size != begin + b.size || out.align != align)))
        return hg_fuzz_found(session, "C64", "extend of {%zu, %zu} by {%zu, %zu} is wrong", a.size,
                             a.align, b.size, b.align);
    wide each = round_up(a.size, a.align);
    fits = each * count <= (wide)SIZE_MAX && is_valid(each * count, a.align);
    if (hg_layout_repeat(a, count, &out, &stride) != fits ||
        (fits && (stride != each || out.size != each * count)))
        return hg_fuzz_found(session, "C64", "%zu times {%zu, %zu} is wrong", count, a.size,
                             a.align);
    return false;
}

static bool check_algebra(struct hg_fuzz_session *session, const uint8_t *data, size_t size) {
    for (size_t at = 0; at + 24 <= size && at < 240; at += 24) {
        uint64_t words[3];
        memcpy(words, data + at, sizeof words);
        /* Near the limit as often as not: a distance from a power of two. */
        hg_layout a = {words[0] >> words[0] % 64, (size_t)1 << words[1] % 64};
        hg_layout b = {words[1] >> words[0] / 64 % 64, (size_t)1 << words[2] % 64};
        if (data[at] & 1)
            a.size = (size_t)PTRDIFF_MAX + 1 - a.align + (data[at] >> 1) % 3 - 1;
        if (algebra_differs(session, a, b, words[2] >> words[2] % 64))
            return true;
    }
    return false;
}

/* ---- one instance ---- */

static bool make_core(const uint8_t *header) {
    struct hg_core_config config = {
        .min_align = header[4] % 6 ? (size_t)4 << header[4] % 6 : 0,
        .reserve_size = (size_t)256 << 20,
    };
    if (!region)
        region = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t offset = header[6];
    core = header[4] & 128 && region != MAP_FAILED
               ? hg_core_over_region(region + offset, REGION_BYTES - offset, &config)
               : hg_core_create(&config);
    return core != NULL;
}

static bool play_inside(struct hg_fuzz_session *session) {
    struct hg_decoded *decoded = &session->decoded;
    char why[200];
    for (size_t begin = 0; begin < decoded->count; begin += VALIDATE_EVERY) {
        size_t left = decoded->count - begin;
        if (hg_fuzz_play_ops(session, decoded->ops + begin,
                             left < VALIDATE_EVERY ? left : VALIDATE_EVERY,
                             left > VALIDATE_EVERY ? HG_FUZZ_GOES_ON : HG_FUZZ_END_PLAIN))
            return true;
        if (!hg_core_validate(core, why, sizeof why))
            return hg_fuzz_found(session, "V", "after operation %zu: %s", begin + VALIDATE_EVERY,
                                 why);
    }
    return false;
}

static bool run(struct hg_fuzz_session *session, const uint8_t *data, size_t size) {
    if (session->backend.layout.alloc != inside_alloc) {
        session->backend = (hg_backend){
            .layout = {inside_alloc, inside_alloc_zeroed, inside_realloc, inside_dealloc},
            .facts = {.name = "core", .align_min = 8, .align_max = (size_t)1 << 36, .frees = true},
            .purge = inside_purge,
            .fail_pages = inside_fail_pages,
            .validate = inside_validate,
        };
        session->config.may_fail = true; /* a region is soon full */
        if (!hg_fuzz_session_renew(session))
            return false;
    }
    if (check_algebra(session, data, size))
        return true;
    uint8_t header[HG_FUZZ_HEADER_BYTES] = {0};
    memcpy(header, data, size < sizeof header ? size : sizeof header);
    if (!make_core(header))
        return false;
    hg_fuzz_decode(&session->decode, data, size, &session->decoded);
    session->log->op_count = 0;
    session->log->input_size = size < sizeof session->log->input ? (uint32_t)size : 0;
    memcpy(session->log->input, data, session->log->input_size);
    bool found = play_inside(session);
    hg_core_destroy(core);
    core = NULL;
    return found;
}

extern const struct hg_fuzz_target hg_fuzz_target_core_inside;
const struct hg_fuzz_target hg_fuzz_target_core_inside = {
    .name = "core_inside",
    .property = "the reference allocator's own structures add up",
    .decode = {.layout_face = true, .threads = 1, .environment = true},
    .run = run,
};
