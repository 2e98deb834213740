/* SPDX-License-Identifier: MIT */
/* What is on ADMIN_PORT: GET /metrics. Nothing of it is on PORT then. */
#ifndef GATEWAY_ADMIN_H
#define GATEWAY_ADMIN_H

#include "common/server.h"

enum {
    ADMIN_CONNS_MAX = 64,
};

/* ctx is the struct routes. */
extern const struct server_ops admin_ops;

#endif
