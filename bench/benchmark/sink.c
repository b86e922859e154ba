#include "sink.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

void hg_sink_init_fd(hg_sink *sink, int fd) {
    sink->fd = fd;
    sink->file = NULL;
    sink->error = 0;
    sink->used = 0;
}

void hg_sink_init_file(hg_sink *sink, FILE *file) {
    hg_sink_init_fd(sink, -1);
    sink->file = file;
}

static int write_all(int fd, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

static int write_file(FILE *file, const char *bytes, size_t size) {
    errno = 0;
    if (fwrite(bytes, 1, size, file) == size && fflush(file) == 0)
        return 0;
    return errno ? errno : EIO;
}

int hg_sink_flush(hg_sink *sink) {
    if (sink->used > 0 && sink->error == 0) {
        sink->error = sink->file ? write_file(sink->file, sink->buffer, sink->used)
                                 : write_all(sink->fd, sink->buffer, sink->used);
    }
    sink->used = 0;
    return sink->error;
}

void hg_sink_write(hg_sink *sink, const char *bytes, size_t size) {
    while (size > 0) {
        size_t room = sizeof sink->buffer - sink->used;
        size_t part = size < room ? size : room;
        memcpy(sink->buffer + sink->used, bytes, part);
        sink->used += part;
        bytes += part;
        size -= part;
        if (sink->used == sizeof sink->buffer)
            hg_sink_flush(sink);
    }
}

void hg_sink_puts(hg_sink *sink, const char *text) {
    hg_sink_write(sink, text, strlen(text));
}

void hg_sink_putc(hg_sink *sink, char c) {
    hg_sink_write(sink, &c, 1);
}

void hg_sink_printf(hg_sink *sink, const char *format, ...) {
    char line[HG_SINK_BUFFER_SIZE];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length > 0)
        hg_sink_write(sink, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
}
