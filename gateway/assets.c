/* SPDX-License-Identifier: MIT */
/*
 * The pages that a gateway serves, and what they are made of. Everything is in the program: no file
 * is opened, so no path of a request ever meets the file system.
 *
 * To add a file: put it into gateway/web/ and a line into ASSETS. The symbol is the file's name
 * with _ for . and -; the Makefile embeds each file twice, as it is and packed. The API's documents
 * come from docs/. What others made is in gateway/web/vendor/, and in the program only packed: who
 * does not accept gzip gets it all the same.
 *
 * Both forms have a strong entity tag, of their own bytes (RFC 9110 section 8.8.3), and are always
 * asked for anew (no-cache): while replicas of two versions serve one site, a page and its modules
 * come together from whoever answers, and an unchanged one costs a 304.
 */
#include "gateway/assets.h"

#include "common/buf.h"
#include "common/sha1.h"

#define HTML "text/html; charset=utf-8"
#define SCRIPT "text/javascript; charset=utf-8"
#define STYLE "text/css; charset=utf-8"

/* Nothing but our own files; no inline script or style, no eval, no form, no frame. WebSockets of
 * the same origin are 'self' (CSP level 3). */
#define OWN_FILES_ONLY                                                                             \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "                \
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "          \
    "require-trusted-types-for 'script'; trusted-types 'none'"

/* The viewer of /docs writes styles into its elements. */
#define VIEWER                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "                    \
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "              \
    "frame-ancestors 'none'"

#ifdef CHAT_DOCS
#define DOCS(X)                                                                                    \
    X("/docs", docs_html, HTML, VIEWER)                                                            \
    X("/assets/docs.css", docs_css, STYLE, OWN_FILES_ONLY)                                         \
    X("/assets/docs.js", docs_js, SCRIPT, OWN_FILES_ONLY)
#define PACKED(X) X("/assets/rapidoc-min.js", rapidoc_min_js, SCRIPT, OWN_FILES_ONLY)
#else
#define DOCS(X)
#define PACKED(X)
#endif

/* path, symbol, Content-Type, Content-Security-Policy */
#define ASSETS(X)                                                                                  \
    X("/", index_html, HTML, OWN_FILES_ONLY)                                                       \
    X("/favicon.svg", favicon_svg, "image/svg+xml", OWN_FILES_ONLY)                                \
    X("/assets/app.css", app_css, STYLE, OWN_FILES_ONLY)                                           \
    X("/assets/app.js", app_js, SCRIPT, OWN_FILES_ONLY)                                            \
    X("/assets/i18n.js", i18n_js, SCRIPT, OWN_FILES_ONLY)                                          \
    X("/assets/rooms.js", rooms_js, SCRIPT, OWN_FILES_ONLY)                                        \
    X("/assets/session.js", session_js, SCRIPT, OWN_FILES_ONLY)                                    \
    X("/assets/text.js", text_js, SCRIPT, OWN_FILES_ONLY)                                          \
    X("/assets/timeline.js", timeline_js, SCRIPT, OWN_FILES_ONLY)                                  \
    X("/assets/view.js", view_js, SCRIPT, OWN_FILES_ONLY)                                          \
    X("/openapi.json", openapi_json, "application/json", OWN_FILES_ONLY)                           \
    X("/asyncapi.json", asyncapi_json, "application/json", OWN_FILES_ONLY)                         \
    DOCS(X)

/* Behind all others in assets: without LAB=1 they are not served. */
#define LAB_ASSETS(X)                                                                              \
    X("/lab", lab_html, HTML, OWN_FILES_ONLY)                                                      \
    X("/assets/lab.css", lab_css, STYLE, OWN_FILES_ONLY)                                           \
    X("/assets/lab.js", lab_js, SCRIPT, OWN_FILES_ONLY)                                            \
    X("/assets/lab-card.js", lab_card_js, SCRIPT, OWN_FILES_ONLY)                                  \
    X("/assets/lab-picture.js", lab_picture_js, SCRIPT, OWN_FILES_ONLY)                            \
    X("/assets/lab-words.js", lab_words_js, SCRIPT, OWN_FILES_ONLY)

enum {
    FORM_PLAIN,
    FORM_GZIP,
    FORMS,

    ETAG_HEX = 20, /* digits of the SHA-1 that are used */
};

/* One form of an asset, NULL where it is not there. The length is another object's, so it is not
 * known before linking. */
struct form {
    const char *bytes;
    const size_t *len;
};

struct asset {
    const char *path, *type, *policy;
    struct form forms[FORMS];
};

#define DECLARE(path, symbol, type, policy)                                                        \
    extern const char web_##symbol[], web_##symbol##_gz[];                                         \
    extern const size_t web_##symbol##_len, web_##symbol##_gz_len;
ASSETS(DECLARE)
LAB_ASSETS(DECLARE)
#define DECLARE_PACKED(path, symbol, type, policy)                                                 \
    extern const char web_##symbol##_gz[];                                                         \
    extern const size_t web_##symbol##_gz_len;
PACKED(DECLARE_PACKED)

