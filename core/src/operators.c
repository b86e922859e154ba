/* C++'s operators new and delete, which bring sizes and alignments along. In C, by their mangled
 * names, so that C programs need no C++ library.
 *
 * A program may replace some of them; what it leaves must then call what it replaced
 * ([new.delete.single], [new.delete.array]), as the C++ library's own do. The forms with nothrow are
 * left to that library altogether: its defaults call these and catch what a new handler throws. */
#include "preload.h"

#include <dlfcn.h>
#include <string.h>

#include "cache.h"

#if SIZE_MAX == UINT64_MAX
#define SIZE_CODE "m"
#else
#define SIZE_CODE "j"
#endif
#define ALIGN_CODE "St11align_val_t"

/* Of the C++ library, if the program has one. */
typedef void (*new_handler)(void);
extern new_handler get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern _Noreturn void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv")
    __attribute__((weak));

/* Asks the new handler for memory until it gives up. */
static HG_COLD void *new_slow(size_t size, size_t align) {
    for (;;) {
        void *p = hg__alloc_slow(size, align);
        if (p)
            return p;
        new_handler handler = get_new_handler ? get_new_handler() : NULL;
        if (handler)
            handler();
        else if (throw_bad_alloc)
            throw_bad_alloc();
        else
            hg__die("out of memory in operator new", NULL, NULL);
    }
}

static inline void *new_block(size_t size, size_t align) {
    void *p = hg__alloc(size, align);
    return HG_LIKELY(p != NULL) ? p : new_slow(size, align);
}

#define OPERATOR(type, name, code, ...)                                                            \
    __attribute__((visibility("default"))) type name(__VA_ARGS__) __asm__(code);                   \
    type name(__VA_ARGS__)

OPERATOR(void *, cxx_new, "_Znw" SIZE_CODE, size_t size) {
    return new_block(size, 1);
}
OPERATOR(void *, cxx_new_aligned, "_Znw" SIZE_CODE ALIGN_CODE, size_t size, size_t align) {
    return new_block(size, align);
}
OPERATOR(void, cxx_delete, "_ZdlPv", void *p) {
    hg__free(p);
}
OPERATOR(void, cxx_delete_aligned, "_ZdlPv" ALIGN_CODE, void *p, size_t align) {
    (void)align;
    hg__free(p);
}

/* ---- forms whose defaults are in terms of others ---- */

/* The operators that are used in this process, ours unless replaced. */
static struct {
    void *(*new)(size_t);
    void *(*new_aligned)(size_t, size_t);
    void (*delete)(void *);
    void (*delete_aligned)(void *, size_t);
    void (*delete_array)(void *);
    void (*delete_array_aligned)(void *, size_t);
} used;
static bool looked_up, none_replaced; /* atomic */

OPERATOR(void, cxx_delete_array, "_ZdaPv", void *p);
OPERATOR(void, cxx_delete_array_aligned, "_ZdaPv" ALIGN_CODE, void *p, size_t align);

static HG_COLD bool look_up(void) {
    static const struct {
        const char *name;
        void *ours;
    } all[] = {
        {"_Znw" SIZE_CODE, (void *)cxx_new},
        {"_Znw" SIZE_CODE ALIGN_CODE, (void *)cxx_new_aligned},
        {"_ZdlPv", (void *)cxx_delete},
        {"_ZdlPv" ALIGN_CODE, (void *)cxx_delete_aligned},
        {"_ZdaPv", (void *)cxx_delete_array},
        {"_ZdaPv" ALIGN_CODE, (void *)cxx_delete_array_aligned},
    };
    void *found[sizeof all / sizeof *all];
    _Static_assert(sizeof found == sizeof used, "one pointer each");
    /* Opened beside another malloc these are nobody's but ours. */
    bool preloaded = dlsym(RTLD_DEFAULT, "malloc") == (void *)malloc, same = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        void *p = preloaded ? dlsym(RTLD_DEFAULT, all[i].name) : NULL;
        found[i] = p ? p : all[i].ours;
        same &= found[i] == all[i].ours;
    }
    memcpy(&used, found, sizeof used); /* twice at once does no harm: the same is found */
    __atomic_store_n(&none_replaced, same, __ATOMIC_RELEASE);
    __atomic_store_n(&looked_up, true, __ATOMIC_RELEASE);
    return same;
}

/* May the forms below take the short way? */
static inline bool are_ours(void) {
    return HG_LIKELY(__atomic_load_n(&none_replaced, __ATOMIC_ACQUIRE)) ||
           (!__atomic_load_n(&looked_up, __ATOMIC_ACQUIRE) && look_up());
}

OPERATOR(void *, cxx_new_array, "_Zna" SIZE_CODE, size_t size) {
    return are_ours() ? new_block(size, 1) : used.new(size);
}
OPERATOR(void *, cxx_new_array_aligned, "_Zna" SIZE_CODE ALIGN_CODE, size_t size, size_t align) {
    return are_ours() ? new_block(size, align) : used.new_aligned(size, align);
}
OPERATOR(void, cxx_delete_array, "_ZdaPv", void *p) {
    are_ours() ? hg__free(p) : used.delete(p);
}
OPERATOR(void, cxx_delete_array_aligned, "_ZdaPv" ALIGN_CODE, void *p, size_t align) {
    are_ours() ? hg__free(p) : used.delete_aligned(p, align);
}
OPERATOR(void, cxx_delete_sized, "_ZdlPv" SIZE_CODE, void *p, size_t size) {
    are_ours() ? hg__free_sized(p, size, 1) : used.delete(p);
}
OPERATOR(void, cxx_delete_array_sized, "_ZdaPv" SIZE_CODE, void *p, size_t size) {
    are_ours() ? hg__free_sized(p, size, 1) : used.delete_array(p);
}
OPERATOR(void, cxx_delete_sized_aligned, "_ZdlPv" SIZE_CODE ALIGN_CODE, void *p, size_t size,
         size_t align) {
    are_ours() ? hg__free_sized(p, size, align) : used.delete_aligned(p, align);
}
OPERATOR(void, cxx_delete_array_sized_aligned, "_ZdaPv" SIZE_CODE ALIGN_CODE, void *p, size_t size,
         size_t align) {
    are_ours() ? hg__free_sized(p, size, align) : used.delete_array_aligned(p, align);
}
