/* SPDX-License-Identifier: MIT */
/* persister/ahead.c: what is read while a page is stored, and when it is of no use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/mem.h"
#include "persister/ahead.h"

enum {
    TEXT_MAX = 64,
    OPENING = 3,
};

/* What was asked for, and the pages of a stream whose entries are all made from their ids. */
static struct {
    struct ahead a;
    bool linked;
    unsigned asked; /* times */
    uint64_t after; /* of the last time */
    uint64_t opening;
    bool closed;       /* the log */
    size_t json_bytes; /* of an entry, 0: short */
    unsigned page;     /* entries of one */
} w;

static bool io_page(void *ctx, uint64_t after)
{
    assert_ptr_equal(ctx, &w);
    if (!w.linked)
        return false;
    w.asked++;
    w.after = after;
    return true;
}

static const struct ahead_io io = {.page = io_page};

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    w.linked = true;
    w.opening = OPENING;
    w.page = PAGE_ENTRIES;
    ahead_init(&w.a, &io, &w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ahead_done(&w.a);
    return 0;
}

static struct str text_of(const char *name, uint64_t id, size_t bytes)
{
    char *text = mem_zalloc(bytes > TEXT_MAX ? bytes + 1 : TEXT_MAX);
    size_t len = (size_t)snprintf(text, TEXT_MAX, "%s-%llu", name, (unsigned long long)id);
    if (bytes > len)
        memset(text + len, 'x', bytes - len);
    return (struct str){text, bytes > len ? bytes : len};
}

static void assert_text(struct str s, const char *name, uint64_t id, size_t bytes)
{
    struct str expected = text_of(name, id, bytes);
    assert_true(str_eq(s, expected));
    free((char *)(uintptr_t)expected.p);
}

/* The ids above after, up to seq, count at the most; every third entry has a key. Freed by
 * page_free. */
static struct page page_of(uint64_t after, uint64_t seq, unsigned count)
{
    size_t n = seq - after < count ? (size_t)(seq - after) : count;
    struct entry *entries = mem_zalloc((n + 1) * sizeof *entries);
    for (size_t i = 0; i < n; i++) {
        uint64_t id = after + 1 + i;
        entries[i] = (struct entry){.id = id,
                                    .json = text_of("json", id, w.json_bytes),
                                    .origin = text_of("origin", id, 0)};
        if (id % 3 == 0) {
            entries[i].key = text_of("key", id, 0);
            entries[i].value = text_of("value", id, 0);
        }
    }
    return (struct page){.exists = true,
                         .open = !w.closed,
                         .opening = w.opening,
                         .token = text_of("token", seq, 0),
                         .here = text_of("token", seq, 0),
                         .owner = text_of("owner", seq, 0),
                         .seq = seq,
                         .count = n,
                         .entries = entries,
                         .full = n == count};
}

static void page_free(struct page *p)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct entry *e = &p->entries[i];
        const struct str all[] = {e->json, e->origin, e->key, e->value};
        for (size_t k = 0; k < 4; k++)
            free((char *)(uintptr_t)all[k].p);
    }
    free((char *)(uintptr_t)p->token.p);
    free((char *)(uintptr_t)p->here.p);
    free((char *)(uintptr_t)p->owner.p);
    free((struct entry *)(uintptr_t)p->entries);
}

/* The page that was asked for comes, of a log whose last id is seq. */
static bool answer(uint64_t seq)
{
    struct page p = page_of(w.after, seq, w.page);
    bool well = ahead_page(&w.a, &p);
    page_free(&p);
    return well;
}

/* The owner stores the first page, ids 1 to PAGE_ENTRIES. */
static void begin(void)
{
    struct page p = page_of(0, PAGE_ENTRIES, PAGE_ENTRIES);
    ahead_begin(&w.a, &p);
    page_free(&p);
}

