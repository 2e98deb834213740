/* SPDX-License-Identifier: MIT */
/*
 * The simulator: whole clusters in one process, by a virtual clock, a seed each. See
 * docs/SIMULATOR.md.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "procs.h"
#include "wires.h"

enum {
    FAULTS_END_US = 12 * SECOND,
    PROBES_US = 9 * SECOND, /* after the last fault a post must get through */
    END_US = 14 * SECOND,   /* after it everybody has everything */
    TOLD_MAX = 20,          /* failing seeds that are printed */
};

static struct totals {
    uint64_t seeds, failed, events, rows;
} totals;

static const char *mix_wanted;

static double real_s(void)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static enum mix mix_of(uint64_t seed)
{
    for (int i = 0; mix_wanted && i < MIXES; i++)
        if (strcmp(mix_wanted, mix_names[i]) == 0)
            return (enum mix)i;
    return (enum mix)(seed % MIXES);
}

static void run_until(uint64_t until_us)
{
    while (!world.failed && event_run(until_us))
        ;
    world.now_us = until_us;
}

static bool run_seed(uint64_t seed, bool verbose)
{
    world_begin(seed, verbose);
    enum mix mix = mix_of(seed);
    trace("seed %" PRIu64 ", mix %s", seed, mix_names[mix]);
    wires_begin();
    checks_begin();
    peers_begin();
    persister_begin();
    gateways_begin(draw_between(2, GATEWAYS_MAX));
    people_begin((unsigned)draw_between(60, 300));
    faults_begin(mix, FAULTS_END_US);
    run_until(FAULTS_END_US);
    world.settling = true;
    faults_heal();
    run_until(FAULTS_END_US + PROBES_US);
    people_probe();
    run_until(FAULTS_END_US + END_US);
    if (!world.failed)
        checks_end();
    totals.events += world.events;
    totals.rows += disk_file.count;
    bool failed = world.failed;
    gateways_end();
    persister_end();
    people_end();
    if (failed)
        printf("seed %" PRIu64 " (mix %s): %s\n", seed, mix_names[mix], world.violation);
    world_end();
    totals.seeds++;
    totals.failed += failed;
    return !failed;
}

/* An assertion of the engines is a violation too: which seed, and then the core. */
static void aborted(int number)
{
    static const char words[] = "sim: aborted in this seed: ";
    char text[sizeof words + 24];
    int n = snprintf(text, sizeof text, "%s%" PRIu64 "\n", words, world.seed);
    fflush(stdout);
    if (write(STDERR_FILENO, text, (size_t)n) == n)
        signal(number, SIG_DFL);
    raise(number);
}

/* Seeds that once failed, one a line; what follows the number is what they found. */
static bool run_list(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[256];
    if (!f) {
        fprintf(stderr, "sim: cannot read %s\n", path);
        return false;
    }
    while (fgets(line, sizeof line, f))
        if (line[0] >= '0' && line[0] <= '9')
            run_seed(strtoull(line, NULL, 10), false);
    fclose(f);
    return true;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: sim [--seeds N] [--first N] [--seed N [-v]] [--list FILE] [--mix NAME]\n"
            "           [--lua FOLDER] [--stop]\n"
            "mixes: safe lossy fail all; --lua: scripts of a folder; --stop: at the first\n"
            "seed that fails\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seeds", required_argument, NULL, 'n'},
                                            {"first", required_argument, NULL, 'f'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"list", required_argument, NULL, 'l'},
                                            {"mix", required_argument, NULL, 'm'},
                                            {"lua", required_argument, NULL, 'L'},
                                            {"model", no_argument, NULL, 'M'},
                                            {"stop", no_argument, NULL, 'x'},
                                            {NULL, 0, NULL, 0}};
    uint64_t seeds = 1000, first = 1;
    bool verbose = false, stop = false;
    const char *list = NULL, *lua = NULL;
    for (int c; (c = getopt_long(argc, argv, "v", options, NULL)) != -1;) {
        switch (c) {
        case 'n':
            seeds = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            first = strtoull(optarg, NULL, 10);
            break;
        case 's':
            first = strtoull(optarg, NULL, 10);
            seeds = 1;
            break;
        case 'l':
            list = optarg;
            break;
        case 'm':
            mix_wanted = optarg;
            break;
        case 'L':
            lua = optarg;
            break;
        case 'M':
            return scripts_begin(NULL) && model_serve() ? 0 : 1;
        case 'x':
            stop = true;
            break;
        case 'v':
            verbose = true;
            break;
        default:
            return usage();
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGABRT, aborted);
    signal(SIGSEGV, aborted);
    log_init("sim", verbose ? LOG_INFO : (enum log_level)(LOG_ERROR + 1), false);
    double start_s = real_s();
    if (!scripts_begin(lua) || (list && !run_list(list)))
        return 2;
    for (uint64_t i = 0; i < seeds && totals.failed < TOLD_MAX && !(stop && totals.failed); i++)
        run_seed(first + i, verbose);
    double took_s = real_s() - start_s;
    printf("%" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " events, %" PRIu64
           " messages stored; %.1f s, %.0f seeds a minute\n",
           totals.seeds, totals.failed, totals.events, totals.rows, took_s,
           (double)totals.seeds / took_s * 60);
    scripts_end();
    return totals.failed ? 1 : 0;
}
