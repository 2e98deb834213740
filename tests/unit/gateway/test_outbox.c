/* SPDX-License-Identifier: MIT */
/* The outbox: what goes out under which number, and what the senders are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/mem.h"
#include "gateway/outbox.h"

enum {
    POSTS_MAX = 8, /* of the queue */
    DEADLINE = 5000,
};

/* Everything the outbox does, as a text: `pub OPENING NUMBER FLOOR names;`, `name=result;`,
 * `free name;`. A post's name is its head. */
struct rig {
    struct outbox box;
    struct buf *heard;
    bool away; /* publish says that it is not connected */
};

static bool on_publish(void *ctx, uint64_t opening, uint64_t batch, uint64_t floor,
                       const struct post *first, size_t count)
{
    struct rig *r = ctx;
    if (r->away)
        return false;
    buf_printf(&r->heard, "pub %ju %ju %ju ", (uintmax_t)opening, (uintmax_t)batch,
               (uintmax_t)floor);
    size_t n = 0;
    for (const struct post *p = first; p; p = p->next, n++)
        buf_add_str(&r->heard, p->head);
    assert_int_equal(n, count);
    buf_add_char(&r->heard, ';');
    return true;
}

static void on_result(void *ctx, struct post *post, enum post_result result)
{
    static const char *const names[] = {"published", "known",   "mismatch",
                                        "full",      "refused", "maybe"};
    struct rig *r = ctx;
    buf_add_str(&r->heard, post->head);
    buf_printf(&r->heard, "=%s", names[result]);
    if (result == POST_PUBLISHED || result == POST_KNOWN) {
        buf_printf(&r->heard, " %ju %ju %ju", (uintmax_t)post->opening, (uintmax_t)post->id,
                   (uintmax_t)post->time_ms);
        free(post);
    }
    buf_add_char(&r->heard, ';');
}

static void on_free(void *ctx, struct post *post)
{
    (void)ctx;
    free(post);
}

static void on_nudge(void *ctx)
{
    struct rig *r = ctx;
    buf_printf(&r->heard, "nudge;");
}

static void on_drop(void *ctx, const char *why)
{
    struct rig *r = ctx;
    assert_non_null(why);
    buf_printf(&r->heard, "drop;");
}

static const struct outbox_io io = {on_publish, on_result, on_free, on_nudge, on_drop};

/* What was heard since the last time. */
static void heard(struct rig *r, const char *expected)
{
    buf_add_char(&r->heard, '\0');
    assert_string_equal(buf_str(r->heard).p, expected);
    buf_free(&r->heard);
}

static bool add_until(struct rig *r, const char *name, uint64_t now, uint64_t deadline)
{
    struct post *p = mem_zalloc(sizeof *p);
    p->head = str_of(name);
    p->deadline_ms = deadline;
    bool taken = outbox_add(&r->box, p, now);
    if (!taken)
        free(p);
    return taken;
}

