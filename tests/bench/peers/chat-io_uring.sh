# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2153,SC2154,SC1091
# This chat, writing through io_uring.
. "$PEERS/chat-sendmsg.sh"

peer_start() { chat_start io_uring; }
