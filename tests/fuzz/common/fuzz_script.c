/* SPDX-License-Identifier: MIT */
/*
 * Replies of the log's scripts, and the words on its channels. The input is a reply, one node a
 * line: `*3` an array of the next three, `:5` an integer, `-ERR` an error, `$text`, else nil. Its
 * first line is also a heartbeat, an announcement and a number. Properties: what is taken apart
 * lies inside the reply and keeps its bounds; numbers written again are read the same.
 */
#include <inttypes.h>

#include "common/script.h"
#include "tests/fuzz/fuzz.h"

enum {
    NODES_MAX = 2048,
    DEPTH_MAX = 4,
};

struct tree {
    struct reply nodes[NODES_MAX];
    size_t used;
};

/* Reads one node and what belongs to it into *to. */
static void node_read(struct tree *t, struct reply *to, struct str *text, int depth)
{
    struct str line = fuzz_until(text, '\n');
    char kind = line.len ? *line.p : 0;
    uint64_t n = 0;
    line = kind ? (struct str){line.p + 1, line.len - 1} : line;
    *to = (struct reply){.type = REPLY_NIL};
    if (kind == '$' || kind == '-') {
        to->type = kind == '$' ? REPLY_STRING : REPLY_ERROR;
        to->str = line;
    } else if (kind == ':') {
        bool negative = line.len && *line.p == '-';
        line = negative ? (struct str){line.p + 1, line.len - 1} : line;
        to->type = REPLY_INTEGER;
        to->integer = digits_read(line, &n) ? (negative ? -(int64_t)n : (int64_t)n) : 0;
    } else if (kind == '*' && depth < DEPTH_MAX && digits_read(line, &n) &&
               n <= NODES_MAX - t->used) {
        struct reply *at = &t->nodes[t->used];
        t->used += (size_t)n;
        *to = (struct reply){.type = REPLY_ARRAY, .n = (size_t)n, .at = at};
        for (size_t i = 0; i < n; i++)
            node_read(t, &at[i], text, depth + 1);
    }
}

static bool is_inside(struct str s, struct str outer)
{
    return s.len == 0 || (s.p >= outer.p && s.p + s.len <= outer.p + outer.len);
}

static void check_page(const struct reply *reply, struct str text)
{
    struct page p;
    if (!page_read(&p, reply))
        return;
    const uint64_t most = (uint64_t)1 << 53;
    assert(p.count <= PAGE_ENTRIES && (!p.full || p.count));
    assert(p.exists == (p.token.len > 0) && (!p.open || (p.exists && str_eq(p.token, p.here))));
    assert(p.opening <= most && p.seq <= most && p.lease <= most && p.prev <= most);
    assert(p.from <= most && p.base <= most && p.stored <= most && p.high <= most);
    assert(p.ts <= most && p.top <= most);
    assert(is_inside(p.token, text) && is_inside(p.owner, text) && is_inside(p.here, text));
    for (size_t i = 0; i < p.count; i++) {
        const struct entry *e = &p.entries[i];
        assert(e->id <= most && is_inside(e->json, text) && is_inside(e->origin, text));
        assert(is_inside(e->key, text) && is_inside(e->value, text));
    }
}

static void check_reply(const struct reply *r)
{
    uint64_t n = 0;
    if (reply_u64(r, &n))
        assert(n <= INT64_MAX && (r->type == REPLY_INTEGER || r->type == REPLY_STRING));
    assert(!reply_is_error(r, "LOG") || r->type == REPLY_ERROR);
    assert(r->type == REPLY_STRING ? reply_str(r).p == r->str.p : reply_str(r).len == 0);
    for (size_t i = 0; i < r->n; i++)
        check_reply(&r->at[i]);
}

static void check_payload(struct str line)
{
    struct beat b, again_b;
    uint64_t n, opening, stored, again[2];
    struct buf *out = NULL;
    if (digits_read(line, &n))
        assert(n <= (uint64_t)1 << 53 && line.len <= 16 && line.len >= 1);
    if (beat_read(&b, line)) {
        buf_printf(&out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, b.opening, b.seq, b.stored,
                   b.base);
        bool read = beat_read(&again_b, buf_str(out));
        assert(read && memcmp(&b, &again_b, sizeof b) == 0 && buf_len(out) <= line.len);
        assert(!control_read(line, &opening, &stored) && line.p[line.len - 1] != ' ');
    }
    buf_free(&out);
    if (control_read(line, &opening, &stored)) {
        buf_printf(&out, "%" PRIu64 " %" PRIu64, opening, stored);
        bool read = control_read(buf_str(out), &again[0], &again[1]);
        assert(read && again[0] == opening && again[1] == stored);
        assert(line.p[line.len - 1] != ' ');
    }
    buf_free(&out);
}

/* What is asked of a script. */
static void check_words(uint64_t id, unsigned count)
{
    struct log_names names;
    struct page_words w;
    uint64_t again;
    char boot[17];
    boot_id_make(boot);
    assert(strspn(boot, "0123456789abcdef") == 16 && !boot[16]);
    log_names_init(&names, "a.b:c", boot);
    assert(strcmp(names.state, "{a.b:c}:state") == 0 && strstr(names.beat, boot));
    for (int back = 0; back < 2; back++) {
        page_words_make(&w, &names, id, count, back);
        assert(w.n == PAGE_WORDS_MAX - !back && str_eq(w.at[0], str_of(names.state)));
        assert(str_eq(w.at[1], str_of(names.log)) && (!back || str_eq(w.at[w.n - 1], STR("back"))));
        bool read = digits_read(w.at[2], &again);
        assert(read && again == id);
        read = digits_read(w.at[3], &again);
        assert(read && again == count);
    }
    log_names_done(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tree tree;
    char *copy = fuzz_copy(fuzz_str(data, size));
    struct str text = {copy, size}, left = text, rest = text, line = fuzz_until(&rest, '\n');
    struct reply root;
    tree.used = 0;
    node_read(&tree, &root, &left, 0);
    check_page(&root, text);
    check_reply(&root);
    struct fuzz_random random = fuzz_seed(text);
    check_words(fuzz_below(&random, (size_t)1 << 53),
                1 + (unsigned)fuzz_below(&random, PAGE_ENTRIES));
    char *first = fuzz_copy(line);
    check_payload((struct str){first, line.len});
    free(first);
    free(copy);
    return 0;
}
