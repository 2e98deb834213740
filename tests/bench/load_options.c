/* SPDX-License-Identifier: MIT */
/* The command line of the load generator. */
#include <getopt.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/str.h"
#include "tests/bench/load.h"

static const char usage[] =
    "usage: chat-load --url ws://HOST:PORT/PATH[,ws://…] [options]\n"
    "\n"
    "Puts load on a chat service and measures it; the result is one JSON object.\n"
    "\n"
    "  --url U[,U…]        gateways; subscribers and publishers are spread over them\n"
    "  --clients N         subscribers (1000)\n"
    "  --slow N            further ones that never read (0)\n"
    "  --rooms N           spread them over N rooms: %r in the URL's path is the room's number "
    "(1)\n"
    "  --messages N        messages, or requests of --get (1000); 0: nothing is published\n"
    "  --warmup N          further ones before, not measured (20)\n"
    "  --window N          closed loop: so many messages under way at a time (1; with --post 0: no "
    "bound)\n"
    "  --rate R            instead: R messages, or requests, a second\n"
    "  --publishers N      how many publish: the first N subscribers, or N connections (1)\n"
    "  --publish-path P    WebSocket publishers get connections of their own to this path\n"
    "  --post P            messages are posted to this path over HTTP, closed loop or --rate\n"
    "  --text              posts are text/plain instead of application/json\n"
    "  --get P             this path is got by --publishers connections; nothing is published\n"
    "  --bytes N           of a message's content, 46 at least (100)\n"
    "  --template T        of a message; %s is its content\n"
    "                      ({\"username\":\"bench\",\"content\":\"%s\"})\n"
    "  --settle MS         rest between connecting and publishing (500)\n"
    "  --hold S            keep the connections so long at the end (0)\n"
    "  --timeout S         give up without any progress (20)\n"
    "  --pid P[,P…]        processes of this machine whose CPU and memory is told\n"
    "  --label TEXT        is in the result\n"
    "\n"
    "Ends with 1 when a message was lost, came twice or out of order, or a request failed.\n";

enum option_key {
    KEY_URL = 256,
    KEY_CLIENTS,
    KEY_SLOW,
    KEY_ROOMS,
    KEY_MESSAGES,
    KEY_WARMUP,
    KEY_WINDOW,
    KEY_RATE,
    KEY_PUBLISHERS,
    KEY_PUBLISH_PATH,
    KEY_POST,
    KEY_TEXT,
    KEY_GET,
    KEY_BYTES,
    KEY_TEMPLATE,
    KEY_SETTLE,
    KEY_HOLD,
    KEY_TIMEOUT,
    KEY_PID,
    KEY_LABEL,
    KEY_HELP,
};

enum {
    WINDOW_UNSET = 1 << 30,
};

static const struct option table[] = {
    {"url", required_argument, NULL, KEY_URL},
    {"clients", required_argument, NULL, KEY_CLIENTS},
    {"slow", required_argument, NULL, KEY_SLOW},
    {"rooms", required_argument, NULL, KEY_ROOMS},
    {"messages", required_argument, NULL, KEY_MESSAGES},
    {"warmup", required_argument, NULL, KEY_WARMUP},
    {"window", required_argument, NULL, KEY_WINDOW},
    {"rate", required_argument, NULL, KEY_RATE},
    {"publishers", required_argument, NULL, KEY_PUBLISHERS},
    {"publish-path", required_argument, NULL, KEY_PUBLISH_PATH},
    {"post", required_argument, NULL, KEY_POST},
    {"text", no_argument, NULL, KEY_TEXT},
    {"get", required_argument, NULL, KEY_GET},
    {"bytes", required_argument, NULL, KEY_BYTES},
    {"template", required_argument, NULL, KEY_TEMPLATE},
    {"settle", required_argument, NULL, KEY_SETTLE},
    {"hold", required_argument, NULL, KEY_HOLD},
    {"timeout", required_argument, NULL, KEY_TIMEOUT},
    {"pid", required_argument, NULL, KEY_PID},
    {"label", required_argument, NULL, KEY_LABEL},
    {"help", no_argument, NULL, KEY_HELP},
    {0},
};

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("chat-load: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    exit(2);
}

static unsigned long number(const char *text, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (end == text || *end || *text == '-' || n > max)
        die("'%s' is not a number from 0 to %lu", text, max);
    return n;
}

