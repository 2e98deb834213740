/* SPDX-License-Identifier: MIT */
/*
 * The library's context is made of the three files, and made anew when one of them has changed: a
 * mounted secret is renewed by a rename, so the stamp holds the inode too. Sessions keep the
 * context that they were made of. A set of files that does not fit together (one of them is being
 * renewed) is tried again at the next call.
 *
 * The library tells failures in a queue of the thread. redis_tls_begin empties it before each use,
 * so what is in it afterwards belongs to that use.
 *
 * It never asks a terminal for a passphrase: such a key is refused.
 */
#include "common/redis_tls.h"

#include <stdio.h>
#include <strings.h>

static bool url_is_secure(const char *url)
{
    return strncasecmp(url, "rediss", 6) == 0;
}

/* What can be told without reading the files. */
static const char *files_refused(const struct redis_tls_files *files, bool secure)
{
    if (!secure && (*files->ca || *files->cert || *files->key))
        return REDIS_TLS_BUILT ? "REDIS_CA, REDIS_CERT and REDIS_KEY need a REDIS_URL of rediss://"
                               : "REDIS_CA, REDIS_CERT and REDIS_KEY need a build with TLS";
    if (!*files->cert != !*files->key)
        return "REDIS_CERT and REDIS_KEY are needed together";
    return NULL;
}

#ifdef CHAT_TLS

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/mem.h"

enum {
    FILES = 3,
    ERROR_BYTES = 256,
};

/* Which file was read; all zero: none. */
struct stamp {
    dev_t device;
    ino_t inode;
    struct timespec changed;
};

struct redis_tls {
    const struct redis_tls_files *files;
    SSL_CTX *context;           /* NULL: not loaded, or the files do not fit */
    struct stamp stamps[FILES]; /* of what context was made of */
    char error[ERROR_BYTES];
};

/* ---- the files ---- */

/* What the library says first of what went wrong: later words only add where it was seen. */
static const char *reason(void)
{
    unsigned long error = ERR_peek_error();
    const char *words =
        ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error)) : ERR_reason_error_string(error);
    return words ? words : "not usable";
}

static void file_refuse(struct redis_tls *t, const char *setting, const char *path)
{
    snprintf(t->error, sizeof t->error, "%s=%s: %s", setting, path, reason());
}

static int no_passphrase_cb(char *to, int size, int writing, void *unused)
{
    (void)writing, (void)unused;
    if (size > 0)
        *to = 0;
    return -1;
}

static bool trust_load(struct redis_tls *t, SSL_CTX *context)
{
    const char *ca = t->files->ca;
    if (!*ca) {
        SSL_CTX_set_default_verify_paths(context);
    } else if (SSL_CTX_load_verify_locations(context, ca, NULL) != 1) {
        file_refuse(t, "REDIS_CA", ca);
        return false;
    }
    return true;
}

static bool own_load(struct redis_tls *t, SSL_CTX *context)
{
    const char *cert = t->files->cert, *key = t->files->key;
    if (!*cert)
        return true;
    SSL_CTX_set_default_passwd_cb(context, no_passphrase_cb);
    if (SSL_CTX_use_certificate_chain_file(context, cert) != 1) {
        file_refuse(t, "REDIS_CERT", cert);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        file_refuse(t, "REDIS_KEY", key);
        return false;
    }
    return true;
}

static SSL_CTX *context_make(struct redis_tls *t)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context) {
        snprintf(t->error, sizeof t->error, "TLS: %s", reason());
        return NULL;
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (trust_load(t, context) && own_load(t, context))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

static void stamps_take(const struct redis_tls_files *files, struct stamp stamps[FILES])
{
    const char *const paths[FILES] = {files->ca, files->cert, files->key};
    memset(stamps, 0, FILES * sizeof *stamps);
    for (int i = 0; i < FILES; i++) {
        struct stat st;
        if (*paths[i] && stat(paths[i], &st) == 0) {
            stamps[i].device = st.st_dev;
            stamps[i].inode = st.st_ino;
            stamps[i].changed = st.st_mtim;
        }
    }
}

struct redis_tls *redis_tls_new(const struct redis_tls_files *files)
{
    struct redis_tls *t = mem_zalloc(sizeof *t);
    t->files = files;
    return t;
}

void redis_tls_free(struct redis_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->context);
    free(t);
}

const char *redis_tls_load(struct redis_tls *t)
{
    struct stamp stamps[FILES];
    /* Before the files are read: what changes meanwhile differs next time. */
    stamps_take(t->files, stamps);
    if (t->context && memcmp(stamps, t->stamps, sizeof stamps) == 0)
        return NULL;
    SSL_CTX_free(t->context);
    t->context = context_make(t);
    memcpy(t->stamps, stamps, sizeof stamps);
    return t->context ? NULL : t->error;
}

bool redis_tls_check(const struct redis_tls_files *files, const char *url, char *error, size_t size)
{
    bool ours = *files->ca || *files->cert; /* the system's list takes 10 ms, and is as it is */
    const char *wrong = files_refused(files, url_is_secure(url));
    struct redis_tls *t = ours && !wrong ? redis_tls_new(files) : NULL;
    if (t)
        wrong = redis_tls_load(t);
    if (wrong)
        snprintf(error, size, "%s", wrong);
    redis_tls_free(t);
    return !wrong;
}

/* ---- a session ---- */

/* An address is looked for among the certificate's addresses, a name among its names. */
static bool name_demand(SSL *session, const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), name) == 1;
    char *shown = mem_strndup(name, strlen(name)); /* the library's macro takes no const */
    SSL_set_hostflags(session, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool good = SSL_set1_host(session, name) == 1 && SSL_set_tlsext_host_name(session, shown) == 1;
    free(shown);
    return good;
}

struct ssl_st *redis_tls_session(struct redis_tls *t, const char *name)
{
    SSL *session = t->context ? SSL_new(t->context) : NULL;
    if (session && !name_demand(session, name)) {
        SSL_free(session);
        return NULL;
    }
    return session;
}

void redis_tls_session_free(struct ssl_st *session)
{
    SSL_free(session);
}

void redis_tls_begin(void)
{
    ERR_clear_error();
}

bool redis_tls_failed(const struct ssl_st *session, char *why, size_t size)
{
    long verdict = SSL_get_verify_result(session);
    if (verdict != X509_V_OK)
        snprintf(why, size, "TLS: the server's certificate is refused: %s",
                 X509_verify_cert_error_string(verdict));
    else if (ERR_peek_error())
        snprintf(why, size, "TLS: %s", reason());
    else
        return false;
    return true;
}

#else

bool redis_tls_check(const struct redis_tls_files *files, const char *url, char *error, size_t size)
{
    const char *wrong = files_refused(files, url_is_secure(url));
    if (wrong)
        snprintf(error, size, "%s", wrong);
    return !wrong;
}

#endif
