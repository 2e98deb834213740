# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2153,SC2154,SC1091
# Not a server: what the kernel alone charges when 64 sends are submitted together.
peer_needs() { true; }

peer_start() {
    spawn "$BUILD/chat-floor" "$PORT" io_uring
    wait_port "$PORT"
}