static void target_read(struct target *t, const char *url)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    strcpy(t->path, "/ws");
    strcpy(t->port, "80");
    int fields = sscanf(url, "ws://%127[^:/]:%7[0-9]%511s", t->host, t->port, t->path);
    if (fields < 2 && sscanf(url, "ws://%127[^:/]%511s", t->host, t->path) < 1)
        die("'%s' is not ws://host:port/path", url);
    int error = getaddrinfo(t->host, t->port, &hints, &found);
    if (error)
        die("%s: %s", t->host, gai_strerror(error));
    memcpy(&t->address, found->ai_addr, found->ai_addrlen);
    t->address_size = found->ai_addrlen;
    freeaddrinfo(found);
}

static void urls_read(struct options *o, char *list)
{
    for (char *url = strtok(list, ","); url; url = strtok(NULL, ",")) {
        if (o->ntargets == TARGETS_MAX)
            die("more than %d urls", TARGETS_MAX);
        target_read(&o->targets[o->ntargets++], url);
    }
}

static void pids_read(struct options *o, char *list)
{
    for (char *pid = strtok(list, ","); pid; pid = strtok(NULL, ",")) {
        if (o->npids == PROCS_MAX)
            die("more than %d processes", PROCS_MAX);
        o->pids[o->npids++] = (pid_t)number(pid, 1UL << 30);
    }
}

static void option_read_number(struct options *o, int key, const char *value)
{
    switch (key) {
    case KEY_CLIENTS:
        o->clients = number(value, 1000000);
        break;
    case KEY_SLOW:
        o->slow = number(value, 100000);
        break;
    case KEY_ROOMS:
        o->rooms = number(value, 1000000);
        break;
    case KEY_MESSAGES:
        o->messages = number(value, 100000000);
        break;
    case KEY_WARMUP:
        o->warmup = number(value, 1000000);
        break;
    case KEY_WINDOW:
        o->window = number(value, 1000000);
        break;
    case KEY_PUBLISHERS:
        o->publishers = number(value, PUBLISHERS_MAX);
        break;
    case KEY_BYTES:
        o->bytes = number(value, 65000);
        break;
    case KEY_SETTLE:
        o->settle_ms = number(value, 3600000);
        break;
    case KEY_HOLD:
        o->hold_s = number(value, 1000000);
        break;
    case KEY_TIMEOUT:
        o->timeout_s = number(value, 3600);
        break;
    default:
        die("see --help");
    }
}

static void option_read(struct options *o, int key, char *value)
{
    switch (key) {
    case KEY_URL:
        urls_read(o, value);
        break;
    case KEY_PID:
        pids_read(o, value);
        break;
    case KEY_RATE:
        o->rate = strtod(value, NULL);
        break;
    case KEY_PUBLISH_PATH:
        o->publish_path = value;
        break;
    case KEY_POST:
        o->http = true;
        o->publish_path = value;
        break;
    case KEY_TEXT:
        o->json = false;
        break;
    case KEY_GET:
        o->get = value;
        break;
    case KEY_TEMPLATE:
        o->template = value;
        break;
    case KEY_LABEL:
        o->label = value;
        break;
    case KEY_HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        option_read_number(o, key, value);
    }
}

void options_read(struct options *o, int argc, char **argv)
{
    *o = (struct options){.clients = 1000,
                          .publishers = 1,
                          .rooms = 1,
                          .window = WINDOW_UNSET,
                          .bytes = 100,
                          .messages = 1000,
                          .warmup = 20,
                          .settle_ms = 500,
                          .timeout_s = 20,
                          .json = true,
                          .label = "",
                          .template = "{\"username\":\"bench\",\"content\":\"%s\"}"};
    for (int key; (key = getopt_long(argc, argv, "", table, NULL)) != -1;)
        option_read(o, key, optarg);
    if (optind < argc || !o->ntargets)
        die("--url is needed, and nothing without a dash; see --help");
    if (o->bytes < MARK_BYTES)
        die("--bytes: %d at least", MARK_BYTES);
    if (!strstr(o->template, "%s"))
        die("--template has no %%s");
    if (o->rate < 0 || (o->get && o->http))
        die("a rate is positive, and --get and --post exclude each other");
    if (o->window == WINDOW_UNSET)
        o->window = o->http ? 0 : 1; /* a request for each connection is bound enough */
    bool own = o->http || o->get || o->publish_path;
    if (!o->rooms || (o->rooms > 1 && own))
        die("--rooms: 1 at least, and only where subscribers publish");
    if (o->messages && (!o->publishers || (!own && o->publishers > o->clients)))
        die("--publishers: from 1 to the number of clients");
}
