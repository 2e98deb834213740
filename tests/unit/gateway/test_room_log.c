/* SPDX-License-Identifier: MIT */
/* The room's log against a plain list of frames that is kept beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/buf.h"
#include "gateway/room_log.h"
#include "gateway/websocket.h"

enum {
    FRAMES_MAX = 2000,
    JSON_MAX = 9000,
};

/* What the log should hold. */
struct model {
    struct room_log log;
    struct buf *bytes; /* all frames without holes */
    size_t count;
    uint64_t id[FRAMES_MAX], pos[FRAMES_MAX];
    size_t at[FRAMES_MAX]; /* where in bytes the frame starts */
};

static struct str json_make(char out[JSON_MAX], uint64_t id, size_t len)
{
    int n = snprintf(out, JSON_MAX, "{\"id\":%ju,\"x\":\"", (uintmax_t)id);
    size_t at = (size_t)n;
    for (; at + 2 < len; at++)
        out[at] = (char)('a' + (id + at) % 26);
    out[at++] = '"';
    out[at++] = '}';
    return (struct str){out, at};
}

static bool add(struct model *m, uint64_t id, size_t len)
{
    char json[JSON_MAX], header[WS_HEADER_MAX];
    struct str s = json_make(json, id, len);
    assert_true(m->count < FRAMES_MAX);
    m->id[m->count] = id;
    m->pos[m->count] = m->log.end;
    m->at[m->count++] = buf_len(m->bytes);
    size_t head = ws_header_write(header, WS_TEXT, s.len);
    buf_add(&m->bytes, header, head);
    buf_add_str(&m->bytes, s);
    uint64_t end = m->log.end;
    bool grew = room_log_append(&m->log, id, s);
    assert_int_equal(m->log.end, end + head + s.len);
    assert_int_equal(m->log.last, id);
    return grew;
}

/* Frames with the ids 10, 20, 30 … of lengths that need each form of the frame's header. */
static size_t add_many(struct model *m, size_t count)
{
    size_t grown = 0;
    uint64_t id = m->log.last;
    for (size_t i = 0; i < count; i++)
        grown += add(m, id += 10, 40 + (i * 37) % 300);
    return grown;
}

static void model_done(struct model *m)
{
    room_log_reset(&m->log, 0);
    buf_free(&m->bytes);
}

/* Reads from pos to the end as a socket would: max iovecs at a time, of which only `part` bytes
 * are taken. */
static struct buf *read_from(const struct room_log *l, uint64_t pos, size_t max, size_t part)
{
    struct buf *got = NULL;
    struct iovec iov[64];
    while (pos < l->end) {
        size_t used = 0, sum = 0, taken = 0;
        size_t bytes = room_log_iovecs(l, pos, l->end, iov, max, &used);
        assert_true(used > 0 && used <= max);
        for (size_t i = 0; i < used; i++) {
            size_t n = iov[i].iov_len < part - taken ? iov[i].iov_len : part - taken;
            buf_add(&got, iov[i].iov_base, n);
            taken += n;
            sum += iov[i].iov_len;
        }
        assert_int_equal(bytes, sum);
        uint64_t next = room_log_advance(l, pos, taken);
        assert_true(next > pos);
        pos = next;
    }
    assert_int_equal(pos, l->end);
    return got;
}

static void check_bytes(const struct model *m, size_t first, size_t max, size_t part)
{
    struct str all = buf_str(m->bytes);
    struct buf *got = read_from(&m->log, m->pos[first], max, part);
    assert_int_equal(buf_len(got), all.len - m->at[first]);
    assert_memory_equal(buf_str(got).p, all.p + m->at[first], buf_len(got));
    buf_free(&got);
}

