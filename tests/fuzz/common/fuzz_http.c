/* SPDX-License-Identifier: MIT */
/*
 * A connection's bytes: a head, and behind it a body as the head frames it. Properties:
 *   - where a head ends, and whether it is refused, does not depend on how it comes in pieces; nor
 *     does the status, but for a request line that is refused before a later mistake has come;
 *   - what was accepted has one framing, one Host, and no CR, LF or NUL in any string; written down
 *     again and parsed again it is the same request;
 *   - a chunked body decodes to the same bytes, or fails for the same reason, in whatever pieces;
 *     and written in chunks again it decodes to the same.
 */
#include "common/http.h"
#include "tests/fuzz/fuzz.h"

/* ---- the head ---- */

struct end {
    size_t len; /* 0: not whole, or refused */
    struct http_refusal refusal;
};

static struct end head_whole(struct str input)
{
    struct end e = {0};
    size_t scanned = 0;
    char *bytes = fuzz_copy(input);
    e.len = http_head_end(bytes, input.len, &scanned, &e.refusal);
    assert(scanned <= input.len);
    free(bytes);
    return e;
}

static struct end head_in_pieces(struct str input, size_t piece_max, struct fuzz_random *random)
{
    struct end e = {0};
    size_t scanned = 0;
    for (size_t len = 0; len < input.len && !e.len && !e.refusal.status;) {
        len += 1 + fuzz_below(random, piece_max);
        len = len < input.len ? len : input.len;
        char *bytes = fuzz_copy((struct str){input.p, len});
        e.len = http_head_end(bytes, len, &scanned, &e.refusal);
        free(bytes);
    }
    return e;
}

/* The status of the refusal, 0: none. */
static int parsed(const char *head, size_t len)
{
    struct http_request req;
    struct http_refusal refusal = {0};
    return http_parse_head(&req, head, len, &refusal) ? 0 : refusal.status;
}

static int status_of(struct str input, const struct end *e)
{
    return e->len ? parsed(input.p, e->len) : e->refusal.status;
}

/* Is the first line a request line? Where there is none yet, it counts as one. */
static bool line_is_good(struct str input)
{
    while (input.len >= 2 && memcmp(input.p, "\r\n", 2) == 0)
        input = (struct str){input.p + 2, input.len - 2};
    const char *lf = input.len ? memchr(input.p, '\n', input.len) : NULL;
    struct buf *head = NULL;
    if (!lf)
        return true;
    buf_add(&head, input.p, (size_t)(lf + 1 - input.p));
    buf_add_str(&head, STR("Host: a\r\n\r\n"));
    bool good = parsed(buf_str(head).p, buf_len(head)) == 0;
    buf_free(&head);
    return good;
}

/* The reason may be another where a line has several mistakes; the status is not. */
static void check_cut(struct str input, const struct end *whole, struct end cut)
{
    int status = status_of(input, whole);
    assert(!status == !status_of(input, &cut));
    assert(status || whole->len == cut.len);
    assert(status == status_of(input, &cut) || !line_is_good(input));
}

static void check_pieces(struct str input, struct fuzz_random *random)
{
    struct end whole = head_whole(input);
    assert(!whole.len || !whole.refusal.status);
    check_cut(input, &whole, head_in_pieces(input, 40, random));
    if (input.len <= 256)
        check_cut(input, &whole, head_in_pieces(input, 1, random));
}

/* ---- the request ---- */

static bool is_inside(struct str s, struct str outer)
{
    return s.len == 0 || (s.p >= outer.p && s.p + s.len <= outer.p + outer.len);
}

static void check_clean(struct str s)
{
    assert(s.len == 0 ||
           (!memchr(s.p, '\r', s.len) && !memchr(s.p, '\n', s.len) && !memchr(s.p, 0, s.len)));
}

/* A list names a tag when something in it does; a weak tag is as good as a strong one for
 * If-None-Match, and as none for If-Match. */
static void check_etags(struct str list)
{
    const struct str tag = STR("\"a\""), none = STR("");
    bool named = http_condition(none, list, tag) == 304;
    bool matched = list.len && http_condition(list, none, tag) == 200;
    assert(named || !matched);
    struct buf *longer = NULL;
    buf_add_str(&longer, list);
    buf_add_str(&longer, STR(", \"b\""));
    assert((http_condition(none, buf_str(longer), tag) == 304) == named);
    buf_add_str(&longer, STR(",W/\"a\""));
    assert(http_condition(none, buf_str(longer), tag) == 304);
    assert((http_condition(buf_str(longer), none, tag) == 200) == matched);
    buf_free(&longer);
}

static void check_request(const struct http_request *req, struct str head)
{
    assert(req->method_name.len && req->target.len && req->path.len);
    assert(req->target.len <= HTTP_TARGET_BYTES_MAX && req->nheaders <= HTTP_HEADERS_MAX);
    assert(is_inside(req->target, head) && is_inside(req->query, req->target));
    check_clean(req->method_name);
    check_clean(req->target);
    for (size_t i = 0; i < req->nheaders; i++) {
        assert(req->headers[i].name.len && is_inside(req->headers[i].value, head));
        check_clean(req->headers[i].name);
        check_clean(req->headers[i].value);
    }
    struct buf *etags = NULL;
    http_header_list(req, "if-none-match", &etags);
    check_etags(buf_str(etags));
    buf_free(&etags);
    size_t hosts = http_header_count(req, "host");
    assert(hosts == 1 || (hosts == 0 && req->http_1_0));
    assert(!(req->chunked && req->has_length) && !(req->chunked && req->http_1_0));
    assert(req->has_length == (http_header_count(req, "content-length") == 1));
    assert(req->chunked == (http_header_count(req, "transfer-encoding") == 1));
    assert(!req->expect_continue || req->chunked || req->length);
    assert(!req->keep_alive || !http_header_has(req, "connection", "CLOSE"));
}

