/* SPDX-License-Identifier: MIT */
/*
 * Writes out what the parts have counted, and counts nothing itself. A scrape costs some 100 us
 * whatever the number of clients: nothing here walks a list.
 */
#include "gateway/metrics.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/program_metrics.h"

enum {
    LABELS_BYTES = 64,
};

/* One sample for each value of a label. */
static void add_by(struct buf **out, const char *name, const char *label, const char *const *values,
                   const uint64_t *counts, size_t n)
{
    char labels[LABELS_BYTES];
    for (size_t i = 0; i < n; i++) {
        snprintf(labels, sizeof labels, "%s=\"%s\"", label, values[i]);
        metrics_sample(out, name, labels, counts[i]);
    }
}

/* ---- WebSocket clients ---- */

static void add_joins(struct buf **out, const struct clients_counts *n)
{
    static const char *const from[JOIN_FROMS] = {"memory", "history", "gap"};
    metrics_family(out, METRIC_COUNTER, "chat_joins_total",
                   "Clients that joined anew, by where the newest messages came from.");
    add_by(out, "chat_joins_total", "from", from, n->joined, JOIN_FROMS);
    metrics_family(out, METRIC_COUNTER, "chat_resumes_total",
                   "Clients that resumed after an id, by where what they missed came from.");
    add_by(out, "chat_resumes_total", "from", from, n->resumed, JOIN_FROMS);
}

static void add_closes(struct buf **out, const struct clients_counts *n)
{
    static const char *const by[CLOSE_BYS] = {"gateway", "client"};
    char labels[LABELS_BYTES], code[8];
    metrics_family(out, METRIC_COUNTER, "chat_closes_total",
                   "WebSockets that ended, by close code and by who closed; 1006: without one.");
    for (size_t b = 0; b < CLOSE_BYS; b++)
        for (size_t i = 0; i < CLOSE_CODES; i++) {
            snprintf(code, sizeof code, "%u", clients_close_codes[i]);
            snprintf(labels, sizeof labels, "code=\"%s\",by=\"%s\"",
                     clients_close_codes[i] ? code : "other", by[b]);
            metrics_sample(out, "chat_closes_total", labels, n->closed[b][i]);
        }
}

static void add_clients(struct buf **out, const struct routes *r)
{
    const struct clients_counts *n = clients_counts(r->clients);
    metrics_gauge(out, "chat_clients", "WebSocket clients.", clients_count(r->clients));
    metrics_gauge(out, "chat_clients_max", "Clients that may be there (CLIENTS_MAX).",
                  r->settings->clients_max);
    metrics_gauge(out, "chat_clients_joining", "Clients that wait for their history.", n->joining);
    metrics_gauge(out, "chat_clients_blocked", "Clients whose socket is full.", n->blocked);
    metrics_gauge(out, "chat_ws_kept_bytes",
                  "Bytes kept of half messages, and of frames that clients do not take.",
                  clients_kept(r->clients));
    metrics_gauge(out, "chat_clients_deflating", "Clients that take compressed messages.",
                  n->deflating);
    metrics_counter(out, "chat_clients_opened_total", "WebSockets that were opened.", n->opened);
    add_joins(out, n);
    add_closes(out, n);
    metrics_counter(out, "chat_clients_silent_total",
                    "Clients given up since no pong came; among the closes of code 1006.",
                    n->silent);
    metrics_counter(out, "chat_ws_messages_received_total", "Whole WebSocket messages read.",
                    n->frames);
    metrics_counter(out, "chat_ws_rests_total",
                    "Pauses in reading a WebSocket whose messages were refused again and again.",
                    n->rests);
    metrics_counter(out, "chat_ws_received_bytes_total", "Bytes read from WebSockets.",
                    n->bytes_in);
    metrics_counter(out, "chat_ws_sent_bytes_total", "Bytes written to WebSockets.", n->bytes_out);
    metrics_counter(out, "chat_ws_writes_total", "Writes to WebSockets.", n->writes);
    metrics_counter(out, "chat_ws_blocked_writes_total", "Writes that a full socket cut short.",
                    n->blocks);
}

/* ---- messages ---- */

static void add_fanout(struct buf **out, const struct routes *r)
{
    const struct rooms_counts *n = rooms_counts(r->rooms);
    metrics_gauge(out, "chat_rooms", "Rooms in memory.", rooms_count(r->rooms));
    metrics_counter(out, "chat_deliveries_total",
                    "Messages of the log, each once for every client it is owed to.",
                    n->deliveries);
    metrics_histogram(out, "chat_fanout_seconds",
                      "From created_at to the write of the room's last client that takes bytes.",
                      clients_fanout_seconds(r->clients));
    metrics_counter(out, "chat_deflated_messages_total", "Messages compressed, once for all.",
                    n->packed);
    metrics_counter(out, "chat_deflated_input_bytes_total", "Their bytes before.", n->packed_in);
    metrics_counter(out, "chat_deflated_output_bytes_total", "Their bytes after.", n->packed_out);
}

