/* SPDX-License-Identifier: MIT */
/* The files of gateway/web/ that are compiled in, served as they are or packed with gzip. */
#ifndef GATEWAY_ASSETS_H
#define GATEWAY_ASSETS_H

#include "common/server.h"

struct asset;

/* Computes the entity tags; once, before anything else here. Without lab, its page's files do not
 * exist. */
void assets_init(bool lab);

/* What a path names, or NULL. */
const struct asset *asset_find(struct str path);

/* Answers GET or HEAD: 200, or 304 where If-None-Match names what would be sent. */
void asset_answer(const struct asset *a, struct exchange *x, const struct http_request *req);

#endif
