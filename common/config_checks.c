/* SPDX-License-Identifier: MIT */
/* Nothing is looked up here: a value is right or wrong by itself. */
#include "common/config_checks.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

const char *const config_log_levels[] = {"debug", "info", "warn", "error", NULL};
const char *const config_log_formats[] = {"text", "json", NULL};

const char *config_check_host(const char *host)
{
    struct in6_addr address;
    if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
        return NULL;
    return "a numeric address such as 0.0.0.0 or ::1";
}

const char *config_check_prefix(const char *prefix)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-_.:";
    return prefix[strspn(prefix, allowed)] ? "a text of letters, digits and - _ . :" : NULL;
}
