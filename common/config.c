/* SPDX-License-Identifier: MIT */
/*
 * One table, four uses: it reads the settings, checks them, explains them and logs them.
 *
 * Nothing is kept between calls: the text of a setting is looked for anew, first in argv, then in
 * the environment, then in the table. No text that could hold a password is printed as it is: see
 * add_shown.
 */
#include "common/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "common/version.h"

enum {
    SHOWN_BYTES_MAX = 200 /* of a value in an error or in the log, on either side of a *** */
};

/* What every step needs. */
struct loading {
    const struct config_item *items;
    size_t count;
    const char *program;
    int argc;
    char **argv;
};

/* ---- words for people ---- */

/* Appends the text on one line, cut where it is long. */
static void add_clean(struct buf **out, struct str text)
{
    text = utf8_cut(text, SHOWN_BYTES_MAX);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        buf_add_char(out, (unsigned char)c < ' ' || c == 0x7F ? '?' : c);
    }
}

/* Appends the value likewise, a URL without its password: from the first colon of the user to the
 * *last* '@', so that a password with '@' or '/' in it is hidden too, and so is a second URL of a
 * list that lies between. */
static void add_shown(struct buf **out, const char *value)
{
    const char *scheme_end = strstr(value, "://"), *at = strrchr(value, '@');
    const char *colon = scheme_end ? strchr(scheme_end + 3, ':') : NULL;
    if (colon && at && colon < at) {
        add_clean(out, (struct str){value, (size_t)(colon + 1 - value)});
        buf_add_str(out, STR("***"));
        value = at;
    }
    add_clean(out, str_of(value));
}

/* Appends the flag of a variable: --redis-url for REDIS_URL. */
static void add_flag(struct buf **out, const struct config_item *item)
{
    buf_add_str(out, STR("--"));
    for (const char *p = item->name; *p; p++)
        buf_add_char(out, *p == '_' ? '-' : (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p));
}

static bool takes_units(const struct config_item *item)
{
    return item->type == CONFIG_NUMBER && item->max > 65535;
}

/* Appends what is accepted, for the help. */
static void add_range(struct buf **out, const struct config_item *item)
{
    switch (item->type) {
    case CONFIG_NUMBER:
        buf_printf(out, "%lu to %lu", item->min, item->max);
        break;
    case CONFIG_CHOICE:
        for (size_t i = 0; item->choices[i]; i++)
            buf_printf(out, "%s%s", i ? ", " : "", item->choices[i]);
        break;
    case CONFIG_STRING:
        if (item->max)
            buf_printf(out, "%lu to %lu bytes", item->min, item->max);
        else if (item->min)
            buf_printf(out, "%lu byte%s or more", item->min, item->min == 1 ? "" : "s");
        else
            buf_add_str(out, STR("any text"));
    }
}

/* Appends what is accepted, for an error. */
static void add_needed(struct buf **out, const struct config_item *item)
{
    switch (item->type) {
    case CONFIG_NUMBER:
        buf_add_str(out, STR("a number from "));
        break;
    case CONFIG_CHOICE:
        buf_add_str(out, STR("one of "));
        break;
    case CONFIG_STRING:
        buf_add_str(out, STR("a text of "));
    }
    add_range(out, item);
    if (takes_units(item))
        buf_add_str(out, STR(" (K, M or G may follow)"));
}

static void print_to(FILE *file, const struct buf *text)
{
    struct str s = buf_str(text);
    (void)fwrite(s.p, 1, s.len, file);
    (void)fflush(file);
}

/* Writes `program: NAME=value: <what> is needed`; what is NULL for what the type accepts. */
static bool refuse(const struct loading *l, const struct config_item *item, const char *value,
                   const char *what)
{
    struct buf *line = NULL;
    buf_add_str(&line, str_of(l->program));
    buf_add_str(&line, STR(": "));
    buf_add_str(&line, str_of(item->name));
    buf_add_char(&line, '=');
    add_shown(&line, value);
    buf_add_str(&line, STR(": "));
    if (what)
        buf_add_str(&line, str_of(what));
    else
        add_needed(&line, item);
    buf_add_str(&line, STR(" is needed\n"));
    print_to(stderr, line);
    buf_free(&line);
    return false;
}

/* ---- reading one value ---- */

