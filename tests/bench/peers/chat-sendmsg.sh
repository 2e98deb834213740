# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2153,SC2154,SC1091
# This chat: Redis with AOF everysec, the persister, one gateway.
POST=(--post /messages) GET='/messages?limit=50'

peer_needs() { command -v redis-server >/dev/null; }

chat_start() { # WRITE_WITH
    local persister=$((PORT + 1)) redis=$((PORT + 2)) tenths
    spawn_redis "$redis" yes || return 1
    spawn env LOG_LEVEL=warn HOST=127.0.0.1 PORT=$persister REDIS_URL="redis://127.0.0.1:$redis" \
        DATABASE_PATH="$RUN/chat.db" "$BUILD/chat-persister"
    spawn env LOG_LEVEL=warn HOST=127.0.0.1 PORT="$PORT" REDIS_URL="redis://127.0.0.1:$redis" \
        PERSISTER_URL="http://127.0.0.1:$persister" CONNS_MAX=20000 WRITE_WITH="$1" "$BUILD/chat-gateway"
    for ((tenths = 0; tenths < 100; tenths++)); do
        curl -sf --noproxy '*' -o /dev/null "http://127.0.0.1:$PORT/readyz" && return 0
        sleep 0.1
    done
    return 1
}

peer_start() { chat_start sendmsg; }
