/* SPDX-License-Identifier: MIT */
/* What a server says of itself by INFO, and whether it is one that we can work with. Pure. */
#ifndef COMMON_REDIS_INFO_H
#define COMMON_REDIS_INFO_H

#include "common/str.h"

/* Empty where the server does not tell. */
struct redis_info {
    char role[16];
    char replid[48]; /* master_replid */
    char run_id[48];
    char version[32]; /* redis_version */
    char policy[32];  /* maxmemory_policy */
    char mode[16];    /* redis_mode: standalone, sentinel or cluster */
};

void redis_info_read(struct redis_info *info, struct str text);

/* Writes why it is refused, one line; false: it is right. */
bool redis_info_refused(const struct redis_info *info, char *why, size_t size);

/* A node of a Redis Cluster: its role is not looked at, since it names the right one by itself. */
bool redis_info_is_cluster(const struct redis_info *info);

/* Are they of the same process with the same history? */
bool redis_info_same(const struct redis_info *a, const struct redis_info *b);

#endif
