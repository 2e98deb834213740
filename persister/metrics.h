/* SPDX-License-Identifier: MIT */
/* The persister's /metrics; docs/OPERATIONS.md tells what each one means. */
#ifndef PERSISTER_METRICS_H
#define PERSISTER_METRICS_H

#include "common/server.h"
#include "persister/link.h"
#include "persister/routes.h"

/* What they are of; borrowed during the call. */
struct metrics_of {
    const struct server *server;
    struct routes *routes;
    struct store *store;
    const struct link *link;
    uint64_t backlog_max; /* BACKLOG_LIMIT */
};

void metrics_write(const struct metrics_of *of, struct buf **out);

#endif
