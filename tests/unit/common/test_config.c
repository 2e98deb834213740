/* SPDX-License-Identifier: MIT */
/* Settings from the environment and from flags, and the words for those that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/config.h"
#include "common/config_checks.h"
#include "common/log.h"
#include "common/version.h"
#include "tests/unit/capture.h"

struct settings {
    unsigned long port, memory;
    int level;
    const char *url, *name;
};

static const char *url_check(const char *value)
{
    return strncmp(value, "redis://", 8) == 0 ? NULL : "a URL redis://host:port";
}

static const char *const levels[] = {"debug", "info", NULL};

static const struct config_item items[] = {
    {.name = "PORT",
     .type = CONFIG_NUMBER,
     .offset = offsetof(struct settings, port),
     .value = "8000",
     .max = 65535,
     .help = "TCP port"},
    {.name = "MEMORY_MAX",
     .type = CONFIG_NUMBER,
     .offset = offsetof(struct settings, memory),
     .value = "1M",
     .min = 1024,
     .max = 1ul << 30,
     .help = "bytes"},
    {.name = "LOG_LEVEL",
     .type = CONFIG_CHOICE,
     .offset = offsetof(struct settings, level),
     .value = "info",
     .choices = levels,
     .help = "lowest level"},
    {.name = "REDIS_URL",
     .type = CONFIG_STRING,
     .offset = offsetof(struct settings, url),
     .value = "redis://localhost",
     .min = 1,
     .help = "where Redis is",
     .check = url_check},
    {.name = "NAME",
     .type = CONFIG_STRING,
     .offset = offsetof(struct settings, name),
     .max = 5,
     .help = "a short name"},
};

enum {
    COUNT = sizeof items / sizeof *items
};

static char out[16384], err[16384];

static enum config_result load(struct settings *s, char **argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    struct capture to_out = capture_begin(STDOUT_FILENO), to_err = capture_begin(STDERR_FILENO);
    enum config_result r = config_load(items, COUNT, s, "chat-test", "a test", argc, argv);
    capture_end(to_err, err, sizeof err);
    capture_end(to_out, out, sizeof out);
    return r;
}

#define LOAD(s, ...) load(s, (char *[]){(char[]){"chat-test"}, __VA_ARGS__, NULL})
#define ARG(text) ((char[]){text})

static int clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        unsetenv(items[i].name);
    return 0;
}

static void defaults(void **state)
{
    (void)state;
    struct settings s;
    setenv("PORT", "", 1);
    assert_int_equal(load(&s, (char *[]){NULL}), CONFIG_OK);
    assert_int_equal(s.port, 8000);
    assert_int_equal(s.memory, 1 << 20);
    assert_int_equal(s.level, 1);
    assert_string_equal(s.url, "redis://localhost");
    assert_string_equal(s.name, "");
    assert_string_equal(out, "");
    assert_string_equal(err, "");
}

static void environment_and_flags(void **state)
{
    (void)state;
    struct settings s;
    setenv("PORT", "1", 1);
    setenv("REDIS_URL", "redis://env", 1);
    setenv("LOG_LEVEL", "debug", 1);
    setenv("NAME", "env", 1);
    assert_int_equal(LOAD(&s, ARG("--redis-url=redis://a=b"), ARG("--memory-max"), ARG("2k"),
                          ARG("--port=2"), ARG("--port"), ARG("3"), ARG("--name=")),
                     CONFIG_OK);
    assert_int_equal(s.port, 3);
    assert_string_equal(s.url, "redis://a=b");
    assert_int_equal(s.level, 0);
    assert_int_equal(s.memory, 2048);
    assert_string_equal(s.name, "");
}

static void assert_wrong(const char *name, const char *value, const char *line)
{
    struct settings s;
    setenv(name, value, 1);
    assert_int_equal(load(&s, (char *[]){NULL}), CONFIG_WRONG);
    assert_string_equal(err, line);
    assert_string_equal(out, "");
    unsetenv(name);
}

static void wrong_values(void **state)
{
    (void)state;
#define PORT_NEEDED ": a number from 0 to 65535 is needed\n"
    assert_wrong("PORT", "abc", "chat-test: PORT=abc" PORT_NEEDED);
    assert_wrong("PORT", "65536", "chat-test: PORT=65536" PORT_NEEDED);
    assert_wrong("PORT", "-1", "chat-test: PORT=-1" PORT_NEEDED);
    assert_wrong("PORT", "+1", "chat-test: PORT=+1" PORT_NEEDED);
    assert_wrong("PORT", " 1", "chat-test: PORT= 1" PORT_NEEDED);
    assert_wrong("PORT", "1K", "chat-test: PORT=1K" PORT_NEEDED);
    assert_wrong("PORT", "1\n2", "chat-test: PORT=1?2" PORT_NEEDED);
    assert_wrong("PORT", "18446744073709551617",
                 "chat-test: PORT=18446744073709551617" PORT_NEEDED);
#define MEMORY_NEEDED ": a number from 1024 to 1073741824 (K, M or G may follow) is needed\n"
    assert_wrong("MEMORY_MAX", "1023", "chat-test: MEMORY_MAX=1023" MEMORY_NEEDED);
    assert_wrong("MEMORY_MAX", "2G", "chat-test: MEMORY_MAX=2G" MEMORY_NEEDED);
    assert_wrong("MEMORY_MAX", "1Kb", "chat-test: MEMORY_MAX=1Kb" MEMORY_NEEDED);
    assert_wrong("MEMORY_MAX", "M", "chat-test: MEMORY_MAX=M" MEMORY_NEEDED);
    assert_wrong("MEMORY_MAX", "17179869185G", "chat-test: MEMORY_MAX=17179869185G" MEMORY_NEEDED);
    assert_wrong("LOG_LEVEL", "loud", "chat-test: LOG_LEVEL=loud: one of debug, info is needed\n");
    assert_wrong("NAME", "sixsix", "chat-test: NAME=sixsix: a text of 0 to 5 bytes is needed\n");
    assert_wrong("REDIS_URL", "http://u:p@h/x",
                 "chat-test: REDIS_URL=http://u:***@h/x: a URL redis://host:port is needed\n");
    assert_wrong("REDIS_URL", "x://\n\x7f:p@h\t",
                 "chat-test: REDIS_URL=x://??:***@h?: a URL redis://host:port is needed\n");
}

/* A thousand bytes of a value, also those of a URL around its password, are not told as they are.
 */