static bool read_number(const struct config_item *item, const char *value, unsigned long *out)
{
    unsigned long n = 0;
    const char *p = value;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, 10ul, &n) ||
            __builtin_add_overflow(n, (unsigned long)(*p - '0'), &n))
            return false;
    if (p == value)
        return false;
    if (takes_units(item) && *p) {
        static const char units[] = "KMG";
        const char *unit = strchr(units, *p & ~0x20);
        if (!unit || !*unit || __builtin_mul_overflow(n, 1024ul << 10 * (unit - units), &n))
            return false;
        p++;
    }
    *out = n;
    return !*p && n >= item->min && n <= item->max;
}

static bool read_choice(const struct config_item *item, const char *value, int *out)
{
    for (int i = 0; item->choices[i]; i++)
        if (strcmp(value, item->choices[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static bool read_string(const struct config_item *item, const char *value, const char **out)
{
    *out = value;
    size_t len = strlen(value);
    return len >= item->min && (!item->max || len <= item->max);
}

static bool read_value(const struct loading *l, const struct config_item *item, const char *value,
                       void *member)
{
    bool right = false;
    switch (item->type) {
    case CONFIG_NUMBER:
        right = read_number(item, value, member);
        break;
    case CONFIG_CHOICE:
        right = read_choice(item, value, member);
        break;
    case CONFIG_STRING:
        right = read_string(item, value, member);
    }
    if (!right)
        return refuse(l, item, value, NULL);
    const char *needed = item->check ? item->check(value) : NULL;
    return !needed || refuse(l, item, value, needed);
}

/* ---- where a value stands ---- */

/* Is arg the item's flag? *value is what follows its '=', or NULL. */
static bool is_flag_of(const struct config_item *item, const char *arg, const char **value)
{
    struct buf *flag = NULL;
    add_flag(&flag, item);
    struct str f = buf_str(flag);
    bool same = strncmp(arg, f.p, f.len) == 0 && (!arg[f.len] || arg[f.len] == '=');
    *value = same && arg[f.len] ? arg + f.len + 1 : NULL;
    buf_free(&flag);
    return same;
}

/* The last value that argv has for the item, or NULL. */
static const char *flag_value(const struct loading *l, const struct config_item *item)
{
    const char *found = NULL, *value;
    for (int i = 1; i < l->argc; i++)
        if (is_flag_of(item, l->argv[i], &value))
            found = value ? value : l->argv[++i]; /* NULL behind the last one */
    return found;
}

static const char *value_of(const struct loading *l, const struct config_item *item)
{
    const char *value = flag_value(l, item);
    if (value)
        return value;
    value = getenv(item->name);
    if (value && *value)
        return value;
    return item->value ? item->value : "";
}

/* Says what is wrong with an argument: `program: --name words`. Its value may be a secret, and so
 * may be a part of a URL that strayed here. */
static bool refuse_argument(const struct loading *l, const char *arg, const char *words)
{
    size_t len = strcspn(arg, "=");
    const char *scheme_end = strstr(arg, "://");
    bool is_url = scheme_end && scheme_end < arg + len;
    char *name = mem_strndup(arg, is_url ? strlen(arg) : len);
    struct buf *line = NULL;
    buf_add_str(&line, str_of(l->program));
    buf_add_str(&line, STR(": "));
    add_shown(&line, name);
    buf_add_char(&line, ' ');
    buf_add_str(&line, str_of(words));
    buf_add_str(&line, STR(" (see --help)\n"));
    print_to(stderr, line);
    buf_free(&line);
    free(name);
    return false;
}

/* Is every argument a known flag with a value? */
static bool check_arguments(const struct loading *l)
{
    for (int i = 1; i < l->argc; i++) {
        const char *arg = l->argv[i], *value = NULL;
        bool known = false;
        for (size_t k = 0; k < l->count && !known; k++)
            known = is_flag_of(&l->items[k], arg, &value);
        if (!known)
            return refuse_argument(l, arg, "is not known");
        if (value)
            continue;
        if (++i == l->argc || strncmp(l->argv[i], "--", 2) == 0)
            return refuse_argument(l, arg, "needs a value");
    }
    return true;
}

static bool has_argument(const struct loading *l, const char *arg)
{
    for (int i = 1; i < l->argc; i++)
        if (strcmp(l->argv[i], arg) == 0)
            return true;
    return false;
}

/* ---- the help ---- */

enum column {
    COLUMN_NAME,
    COLUMN_FLAG,
    COLUMN_DEFAULT,
    COLUMN_RANGE,
    COLUMN_HELP,
    COLUMNS
};

static void add_cell(struct buf **out, const struct config_item *item, enum column column)
{
    static const char *const titles[COLUMNS] = {"variable", "flag", "default", "accepted",
                                                "meaning"};
    if (!item) {
        buf_add_str(out, str_of(titles[column]));
        return;
    }
    switch (column) {
    case COLUMN_NAME:
        buf_add_str(out, str_of(item->name));
        break;
    case COLUMN_FLAG:
        add_flag(out, item);
        break;
    case COLUMN_DEFAULT:
        if (item->value && *item->value)
            add_shown(out, item->value);
        else
            buf_add_char(out, '-');
        break;
    case COLUMN_RANGE:
        add_range(out, item);
        break;
    case COLUMN_HELP:
    case COLUMNS:
        buf_add_str(out, str_of(item->help));
    }
}

static size_t cell_width(const struct config_item *item, enum column column)
{
    struct buf *cell = NULL;
    add_cell(&cell, item, column);
    size_t width = utf8_chars(buf_str(cell));
    buf_free(&cell);
    return width;
}

/* One row; a NULL item is the row of titles. */
static void add_row(struct buf **out, const struct config_item *item, const size_t widths[COLUMNS])
{
    for (enum column c = 0; c < COLUMN_HELP; c++) {
        add_cell(out, item, c);
        for (size_t i = cell_width(item, c); i < widths[c] + 2; i++)
            buf_add_char(out, ' ');
    }
    add_cell(out, item, COLUMN_HELP);
    buf_add_char(out, '\n');
}

static void print_help(const struct loading *l, const char *about)
{
    size_t widths[COLUMNS];
    for (enum column c = 0; c < COLUMNS; c++) {
        widths[c] = cell_width(NULL, c);
        for (size_t i = 0; i < l->count; i++) {
            size_t width = cell_width(&l->items[i], c);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    struct buf *text = NULL;
    buf_printf(&text, "%s %s: ", l->program, CHAT_VERSION);
    buf_add_str(&text, str_of(about));
    buf_add_str(&text, STR("\n\nSettings are variables of the environment; a flag of the same name "
                           "overrides its variable.\n\n"));
    add_row(&text, NULL, widths);
    for (size_t i = 0; i < l->count; i++)
        add_row(&text, &l->items[i], widths);
    buf_add_str(&text, STR("\nAlso: --help, --version, and --healthcheck, which asks the "
                           "program that runs with the\nsame settings for /livez and exits with 0 "
                           "or 1.\n"));
    print_to(stdout, text);
    buf_free(&text);
}

/* ---- for the programs ---- */

enum config_result config_load(const struct config_item *items, size_t count, void *settings,
                               const char *program, const char *about, int argc, char **argv)
{
    const struct loading l = {items, count, program, argc, argv};
    if (has_argument(&l, "--help")) {
        print_help(&l, about);
        return CONFIG_SHOWN;
    }
    if (has_argument(&l, "--version")) {
        printf("%s %s\n", program, CHAT_VERSION);
        (void)fflush(stdout);
        return CONFIG_SHOWN;
    }
    if (!check_arguments(&l))
        return CONFIG_WRONG;
    for (size_t i = 0; i < count; i++)
        if (!read_value(&l, &items[i], value_of(&l, &items[i]), (char *)settings + items[i].offset))
            return CONFIG_WRONG;
    return CONFIG_OK;
}

int config_exit(enum config_result result)
{
    return result == CONFIG_WRONG ? 2 : EXIT_SUCCESS;
}

const char *config_value(const char *name, const char *fallback, int argc, char **argv)
{
    const struct config_item item = {.name = name, .value = fallback};
    const struct loading l = {.argc = argc, .argv = argv};
    return value_of(&l, &item);
}

static void add_effective(struct buf **out, const struct config_item *item, const void *member)
{
    switch (item->type) {
    case CONFIG_NUMBER:
        buf_add_u64(out, *(const unsigned long *)member);
        break;
    case CONFIG_CHOICE:
        buf_add_str(out, str_of(item->choices[*(const int *)member]));
        break;
    case CONFIG_STRING:
        add_shown(out, *(const char *const *)member);
    }
}

void config_log(const struct config_item *items, size_t count, const void *settings)
{
    struct buf **values = mem_zalloc(count * sizeof(struct buf *));
    struct log_field *fields = mem_alloc(count * sizeof *fields);
    for (size_t i = 0; i < count; i++) {
        add_effective(&values[i], &items[i], (const char *)settings + items[i].offset);
        fields[i] = (struct log_field){str_of(items[i].name), buf_str(values[i])};
    }
    log_fields(LOG_INFO, "settings", fields, count);
    for (size_t i = 0; i < count; i++)
        buf_free(&values[i]);
    free(fields);
    free(values);
}