/* What is given has the ids first to last, whole, and the facts of a log that ends with seq. */
static const struct page *check_take(uint64_t first, uint64_t last, uint64_t seq, bool full)
{
    const struct page *p = ahead_take(&w.a);
    assert_non_null(p);
    assert_non_null(p->entries); /* `entries + 0` is not defined for NULL */
    assert_int_equal(p->count, last + 1 - first);
    for (size_t i = 0; i < p->count; i++) {
        const struct entry *e = &p->entries[i];
        assert_int_equal(e->id, first + i);
        assert_text(e->json, "json", e->id, w.json_bytes);
        assert_text(e->origin, "origin", e->id, 0);
        assert_int_equal(e->key.len > 0, e->id % 3 == 0);
        if (e->key.len) {
            assert_text(e->key, "key", e->id, 0);
            assert_text(e->value, "value", e->id, 0);
        }
    }
    assert_int_equal(p->seq, seq);
    assert_text(p->token, "token", seq, 0);
    assert_text(p->here, "token", seq, 0);
    assert_text(p->owner, "owner", seq, 0);
    assert_true(p->open && p->opening == OPENING && p->full == full);
    return p;
}

static void test_pages_are_joined(void **state)
{
    (void)state;
    const uint64_t n = PAGE_ENTRIES, seq = 20 * n;
    begin();
    for (unsigned i = 1; i <= AHEAD_PAGES; i++) {
        assert_true(w.asked == i && w.after == i * n);
        assert_true(answer(seq + i));
    }
    assert_int_equal(w.asked, AHEAD_PAGES); /* no more than that */
    assert_null(ahead_take(&w.a));
    assert_true(ahead_wait(&w.a, n));
    const struct page *p = check_take(n + 1, (1 + AHEAD_PAGES) * n, seq + AHEAD_PAGES, true);
    ahead_begin(&w.a, p);
    ahead_taken(&w.a);
    assert_true(w.asked == AHEAD_PAGES + 1 && w.after == (1 + AHEAD_PAGES) * n);
    assert_true(answer(seq));
    assert_true(ahead_wait(&w.a, (1 + AHEAD_PAGES) * n));
    check_take((1 + AHEAD_PAGES) * n + 1, (2 + AHEAD_PAGES) * n, seq, true);
    ahead_taken(&w.a);
}

static void test_awaited_before_it_comes(void **state)
{
    (void)state;
    const uint64_t n = PAGE_ENTRIES;
    begin();
    assert_true(ahead_wait(&w.a, n));
    assert_null(ahead_take(&w.a));
    assert_true(answer(5 * n));
    assert_int_equal(w.asked, 1); /* ahead_begin will ask for more */
    ahead_begin(&w.a, check_take(n + 1, 2 * n, 5 * n, true));
    ahead_taken(&w.a);
    assert_true(w.asked == 2 && w.after == 2 * n);
}

/* What is under way when a page is given goes on. */
static void test_goes_on(void **state)
{
    (void)state;
    const uint64_t n = PAGE_ENTRIES;
    begin();
    assert_true(answer(9 * n));
    assert_true(w.asked == 2 && ahead_wait(&w.a, n));
    ahead_begin(&w.a, check_take(n + 1, 2 * n, 9 * n, true));
    ahead_taken(&w.a);
    assert_int_equal(w.asked, 2);
    assert_true(answer(9 * n));
    assert_true(w.asked == 3 && w.after == 3 * n);
    assert_true(ahead_wait(&w.a, 2 * n));
    check_take(2 * n + 1, 3 * n, 9 * n, true);
    ahead_taken(&w.a);
}

static void test_end_of_the_stream(void **state)
{
    (void)state;
    const uint64_t n = PAGE_ENTRIES;
    begin();
    assert_true(answer(2 * n));
    assert_true(answer(2 * n)); /* nothing more */
    assert_int_equal(w.asked, 2);
    assert_true(ahead_wait(&w.a, n));
    check_take(n + 1, 2 * n, 2 * n, false);
    ahead_taken(&w.a);
    assert_false(ahead_wait(&w.a, 2 * n));
}