#define ENTRY(path, symbol, type, policy)                                                          \
    {path,                                                                                         \
     type,                                                                                         \
     policy,                                                                                       \
     {{web_##symbol, &web_##symbol##_len}, {web_##symbol##_gz, &web_##symbol##_gz_len}}},
#define ENTRY_PACKED(path, symbol, type, policy)                                                   \
    {path, type, policy, {{NULL, NULL}, {web_##symbol##_gz, &web_##symbol##_gz_len}}},
static const struct asset assets[] = {ASSETS(ENTRY) PACKED(ENTRY_PACKED) LAB_ASSETS(ENTRY)};

#define NUMBER(path, symbol, type, policy) NUMBER_##symbol,
enum {
    LAB_ASSETS(NUMBER) LAB_COUNT,
    ASSETS_COUNT = sizeof assets / sizeof *assets,
};

static size_t served; /* assets from the first one on */

/* With their quotes, terminated; by asset and form. */
static char etags[ASSETS_COUNT][FORMS][ETAG_HEX + 3];

static void etag_write(struct str bytes, char out[ETAG_HEX + 3])
{
    struct sha1 sha;
    unsigned char digest[SHA1_BYTES];
    char hex[SHA1_HEX + 1];
    sha1_init(&sha);
    sha1_add(&sha, bytes);
    sha1_done(&sha, digest);
    sha1_hex(digest, hex);
    out[0] = '"';
    memcpy(out + 1, hex, ETAG_HEX);
    out[ETAG_HEX + 1] = '"';
    out[ETAG_HEX + 2] = 0;
}

static struct str form_bytes(const struct asset *a, int form)
{
    const struct form *f = &a->forms[form];
    return f->bytes ? (struct str){f->bytes, *f->len} : STR("");
}

void assets_init(bool lab)
{
    served = lab ? ASSETS_COUNT : ASSETS_COUNT - LAB_COUNT;
    for (size_t i = 0; i < ASSETS_COUNT; i++)
        for (int form = 0; form < FORMS; form++)
            etag_write(form_bytes(&assets[i], form), etags[i][form]);
}

const struct asset *asset_find(struct str path)
{
    for (size_t i = 0; i < served; i++)
        if (str_eq(path, str_of(assets[i].path)))
            return &assets[i];
    return NULL;
}

/* ---- lists in headers ---- */

/* A weight of zero, in any of its spellings: q=0, q=0.000. */
static bool weight_is_zero(struct str parameters)
{
    while (parameters.len) {
        struct str p = str_cut(&parameters, ';');
        if (p.len < 3 || (p.p[0] | 0x20) != 'q' || p.p[1] != '=')
            continue;
        for (size_t i = 2; i < p.len; i++)
            if (p.p[i] != '0' && p.p[i] != '.')
                return false;
        return true;
    }
    return false;
}

/* RFC 9110 section 12.5.3; "*" alone does not ask for gzip. */
static bool accepts_gzip(const struct http_request *req)
{
    struct str list;
    for (size_t at = 0; http_header_next(req, "Accept-Encoding", &at, &list);)
        while (list.len) {
            struct str element = str_cut(&list, ',');
            if (str_eq_nocase(str_cut(&element, ';'), STR("gzip")))
                return !weight_is_zero(element);
        }
    return false;
}

static int condition(const struct http_request *req, struct str etag)
{
    struct buf *match = NULL, *none_match = NULL;
    http_header_list(req, "If-Match", &match);
    http_header_list(req, "If-None-Match", &none_match);
    int status = http_condition(buf_str(match), buf_str(none_match), etag);
    buf_free(&match);
    buf_free(&none_match);
    return status;
}

/* ---- answering ---- */

void asset_answer(const struct asset *a, struct exchange *x, const struct http_request *req)
{
    bool plain = a->forms[FORM_PLAIN].bytes;
    bool smaller = plain && *a->forms[FORM_GZIP].len < *a->forms[FORM_PLAIN].len;
    int form = !plain || (smaller && accepts_gzip(req)) ? FORM_GZIP : FORM_PLAIN;
    const char *etag = etags[a - assets][form];
    struct buf *headers = NULL;
    int status = condition(req, str_of(etag));
    if (status == 412) {
        exchange_fail(x, 412, "If-Match names another file");
        return;
    }
    buf_printf(&headers, "ETag: %s\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\n", etag);
    if (status == 304) {
        exchange_respond(x, &(struct response){.status = 304, .headers = buf_str(headers)});
        buf_free(&headers);
        return;
    }
    if (form == FORM_GZIP)
        buf_add_str(&headers, STR("Content-Encoding: gzip\r\n"));
    buf_printf(&headers, "Content-Security-Policy: %s\r\n", a->policy);
    buf_add_str(&headers, STR("X-Content-Type-Options: nosniff\r\n"
                              "Referrer-Policy: no-referrer\r\n"
                              "Cross-Origin-Opener-Policy: same-origin\r\n"
                              "Cross-Origin-Resource-Policy: same-origin\r\n"));
    exchange_respond(x, &(struct response){.status = 200,
                                           .content_type = a->type,
                                           .headers = buf_str(headers),
                                           .body = form_bytes(a, form)});
    buf_free(&headers);
}
