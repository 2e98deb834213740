/* SPDX-License-Identifier: MIT */
/*
 * Chunked bodies (RFC 9112 section 7.1), one byte after the other except for the data, which is
 * moved in one piece. Any cut of the input is possible: all that is known stands in the state.
 *
 *    1a ;name="value" CRLF  data CRLF  0 CRLF  Name: value CRLF  CRLF
 *    size extension         data       last    trailer           end
 *
 * Refused: a size without digits, with a sign, a prefix, white space or more than 64 bits; a line
 * end that is not CR LF, also between quotes; control characters; extensions and trailers that are
 * none by the grammar, since others may see the line's end elsewhere then; lines beyond
 * HTTP_CHUNK_LINE_BYTES_MAX; extensions and trailers of more than HTTP_EXTRA_BYTES_MAX in sum.
 * White space around the ; and = of extensions is 'bad', but to be read. Extensions and trailers
 * are checked and dropped.
 */
#include "common/http.h"

enum state {
    SIZE_FIRST, /* the first digit must come */
    SIZE,
    BEFORE_SEMICOLON, /* behind a blank: another extension must come */
    BEFORE_NAME,
    NAME,
    BEFORE_EQUALS, /* behind a blank: a value or another extension must come */
    BEFORE_VALUE,
    VALUE,
    QUOTED,
    QUOTED_PAIR, /* behind a backslash */
    QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START, /* a trailer's name, or the CR of the end */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    DONE,
    BAD,
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_control(char c)
{
    return ((unsigned char)c < 32 && c != '\t') || c == 127;
}

/* Another byte of a size line or a trailer line; false when it is one too many. */
static bool line_grows(struct http_chunks *c)
{
    bool extension = c->state >= BEFORE_SEMICOLON && c->state <= QUOTED_END;
    bool extra = extension || c->state >= TRAILER_START;
    if (extra && ++c->extras > HTTP_EXTRA_BYTES_MAX)
        return false;
    return ++c->line <= HTTP_CHUNK_LINE_BYTES_MAX;
}

/* What may come behind a size or an extension. */
static enum state after_extension(char ch)
{
    return ch == '\r' ? SIZE_LF : ch == ';' ? BEFORE_NAME : is_blank(ch) ? BEFORE_SEMICOLON : BAD;
}

static enum state after_size(struct http_chunks *c, char ch)
{
    int digit = http_hex_digit(ch);
    if (digit >= 0) {
        if (c->left >> 60)
            return BAD;
        c->left = c->left << 4 | (unsigned)digit;
        return SIZE;
    }
    if (c->state == SIZE_FIRST)
        return BAD;
    return after_extension(ch);
}

/* The state after one byte of *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ). */
static enum state within_extension(enum state state, char ch)
{
    switch (state) {
    case BEFORE_SEMICOLON:
        return ch == ';' ? BEFORE_NAME : is_blank(ch) ? BEFORE_SEMICOLON : BAD;
    case BEFORE_NAME:
        return http_token_char(ch) ? NAME : is_blank(ch) ? BEFORE_NAME : BAD;
    case NAME:
        return http_token_char(ch) ? NAME
               : ch == '='         ? BEFORE_VALUE
               : is_blank(ch)      ? BEFORE_EQUALS
                                   : after_extension(ch);
    case BEFORE_EQUALS:
        return ch == '='      ? BEFORE_VALUE
               : ch == ';'    ? BEFORE_NAME
               : is_blank(ch) ? BEFORE_EQUALS
                              : BAD;
    case BEFORE_VALUE:
        return http_token_char(ch) ? VALUE : ch == '"' ? QUOTED : is_blank(ch) ? BEFORE_VALUE : BAD;
    case VALUE:
        return http_token_char(ch) ? VALUE : after_extension(ch);
    case QUOTED:
        return ch == '"' ? QUOTED_END : ch == '\\' ? QUOTED_PAIR : is_control(ch) ? BAD : QUOTED;
    case QUOTED_PAIR:
        return is_control(ch) ? BAD : QUOTED;
    default: /* QUOTED_END */
        return after_extension(ch);
    }
}

/* The state after one byte that is not data. */
static enum state after(struct http_chunks *c, char ch)
{
    switch ((enum state)c->state) {
    case SIZE_FIRST:
    case SIZE:
        return after_size(c, ch);
    case BEFORE_SEMICOLON:
    case BEFORE_NAME:
    case NAME:
    case BEFORE_EQUALS:
    case BEFORE_VALUE:
    case VALUE:
    case QUOTED:
    case QUOTED_PAIR:
    case QUOTED_END:
        return within_extension((enum state)c->state, ch);
    case SIZE_LF:
        return ch != '\n' ? BAD : c->left ? DATA : TRAILER_START;
    case DATA_CR:
        return ch == '\r' ? DATA_LF : BAD;
    case DATA_LF:
        return ch == '\n' ? SIZE_FIRST : BAD;
    case TRAILER_START:
        return ch == '\r' ? END_LF : http_token_char(ch) ? TRAILER_NAME : BAD;
    case TRAILER_NAME:
        return ch == ':' ? TRAILER_VALUE : http_token_char(ch) ? TRAILER_NAME : BAD;
    case TRAILER_VALUE:
        return ch == '\r' ? TRAILER_LF : is_control(ch) ? BAD : TRAILER_VALUE;
    case TRAILER_LF:
        return ch == '\n' ? TRAILER_START : BAD;
    case END_LF:
        return ch == '\n' ? DONE : BAD;
    case DATA:
    case DONE:
    case BAD:
        break;
    }
    return BAD;
}

/* Moves chunk data down to its place and returns how much. */
static size_t take_data(struct http_chunks *c, char *to, const char *from, size_t len)
{
    size_t n = c->left < len ? (size_t)c->left : len;
    memmove(to, from, n);
    c->left -= n;
    if (!c->left)
        c->state = DATA_CR;
    return n;
}

enum http_chunk_result http_chunks_feed(struct http_chunks *c, char *in, size_t len, size_t *used,
                                        size_t *out, const char **reason)
{
    size_t i = 0;
    *out = 0;
    while (i < len && c->state != DONE && c->state != BAD) {
        if (c->state == DATA) {
            size_t n = take_data(c, in + *out, in + i, len - i);
            *out += n;
            i += n;
            continue;
        }
        bool fits = line_grows(c);
        c->state = (int)(fits ? after(c, in[i++]) : BAD);
        if (c->state == DATA || c->state == SIZE_FIRST || c->state == TRAILER_START)
            c->line = 0;
    }
    *used = i;
    if (c->state == DONE)
        return HTTP_CHUNK_DONE;
    if (c->state != BAD)
        return HTTP_CHUNK_MORE;
    *reason = c->line > HTTP_CHUNK_LINE_BYTES_MAX ? "Chunk line too long"
              : c->extras > HTTP_EXTRA_BYTES_MAX  ? "Too many chunk extensions or trailers"
                                                  : "Malformed chunk";
    return HTTP_CHUNK_BAD;
}