static void add(struct rig *r, const char *names)
{
    static const char *const letters[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (; *names; names++)
        assert_true(add_until(r, letters[*names - 'a'], 0, DEADLINE));
}

/* Connected, opening 7. */
static void start(struct rig *r)
{
    *r = (struct rig){0};
    outbox_init(&r->box, POSTS_MAX, &io, r);
    outbox_connected(&r->box, 0);
    outbox_opened(&r->box, 7, 0);
    heard(r, "");
}

static void stop(struct rig *r)
{
    assert_true(outbox_empty(&r->box));
    heard(r, "");
}

/* The reply {1, opening, code, id, time, …}: ids from `id` on, the time is ten times the id. */
static void reply(struct rig *r, const char *codes, int64_t id)
{
    struct reply at[2 + 3 * POSTS_MAX] = {{.type = REPLY_INTEGER, .integer = 1},
                                          {.type = REPLY_INTEGER, .integer = 7}};
    size_t n = 2;
    for (; *codes; codes++, id++) {
        at[n++] = (struct reply){.type = REPLY_INTEGER, .integer = *codes - '0'};
        at[n++] = (struct reply){.type = REPLY_INTEGER, .integer = id};
        at[n++] = (struct reply){.type = REPLY_INTEGER, .integer = id * 10};
    }
    outbox_reply(&r->box, &(struct reply){.type = REPLY_ARRAY, .n = n, .at = at}, 0);
}

/* The reply {0, word}. */
static void refuse(struct rig *r, const char *word, uint64_t now)
{
    struct reply at[] = {{.type = REPLY_INTEGER, .integer = 0},
                         {.type = REPLY_STRING, .str = str_of(word)}};
    outbox_reply(&r->box, &(struct reply){.type = REPLY_ARRAY, .n = 2, .at = at}, now);
}

static void test_batches(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    add(&r, "a");
    heard(&r, "pub 7 1 0 a;");
    add(&r, "bcd"); /* they collect while a is under way */
    heard(&r, "");
    reply(&r, "0", 41);
    heard(&r, "a=published 7 41 410;pub 7 2 41 bcd;");
    outbox_seen(&r.box, 60);
    outbox_seen(&r.box, 50);
    add(&r, "e");
    reply(&r, "012", 42);
    heard(&r, "b=published 7 42 420;c=known 7 43 430;d=mismatch;pub 7 3 60 e;");
    assert_false(outbox_empty(&r.box));
    reply(&r, "3", 0);
    heard(&r, "e=full;");
    stop(&r);
}

static void test_waits_for_both(void **state)
{
    (void)state;
    struct rig r = {0};
    outbox_init(&r.box, POSTS_MAX, &io, &r);
    add(&r, "a");
    outbox_connected(&r.box, 0);
    add(&r, "b");
    heard(&r, "");
    outbox_opened(&r.box, 3, 0);
    heard(&r, "pub 3 1 0 ab;");
    reply(&r, "00", 1);
    heard(&r, "a=published 7 1 10;b=published 7 2 20;"); /* the opening that the reply names */
    outbox_disconnected(&r.box);
    add(&r, "c");
    heard(&r, "");
    outbox_connected(&r.box, 0);
    heard(&r, "pub 3 2 2 c;");
    reply(&r, "0", 3);
    heard(&r, "c=published 7 3 30;");
    stop(&r);
}

static void test_bounds(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    r.box.queued_max = PUBLISH_BATCH_MAX + 10;
    add(&r, "a");
    for (int i = 0; i < PUBLISH_BATCH_MAX + 10; i++)
        assert_true(add_until(&r, "x", 0, DEADLINE));
    assert_false(add_until(&r, "y", 0, DEADLINE));
    heard(&r, "pub 7 1 0 a;");
    reply(&r, "0", 1);
    assert_int_equal(r.box.batch_count, PUBLISH_BATCH_MAX);
    assert_int_equal(r.box.queued, 10);
    buf_free(&r.heard);
    outbox_lost(&r.box);
    outbox_done(&r.box);
    buf_free(&r.heard);
    stop(&r);
}

static void test_full_queue(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    add(&r, "a");
    for (int i = 0; i < POSTS_MAX; i++)
        assert_true(add_until(&r, "q", 0, DEADLINE));
    assert_false(add_until(&r, "z", 0, DEADLINE));
    reply(&r, "0", 1); /* the queue becomes a batch */
    assert_true(add_until(&r, "z", 0, DEADLINE));
    heard(&r, "pub 7 1 0 a;a=published 7 1 10;pub 7 2 1 qqqqqqqq;");
    reply(&r, "00000000", 2);
    buf_free(&r.heard);
    reply(&r, "0", 10);
    heard(&r, "z=published 7 10 100;");
    stop(&r);
}

static void test_sealed(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    add(&r, "abc");
    reply(&r, "0", 1);
    heard(&r, "pub 7 1 0 a;a=published 7 1 10;pub 7 2 1 bc;");
    add(&r, "de");
    refuse(&r, "SEALED", 100);
    heard(&r, "nudge;");
    assert_int_equal(r.box.queued, 4);
    outbox_tick(&r.box, 100); /* not at once */
    heard(&r, "");
    outbox_opened(&r.box, 8, 101); /* but at the news of an opening */
    heard(&r, "pub 8 3 1 bcde;");
    refuse(&r, "SEALED", 200);
    add(&r, "f");
    heard(&r, "nudge;");
    outbox_tick(&r.box, 1300);
    heard(&r, "pub 8 4 1 bcdef;");
    reply(&r, "00000", 2);
    add(&r, "g"); /* the queue's end is sound */
    outbox_tick(&r.box, 1300);
    heard(&r, "b=published 7 2 20;c=published 7 3 30;d=published 7 4 40;e=published 7 5 50;"
              "f=published 7 6 60;pub 8 5 6 g;");
    reply(&r, "0", 7);
    heard(&r, "g=published 7 7 70;");
    stop(&r);
}

static void test_error_reply(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    add(&r, "a");
    outbox_reply(&r.box, &(struct reply){.type = REPLY_ERROR, .str = STR("OOM no")}, 0);
    add(&r, "b");
    heard(&r, "pub 7 1 0 a;");
    outbox_tick(&r.box, 2000);
    heard(&r, "pub 7 2 0 ab;");
    reply(&r, "00", 1);
    heard(&r, "a=published 7 1 10;b=published 7 2 20;");
    stop(&r);
}

/* Loses the connection with a unanswered, and comes back; c waits. */
static void start_maybe(struct rig *r)
{
    start(r);
    r->away = true;
    add(r, "a"); /* not sent: the batch is made, and tried again */
    r->away = false;
    outbox_tick(&r->box, 0);
    heard(r, "pub 7 1 0 a;");
    outbox_lost(&r->box);
    outbox_disconnected(&r->box);
    add(r, "c");
    heard(r, "");
    outbox_connected(&r->box, 0);
    heard(r, "pub 7 1 0 a;"); /* the same number, the same content */
}

static void test_sticky(void **state)
{
    (void)state;
    struct rig r;
    start_maybe(&r);
    refuse(&r, "SEALED", 0); /* this attempt: no; the first one: who knows */
    heard(&r, "nudge;");
    outbox_opened(&r.box, 8, 0);
    heard(&r, "pub 8 1 0 a;");
    reply(&r, "0", 5);
    heard(&r, "a=published 7 5 50;pub 8 2 5 c;");
    refuse(&r, "SEALED", 0); /* maybe ended with its batch: c is free again */
    outbox_tick(&r.box, 2000);
    heard(&r, "nudge;pub 8 3 5 c;");
    reply(&r, "3", 0);
    heard(&r, "c=full;");
    stop(&r);
}

static void test_no_after_maybe(void **state)
{
    (void)state;
    struct rig r;
    start_maybe(&r);
    reply(&r, "3", 0);
    heard(&r, "a=maybe;pub 7 2 0 c;");
    reply(&r, "3", 0);
    heard(&r, "c=full;");
    stop(&r);
    start_maybe(&r);
    refuse(&r, "STALE", 0);
    heard(&r, "a=maybe;pub 7 2 0 c;");
    reply(&r, "0", 1);
    heard(&r, "c=published 7 1 10;");
    stop(&r);
}

static void test_deadlines(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    assert_true(add_until(&r, "a", 0, 1000));
    assert_true(add_until(&r, "b", 0, 1000));
    assert_true(add_until(&r, "c", 0, 3000));
    assert_true(add_until(&r, "d", 0, 1000));
    heard(&r, "pub 7 1 0 a;");
    outbox_tick(&r.box, 999);
    heard(&r, "");
    outbox_tick(&r.box, 1000);
    heard(&r, "b=refused;d=refused;a=maybe;");
    outbox_tick(&r.box, 1001); /* only once */
    assert_true(add_until(&r, "e", 0, 9000));
    heard(&r, "");
    assert_int_equal(r.box.queued, 2);
    reply(&r, "0", 4); /* late: nobody is told, but its id counts */
    heard(&r, "pub 7 2 4 ce;");
    reply(&r, "00", 5);
    heard(&r, "c=published 7 5 50;e=published 7 6 60;");
    stop(&r);
}

/* A batch after its time, and all posts at the end. */
static void test_given_up(void **state)
{
    (void)state;
    struct rig r;
    start(&r);
    assert_true(add_until(&r, "a", 0, 1000));
    assert_true(add_until(&r, "b", 0, 90000));
    outbox_tick(&r.box, 1000);
    outbox_tick(&r.box, 1000 + POST_MAYBE_MS - 1);
    heard(&r, "pub 7 1 0 a;a=maybe;");
    outbox_tick(&r.box, 1000 + POST_MAYBE_MS);
    heard(&r, "drop;");
    outbox_lost(&r.box);
    outbox_disconnected(&r.box);
    outbox_tick(&r.box, 1000 + POST_MAYBE_MS); /* the number is given up */
    outbox_connected(&r.box, 4000);
    heard(&r, "pub 7 2 0 b;");
    reply(&r, "0", 1);
    heard(&r, "b=published 7 1 10;");
    stop(&r);
    start(&r);
    add(&r, "abc");
    outbox_done(&r.box);
    heard(&r, "pub 7 1 0 a;a=maybe;b=refused;c=refused;");
    stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches),   cmocka_unit_test(test_waits_for_both),
        cmocka_unit_test(test_bounds),    cmocka_unit_test(test_full_queue),
        cmocka_unit_test(test_sealed),    cmocka_unit_test(test_error_reply),
        cmocka_unit_test(test_sticky),    cmocka_unit_test(test_no_after_maybe),
        cmocka_unit_test(test_deadlines), cmocka_unit_test(test_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
