/* SPDX-License-Identifier: MIT */
/*
 * Configuration from the environment, and flags of the same names over it: REDIS_URL is
 * --redis-url. A program declares one table; the table reads, checks, explains (--help) and logs
 * the settings. A wrong value stops the program at its start with one line that names the setting,
 * the value and what is accepted.
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include <stddef.h>

#include "common/str.h"

enum config_type {
    CONFIG_STRING, /* const char *, of min to max bytes, never NULL; a max of 0 is no bound */
    CONFIG_NUMBER, /* unsigned long from min to max: digits only; where max > 65535, K, M or G
                      (powers of 1024) may follow */
    CONFIG_CHOICE, /* int: the index into choices */
};

struct config_item {
    const char *name; /* of the environment's variable */
    enum config_type type;
    size_t offset;              /* of the member in the program's settings */
    const char *value;          /* the default, as it would stand in the environment; NULL is "" */
    unsigned long min, max;     /* of a number; of a string's length in bytes */
    const char *const *choices; /* NULL-terminated, of a choice */
    const char *help;           /* one line, with the unit */
    /* NULL, or a further check of a string: NULL when it is right, else what is accepted, as in
     * "a URL redis://host:port": the words go before "is needed". */
    const char *(*check)(const char *value);
};

enum config_result {
    CONFIG_OK,
    CONFIG_SHOWN, /* --help or --version was asked for and written to standard output: exit 0 */
    CONFIG_WRONG, /* one line was written to standard error: exit 2 */
};

/* Fills *settings by the table. A flag is `--name=value` or `--name value`; the last one of a name
 * counts, and an empty one counts as given. --help and --version win over whatever else is there.
 * Strings are borrowed from the environment, from argv or from the table. An empty variable counts
 * as unset (as PaaS consoles and compose files produce them). Unknown flags and leftover arguments
 * are wrong; unknown variables are not looked at. */
enum config_result config_load(const struct config_item *items, size_t count, void *settings,
                               const char *program, const char *about, int argc, char **argv);

/* The exit status of a program whose settings are not CONFIG_OK. */
int config_exit(enum config_result result);

/* The text of one setting by the same rules, unchecked; borrowed likewise. */
const char *config_value(const char *name, const char *fallback, int argc, char **argv);

/* Logs the effective values as one event, passwords masked. */
void config_log(const struct config_item *items, size_t count, const void *settings);

#endif