static void long_values(void **state)
{
    (void)state;
    char user[201], host[201], value[1024], line[1024];
    memset(user, 'u', 200);
    memset(host, 'h', 200);
    user[200] = host[200] = 0;
    snprintf(value, sizeof value, "x://%s%s:p@%s%s", user, user, host, host);
    snprintf(line, sizeof line,
             "chat-test: REDIS_URL=x://%.196s***@%.199s: a URL redis://host:port is needed\n", user,
             host);
    assert_wrong("REDIS_URL", value, line);
    snprintf(line, sizeof line, "chat-test: PORT=%s: a number from 0 to 65535 is needed\n", user);
    assert_wrong("PORT", value + 4, line);
}

static void wrong_flags(void **state)
{
    (void)state;
    struct settings s;
    assert_int_equal(LOAD(&s, ARG("--prot=secret")), CONFIG_WRONG);
    assert_string_equal(err, "chat-test: --prot is not known (see --help)\n");
    assert_int_equal(LOAD(&s, ARG("--portx=1")), CONFIG_WRONG);
    assert_int_equal(LOAD(&s, ARG("--PORT=1")), CONFIG_WRONG);
    assert_int_equal(LOAD(&s, ARG("stray")), CONFIG_WRONG);
    assert_string_equal(err, "chat-test: stray is not known (see --help)\n");
    assert_int_equal(LOAD(&s, ARG("redis://u:p=w@h/\n")), CONFIG_WRONG);
    assert_string_equal(err, "chat-test: redis://u:***@h/? is not known (see --help)\n");
    assert_int_equal(LOAD(&s, ARG("--port")), CONFIG_WRONG);
    assert_string_equal(err, "chat-test: --port needs a value (see --help)\n");
    assert_int_equal(LOAD(&s, ARG("--name"), ARG("--port=1")), CONFIG_WRONG);
    assert_string_equal(err, "chat-test: --name needs a value (see --help)\n");
    assert_int_equal(LOAD(&s, ARG("--redis-url=")), CONFIG_WRONG);
    assert_string_equal(err, "chat-test: REDIS_URL=: a text of 1 byte or more is needed\n");
}