/* Every question about the frames from `first` on. */
static void check_places(const struct model *m, size_t first)
{
    const struct room_log *l = &m->log;
    assert_int_equal(l->frames, m->count - first);
    for (size_t i = first; i < m->count; i++) {
        uint64_t next = i + 1 < m->count ? m->pos[i + 1] : l->end;
        assert_int_equal(room_log_back(l, m->count - i), m->pos[i]);
        assert_int_equal(room_log_after(l, m->id[i] - 1), m->pos[i]);
        assert_int_equal(room_log_after(l, m->id[i]), next);
        assert_int_equal(room_log_id_before(l, m->pos[i]), i > first ? m->id[i - 1] : 0);
        assert_int_equal(room_log_boundary(l, m->pos[i]), m->pos[i]);
    }
    assert_int_equal(room_log_back(l, 0), l->end);
    assert_int_equal(room_log_back(l, m->count + 1000), m->pos[first]);
    assert_int_equal(room_log_after(l, 0), m->pos[first]);
    assert_int_equal(room_log_id_before(l, l->end), m->id[m->count - 1]);
    assert_int_equal(room_log_boundary(l, l->end), l->end);
}

static void test_empty(void **state)
{
    (void)state;
    struct room_log l;
    room_log_reset(&(struct room_log){0}, 0);
    l = (struct room_log){0};
    room_log_reset(&l, 77);
    assert_int_equal(l.reach, 77);
    assert_int_equal(room_log_back(&l, 5), 0);
    assert_int_equal(room_log_after(&l, 5), 0);
    assert_int_equal(room_log_id_before(&l, 0), 0);
    assert_int_equal(room_log_boundary(&l, 0), 0);
    struct iovec iov[1];
    size_t used = 9;
    assert_int_equal(room_log_iovecs(&l, 0, 0, iov, 1, &used), 0);
    assert_int_equal(used, 0);
    assert_int_equal(room_log_look(&l, 0, 0, 10, true).count, 0);
    assert_int_equal(room_log_cut(&l, 0), 0);
    room_log_trim(&l, 100, 0);
    assert_int_equal(l.reach, 77);
}

static void test_append(void **state)
{
    (void)state;
    static struct model m;
    m = (struct model){0};
    assert_true(add_many(&m, 500) > 3);
    check_places(&m, 0);
    for (size_t i = 0; i < m.count; i += 23) {
        check_bytes(&m, i, 64, SIZE_MAX);
        check_bytes(&m, i, 1, SIZE_MAX);
        check_bytes(&m, i, 2, 777);
    }
    check_bytes(&m, 480, 1, 1);
    model_done(&m);
}

static void test_large(void **state)
{
    (void)state;
    static struct model m;
    m = (struct model){0};
    assert_true(add(&m, 1, 8000)); /* more than a first chunk holds */
    assert_true(add(&m, 2, 30));
    assert_false(add(&m, 3, 30));
    check_places(&m, 0);
    check_bytes(&m, 0, 64, SIZE_MAX);
    model_done(&m);
}

static void test_boundary(void **state)
{
    (void)state;
    static struct model m;
    m = (struct model){0};
    assert_true(add_many(&m, 100) > 1);
    for (size_t i = 0; i < m.count; i++) {
        uint64_t next = i + 1 < m.count ? m.pos[i + 1] : m.log.end;
        for (uint64_t pos = m.pos[i] + 1; pos < next; pos++)
            assert_int_equal(room_log_boundary(&m.log, pos), next);
    }
    model_done(&m);
}

static void test_stop(void **state)
{
    (void)state;
    static struct model m;
    m = (struct model){0};
    add_many(&m, 100);
    struct iovec iov[64];
    for (size_t i = 0; i < 60; i += 7) {
        size_t used = 0, at = 0, want = m.at[i + 40] - m.at[i];
        assert_int_equal(room_log_iovecs(&m.log, m.pos[i], m.pos[i + 40], iov, 64, &used), want);
        for (size_t v = 0; v < used; at += iov[v++].iov_len)
            assert_memory_equal(iov[v].iov_base, buf_str(m.bytes).p + m.at[i] + at, iov[v].iov_len);
        assert_int_equal(at, want);
        assert_int_equal(room_log_advance(&m.log, m.pos[i], want), m.pos[i + 40]);
        assert_int_equal(room_log_advance(&m.log, m.pos[i], 0), m.pos[i]);
    }
    model_done(&m);
}

