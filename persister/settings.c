/* SPDX-License-Identifier: MIT */
/*
 * The persister's table of settings, and the checks that need more than a range. The upper bounds
 * of counts keep every id that can come of them below 2^53, as far as Lua can count.
 */
#include "persister/settings.h"

#include <stddef.h>
#include <stdio.h>

#include "common/config_checks.h"
#include "common/redis.h"

enum {
    ERROR_BYTES = 512
};

static const char *path_check(const char *path)
{
    return strcmp(path, ":memory:") == 0 ? "a file" : NULL;
}

static const char *const digits[] = {"0", "1", NULL};

#define AT(member) .offset = offsetof(struct settings, member)

static const struct config_item items[] = {
    {"HOST", CONFIG_STRING, AT(host), .value = "0.0.0.0", .min = 1, .max = 45,
     .help = "numeric address to listen on", .check = config_check_host},
    {"PORT", CONFIG_NUMBER, AT(port), .value = PORT_DEFAULT, .max = 65535,
     .help = "port of the history's HTTP server; 0: any free one"},
    {"REDIS_URL", CONFIG_STRING, AT(redis_url), .value = "redis://127.0.0.1:6379", .min = 1,
     .help = "the log's Redis", .check = redis_url_check},
    {"REDIS_CA", CONFIG_STRING, AT(redis_tls.ca), .max = 4000,
     .help = "of rediss://: PEM file of who may sign its certificate; none: the system's list"},
    {"REDIS_CERT", CONFIG_STRING, AT(redis_tls.cert), .max = 4000,
     .help = "of rediss://: PEM file of our certificate, if it asks for one"},
    {"REDIS_KEY", CONFIG_STRING, AT(redis_tls.key), .max = 4000,
     .help = "of rediss://: PEM file of that certificate's key"},
    {"REDIS_PREFIX", CONFIG_STRING, AT(redis_prefix), .value = "chat", .min = 1, .max = 64,
     .help = "of all keys and channels", .check = config_check_prefix},
    {"DATABASE_PATH", CONFIG_STRING, AT(database_path), .value = "chat.db", .min = 1, .max = 4000,
     .help = "the SQLite file, on a local disk", .check = path_check},
    {"BACKLOG_LIMIT", CONFIG_NUMBER, AT(backlog_limit), .value = "100000", .min = 1000,
     .max = 100000000, .help = "messages that Redis may hold unsaved; beyond it none are taken"},
    {"STREAM_TAIL", CONFIG_NUMBER, AT(stream_tail), .value = "1000", .min = 0, .max = 10000000,
     .help = "saved messages that stay in Redis"},
    {"IDEMPOTENCY_SECONDS", CONFIG_NUMBER, AT(idempotency_seconds), .value = "86400", .min = 60,
     .max = 31536000, .help = "how long a repeated key is known, s"},
    {"LEASE_FLOOR", CONFIG_NUMBER, AT(lease_floor), .value = "0", .max = 1UL << 52,
     .help = "new ids start above it: for an old backup beside an empty Redis"},
    {"RETENTION_MESSAGES", CONFIG_NUMBER, AT(retention_count), .value = "0", .max = 1UL << 52,
     .help = "keep this many of the newest messages; 0: all"},
    {"RETENTION_DAYS", CONFIG_NUMBER, AT(retention_days), .value = "0", .max = 36500,
     .help = "keep messages for so many days; 0: for ever"},
    {"BACKUP_DIR", CONFIG_STRING, AT(backup_dir), .max = 3900,
     .help = "folder for the copies that POST /admin/backup and SIGUSR1 make; empty: none"},
    {"BACKUP_TO", CONFIG_STRING, AT(backup_to), .max = 4000,
     .help = "copy the database to this new file and exit"},
    {"LOG_LEVEL", CONFIG_CHOICE, AT(log_level), .value = "info", .choices = config_log_levels,
     .help = "the lowest level that is logged"},
    {"LOG_FORMAT", CONFIG_CHOICE, AT(log_format), .value = "text", .choices = config_log_formats,
     .help = "of the log on standard error"},
    {"LAB", CONFIG_CHOICE, AT(lab), .value = "0", .choices = digits,
     .help =
         "1: be shown and broken by the gateways' page /lab; for learning, never in production"},
    {"DRAIN_SECONDS", CONFIG_NUMBER, AT(drain_seconds), .value = "10", .max = 25,
     .help = "at the end, for requests and the commit under way, s"},
};

static const size_t count = sizeof items / sizeof *items;

enum config_result settings_load(struct settings *s, int argc, char **argv)
{
    char error[ERROR_BYTES];
    enum config_result result =
        config_load(items, count, s, "chat-persister",
                    "Stores the chat's log in SQLite and serves its history.", argc, argv);
    if (result != CONFIG_OK || redis_tls_check(&s->redis_tls, s->redis_url, error, sizeof error))
        return result;
    fprintf(stderr, "chat-persister: %s\n", error);
    return CONFIG_WRONG;
}

void settings_log(const struct settings *s)
{
    config_log(items, count, s);
}
