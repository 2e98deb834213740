/* SPDX-License-Identifier: MIT */
/* Unix time in milliseconds as `2025-06-14T22:15:03.123Z` (RFC 3339), for the years 1970–9999. */
#ifndef COMMON_ISO_TIME_H
#define COMMON_ISO_TIME_H

#include <stdint.h>

#include "common/str.h"

enum {
    ISO_TIME_BYTES = 24
};

/* Writes ISO_TIME_BYTES characters and a terminator. A time past the year 9999 is written as that
 * year's last millisecond. */
void iso_time_write(char out[ISO_TIME_BYTES + 1], uint64_t unix_ms);

/* Reads exactly that form; false if it is another, or no date of the calendar (a second 60 is none:
 * Unix time does not count them). */
bool iso_time_read(struct str text, uint64_t *unix_ms);

#endif
