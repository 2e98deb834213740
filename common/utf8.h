/* SPDX-License-Identifier: MIT */
/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdint.h>

#include "common/str.h"

/* A decoder's place inside a character, for text that comes in pieces; starts as UTF8_START. */
enum {
    UTF8_START = 0,
    UTF8_BAD = 1
};

/* Feeds a piece; returns the new state: UTF8_START at the end of a whole character, UTF8_BAD for
 * ever once the text is wrong, anything else in the middle of a character. Wrong is known at the
 * first byte that no character can have there, as RFC 6455 wishes it. */
uint32_t utf8_feed(uint32_t state, const char *bytes, size_t len);

/* Is the whole text valid? */
bool utf8_valid(struct str s);

/* The length in bytes of the longest prefix that is valid and ends with a whole character. */
size_t utf8_valid_len(struct str s);

/* The number of characters (code points) of a valid text. */
size_t utf8_chars(struct str s);

/* The longest prefix of at most max bytes of a valid text that ends with a whole character. */
struct str utf8_cut(struct str s, size_t max);

#endif
