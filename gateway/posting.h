/* SPDX-License-Identifier: MIT */
/* POST /messages and /rooms/{room}/messages. */
#ifndef GATEWAY_POSTING_H
#define GATEWAY_POSTING_H

#include "gateway/routes.h"

/* Why such a body cannot be read (RFC 9110 section 15.5.16): the body of a 415, and what headers it
 * has; empty when it can. */
struct str posting_unreadable(const struct http_request *req, struct str *headers);

/* Answers at once, or when it is known what became of the message. */
void posting_take(struct routes *r, struct exchange *x, const struct http_request *req,
                  struct str body, struct str room);

#endif
