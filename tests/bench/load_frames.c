/* SPDX-License-Identifier: MIT */
/*
 * What comes: WebSocket frames of a server (RFC 6455 section 5.2) with our marks in them, and
 * answers to requests (RFC 9112). A mark is first looked for where the last one was, since the
 * frames of one server are all alike.
 */
#include <stdlib.h>
#include <strings.h>

#include "tests/bench/load.h"

enum {
    OPCODE_CLOSE = 8,
    OPCODE_PING = 9,
    OPCODE_PONG = 10,
    HEX_PUBLISHER = 4,
    HEX_NUMBER = 8,
    HEX_TIME = 12,
};

/* ---- marks ---- */

static uint64_t hex_read(const char **p, int digits)
{
    uint64_t n = 0;
    for (int i = 0; i < digits; i++, ++*p)
        n = n << 4 | (uint64_t)((**p & 15) + (**p > '9' ? 9 : 0));
    ++*p; /* the dot behind it */
    return n;
}

static const char *mark_find(struct load *l, const char *text, size_t len)
{
    const char *at = text + l->mark_at;
    if (len >= l->mark_at + MARK_BYTES && memcmp(at, l->mark, l->mark_len) == 0)
        return at;
    at = memmem(text, len, l->mark, l->mark_len);
    if (!at || len - (size_t)(at - text) < MARK_BYTES)
        return NULL;
    l->mark_at = (size_t)(at - text);
    return at;
}

/* Notes a publisher's message; false when it was here before. */
static bool seen_note(struct load *l, struct seen *s, uint64_t number)
{
    if (number >= s->next) {
        uint64_t step = number + 1 - s->next;
        s->window = (step < 64 ? s->window << step : 0) | 1;
        s->next = number + 1;
        return true;
    }
    uint64_t back = s->next - 1 - number, bit = back < 64 ? (uint64_t)1 << back : 0;
    if (!bit || s->window & bit) {
        l->counts.doubled++;
        return false;
    }
    s->window |= bit;
    l->counts.out_of_order++;
    return true;
}

static void message_came(struct load *l, struct conn *c, const char *mark, uint64_t now)
{
    const char *p = mark + l->mark_len;
    uint64_t publisher = hex_read(&p, HEX_PUBLISHER), number = hex_read(&p, HEX_NUMBER);
    uint64_t n = hex_read(&p, HEX_NUMBER), due = hex_read(&p, HEX_TIME);
    if (publisher >= l->npublishers || !c->seen || !seen_note(l, &c->seen[publisher], number))
        return;
    l->counts.unique++;
    if (n >= l->measured)
        hist_add(&l->deliveries, now > due ? now - due : 0);
    if (--l->missing[n] == 0)
        l->under_way--;
}

/* ---- frames ---- */

void frame_write(struct load *l, struct conn *c, unsigned opcode, const char *bytes, size_t len)
{
    char header[8] = {(char)(0x80 | opcode), (char)(0x80 | len)};
    size_t head = 2;
    struct buf *frame = NULL;
    if (len > 125) {
        header[1] = (char)(0x80 | 126);
        header[2] = (char)(len >> 8);
        header[3] = (char)len;
        head = 4;
    }
    buf_add(&frame, header, head + 4); /* a mask of zeroes leaves the bytes as they are */
    buf_add(&frame, bytes, len);
    conn_write(l, c, buf_str(frame).p, frame->len);
    buf_free(&frame);
}

static void frame_came(struct load *l, struct conn *c, unsigned opcode, const char *bytes,
                       size_t len, uint64_t now)
{
    const char *mark;
    if (opcode == OPCODE_PING)
        frame_write(l, c, OPCODE_PONG, bytes, len < 125 ? len : 125);
    else if (opcode == OPCODE_CLOSE)
        conn_close(l, c);
    else if (opcode < OPCODE_CLOSE && c->kind == CONN_SUBSCRIBER &&
             (mark = mark_find(l, bytes, len)))
        message_came(l, c, mark, now);
}

size_t frames_read(struct load *l, struct conn *c, const char *bytes, size_t len, uint64_t now)
{
    size_t used = 0;
    while (len - used >= 2 && c->state == CONN_OPEN) {
        const unsigned char *f = (const unsigned char *)bytes + used;
        size_t head = 2, body = f[1] & 127u;
        if (body == 126)
            head = 4;
        else if (body == 127)
            head = 10;
        if (len - used < head)
            break;
        if (head > 2)
            body = 0;
        for (size_t i = 2; i < head; i++)
            body = body << 8 | f[i];
        if (len - used - head < body)
            break;
        frame_came(l, c, f[0] & 15u, bytes + used + head, body, now);
        used += head + body;
    }
    return used;
}

/* ---- answers ---- */

/* The value of a header, or NULL. */
static const char *header_find(const char *head, const char *end, const char *name)
{
    for (const char *line = head; (line = memmem(line, (size_t)(end - line), "\r\n", 2));) {
        line += 2;
        if (strncasecmp(line, name, strlen(name)) == 0)
            return line + strlen(name);
    }
    return NULL;
}

/* The length of a whole answer; 0: it is not there yet. */
static size_t answer_len(const char *bytes, size_t len, int *status)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4), *value;
    if (!end || len < 12)
        return 0;
    size_t head = (size_t)(end - bytes) + 4;
    *status = atoi(bytes + 9);
    if (*status == 204 || *status == 304)
        return head;
    if (header_find(bytes, end, "Transfer-Encoding: chunked")) {
        const char *last = memmem(end, len - (size_t)(end - bytes), "\r\n0\r\n\r\n", 7);
        return last ? (size_t)(last - bytes) + 7 : 0;
    }
    value = header_find(bytes, end, "Content-Length:");
    size_t body = value ? strtoul(value, NULL, 10) : 0;
    return len >= head + body ? head + body : 0;
}

size_t answer_read(struct load *l, struct conn *c, const char *bytes, size_t len, uint64_t now)
{
    int status = 0;
    size_t used = answer_len(bytes, len, &status);
    if (!used)
        return 0;
    if (l->counts.answers >= l->measured)
        hist_add(&l->requests, now > c->due_us ? now - c->due_us : 0);
    l->counts.answers++;
    if ((status >= 200 && status < 300) || status == 304) {
        l->counts.accepted++;
        l->counts.expected += l->o->get ? 0 : l->o->clients;
    } else {
        l->counts.refused++;
    }
    publish_answered(l, c);
    return used;
}
