/* SPDX-License-Identifier: MIT */
/*
 * TLS to Redis: who may sign its certificate, and which certificate is shown to it. A server is
 * accepted when its certificate leads to a trusted one *and* holds the name, or the address, that
 * was asked for. TLS 1.2 at least.
 *
 * In a build without TLS only redis_tls_check is there: redis_url_parse refuses rediss:// then, so
 * that calls guarded by REDIS_TLS_BUILT and a URL with TLS are never reached, nor compiled.
 */
#ifndef COMMON_REDIS_TLS_H
#define COMMON_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef CHAT_TLS
enum {
    REDIS_TLS_BUILT = 1
};
#else
enum {
    REDIS_TLS_BUILT = 0
};
#endif

struct redis_tls;
struct ssl_st; /* the library's session */

/* Paths of PEM files, "" for none: the settings of the same names, REDIS_CA and so on. */
struct redis_tls_files {
    const char *ca;   /* who may sign the server's certificate; "": the system's list */
    const char *cert; /* ours, with its chain */
    const char *key;  /* of cert, without a passphrase */
};

/* At the start: do the files fit the (valid) URL and each other? If not, error is one line. */
bool redis_tls_check(const struct redis_tls_files *files, const char *url, char *error,
                     size_t size);

/* Borrows files until redis_tls_free. Nothing is read yet. */
struct redis_tls *redis_tls_new(const struct redis_tls_files *files);
void redis_tls_free(struct redis_tls *t);

/* Reads the files if they are others than last time, so that renewed certificates serve from the
 * next connection on. NULL, or why they cannot be used: valid until the next call. */
const char *redis_tls_load(struct redis_tls *t);

/* A session that accepts only a server of that name or address; NULL: out of memory, or not loaded.
 * The connection that it is given to frees it. */
struct ssl_st *redis_tls_session(struct redis_tls *t, const char *name);
void redis_tls_session_free(struct ssl_st *session);

/* Before each use of a session: forgets what went wrong with others. */
void redis_tls_begin(void);

/* Did TLS end the session? Then why says what it refused, in one line. */
bool redis_tls_failed(const struct ssl_st *session, char *why, size_t size);

#endif
