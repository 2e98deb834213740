/* SPDX-License-Identifier: MIT */
/* The bounds of WebSocket clients, each at the bound and beyond it: who is silent, slow to send, to
 * take or to go; who sends more than is answered; and who wants more history than there is room. */
#include "clients_rig.h"

#define TEXT "{\"username\":\"a\",\"content\":\"b\"}"

/* ---- deadlines ---- */

static void test_silent_one_is_pinged_and_closed(void **state)
{
    (void)state;
    uint64_t before_ms = now_ms();
    struct peer *p = join("r", 0);
    uint64_t after_ms = now_ms();
    tick(before_ms + WS_PING_MS - 1);
    assert_int_equal(hear(p)->pings, 0);
    uint64_t pinged_ms = after_ms + WS_PING_MS + SECOND_MS;
    tick(pinged_ms);
    assert_int_equal(hear(p)->pings, 1);
    tick(pinged_ms + WS_PONG_MS - 1);
    assert_false(hear(p)->gone);
    tick(pinged_ms + WS_PONG_MS + SECOND_MS);
    assert_true(hear(p)->gone);
    assert_true(p->pings == 1 && p->close == 0);
    assert_int_equal(clients_counts(rig.clients)->silent, 1);
    assert_int_equal(clients_count(rig.clients), 0);
}

/* Any byte will do. */
static void test_who_answers_pings_stays(void **state)
{
    (void)state;
    struct peer *p = join("r", 0);
    uint64_t ms = now_ms();
    for (size_t pings = 1; pings < 10; pings++) {
        ms += WS_PING_MS + SECOND_MS;
        tick(ms);
        assert_int_equal(hear(p)->pings, pings);
        say(p, pings % 2 ? WS_PONG : WS_TEXT, true, pings % 2 ? "" : TEXT);
        turn();
    }
    assert_false(hear(p)->gone);
    assert_int_equal(rig.messages, 4);
    assert_int_equal(clients_counts(rig.clients)->silent, 0);
}

static void test_slow_message(void **state)
{
    (void)state;
    struct peer *slow = join("r", 0), *half = join("r", 0), *done = join("r", 0);
    uint64_t before_ms = now_ms();
    say(slow, WS_TEXT, false, "{");
    send(half->fd, "\x81", 1, MSG_DONTWAIT);
    say(done, WS_TEXT, false, TEXT);
    turn();
    uint64_t after_ms = now_ms();
    say(slow, WS_CONTINUATION, false, " "); /* moves nothing */
    say(done, WS_CONTINUATION, true, "");
    turn();
    assert_int_equal(rig.messages, 1);
    tick(before_ms + WS_MESSAGE_MS - SECOND_MS);
    assert_true(hear(slow)->close == 0 && hear(half)->close == 0);
    tick(after_ms + WS_MESSAGE_MS + 2 * SECOND_MS);
    assert_int_equal(hear(slow)->close, WS_CLOSE_POLICY);
    assert_int_equal(hear(half)->close, WS_CLOSE_POLICY);
    assert_true(hear(done)->close == 0 && !done->gone);
}

static void test_who_does_not_close(void **state)
{
    (void)state;
    struct peer *p = join("r", 0);
    uint64_t before_ms = now_ms();
    say(p, (enum ws_opcode)15, true, "");
    assert_int_equal(hear(p)->close, WS_CLOSE_PROTOCOL);
    uint64_t after_ms = now_ms();
    assert_true(p->gone); /* our side is shut */
    tick(before_ms + WS_CLOSE_MS - 1);
    say(p, WS_TEXT, true, "dropped");
    turn();
    assert_int_equal(clients_count(rig.clients), 1);
    tick(after_ms + WS_CLOSE_MS + SECOND_MS);
    assert_int_equal(clients_count(rig.clients), 0);
    assert_int_equal(rig.messages, 0);
}

/* ---- what is not answered, and what is not read ---- */

static void test_messages_on_their_way(void **state)
{
    (void)state;
    enum {
        MANY = WS_PENDING_MAX + 36,
    };
    struct peer *p = join("r", 0);
    rig.hold = true;
    for (int i = 0; i < MANY; i++)
        say(p, WS_TEXT, true, TEXT);
    turn();
    assert_int_equal(rig.messages, WS_PENDING_MAX);
    client_release(rig.held[0]);
    turn();
    assert_int_equal(rig.messages, WS_PENDING_MAX + 1);
    for (size_t i = 1; i < rig.nheld; i++) {
        client_release(rig.held[i]);
        turn();
    }
    assert_int_equal(rig.messages, MANY);
}

/* Who is not read because of that is neither slow to send nor silent for it: it cannot be heard,
 * but it can answer pings as soon as it is read again. */
static void test_a_pause_is_no_slow_message(void **state)
{
    (void)state;
    struct peer *p = join("r", 0);
    rig.hold = true;
    for (int i = 0; i < WS_PENDING_MAX; i++)
        say(p, WS_TEXT, true, TEXT);
    say(p, WS_TEXT, false, "{");
    turn();
    assert_int_equal(rig.messages, WS_PENDING_MAX);
    tick(now_ms() + WS_MESSAGE_MS + 2 * SECOND_MS);
    assert_true(hear(p)->close == 0 && !p->gone);
    for (size_t i = 0; i < rig.nheld; i++)
        client_release(rig.held[i]);
    rig.hold = false;
    say(p, WS_CONTINUATION, true, "}");
    turn();
    assert_int_equal(rig.messages, WS_PENDING_MAX + 1);
}

