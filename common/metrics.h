/* SPDX-License-Identifier: MIT */
/*
 * Metrics in Prometheus' text format (version 0.0.4). There is no registry: a part of the program
 * counts in plain numbers of its own, and writes them out when it is asked. Pure.
 */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include <stdint.h>

#include "common/buf.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metric_type {
    METRIC_COUNTER, /* by convention its name ends in _total */
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
};

/* HELP and TYPE of a family; then one or more samples of it. help is one line. */
void metrics_family(struct buf **out, enum metric_type type, const char *name, const char *help);

/* A sample; labels is empty or like `code="1000",room="lobby"`. */
void metrics_sample(struct buf **out, const char *name, const char *labels, uint64_t value);

/* A family of a single sample without labels. */
void metrics_counter(struct buf **out, const char *name, const char *help, uint64_t value);
void metrics_gauge(struct buf **out, const char *name, const char *help, uint64_t value);

/* A gauge in seconds, from milliseconds. */
void metrics_gauge_ms(struct buf **out, const char *name, const char *help, uint64_t ms);

/* Start time, CPU time, memory and open descriptors of this process, by the names that all
 * Prometheus clients use. */
void metrics_process(struct buf **out);

enum {
    HISTOGRAM_BOUNDS = 16, /* from 100 us to 10 s */
};

/* A distribution of durations; zeroed, it is empty. */
struct histogram {
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* each of its own bucket, not added up */
    uint64_t sum_us;
};

void histogram_add(struct histogram *h, uint64_t us);
void metrics_histogram(struct buf **out, const char *name, const char *help,
                       const struct histogram *h);

/* The samples alone, for a family whose members have labels; labels as in metrics_sample. */
void metrics_histogram_samples(struct buf **out, const char *name, const char *labels,
                               const struct histogram *h);

#endif
