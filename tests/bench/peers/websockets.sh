# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2153,SC2154,SC1091
# Python's websockets with its broadcast(): no Redis, no HTTP, no history (Debian: python3-websockets).
TEMPLATE='{"id":12345,"username":"bench","content":"%s","created_at":"2026-01-01T00:00:00.000Z","room":"lobby"}'

peer_needs() { /usr/bin/python3 -c 'import websockets' 2>/dev/null; }

peer_start() {
    spawn /usr/bin/python3 "$PEERS/broadcast.py" "$PORT"
    wait_port "$PORT"
}