static void add_sends(struct buf **out, const struct routes *r, const struct link_counts *n)
{
    static const char *const sources[SEND_SOURCES] = {"http", "ws"};
    static const char *const ends[SEND_ENDS] = {"new",     "known", "mismatch", "full",
                                                "refused", "maybe", "overflow"};
    char labels[LABELS_BYTES];
    metrics_family(out, METRIC_COUNTER, "chat_messages_received_total",
                   "Messages that clients sent, by what became of them.");
    for (size_t s = 0; s < SEND_SOURCES; s++) {
        for (size_t i = 0; i < SEND_ENDS; i++) {
            snprintf(labels, sizeof labels, "source=\"%s\",result=\"%s\"", sources[s], ends[i]);
            metrics_sample(out, "chat_messages_received_total", labels, n->sends[s][i]);
        }
        snprintf(labels, sizeof labels, "source=\"%s\",result=\"invalid\"", sources[s]);
        metrics_sample(out, "chat_messages_received_total", labels, r->invalid[s]);
    }
    metrics_family(out, METRIC_HISTOGRAM, "chat_send_seconds",
                   "From a valid message to its answer, whatever that was.");
    for (size_t s = 0; s < SEND_SOURCES; s++) {
        snprintf(labels, sizeof labels, "source=\"%s\"", sources[s]);
        metrics_histogram_samples(out, "chat_send_seconds", labels, &n->send_seconds[s]);
    }
}

static void add_outbox(struct buf **out, const struct link_parts *p)
{
    static const char *const results[WAIT_RESULTS] = {"met", "lost", "timeout"};
    static const char *const failures[] = {"refused", "lost"};
    const uint64_t failed[] = {p->outbox->refused_total, p->outbox->lost_total};
    metrics_gauge(out, "chat_outbox_messages", "Messages that wait for Redis.",
                  p->outbox->queued + p->outbox->batch_count);
    metrics_gauge(out, "chat_outbox_max_messages", "How many may wait (OUTBOX_MAX).",
                  p->outbox->queued_max);
    metrics_counter(out, "chat_publish_batches_total", "Batches sent to Redis.",
                    p->counts->batches);
    metrics_counter(out, "chat_publish_messages_total", "Messages in these batches.",
                    p->counts->batch_messages);
    metrics_family(out, METRIC_COUNTER, "chat_publish_failures_total",
                   "Batches that Redis refused, or whose reply did not come.");
    add_by(out, "chat_publish_failures_total", "reason", failures, failed, 2);
    metrics_histogram(out, "chat_publish_seconds", "From a batch to Redis' reply.",
                      &p->counts->publish_seconds);
    metrics_gauge(out, "chat_waits", "Answers held until the feed or SQLite has come as far.",
                  p->waits->count);
    metrics_family(out, METRIC_COUNTER, "chat_waits_total",
                   "Such waits that ended: met, void by a new opening, or too late.");
    add_by(out, "chat_waits_total", "result", results, p->waits->ended, WAIT_RESULTS);
}

/* ---- the log ---- */

static void add_log(struct buf **out, const struct link_parts *p)
{
    const struct feed *f = &p->log->feed;
    metrics_log_link(out, p->log, now_ms());
    metrics_gauge(out, "chat_log_opening", "Number of the log's opening.", f->opening);
    metrics_gauge(out, "chat_log_position", "The last id that has passed here.", f->position);
    metrics_gauge(out, "chat_log_lag_messages",
                  "Ids that Redis had given at the last heartbeat and that have not passed here.",
                  f->seq > f->position ? f->seq - f->position : 0);
    metrics_gauge(out, "chat_log_unstored_messages",
                  "Ids that have passed here and that SQLite is not known to have.",
                  f->position > f->stored ? f->position - f->stored : 0);
    metrics_counter(out, "chat_log_messages_total", "Messages that the log brought.",
                    p->counts->messages);
    metrics_counter(out, "chat_log_openings_total", "Openings of the log seen here.",
                    p->counts->openings);
    metrics_counter(out, "chat_log_gaps_total",
                    "Times that the stream no longer had what was missing here.", p->counts->gaps);
}

static void add_history(struct buf **out, const struct history *h)
{
    static const char *const results[HISTORY_ENDS] = {"answered", "failed", "refused"};
    const struct history_counts *n = history_counts(h);
    metrics_gauge(out, "chat_history_requests", "Requests to the persister under way.",
                  history_under_way(h));
    metrics_family(out, METRIC_COUNTER, "chat_history_requests_total",
                   "Requests to the persister: answered, failed, or refused here as too many.");
    add_by(out, "chat_history_requests_total", "result", results, n->ended, HISTORY_ENDS);
    metrics_histogram(out, "chat_history_seconds", "From such a request to its end.", &n->seconds);
}

void metrics_answer(struct routes *r, struct exchange *x)
{
    const struct link_parts parts = link_parts(r->link);
    struct buf *out = NULL;
    const char *why;
    metrics_program(&out, "gateway", routes_ready(r, &why));
    metrics_server(&out, r->server);
    add_clients(&out, r);
    add_fanout(&out, r);
    add_sends(&out, r, parts.counts);
    add_outbox(&out, &parts);
    add_log(&out, &parts);
    add_history(&out, r->history);
    metrics_respond(x, buf_str(out));
    buf_free(&out);
}
