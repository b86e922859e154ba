/* What the planted faults share. Private to backends/faults.
 *
 * A fault is a function or two with a bug in them, put into the backend by its install function; what it
 * does not touch stays the inner backend's own. One fault a process. */
#ifndef HG_FAULTS_PRIVATE_H
#define HG_FAULTS_PRIVATE_H

#include "../adapter.h"
#include "faulty.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

struct hg__planted {
    struct hg_fault fault;
    bool (*install)(hg_backend *backend);
};

/* The rows of one file; faulty.c lists the groups. */
struct hg__fault_group {
    const struct hg__planted *rows;
    size_t count;
};
#define HG__FAULT_GROUP(name)                                                                      \
    const struct hg__fault_group hg__faults_##name = {rows, sizeof rows / sizeof *rows}

extern const struct hg__fault_group hg__faults_align, hg__faults_content, hg__faults_realloc,
    hg__faults_size, hg__faults_failure, hg__faults_threads, hg__faults_environment,
    hg__faults_history, hg__faults_narrow, hg__faults_native, hg__faults_edge, hg__faults_long;

/* The backend the fault is planted in. */
extern const hg_backend *hg__inner;

static inline bool hg__is_power_of_two(size_t value) {
    return value && !(value & (value - 1));
}

/* ---- book.c: what the inner backend really gave for a pointer that was handed out ---- */

/* A fault that hands out something else than it got (an offset pointer, another layout) must free what
 * it got. */
struct hg__book_entry {
    void *given; /* NULL: never used; TOMBSTONE: used once */
    void *real;
    hg_layout layout; /* with which the inner backend made it */
    size_t size;      /* asked for */
};

/* Opens the book and installs frees, reallocations and sizes that know it. False: no memory. */
bool hg__keep_book(hg_backend *backend);
void hg__book_add(void *given, void *real, hg_layout layout, size_t size);
/* Takes the entry of `given` out / looks at it. False iff it is not in the book. */
bool hg__book_take(void *given, struct hg__book_entry *out);
bool hg__book_look(void *given, struct hg__book_entry *out);

void *hg__booked_malloc(size_t size);
void *hg__booked_realloc(void *ptr, size_t size);
void hg__booked_free(void *ptr);
void hg__booked_dealloc(const hg_backend *self, void *ptr, hg_layout layout);
void *hg__booked_layout_realloc(const hg_backend *self, void *ptr, hg_layout layout,
                                size_t new_size);

/* A block of the inner backend that is aligned to exactly half of what was asked, from 32 up (align.c).
 * Needs the book. */
void *hg__half_aligned(size_t align, size_t size);

/* Routes every aligned entry point of the libc face to one function. */
void hg__install_aligned(hg_backend *backend, void *(*function)(size_t align, size_t size));

#endif
