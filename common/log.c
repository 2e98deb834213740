/* SPDX-License-Identifier: MIT */
/*
 * Lines for people and for collectors, each written whole by one write(2), so that the lines of
 * several processes on one pipe do not mix.
 *
 * log_event must know where in the printed text a value ends, and a value may hold any byte. So the
 * fields are printed twice, their spaces replaced first by one byte and then by another: only where
 * the two results differ is a boundary, and no value can forge one.
 *
 *      format    address=%s role=%s
 *      once      address=a b^role=master
 *      again     address=a b~role=master
 */
#include "common/log.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/iso_time.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/utf8.h"

enum {
    FORMAT_BYTES_MAX = 512,
    LINE_END_BYTES = 2, /* the brace and the line feed */
};

static struct {
    const char *service;
    enum log_level lowest;
    bool json;
} log_to = {"-", LOG_INFO, false};

void log_init(const char *service, enum log_level lowest, bool json)
{
    log_to.service = service;
    log_to.lowest = lowest;
    log_to.json = json;
}

bool log_on(enum log_level level)
{
    return level >= log_to.lowest;
}

/* ---- one line ---- */

/* Would the value be misread without quotes? */
static bool needs_quotes(struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.p[i] <= ' ' || value.p[i] == '"' || value.p[i] == 0x7F)
            return true;
    return !utf8_valid(value);
}

static void encode_field(struct buf **out, struct log_field f)
{
    if (log_to.json) {
        buf_add_char(out, ',');
        json_add_bytes(out, f.name);
        buf_add_char(out, ':');
        json_add_bytes(out, f.value);
        return;
    }
    buf_add_char(out, ' ');
    buf_add_str(out, f.name);
    buf_add_char(out, '=');
    if (needs_quotes(f.value))
        json_add_bytes(out, f.value);
    else
        buf_add_str(out, f.value);
}

/* Adds the field, its value halved until the line can hold it; or nothing. */
static void add_field(struct buf **line, struct log_field f)
{
    for (;;) {
        struct buf *field = NULL;
        encode_field(&field, f);
        bool fits = buf_len(*line) + buf_len(field) <= LOG_LINE_BYTES_MAX - LINE_END_BYTES;
        if (fits)
            buf_add_str(line, buf_str(field));
        buf_free(&field);
        if (fits || !f.value.len)
            return;
        f.value = utf8_cut(f.value, f.value.len / 2);
    }
}

static void add_time(struct buf **line)
{
    struct timespec now;
    char text[ISO_TIME_BYTES + 1];
    clock_gettime(CLOCK_REALTIME, &now);
    iso_time_write(text, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    buf_add(line, text, ISO_TIME_BYTES);
}

static void add_text_head(struct buf **line, enum log_level level, const char *event)
{
    static const char *const levels[] = {" DEBUG ", " INFO  ", " WARN  ", " ERROR "};
    add_time(line);
    buf_add_str(line, str_of(levels[level]));
    buf_add_str(line, str_of(log_to.service));
    buf_add_char(line, ' ');
    buf_add_str(line, str_of(event));
}

static void add_json_head(struct buf **line, enum log_level level, const char *event)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    buf_add_str(line, STR("{\"time\":\""));
    add_time(line);
    buf_add_str(line, STR("\",\"level\":\""));
    buf_add_str(line, str_of(levels[level]));
    buf_add_str(line, STR("\",\"service\":"));
    json_add_bytes(line, str_of(log_to.service));
    buf_add_str(line, STR(",\"event\":"));
    json_add_bytes(line, str_of(event));
}

/* A log that cannot be written is nothing that could be logged. */
static void write_line(struct str line)
{
    ssize_t n;
    do
        n = write(STDERR_FILENO, line.p, line.len);
    while (n < 0 && errno == EINTR);
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count)
{
    if (!log_on(level))
        return;
    struct buf *line = NULL;
    if (log_to.json)
        add_json_head(&line, level, event);
    else
        add_text_head(&line, level, event);
    for (size_t i = 0; i < count; i++)
        add_field(&line, fields[i]);
    if (log_to.json)
        buf_add_char(&line, '}');
    buf_add_char(&line, '\n');
    write_line(buf_str(line));
    buf_free(&line);
}

/* ---- fields from a format ---- */

/* Copies the format with `boundary` for each of its spaces. */
static void put_bounded(char out[FORMAT_BYTES_MAX], const char *format, char boundary)
{
    size_t len = strlen(format);
    assert(len < FORMAT_BYTES_MAX);
    for (size_t i = 0; i <= len; i++)
        out[i] = format[i] == ' ' ? boundary : format[i];
}

static struct log_field field_of(struct str text)
{
    const char *equals = text.len ? memchr(text.p, '=', text.len) : NULL;
    if (!equals) /* cut off inside its name */
        return (struct log_field){text, {"", 0}};
    size_t name = (size_t)(equals - text.p);
    return (struct log_field){{text.p, name}, {equals + 1, text.len - name - 1}};
}

static size_t split(const char *once, const char *again, size_t len, struct log_field *fields)
{
    size_t count = 0, start = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && once[i] == again[i])
            continue;
        assert(count < LOG_FIELDS_MAX);
        fields[count++] = field_of((struct str){once + start, i - start});
        start = i + 1;
    }
    return count;
}

/* Both formats are the caller's, which the compiler has checked where the call is. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_on(level))
        return;
    char once_format[FORMAT_BYTES_MAX], again_format[FORMAT_BYTES_MAX];
    char once[LOG_LINE_BYTES_MAX], again[LOG_LINE_BYTES_MAX];
    put_bounded(once_format, format, '\x1E');
    put_bounded(again_format, format, '\x1F');
    va_list args;
    va_start(args, format);
    int n = vsnprintf(once, sizeof once, once_format, args);
    va_end(args);
    va_start(args, format);
    (void)vsnprintf(again, sizeof again, again_format, args);
    va_end(args);
    assert(n >= 0);
    size_t len = (size_t)n < sizeof once ? (size_t)n : sizeof once - 1;
    struct log_field fields[LOG_FIELDS_MAX];
    log_fields(level, event, fields, len ? split(once, again, len, fields) : 0);
}
#pragma GCC diagnostic pop