static void test_trim(void **state)
{
    (void)state;
    static struct model m;
    m = (struct model){0};
    add_many(&m, 1000);
    m.log.reach = 3;
    room_log_trim(&m.log, 0, 0); /* the oldest chunk ends behind 0 */
    assert_int_equal(m.log.frames, 1000);
    assert_int_equal(m.log.reach, 3);

    room_log_trim(&m.log, m.log.end, 700);
    assert_in_range(m.log.frames, 700, 999);
    size_t first = m.count - m.log.frames;
    assert_int_equal(m.log.reach, m.id[first - 1]);
    check_places(&m, first);
    check_bytes(&m, first, 64, SIZE_MAX);
    assert_int_equal(room_log_after(&m.log, m.id[first - 1]), m.pos[first]);

    uint64_t low = m.pos[first + 400]; /* somebody is there */
    room_log_trim(&m.log, low, 0);
    assert_true(m.log.frames < m.count - first);
    first = m.count - m.log.frames;
    assert_true(m.pos[first] <= low);
    assert_int_equal(m.log.reach, m.id[first - 1]);
    check_places(&m, first);

    room_log_trim(&m.log, m.log.end, 0); /* the newest chunk stays */
    assert_true(m.log.frames > 0);
    first = m.count - m.log.frames;
    assert_ptr_equal(m.log.oldest, m.log.newest);
    assert_int_equal(m.log.reach, m.id[first - 1]);
    check_places(&m, first);
    model_done(&m);
}

/* Cuts the last `void_count` frames, of the model too. */
static void cut(struct model *m, size_t void_count)
{
    uint64_t end = m->log.end, last = m->log.last;
    size_t stay = m->count - void_count;
    assert_int_equal(room_log_cut(&m->log, stay ? m->id[stay - 1] : 0), void_count);
    assert_int_equal(m->log.end, end); /* positions never go back */
    assert_int_equal(m->log.last, last);
    struct buf *kept = NULL;
    buf_add(&kept, buf_str(m->bytes).p, m->at[stay]);
    buf_free(&m->bytes);
    m->bytes = kept;
    m->count = stay;
}

static void check_cut(size_t before, size_t void_count, size_t next_len)
{
    static struct model m;
    m = (struct model){0};
    add_many(&m, before);
    cut(&m, void_count);
    assert_int_equal(m.log.frames, before - void_count);
    assert_int_equal(room_log_after(&m.log, m.log.last - 1), m.log.end);
    add(&m, m.log.last + 5, next_len);
    add_many(&m, 60);
    check_places(&m, 0);
    for (size_t i = 0; i < m.count; i++) {
        check_bytes(&m, i, 64, SIZE_MAX);
        check_bytes(&m, i, 1, 1000);
    }
    struct room_page page = room_log_look(&m.log, 0, 0, SIZE_MAX, false);
    assert_int_equal(page.count, m.count);
    assert_int_equal(page.first, m.id[0]);
    assert_int_equal(page.last, m.id[m.count - 1]);
    model_done(&m);
}

static void test_cut(void **state)
{
    (void)state;
    check_cut(15, 4, 50);    /* inside the first chunk */
    check_cut(120, 100, 50); /* across chunks */
    check_cut(120, 120, 50); /* all */
    check_cut(15, 4, 8500);  /* what follows does not fit into the chunk behind the hole */
    check_cut(120, 119, 8500);

    static struct model m;
    m = (struct model){0};
    add_many(&m, 50);
    struct chunk *newest = m.log.newest;
    assert_int_equal(room_log_cut(&m.log, m.log.last), 0);
    assert_ptr_equal(m.log.newest, newest);
    cut(&m, 10);
    add_many(&m, 10);
    cut(&m, 20); /* a second hole swallows what lies between */
    add_many(&m, 10);
    check_places(&m, 0);
    check_bytes(&m, 0, 1, 500);
    room_log_trim(&m.log, m.log.end, 0);
    check_places(&m, m.count - m.log.frames);
    assert_int_equal(m.log.reach, m.id[m.count - m.log.frames - 1]);
    model_done(&m);
}

