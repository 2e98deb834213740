/* SPDX-License-Identifier: MIT */
/* The gateway's table of settings, and the checks that need more than a range. */
#include "gateway/settings.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "common/address.h"
#include "common/config_checks.h"
#include "common/limits.h"
#include "common/message.h"
#include "common/redis.h"
#include "gateway/origins.h"

enum {
    ERROR_BYTES = 512
};

/* Render and its like can only tell host:port. */
static const char *persister_check(const char *url)
{
    const char *host = strncmp(url, "http://", 7) == 0 ? url + 7 : url;
    return *host && *host != '/' && !strstr(host, "://") ? NULL : "http://host:port or host:port";
}

static const char *replica_check(const char *name)
{
    return !*name || room_name_valid(str_of(name)) ? NULL
                                                   : "a name of up to 64 letters, digits and - _ .";
}

static const char *networks_check(const char *list)
{
    struct networks n;
    return networks_read(&n, list) ? NULL : "a list such as 10.0.0.0/8,2001:db8::/32,192.0.2.1";
}

static const char *const ways[] = {"auto", "io_uring", "sendmsg", NULL}; /* as enum batch_way */
static const char *const switches[] = {"off", "on", NULL};
static const char *const digits[] = {"0", "1", NULL};
static const char *const acks[] = {"log", "stored", NULL};

#define AT(member) .offset = offsetof(struct settings, member)

