/* SPDX-License-Identifier: MIT */
/*
 * CPU time comes from schedstat, which counts nanoseconds where stat counts ticks of 10 ms: short
 * runs would be lost in those.
 */
#include "tests/bench/procs.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t threads_cpu_ns(pid_t pid)
{
    char path[300];
    uint64_t sum = 0, ns;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *e; tasks && (e = readdir(tasks));) {
        if (!isdigit((unsigned char)*e->d_name))
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, e->d_name);
        FILE *f = fopen(path, "r");
        if (f && fscanf(f, "%" SCNu64, &ns) == 1)
            sum += ns;
        if (f)
            fclose(f);
    }
    if (tasks)
        closedir(tasks);
    return sum;
}

/* The number behind a word at the start of a line; 0 when there is none. */
static uint64_t file_number(const char *path, const char *word)
{
    char line[256];
    uint64_t number = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, word, strlen(word)) == 0) {
            sscanf(line + strlen(word), "%" SCNu64, &number);
            break;
        }
    if (f)
        fclose(f);
    return number;
}

static uint64_t tcp_bytes(void)
{
    char line[256];
    uint64_t pages = 0;
    FILE *f = fopen("/proc/net/sockstat", "r");
    while (f && fgets(line, sizeof line, f)) {
        const char *mem = strncmp(line, "TCP:", 4) == 0 ? strstr(line, " mem ") : NULL;
        if (mem)
            sscanf(mem + 5, "%" SCNu64, &pages);
    }
    if (f)
        fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void procs_take(struct procs_sample *s, const pid_t *pids, size_t count)
{
    char path[64];
    struct timespec own;
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/proc/%d/status", pids[i]);
        s->cpu_ns[i] = threads_cpu_ns(pids[i]);
        s->user_bytes[i] = file_number(path, "RssAnon:") * 1024;
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    s->own_cpu_ns = (uint64_t)own.tv_sec * 1000000000 + (uint64_t)own.tv_nsec;
    s->tcp_bytes = tcp_bytes();
}

const char *procs_name(pid_t pid)
{
    static char name[64];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    FILE *f = fopen(path, "r");
    *name = '\0';
    if (f && fgets(name, sizeof name, f))
        name[strcspn(name, "\n")] = '\0';
    if (f)
        fclose(f);
    return name;
}
