/* SPDX-License-Identifier: MIT */
/* Prometheus' text format; see metrics.h. Durations are counted in microseconds and told in
 * seconds, as the conventions want. */
#include "common/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static const uint64_t bounds_us[HISTOGRAM_BOUNDS] = {
    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

enum {
    SECOND_US = 1000000,
};

void metrics_family(struct buf **out, enum metric_type type, const char *name, const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

void metrics_sample(struct buf **out, const char *name, const char *labels, uint64_t value)
{
    if (*labels)
        buf_printf(out, "%s{%s} %" PRIu64 "\n", name, labels, value);
    else
        buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

void metrics_counter(struct buf **out, const char *name, const char *help, uint64_t value)
{
    metrics_family(out, METRIC_COUNTER, name, help);
    metrics_sample(out, name, "", value);
}

void metrics_gauge(struct buf **out, const char *name, const char *help, uint64_t value)
{
    metrics_family(out, METRIC_GAUGE, name, help);
    metrics_sample(out, name, "", value);
}

static void seconds(struct buf **out, const char *name, uint64_t us)
{
    buf_printf(out, "%s %" PRIu64 ".%06" PRIu64 "\n", name, us / SECOND_US, us % SECOND_US);
}

void metrics_gauge_ms(struct buf **out, const char *name, const char *help, uint64_t ms)
{
    metrics_family(out, METRIC_GAUGE, name, help);
    seconds(out, name, ms * 1000);
}

/* ---- histograms ---- */

void histogram_add(struct histogram *h, uint64_t us)
{
    size_t i = 0;
    while (i < HISTOGRAM_BOUNDS && us > bounds_us[i])
        i++;
    h->counts[i]++;
    h->sum_us += us;
}

void metrics_histogram(struct buf **out, const char *name, const char *help,
                       const struct histogram *h)
{
    uint64_t count = 0;
    metrics_family(out, METRIC_HISTOGRAM, name, help);
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        count += h->counts[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                   (double)bounds_us[i] / (double)SECOND_US, count);
    }
    count += h->counts[HISTOGRAM_BOUNDS];
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    buf_printf(out, "%s_sum %" PRIu64 ".%06" PRIu64 "\n", name, h->sum_us / SECOND_US,
               h->sum_us % SECOND_US);
    buf_printf(out, "%s_count %" PRIu64 "\n", name, count);
}

/* ---- this process ---- */

static uint64_t time_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * SECOND_US + (uint64_t)t.tv_usec;
}

static uint64_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_descriptors(void)
{
    uint64_t count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        count++;
    if (d)
        closedir(d);
    return count > 3 ? count - 3 : 0; /* the two dots, and the folder itself */
}

void metrics_process(struct buf **out)
{
    struct rusage used = {0};
    struct rlimit files = {0};
    getrusage(RUSAGE_SELF, &used);
    getrlimit(RLIMIT_NOFILE, &files);
    metrics_family(out, METRIC_COUNTER, "process_cpu_seconds_total",
                   "User and system CPU time spent.");
    seconds(out, "process_cpu_seconds_total", time_us(used.ru_utime) + time_us(used.ru_stime));
    metrics_gauge(out, "process_resident_memory_bytes", "Resident memory.", resident_bytes());
    metrics_gauge(out, "process_open_fds", "Open file descriptors.", open_descriptors());
    metrics_gauge(out, "process_max_fds", "Most file descriptors that may be open.",
                  files.rlim_cur);
}
