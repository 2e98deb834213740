/* SPDX-License-Identifier: MIT */
/*
 * One line per event on standard error, never one per message of a chat.
 *
 *   text   2026-11-24T04:06:27.123Z INFO  gateway redis up address=127.0.0.1:6379 role=master
 *   json   {"time":"…","level":"info","service":"gateway","event":"redis up","address":"…",…}
 *
 * The format of the fields is `name=%… name=%…`: single spaces part the fields, and no conversion
 * may stand outside a value. Values may hold anything: text quotes what has spaces, quotes or
 * control characters in it, JSON escapes it. A line holds at most LOG_LINE_BYTES_MAX: a value that
 * is too long for it is cut, and the line stays whole JSON. No more than LOG_FIELDS_MAX fields.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/str.h"

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
};

/* Before this is called, lines of INFO and above are written as text. The service's name is
 * borrowed for ever. */
void log_init(const char *service, enum log_level lowest, bool json);

/* Would a line of this level be written? */
bool log_on(enum log_level level);

void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Likewise, for fields that are known only at run time, and as many as there are. */
struct log_field {
    struct str name, value;
};
void log_fields(enum log_level level, const char *event, const struct log_field *fields,
                size_t count);

#define log_debug(...) (log_on(LOG_DEBUG) ? log_event(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...) log_event(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_event(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_event(LOG_ERROR, __VA_ARGS__)

#endif
