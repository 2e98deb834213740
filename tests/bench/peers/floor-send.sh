# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2153,SC2154,SC1091
# Not a server: what the kernel alone charges, with one send() for each client and turn.
peer_needs() { true; }

peer_start() {
    spawn "$BUILD/chat-floor" "$PORT" send
    wait_port "$PORT"
}
