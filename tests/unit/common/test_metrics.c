/* SPDX-License-Identifier: MIT */
/* Prometheus' text format, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/metrics.h"

static void check(struct buf **out, const char *want)
{
    buf_add_char(out, 0);
    assert_string_equal(buf_str(*out).p, want);
    buf_free(out);
}

static void test_families(void **state)
{
    (void)state;
    struct buf *out = NULL;
    metrics_counter(&out, "chat_messages_total", "Messages.", 18446744073709551615u);
    metrics_gauge(&out, "chat_clients", "Clients.", 0);
    metrics_gauge_ms(&out, "chat_age_seconds", "Age.", 1005);
    metrics_family(&out, METRIC_COUNTER, "chat_closes_total", "Closes.");
    metrics_sample(&out, "chat_closes_total", "code=\"1000\"", 3);
    metrics_sample(&out, "chat_closes_total", "code=\"4008\"", 1);
    check(&out, "# HELP chat_messages_total Messages.\n# TYPE chat_messages_total counter\n"
                "chat_messages_total 18446744073709551615\n"
                "# HELP chat_clients Clients.\n# TYPE chat_clients gauge\nchat_clients 0\n"
                "# HELP chat_age_seconds Age.\n# TYPE chat_age_seconds gauge\n"
                "chat_age_seconds 1.005000\n"
                "# HELP chat_closes_total Closes.\n# TYPE chat_closes_total counter\n"
                "chat_closes_total{code=\"1000\"} 3\nchat_closes_total{code=\"4008\"} 1\n");
}

static void test_histogram(void **state)
{
    (void)state;
    struct histogram h = {0};
    struct buf *out = NULL;
    histogram_add(&h, 0);
    histogram_add(&h, 100);
    histogram_add(&h, 101);
    histogram_add(&h, 2000000);
    histogram_add(&h, 60000000);
    metrics_histogram(&out, "x_seconds", "X.", &h);
    check(&out, "# HELP x_seconds X.\n# TYPE x_seconds histogram\n"
                "x_seconds_bucket{le=\"0.0001\"} 2\nx_seconds_bucket{le=\"0.00025\"} 3\n"
                "x_seconds_bucket{le=\"0.0005\"} 3\nx_seconds_bucket{le=\"0.001\"} 3\n"
                "x_seconds_bucket{le=\"0.0025\"} 3\nx_seconds_bucket{le=\"0.005\"} 3\n"
                "x_seconds_bucket{le=\"0.01\"} 3\nx_seconds_bucket{le=\"0.025\"} 3\n"
                "x_seconds_bucket{le=\"0.05\"} 3\nx_seconds_bucket{le=\"0.1\"} 3\n"
                "x_seconds_bucket{le=\"0.25\"} 3\nx_seconds_bucket{le=\"0.5\"} 3\n"
                "x_seconds_bucket{le=\"1\"} 3\nx_seconds_bucket{le=\"2.5\"} 4\n"
                "x_seconds_bucket{le=\"5\"} 4\nx_seconds_bucket{le=\"10\"} 4\n"
                "x_seconds_bucket{le=\"+Inf\"} 5\nx_seconds_sum 62.000201\nx_seconds_count 5\n");
}

static void test_histogram_with_labels(void **state)
{
    (void)state;
    struct histogram h = {.counts = {[HISTOGRAM_BOUNDS] = 2}, .sum_us = 30000000};
    struct buf *out = NULL;
    metrics_histogram_samples(&out, "x_seconds", "a=\"b\"", &h);
    buf_add_char(&out, 0);
    const char *text = buf_str(out).p;
    assert_ptr_equal(strstr(text, "x_seconds_bucket{a=\"b\",le=\"0.0001\"} 0\n"), text);
    assert_non_null(strstr(text, "\nx_seconds_bucket{a=\"b\",le=\"+Inf\"} 2\n"
                                 "x_seconds_sum{a=\"b\"} 30.000000\n"
                                 "x_seconds_count{a=\"b\"} 2\n"));
    buf_free(&out);
}

static uint64_t number_behind(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    assert_non_null(at);
    return strtoull(at + strlen(name), NULL, 10);
}

static void test_process(void **state)
{
    (void)state;
    struct buf *out = NULL;
    metrics_process(&out);
    buf_add_char(&out, 0);
    const char *text = buf_str(out).p;
    assert_non_null(strstr(text, "\nprocess_cpu_seconds_total "));
    assert_null(strstr(text, "\nprocess_resident_memory_bytes 0\n"));
    uint64_t started = number_behind(text, "\nprocess_start_time_seconds ");
    assert_in_range(started, (uint64_t)time(NULL) - 3600, (uint64_t)time(NULL) + 2);
    uint64_t open_fds = number_behind(text, "\nprocess_open_fds ");
    int more[8];
    for (int i = 0; i < 8; i++)
        assert_true((more[i] = dup(2)) >= 0);
    buf_free(&out);
    metrics_process(&out);
    buf_add_char(&out, 0);
    assert_int_equal(number_behind(buf_str(out).p, "\nprocess_open_fds "), open_fds + 8);
    for (int i = 0; i < 8; i++)
        close(more[i]);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_histogram_with_labels),
        cmocka_unit_test(test_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
