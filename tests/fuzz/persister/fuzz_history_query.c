/* SPDX-License-Identifier: MIT */
/*
 * The query of the persister's GET /messages. Properties: what is right keeps its ranges, and
 * written again as plain numbers it is read the same; what is wrong is told by a JSON array.
 */
#include <inttypes.h>

#include "common/json.h"
#include "common/message.h"
#include "persister/routes_query.h"
#include "tests/fuzz/fuzz.h"

enum {
    DETAIL_BYTES_MAX = 16384, /* five entries, each with an input of 256 bytes, all escaped */
};

static bool same(const struct history_query *a, const struct history_query *b)
{
    return strcmp(a->room, b->room) == 0 && a->min_id == b->min_id &&
           a->page.limit == b->page.limit && a->page.before == b->page.before &&
           a->page.has_after == b->page.has_after && a->page.after == b->page.after;
}

static void check_right(const struct history_query *q)
{
    struct history_query again;
    struct buf *query = NULL, *detail = NULL;
    assert(q->page.limit >= 1 && q->page.limit <= PAGE_LIMIT_MAX);
    assert(q->page.before <= INT64_MAX && q->page.after <= INT64_MAX && q->min_id <= INT64_MAX);
    assert(!*q->room || room_name_valid(str_of(q->room)));
    buf_printf(&query, "limit=%zu&before=%" PRIu64 "&min_id=%" PRIu64, q->page.limit,
               q->page.before, q->min_id);
    if (q->page.has_after)
        buf_printf(&query, "&after=%" PRIu64, q->page.after);
    if (*q->room)
        buf_printf(&query, "&room=%s", q->room);
    bool right = history_query_read(&again, buf_str(query), &detail);
    assert(right && !detail && same(q, &again));
    buf_free(&query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = fuzz_copy(fuzz_str(data, size));
    struct history_query q;
    struct buf *detail = NULL;
    size_t at;
    if (history_query_read(&q, (struct str){copy, size}, &detail)) {
        assert(!detail);
        check_right(&q);
    } else {
        assert(!json_check(buf_str(detail), 4, &at) && buf_len(detail) <= DETAIL_BYTES_MAX);
    }
    buf_free(&detail);
    free(copy);
    return 0;
}
