/* SPDX-License-Identifier: MIT */
/*
 * What a server says of itself by INFO. Properties: every field is a text of a line that was there,
 * cut to its room; a refusal is one line; what is accepted is a master that does not evict, of a
 * version that has what the scripts need.
 */
#include <stdio.h>

#include "common/redis_info.h"
#include "tests/fuzz/fuzz.h"

static void check_field(struct str text, const char *name, const char *value, size_t size)
{
    struct buf *wanted = NULL;
    assert(strlen(value) < size && !strchr(value, '\n'));
    if (*value) {
        buf_printf(&wanted, "%s:%s", name, value);
        struct str line = buf_str(wanted);
        assert(memmem(text.p, text.len, line.p, line.len));
    }
    buf_free(&wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = fuzz_copy(fuzz_str(data, size)), why[128];
    struct str text = {copy, size};
    struct redis_info info, other;
    redis_info_read(&info, text);
    check_field(text, "role", info.role, sizeof info.role);
    check_field(text, "master_replid", info.replid, sizeof info.replid);
    check_field(text, "run_id", info.run_id, sizeof info.run_id);
    check_field(text, "redis_version", info.version, sizeof info.version);
    check_field(text, "maxmemory_policy", info.policy, sizeof info.policy);
    if (redis_info_refused(&info, why, sizeof why)) {
        assert(*why && strlen(why) < sizeof why && !strchr(why, '\n'));
    } else {
        int major = 0, minor = 0;
        int numbers = sscanf(info.version, "%d.%d", &major, &minor);
        assert(numbers == 2 && (major > 6 || (major == 6 && minor >= 2)));
        assert(strcmp(info.role, "master") == 0 && strcmp(info.policy, "noeviction") == 0);
        assert(*info.replid && *info.run_id);
    }
    redis_info_read(&other, (struct str){copy, size / 2});
    assert(redis_info_same(&info, &info));
    assert(redis_info_same(&info, &other) == redis_info_same(&other, &info));
    free(copy);
    return 0;
}