static void test_unread_pongs(void **state)
{
    (void)state;
    static char payload[WS_CONTROL_BYTES_MAX + 1];
    memset(payload, 'p', WS_CONTROL_BYTES_MAX);
    struct peer *p = join("r", 0);
    const struct client *c = only_client();
    size_t sent = 0;
    for (size_t before = 0; before < sent || !sent; turn()) /* until it is not read any more */
        for (before = sent; say_if(p, WS_PING, true, payload); sent++)
            ;
    assert_true(c->paused);
    assert_true(buf_len(c->out) > WS_OUT_BYTES_MAX);
    assert_true(buf_len(c->out) <= WS_OUT_BYTES_MAX + 2 + WS_CONTROL_BYTES_MAX);
    for (size_t pongs = 0; pongs < sent; pongs = p->pongs)
        assert_true(hear(p)->pongs > pongs);
    assert_int_equal(p->pongs, sent);
    assert_false(c->paused);
}

/* ---- history that is older than memory ---- */

/* A page as the persister ends it for its bytes, and how many bytes of frames it becomes. */
static size_t long_page(struct buf **lines)
{
    static char content[CONTENT_CHARS_MAX];
    size_t framed = 0, at = 0;
    memset(content, 'x', sizeof content);
    for (unsigned id = 1; buf_len(*lines) <= HISTORY_BYTES_MAX; id++, at = buf_len(*lines)) {
        buf_printf(lines, "{\"id\":%u,\"username\":\"a\",\"content\":\"", id);
        buf_add(lines, content, sizeof content);
        buf_add_str(lines, STR("\",\"created_at\":\"2026-11-24T15:00:00.000Z\",\"room\":\"r\"}"));
        framed += buf_len(*lines) - at + 4; /* of a frame header */
        buf_add_char(lines, '\n');
    }
    return framed;
}

static void test_questions_at_a_time(void **state)
{
    (void)state;
    rig.position = POSITION;
    for (int i = 0; i < JOINS_ASKED_MAX + 10; i++)
        join("r", 0);
    assert_int_equal(questions(), JOINS_ASKED_MAX);
    for (size_t i = 1; i <= 10; i++) {
        answer(STR(""));
        assert_int_equal(questions(), JOINS_ASKED_MAX + i);
    }
    while (rig.nanswered < questions())
        answer(STR(""));
    assert_int_equal(questions(), JOINS_ASKED_MAX + 10);
    assert_int_equal(clients_counts(rig.clients)->resumed[JOIN_HISTORY], JOINS_ASKED_MAX + 10);
}

/* Nobody takes its page: when all of them hold that much, who comes waits, and those who hold it
 * have less time. */
static void test_history_of_all(void **state)
{
    (void)state;
    struct buf *lines = NULL;
    size_t page = long_page(&lines), full = (JOINS_UNSENT_BYTES_MAX + page - 1) / page;
    assert_in_range(full, 2, PEERS - 1);
    rig.position = POSITION;
    uint64_t before_ms = now_ms();
    for (size_t i = 1; i <= full; i++) {
        join("r", 0);
        assert_int_equal(questions(), i);
        answer(buf_str(lines));
    }
    buf_free(&lines);
    uint64_t after_ms = now_ms();
    join("r", 0);
    assert_int_equal(questions(), full);
    tick(before_ms + JOIN_TAKE_PRESSED_MS);
    assert_int_equal(questions(), full);
    tick(after_ms + JOIN_TAKE_PRESSED_MS + 1);
    assert_int_equal(questions(), full + 1);
    assert_int_equal(closed(WS_CLOSE_SLOW), full);
    assert_int_equal(hear(&rig.peers[full])->close, 0);
}

static void test_page_that_is_not_taken(void **state)
{
    (void)state;
    struct buf *lines = NULL;
    long_page(&lines);
    rig.position = POSITION;
    struct peer *slow = join("r", 0);
    uint64_t before_ms = now_ms();
    answer(buf_str(lines));
    buf_free(&lines);
    uint64_t after_ms = now_ms();
    tick(before_ms + JOIN_TAKE_MS);
    assert_int_equal(clients_counts(rig.clients)->joining, 1);
    tick(after_ms + JOIN_TAKE_MS + 1);
    assert_int_equal(hear(slow)->close, WS_CLOSE_SLOW);
    assert_true(slow->texts > 200 && slow->gone); /* the page, before the close */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(silent_one_is_pinged_and_closed),
        TEST(who_answers_pings_stays),
        TEST(slow_message),
        TEST(who_does_not_close),
        TEST(messages_on_their_way),
        TEST(a_pause_is_no_slow_message),
        TEST(unread_pongs),
        TEST(questions_at_a_time),
        TEST(history_of_all),
        TEST(page_that_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
