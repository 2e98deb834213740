/* SPDX-License-Identifier: MIT */
/*
 * Parameters and what is wrong with them, in the words of the FastAPI original. All are looked at,
 * and all that is wrong is told at once. A broken escape is no valid value of anything: it is
 * reported as the empty text.
 */
#include "persister/routes_query.h"

#include <stdlib.h>

#include "common/http.h"
#include "common/message.h"
#include "common/query.h"

#define ROOM_PATTERN "^[A-Za-z0-9_.-]{1,64}$"

_Static_assert(ROOM_BYTES_MAX == 64, "the pattern says so");

static void read_room(struct str query, struct history_query *q, struct buf **detail)
{
    char *value = NULL;
    size_t len = 0;
    int found = http_query_get(query, "room", &value, &len);
    if (found == 0)
        return;
    struct str room = found > 0 ? (struct str){value, len} : STR("");
    if (room_name_valid(room))
        memcpy(q->room, room.p, room.len);
    else
        query_report(detail, "string_pattern_mismatch", "[\"query\",\"room\"]",
                     "String should match pattern '" ROOM_PATTERN "'", room,
                     "{\"pattern\":\"" ROOM_PATTERN "\"}");
    free(value);
}

bool history_query_read(struct history_query *q, struct str query, struct buf **detail)
{
    uint64_t limit = PAGE_LIMIT_DEFAULT;
    struct buf *wrong = NULL;
    *q = (struct history_query){.page = {.before = INT64_MAX, .bytes_max = HISTORY_BYTES_MAX}};
    read_room(query, q, &wrong);
    query_number_read(query, "limit", "[\"query\",\"limit\"]", 1, PAGE_LIMIT_MAX, &limit, &wrong);
    query_number_read(query, "before", "[\"query\",\"before\"]", 0, INT64_MAX, &q->page.before,
                      &wrong);
    q->page.has_after = query_number_read(query, "after", "[\"query\",\"after\"]", 0, INT64_MAX,
                                          &q->page.after, &wrong);
    query_number_read(query, "min_id", "[\"query\",\"min_id\"]", 0, INT64_MAX, &q->min_id, &wrong);
    q->page.limit = (size_t)limit;
    bool right = !wrong;
    if (!right) {
        buf_add_char(detail, '[');
        buf_add_str(detail, buf_str(wrong));
        buf_add_char(detail, ']');
    }
    buf_free(&wrong);
    return right;
}
