#include "json_writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void expect(bool condition, const char *misuse) {
    if (condition)
        return;
    const char *parts[] = {"heapgauge json writer: ", misuse, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        ssize_t ignored = write(STDERR_FILENO, parts[i], strlen(parts[i]));
        (void)ignored;
    }
    abort();
}

static uint64_t bit(unsigned depth) {
    return UINT64_C(1) << depth;
}

static void new_line(hg_json *json) {
    hg_sink_putc(json->out, '\n');
    for (unsigned i = 0; i < json->depth; i++)
        hg_sink_puts(json->out, "  ");
}

/* Separates the element that follows from the one before. */
static void next_element(hg_json *json) {
    if (json->filled & bit(json->depth))
        hg_sink_putc(json->out, ',');
    json->filled |= bit(json->depth);
    if (json->depth > 0)
        new_line(json);
}

static void before_value(hg_json *json) {
    bool in_object = json->objects & bit(json->depth);
    expect(!in_object || json->after_key, "a value in an object needs a key before it");
    expect(json->depth > 0 || !(json->filled & 1), "a document holds one value");
    if (!json->after_key)
        next_element(json);
    json->after_key = false;
}

static void open_level(hg_json *json, char bracket, bool is_object) {
    before_value(json);
    expect(json->depth < HG_JSON_MAX_DEPTH, "nested too deep");
    hg_sink_putc(json->out, bracket);
    json->depth++;
    json->filled &= ~bit(json->depth);
    json->objects =
        is_object ? json->objects | bit(json->depth) : json->objects & ~bit(json->depth);
}

static void close_level(hg_json *json, char bracket, bool is_object) {
    bool in_object = json->objects & bit(json->depth);
    expect(json->depth > 0 && in_object == is_object, "closing what is not open");
    expect(!json->after_key, "a key without a value");
    bool filled = json->filled & bit(json->depth);
    json->depth--;
    if (filled)
        new_line(json);
    hg_sink_putc(json->out, bracket);
}

void hg_json_begin(hg_json *json, hg_sink *out) {
    *json = (hg_json){.out = out};
}

void hg_json_finish(hg_json *json) {
    expect(json->depth == 0 && json->filled, "finishing an unfinished document");
    hg_sink_putc(json->out, '\n');
}

void hg_json_object(hg_json *json) {
    open_level(json, '{', true);
}

void hg_json_end_object(hg_json *json) {
    close_level(json, '}', true);
}

void hg_json_array(hg_json *json) {
    open_level(json, '[', false);
}

void hg_json_end_array(hg_json *json) {
    close_level(json, ']', false);
}

/* Length of the UTF-8 sequence at `s`, or 0 where there is none (overlong forms and surrogates
 * included). */
static size_t utf8_length(const unsigned char *s) {
    if (s[0] < 0x80)
        return 1;
    size_t length = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
                    : s[0] >= 0xe0 && s[0] <= 0xef ? 3
                    : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                   : 0;
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool out_of_range = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return length && !overlong && !out_of_range ? length : 0;
}

static void write_escaped(hg_sink *out, unsigned char c) {
    static const char letters[][2] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
                                      {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
        if (c == (unsigned char)letters[i][0]) {
            hg_sink_putc(out, '\\');
            hg_sink_putc(out, letters[i][1]);
            return;
        }
    }
    if (c < 0x20 || c == 0x7f)
        hg_sink_printf(out, "\\u%04x", c);
    else
        hg_sink_putc(out, (char)c);
}

static void write_quoted(hg_sink *out, const char *text) {
    hg_sink_putc(out, '"');
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t length = utf8_length(s);
        if (length == 1)
            write_escaped(out, *s);
        else if (length > 1)
            hg_sink_write(out, (const char *)s, length);
        else
            hg_sink_puts(out, "\xef\xbf\xbd");
        s += length ? length : 1;
    }
    hg_sink_putc(out, '"');
}

void hg_json_key(hg_json *json, const char *key) {
    expect((json->objects & bit(json->depth)) && !json->after_key, "a key out of place");
    next_element(json);
    write_quoted(json->out, key);
    hg_sink_puts(json->out, ": ");
    json->after_key = true;
}

void hg_json_string(hg_json *json, const char *text) {
    if (!text) {
        hg_json_null(json);
        return;
    }
    before_value(json);
    write_quoted(json->out, text);
}

void hg_json_u64(hg_json *json, uint64_t value) {
    before_value(json);
    hg_sink_printf(json->out, "%" PRIu64, value);
}

void hg_json_i64(hg_json *json, int64_t value) {
    before_value(json);
    hg_sink_printf(json->out, "%" PRId64, value);
}

void hg_json_double(hg_json *json, double value) {
    before_value(json);
    if (isfinite(value))
        hg_sink_printf(json->out, "%.16e", value);
    else
        hg_sink_puts(json->out, "null");
}

void hg_json_bool(hg_json *json, bool value) {
    hg_json_raw(json, value ? "true" : "false");
}

void hg_json_null(hg_json *json) {
    hg_json_raw(json, "null");
}

void hg_json_raw(hg_json *json, const char *text) {
    before_value(json);
    hg_sink_puts(json->out, text);
}

void hg_json_member_string(hg_json *json, const char *key, const char *text) {
    hg_json_key(json, key);
    hg_json_string(json, text);
}

void hg_json_member_u64(hg_json *json, const char *key, uint64_t value) {
    hg_json_key(json, key);
    hg_json_u64(json, value);
}
