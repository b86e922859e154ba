#define _GNU_SOURCE
#include "clock.h"

#include <elf.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { BY_SLOT = R_X86_64_JUMP_SLOT, BY_DATA = R_X86_64_GLOB_DAT };
#elif defined(__aarch64__)
enum { BY_SLOT = R_AARCH64_JUMP_SLOT, BY_DATA = R_AARCH64_GLOB_DAT };
#else
enum { BY_SLOT = -1, BY_DATA = -1 }; /* no library is led here */
#endif

static atomic_bool is_stopped;
static _Atomic uint64_t passed_ns; /* since it was stopped */
static struct timespec monotonic_start, real_start;

void hg__clock_advance(uint64_t ns) {
    atomic_fetch_add(&passed_ns, ns);
}

/* Monotonic and real clocks stand; what a thread or process has used goes on. */
static int virtual_clock_gettime(clockid_t clock, struct timespec *out) {
    const bool is_real =
        clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
    if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID || clock < 0)
        return clock_gettime(clock, out);
    const struct timespec start = is_real ? real_start : monotonic_start;
    const uint64_t ns = (uint64_t)start.tv_nsec + atomic_load(&passed_ns);
    out->tv_sec = start.tv_sec + (time_t)(ns / 1000000000u);
    out->tv_nsec = (long)(ns % 1000000000u);
    return 0;
}

static int virtual_gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    virtual_clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

static time_t virtual_time(time_t *out) {
    struct timespec now;
    virtual_clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* For the core, which is linked in and asks whether there is such a function (core/src/os.c): false, the
 * machine's clock counts. */
bool hg__virtual_ms(uint64_t *ms);
bool hg__virtual_ms(uint64_t *ms) {
    struct timespec now;
    if (!atomic_load_explicit(&is_stopped, memory_order_relaxed))
        return false;
    virtual_clock_gettime(CLOCK_MONOTONIC, &now);
    *ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    return true;
}

/* ---- a library's global offset table ---- */

struct search {
    const char *path;
    unsigned count;
};

/* Our function in place of the one of that name; NULL: it stays. */
static void *replacement(const char *name) {
    static const struct {
        const char *name;
        void *function;
    } ours[] = {{"clock_gettime", (void *)virtual_clock_gettime},
                {"gettimeofday", (void *)virtual_gettimeofday},
                {"time", (void *)virtual_time}};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(name, ours[i].name) == 0)
            return ours[i].function;
    return NULL;
}

/* Writes into a table that the loader may have made read-only. */
static bool write_entry(void **entry, void *function) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *const start = (void *)((uintptr_t)entry & ~(page - 1));
    if (mprotect(start, page, PROT_READ | PROT_WRITE) != 0)
        return false;
    *entry = function; /* the page stays writable: others on it may not be read-only data */
    return true;
}

static void lead_here(const struct dl_phdr_info *object, const ElfW(Rela) * rela, size_t size,
                      const ElfW(Sym) * symbols, const char *strings, unsigned *count) {
    for (size_t i = 0; i < size / sizeof *rela; i++) {
        const unsigned type = (unsigned)ELF64_R_TYPE(rela[i].r_info);
        if (type != (unsigned)BY_SLOT && type != (unsigned)BY_DATA)
            continue;
        void *const function = replacement(strings + symbols[ELF64_R_SYM(rela[i].r_info)].st_name);
        void **const entry = (void **)(object->dlpi_addr + rela[i].r_offset);
        if (function && write_entry(entry, function))
            ++*count;
    }
}

static int look_at_object(struct dl_phdr_info *object, size_t size, void *context) {
    struct search *const search = context;
    const ElfW(Dyn) *dynamic = NULL;
    const void *by_tag[DT_JMPREL + 1] = {0};
    size_t rela_size = 0, slots_size = 0;
    (void)size;
    if (!object->dlpi_name || strcmp(object->dlpi_name, search->path) != 0)
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++)
        if (object->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_RELASZ)
            rela_size = dynamic->d_un.d_val;
        else if (dynamic->d_tag == DT_PLTRELSZ)
            slots_size = dynamic->d_un.d_val;
        else if (dynamic->d_tag >= 0 &&
                 dynamic->d_tag <= DT_JMPREL) /* glibc has made it absolute */
            by_tag[dynamic->d_tag] = (const void *)dynamic->d_un.d_ptr;
    }
    if (!by_tag[DT_SYMTAB] || !by_tag[DT_STRTAB])
        return 1;
    if (by_tag[DT_RELA])
        lead_here(object, by_tag[DT_RELA], rela_size, by_tag[DT_SYMTAB], by_tag[DT_STRTAB],
                  &search->count);
    if (by_tag[DT_JMPREL])
        lead_here(object, by_tag[DT_JMPREL], slots_size, by_tag[DT_SYMTAB], by_tag[DT_STRTAB],
                  &search->count);
    return 1;
}

unsigned hg__clock_stop(const char *path) {
    struct search search = {path, 0};
    if (!atomic_load(&is_stopped)) {
        clock_gettime(CLOCK_MONOTONIC, &monotonic_start);
        clock_gettime(CLOCK_REALTIME, &real_start);
        atomic_store(&is_stopped, true);
    }
    dl_iterate_phdr(look_at_object, &search);
    return search.count;
}
