/* SPDX-License-Identifier: MIT */
/*
 * Lines `name:value\r\n`, sections headed by lines with '#'. Eviction is refused because it would
 * take the log or its state away silently; a version below 6.2 lacks XTRIM MINID.
 */
#include "common/redis_info.h"

#include <stdio.h>

enum {
    VERSION_MAJOR = 6,
    VERSION_MINOR = 2,
    VERSION_DIGITS_MAX = 3, /* of each number */
};

/* Copies the value of name, cut where it does not fit. */
static void field_read(struct str text, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    const char *line = text.p, *end = text.len ? text.p + text.len : text.p;
    out[0] = 0;
    while (line < end) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));
        const char *stop = feed ? feed : end;
        if (stop > line && stop[-1] == '\r')
            stop--;
        size_t n = (size_t)(stop - line);
        if (n > len && memcmp(line, name, len) == 0 && line[len] == ':') {
            snprintf(out, size, "%.*s", (int)(n - len - 1), line + len + 1);
            return;
        }
        line = feed ? feed + 1 : end;
    }
}

void redis_info_read(struct redis_info *info, struct str text)
{
    field_read(text, "role", info->role, sizeof info->role);
    field_read(text, "master_replid", info->replid, sizeof info->replid);
    field_read(text, "run_id", info->run_id, sizeof info->run_id);
    field_read(text, "redis_version", info->version, sizeof info->version);
    field_read(text, "maxmemory_policy", info->policy, sizeof info->policy);
    field_read(text, "redis_mode", info->mode, sizeof info->mode);
}

bool redis_info_is_cluster(const struct redis_info *info)
{
    return strcmp(info->mode, "cluster") == 0;
}

/* Takes a number, without a sign or space, off the front. */
static bool number_take(const char **text, int *n)
{
    size_t digits = strspn(*text, "0123456789");
    *n = 0;
    for (size_t i = 0; i < digits && digits <= VERSION_DIGITS_MAX; i++)
        *n = *n * 10 + (*text)[i] - '0';
    *text += digits;
    return digits >= 1 && digits <= VERSION_DIGITS_MAX;
}

static bool version_supported(const char *version)
{
    int major, minor;
    if (!number_take(&version, &major) || *version++ != '.' || !number_take(&version, &minor))
        return false;
    return major > VERSION_MAJOR || (major == VERSION_MAJOR && minor >= VERSION_MINOR);
}

bool redis_info_refused(const struct redis_info *info, char *why, size_t size)
{
    if (!version_supported(info->version))
        snprintf(why, size, "redis_version is %s, at least %d.%d is needed", info->version,
                 VERSION_MAJOR, VERSION_MINOR);
    else if (strcmp(info->role, "master") != 0 && !redis_info_is_cluster(info))
        snprintf(why, size, "its role is %s, master is needed", info->role);
    else if (strcmp(info->policy, "noeviction") != 0)
        snprintf(why, size, "maxmemory-policy is %s, noeviction is needed", info->policy);
    else if (!info->replid[0] || !info->run_id[0])
        snprintf(why, size, "INFO tells no master_replid or no run_id");
    else
        return false;
    return true;
}

bool redis_info_same(const struct redis_info *a, const struct redis_info *b)
{
    return strcmp(a->replid, b->replid) == 0 && strcmp(a->run_id, b->run_id) == 0;
}
