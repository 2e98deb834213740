/* SPDX-License-Identifier: MIT */
/* Numbers in query strings and paths, with errors in pydantic's form. Pure. */
#ifndef COMMON_QUERY_H
#define COMMON_QUERY_H

#include <stdint.h>

#include "common/buf.h"

/* A whole number as pydantic reads it: a sign, digits, white space around them; saturated to what
 * fits. False when it is none. */
bool whole_number_read(struct str text, int64_t *out);

/* Appends an entry `int_parsing` for the text. */
void detail_add_not_whole(struct buf **detail, const char *loc_json, struct str text);

/* Reads a parameter from min to max into *out, or appends what is wrong with it to *detail. False
 * when the parameter is not there. */
bool query_number_read(struct str query, const char *name, const char *loc_json, int64_t min,
                       int64_t max, uint64_t *out, struct buf **detail);

/* Appends an entry with the text as input, cut where it is long. */
void query_report(struct buf **detail, const char *type, const char *loc_json, const char *msg,
                  struct str text, const char *ctx_json);

#endif
