/* SPDX-License-Identifier: MIT */
/*
 * Addresses of peers and networks of them. An address is 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 4291
 * section 2.5.5.2), so that there is one kind. Pure.
 */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <stdint.h>

#include "common/str.h"

struct sockaddr;

enum {
    ADDRESS_BYTES = 16,
    ADDRESS_TEXT_BYTES = 46, /* INET6_ADDRSTRLEN */
    NETWORKS_MAX = 64,
};

struct address {
    uint8_t bytes[ADDRESS_BYTES];
};

struct network {
    struct address address;
    unsigned bits; /* of its prefix, of 128 */
};

struct networks {
    size_t count;
    struct network at[NETWORKS_MAX];
};

/* Of a peer; all zeros (::) when the family is neither IPv4 nor IPv6. */
struct address address_of(const struct sockaddr *from);

/* Reads 192.0.2.1, 2001:db8::1, [2001:db8::1], each also with :port where that is no doubt. */
bool address_read(struct address *to, struct str text);

/* Writes it as one usually does: 192.0.2.1 or 2001:db8::1. */
void address_write(char text[ADDRESS_TEXT_BYTES], const struct address *address);

bool address_is_v4(const struct address *a);
bool address_eq(const struct address *a, const struct address *b);

/* Reads a list of networks (10.0.0.0/8, 2001:db8::/32) or addresses, parted by commas; an empty
 * text is the empty list. */
bool networks_read(struct networks *to, const char *text);
bool networks_have(const struct networks *n, const struct address *a);

/* Who is behind a request: the peer itself, unless it is one of the trusted proxies; then the last
 * address in X-Forwarded-For that is not one of them, for what stands further left is the claim of
 * a stranger. A list that cannot be read ends there. forwarded may be empty. */
struct address address_behind(const struct address *peer, const struct networks *trusted,
                              struct str forwarded);

#endif