static void test_nothing_is_behind(void **state)
{
    (void)state;
    begin();
    assert_true(ahead_wait(&w.a, PAGE_ENTRIES) && answer(PAGE_ENTRIES));
    check_take(PAGE_ENTRIES + 1, PAGE_ENTRIES, PAGE_ENTRIES, false);
    ahead_taken(&w.a);
}

/* The owner goes on elsewhere: the late answer is not taken for that of a later run. */
static void test_dropped(void **state)
{
    (void)state;
    const uint64_t n = PAGE_ENTRIES;
    begin();
    assert_false(ahead_wait(&w.a, n - 1));
    begin();
    assert_int_equal(w.asked, 1); /* one at a time */
    assert_false(ahead_wait(&w.a, n));
    assert_true(answer(9 * n));
    assert_null(ahead_take(&w.a));
    begin();
    assert_int_equal(w.asked, 2);
    assert_true(answer(9 * n));
    ahead_drop(&w.a); /* with what was read */
    assert_false(ahead_wait(&w.a, n));
    assert_true(answer(9 * n));
    begin();
    assert_true(ahead_wait(&w.a, n) && answer(3 * n));
    check_take(n + 1, 2 * n, 3 * n, true);
    ahead_drop(&w.a); /* what is given stays until it was looked at */
    assert_int_equal(w.a.page.entries[0].id, n + 1);
    ahead_taken(&w.a);
    assert_null(w.a.entries);
}

static void test_does_not_fit(void **state)
{
    (void)state;
    const uint64_t n = PAGE_ENTRIES;
    for (int closed = 0; closed < 2; closed++) {
        w.closed = false;
        w.opening = OPENING;
        begin();
        assert_true(answer(9 * n));
        w.closed = closed;
        w.opening = OPENING + !closed;
        assert_true(answer(9 * n)); /* what came before it stays of use */
        assert_true(ahead_wait(&w.a, n));
        w.closed = false;
        check_take(n + 1, 2 * n, 9 * n, true);
        ahead_taken(&w.a);
        assert_false(ahead_wait(&w.a, 2 * n));

        w.opening = OPENING;
        begin();
        assert_true(ahead_wait(&w.a, n));
        w.closed = closed;
        w.opening = OPENING + !closed;
        assert_false(answer(9 * n));
        assert_null(ahead_take(&w.a));
        assert_int_equal(w.a.position, n); /* to be asked for from there */
    }
}

static void test_no_answer(void **state)
{
    (void)state;
    const uint64_t n = PAGE_ENTRIES;
    begin();
    assert_true(ahead_page(&w.a, NULL)); /* nobody waits yet */
    assert_false(ahead_wait(&w.a, n));
    begin();
    assert_true(ahead_wait(&w.a, n));
    assert_false(ahead_page(&w.a, NULL));
    w.linked = false;
    begin();
    assert_false(ahead_wait(&w.a, n));
    assert_int_equal(w.asked, 2);
}

/* Large messages: pages are shorter, and what is kept has a bound. */
static void test_bytes(void **state)
{
    (void)state;
    const uint64_t n = PAGE_ENTRIES, seq = 100 * n;
    w.json_bytes = 20000;
    w.page = AHEAD_BYTES / 20000 - 5;
    begin();
    assert_true(answer(seq));
    assert_int_equal(w.asked, 2);
    assert_true(answer(seq));
    assert_int_equal(w.asked, 2);
    assert_true(ahead_wait(&w.a, n));
    check_take(n + 1, n + 2 * w.page, seq, true);
    ahead_taken(&w.a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_are_joined),
        TEST(awaited_before_it_comes),
        TEST(goes_on),
        TEST(end_of_the_stream),
        TEST(nothing_is_behind),
        TEST(dropped),
        TEST(does_not_fit),
        TEST(no_answer),
        TEST(bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