/* The head as somebody careful would write it. */
static struct buf *rewrite(const struct http_request *req)
{
    struct buf *out = NULL;
    buf_add_str(&out, req->method_name);
    buf_add_char(&out, ' ');
    buf_add_str(&out, req->target);
    buf_add_str(&out, req->http_1_0 ? STR(" HTTP/1.0\r\n") : STR(" HTTP/1.1\r\n"));
    for (size_t i = 0; i < req->nheaders; i++) {
        buf_add_str(&out, req->headers[i].name);
        buf_add_str(&out, STR(": "));
        buf_add_str(&out, req->headers[i].value);
        buf_add_str(&out, STR("\r\n"));
    }
    buf_add_str(&out, STR("\r\n"));
    return out;
}

static void check_same_request(const struct http_request *a, const struct http_request *b)
{
    assert(a->method == b->method && a->http_1_0 == b->http_1_0);
    assert(str_eq(a->target, b->target) && str_eq(a->path, b->path) && str_eq(a->query, b->query));
    assert(a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue);
    assert(a->chunked == b->chunked && a->has_length == b->has_length && a->length == b->length);
    assert(a->nheaders == b->nheaders);
    for (size_t i = 0; i < a->nheaders; i++)
        assert(str_eq(a->headers[i].name, b->headers[i].name) &&
               str_eq(a->headers[i].value, b->headers[i].value));
}

static void check_again(const struct http_request *req)
{
    struct http_request again;
    struct http_refusal refusal = {0};
    struct buf *out = rewrite(req);
    struct str text = buf_str(out);
    size_t scanned = 0;
    if (text.len < HTTP_HEAD_BYTES_MAX) /* the space behind a colon may be new */
        assert(http_head_end(text.p, text.len, &scanned, &refusal) == text.len);
    bool parsed = http_parse_head(&again, text.p, text.len, &refusal);
    assert(parsed);
    check_same_request(req, &again);
    buf_free(&out);
}

/* ---- chunks ---- */

struct decoded {
    enum http_chunk_result result;
    struct buf *body;
    size_t used; /* of the input */
    const char *reason;
};

static struct decoded dechunk(struct str input, size_t piece_max, struct fuzz_random *random)
{
    struct decoded d = {.result = HTTP_CHUNK_MORE};
    struct http_chunks state = {0};
    while (d.result == HTTP_CHUNK_MORE && d.used < input.len) {
        size_t left = input.len - d.used, n = 1 + fuzz_below(random, piece_max), used, out;
        n = n < left ? n : left;
        char *piece = fuzz_copy((struct str){input.p + d.used, n});
        d.result = http_chunks_feed(&state, piece, n, &used, &out, &d.reason);
        assert(used <= n && out <= used && (used == n || d.result != HTTP_CHUNK_MORE));
        buf_add(&d.body, piece, out);
        d.used += used;
        free(piece);
    }
    assert((d.result == HTTP_CHUNK_BAD) == (d.reason != NULL));
    return d;
}

static void check_same_body(struct str input, const struct decoded *whole, size_t piece_max,
                            struct fuzz_random *random)
{
    struct decoded cut = dechunk(input, piece_max, random);
    assert(whole->result == cut.result && fuzz_same(whole->body, cut.body));
    assert(whole->used == cut.used && whole->reason == cut.reason);
    buf_free(&cut.body);
}

static void check_rechunked(const struct buf *body, struct fuzz_random *random)
{
    struct buf *out = NULL;
    for (struct str left = buf_str(body); left.len;) {
        size_t n = 1 + fuzz_below(random, left.len);
        buf_printf(&out, "%zx;note\r\n", n);
        buf_add(&out, left.p, n);
        buf_add_str(&out, STR("\r\n"));
        left = (struct str){left.p + n, left.len - n};
    }
    buf_add_str(&out, STR("0\r\nDigest: none\r\n\r\n"));
    struct decoded again = dechunk(buf_str(out), 30, random);
    assert(again.result == HTTP_CHUNK_DONE && again.used == buf_len(out));
    assert(fuzz_same(again.body, body));
    buf_free(&again.body);
    buf_free(&out);
}

static void check_chunks(struct str input, struct fuzz_random *random)
{
    struct decoded whole = dechunk(input, input.len + 1, random);
    check_same_body(input, &whole, 20, random);
    if (input.len <= 256)
        check_same_body(input, &whole, 1, random);
    if (whole.result == HTTP_CHUNK_DONE)
        check_rechunked(whole.body, random);
    buf_free(&whole.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = fuzz_str(data, size);
    struct fuzz_random random = fuzz_seed(input);
    check_pieces(input, &random);
    struct end end = head_whole(input);
    assert(strcmp(http_status_words(end.refusal.status ? end.refusal.status : 400), "Unknown"));
    if (!end.len)
        return 0;
    struct http_request req;
    struct http_refusal refusal = {0};
    char *head = fuzz_copy((struct str){input.p, end.len});
    if (http_parse_head(&req, head, end.len, &refusal)) {
        assert(!refusal.status);
        check_request(&req, (struct str){head, end.len});
        check_again(&req);
        if (req.chunked)
            check_chunks((struct str){input.p + end.len, input.len - end.len}, &random);
    } else {
        assert(refusal.reason && strcmp(http_status_words(refusal.status), "Unknown"));
    }
    free(head);
    return 0;
}
