/* SPDX-License-Identifier: MIT */
/* The query of GET /messages, read and checked. Pure. */
#ifndef PERSISTER_ROUTES_QUERY_H
#define PERSISTER_ROUTES_QUERY_H

#include "common/buf.h"
#include "common/limits.h"
#include "common/query.h"
#include "persister/store.h"

struct history_query {
    struct store_query page;       /* without its room: see below */
    char room[ROOM_BYTES_MAX + 1]; /* terminated; empty: all */
    uint64_t min_id;               /* 0: none */
};

/* True, or false with a JSON array of all that is wrong appended to *detail, in pydantic's form and
 * in the order room, limit, before, after, min_id. q->page.room is left empty: the caller points
 * it to q->room once the query has found its place. */
bool history_query_read(struct history_query *q, struct str query, struct buf **detail);

#endif
