/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong. A run has a mix, which says what may be lost, and some faults at random times;
 * each ends by itself, and at the end all is made whole, as an operator would.
 */
#include <inttypes.h>
#include <stdio.h>

#include "procs.h"
#include "wires.h"

enum {
    FAULTS_MAX = 12,
    LOADING_US = 200 * MS,
    TAIL_US = 2 * SECOND, /* what a file with appendfsync everysec may lack */
};

const char *const mix_names[MIXES] = {"safe", "lossy", "fail", "all"};

static enum mix mix;
static uint64_t end_us; /* of the faults */

static struct process *any_process(void)
{
    uint64_t n = draw_below(gateway_count + 1);
    return n == gateway_count ? &persister : &gateways[n].process;
}

/* ---- programs ---- */

static void gateway_start_cb(void *arg, uint64_t n)
{
    struct gateway *g = arg;
    (void)n;
    if (!g->process.alive)
        gateway_start(g);
}

static void persister_start_cb(void *arg, uint64_t n)
{
    (void)arg, (void)n;
    if (!persister.alive)
        persister_start();
}

static void kill_gateway(void)
{
    struct gateway *g = &gateways[draw_below(gateway_count)];
    gateway_kill(g);
    event_at(world.now_us + draw_between(0, 2 * SECOND), NULL, gateway_start_cb, g, 0);
}

static void kill_persister(void)
{
    persister_kill();
    uint64_t away_us = draw_between(0, draw_chance(20) ? 10 * SECOND : 2 * SECOND);
    event_at(world.now_us + away_us, NULL, persister_start_cb, NULL, 0);
}

static void stop_process(void)
{
    struct process *p = any_process();
    uint64_t for_us = draw_between(100 * MS, draw_chance(30) ? 8 * SECOND : 2 * SECOND);
    trace("%s is stopped for %.1f s", p->name, (double)for_us / SECOND);
    process_stop(p, world.now_us + for_us < end_us ? world.now_us + for_us : end_us);
}

/* ---- connections ---- */

static void cut_one(void)
{
    struct process *p = any_process();
    trace("%s is cut", p->name);
    wires_cut(p);
}

static void cut_all(void)
{
    trace("all are cut");
    wires_end(&servers[0]);
    wires_end(&servers[1]);
}

static void stall_one(void)
{
    struct process *p = any_process();
    trace("%s is stalled", p->name);
    wires_stall(p);
}

static void delay_one(void)
{
    struct process *p = any_process();
    trace("%s is far away", p->name);
    wires_delay(p, draw_between(10 * MS, 700 * MS));
}

static void cut_in_call(void)
{
    struct process *p = draw_chance(25) ? &persister : any_process();
    p->trap = (unsigned)draw_between(TRAP_BEFORE, TRAPS - 1);
}

/* Nothing in Redis does this to a connection that stays; the feed is to notice even so. */
static void swallow(void)
{
    struct process *p = any_process();
    p->deaf_to = (unsigned)draw_between(1, 3);
    trace("%u messages to %s are swallowed", p->deaf_to, p->name);
}

/* ---- servers ---- */

static void loaded_cb(void *arg, uint64_t life)
{
    struct server *s = arg;
    if (s->life == life)
        s->loading = false;
}

static void server_start_cb(void *arg, uint64_t life)
{
    struct server *s = arg;
    if (s->life != life || s->up)
        return;
    s->up = true;
    s->loading = true;
    server_replid_new(s);
    trace("%c starts", s->name);
    event_at(world.now_us + draw_between(0, LOADING_US), NULL, loaded_cb, s, life);
}

static void server_down(struct server *s)
{
    trace("%c ends", s->name);
    s->up = false;
    s->loading = false;
    wires_end(s);
    s->life++;
}

static void server_restart(struct server *s, size_t written)
{
    if (!s->up)
        return;
    server_down(s);
    if (written < s->written)
        server_load(s, s, written);
    if (s == master)
        checks_data_changed();
    event_at(world.now_us + draw_between(10 * MS, 2 * SECOND), NULL, server_start_cb, s, s->life);
}

static void restart_whole(void)
{
    server_restart(master, master->written);
}

