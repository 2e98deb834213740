/* SPDX-License-Identifier: MIT */
/*
 * One message by its id: from the memory of a room, or from where it lies beyond that.
 *
 *      stream in Redis:             |---------- id > base ---------|
 *      SQLite:           |---- id <= stored ----|
 *
 * The two overlap, so one of them has every message. What is not stored yet, as far as this gateway
 * has heard, is asked of the stream first, anything else of the persister, and where that one does
 * not tell, the other is asked. Each is believed to have no such message only where it has all
 * there are: the persister up to what was stored before it was asked, the stream above its base,
 * while the log is open. So nobody is told 404 of a message that has come to this gateway; where
 * neither tells it is 503.
 */
#include "gateway/lookup.h"

#include <stdlib.h>

#include "common/http.h"
#include "common/limits.h"
#include "common/mem.h"
#include "common/message.h"
#include "common/query.h"
#include "gateway/answer.h"

/* One GET under way. */
struct lookup {
    struct routes *routes;
    struct exchange *x;
    uint64_t id;
    bool stored; /* before anybody was asked: the persister's 404 is one */
    bool asked_persister;
    bool asked_stream;
};

static struct {
    size_t reading; /* of the stream, now */
    bool over;      /* nobody is asked any more */
} lookups;

static void lookup_go_on(struct lookup *l);

static void lookup_missing(struct lookup *l)
{
    exchange_fail(l->x, 404, "Not Found");
    free(l);
}

static void lookup_found(struct lookup *l, struct str json)
{
    answer_json(l->x, 200, STR(""), json);
    free(l);
}

static void persister_told(void *arg, bool ok, int status, struct str lines)
{
    struct lookup *l = arg;
    if (ok)
        lookup_found(l, lines);
    else if (status == 404 && l->stored)
        lookup_missing(l);
    else
        lookup_go_on(l);
}

/* What a stranger wrote into the stream is no message. */
static bool is_message(const struct entry *e, uint64_t id)
{
    struct str room;
    uint64_t named;
    return e->id == id && message_peek(e->json, &named, &room) && named == id;
}

static void stream_told(void *arg, const struct page *p)
{
    struct lookup *l = arg;
    lookups.reading--;
    bool tells = p && p->open;
    if (tells && p->count && is_message(&p->entries[0], l->id))
        lookup_found(l, p->entries[0].json);
    else if (tells && l->id > p->base)
        lookup_missing(l);
    else
        lookup_go_on(l);
}

/* Both ask at most once; false: no answer will come. */
static bool stream_ask(struct lookup *l)
{
    if (l->asked_stream)
        return false;
    l->asked_stream = true;
    if (lookups.reading == LOOKUPS_MAX ||
        !link_page_back(l->routes->link, l->id + 1, 1, stream_told, l))
        return false;
    lookups.reading++;
    return true;
}

static bool persister_ask(struct lookup *l)
{
    if (l->asked_persister)
        return false;
    l->asked_persister = true;
    return history_message(l->routes->history, l->id, persister_told, l);
}

/* Asks the next one; with nobody left it is a 503. */
static void lookup_go_on(struct lookup *l)
{
    if (!lookups.over &&
        (l->stored ? persister_ask(l) || stream_ask(l) : stream_ask(l) || persister_ask(l)))
        return;
    answer_unavailable(l->x, "the message cannot be reached now");
    free(l);
}

void lookup_stop(void)
{
    lookups.over = true;
}

static bool id_read(struct str segment, int64_t *id)
{
    char text[32] = "";
    size_t len = 0;
    return http_path_decode(segment, text, sizeof text, &len) &&
           whole_number_read((struct str){text, len}, id);
}

void lookup_message(struct routes *r, struct exchange *x, struct str segment)
{
    struct buf *json = NULL;
    int64_t number = 0;
    if (!id_read(segment, &number)) {
        struct buf *errors = NULL;
        detail_add_not_whole(&errors, "[\"path\",\"id\"]", segment);
        answer_invalid(x, buf_str(errors));
        buf_free(&errors);
        return;
    }
    if (!link_started(r->link)) {
        answer_unavailable(x, "the log has not been read yet");
        return;
    }
    uint64_t id = number > 0 ? (uint64_t)number : 0;
    if (!id || id > link_position(r->link)) {
        exchange_fail(x, 404, "Not Found");
        return;
    }
    const struct room *room = rooms_find_message(r->rooms, id);
    if (room) {
        room_log_page(&room->log, id - 1, id + 1, 1, SIZE_MAX, false, &json);
        answer_json(x, 200, STR(""), buf_str(json));
        buf_free(&json);
        return;
    }
    struct lookup *l = mem_alloc(sizeof *l);
    *l = (struct lookup){.routes = r, .x = x, .id = id, .stored = id <= link_stored(r->link)};
    lookup_go_on(l);
}