static const struct config_item items[] = {
    {"HOST", CONFIG_STRING, AT(host), .value = "0.0.0.0", .min = 1, .max = 45,
     .help = "numeric address to listen on", .check = config_check_host},
    {"REPLICA", CONFIG_STRING, AT(replica), .help = "name of this gateway; none: the host's",
     .check = replica_check},
    {"PORT", CONFIG_NUMBER, AT(port), .value = PORT_DEFAULT, .max = 65535,
     .help = "port of HTTP and WebSocket; 0: any free one"},
    {"ADMIN_HOST", CONFIG_STRING, AT(admin_host), .value = "127.0.0.1", .min = 1, .max = 45,
     .help = "numeric address of ADMIN_PORT", .check = config_check_host},
    {"ADMIN_PORT", CONFIG_NUMBER, AT(admin_port), .value = "0", .max = 65535,
     .help = "port of /metrics, which is then not on PORT; 0: on PORT"},
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
    {"PERSISTER_URL", CONFIG_STRING, AT(persister_url), .value = "http://127.0.0.1:8090", .min = 1,
     .max = 300, .help = "where older history is asked for", .check = persister_check},
    {"ALLOWED_ORIGINS", CONFIG_STRING, AT(allowed_origins), .value = "*", .min = 1, .max = 4000,
     .check = origins_check, .help = "origins of CORS and WebSocket, parted by commas; *: all"},
    {"CHAT_ACK", CONFIG_CHOICE, AT(ack), .value = "log", .choices = acks,
     .help = "what a 201 means: in Redis' log, or stored in SQLite"},
    {"CONNS_MAX", CONFIG_NUMBER, AT(conns_max), .value = "10000", .min = 16, .max = 1000000,
     .help = "HTTP connections; more get a 503"},
    {"CLIENTS_MAX", CONFIG_NUMBER, AT(clients_max), .value = "50000", .min = 16, .max = 1000000,
     .help = "WebSocket clients; more get a 503"},
    {"TRUSTED_PROXIES", CONFIG_STRING, AT(trusted_proxies), .max = 4000, .check = networks_check,
     .help = "addresses and networks (10.0.0.0/8), parted by commas, that X-Forwarded-For is "
             "believed from"},
    {"CONNS_PER_ADDRESS", CONFIG_NUMBER, AT(conns_per_address), .value = "0", .max = 1000000,
     .help = "connections of one address, HTTP and WebSocket; more get a 429; 0: any number"},
    {"CLIENT_RATE", CONFIG_NUMBER, AT(client_rate), .value = "0", .max = 1000000,
     .help = "messages a second of one WebSocket or HTTP connection; 0: no limit"},
    {"CLIENT_BURST", CONFIG_NUMBER, AT(client_burst), .value = "0", .max = 1000000,
     .help = "messages that it may send at once; 0: as many as in a second"},
    {"ADDRESS_RATE", CONFIG_NUMBER, AT(address_rate), .value = "0", .max = 1000000,
     .help = "messages a second of all connections of one address; 0: no limit"},
    {"ADDRESS_BURST", CONFIG_NUMBER, AT(address_burst), .value = "0", .max = 1000000,
     .help = "messages that they may send at once; 0: as many as in a second"},
    {"CONTENT_MAX", CONFIG_NUMBER, AT(content_max), .value = "4096", .min = 1,
     .max = CONTENT_CHARS_CEILING, .help = "characters of a message's content"},
    {"HISTORY_MESSAGES", CONFIG_NUMBER, AT(history_messages), .value = "500", .min = 20,
     .max = 100000, .help = "messages of a room kept in memory"},
    {"ROOMS_MAX", CONFIG_NUMBER, AT(rooms_max), .value = "200000", .min = 100, .max = 10000000,
     .help = "rooms in memory, those of the last minute among them; more get a 503"},
    {"LAG_BYTES", CONFIG_NUMBER, AT(lag_bytes), .value = "4M", .min = 65536, .max = 1UL << 30,
     .help = "a WebSocket client further behind is closed with 4008"},
    {"OUTBOX_MAX", CONFIG_NUMBER, AT(outbox_max), .value = "10000", .min = 256, .max = 1000000,
     .help = "messages that wait for Redis; more get a 503"},
    {"POST_DEADLINE_MS", CONFIG_NUMBER, AT(post_deadline_ms), .value = "5000", .min = 100,
     .max = 60000, .help = "how long a message may wait to be taken, or stored; then 503 or 504"},
    {"IDEMPOTENCY_SECONDS", CONFIG_NUMBER, AT(idempotency_seconds), .value = "86400", .min = 60,
     .max = 31536000, .help = "how long a repeated key is known, s"},
    {"WRITE_WITH", CONFIG_CHOICE, AT(write_with), .value = "auto", .choices = ways,
     .help = "how bytes go to clients; auto: io_uring where the kernel allows it"},
    {"WS_DEFLATE", CONFIG_CHOICE, AT(ws_deflate), .value = "on", .choices = switches,
     .help = "permessage-deflate for WebSocket clients that offer it"},
    {"LOG_LEVEL", CONFIG_CHOICE, AT(log_level), .value = "info", .choices = config_log_levels,
     .help = "the lowest level that is logged"},
    {"LOG_FORMAT", CONFIG_CHOICE, AT(log_format), .value = "text", .choices = config_log_formats,
     .help = "of the log on standard error"},
    {"LAB", CONFIG_CHOICE, AT(lab), .value = "0", .choices = digits,
     .help = "1: the page /lab, which shows all replicas and breaks them; for learning, never in "
             "production"},
    {"DRAIN_SECONDS", CONFIG_NUMBER, AT(drain_seconds), .value = "10", .max = 25,
     .help = "at the end, for what is in flight and for closing WebSockets, s"},
};

static const size_t count = sizeof items / sizeof *items;

/* The machine's or the container's, with '-' for what no replica's name may have. */
static const char *host_name(void)
{
    static char name[ROOM_BYTES_MAX + 1];
    if (gethostname(name, sizeof name - 1) || !*name)
        return "gateway";
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
            *p = '-';
    return name;
}

enum config_result settings_load(struct settings *s, int argc, char **argv)
{
    char error[ERROR_BYTES];
    enum config_result result =
        config_load(items, count, s, "chat-gateway",
                    "Speaks HTTP and WebSocket, and follows the chat's log.", argc, argv);
    if (result == CONFIG_OK && !*s->replica)
        s->replica = host_name();
    if (result != CONFIG_OK || redis_tls_check(&s->redis_tls, s->redis_url, error, sizeof error))
        return result;
    fprintf(stderr, "chat-gateway: %s\n", error);
    return CONFIG_WRONG;
}

void settings_log(const struct settings *s)
{
    config_log(items, count, s);
}
