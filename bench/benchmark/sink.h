/* A text sink: a small buffer in front of a file descriptor or a FILE, that never allocates.
 *
 * Errors are sticky: after the first failed write nothing more is written, and hg_sink_flush()
 * tells. Not thread-safe. */
#ifndef HEAPGAUGE_SINK_H
#define HEAPGAUGE_SINK_H

#include <stddef.h>
#include <stdio.h>

enum { HG_SINK_BUFFER_SIZE = 4096 };

typedef struct hg_sink {
    int fd;
    FILE *file;  /* used instead of fd where not NULL */
    int error;   /* errno of the first failed write, 0 before */
    size_t used; /* bytes waiting in buffer */
    char buffer[HG_SINK_BUFFER_SIZE];
} hg_sink;

/* The sink owns neither the descriptor nor the FILE: the caller flushes the sink, then closes. */
void hg_sink_init_fd(hg_sink *sink, int fd);
void hg_sink_init_file(hg_sink *sink, FILE *file);

void hg_sink_write(hg_sink *sink, const char *bytes, size_t size);
void hg_sink_puts(hg_sink *sink, const char *text);
void hg_sink_putc(hg_sink *sink, char c);
/* Formats as printf does; what doesn't fit in HG_SINK_BUFFER_SIZE is cut (long text:
 * hg_sink_puts()). */
void hg_sink_printf(hg_sink *sink, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes what waits. Returns 0, or the errno of the first write that failed. */
int hg_sink_flush(hg_sink *sink);

#endif
