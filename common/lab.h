/* SPDX-License-Identifier: MIT */
/*
 * The lab of a program that runs with LAB=1: it tells all others a few times a second what it is
 * doing, it knows what they told, and it does to itself the faults that it is asked for.
 * docs/LAB.md is the reader's side of it. Nothing of this exists without LAB=1.
 *
 *      this program ── tell ──► {prefix}:lab, a hash ──► what each one told last
 *      POST /lab/faults ──────► {prefix}:lab, a channel ──► the one that is named
 *
 * The board has a connection to Redis of its own, which no fault touches: a replica whose link is
 * paused goes on telling how it falls behind.
 */
#ifndef COMMON_LAB_H
#define COMMON_LAB_H

#include <event2/event_struct.h>

#include "common/log_link.h"

enum lab_fault {
    LAB_NO_FAULT,
    LAB_PAUSE_REDIS,  /* the link to Redis is cut, and not tried again before the end */
    LAB_DROP_REDIS,   /* the link to Redis is cut once */
    LAB_STOP_READING, /* what Redis pushes is not read; commands go on */
    LAB_EXIT,         /* the process ends without a word */
    LAB_FAULTS,
};

struct lab_config {
    const char *role, *name; /* borrowed for ever; the name is one of room_name_valid */
    const char *prefix;      /* borrowed during lab_new */
    struct log_link *log;    /* which the faults are done to; borrowed until lab_free */
};

/* Appends further members of a JSON object, each with a comma in front. */
typedef void (*lab_describe_fn)(void *ctx, struct buf **json);

enum lab_sent {
    LAB_DONE,         /* to this program itself */
    LAB_SENT,         /* to another one */
    LAB_UNKNOWN,      /* nobody of that name told anything lately */
    LAB_DISCONNECTED, /* the board's connection is down */
};

struct lab;

/* Starts at once. ctx is borrowed until lab_free. */
struct lab *lab_new(struct event_base *base, struct evdns_base *dns,
                    const struct lab_config *config, lab_describe_fn describe, void *ctx);

/* NULL is fine. */
void lab_free(struct lab *l);

/* Appends this program's state, as of now. */
void lab_state(const struct lab *l, struct buf **json);

/* Appends {"here":…,"board":…,"log":{…},"replicas":[{"age_ms":…,"state":{…}},…]}; the log and the
 * others' states are as they were told last. */
void lab_replicas(const struct lab *l, struct buf **json);

/* LAB_NO_FAULT for another word. */
enum lab_fault lab_fault_named(struct str word);

/* Does it, or sends it to whom it is for. seconds: from 1 to LAB_FAULT_S_MAX. */
enum lab_sent lab_fault_send(struct lab *l, struct str name, enum lab_fault fault,
                             unsigned seconds);

#endif
