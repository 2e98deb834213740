/* SPDX-License-Identifier: MIT */
/* GET of one message by its id. */
#ifndef GATEWAY_LOOKUP_H
#define GATEWAY_LOOKUP_H

#include "gateway/routes.h"

/* GET /messages/{id}; segment is the id as the path has it. */
void lookup_message(struct routes *r, struct exchange *x, struct str segment);

/* Nothing is asked of Redis or the persister any more: before link and history go. */
void lookup_stop(void);

#endif
