/* SPDX-License-Identifier: MIT */
/* The words on the log's channels, and the numbers in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/script.h"

static void test_digits(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "a", "-1", "+1", " 1", "1 ", "9007199254740993", "12345678901234567"};
    uint64_t n;
    assert_true(digits_read(STR("0"), &n) && n == 0);
    assert_true(digits_read(STR("9007199254740992"), &n) && n == (uint64_t)1 << 53);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(digits_read(str_of(wrong[i]), &n));
}

static void test_beat(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",         "1",        "1 2 3",    "1 2 3 4 5", "1 2 3 4 ",
                                        " 1 2 3 4", "1  2 3 4", "1 2 3 4x", "1\t2 3 4"};
    struct beat b;
    assert_true(beat_read(&b, STR("1 20 3 0")));
    assert_true(b.opening == 1 && b.seq == 20 && b.stored == 3 && b.base == 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(beat_read(&b, str_of(wrong[i])));
}

static void test_control(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "1", "1 ", "1 2 ", "1 2 3", "1  2", " 1 2", "1 x"};
    uint64_t opening, stored;
    assert_true(control_read(STR("4 77"), &opening, &stored) && opening == 4 && stored == 77);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(control_read(str_of(wrong[i]), &opening, &stored));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_beat),
        cmocka_unit_test(test_control),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
