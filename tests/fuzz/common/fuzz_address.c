/* SPDX-License-Identifier: MIT */
/*
 * Who is behind a request; the input is `peer LF trusted networks LF X-Forwarded-For`. Properties:
 * an address written and read again is the same; a network has itself and agrees with one bit after
 * the other; the address behind a peer is the peer's unless it is trusted, and else one of the
 * list, to whose right only trusted ones stand.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "common/address.h"
#include "tests/fuzz/fuzz.h"

static void check_address(const struct address *a)
{
    char text[ADDRESS_TEXT_BYTES];
    struct address again;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr other = {.sa_family = AF_UNIX};
    address_write(text, a);
    bool read = address_read(&again, str_of(text));
    assert(read && address_eq(a, &again) && address_is_v4(a) == !strchr(text, ':'));
    memcpy(&v6.sin6_addr, a->bytes, ADDRESS_BYTES);
    again = address_of((const struct sockaddr *)&v6);
    assert(address_eq(a, &again));
    memcpy(&v4.sin_addr, a->bytes + 12, 4);
    again = address_of((const struct sockaddr *)&v4);
    assert(address_is_v4(&again) && address_eq(a, &again) == address_is_v4(a));
    again = address_of(&other);
    address_write(text, &again);
    assert(strcmp(text, "::") == 0);
}

/* One bit after the other. */
static bool network_has(const struct network *n, const struct address *a)
{
    for (unsigned bit = 0; bit < n->bits; bit++)
        if ((n->address.bytes[bit / 8] ^ a->bytes[bit / 8]) & (0x80u >> bit % 8))
            return false;
    return true;
}

static void check_networks(const struct networks *n, const struct address *a)
{
    bool expected = false;
    assert(n->count <= NETWORKS_MAX);
    for (size_t i = 0; i < n->count; i++) {
        assert(n->at[i].bits <= 128 && networks_have(n, &n->at[i].address));
        expected = expected || network_has(&n->at[i], a);
    }
    assert(networks_have(n, a) == expected);
}

static struct str trim(struct str s)
{
    while (s.len && (*s.p == ' ' || *s.p == '\t'))
        s.p++, s.len--;
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Read from the left: whoever stands there is forgotten when somebody untrusted, or nobody, stands
 * further right. */
static struct address behind(const struct address *peer, const struct networks *trusted,
                             struct str list)
{
    struct address found = *peer, next;
    bool known = false; /* found is in the list, and all to its right are trusted so far */
    while (list.len) {
        bool last = !memchr(list.p, ',', list.len), comma = list.p[list.len - 1] == ',';
        bool read = address_read(&next, trim(fuzz_until(&list, ',')));
        if (!read)
            known = false;
        else if (!known || !networks_have(trusted, &next))
            found = next, known = true;
        if (!last && !list.len && comma) /* the empty one behind the last comma */
            known = false;
    }
    return known && networks_have(trusted, peer) ? found : *peer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = fuzz_str(data, size), text = fuzz_until(&rest, '\n');
    struct str list = fuzz_until(&rest, '\n');
    struct address peer = {{0}};
    struct networks trusted;
    char *first = fuzz_copy(text), *networks = mem_strndup(list.p, list.len);
    char *forwarded = fuzz_copy(rest);
    if (address_read(&peer, (struct str){first, text.len}))
        check_address(&peer);
    if (!networks_read(&trusted, networks))
        trusted.count = 0;
    check_networks(&trusted, &peer);
    struct str headers = {forwarded, rest.len};
    struct address found = address_behind(&peer, &trusted, headers);
    struct address expected = behind(&peer, &trusted, headers);
    assert(address_eq(&found, &expected));
    check_networks(&trusted, &found);
    free(first);
    free(networks);
    free(forwarded);
    return 0;
}
