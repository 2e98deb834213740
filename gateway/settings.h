/* SPDX-License-Identifier: MIT */
/* What an operator may set; settings.c has the defaults, the ranges and the help. */
#ifndef GATEWAY_SETTINGS_H
#define GATEWAY_SETTINGS_H

#include "common/config.h"
#include "common/redis_tls.h"

#define PORT_DEFAULT "8080"

struct settings {
    struct redis_tls_files redis_tls;
    const char *host, *redis_url, *redis_prefix, *persister_url, *allowed_origins;
    const char *replica; /* the name of this gateway, for people and logs; never empty */
    const char *admin_host;
    unsigned long port, admin_port;    /* admin_port 0: /metrics is on port */
    unsigned long conns_max;           /* HTTP connections */
    unsigned long clients_max;         /* WebSocket clients */
    unsigned long content_max;         /* characters */
    unsigned long history_messages;    /* of a room, kept in memory */
    unsigned long rooms_max;           /* in memory */
    unsigned long lag_bytes;           /* of a slow client; then it is closed with 4008 */
    unsigned long outbox_max;          /* messages that wait for Redis */
    unsigned long post_deadline_ms;    /* of a message's answer: 503 or 504 */
    unsigned long idempotency_seconds; /* how long a key is known */
    unsigned long drain_seconds;
    const char *trusted_proxies;
    unsigned long conns_per_address; /* HTTP and WebSocket together; 0: any number */
    unsigned long client_rate, client_burst, address_rate, address_burst; /* see guests.h */
    int ack;                                                              /* enum ack_mode */
    int write_with;                                                       /* enum batch_way */
    int ws_deflate;                                                       /* bool */
    int lab;                                                              /* bool */
    int log_level, log_format;
};

enum ack_mode {
    ACK_LOG,    /* 201 when the message is in the log */
    ACK_STORED, /* 201 when it is in SQLite */
};

enum config_result settings_load(struct settings *s, int argc, char **argv);
void settings_log(const struct settings *s);

#endif
