/* SPDX-License-Identifier: MIT */
/*
 * Dates by arithmetic alone: no time zone, no locale, no errno. The calendar is counted in years
 * that begin in March, so that the leap day is the last day of its year, and in eras of 400 years,
 * after which the Gregorian calendar repeats itself.
 */
#include "common/iso_time.h"

enum {
    DAY_MS = 86400000,
    ERA_DAYS = 146097,
    EPOCH_DAYS = 719468, /* from 0000-03-01 to 1970-01-01 */
};

static const uint64_t LAST_MS = 253402300799999; /* 9999-12-31T23:59:59.999Z */

struct date {
    unsigned year, month, day;
};

static struct date date_of_days(unsigned days)
{
    days += EPOCH_DAYS;
    unsigned era = days / ERA_DAYS, day_of_era = days % ERA_DAYS;
    unsigned year =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year + year / 4 - year / 100); /* 0: 1 March */
    unsigned months = (5 * day_of_year + 2) / 153;                            /* since March */
    struct date d = {.year = era * 400 + year, .day = day_of_year - (153 * months + 2) / 5 + 1};
    d.month = months < 10 ? months + 3 : months - 9;
    d.year += d.month <= 2;
    return d;
}

static unsigned days_of_date(struct date d)
{
    unsigned year = d.year - (d.month <= 2);
    unsigned months = d.month > 2 ? d.month - 3 : d.month + 9;
    unsigned day_of_year = (153 * months + 2) / 5 + d.day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - EPOCH_DAYS;
}

static bool date_exists(struct date d)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (d.year < 1970 || d.month < 1 || d.month > 12 || d.day < 1)
        return false;
    bool leap = d.year % 4 == 0 && (d.year % 100 != 0 || d.year % 400 == 0);
    return d.day <= days[d.month - 1] + (leap && d.month == 2 ? 1u : 0u);
}

static void put_digits(char *at, int count, unsigned n)
{
    for (; count--; n /= 10)
        at[count] = (char)('0' + n % 10);
}

void iso_time_write(char out[ISO_TIME_BYTES + 1], uint64_t unix_ms)
{
    if (unix_ms > LAST_MS)
        unix_ms = LAST_MS;
    struct date d = date_of_days((unsigned)(unix_ms / DAY_MS));
    unsigned ms = (unsigned)(unix_ms % DAY_MS);
    memcpy(out, "0000-00-00T00:00:00.000Z", ISO_TIME_BYTES + 1);
    put_digits(out, 4, d.year);
    put_digits(out + 5, 2, d.month);
    put_digits(out + 8, 2, d.day);
    put_digits(out + 11, 2, ms / 3600000);
    put_digits(out + 14, 2, ms / 60000 % 60);
    put_digits(out + 17, 2, ms / 1000 % 60);
    put_digits(out + 20, 3, ms % 1000);
}

/* Has the text a digit wherever the form has one, and else what the form has? */
static bool has_form(struct str text)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    if (text.len != ISO_TIME_BYTES)
        return false;
    for (size_t i = 0; i < ISO_TIME_BYTES; i++) {
        char c = text.p[i];
        if (form[i] == 'd' ? c < '0' || c > '9' : c != form[i])
            return false;
    }
    return true;
}

static unsigned get_digits(const char *at, int count)
{
    unsigned n = 0;
    for (int i = 0; i < count; i++)
        n = n * 10 + (unsigned)(at[i] - '0');
    return n;
}

bool iso_time_read(struct str text, uint64_t *unix_ms)
{
    if (!has_form(text))
        return false;
    const char *p = text.p;
    struct date d = {get_digits(p, 4), get_digits(p + 5, 2), get_digits(p + 8, 2)};
    unsigned hour = get_digits(p + 11, 2), minute = get_digits(p + 14, 2);
    unsigned second = get_digits(p + 17, 2), ms = get_digits(p + 20, 3);
    if (!date_exists(d) || hour > 23 || minute > 59 || second > 59)
        return false;
    uint64_t minutes = ((uint64_t)days_of_date(d) * 24 + hour) * 60 + minute;
    *unix_ms = (minutes * 60 + second) * 1000 + ms;
    return true;
}
