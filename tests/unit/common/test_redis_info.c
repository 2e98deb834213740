/* SPDX-License-Identifier: MIT */
/* What INFO tells, and which servers are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/redis_info.h"

#define INFO(version, role, policy)                                                                \
    "# Server\r\nredis_version:" version "\r\nrun_id:1234\r\n\r\n# Memory\r\n"                     \
    "maxmemory_policy:" policy "\r\n# Replication\r\nrole:" role "\r\nmaster_replid:abcd\r\n"      \
    "master_replid2:0000\r\n"

static void test_read(void **state)
{
    (void)state;
    struct redis_info a, b;
    redis_info_read(&a, STR(INFO("7.0.15", "master", "noeviction")));
    assert_string_equal(a.version, "7.0.15");
    assert_string_equal(a.run_id, "1234");
    assert_string_equal(a.role, "master");
    assert_string_equal(a.replid, "abcd");
    assert_string_equal(a.policy, "noeviction");
    redis_info_read(&b, STR("role:a-role-that-is-far-too-long\nrun_id"));
    assert_string_equal(b.role, "a-role-that-is-");
    assert_string_equal(b.run_id, "");
    redis_info_read(&b, (struct str){NULL, 0});
    assert_string_equal(b.role, "");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word; /* NULL: it is right */
    } rows[] = {
        {INFO("6.2.0", "master", "noeviction"), NULL},
        {INFO("7.2.4", "master", "noeviction"), NULL},
        {INFO("10.0", "master", "noeviction"), NULL},
        {INFO("6.0.16", "master", "noeviction"), "6.0.16"},
        {INFO("5.9.9", "master", "noeviction"), "6.2"},
        {INFO("7.2-rc1", "master", "noeviction"), NULL},
        {INFO("x", "master", "noeviction"), "redis_version"},
        {INFO("-7.2", "master", "noeviction"), "redis_version"},
        {INFO(" 7.2", "master", "noeviction"), "redis_version"},
        {INFO("7.-2", "master", "noeviction"), "redis_version"},
        {INFO("7", "master", "noeviction"), "redis_version"},
        {INFO("7.1234", "master", "noeviction"), "redis_version"},
        {INFO("7.0.0", "slave", "noeviction"), "role is slave"},
        {INFO("7.0.0", "master", "allkeys-lru"), "maxmemory-policy is allkeys-lru"},
        {"redis_version:7.0\nrole:master\nmaxmemory_policy:noeviction\n", "replid"},
        {"", "redis_version"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redis_info info;
        char why[128] = "";
        redis_info_read(&info, str_of(rows[i].text));
        assert_int_equal(redis_info_refused(&info, why, sizeof why), rows[i].word != NULL);
        if (rows[i].word)
            assert_non_null(strstr(why, rows[i].word));
    }
}

static void test_same(void **state)
{
    (void)state;
    struct redis_info a, b;
    redis_info_read(&a, STR("master_replid:a\r\nrun_id:1\r\n"));
    redis_info_read(&b, STR("run_id:1\r\nmaster_replid:a"));
    assert_true(redis_info_same(&a, &b));
    redis_info_read(&b, STR("master_replid:a\r\nrun_id:2\r\n"));
    assert_false(redis_info_same(&a, &b));
    redis_info_read(&b, STR("master_replid:b\r\nrun_id:1\r\n"));
    assert_false(redis_info_same(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