static void restart_without_tail(void)
{
    trace("the tail of the file is lost");
    server_restart(master, server_written_until(master, world.now_us - draw_below(TAIL_US)));
}

static void restart_older(void)
{
    trace("an older copy of the file");
    server_restart(master, server_written_until(master, draw_between(SECOND, world.now_us)));
}

static void restart_empty(void)
{
    trace("the file is gone");
    server_restart(master, 0);
}

/* An entry that is stored goes from the stream, and its key, by somebody's hand. */
static void lose_entry(struct server *s, const struct row *row)
{
    char id[32];
    int n = snprintf(id, sizeof id, "%" PRIu64 "-0", row->id);
    const struct str xdel[] = {STR("XDEL"), STR("{chat}:log"), {id, (size_t)n}};
    const struct str del[] = {STR("DEL"), row->key};
    trace("the hand takes %" PRIu64, row->id);
    server_command(s, xdel, 3);
    const struct key *k = row->key.len ? db_find(&s->db, row->key, 0) : NULL;
    if (k && k->value.len >= row->value.len && memcmp(k->value.p, row->value.p, (size_t)n - 1) == 0)
        server_command(s, del, 2);
}

/* Some of the stored entries, anywhere or the newest ones: the stream does not take them again. */
static void restart_holed(void)
{
    const struct key *log = db_find(&master->db, STR("{chat}:log"), 0);
    if (!master->up || master->loading || !log || log->type != KEY_STREAM)
        return;
    trace("a hand deletes from the log");
    server_down(master);
    bool newest = draw_chance(50);
    for (uint64_t n = draw_between(1, 6); n; n--) {
        if (!log->count)
            break;
        size_t i = newest ? log->count - 1 : draw_below(log->count);
        const struct row *row = row_find(log->items[log->first + i].ms);
        if (row)
            lose_entry(master, row);
        else if (newest)
            break;
    }
    checks_data_changed();
    event_at(world.now_us + draw_between(10 * MS, 2 * SECOND), NULL, server_start_cb, master,
             master->life);
}

static void flush_all(void)
{
    const struct str word = STR("FLUSHALL");
    trace("FLUSHALL");
    if (!master->up || master->loading)
        return;
    server_command(master, &word, 1);
    checks_data_changed();
}

/* The first replica comes: only the id changes. */
static void attach_replica(void)
{
    trace("%c has another replication id", master->name);
    server_replid_new(master);
}

static void memory_cb(void *arg, uint64_t n)
{
    struct server *s = arg;
    (void)n;
    s->oom = s->refuse = NULL;
}

static void refuse_writes(void)
{
    bool memory = draw_chance(50);
    trace("%c refuses %s", master->name, memory ? "what needs memory" : "all writes");
    if (memory)
        master->oom = "OOM command not allowed when used memory > 'maxmemory'.";
    else
        master->refuse = draw_chance(50) ? "MISCONF Redis is configured to save RDB snapshots"
                                         : "NOREPLICAS Not enough good replicas to write.";
    event_at(world.now_us + draw_between(300 * MS, 4 * SECOND), NULL, memory_cb, master, 0);
}

static void turn_clock(void)
{
    static const int64_t steps[] = {-3600, -10, -1, 2, 60};
    int64_t step = steps[draw_below(5)];
    trace("the clock of %c goes by %d s", master->name, (int)step);
    master->clock_us += step * SECOND;
}

/* ---- failovers ---- */

/* The other one is whole again, as the new master's replica. */
static void rejoin(void)
{
    struct server *old = &servers[master == &servers[0]];
    for (size_t i = 0; i < gateway_count; i++)
        gateways[i].process.stranded = NULL;
    persister.stranded = NULL;
    if (old->replica && old->up)
        return;
    trace("%c follows %c", old->name, master->name);
    if (!old->up) {
        old->life++;
        old->up = true;
    }
    old->loading = false;
    old->replica = true;
    old->oom = old->refuse = NULL;
    server_load(old, master, master->written);
    server_replid_set(old, master->replid);
}

static void rejoin_cb(void *arg, uint64_t n)
{
    (void)arg, (void)n;
    rejoin();
}

