/* SPDX-License-Identifier: MIT */
/* See fanout.h. A batch times at most as many rooms as it has jobs; a room beyond that, whose
 * clients needed none, is left out. */
#include "gateway/fanout.h"

#include <time.h>

#include "common/message.h"

void fanout_begin(struct fanout *f, struct str json, struct str room, uint32_t clients)
{
    if (f->left == 0 && clients && message_peek_time(json, room, &f->created_ms))
        f->left = clients;
}

void fanout_visited(struct fanout *f, struct fanout_times *times, uint32_t clients)
{
    if (!f->left)
        return;
    if (f->left > clients) {
        f->left -= clients;
        return;
    }
    if (times->count < BATCH_JOBS)
        times->created_ms[times->count++] = f->created_ms;
    f->left = 0;
}

void fanout_recount(struct fanout *f, uint32_t clients)
{
    if (f->left)
        f->left = clients;
}

void fanout_written(struct fanout_times *times)
{
    struct timespec now;
    if (!times->count)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    for (size_t i = 0; i < times->count; i++) {
        uint64_t created_us = times->created_ms[i] * 1000;
        histogram_add(&times->seconds, now_us > created_us ? now_us - created_us : 0);
    }
    times->count = 0;
}
