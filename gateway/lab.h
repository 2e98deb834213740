/* SPDX-License-Identifier: MIT */
/*
 * The gateway's part in the lab (common/lab.h): what it tells of itself, the chain over its own
 * feed, and the routes.
 *
 *   GET /lab/state        this gateway
 *   GET /lab/replicas     all programs, and the log in Redis
 *   POST /lab/faults      {"replica":"gateway-8081","fault":"pause_redis","seconds":10}
 */
#ifndef GATEWAY_LAB_H
#define GATEWAY_LAB_H

#include "common/server.h"
#include "gateway/client.h"
#include "gateway/link.h"
#include "gateway/settings.h"

struct gateway_lab;

/* All are borrowed until gateway_lab_free. */
struct gateway_lab *gateway_lab_new(struct event_base *base, struct evdns_base *dns,
                                    const struct settings *settings, struct link *link,
                                    const struct clients *clients);

/* In two steps: no callback of the link is left between them. NULL is fine in both. */
void gateway_lab_stop(struct gateway_lab *g);
void gateway_lab_free(struct gateway_lab *g);

/* Is it one of the paths that are read, or the one that faults are sent to? */
bool gateway_lab_reads(struct str path);
bool gateway_lab_faults(struct str path);

/* Answers a request for one of them; the method fits. */
void gateway_lab_answer(struct gateway_lab *g, struct exchange *x, const struct http_request *req,
                        struct str body);

#endif
