/* SPDX-License-Identifier: MIT */
/*
 * The parser works on a copy of the URL, which it cuts into pieces in place: each delimiter becomes
 * a NUL, and what is percent-decoded only shrinks.
 *
 *      redis+sentinel://  user : password @ host : port , host : port / master / db
 *                         └── userinfo ─┘   └─────── hosts ───────┘   └── path ─┘
 *
 * Whatever it does not know is refused rather than passed over: a query, a fragment, a second
 * slash.
 */
#include "common/redis_url.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <strings.h>

#include "common/mem.h"
#include "common/redis.h"
#include "common/redis_tls.h"

enum {
    REDIS_PORT = 6379,
    SENTINEL_PORT = 26379,
    PORT_MAX = 65535,
    DB_MAX = 999999,
    HOST_BYTES_MAX = 255
};

static const char scheme_words[] =
    "a URL redis://[[user]:password@]host[:port][/db] or "
    "redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master[/db], or of rediss,";
static const char tls_words[] =
    "redis:// or redis+sentinel:// (a URL of rediss needs a build with TLS)";
static const char user_words[] = "[user]:password@ with %XX for special characters in the URL";
static const char host_words[] = "host[:port] with a name, an IPv4 or a bracketed IPv6 address and "
                                 "a port of 1 to 65535 in the URL";
static const char hosts_words[] = "at most 16 sentinels in the URL";
static const char master_words[] = "/master[/db], the master's name in the sentinels, in the URL";
static const char db_words[] = "a database number of 0 to 999999 after the slash in the URL";

_Static_assert(SENTINELS_MAX == 16, "hosts_words tells it");

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. A NUL is refused: it would end the word early. */
static bool percent_decode(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (*s != '%') {
            *to++ = *s;
            continue;
        }
        int high = hex_value(s[1]), low = high < 0 ? -1 : hex_value(s[2]);
        if (low < 0 || high + low == 0)
            return false;
        *to++ = (char)(high * 16 + low);
        s += 2;
    }
    *to = 0;
    return true;
}

static bool number_read(const char *s, unsigned long max, unsigned long *out)
{
    unsigned long n = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9')
            return false;
        n = n * 10 + (unsigned long)(*s - '0');
        if (n > max)
            return false;
    }
    *out = n;
    return true;
}

static bool host_name_valid(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._";
    size_t len = strlen(name);
    return len > 0 && len <= HOST_BYTES_MAX && strspn(name, allowed) == len;
}

static bool userinfo_read(struct redis_url *u, char *text)
{
    char *colon = strchr(text, ':');
    if (!colon)
        return false;
    *colon = 0;
    u->user = text;
    u->password = colon + 1;
    return percent_decode(text) && percent_decode(colon + 1);
}

static bool host_read(struct redis_host *host, char *text, uint16_t default_port)
{
    char *rest;
    if (*text == '[') {
        struct in6_addr address;
        char *end = strchr(text, ']');
        if (!end)
            return false;
        *end = 0;
        rest = end + 1;
        host->name = text + 1;
        if ((*rest && *rest != ':') || inet_pton(AF_INET6, host->name, &address) != 1)
            return false;
    } else {
        rest = text + strcspn(text, ":");
        host->name = text;
    }
    host->port = default_port;
    if (*rest == ':') {
        unsigned long port;
        *rest = 0;
        if (!number_read(rest + 1, PORT_MAX, &port) || port == 0)
            return false;
        host->port = (uint16_t)port;
    }
    return *text == '[' || host_name_valid(host->name);
}

static const char *hosts_read(struct redis_url *u, char *text, bool sentinels)
{
    uint16_t default_port = sentinels ? SENTINEL_PORT : REDIS_PORT;
    for (char *host = text; host;) {
        char *comma = sentinels ? strchr(host, ',') : NULL;
        if (comma)
            *comma = 0;
        if (u->nhosts == SENTINELS_MAX)
            return hosts_words;
        if (!host_read(&u->hosts[u->nhosts++], host, default_port))
            return host_words;
        host = comma ? comma + 1 : NULL;
    }
    return NULL;
}

/* path is what follows the first slash after the hosts, or NULL. */
static const char *path_read(struct redis_url *u, char *path, bool sentinels)
{
    unsigned long db = 0;
    if (sentinels) {
        char *slash = path ? strchr(path, '/') : NULL;
        if (slash)
            *slash = 0;
        if (!path || !*path || strpbrk(path, "?#") || !percent_decode(path))
            return master_words;
        u->master = path;
        path = slash ? slash + 1 : NULL;
    }
    if (path && *path && !number_read(path, DB_MAX, &db))
        return db_words;
    u->db = (unsigned)db;
    return NULL;
}

static const char *parts_read(struct redis_url *u, char *text, bool sentinels)
{
    char *path = strchr(text, '/');
    if (path)
        *path++ = 0;
    /* The last one: a raw @ in a password is a common slip, and cannot mean anything else. */
    char *at = strrchr(text, '@');
    if (at) {
        *at = 0;
        if (!userinfo_read(u, text))
            return user_words;
        text = at + 1;
    }
    const char *wrong = hosts_read(u, text, sentinels);
    return wrong ? wrong : path_read(u, path, sentinels);
}

/* How long the word is, if the URL goes on with it; else 0. */
static size_t word_len(const char *url, const char *word)
{
    size_t len = strlen(word);
    return strncasecmp(url, word, len) == 0 ? len : 0;
}

const char *redis_url_parse(struct redis_url *u, const char *url)
{
    size_t plain = word_len(url, "redis"), secure = word_len(url, "rediss");
    size_t name = secure ? secure : plain;
    size_t direct = word_len(url + name, "://");
    size_t sentinels = word_len(url + name, "+sentinel://");
    if (!name || (!direct && !sentinels))
        return scheme_words;
    if (secure && !REDIS_TLS_BUILT)
        return tls_words;
    url += name + direct + sentinels;
    *u = (struct redis_url){.text = mem_strndup(url, strlen(url)), .user = "", .password = ""};
    u->tls = secure;
    const char *wrong = parts_read(u, u->text, sentinels > 0);
    if (wrong)
        redis_url_done(u);
    return wrong;
}

void redis_url_done(struct redis_url *u)
{
    free(u->text);
    u->text = NULL;
}

const char *redis_url_check(const char *url)
{
    struct redis_url u;
    const char *wrong = redis_url_parse(&u, url);
    if (!wrong)
        redis_url_done(&u);
    return wrong;
}
