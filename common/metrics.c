/* SPDX-License-Identifier: MIT */
/* Prometheus' text format; see metrics.h. Durations are counted in microseconds and told in
 * seconds, as the conventions want. */
#include "common/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
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

void metrics_histogram_samples(struct buf **out, const char *name, const char *labels,
                               const struct histogram *h)
{
    const char *comma = *labels ? "," : "", *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    uint64_t count = 0;
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        count += h->counts[i];
        buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma,
                   (double)bounds_us[i] / (double)SECOND_US, count);
    }
    count += h->counts[HISTOGRAM_BOUNDS];
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count);
    buf_printf(out, "%s_sum%s%s%s %" PRIu64 ".%06" PRIu64 "\n", name, open, labels, close,
               h->sum_us / SECOND_US, h->sum_us % SECOND_US);
    buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, count);
}

void metrics_histogram(struct buf **out, const char *name, const char *help,
                       const struct histogram *h)
{
    metrics_family(out, METRIC_HISTOGRAM, name, help);
    metrics_histogram_samples(out, name, "", h);
}

/* ---- this process ---- */

static uint64_t time_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * SECOND_US + (uint64_t)t.tv_usec;
}

static void memory_bytes(uint64_t *virtual_bytes, uint64_t *resident)
{
    unsigned long pages = 0, resident_pages = 0;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lu %lu", &pages, &resident_pages) != 2)
        pages = resident_pages = 0;
    if (f)
        fclose(f);
    *virtual_bytes = pages * page;
    *resident = resident_pages * page;
}

/* Since Linux 6.2 the size of the folder is their number; older kernels say 0, and then they are
 * counted one by one, which costs some milliseconds for each ten thousand. */
static uint64_t open_descriptors(void)
{
    struct stat folder;
    uint64_t count = 0;
    if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0)
        return (uint64_t)folder.st_size;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        count++;
    if (d)
        closedir(d);
    return count > 3 ? count - 3 : 0; /* the two dots, and the folder itself */
}

/* Unix time, us. The 22nd field of stat is in ticks since the machine started; the name, the second
 * one, may hold spaces and ends at the last parenthesis. */
static uint64_t start_time_us(void)
{
    char line[1024];
    unsigned long long ticks = 0;
    struct timespec now, up;
    FILE *f = fopen("/proc/self/stat", "re");
    size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f)
        fclose(f);
    line[n] = 0;
    const char *fields = strrchr(line, ')');
    if (!fields || sscanf(fields,
                          ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                          "%*d %*d %llu",
                          &ticks) != 1)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    int64_t booted_us =
        ((int64_t)now.tv_sec - up.tv_sec) * SECOND_US + ((int64_t)now.tv_nsec - up.tv_nsec) / 1000;
    return (uint64_t)booted_us + ticks * SECOND_US / (uint64_t)sysconf(_SC_CLK_TCK);
}

void metrics_process(struct buf **out)
{
    struct rusage used = {0};
    struct rlimit files = {0};
    uint64_t virtual_bytes, resident;
    getrusage(RUSAGE_SELF, &used);
    getrlimit(RLIMIT_NOFILE, &files);
    memory_bytes(&virtual_bytes, &resident);
    metrics_family(out, METRIC_GAUGE, "process_start_time_seconds",
                   "Start time of the process since unix epoch in seconds.");
    seconds(out, "process_start_time_seconds", start_time_us());
    metrics_family(out, METRIC_COUNTER, "process_cpu_seconds_total",
                   "User and system CPU time spent.");
    seconds(out, "process_cpu_seconds_total", time_us(used.ru_utime) + time_us(used.ru_stime));
    metrics_gauge(out, "process_resident_memory_bytes", "Resident memory.", resident);
    metrics_gauge(out, "process_virtual_memory_bytes", "Virtual memory.", virtual_bytes);
    metrics_gauge(out, "process_open_fds", "Open file descriptors.", open_descriptors());
    metrics_gauge(out, "process_max_fds", "Most file descriptors that may be open.",
                  files.rlim_cur);
}
