/* SPDX-License-Identifier: MIT */
/*
 * Names and replies of the log's scripts; see script.h. What a reply holds is checked for its shape
 * only: the scripts are ours, but a Redis can be shared with somebody who writes what he likes, and
 * that must not crash us.
 */
#include "common/script.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/buf.h"
#include "common/mem.h"

enum {
    PAGE_FIELDS = 15,
    PAGE_NUMBER_MAX_DIGITS = 16
};

static char *name_of(const char *prefix, const char *rest, const char *boot)
{
    struct buf *b = NULL;
    buf_printf(&b, "{%s}:%s%s", prefix, rest, boot);
    struct str s = buf_str(b);
    char *name = mem_strndup(s.p, s.len);
    buf_free(&b);
    return name;
}

void log_names_init(struct log_names *n, const char *prefix, const char *boot)
{
    n->state = name_of(prefix, "state", "");
    n->log = name_of(prefix, "log", "");
    n->live = name_of(prefix, "live", "");
    n->control = name_of(prefix, "control", "");
    n->beat = name_of(prefix, "beat:", boot);
    n->producer = name_of(prefix, "producer:", boot);
    n->idem = name_of(prefix, "idem:", "");
    n->producers = name_of(prefix, "producer:", "");
}

void log_names_done(struct log_names *n)
{
    free(n->state);
    free(n->log);
    free(n->live);
    free(n->control);
    free(n->beat);
    free(n->producer);
    free(n->idem);
    free(n->producers);
}

void boot_id_make(char out[17])
{
    uint64_t id;
    ssize_t got = getrandom(&id, sizeof id, 0);
    assert(got == (ssize_t)sizeof id); /* 8 bytes are never cut short */
    snprintf(out, 17, "%016llx", (unsigned long long)id);
}

bool digits_read(struct str s, uint64_t *out)
{
    uint64_t n = 0;
    if (s.len == 0 || s.len > PAGE_NUMBER_MAX_DIGITS)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = n;
    return n <= (uint64_t)1 << 53;
}

/* `<id>-0`, the id of a stream's entry. What a stranger added may end otherwise. */
static bool entry_id_read(struct str s, uint64_t *id)
{
    const char *dash = s.len ? memchr(s.p, '-', s.len) : NULL;
    return dash && digits_read((struct str){s.p, (size_t)(dash - s.p)}, id);
}

/* [id, [name, value, …]] */
static bool entry_read(struct entry *e, const struct reply *r)
{
    *e = (struct entry){0};
    if (r->type != REPLY_ARRAY || r->n != 2 || !entry_id_read(reply_str(&r->at[0]), &e->id))
        return false;
    const struct reply *fields = &r->at[1];
    for (size_t i = 0; i + 1 < fields->n; i += 2) {
        struct str name = reply_str(&fields->at[i]), value = reply_str(&fields->at[i + 1]);
        if (str_eq(name, STR("m")))
            e->json = value;
        else if (str_eq(name, STR("p")))
            e->origin = value;
        else if (str_eq(name, STR("k")))
            e->key = value;
        else if (str_eq(name, STR("v")))
            e->value = value;
    }
    return true;
}

/* A number field: '' counts as 0. */
static bool field_read(const struct reply *r, uint64_t *out)
{
    struct str s = reply_str(r);
    *out = 0;
    return r->type == REPLY_STRING && (s.len == 0 || digits_read(s, out));
}

static bool page_facts_read(struct page *p, const struct reply *at)
{
    uint64_t *numbers[] = {&p->opening, &p->seq,  &p->lease,  &p->prev,
                           &p->from,    &p->base, &p->stored, &p->high};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!field_read(&at[1 + i], numbers[i]))
            return false;
    struct str top = reply_str(&at[11]);
    if (!field_read(&at[10], &p->ts) || (top.len && !entry_id_read(top, &p->top)))
        return false;
    p->token = reply_str(&at[0]);
    p->owner = reply_str(&at[9]);
    p->here = reply_str(&at[12]);
    p->exists = p->token.len > 0;
    p->open = p->exists && str_eq(p->token, p->here);
    return true;
}

bool page_read(struct page *p, const struct reply *r)
{
    static struct entry entries[PAGE_ENTRIES];
    uint64_t more;
    *p = (struct page){0};
    if (r->type != REPLY_ARRAY || r->n != PAGE_FIELDS || !page_facts_read(p, r->at) ||
        !reply_u64(&r->at[PAGE_FIELDS - 2], &more))
        return false;
    const struct reply *list = &r->at[PAGE_FIELDS - 1];
    if (list->type != REPLY_ARRAY || list->n > PAGE_ENTRIES)
        return false;
    for (size_t i = 0; i < list->n; i++)
        if (!entry_read(&entries[i], &list->at[i]))
            return false;
    p->entries = entries;
    p->count = list->n;
    p->full = more && p->count; /* who reads on begins behind the last one */
    return true;
}

void page_words_make(struct page_words *w, const struct log_names *n, uint64_t id, unsigned count,
                     bool back)
{
    assert(count > 0 && count <= PAGE_ENTRIES);
    const uint64_t numbers[PAGE_NUMBERS] = {id, count, PAGE_ENTRIES_BYTES, PAGE_STEP};
    w->n = 0;
    w->at[w->n++] = str_of(n->state);
    w->at[w->n++] = str_of(n->log);
    for (size_t i = 0; i < PAGE_NUMBERS; i++) {
        snprintf(w->text[i], sizeof w->text[i], "%llu", (unsigned long long)numbers[i]);
        w->at[w->n++] = str_of(w->text[i]);
    }
    if (back)
        w->at[w->n++] = STR("back");
}

/* Takes the next number of a line of numbers parted by single spaces; none stands at the end. */
static bool number_next(struct str *line, uint64_t *out)
{
    const char *space = line->len ? memchr(line->p, ' ', line->len) : NULL;
    size_t len = space ? (size_t)(space - line->p) : line->len;
    if (!digits_read((struct str){line->p, len}, out) || len + 1 == line->len)
        return false;
    size_t used = space ? len + 1 : len;
    line->p += used;
    line->len -= used;
    return true;
}

bool beat_read(struct beat *b, struct str line)
{
    return number_next(&line, &b->opening) && number_next(&line, &b->seq) &&
           number_next(&line, &b->stored) && number_next(&line, &b->base) && line.len == 0;
}

bool control_read(struct str line, uint64_t *opening, uint64_t *stored)
{
    return number_next(&line, opening) && number_next(&line, stored) && line.len == 0;
}
