# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2153,SC2154,SC1091
# The same chat as many write it: node with express, ws and ioredis, history in a Redis list (npm).
POST=(--post /messages) GET='/messages?limit=50'

peer_needs() { command -v node >/dev/null && command -v npm >/dev/null && command -v redis-server >/dev/null; }

peer_start() {
    npm_install express@4 ioredis@5 ws@8 || return 1
    cp "$PEERS/ws-redis.js" "$WORK/npm-$name/server.js"
    spawn_redis $((PORT + 2)) no || return 1
    spawn env PORT="$PORT" REDIS_PORT=$((PORT + 2)) node "$WORK/npm-$name/server.js"
    wait_port "$PORT"
}
