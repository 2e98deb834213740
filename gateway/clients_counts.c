/* SPDX-License-Identifier: MIT */
/* What is counted of clients, and who may look. */
#include "gateway/clients_internal.h"

const unsigned clients_close_codes[CLOSE_CODES] = {1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008,
                                                   1009, 1010, 1011, 1012, 1013, 4008, 4429, 0};

const struct clients_counts *clients_counts(const struct clients *cs)
{
    return &cs->counts;
}

const struct histogram *clients_fanout_seconds(const struct clients *cs)
{
    return &cs->fanout.seconds;
}

void client_count_close(struct client *c, enum close_by by, unsigned code)
{
    size_t i = 0;
    while (i < CLOSE_CODES - 1 && clients_close_codes[i] != code)
        i++;
    c->clients->counts.closed[by][i]++;
}
