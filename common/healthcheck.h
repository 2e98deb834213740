/* SPDX-License-Identifier: MIT */
/* The program as its own probe, for images that hold nothing else: --healthcheck. */
#ifndef COMMON_HEALTHCHECK_H
#define COMMON_HEALTHCHECK_H

#include <stdbool.h>

/* Is --healthcheck among the arguments? */
bool healthcheck_asked(int argc, char **argv);

/*
 * Asks the process that runs with the same settings for /livez: PORT (else port) and HOST are taken
 * from the arguments and the environment; a HOST that means every address is asked for as loopback.
 * Blocks for HEALTHCHECK_MS at most, writes one line, and returns what to exit with: 0 when the
 * answer was 200, else 1.
 */
int healthcheck_run(const char *program, const char *port, int argc, char **argv);

#endif
