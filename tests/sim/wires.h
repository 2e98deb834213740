/* SPDX-License-Identifier: MIT */
/* The faults of the connections between the programs and the servers; wires.c is the link of
 * common/redis.h over them. */
#ifndef TESTS_SIM_WIRES_H
#define TESTS_SIM_WIRES_H

#include "server.h"

/* The next script of a process that writes meets its connection's end in the middle. */
enum trap {
    TRAP_NONE,
    TRAP_BEFORE, /* it is lost on the way there */
    TRAP_AFTER,  /* it runs, and the reply is lost */
    TRAP_LATE,   /* it runs when its sender has given up, perhaps when the next one has run */
    TRAPS,
};

extern struct server *master; /* whom the name leads to */

void wires_begin(void);

/* The connections of a process end now; it sees that. */
void wires_cut(struct process *p);
/* Nothing goes through any more, and nobody is told. */
void wires_stall(struct process *p);
/* From now on it takes that long in one direction, more or less. */
void wires_delay(struct process *p, uint64_t delay_us);
void wires_undelay(void);
/* All connections to a server end: it is gone, or drops its clients. */
void wires_end(struct server *s);
/* The process is no more: nobody sees the replies. */
void wires_abandon(struct process *p);

#endif
