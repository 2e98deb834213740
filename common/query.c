/* SPDX-License-Identifier: MIT */
/*
 * Numbers in query strings, and what is wrong with them, in the words of the FastAPI original. A
 * broken escape is no valid value of anything: it is reported as the empty text.
 */
#include "common/query.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/http.h"
#include "common/json.h"
#include "common/message.h"
#include "common/utf8.h"

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool whole_number_read(struct str text, int64_t *out)
{
    const char *p = text.p, *end = text.p + text.len;
    while (p < end && is_space(*p))
        p++;
    while (end > p && is_space(end[-1]))
        end--;
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end)
        return false;
    int64_t n = 0;
    bool fits = true;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        fits =
            fits && !__builtin_mul_overflow(n, 10, &n) && !__builtin_add_overflow(n, *p - '0', &n);
    }
    n = fits ? n : INT64_MAX;
    *out = negative ? -n : n;
    return true;
}

/* Reports with the text as input, cut where it is long. */
void query_report(struct buf **detail, const char *type, const char *loc_json, const char *msg,
                  struct str text, const char *ctx_json)
{
    struct buf *input = NULL;
    if (text.len > ERROR_INPUT_BYTES_MAX) {
        text.len = ERROR_INPUT_BYTES_MAX;
        size_t valid = utf8_valid_len(text);
        if (valid + 4 > text.len) /* the cut may have gone through a character */
            text.len = valid;
    }
    json_add_bytes(&input, text);
    buf_add_char(&input, 0);
    detail_add(detail, type, loc_json, msg, buf_str(input).p, ctx_json);
    buf_free(&input);
}

void detail_add_not_whole(struct buf **detail, const char *loc_json, struct str text)
{
    query_report(detail, "int_parsing", loc_json,
                 "Input should be a valid integer, unable to parse string as an integer", text,
                 NULL);
}

static void report_bound(struct buf **detail, const char *loc_json, struct str text, bool low,
                         int64_t bound)
{
    struct buf *msg = NULL, *ctx = NULL;
    buf_printf(&msg, "Input should be %s than or equal to %" PRId64 "%c", low ? "greater" : "less",
               bound, 0);
    buf_printf(&ctx, "{\"%s\":%" PRId64 "}%c", low ? "ge" : "le", bound, 0);
    query_report(detail, low ? "greater_than_equal" : "less_than_equal", loc_json, buf_str(msg).p,
                 text, buf_str(ctx).p);
    buf_free(&msg);
    buf_free(&ctx);
}

static void check_number(struct str text, const char *loc_json, int64_t min, int64_t max,
                         uint64_t *out, struct buf **detail)
{
    int64_t n;
    if (!whole_number_read(text, &n))
        detail_add_not_whole(detail, loc_json, text);
    else if (n < min)
        report_bound(detail, loc_json, text, true, min);
    else if (n > max)
        report_bound(detail, loc_json, text, false, max);
    else
        *out = (uint64_t)n;
}

/* False when the parameter is not there. */
bool query_number_read(struct str query, const char *name, const char *loc_json, int64_t min,
                       int64_t max, uint64_t *out, struct buf **detail)
{
    char *value = NULL;
    size_t len = 0;
    int found = http_query_get(query, name, &value, &len);
    if (found == 0)
        return false;
    check_number(found > 0 ? (struct str){value, len} : STR(""), loc_json, min, max, out, detail);
    free(value);
    return true;
}
