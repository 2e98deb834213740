/* SPDX-License-Identifier: MIT */
/*
 * Reading small JSON objects without a parser's tree: an object of strings without escapes and of
 * whole numbers, as the lab's requests are. Pure.
 */
#ifndef COMMON_FLAT_H
#define COMMON_FLAT_H

#include <stdint.h>

#include "common/str.h"

enum flat_type {
    FLAT_STRING, /* text is what stands between the quotes */
    FLAT_NUMBER, /* text is its digits */
};

struct flat_member {
    struct str name;
    enum flat_type type;
    struct str text; /* borrows the object's bytes */
};

/* Takes a text apart into at most max members; their number, or -1 when it is not such an object
 * (as json_check has it, too) or has more. */
int flat_read(struct str text, struct flat_member *members, int max);

#endif
