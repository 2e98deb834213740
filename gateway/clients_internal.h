/* SPDX-License-Identifier: MIT */
/* What client.c and flush.c share. */
#ifndef GATEWAY_CLIENTS_INTERNAL_H
#define GATEWAY_CLIENTS_INTERNAL_H

#include "gateway/client.h"

struct clients {
    struct event_base *base;
    struct rooms *rooms;
    struct history *history;
    struct clients_config config;
    const struct clients_ops *ops;
    void *ctx;
    struct client *first;  /* all */
    size_t count, doomed;  /* of all; of those to be freed */
    struct client **owing; /* to be written: they have private bytes, or just joined */
    size_t nowing, owing_cap;
    struct clients_counts counts;
    struct fanout_times fanout;
};

/* clients_counts.c */
void client_count_close(struct client *c, enum close_by by, unsigned code);

/* Puts it among those to be written at the end of the turn. */
void clients_owe(struct client *c);

/* Ends it at once; freed at the end of a turn. */
void client_doom(struct client *c);

/* Reads on after a bound was met, if there is room again. */
void client_resume_reading(struct client *c);

/* Frees some of the doomed; true when more wait. */
bool clients_reap(struct clients *cs);

#endif
