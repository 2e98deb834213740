/* SPDX-License-Identifier: MIT */
/* POST /messages and /rooms/{room}/messages. */
#ifndef GATEWAY_POSTING_H
#define GATEWAY_POSTING_H

#include "gateway/routes.h"

/* Does its Content-Type say application/json, or …+json, in UTF-8? */
bool posting_is_json(const struct http_request *req);

/* Answers at once, or when it is known what became of the message. */
void posting_take(struct routes *r, struct exchange *x, const struct http_request *req,
                  struct str body, struct str room);

#endif
