/* SPDX-License-Identifier: MIT */
/* What the settings of both programs have in common: checks of strings, and lists of choices. */
#ifndef COMMON_CONFIG_CHECKS_H
#define COMMON_CONFIG_CHECKS_H

/* A `check` of config.h each: NULL when the value is right, else words for what is accepted. */
const char *config_check_host(const char *host);     /* a numeric address, IPv4 or IPv6 */
const char *config_check_prefix(const char *prefix); /* it becomes the hash tag {prefix} of keys */

/* Choices whose index is an enum log_level; and 0 text, 1 json. */
extern const char *const config_log_levels[];
extern const char *const config_log_formats[];

#endif
