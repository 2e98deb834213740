/* SPDX-License-Identifier: MIT */
/*
 * A page of history as the persister sends it: a message a line. Properties: the lines joined are
 * the text; what is put into a room's log is found there again, each message once, in one frame.
 */
#include "common/message.h"
#include "gateway/history.h"
#include "gateway/room_log.h"
#include "tests/fuzz/fuzz.h"

static void check_lines(struct str text)
{
    struct buf *joined = NULL;
    struct str left = text, line = {NULL, 0};
    while (history_line(&left, &line)) {
        assert(line.len == 0 || !memchr(line.p, '\n', line.len));
        buf_add_str(&joined, line);
        buf_add_char(&joined, '\n');
    }
    struct str all = buf_str(joined);
    bool whole = text.len == 0 || text.p[text.len - 1] == '\n';
    assert(str_eq((struct str){all.p, all.len - (whole ? 0 : 1)}, text));
    buf_free(&joined);
}

/* As a room takes it; *ids are written down in order. */
static size_t log_fill(struct room_log *log, struct str left, struct buf **page, uint64_t *first)
{
    struct str line = {NULL, 0}, room;
    uint64_t id;
    size_t count = 0;
    while (history_line(&left, &line))
        if (message_peek(line, &id, &room) && id > log->last) {
            if (count++ == 0)
                *first = id;
            buf_add_str(page, count > 1 ? STR(",") : STR(""));
            buf_add_str(page, line);
            room_log_append(log, id, line);
        }
    return count;
}

static void check_log(struct str text)
{
    struct room_log log = {0};
    struct buf *expected = NULL, *got = NULL;
    uint64_t first = 0;
    size_t count = log_fill(&log, text, &expected, &first);
    struct room_page page = room_log_page(&log, 0, 0, count + 1, SIZE_MAX, false, &got);
    assert(page.count == count && log.frames == count && fuzz_same(got, expected));
    assert(page.first == first && page.last == (count ? log.last : 0));
    size_t cut = room_log_cut(&log, first);
    assert(cut == (count ? count - 1 : 0) && log.frames == count - cut);
    room_log_reset(&log, 0);
    buf_free(&expected);
    buf_free(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = fuzz_copy(fuzz_str(data, size));
    check_lines((struct str){copy, size});
    check_log((struct str){copy, size});
    free(copy);
    return 0;
}
