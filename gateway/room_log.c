/* SPDX-License-Identifier: MIT */
/*
 * The room's log; see room_log.h for the picture.
 *
 * Chunks start at CHUNK_MIN bytes and double up to CHUNK_MAX, so that a quiet room is small and a
 * busy one has few pieces. Inside a chunk the frames grow upwards and their marks downwards, until
 * they meet. Positions never go back: where void messages are cut off, the next chunk starts at the
 * old end, and room_log_advance steps over the hole.
 */
#include "gateway/room_log.h"

#include <assert.h>
#include <stdlib.h>

#include "common/mem.h"
#include "gateway/websocket.h"

enum {
    CHUNK_MIN = 512, /* bytes of a room's first chunk, its header included */
    CHUNK_MAX = 65536,
};

struct mark {
    uint64_t id;
    uint32_t at, len; /* where in the chunk the frame starts, and its length with its header */
};

struct chunk {
    struct chunk *prev, *next;
    uint64_t start;      /* stream position of bytes[0] */
    uint32_t used, size; /* bytes of frames; of bytes[] */
    uint32_t frames;     /* marks, growing down from the end of bytes[] */
    char bytes[] __attribute__((aligned(8)));
};

static struct mark *mark_of(const struct chunk *k, uint32_t i)
{
    return (struct mark *)(void *)((char *)(uintptr_t)k->bytes + k->size) - 1 - i;
}

static uint64_t chunk_stop(const struct chunk *k)
{
    return k->start + k->used;
}

void room_log_reset(struct room_log *l, uint64_t reach)
{
    for (struct chunk *k = l->oldest, *next; k; k = next) {
        next = k->next;
        free(k);
    }
    *l = (struct room_log){.reach = reach};
}

static bool chunk_fits(const struct chunk *k, size_t frame_len)
{
    return k && k->used + frame_len + (k->frames + 1) * sizeof(struct mark) <= k->size;
}

static struct chunk *chunk_add(struct room_log *l, size_t need)
{
    size_t total = l->newest ? 2 * (l->newest->size + sizeof *l->newest) : CHUNK_MIN;
    if (total > CHUNK_MAX)
        total = CHUNK_MAX;
    if (total < sizeof(struct chunk) + need + sizeof(struct mark))
        total = (sizeof(struct chunk) + need + sizeof(struct mark) + 15) & ~(size_t)15;
    struct chunk *k = mem_alloc(total);
    *k = (struct chunk){.prev = l->newest, .start = l->end, .size = (uint32_t)(total - sizeof *k)};
    if (l->newest)
        l->newest->next = k;
    else
        l->oldest = k;
    l->newest = k;
    return k;
}

static bool append(struct room_log *l, uint64_t id, const char *header, size_t head,
                   struct str payload)
{
    assert(id > l->last);
    size_t len = head + payload.len;
    struct chunk *k = l->newest;
    bool grew = !chunk_fits(k, len);
    if (grew)
        k = chunk_add(l, len);
    memcpy(k->bytes + k->used, header, head);
    memcpy(k->bytes + k->used + head, payload.p, payload.len);
    *mark_of(k, k->frames++) = (struct mark){id, k->used, (uint32_t)len};
    k->used += (uint32_t)len;
    l->end += len;
    l->frames++;
    l->last = id;
    return grew;
}

bool room_log_append(struct room_log *l, uint64_t id, struct str json)
{
    char header[WS_HEADER_MAX];
    size_t head = ws_header_write(header, WS_TEXT, json.len);
    return append(l, id, header, head, json);
}

bool room_log_append_packed(struct room_log *l, uint64_t id, struct str payload)
{
    char header[WS_HEADER_MAX];
    size_t head = ws_header_write_packed(header, WS_TEXT, payload.len);
    return append(l, id, header, head, payload);
}

