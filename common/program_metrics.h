/* SPDX-License-Identifier: MIT */
/* The metrics that both programs have: what they are, their HTTP server, their side of the log.
 * docs/OPERATIONS.md lists all of them. */
#ifndef COMMON_PROGRAM_METRICS_H
#define COMMON_PROGRAM_METRICS_H

#include "common/log_link.h"
#include "common/metrics.h"
#include "common/server.h"

/* program: static, without quotes. */
void metrics_program(struct buf **out, const char *program, bool ready);

void metrics_server(struct buf **out, const struct server *s);

/* Of a link that was started; the positions in the log are the program's own to tell. */
void metrics_log_link(struct buf **out, const struct log_link *l, uint64_t now_ms);

/* Answers GET or HEAD with what stands in body. */
void metrics_respond(struct exchange *x, struct str body);

#endif
