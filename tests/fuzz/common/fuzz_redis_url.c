/* SPDX-License-Identifier: MIT */
/*
 * The URL of Redis. Properties: redis_url_check says the same as redis_url_parse; what was
 * understood, written again with every special character escaped, is understood the same; no word
 * of it has a NUL that was not there, and every number is in its range.
 */
#include "common/redis.h"
#include "common/redis_tls.h"
#include "common/redis_url.h"
#include "tests/fuzz/fuzz.h"

static void add_escaped(struct buf **out, const char *word)
{
    for (; *word; word++)
        buf_printf(out, "%%%02X", (unsigned)(unsigned char)*word);
}

static struct buf *rewrite(const struct redis_url *u)
{
    struct buf *out = NULL;
    buf_printf(&out, "%s%s://", u->tls ? "REDISS" : "redis", u->master ? "+sentinel" : "");
    add_escaped(&out, u->user);
    buf_add_char(&out, ':');
    add_escaped(&out, u->password);
    buf_add_char(&out, '@');
    for (size_t i = 0; i < u->nhosts; i++) {
        bool v6 = strchr(u->hosts[i].name, ':');
        buf_add_str(&out, i ? STR(",") : STR(""));
        buf_add_str(&out, v6 ? STR("[") : STR(""));
        buf_add_str(&out, str_of(u->hosts[i].name));
        buf_printf(&out, "%s:%u", v6 ? "]" : "", (unsigned)u->hosts[i].port);
    }
    if (u->master) {
        buf_add_char(&out, '/');
        add_escaped(&out, u->master);
    }
    buf_printf(&out, "/%u%c", u->db, 0);
    return out;
}

static bool same_word(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same(const struct redis_url *a, const struct redis_url *b)
{
    assert(same_word(a->user, b->user) && same_word(a->password, b->password));
    assert(same_word(a->master, b->master));
    assert(a->tls == b->tls && a->db == b->db && a->nhosts == b->nhosts);
    for (size_t i = 0; i < a->nhosts; i++)
        assert(same_word(a->hosts[i].name, b->hosts[i].name) &&
               a->hosts[i].port == b->hosts[i].port);
}

static void check_url(const struct redis_url *u)
{
    struct redis_url again;
    assert(u->nhosts >= 1 && u->nhosts <= (u->master ? (size_t)SENTINELS_MAX : 1));
    assert(u->db <= 999999 && (!u->tls || REDIS_TLS_BUILT) && (!u->master || *u->master));
    for (size_t i = 0; i < u->nhosts; i++)
        assert(*u->hosts[i].name && u->hosts[i].port);
    struct buf *out = rewrite(u);
    const char *wrong = redis_url_parse(&again, buf_str(out).p);
    assert(!wrong);
    check_same(u, &again);
    redis_url_done(&again);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *url = mem_strndup((const char *)data, size); /* up to its first NUL */
    struct redis_url u;
    const char *wrong = redis_url_parse(&u, url);
    assert(redis_url_check(url) == wrong);
    if (wrong) {
        assert(*wrong && !strchr(wrong, '\n'));
    } else {
        check_url(&u);
        redis_url_done(&u);
    }
    free(url);
    return 0;
}
