/* SPDX-License-Identifier: MIT */
/*
 * A program's configuration, for the two targets that are called fuzz_settings. The input is one
 * setting a line, `NAME=value` for the environment or `--name=value`, `--name` and so on for the
 * command line. Properties: a wrong setting is told in one clean line of bounded length, a right
 * one in none; loading twice gives the same.
 *
 * SECRET stands in seeds as the password of a URL: wherever the input has it behind `://…:` and
 * before an `@`, and nowhere else, no output may have it.
 */
#ifndef TESTS_FUZZ_SETTINGS_H
#define TESTS_FUZZ_SETTINGS_H

#include <stdio.h>

#include "common/log.h"
#include "common/redis_tls.h"
#include "tests/fuzz/fuzz.h"

enum {
    ARGS_MAX = 32,
    ERROR_LINE_BYTES_MAX = 1024,
};

static const char SECRET[] = "PaSsWoRd";

struct fuzz_settings {
    char *argv[ARGS_MAX + 2];
    int argc;
    char *lines[ARGS_MAX]; /* owned */
    size_t nlines;
};

static inline void fuzz_settings_begin(struct fuzz_settings *f, struct str input)
{
    static char program[] = "program";
    clearenv();
    *f = (struct fuzz_settings){.argv = {program}, .argc = 1};
    while (input.len && f->nlines < ARGS_MAX) {
        struct str line = fuzz_until(&input, '\n');
        char *copy = mem_strndup(line.p, line.len);
        f->lines[f->nlines++] = copy;
        if (*copy != '-' && *copy != '=' && strchr(copy, '='))
            putenv(copy);
        else
            f->argv[f->argc++] = copy;
    }
}

static inline void fuzz_settings_end(struct fuzz_settings *f)
{
    clearenv();
    while (f->nlines)
        free(f->lines[--f->nlines]);
}

/* No password, wherever it stands: an unknown flag is told without its value too. */
static inline bool fuzz_settings_hides(const struct fuzz_settings *f)
{
    for (size_t i = 0; i < f->nlines; i++)
        for (const char *p = f->lines[i]; (p = strstr(p, SECRET)); p++) {
            const char *scheme = strstr(f->lines[i], "://");
            const char *colon = scheme ? strchr(scheme + 3, ':') : NULL;
            if (!colon || colon > p || !strchr(p, '@'))
                return false;
        }
    return true;
}

static inline void fuzz_settings_check(const struct fuzz_settings *f, enum config_result result,
                                       const char *shown, const char *error)
{
    size_t len = strlen(error);
    assert((result == CONFIG_WRONG) == (len > 0) && (result == CONFIG_SHOWN) == (*shown != 0));
    if (result == CONFIG_WRONG) {
        assert(len <= ERROR_LINE_BYTES_MAX && error[len - 1] == '\n');
        for (size_t i = 0; i + 1 < len; i++)
            assert((unsigned char)error[i] >= ' ' && error[i] != 0x7F);
    }
    if (fuzz_settings_hides(f))
        assert(!strstr(shown, SECRET) && !strstr(error, SECRET));
}

/* Runs load once; what it wrote is checked, and the result returned. */
static inline enum config_result
fuzz_settings_load(const struct fuzz_settings *f, struct settings *s,
                   enum config_result (*load)(struct settings *s, int argc, char **argv))
{
    FILE *out = stdout, *err = stderr;
    char *shown = NULL, *error = NULL;
    size_t shown_len = 0, error_len = 0;
    char **argv = (char **)(uintptr_t)f->argv;
    stdout = open_memstream(&shown, &shown_len);
    stderr = open_memstream(&error, &error_len);
    assert(stdout && stderr);
    enum config_result result = load(s, f->argc, argv);
    (void)fclose(stdout);
    (void)fclose(stderr);
    stdout = out;
    stderr = err;
    fuzz_settings_check(f, result, shown, error);
    free(shown);
    free(error);
    return result;
}

/* A build with TLS would read what files the input names. */
static inline bool fuzz_settings_skip(struct str input)
{
    return REDIS_TLS_BUILT && input.len && memmem(input.p, input.len, "rediss", 6);
}

#endif
