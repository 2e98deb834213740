/* SPDX-License-Identifier: MIT */
/* Lines as they are written to standard error, in both forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/iso_time.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "tests/unit/capture.h"

static char text[4 * LOG_LINE_BYTES_MAX];

/* Runs a statement and keeps what it logs in text. */
#define LOGGED(statement)                                                                          \
    do {                                                                                           \
        struct capture c = capture_begin(STDERR_FILENO);                                           \
        statement;                                                                                 \
        capture_end(c, text, sizeof text);                                                         \
    } while (0)

static void assert_text(const char *expected)
{
    uint64_t ms;
    assert_true(strlen(text) > ISO_TIME_BYTES);
    assert_true(iso_time_read((struct str){text, ISO_TIME_BYTES}, &ms));
    assert_string_equal(text + ISO_TIME_BYTES, expected);
}

static void assert_json(const char *expected)
{
    const size_t before = sizeof "{\"time\":\"" - 1;
    size_t at;
    assert_null(json_check(str_of(text), 1, &at));
    assert_memory_equal(text, "{\"time\":\"", before);
    assert_string_equal(text + before + ISO_TIME_BYTES, expected);
}

static int before_init(void **state)
{
    (void)state;
    LOGGED(log_info("early", "a=%d", 1));
    return 0;
}

static void before_init_is_text(void **state)
{
    (void)state;
    assert_text(" INFO  - early a=1\n");
    assert_false(log_on(LOG_DEBUG));
    assert_true(log_on(LOG_INFO));
}

static void plain_text(void **state)
{
    (void)state;
    log_init("gateway", LOG_DEBUG, false);
    LOGGED(log_info("redis up", "address=%s:%d role=%s", "127.0.0.1", 6379, "master"));
    assert_text(" INFO  gateway redis up address=127.0.0.1:6379 role=master\n");
    LOGGED(log_warn("bare", ""));
    assert_text(" WARN  gateway bare\n");
    LOGGED(log_error("x", "fixed=yes empty=%s", ""));
    assert_text(" ERROR gateway x fixed=yes empty=\n");
    LOGGED(log_debug("x", "n=%u", 5u));
    assert_text(" DEBUG gateway x n=5\n");
}

static void quoted_text(void **state)
{
    (void)state;
    log_init("gateway", LOG_INFO, false);
    LOGGED(log_info("x", "a=%s b=%s c=%s d=%s", "two words", "line\nfeed", "say \"x\"", "k=v"));
    assert_text(" INFO  gateway x a=\"two words\" b=\"line\\nfeed\" c=\"say \\\"x\\\"\" d=k=v\n");
    LOGGED(log_info("x", "a=%s b=%s", "\xFF", "caf\xC3\xA9"));
    assert_text(" INFO  gateway x a=\"\xEF\xBF\xBD\" b=caf\xC3\xA9\n");
}

/* A value that holds the very bytes that part the fields is still one value. */
static void values_forge_no_fields(void **state)
{
    (void)state;
    log_init("gateway", LOG_INFO, true);
    LOGGED(log_info("x", "a=%s b=%s",
                    "1\x1E"
                    "b=2\x1F"
                    "c=3 d=4",
                    "end"));
    assert_json("\",\"level\":\"info\",\"service\":\"gateway\",\"event\":\"x\","
                "\"a\":\"1\\u001eb=2\\u001fc=3 d=4\",\"b\":\"end\"}\n");
}

static void json(void **state)
{
    (void)state;
    log_init("gateway", LOG_INFO, true);
    LOGGED(log_warn("redis \"down\"", "reason=%s n=%zu", "\xC3\xA9\n\xFE", (size_t)3));
    assert_json("\",\"level\":\"warn\",\"service\":\"gateway\",\"event\":\"redis \\\"down\\\"\","
                "\"reason\":\"\xC3\xA9\\n\xEF\xBF\xBD\",\"n\":\"3\"}\n");
    LOGGED(log_error("bare", ""));
    assert_json("\",\"level\":\"error\",\"service\":\"gateway\",\"event\":\"bare\"}\n");
}

static void levels(void **state)
{
    (void)state;
    log_init("gateway", LOG_WARN, false);
    LOGGED(log_info("hidden", ""));
    assert_string_equal(text, "");
    LOGGED(log_debug("hidden", ""));
    assert_string_equal(text, "");
    LOGGED(log_warn("shown", ""));
    assert_text(" WARN  gateway shown\n");
}

/* Values that are far too long, and those that grow when they are escaped. */
static void long_lines(void **state)
{
    (void)state;
    static char value[3 * LOG_LINE_BYTES_MAX];
    for (int as_json = 0; as_json <= 1; as_json++)
        for (const char *fill = "x\x01\xFF\""; *fill; fill++) {
            size_t at;
            memset(value, *fill, sizeof value - 1);
            log_init("gateway", LOG_INFO, as_json);
            LOGGED(log_info("long", "first=1 value=%s last=2", value));
            size_t len = strlen(text);
            assert_in_range(len, LOG_LINE_BYTES_MAX / 4, LOG_LINE_BYTES_MAX);
            assert_int_equal(text[len - 1], '\n');
            assert_ptr_equal(strchr(text, '\n'), text + len - 1);
            if (as_json)
                assert_null(json_check(str_of(text), 1, &at));
        }
}

/* A line may be as long as the limit, and never one byte longer. */
static void longest_line(void **state)
{
    (void)state;
    static char value[LOG_LINE_BYTES_MAX];
    memset(value, 'x', sizeof value);
    for (int as_json = 0; as_json <= 1; as_json++) {
        size_t longest = 0;
        log_init("gateway", LOG_INFO, as_json);
        for (size_t n = LOG_LINE_BYTES_MAX - 150; n <= LOG_LINE_BYTES_MAX; n++) {
            const struct log_field field = {STR("a"), {value, n}};
            LOGGED(log_fields(LOG_INFO, "long", &field, 1));
            longest = strlen(text) > longest ? strlen(text) : longest;
        }
        assert_in_range(longest, LOG_LINE_BYTES_MAX - 1, LOG_LINE_BYTES_MAX);
        if (as_json)
            assert_int_equal(longest, LOG_LINE_BYTES_MAX);
    }
}

static void fields(void **state)
{
    (void)state;
    log_init("gateway", LOG_INFO, false);
    const struct log_field some[] = {{STR("A"), STR("1")}, {STR("B"), STR("x y\0z")}};
    LOGGED(log_fields(LOG_INFO, "settings", some, 2));
    assert_text(" INFO  gateway settings A=1 B=\"x y\\u0000z\"\n");
    LOGGED(log_fields(LOG_DEBUG, "settings", some, 2));
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(before_init_is_text, before_init),
        cmocka_unit_test(plain_text),
        cmocka_unit_test(quoted_text),
        cmocka_unit_test(values_forge_no_fields),
        cmocka_unit_test(json),
        cmocka_unit_test(levels),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(longest_line),
        cmocka_unit_test(fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
