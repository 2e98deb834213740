/* SPDX-License-Identifier: MIT */
/* The gateway's /metrics; docs/OPERATIONS.md tells what each one means. */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H

#include "gateway/routes.h"

void metrics_answer(struct routes *r, struct exchange *x);

#endif
