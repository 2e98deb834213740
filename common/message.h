/* SPDX-License-Identifier: MIT */
/*
 * A chat message in its two forms: the draft that a client posts, and the final JSON that the log
 * carries and every client receives:
 *
 *   {"id":42,"username":"Diego","content":"Hola","created_at":"2025-06-14T22:15:03.123Z","room":"lobby"}
 *
 * Nothing but these functions writes that text, so one message has one encoding, byte for byte,
 * from the gateway that took it to the page that the persister serves a year later. This is the
 * only file that uses json-c. Pure: no I/O, no clock.
 */
#ifndef COMMON_MESSAGE_H
#define COMMON_MESSAGE_H

#include <stdint.h>

#include "common/buf.h"

/* What a client posted, checked. */
struct draft {
    struct str username; /* 1 to USERNAME_CHARS_MAX characters */
    struct str content;  /* 1 to content_chars_max characters */
    struct str nonce;    /* empty when there is none; never of an HTTP body */
    bool has_nonce;      /* and it is valid */
    bool wait_stored;    /* "wait":"stored"; never of an HTTP body */
    void *parsed;        /* owns the strings; draft_done frees it */
};

enum draft_result {
    DRAFT_OK,
    DRAFT_PING,       /* a frame that asks for a pong; nothing but the nonce is there, if any */
    DRAFT_EMPTY,      /* no body at all */
    DRAFT_NOT_JSON,   /* refused by json_check */
    DRAFT_NOT_OBJECT, /* JSON, but no object; null is reported as if there were no body */
    DRAFT_INVALID,    /* an object with a missing, mistyped or overlong field */
};

/*
 * Reads a body or a frame; the caller calls draft_done later, whatever the result is. Unless it is
 * DRAFT_OK or DRAFT_PING, a JSON array of all that is wrong, in the order username, content, nonce,
 * wait and in pydantic's form, is appended to *detail, and of the draft only the nonce may be used:
 * it names the message that is refused.
 * [{"type":"missing","loc":["body","content"],"msg":"Field required","input":{…}}].
 * with_nonce says that a nonce (a string of 1 to NONCE_CHARS_MAX characters) and a wait ("log" or
 * "stored") may be there; else fields of these names are ignored like every other. Lengths count
 * code points. With it, an object with "type":"ping" that has neither username nor content is a
 * ping.
 *
 * NUL is refused in all strings: what the database would do with it is nothing to rely on. Pydantic
 * has no better words for that than a "string_pattern_mismatch", and it is checked after the
 * length.
 *
 * input repeats what was sent, compact and in raw UTF-8, but only so far: a string is cut at
 * ERROR_INPUT_BYTES_MAX bytes, at the end of a character; an object, an array or a number whose
 * text is longer than that is given as {}, [] or null; an integer of more than 64 bits as the
 * nearest one that json-c can hold.
 */
enum draft_result draft_parse(struct draft *d, struct str text, size_t content_chars_max,
                              bool with_nonce, struct buf **detail);
void draft_done(struct draft *d);

/* Appends one entry of such an array, for errors of queries and headers, and first a comma when an
 * entry stands before it (the last byte is a '}'). The brackets are the caller's. ctx_json is NULL
 * or a JSON object. */
void detail_add(struct buf **detail, const char *type, const char *loc_json, const char *msg,
                const char *input_json, const char *ctx_json);

/* A room's name: 1 to ROOM_BYTES_MAX of [A-Za-z0-9_.-]. */
bool room_name_valid(struct str name);

/* The final JSON, in the pieces that publish.lua joins:
 * {"id":<id><head>"created_at":"<time>"<tail>. All text is valid UTF-8 already. */
void message_add_head(struct buf **out, struct str username, struct str content);
void message_add_tail(struct buf **out, struct str room);

/* The final JSON as a whole. */
void message_add(struct buf **out, uint64_t id, struct str username, struct str content,
                 struct str created_at, struct str room);

/* Finds id and room in a final JSON by its two ends alone, without a parser: the hot path of a
 * gateway. False when they have not that shape. *room points into the text. The id is from 1 to
 * 2^63 - 1, without leading zeros. */
bool message_peek(struct str json, uint64_t *id, struct str *room);

/* Likewise its created_at; room is its room's name. */
bool message_peek_time(struct str json, struct str room, uint64_t *unix_ms);

/* A final JSON taken apart, for the persister. The strings are parts of the JSON, or of unescaped.
 */
struct message {
    uint64_t id;
    struct str username, content, created_at, room;
    uint64_t created_ms; /* created_at, Unix time */
    char *unescaped;     /* message_done frees it; NULL: the text has no escapes */
};

/* False when the text is not, byte for byte, what message_add writes for the message in it, or when
 * its room, its time or its texts are none that draft_parse and room_name_valid let through (how
 * long the texts may be is not asked: that is configuration, and may have been another one). */
bool message_parse(struct message *m, struct str json);
void message_done(struct message *m);

#endif
