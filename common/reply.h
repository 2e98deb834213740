/* SPDX-License-Identifier: MIT */
/* What Redis answered, as a tree that knows no client library; valid during the callback only. */
#ifndef COMMON_REPLY_H
#define COMMON_REPLY_H

#include <stdint.h>

#include "common/str.h"

enum reply_type {
    REPLY_NIL,
    REPLY_STRING, /* also a status, as +OK */
    REPLY_INTEGER,
    REPLY_ARRAY,
    REPLY_ERROR, /* the text is in str: its first word is the code */
};

struct reply {
    enum reply_type type;
    int64_t integer;        /* of an integer */
    struct str str;         /* of a string or an error */
    size_t n;               /* elements of an array */
    const struct reply *at; /* the elements */
};

/* Is it an error whose first word is code? */
bool reply_is_error(const struct reply *r, const char *code);

/* An integer, or a string of digits; false for anything else, or past 2^63-1. */
bool reply_u64(const struct reply *r, uint64_t *out);

/* The text of a string; empty for anything else. */
struct str reply_str(const struct reply *r);

#endif
