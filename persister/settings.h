/* SPDX-License-Identifier: MIT */
/* What an operator may set of the persister: the table is in settings.c, and --help prints it. */
#ifndef PERSISTER_SETTINGS_H
#define PERSISTER_SETTINGS_H

#include "common/config.h"
#include "common/redis_tls.h"

#define PORT_DEFAULT "8090"

struct settings {
    struct redis_tls_files redis_tls;
    const char *host;
    unsigned long port;
    const char *redis_url, *redis_prefix;
    const char *database_path;
    unsigned long backlog_limit, stream_tail; /* messages */
    unsigned long idempotency_seconds;
    unsigned long lease_floor; /* an id; 0: none */
    unsigned long retention_count, retention_days;
    const char *backup_dir; /* "": no backups while it runs */
    const char *backup_to;  /* not "": copy the database there and exit */
    int log_level;          /* an enum log_level */
    int log_format;         /* 0 text, 1 json */
    unsigned long drain_seconds;
    int lab; /* bool */
};

enum config_result settings_load(struct settings *s, int argc, char **argv);

/* Logs the effective values. */
void settings_log(const struct settings *s);

#endif
