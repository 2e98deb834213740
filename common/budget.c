/* SPDX-License-Identifier: MIT */
/* A sum and two lines; see budget.h. A share keeps its place while it stays in its line, whatever
 * it grows by: who adds a byte now and then gets no younger. */
#include "common/budget.h"

#include <stdlib.h>

#include "common/limits.h"
#include "common/mem.h"

enum {
    UTF8_BYTES_MAX = 4, /* of a character */
};

_Static_assert(KEPT_SMALL_BYTES_MAX >= 2 * HTTP_HEAD_BYTES_MAX &&
                   KEPT_SMALL_BYTES_MAX >= 2 * UTF8_BYTES_MAX * CONTENT_CHARS_MAX,
               "heads and usual messages are small, in a buffer that has doubled");

void budget_init(struct budget *b, size_t most)
{
    *b = (struct budget){.most = most};
    TAILQ_INIT(&b->small);
    TAILQ_INIT(&b->large);
}

/* The line of who keeps so much; NULL: of nobody. */
static struct budget_line *line_of(struct budget *b, size_t bytes)
{
    if (!bytes)
        return NULL;
    return bytes > KEPT_SMALL_BYTES_MAX ? &b->large : &b->small;
}

void budget_count(struct budget *b, struct budget_share **share, void *owner, size_t bytes)
{
    struct budget_share *s = *share;
    size_t before = s ? s->bytes : 0;
    if (bytes == before)
        return;
    struct budget_line *from = line_of(b, before), *to = line_of(b, bytes);
    b->kept += bytes - before;
    if (!s)
        *share = s = mem_zalloc(sizeof *s);
    s->owner = owner;
    s->bytes = bytes;
    if (from == to)
        return;
    if (from)
        TAILQ_REMOVE(from, s, queued);
    if (to) {
        TAILQ_INSERT_TAIL(to, s, queued);
    } else {
        free(s);
        *share = NULL;
    }
}

void *budget_debtor(const struct budget *b)
{
    if (b->kept <= b->most)
        return NULL;
    const struct budget_share *first = TAILQ_FIRST(&b->large);
    return first ? first->owner : TAILQ_FIRST(&b->small)->owner;
}
