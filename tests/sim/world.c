/* SPDX-License-Identifier: MIT */
/*
 * The seed, the clock and the queue; see world.h. Events of the same time run in the order in which
 * they were made. An event of a stopped process is put off to its end, in the old order; one of a
 * process that died is dropped.
 */
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/mem.h"

enum {
    BLOCK_BYTES = 1 << 20,
};

struct world world;

/* ---- chance: xorshift128+, seeded by splitmix64 ---- */

static uint64_t split(uint64_t *x)
{
    uint64_t z = *x += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t draw(void)
{
    uint64_t x = world.rng[0], y = world.rng[1];
    world.rng[0] = y;
    x ^= x << 23;
    world.rng[1] = x ^ y ^ (x >> 17) ^ (y >> 26);
    return world.rng[1] + y;
}

uint64_t draw_below(uint64_t n)
{
    return draw() % n;
}

uint64_t draw_between(uint64_t low, uint64_t high)
{
    return low + draw_below(high - low + 1);
}

bool draw_chance(unsigned percent)
{
    return draw_below(100) < percent;
}

/* ---- memory ---- */

struct block {
    struct block *next;
    size_t used, size;
    char bytes[] __attribute__((aligned(16)));
};

static struct block *blocks, *current; /* all; the one that is being filled */

void *arena_alloc(size_t size)
{
    size = (size + 15) & ~(size_t)15;
    while (!current || current->used + size > current->size) {
        if (current && current->next) {
            current = current->next;
            continue;
        }
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        struct block *b = mem_alloc(sizeof *b + room);
        *b = (struct block){.size = room};
        if (current)
            current->next = b;
        else
            blocks = b;
        current = b;
    }
    void *at = current->bytes + current->used;
    current->used += size;
    return memset(at, 0, size);
}

static void arena_reset(void)
{
    for (struct block *b = blocks; b; b = b->next)
        b->used = 0;
    current = blocks;
}

struct str arena_str(struct str s)
{
    char *p = arena_alloc(s.len + 1);
    if (s.len)
        memcpy(p, s.p, s.len);
    return (struct str){p, s.len};
}

struct str arena_printf(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return arena_str((struct str){text, (size_t)n});
}

void *arena_grow(const void *old, size_t count, size_t *cap, size_t size)
{
    *cap = *cap ? 2 * *cap : 8;
    char *p = arena_alloc(*cap * size);
    if (count)
        memcpy(p, old, count * size);
    return p;
}

/* ---- the queue: a heap by time, then by number ---- */

struct event_entry {
    uint64_t when_us, number;
    struct process *process;
    event_fn fn;
    void *arg;
    uint64_t n;
    uint32_t life;
};

static struct event_entry *heap;
static size_t heap_count, heap_cap;
static uint64_t numbers;

static bool before(const struct event_entry *a, const struct event_entry *b)
{
    return a->when_us < b->when_us || (a->when_us == b->when_us && a->number < b->number);
}

static void heap_push(struct event_entry e)
{
    if (heap_count == heap_cap) {
        heap_cap = heap_cap ? 2 * heap_cap : 1024;
        heap = mem_grow(heap, heap_cap, sizeof *heap);
    }
    size_t i = heap_count++;
    for (; i && before(&e, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = e;
}

static struct event_entry heap_pop(void)
{
    struct event_entry top = heap[0], last = heap[--heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < heap_count; i = child) {
        if (child + 1 < heap_count && before(&heap[child + 1], &heap[child]))
            child++;
        if (before(&last, &heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

void event_at(uint64_t when_us, struct process *p, event_fn fn, void *arg, uint64_t n)
{
    heap_push((struct event_entry){when_us, numbers++, p, fn, arg, n, p ? p->life : 0});
}

bool event_run(uint64_t until_us)
{
    while (heap_count && heap[0].when_us <= until_us) {
        struct event_entry e = heap_pop();
        struct process *p = e.process;
        if (p && p->life != e.life)
            continue;
        if (p && p->paused_us > e.when_us) {
            e.when_us = p->paused_us; /* the number stays, and with it the order */
            heap_push(e);
            continue;
        }
        world.now_us = e.when_us;
        world.events++;
        e.fn(e.arg, e.n);
        if (p && p->alive && p->turn && p->life == e.life)
            p->turn(p);
        return true;
    }
    return false;
}

void process_stop(struct process *p, uint64_t until_us)
{
    if (until_us > p->paused_us)
        p->paused_us = until_us;
}

void process_die(struct process *p)
{
    p->alive = false;
    p->life++;
    p->paused_us = 0;
}

/* ---- the run ---- */

void world_begin(uint64_t seed, bool verbose)
{
    uint64_t x = seed;
    world = (struct world){.seed = seed, .verbose = verbose};
    world.rng[0] = split(&x);
    world.rng[1] = split(&x);
    world.now_us = SECOND;
    heap_count = 0;
    numbers = 0;
}

void world_end(void)
{
    heap_count = 0;
    arena_reset();
}

void violation(const char *format, ...)
{
    if (world.failed)
        return;
    world.failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(world.violation, sizeof world.violation, format, args);
    va_end(args);
    trace("VIOLATION %s", world.violation);
}

void trace_line(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%8.3f ", (double)world.now_us / SECOND);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}
