/* SPDX-License-Identifier: MIT */
/* Writing JSON, and reading what was written: compact, raw UTF-8, '/' not escaped, as clients of
 * the FastAPI original saw it. */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include "common/buf.h"

/* Appends a valid UTF-8 text as a JSON string with its quotes. Escapes are the short forms
 * (\" \\ \b \f \n \r \t) and \u00xx for other control characters: one text has one encoding. */
void json_add_string(struct buf **out, struct str text);

/* Likewise for bytes that may not be UTF-8: each wrong byte becomes U+FFFD. */
void json_add_bytes(struct buf **out, struct str bytes);

/* Takes a string off the front of *text that is, byte for byte, what json_add_string writes for it.
 * *string is a part of the text or, where that has escapes, is written at *room, which moves behind
 * it: as many bytes as the text has are enough, none if it has no backslash. That the text is UTF-8
 * is not checked. False, and everything as it was, but for what was written, when there is none. */
bool json_take_string(struct str *text, char **room, struct str *string);

/* Is the text one JSON value of RFC 8259, with nothing but white space around it, valid UTF-8, at
 * most depth_max deep (a scalar is 0 deep, [] is 1 deep)? Refused as well, for what readers make of
 * them differs: an escape \ud800 without its other half, and, in an object at the top level, two
 * keys that are equal once unescaped, a key with \u0000 and more than JSON_KEYS_MAX keys. If the
 * answer is no, *at is the offset in characters (not bytes) of the first mistake and the result
 * says what it is, in static words, those of Python's json where it has them; NULL means that the
 * text is valid. json-c accepts more than that: this is asked first. */
const char *json_check(struct str text, int depth_max, size_t *at);

#endif
