/* SPDX-License-Identifier: MIT */
/* Times: known ones, every day of eight thousand years, and what is no time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/iso_time.h"

static void assert_time(uint64_t unix_ms, const char *expected)
{
    char text[ISO_TIME_BYTES + 1];
    uint64_t back = 1;
    iso_time_write(text, unix_ms);
    assert_string_equal(text, expected);
    assert_true(iso_time_read(str_of(text), &back));
    assert_int_equal(back, unix_ms);
}

static void known_times(void **state)
{
    (void)state;
    assert_time(0, "1970-01-01T00:00:00.000Z");
    assert_time(1, "1970-01-01T00:00:00.001Z");
    assert_time(951782400000, "2000-02-29T00:00:00.000Z");
    assert_time(951868799999, "2000-02-29T23:59:59.999Z");
    assert_time(1749939303123, "2025-06-14T22:15:03.123Z");
    assert_time(4107542400000, "2100-03-01T00:00:00.000Z");
    assert_time(253402300799999, "9999-12-31T23:59:59.999Z");
}

static void past_the_end(void **state)
{
    (void)state;
    char text[ISO_TIME_BYTES + 1];
    iso_time_write(text, 253402300800000);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    iso_time_write(text, UINT64_MAX);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

/* The calendar as children learn it, day by day. */
static void every_day(void **state)
{
    (void)state;
    static const unsigned lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t ms = 12345678; /* 03:25:45.678 */
    for (unsigned year = 1970; year <= 9999; year++)
        for (unsigned month = 1; month <= 12; month++) {
            bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            unsigned days = lengths[month - 1] + (month == 2 && leap);
            for (unsigned day = 1; day <= days; day++, ms += 86400000) {
                char expected[64], text[ISO_TIME_BYTES + 1];
                uint64_t back = 0;
                (void)snprintf(expected, sizeof expected, "%04u-%02u-%02uT03:25:45.678Z", year,
                               month, day);
                iso_time_write(text, ms);
                if (strcmp(text, expected) != 0)
                    fail_msg("%s, not %s", text, expected);
                if (!iso_time_read(str_of(text), &back) || back != ms)
                    fail_msg("%s read as %ju", text, (uintmax_t)back);
            }
        }
}

static void no_times(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "2025-06-14T22:15:03Z",
        "2025-06-14T22:15:03.123",
        "2025-06-14T22:15:03.123z",
        "2025-06-14 22:15:03.123Z",
        "2025-06-14T22:15:03,123Z",
        "2025-06-14T22:15:03.1234Z",
        "+025-06-14T22:15:03.123Z",
        "2025-6-014T22:15:03.123Z",
        "2025-00-14T22:15:03.123Z",
        "2025-13-14T22:15:03.123Z",
        "2025-06-00T22:15:03.123Z",
        "2025-06-31T22:15:03.123Z",
        "2025-02-29T22:15:03.123Z",
        "2100-02-29T22:15:03.123Z",
        "2025-06-14T24:15:03.123Z",
        "2025-06-14T22:60:03.123Z",
        "2025-06-14T22:15:60.123Z",
        "1969-12-31T23:59:59.999Z",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t ms = 7;
        assert_false(iso_time_read(str_of(wrong[i]), &ms));
        assert_int_equal(ms, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times),
        cmocka_unit_test(past_the_end),
        cmocka_unit_test(every_day),
        cmocka_unit_test(no_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
