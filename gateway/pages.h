/* SPDX-License-Identifier: MIT */
/* GET of a room's messages, page by page, from memory and from the persister. */
#ifndef GATEWAY_PAGES_H
#define GATEWAY_PAGES_H

#include "gateway/routes.h"

/* GET /messages and /rooms/{room}/messages. */
void pages_get(struct routes *r, struct exchange *x, const struct http_request *req,
               struct str room);

/* Once in each turn of the loop: composes pages that had to wait; true when more wait. busy: live
 * messages wait to be written, and go first for TURN_PAGES_WAIT turns. */
bool pages_turn(bool busy);

/* Ends those that wait, with a 503: before rooms and server go. */
void pages_stop(void);

/* Frees what is kept of answers, at the end. */
void pages_done(void);

#endif
