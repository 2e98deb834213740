/* SPDX-License-Identifier: MIT */
/* Answers that several routes give. */
#ifndef GATEWAY_ANSWER_H
#define GATEWAY_ANSWER_H

#include "common/buf.h"
#include "common/server.h"

void answer_json(struct exchange *x, int status, struct str headers, struct str body);

/* {"detail":<errors>}, errors being a JSON value. */
void answer_detail(struct exchange *x, int status, struct str headers, struct str errors);

/* 422 with all that is wrong, which the errors tell, parted by commas. */
void answer_invalid(struct exchange *x, struct str errors);

/* 503 with Retry-After: 1. */
void answer_unavailable(struct exchange *x, const char *words);

#endif
