# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2153,SC2154,SC1091
# nchan with its messages in Redis, as several of them need it.
. "$PEERS/nchan.sh"

peer_needs() { [ -x /usr/sbin/nginx ] && [ -f "$NCHAN_MODULE" ] && command -v redis-server >/dev/null; }

peer_start() {
    spawn_redis $((PORT + 2)) no || return 1
    nchan_start "upstream redis { nchan_redis_server redis://127.0.0.1:$((PORT + 2)); }" \
        'nchan_redis_pass redis; nchan_redis_storage_mode distributed;' || return 1
    sleep 2 # until then it answers 503
}
