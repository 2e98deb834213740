/* SPDX-License-Identifier: MIT */
/*
 * Which web pages may talk to us: ALLOWED_ORIGINS, for CORS (the Fetch standard) and for the
 * handshake of a WebSocket, which browsers do not guard by CORS. A request without Origin is not
 * from a page and passes. Pure.
 */
#ifndef GATEWAY_ORIGINS_H
#define GATEWAY_ORIGINS_H

#include "common/buf.h"
#include "common/http.h"

/* A `check` of config.h: `*`, or origins parted by commas, each scheme://host or
 * scheme://host:port without path and slash, or `null`. */
const char *origins_check(const char *list);

/* May the page that sent the request talk to us? Scheme and host are compared without regard to
 * case, and the scheme's own port (80, 443) is none. Two Origins are nobody's. */
bool origins_allow(const char *list, const struct http_request *req);

/* Appends Access-Control-Allow-Origin and its like, to every answer; nothing for a page that is not
 * allowed. */
void origins_headers(const char *list, const struct http_request *req, struct buf **headers);

/* Appends what answers a preflight for a resource with these methods; likewise. */
void origins_preflight(const char *list, const struct http_request *req, const char *methods,
                       struct buf **headers);

#endif
