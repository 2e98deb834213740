/* SPDX-License-Identifier: MIT */
/* Counters are read as they are: everything is counted in the loop's thread, which runs this too.
 * Each family is written whether something happened or not; of the answers only those statuses that
 * were given have a sample. */
#include "common/program_metrics.h"

#include <stdio.h>

#include "common/version.h"

enum {
    LABELS_BYTES = 128,
};

void metrics_program(struct buf **out, const char *program, bool ready)
{
    char labels[LABELS_BYTES];
    snprintf(labels, sizeof labels, "program=\"%s\",version=\"%s\"", program, CHAT_VERSION);
    metrics_family(out, METRIC_GAUGE, "chat_build_info", "Always 1; the labels tell.");
    metrics_sample(out, "chat_build_info", labels, 1);
    metrics_gauge(out, "chat_ready", "1 if /readyz says 200, else 0.", ready);
    metrics_process(out);
}

static void add_answers(struct buf **out, const struct server_counts *n)
{
    char labels[LABELS_BYTES];
    metrics_family(out, METRIC_COUNTER, "chat_http_responses_total", "HTTP answers by status.");
    for (int status = STATUS_MIN; status <= STATUS_MAX; status++)
        if (n->answers[status - STATUS_MIN]) {
            snprintf(labels, sizeof labels, "code=\"%d\"", status);
            metrics_sample(out, "chat_http_responses_total", labels,
                           n->answers[status - STATUS_MIN]);
        }
}

void metrics_server(struct buf **out, const struct server *s)
{
    const struct server_counts *n = server_counts(s);
    metrics_gauge(out, "chat_http_connections", "Open HTTP connections, without WebSockets.",
                  server_conns(s));
    metrics_counter(out, "chat_http_connections_accepted_total",
                    "Connections accepted, also those that became WebSockets.", n->accepted);
    metrics_counter(out, "chat_http_connections_refused_total",
                    "Connections answered 503: too many, or no descriptor left.", n->turned_away);
    metrics_counter(out, "chat_http_rests_total",
                    "Pauses in reading a connection that was refused again, or for the last time.",
                    n->rests);
    metrics_counter(out, "chat_http_accept_pauses_total",
                    "Times that accepting paused since no descriptor was left.", n->pauses);
    metrics_counter(out, "chat_http_received_bytes_total", "Bytes of HTTP read.", n->bytes_in);
    metrics_counter(out, "chat_http_sent_bytes_total", "Bytes of HTTP sent.", n->bytes_out);
    metrics_gauge(out, "chat_http_unsent_bytes", "Bytes of answers that wait for their clients.",
                  server_unsent(s));
    metrics_gauge(out, "chat_http_kept_bytes", "Bytes kept of requests that are not whole yet.",
                  server_kept(s));
    add_answers(out, n);
}

void metrics_log_link(struct buf **out, const struct log_link *l, uint64_t now_ms)
{
    bool up = l->redis && redis_is_up(l->redis);
    uint64_t seen_ms = l->feed.beat_seen_ms;
    metrics_gauge(out, "chat_redis_up", "1 while both connections to Redis serve, else 0.", up);
    metrics_counter(out, "chat_redis_connects_total",
                    "Times that the connections to Redis came up.", l->connects);
    metrics_gauge_ms(out, "chat_redis_beat_age_seconds",
                     "Since a heartbeat came back through Redis, or a connection came up.",
                     seen_ms && seen_ms < now_ms ? now_ms - seen_ms : 0);
    metrics_counter(out, "chat_log_pages_total", "Pages of the stream that were read.", l->pages);
}

void metrics_respond(struct exchange *x, struct str body)
{
    exchange_respond(x, &(struct response){.status = 200,
                                           .content_type = METRICS_CONTENT_TYPE,
                                           .headers = STR("Cache-Control: no-store\r\n"),
                                           .body = body});
}