void room_log_trim(struct room_log *l, uint64_t low, uint64_t keep)
{
    while (l->oldest != l->newest && l->oldest->next->start <= low &&
           l->frames - l->oldest->frames >= keep) {
        struct chunk *k = l->oldest;
        if (k->frames)
            l->reach = mark_of(k, k->frames - 1)->id;
        l->frames -= k->frames;
        l->oldest = k->next;
        l->oldest->prev = NULL;
        free(k);
    }
}

size_t room_log_cut(struct room_log *l, uint64_t prev)
{
    size_t cut = 0;
    for (struct chunk *k = l->newest; k; k = k->prev)
        for (; k->frames && mark_of(k, k->frames - 1)->id > prev; cut++)
            k->used = mark_of(k, --k->frames)->at;
    if (cut) {
        l->frames -= cut;
        chunk_add(l, 0);
    }
    return cut;
}

/* The chunk that holds a position; for the end, the newest. Nearly always the newest. */
static struct chunk *chunk_at(const struct room_log *l, uint64_t pos)
{
    struct chunk *k = l->newest;
    while (k->start > pos && k->prev)
        k = k->prev;
    return k;
}

/* The first mark of a chunk whose frame starts at or behind `at`, or whose id is above `id`. */
static uint32_t mark_find(const struct chunk *k, bool by_id, uint64_t wanted)
{
    uint32_t low = 0, high = k->frames;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        const struct mark *m = mark_of(k, mid);
        if (by_id ? m->id <= wanted : m->at < wanted)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* A place between two frames. */
struct place {
    const struct chunk *k; /* NULL: before everything, in an empty log */
    uint32_t i;            /* the mark of the frame behind it; k->frames at the end of a chunk */
};

/* The place before the first frame with a higher id. */
static struct place place_after(const struct room_log *l, uint64_t id)
{
    const struct chunk *k = l->newest;
    while (k && k->prev && (!k->frames || mark_of(k, 0)->id > id))
        k = k->prev;
    return (struct place){k, k ? mark_find(k, true, id) : 0};
}

/* The place n frames further back, or the oldest. */
static struct place place_back(struct place p, uint64_t n)
{
    while (p.k && n > p.i && p.k->prev) {
        n -= p.i;
        p.k = p.k->prev;
        p.i = p.k->frames;
    }
    p.i -= n < p.i ? (uint32_t)n : p.i;
    return p;
}

/* Steps over ends of chunks to the next frame; false when there is none. */
static bool place_frame(struct place *p)
{
    while (p->k && p->i >= p->k->frames) {
        if (!p->k->next)
            return false;
        *p = (struct place){p->k->next, 0};
    }
    return p->k != NULL;
}

static uint64_t place_pos(const struct room_log *l, struct place p)
{
    return place_frame(&p) ? p.k->start + mark_of(p.k, p.i)->at : l->end;
}

static struct place place_end(const struct room_log *l)
{
    return (struct place){l->newest, l->newest ? l->newest->frames : 0};
}

/* The place before the first frame that starts at or behind a position. */
static struct place place_at(const struct room_log *l, uint64_t pos)
{
    const struct chunk *k = l->newest ? chunk_at(l, pos) : NULL;
    return (struct place){k, k && pos > k->start ? mark_find(k, false, pos - k->start) : 0};
}

static struct place place_later(const struct room_log *l, struct place a, struct place b)
{
    return place_pos(l, a) < place_pos(l, b) ? b : a;
}

static struct place place_earlier(const struct room_log *l, struct place a, struct place b)
{
    return place_pos(l, a) < place_pos(l, b) ? a : b;
}

uint64_t room_log_back(const struct room_log *l, uint64_t n)
{
    return place_pos(l, place_back(place_end(l), n));
}

uint64_t room_log_after(const struct room_log *l, uint64_t id)
{
    return place_pos(l, place_after(l, id));
}

uint64_t room_log_id_before(const struct room_log *l, uint64_t pos)
{
    if (!l->newest)
        return 0;
    const struct chunk *k = chunk_at(l, pos);
    struct place p = {k, mark_find(k, false, pos - k->start)};
    while (p.k->prev && p.i == 0)
        p = (struct place){p.k->prev, p.k->prev->frames};
    return p.i ? mark_of(p.k, p.i - 1)->id : 0;
}

uint64_t room_log_boundary(const struct room_log *l, uint64_t pos)
{
    if (pos == l->end)
        return pos;
    const struct chunk *k = chunk_at(l, pos);
    uint32_t i = mark_find(k, false, pos - k->start);
    return i < k->frames ? k->start + mark_of(k, i)->at : chunk_stop(k);
}

uint64_t room_log_advance(const struct room_log *l, uint64_t pos, uint64_t n)
{
    if (!n)
        return pos;
    const struct chunk *k = chunk_at(l, pos);
    while (k->next && n >= chunk_stop(k) - pos) {
        n -= chunk_stop(k) - pos;
        k = k->next;
        pos = k->start;
    }
    return pos + n;
}

size_t room_log_iovecs(const struct room_log *l, uint64_t pos, uint64_t stop, struct iovec *iov,
                       size_t max, size_t *used)
{
    size_t bytes = 0;
    *used = 0;
    if (pos >= stop)
        return 0;
    for (struct chunk *k = chunk_at(l, pos); k && k->start < stop && *used < max; k = k->next) {
        uint64_t from = pos > k->start ? pos : k->start;
        uint64_t to = chunk_stop(k) < stop ? chunk_stop(k) : stop;
        if (from >= to)
            continue;
        iov[(*used)++] = (struct iovec){k->bytes + (from - k->start), (size_t)(to - from)};
        bytes += (size_t)(to - from);
    }
    return bytes;
}

/* The frames between two bounds, at most limit from the one side or the other. */
struct range {
    struct place first;
    size_t count;
    bool cut; /* by the bytes */
};

static struct range range_find(const struct room_log *l, uint64_t after, uint64_t before,
                               size_t limit, size_t bytes, bool newest)
{
    struct range r = {.first = place_after(l, after)};
    struct place stop = before ? place_after(l, before - 1) : place_end(l);
    uint64_t end = place_pos(l, stop), low = place_pos(l, r.first), last;
    if (newest) {
        struct place back = place_back(stop, limit), one = place_back(stop, limit ? 1 : 0);
        r.first = place_later(l, r.first, back);
        back = place_earlier(l, place_at(l, end > bytes ? end - bytes : 0), one);
        r.cut = place_pos(l, r.first) < place_pos(l, back);
        r.first = place_later(l, r.first, back);
        low = place_pos(l, r.first);
    }
    for (struct place p = r.first; r.count < limit && place_frame(&p); p.i++, r.count++) {
        last = p.k->start + mark_of(p.k, p.i)->at + mark_of(p.k, p.i)->len;
        if (last > end)
            break;
        if (r.count && last - low > bytes) {
            r.cut = true;
            break;
        }
    }
    return r;
}

static struct room_page page_walk(struct range r, struct buf **out)
{
    struct room_page page = {.count = r.count, .cut = r.cut};
    struct place p = r.first;
    for (size_t n = 0; n < r.count && place_frame(&p); n++, p.i++) {
        const struct mark *m = mark_of(p.k, p.i);
        const char *frame = p.k->bytes + m->at;
        size_t head = ws_header_len(frame);
        if (n == 0)
            page.first = m->id;
        page.last = m->id;
        if (out && n)
            buf_add_char(out, ',');
        if (out)
            buf_add(out, frame + head, m->len - head);
    }
    return page;
}

struct room_page room_log_page(const struct room_log *l, uint64_t after, uint64_t before,
                               size_t limit, size_t bytes, bool newest, struct buf **out)
{
    return page_walk(range_find(l, after, before, limit, bytes, newest), out);
}

struct room_page room_log_look(const struct room_log *l, uint64_t after, uint64_t before,
                               size_t limit, bool newest)
{
    return page_walk(range_find(l, after, before, limit, SIZE_MAX, newest), NULL);
}
