/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 requests (RFC 9110, RFC 9112), the parsing alone: no I/O, no allocation, no libevent.
 * What is ambiguous is refused, because a proxy before us may read it otherwise.
 */
#ifndef COMMON_HTTP_H
#define COMMON_HTTP_H

#include <stdint.h>

#include "common/buf.h"
#include "common/limits.h"

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_OPTIONS,
    HTTP_OTHER, /* any other token: method_name has it */
};

struct http_header {
    struct str name;  /* a token, as sent: compare with str_eq_nocase */
    struct str value; /* without the white space around it */
};

struct http_request {
    enum http_method method;
    struct str method_name;
    struct str target; /* as sent */
    struct str path;   /* before the '?', percent-encoded as sent */
    struct str query;  /* after it, or empty */
    bool http_1_0;
    bool keep_alive; /* may another request follow on this connection? */
    bool chunked;    /* the body's framing */
    bool has_length;
    uint64_t length;      /* Content-Length, when has_length */
    bool expect_continue; /* the client waits for a 100 before it sends the body */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t nheaders;
};

/* A refusal: what to answer, then close. status 0: none. */
struct http_refusal {
    int status;         /* 400, 414, 417, 431, 505 */
    const char *reason; /* static words for {"detail":…} */
};

/*
 * The length of the head, its empty line included, or 0 when it is not whole yet. scanned is the
 * caller's memory of what was looked at (0 at first), so that a head that comes byte by byte costs
 * no more than one that comes at once. Empty lines before the request line (section 2.2) belong to
 * the head. A refusal is possible before the head is whole: bare CR or LF, NUL, too long, or a
 * request line that is none (but not of a HEAD: its answer has no body, which the parser tells).
 */
size_t http_head_end(const char *bytes, size_t len, size_t *scanned, struct http_refusal *refusal);

/* Parses a whole head. The request's strings point into it. False: see *refusal. */
bool http_parse_head(struct http_request *req, const char *head, size_t len,
                     struct http_refusal *refusal);

/* The value of a header; p is NULL when there is none. When there are several, the first one. */
struct str http_header(const struct http_request *req, const char *name);

/* How many headers of this name are there? */
size_t http_header_count(const struct http_request *req, const char *name);

/* The next line of a header, from *at on (0 at first); false when there is no other one. */
bool http_header_next(const struct http_request *req, const char *name, size_t *at,
                      struct str *value);

/* Appends all its lines, as the one list that they are (RFC 9110 section 5.3). */
void http_header_list(const struct http_request *req, const char *name, struct buf **list);

/* May it stand in a token (RFC 9110 section 5.6.2)? */
bool http_token_char(char c);

/* Is token an element of the comma-separated header (case does not matter), in any of its lines? */
bool http_header_has(const struct http_request *req, const char *name, const char *token);

/* What becomes of a 200 with this entity tag: 200, 304 or 412. match and none_match are the values
 * of If-Match (strong comparison) and If-None-Match (weak comparison), empty where there is none;
 * "*" names all tags (RFC 9110 sections 13.1.1, 13.1.2 and 13.2.2). */
int http_condition(struct str match, struct str none_match, struct str etag);

/* A chunked body (RFC 9112 section 7.1), decoded in place. All zero is the start. */
struct http_chunks {
    int state;     /* see http_chunks.c */
    uint64_t left; /* bytes of the chunk still to come */
    size_t line;   /* bytes of the size line or trailer line under way */
    size_t extras; /* bytes of all extensions and trailer lines */
};

enum http_chunk_result {
    HTTP_CHUNK_MORE, /* all input was used; the body goes on */
    HTTP_CHUNK_DONE, /* the body and its trailer are whole; what follows is unused */
    HTTP_CHUNK_BAD,  /* 400 with the reason, and close */
};

/* Decodes len bytes at in; the payload moves together at in, *out bytes of it; *used tells how much
 * input was taken. Trailers are checked and dropped. Extensions of a chunk are dropped. */
enum http_chunk_result http_chunks_feed(struct http_chunks *c, char *in, size_t len, size_t *used,
                                        size_t *out, const char **reason);

/* "Created" for 201; "Unknown" for what we do not send. */
const char *http_status_words(int status);

/* The value of a hexadecimal digit, or -1. */
int http_hex_digit(char c);

/* ASCII case does not matter. */
bool str_eq_nocase(struct str a, struct str b);

/*
 * Query strings, application/x-www-form-urlencoded as browsers write them. Finds the *last* value
 * of a name (names and values are decoded: %XX and '+'). Returns 1 with the value in *out (a
 * terminated copy of *len bytes that the caller frees; may hold NUL from %00), 0 when the name is
 * not there, -1 when an escape of that value is broken.
 */
int http_query_get(struct str query, const char *name, char **out, size_t *len);

/* Decodes %XX of a path segment in place of a copy: false when an escape is broken or out is too
 * small. '+' stays. *len is the decoded length. */
bool http_path_decode(struct str segment, char *out, size_t size, size_t *len);

/* The path without the escapes that it does not need, those of letters, digits and -._~: paths that
 * differ in these only are the same (RFC 3986 section 6.2.2.2). All others stay, so that what is
 * decoded afterwards is decoded once. out has room for path.len bytes, and the result is there, or
 * is the path itself: when nothing is escaped, or one of its escapes is broken. */
struct str http_path_plain(struct str path, char *out);

#endif
