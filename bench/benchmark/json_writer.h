/* A streaming JSON writer: keys in the order they are given, one a line, two spaces a level.
 *
 * Our own, for three reasons: numbers must be exactly `%.16e` (or `%g`), keys must keep their
 * order, and writing must not allocate. Usable alone, with sink.{h,c}.
 *
 *     hg_json json;
 *     hg_json_begin(&json, &sink);
 *     hg_json_object(&json);
 *     hg_json_key(&json, "size"), hg_json_u64(&json, 64);
 *     hg_json_end_object(&json);
 *     hg_json_finish(&json);
 *
 * Writing a value where a key is due, or closing what isn't open, is a misuse and aborts. Not
 * thread-safe. Errors of the file are the sink's: see hg_sink_flush(). */
#ifndef HEAPGAUGE_JSON_WRITER_H
#define HEAPGAUGE_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "sink.h"

enum { HG_JSON_MAX_DEPTH = 62 };

typedef struct hg_json {
    hg_sink *out;
    unsigned depth;
    bool after_key;
    uint64_t filled;  /* bit d: level d has an element */
    uint64_t objects; /* bit d: level d is an object, else an array */
} hg_json;

/* The sink must outlive the writer. */
void hg_json_begin(hg_json *json, hg_sink *out);
/* Ends the document with a newline. Everything must be closed. */
void hg_json_finish(hg_json *json);

void hg_json_object(hg_json *json);
void hg_json_end_object(hg_json *json);
void hg_json_array(hg_json *json);
void hg_json_end_array(hg_json *json);

void hg_json_key(hg_json *json, const char *key);

/* Escapes quotes, backslashes and control characters; bytes that are no UTF-8 become U+FFFD, so the
 * file is always valid. NULL is written as null. */
void hg_json_string(hg_json *json, const char *text);
void hg_json_u64(hg_json *json, uint64_t value);
void hg_json_i64(hg_json *json, int64_t value);
/* `%.16e`: reads back as the same double. NaN and infinities, which JSON hasn't, become null. */
void hg_json_double(hg_json *json, double value);
void hg_json_bool(hg_json *json, bool value);
void hg_json_null(hg_json *json);
/* A member of an object: key and value at once. */
void hg_json_member_string(hg_json *json, const char *key, const char *text);
void hg_json_member_u64(hg_json *json, const char *key, uint64_t value);
/* Text that is JSON already, on one line. */
void hg_json_raw(hg_json *json, const char *text);

#endif
