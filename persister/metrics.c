/* SPDX-License-Identifier: MIT */
/* Writes out what the parts have counted. Only the store's are also the writer's thread's: they are
 * copied under its mutex. */
#include "persister/metrics.h"

#include "common/clock.h"
#include "common/program_metrics.h"

static void add_log(struct buf **out, const struct metrics_of *of)
{
    const struct log_link *link = link_log(of->link);
    const struct store_log *log = store_standing(of->store);
    const uint64_t seq = link->feed.seq > log->position ? link->feed.seq : log->position;
    metrics_log_link(out, link, now_ms());
    metrics_gauge(out, "chat_log_opening", "Number of the log's opening.", log->opening);
    metrics_gauge(out, "chat_log_position", "Everything up to this id is in SQLite.",
                  log->position);
    metrics_gauge(out, "chat_log_lag_messages", "Ids that Redis has given and SQLite has not.",
                  seq - log->position);
    metrics_gauge(out, "chat_log_lease_left_messages",
                  "Ids that Redis may still give; at 0 new messages are refused.",
                  log->lease > seq ? log->lease - seq : 0);
    metrics_gauge(out, "chat_log_backlog_max_messages",
                  "Messages that Redis may hold unsaved (BACKLOG_LIMIT).", of->backlog_max);
}

static void add_ingest(struct buf **out, const struct ingest_status *s)
{
    metrics_counter(out, "chat_log_openings_total", "Times that this process opened the log.",
                    s->openings);
    metrics_counter(out, "chat_ingest_batches_total", "Commits with at least one message.",
                    s->batches);
    metrics_counter(out, "chat_ingest_messages_total", "Messages in these commits.", s->messages);
    metrics_counter(out, "chat_ingest_commit_failures_total", "Commits that SQLite refused.",
                    s->commit_failures);
    metrics_counter(out, "chat_ingest_conflicts_total",
                    "Messages that Redis has with another content than SQLite.", s->conflicts);
    metrics_counter(out, "chat_ingest_voided_total",
                    "Messages taken out of the stream since SQLite lacks them.", s->voided);
    metrics_counter(out, "chat_ingest_restored_total",
                    "Messages put back into the stream after Redis lost them.", s->restored);
    metrics_gauge(out, "chat_ingest_hole_messages",
                  "Ids that neither SQLite nor Redis has, since an old backup was restored.",
                  s->hole_to - s->hole_from);
}

static void add_store(struct buf **out, struct store *store)
{
    struct store_counts n;
    store_counts(store, &n);
    metrics_gauge(out, "chat_sqlite_failing", "1 while SQLite fails, else 0.",
                  store_trouble(store) != NULL);
    metrics_histogram(out, "chat_sqlite_commit_seconds", "Of a transaction, with its fsync.",
                      &n.commit_seconds);
    metrics_family(out, METRIC_GAUGE, "chat_sqlite_file_bytes", "Size of the files.");
    metrics_sample(out, "chat_sqlite_file_bytes", "file=\"database\"", n.database_bytes);
    metrics_sample(out, "chat_sqlite_file_bytes", "file=\"wal\"", n.wal_bytes);
    metrics_counter(out, "chat_retention_removed_messages_total",
                    "Messages that the retention removed.", n.removed);
    metrics_gauge(out, "chat_retention_position", "The retention removed messages up to this id.",
                  store_standing(store)->pruned);
}

void metrics_write(const struct metrics_of *of, struct buf **out)
{
    metrics_program(out, "persister", routes_ready(of->routes));
    metrics_server(out, of->server);
    add_log(out, of);
    add_ingest(out, link_ingest(of->link));
    add_store(out, of->store);
    metrics_histogram(out, "chat_history_read_seconds", "Of a page of history out of SQLite.",
                      routes_read_seconds(of->routes));
    metrics_gauge(out, "chat_history_waits", "Requests that wait for min_id.",
                  routes_waiting(of->routes));
}
