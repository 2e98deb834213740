/* SPDX-License-Identifier: MIT */
/* The persister's part in the lab (common/lab.h): what it tells of itself. */
#ifndef PERSISTER_LAB_H
#define PERSISTER_LAB_H

#include "persister/link.h"
#include "persister/settings.h"
#include "persister/store.h"

struct persister_lab;

/* All are borrowed until persister_lab_free. */
struct persister_lab *persister_lab_new(struct event_base *base, struct evdns_base *dns,
                                        const struct settings *settings, struct link *link,
                                        struct store *store);

/* Before the link is stopped. NULL is fine. */
void persister_lab_free(struct persister_lab *p);

#endif
