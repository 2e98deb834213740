/* SPDX-License-Identifier: MIT */
/* Addresses and networks; see address.h. Reading is inet_pton(3)'s, which takes no shorthand. */
#include "common/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct address address_of(const struct sockaddr *from)
{
    struct address a = {{0}};
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)from;
        memcpy(a.bytes, mapped, sizeof mapped);
        memcpy(a.bytes + sizeof mapped, &in->sin_addr, 4);
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)from;
        memcpy(a.bytes, &in->sin6_addr, ADDRESS_BYTES);
    }
    return a;
}

bool address_is_v4(const struct address *a)
{
    return memcmp(a->bytes, mapped, sizeof mapped) == 0;
}

/* Without brackets and port. */
static bool plain_read(struct address *to, struct str text)
{
    char copy[ADDRESS_TEXT_BYTES];
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.p, 0, text.len))
        return false;
    memcpy(copy, text.p, text.len);
    copy[text.len] = 0;
    memcpy(to->bytes, mapped, sizeof mapped);
    return inet_pton(AF_INET, copy, to->bytes + sizeof mapped) == 1 ||
           inet_pton(AF_INET6, copy, to->bytes) == 1;
}

static bool is_port(struct str s)
{
    size_t digits = 0;
    while (digits < s.len && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    return digits > 0 && digits == s.len && digits <= 5;
}

bool address_read(struct address *to, struct str text)
{
    if (plain_read(to, text))
        return true;
    if (text.len && *text.p == '[') {
        const char *close = memchr(text.p, ']', text.len);
        if (!close)
            return false;
        struct str inside = {text.p + 1, (size_t)(close - text.p) - 1};
        struct str behind = {close + 1, text.len - inside.len - 2};
        bool port =
            behind.len && *behind.p == ':' && is_port((struct str){behind.p + 1, behind.len - 1});
        return (!behind.len || port) && plain_read(to, inside) && memchr(inside.p, ':', inside.len);
    }
    const char *colon = text.len ? memchr(text.p, ':', text.len) : NULL;
    if (!colon)
        return false;
    struct str host = {text.p, (size_t)(colon - text.p)};
    return is_port((struct str){colon + 1, text.len - host.len - 1}) && plain_read(to, host);
}

void address_write(char text[ADDRESS_TEXT_BYTES], const struct address *address)
{
    if (address_is_v4(address))
        inet_ntop(AF_INET, address->bytes + sizeof mapped, text, ADDRESS_TEXT_BYTES);
    else
        inet_ntop(AF_INET6, address->bytes, text, ADDRESS_TEXT_BYTES);
}

bool address_eq(const struct address *a, const struct address *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* A number of bits, without sign and leading zeros. */
static bool bits_read(unsigned *bits, struct str s)
{
    *bits = 0;
    if (s.len == 0 || s.len > 3 || (s.len > 1 && *s.p == '0'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        *bits = *bits * 10 + (unsigned)(s.p[i] - '0');
    }
    return true;
}

static bool network_read(struct network *to, struct str text)
{
    const char *slash = text.len ? memchr(text.p, '/', text.len) : NULL;
    size_t len = slash ? (size_t)(slash - text.p) : text.len;
    to->bits = 128;
    if (!plain_read(&to->address, (struct str){text.p, len}))
        return false;
    if (!slash)
        return true;
    bool v4 = !memchr(text.p, ':', len);
    if (!bits_read(&to->bits, (struct str){slash + 1, text.len - len - 1}))
        return false;
    to->bits += v4 ? 96 : 0;
    return to->bits <= 128;
}

bool networks_read(struct networks *to, const char *text)
{
    to->count = 0;
    struct str left = str_trim(str_of(text));
    while (left.len) {
        const char *comma = memchr(left.p, ',', left.len);
        size_t len = comma ? (size_t)(comma - left.p) : left.len;
        if (to->count == NETWORKS_MAX ||
            !network_read(&to->at[to->count++], str_trim((struct str){left.p, len})))
            return false;
        if (comma && len + 1 == left.len) /* nothing behind it */
            return false;
        len += comma ? 1 : 0;
        left = (struct str){left.p + len, left.len - len};
    }
    return true;
}

static bool network_has(const struct network *n, const struct address *a)
{
    size_t whole = n->bits / 8;
    unsigned rest = n->bits % 8, mask = 0xff00u >> rest & 0xff;
    return memcmp(n->address.bytes, a->bytes, whole) == 0 &&
           (!rest || ((n->address.bytes[whole] ^ a->bytes[whole]) & mask) == 0);
}

bool networks_have(const struct networks *n, const struct address *a)
{
    for (size_t i = 0; i < n->count; i++)
        if (network_has(&n->at[i], a))
            return true;
    return false;
}

struct address address_behind(const struct address *peer, const struct networks *trusted,
                              struct str forwarded)
{
    struct address found = *peer, next;
    while (forwarded.len && networks_have(trusted, &found)) {
        const char *comma = memrchr(forwarded.p, ',', forwarded.len);
        size_t start = comma ? (size_t)(comma - forwarded.p) + 1 : 0;
        struct str last = {forwarded.p + start, forwarded.len - start};
        if (!address_read(&next, str_trim(last)))
            break;
        found = next;
        forwarded.len = comma ? start - 1 : 0;
    }
    return found;
}
