/* SPDX-License-Identifier: MIT */
/*
 * What a simulated run is made of: one seed, one virtual clock, one queue of events, memory that is
 * given back at once. Everything that is drawn, is drawn here, so a seed repeats exactly.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/str.h"

enum {
    MS = 1000, /* in microseconds, the unit of the virtual clock */
    SECOND = 1000000,
};

/* A gateway or the persister. What is on its way to it waits while it is stopped, and is lost when
 * it dies. */
struct process {
    char name[24];
    bool alive;
    uint32_t life;                   /* changes at each death */
    uint64_t paused_us;              /* stopped until then */
    struct redis *redis;             /* its link */
    unsigned trap;                   /* what happens to its next script: enum trap of wires.h */
    unsigned deaf_to;                /* so many messages to its subscription are swallowed */
    struct server *stranded;         /* the side of a split that it sees, NULL: the master */
    void (*turn)(struct process *p); /* the end of a loop's turn, or NULL */
};

struct world {
    uint64_t seed;
    uint64_t now_us;
    uint64_t rng[2];
    uint64_t events; /* run so far */
    bool failed;
    bool verbose;
    bool settling; /* no faults any more */
    char violation[512];
};

extern struct world world;

/* ---- chance ---- */

uint64_t draw(void);
uint64_t draw_below(uint64_t n);                    /* 0 … n - 1 */
uint64_t draw_between(uint64_t low, uint64_t high); /* both included */
bool draw_chance(unsigned percent);

/* ---- memory of this run ---- */

void *arena_alloc(size_t size); /* zeroed; lives until the run ends */
struct str arena_str(struct str s);
struct str arena_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A larger copy of an array of count elements; *cap is doubled. */
void *arena_grow(const void *old, size_t count, size_t *cap, size_t size);

/* ---- events ---- */

typedef void (*event_fn)(void *arg, uint64_t n);

/* p: whose event it is, or NULL. */
void event_at(uint64_t when_us, struct process *p, event_fn fn, void *arg, uint64_t n);
/* Runs the next event; false when there is none up to until_us. */
bool event_run(uint64_t until_us);

void process_stop(struct process *p, uint64_t until_us);
void process_die(struct process *p);

/* ---- the run ---- */

void world_begin(uint64_t seed, bool verbose);
void world_end(void);

/* A broken promise: the run ends, and the first one is told. */
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line of -v. */
void trace_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define trace(...) (world.verbose ? trace_line(__VA_ARGS__) : (void)0)

#endif