static void shown(void **state)
{
    (void)state;
    struct settings s;
    setenv("PORT", "abc", 1);
    assert_int_equal(LOAD(&s, ARG("--version")), CONFIG_SHOWN);
    assert_string_equal(out, "chat-test " CHAT_VERSION "\n");
    assert_int_equal(LOAD(&s, ARG("--nonsense"), ARG("--help")), CONFIG_SHOWN);
    assert_string_equal(err, "");
    assert_non_null(strstr(out, "chat-test " CHAT_VERSION ": a test\n"));
    assert_non_null(strstr(out,
                           "\nREDIS_URL   --redis-url   redis://localhost  1 byte or more      "
                           "where Redis is\n"));
    assert_non_null(strstr(out,
                           "\nPORT        --port        8000               0 to 65535          "
                           "TCP port\n"));
    assert_non_null(strstr(out,
                           "\nNAME        --name        -                  0 to 5 bytes        "
                           "a short name\n"));
}

static void assert_logged(const struct settings *s, const char *expected)
{
    struct capture c = capture_begin(STDERR_FILENO);
    config_log(items, COUNT, s);
    capture_end(c, err, sizeof err);
    assert_non_null(strstr(err, " INFO  - settings "));
    if (!strstr(err, expected))
        fail_msg("%s is not in %s", expected, err);
}

static void logged(void **state)
{
    (void)state;
    struct settings s = {.port = 1, .memory = 2, .url = "", .name = "a b"};
    assert_logged(&s, "PORT=1 MEMORY_MAX=2 LOG_LEVEL=debug REDIS_URL= NAME=\"a b\"\n");
}

static void passwords_are_hidden(void **state)
{
    (void)state;
    static const char *const urls[][2] = {
        {"redis://h:1/0", "redis://h:1/0"},
        {"redis://user@h:1/0", "redis://user@h:1/0"},
        {"redis://user:pw@h:1/0", "redis://user:***@h:1/0"},
        {"redis://:pw@h", "redis://:***@h"},
        {"redis://u:p@w/:#x@h:1", "redis://u:***@h:1"},
        {"redis://:a@h1,redis://:b@h2", "redis://:***@h2"},
        {"redis://[::1]:6379", "redis://[::1]:6379"},
    };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct settings s = {.url = urls[i][0], .name = ""};
        char expected[128];
        (void)snprintf(expected, sizeof expected, " REDIS_URL=%s NAME=", urls[i][1]);
        assert_logged(&s, expected);
    }
}

static void checks(void **state)
{
    (void)state;
    static const char *const hosts[] = {"0.0.0.0", "127.0.0.1", "::", "::1", "fe80::1"};
    static const char *const no_hosts[] = {"", "localhost", "1.2.3", "1.2.3.4 ", "[::1]", "::g"};
    static const char *const no_prefixes[] = {"a b", "{chat}", "chat\n", "caf\xC3\xA9"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        assert_null(config_check_host(hosts[i]));
    for (size_t i = 0; i < sizeof no_hosts / sizeof *no_hosts; i++)
        assert_non_null(config_check_host(no_hosts[i]));
    assert_null(config_check_prefix("Chat-2_b.c:9"));
    for (size_t i = 0; i < sizeof no_prefixes / sizeof *no_prefixes; i++)
        assert_non_null(config_check_prefix(no_prefixes[i]));
    assert_string_equal(config_log_levels[LOG_DEBUG], "debug");
    assert_string_equal(config_log_levels[LOG_ERROR], "error");
    assert_null(config_log_levels[LOG_ERROR + 1]);
}

static void exit_status(void **state)
{
    (void)state;
    assert_int_equal(config_exit(CONFIG_SHOWN), 0);
    assert_int_equal(config_exit(CONFIG_WRONG), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults, clean),
        cmocka_unit_test_setup(environment_and_flags, clean),
        cmocka_unit_test_setup(wrong_values, clean),
        cmocka_unit_test_setup(wrong_flags, clean),
        cmocka_unit_test_setup(shown, clean),
        cmocka_unit_test(logged),
        cmocka_unit_test(passwords_are_hidden),
        cmocka_unit_test_setup(long_values, clean),
        cmocka_unit_test(checks),
        cmocka_unit_test(exit_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
