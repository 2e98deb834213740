# SPDX-License-Identifier: MIT
"""Many clients that each stay within their own bounds and take much in sum: halves of requests and
messages, frames that nobody reads. Who takes much gives way, who takes little is served."""

import time

import pytest

from cluster import wait_until
from hostile import MASK, MIB, clients, resident, sanitized
from hostile import gateway, witness  # noqa: F401 (fixtures)
from prometheus import metrics_of
from rawws import CONTINUATION, PING, TEXT, RawConn, RawWS, build_frame, build_request

HALF = b"x" * 250_000
HTTP_KEPT, WS_KEPT = 64 * MIB, 192 * MIB  # HTTP_KEPT_BYTES_MAX, WS_KEPT_BYTES_MAX
OFFER = [("Sec-WebSocket-Extensions", "permessage-deflate")]


def slack():
    """What else it may have grown by; a sanitizer keeps freed memory for a while."""
    return (96 if sanitized() else 32) * MIB


def push(conns, data, until=lambda: False):
    """Sends data to each, as much as it takes, until all has gone, or nothing more goes."""
    left = dict.fromkeys(conns, memoryview(data))
    moved = time.monotonic()
    for conn in conns:
        conn.sock.setblocking(False)
    while left and time.monotonic() - moved < 5 and not until():
        for conn, rest in list(left.items()):
            try:
                left[conn] = rest = rest[conn.sock.send(rest[:65536]):]
                moved = time.monotonic()
            except BlockingIOError:
                continue
            except OSError:
                rest = b""
            if not rest:
                del left[conn]
    for conn in conns:
        conn.sock.settimeout(conn.timeout)


def closed(gateway):
    return metrics_of(gateway)("chat_closes_total", code="1013", by="gateway")


class Peak:
    """The most that the gateway holds; asked for between other things, it needs no thread."""

    def __init__(self, gateway):
        self.gateway, self.before, self.most = gateway, resident(gateway), 0

    def __call__(self):
        self.most = max(self.most, resident(self.gateway))
        return False

    def grown(self):
        self()
        return self.most - self.before


def test_half_bodies(gateway, witness):
    """The earliest large ones are answered 503; a small one that was there before goes on."""
    body = b'{"username":"a","content":"slow but small"}'
    whole = build_request("POST", "/rooms/sums/messages", body)
    small = RawConn(gateway.port, timeout=30)
    small.send(whole[:-10])
    head = build_request("POST", "/messages", headers=[
        ("Content-Type", "application/json"), ("Content-Length", str(len(HALF) + 1))])
    conns = [RawConn(gateway.port, timeout=60) for _ in range(600)]
    peak = Peak(gateway)

    def refused():
        return metrics_of(gateway)("chat_http_responses_total", code="503")

    push(conns, head + HALF, peak)
    wait_until(lambda: peak() or refused() >= 300, 60, lambda: f"{refused()} were answered 503")
    assert peak.grown() < HTTP_KEPT + slack(), f"{peak.grown() / MIB:.0f} MiB"
    assert metrics_of(gateway)("chat_http_kept_bytes") < HTTP_KEPT + MIB
    witness.check()
    answer = conns[0].read_response()
    assert answer.status == 503 and answer.headers["retry-after"] == "1"
    assert answer.json() == {"detail": "Too much of other requests waits here"}
    assert conns[0].is_closed()
    assert refused() < 500
    conns[-1].send(b"x")  # it was let in, and is whole now
    assert conns[-1].read_response().status == 422
    small.send(whole[-10:])
    assert small.read_response().status == 201
    for conn in conns:
        conn.drop()
    wait_until(lambda: metrics_of(gateway)("chat_http_kept_bytes") == 0)


@pytest.mark.parametrize("packed", [False, True])
def test_half_messages(gateway, witness, packed):
    """The earliest large ones are closed with 1013, plain or compressed; a second wave takes no
    more memory than the first one, and a small half that was there before goes on."""
    small = RawWS(gateway.port, "/rooms/sums/ws?history=0", timeout=30)
    small.send_frame(b'{"username":"a",', fin=False)
    half = build_frame(HALF, TEXT, fin=False, rsv=4 if packed else 0, mask=MASK)
    peak = Peak(gateway)
    for wave in (1, 2):
        conns = [RawWS(gateway.port, "/ws?history=0", OFFER if packed else (), timeout=60)
                 for _ in range(1200)]
        push(conns, half, peak)
        wait_until(lambda n=300 * wave: peak() or closed(gateway) >= n, 60)
        assert peak.grown() < WS_KEPT + slack(), f"{peak.grown() / MIB:.0f} MiB"
        assert metrics_of(gateway)("chat_ws_kept_bytes") < WS_KEPT + MIB
        witness.check()
        assert conns[0].read_close() == 1013
        for conn in conns:
            conn.drop()
        wait_until(lambda: clients(gateway) == 2, 60)
    small.send_frame(b'"content":"slow but small"}', CONTINUATION)
    assert small.read_json()["content"] == "slow but small"
    assert metrics_of(gateway)("chat_ws_kept_bytes") == 0


def test_pongs_that_nobody_reads(gateway, witness):
    """Who has not read for longest is closed; who reads is not."""
    pings = build_frame(b"\xff" * 125, PING, mask=MASK) * 40_000
    silent = [RawWS(gateway.port, "/ws?history=0", timeout=60, receive_buffer=4096)
              for _ in range(400)]
    peak = Peak(gateway)
    push(silent, pings, lambda: peak() or closed(gateway) >= 20)
    assert closed(gateway) >= 20
    assert peak.grown() < WS_KEPT + slack(), f"{peak.grown() / MIB:.0f} MiB"
    witness.check()
    for conn in silent:
        conn.drop()
    wait_until(lambda: clients(gateway) == 1, 60)
    wait_until(lambda: metrics_of(gateway)("chat_ws_kept_bytes") == 0)