/* --- pages --- */

static void check_page(const struct model *m, uint64_t after, uint64_t before, size_t limit,
                       size_t bytes, bool newest)
{
    struct str all = buf_str(m->bytes);
    size_t first = 0, stop = m->count;
    while (first < stop && m->id[first] <= after)
        first++;
    while (before && stop > first && m->id[stop - 1] >= before)
        stop--;
    if (stop - first > limit && newest)
        first = stop - limit;
    else if (stop - first > limit)
        stop = first + limit;
    const size_t uncut = stop - first;
    while (stop - first > 1 && bytes < SIZE_MAX &&
           (stop < m->count ? m->at[stop] : all.len) - m->at[first] > bytes) {
        first += newest;
        stop -= !newest;
    }

    struct buf *want = NULL, *got = NULL;
    for (size_t i = first; i < stop; i++) {
        size_t end = i + 1 < m->count ? m->at[i + 1] : all.len;
        size_t head = ws_header_len(all.p + m->at[i]);
        if (i > first)
            buf_add_char(&want, ',');
        buf_add(&want, all.p + m->at[i] + head, end - m->at[i] - head);
    }
    struct room_page look = room_log_look(&m->log, after, before, limit, newest);
    struct room_page page = room_log_page(&m->log, after, before, limit, bytes, newest, &got);
    assert_int_equal(page.count, stop - first);
    assert_int_equal(page.cut, stop - first < uncut);
    assert_int_equal(page.first, stop > first ? m->id[first] : 0);
    assert_int_equal(page.last, stop > first ? m->id[stop - 1] : 0);
    if (bytes == SIZE_MAX)
        assert_true(look.count == page.count && look.first == page.first && look.last == page.last);
    assert_int_equal(buf_len(got), buf_len(want));
    assert_memory_equal(buf_str(got).p, buf_str(want).p, buf_len(want));
    buf_free(&want);
    buf_free(&got);
}

/* bytes: of a page; SIZE_MAX in a log with holes, since they count. */
static void check_pages_of(const struct model *m, size_t bytes)
{
    static const size_t limits[] = {0, 1, 3, 50, 5000};
    uint64_t end = m->log.last + 20;
    for (uint64_t after = 0; after < end; after += 97)
        for (uint64_t before = 0; before < end; before += 89)
            for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
                check_page(m, after, before, limits[i], bytes, true);
                check_page(m, after, before, limits[i], bytes, false);
            }
    check_page(m, 100, 110, 5, bytes, true); /* neighbours: both bounds are outside */
    check_page(m, 100, 120, 5, bytes, true);
    check_page(m, 100, 101, 5, bytes, false);
    check_page(m, 0, 1, 5, bytes, true);
    check_page(m, m->log.last, 0, 5, bytes, false);
}

static void check_pages(const struct model *m)
{
    check_pages_of(m, SIZE_MAX);
}

static void test_page(void **state)
{
    (void)state;
    static struct model m;
    m = (struct model){0};
    add_many(&m, 120);
    check_pages(&m);
    check_pages_of(&m, 1); /* one message, however long it is */
    check_pages_of(&m, 3000);
    check_pages_of(&m, 100000);
    cut(&m, 50);
    check_pages(&m);
    add_many(&m, 50);
    check_pages(&m);
    model_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty), cmocka_unit_test(test_append),
        cmocka_unit_test(test_large), cmocka_unit_test(test_boundary),
        cmocka_unit_test(test_stop),  cmocka_unit_test(test_trim),
        cmocka_unit_test(test_cut),   cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
