/* Planted faults. How failure is told, and errno. */
#include "faults_private.h"

static int writes_out_on_failure(void **out, size_t align, size_t size) {
    int error = hg__inner->libc.posix_memalign(out, align, size);
    if (error)
        *out = NULL;
    return error;
}

static bool install_memptr_written(hg_backend *backend) {
    backend->libc.posix_memalign = writes_out_on_failure;
    return true;
}

static void free_sets_errno(void *ptr) {
    hg__inner->libc.free(ptr);
    errno = EAGAIN;
}

static bool install_free_errno(hg_backend *backend) {
    backend->libc.free = free_sets_errno;
    return true;
}

static void *forgets_errno(size_t size) {
    int error = errno;
    void *ptr = hg__inner->libc.malloc(size);
    if (!ptr)
        errno = error;
    return ptr;
}

static bool install_no_enomem(hg_backend *backend) {
    backend->libc.malloc = forgets_errno;
    return true;
}

static void *refuses_some(size_t size) {
    if (size >= 200 && size < 208) {
        errno = ENOMEM;
        return NULL;
    }
    return hg__inner->libc.malloc(size);
}

static bool install_refuses(hg_backend *backend) {
    backend->libc.malloc = refuses_some;
    return true;
}

static int wrong_error(void **out, size_t align, size_t size) {
    int error = hg__inner->libc.posix_memalign(out, align, size);
    return error == EINVAL ? ENOMEM : error;
}

static bool install_posix_error(hg_backend *backend) {
    backend->libc.posix_memalign = wrong_error;
    return true;
}

static int takes_any_align(void **out, size_t align, size_t size) {
    if (hg__is_power_of_two(align) && align < sizeof(void *))
        align = sizeof(void *);
    return hg__inner->libc.posix_memalign(out, align, size);
}

static bool install_posix_accepts(hg_backend *backend) {
    backend->libc.posix_memalign = takes_any_align;
    return true;
}

static void *clobbers_errno(size_t size) {
    void *ptr = hg__inner->libc.malloc(size);
    if (ptr)
        errno = EAGAIN;
    return ptr;
}

static bool install_malloc_errno(hg_backend *backend) {
    backend->libc.malloc = clobbers_errno;
    return true;
}

static void null_sets_errno(void *ptr) {
    hg__inner->libc.free(ptr);
    if (!ptr)
        errno = EINVAL;
}

static bool install_free_null(hg_backend *backend) {
    backend->libc.free = null_sets_errno;
    return true;
}

static const struct hg__planted rows[] = {
    {{"refuses", "C12", "C12", "libc", "", 2, "malloc of 200 to 207 bytes is refused"},
     install_refuses},
    {{"memptr-written", "C37", "C37", "libc", "", 1, "posix_memalign writes *memptr on failure"},
     install_memptr_written},
    {{"posix-error", "C36", "C36", "libc", "", 1, "posix_memalign says ENOMEM to a bad alignment"},
     install_posix_error},
    {{"posix-accepts", "C36", "C36", "libc", "", 1, "posix_memalign accepts alignments 1, 2 and 4"},
     install_posix_accepts},
    {{"free-errno", "C46", "C46,C45", "libc", "", 1, "free changes errno"}, install_free_errno},
    {{"free-null", "C45", "C45", "libc", "", 1, "free(NULL) sets errno"}, install_free_null},
    {{"malloc-errno", "C9", "C9", "libc", "strict", 1, "malloc that succeeds sets errno"},
     install_malloc_errno},
    {{"no-enomem", "C13", "C13", "libc", "", 1, "malloc fails without setting errno"},
     install_no_enomem},
};

HG__FAULT_GROUP(failure);
