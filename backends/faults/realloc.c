/* Planted faults. Reallocation: what it keeps, what it does when it fails, what it does for 0. */
#include "faults_private.h"

static size_t (*copied)(size_t size); /* how much of a block a moving realloc copies */

static void *short_realloc(void *ptr, size_t size) {
    if (!ptr || size == 0)
        return hg__inner->libc.realloc(ptr, size);
    char *moved = hg__inner->libc.malloc(size);
    if (!moved)
        return NULL;
    size_t old = hg__inner->libc.malloc_usable_size(ptr), kept = old < size ? old : size;
    memcpy(moved, ptr, copied(kept));
    memset(moved + copied(kept), 0xEE, kept - copied(kept));
    hg__inner->libc.free(ptr);
    return moved;
}

static void *short_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                  size_t new_size) {
    (void)self;
    char *moved = hg__inner->layout.alloc(hg__inner, (hg_layout){new_size, layout.align});
    if (!moved)
        return NULL;
    size_t kept = layout.size < new_size ? layout.size : new_size;
    memcpy(moved, ptr, copied(kept));
    memset(moved + copied(kept), 0xEE, kept - copied(kept));
    hg__inner->layout.dealloc(hg__inner, ptr, layout);
    return moved;
}

static size_t all_but_one(size_t size) {
    return size ? size - 1 : 0;
}

static size_t whole_words(size_t size) {
    return size & ~(size_t)7;
}

static bool install_short_copy(hg_backend *backend, size_t (*how_much)(size_t)) {
    copied = how_much;
    backend->libc.realloc = short_realloc;
    backend->libc.reallocarray = NULL;
    backend->layout.realloc = short_layout_realloc;
    return true;
}

static bool install_realloc_one_short(hg_backend *backend) {
    return install_short_copy(backend, all_but_one);
}

static bool install_realloc_words(hg_backend *backend) {
    return install_short_copy(backend, whole_words);
}

static void *realloc_frees_on_failure(void *ptr, size_t size) {
    void *moved = hg__inner->libc.realloc(ptr, size);
    if (!moved && ptr && size) {
        memset(ptr, 0xDD, 1);
        hg__inner->libc.free(ptr);
        errno = ENOMEM;
    }
    return moved;
}

static void *reallocarray_frees_on_failure(void *ptr, size_t count, size_t size) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product))
        product = SIZE_MAX;
    return realloc_frees_on_failure(ptr, product);
}

static bool install_realloc_frees(hg_backend *backend) {
    backend->libc.realloc = realloc_frees_on_failure;
    backend->libc.reallocarray = reallocarray_frees_on_failure;
    return true;
}

static size_t everything(size_t size) {
    return size;
}

static bool install_always_moves(hg_backend *backend) {
    return install_short_copy(backend, everything);
}

static void *other_policy(void *ptr, size_t size) {
    if (!ptr || size)
        return hg__inner->libc.realloc(ptr, size);
    void *after = hg__inner->libc.realloc(ptr, 0);
    if (!after)
        return hg__inner->libc.malloc(0);
    hg__inner->libc.free(after);
    return NULL;
}

static bool install_realloc_zero(hg_backend *backend) {
    backend->libc.realloc = other_policy;
    return true;
}

static const struct hg__planted rows[] = {
    {{"realloc-one-short", "C22", "C22,C68", "libc", "", 1, "realloc copies one byte too few"},
     install_realloc_one_short},
    {{"realloc-words", "C22", "C22,C68", "libc", "", 1, "realloc copies whole words only"},
     install_realloc_words},
    {{"realloc-frees", "C23", "C23,C27,C7,C4,C41", "libc", "", 2,
      "realloc frees the old block when it fails"},
     install_realloc_frees},
    {{"realloc-zero", "C25", "C25", "libc", "", 2,
      "realloc(p, 0) does the opposite of what it did when probed"},
     install_realloc_zero},
    {{"growth-moves", "C28", "C28", "libc", "strict", 2, "a growth within the usable size moves"},
     install_always_moves},
    {{"eq-always-moves", NULL, NULL, "libc", "", 0, "equivalent: realloc always moves"},
     install_always_moves},
};

HG__FAULT_GROUP(realloc);
