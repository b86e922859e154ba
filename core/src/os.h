/* Layer 0: what is needed of the operating system, and nothing else. Sizes in bytes. None of these
 * changes errno. */
#ifndef HG__OS_H
#define HG__OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base.h"

/* Writes a line to standard error and aborts. */
_Noreturn void hg__os_abort(const char *line, size_t size);

#if HG_OS
/* Address space without access; NULL iff refused. */
void *hg__os_reserve(size_t size);
void hg__os_release(void *address, size_t size);
/* An address from which on much lies unused, so that memory can be mapped there piece by piece
 * rather than reserved at once. NULL iff none is known, or where reserving is better: under a limit
 * of the address space there is to be memory up to the last page. Each `attempt` gives another. */
void *hg__os_quiet_address(unsigned attempt);
/* Maps zero pages exactly there. Returns 0, EEXIST iff something else is there, or another errno. */
int hg__os_map_at(void *address, size_t size);
/* Makes reserved memory, and the rest of the pages at both its ends, readable, writable and zero.
 * `total` is what the process will then have committed here: false iff that exceeds RLIMIT_AS or
 * the system refuses. */
bool hg__os_commit(void *address, size_t size, size_t total);
/* Gives the pages back; they read as zero afterwards. False iff refused: locked memory, or not
 * whole pages. */
bool hg__os_purge(void *address, size_t size);
/* Moves the pages of a block to committed memory elsewhere and leaves zero pages behind. */
bool hg__os_move(void *from, void *to, size_t size);
/* Address space worth reserving: several times the machine's memory, less under RLIMIT_AS. */
size_t hg__os_reserve_hint(void);
/* Milliseconds of a cheap monotonic clock. */
uint64_t hg__os_now_ms(void);
unsigned hg__os_cpu_count(void);
size_t hg__os_page_size(void);
#else /* a caller's region is all there is: nothing to ask for, nothing to give back */
#define hg__os_reserve(size)                ((void)(size), (void *)0)
#define hg__os_release(address, size)       ((void)(address), (void)(size))
#define hg__os_quiet_address(attempt)       ((void)(attempt), (void *)0)
#define hg__os_map_at(address, size)        ((void)(address), (void)(size), 1)
#define hg__os_commit(address, size, total) ((void)(address), (void)(size), (void)(total), false)
#define hg__os_purge(address, size)         ((void)(address), (void)(size), false)
#define hg__os_move(from, to, size)         ((void)(from), (void)(to), (void)(size), false)
#define hg__os_now_ms()                     ((uint64_t)0)
#define hg__os_page_size()                  ((size_t)HG__PAGE)
#endif

#endif