/* With a split, some processes still see the old master, which goes on. */
static void fail_over(void)
{
    struct server *old = master, *new = &servers[master == &servers[0]];
    if (!new->up)
        return;
    bool split = draw_chance(50) && old->up;
    uint64_t lag_us = draw_chance(30) ? 0 : draw_below(draw_chance(20) ? 3 * SECOND : 200 * MS);
    bool itself = !new->replica; /* promoted again with what it had */
    trace("failover from %c to %c%s, %.0f ms behind", old->name, new->name,
          split ? ", with a split" : "", (double)lag_us / MS);
    if (!itself)
        server_load(new, old, server_written_until(old, world.now_us - lag_us));
    new->replica = false;
    new->loading = false;
    server_replid_new(new);
    master = new;
    checks_data_changed();
    if (!split && old->up)
        server_down(old);
    for (size_t i = 0; split && i <= gateway_count; i++) {
        struct process *p = i == gateway_count ? &persister : &gateways[i].process;
        if (draw_chance(50))
            p->stranded = old;
        else
            wires_cut(p);
    }
    event_at(world.now_us + draw_between(SECOND / 2, 6 * SECOND), NULL, rejoin_cb, NULL, 0);
}

/* ---- the disk ---- */

static void disk_cb(void *arg, uint64_t n)
{
    (void)arg, (void)n;
    disk_file.disk = DISK_GOOD;
}

static void spoil_disk(void)
{
    disk_file.disk = draw_chance(50) ? DISK_SLOW : DISK_FAILING;
    trace("the disk %s", disk_file.disk == DISK_SLOW ? "is slow" : "fails");
    event_at(world.now_us + draw_between(SECOND / 2, 4 * SECOND), NULL, disk_cb, NULL, 0);
}

/* ---- which, and when ---- */

struct fault {
    void (*run)(void);
    unsigned weight[MIXES]; /* in each mix */
};

static const struct fault faults[] = {
    {kill_gateway, {10, 6, 6, 6}},
    {kill_persister, {10, 8, 8, 8}},
    {stop_process, {10, 6, 6, 6}},
    {cut_one, {12, 8, 8, 8}},
    {cut_all, {5, 3, 3, 3}},
    {stall_one, {10, 6, 6, 6}},
    {cut_in_call, {20, 16, 16, 16}},
    {swallow, {5, 3, 3, 3}},
    {delay_one, {8, 4, 4, 4}},
    {restart_whole, {12, 6, 6, 4}},
    {attach_replica, {4, 2, 2, 2}},
    {refuse_writes, {8, 4, 4, 4}},
    {turn_clock, {4, 3, 3, 3}},
    {spoil_disk, {8, 5, 5, 5}},
    {restart_without_tail, {0, 14, 0, 7}},
    {restart_older, {0, 8, 0, 4}},
    {restart_empty, {0, 8, 0, 4}},
    {flush_all, {0, 6, 0, 4}},
    {restart_holed, {0, 0, 0, 6}},
    {fail_over, {0, 0, 30, 16}},
};

static void fault_cb(void *arg, uint64_t n)
{
    (void)arg, (void)n;
    uint64_t total = 0;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        total += faults[i].weight[mix];
    uint64_t at = draw_below(total);
    for (size_t i = 0;; at -= faults[i++].weight[mix])
        if (at < faults[i].weight[mix]) {
            faults[i].run();
            return;
        }
}

void faults_begin(enum mix m, uint64_t until_us)
{
    mix = m;
    end_us = until_us;
    for (uint64_t n = draw_between(1, FAULTS_MAX); n; n--)
        event_at(draw_between(world.now_us + SECOND, until_us), NULL, fault_cb, NULL, 0);
}

/* All is whole from here on; what was begun may still end later, and does no harm. */
void faults_heal(void)
{
    trace("all is made whole");
    disk_file.disk = DISK_GOOD;
    wires_undelay();
    persister.trap = TRAP_NONE;
    for (int i = 0; i < SERVERS; i++)
        servers[i].oom = servers[i].refuse = NULL;
    if (!master->up)
        server_start_cb(master, master->life);
    master->loading = false;
    if (mix == MIX_FAIL || mix == MIX_ALL)
        rejoin();
    for (size_t i = 0; i < gateway_count; i++)
        gateway_start_cb(&gateways[i], 0);
    persister_start_cb(NULL, 0);
}
