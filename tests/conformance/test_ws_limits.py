# SPDX-License-Identifier: MIT
"""Autobahn's section 9: large messages, many fragments, many messages; and the bounds beyond which
a message is refused, at once from what its header declares."""

import struct
import time

import pytest
from rawws import BINARY, CLOSE, CONTINUATION, PING, TEXT, RawWS, build_frame
from wire import Echoed, failed

MIB = 1 << 20
MASK = bytes(4)


@pytest.fixture
def ws(echo):
    with Echoed(echo) as ws:
        yield ws


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [65536, MIB, 4 * MIB, 16 * MIB])
def test_9_large(ws, opcode, size):
    payload = (b"*" if opcode == TEXT else b"\xfe") * size
    ws.send_frame(payload, opcode)
    ws.hears(payload, opcode)
    ws.ends()


@pytest.mark.parametrize("size", [64, 256, 4096, 65536, MIB])
def test_9_fragments_of_four_mebibytes(ws, size):
    """Down to 65,536 fragments of 64 bytes."""
    count, piece = 4 * MIB // size, b"*" * size
    ws.send(build_frame(piece, TEXT, fin=False, mask=MASK) +
            build_frame(piece, CONTINUATION, fin=False, mask=MASK) * (count - 2) +
            build_frame(piece, CONTINUATION, mask=MASK))
    ws.hears(piece * count)
    ws.ends()


@pytest.mark.parametrize("size", [64, 1024])
def test_9_chopped(ws, size):
    """One frame in many small writes."""
    payload = b"*" * MIB
    frame = build_frame(payload)
    for at in range(0, len(frame), size):
        ws.send(frame[at:at + size])
    ws.hears(payload)
    ws.ends()


@pytest.mark.parametrize("size", [0, 16, 64, 256, 1024, 4096])
def test_9_a_thousand_messages(ws, size):
    payload = b"*" * size
    ws.send(build_frame(payload, mask=MASK) * 1000)
    for _ in range(1000):
        ws.hears(payload)
    ws.ends()


def test_9_empty_fragments(ws):
    """65,536 of them are one message."""
    ws.send(build_frame(b"", TEXT, fin=False, mask=MASK) +
            build_frame(b"", CONTINUATION, fin=False, mask=MASK) * 65536 +
            build_frame("end", CONTINUATION, mask=MASK))
    ws.hears("end")
    ws.ends()


def test_9_beyond_the_bound(ws):
    ws.send_frame(b"", declared_length=16 * MIB + 1)
    failed(ws, 1009)


def test_9_fragments_beyond_the_bound(ws):
    ws.send(build_frame(b"*" * 16 * MIB, fin=False, mask=MASK))
    ws.send_frame(b"", CONTINUATION, declared_length=1)
    failed(ws, 1009)


def test_9_declared_is_not_allocated(echo):
    """100 clients declare the largest message and send none of it."""
    before = resident_bytes(echo.popen.pid)
    clients = [Echoed(echo) for _ in range(100)]
    for client in clients:
        client.send_frame(b"", declared_length=16 * MIB)
        client.send(b"*")
    time.sleep(0.2)
    assert resident_bytes(echo.popen.pid) - before < 64 * MIB
    for client in clients:
        client.drop()


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


# --- the gateway's bounds -------------------------------------------------------------------------


@pytest.fixture
def client(gateway):
    with RawWS(gateway.port, "/rooms/limits/ws?history=0", timeout=30) as ws:
        yield ws


def test_gateway_message_up_to_the_bound(client):
    text = b'{"username":"a","content":"b"}'
    client.send_frame(text + b" " * (262144 - len(text)))
    assert client.read_json()["content"] == "b"


@pytest.mark.parametrize("frames", [
    build_frame(b"", declared_length=262145), build_frame(b"", declared_length=1 << 62),
    build_frame(b" " * 262144, fin=False) + build_frame(b"", CONTINUATION, declared_length=1)])
def test_gateway_message_beyond_the_bound(client, frames):
    client.send(frames)
    assert client.read_close() == 1009


def test_gateway_many_tiny_fragments(client):
    text = b'{"username":"a","content":"' + b"b" * 4000 + b'"}'
    client.send(build_frame(text[:1], fin=False, mask=MASK) +
                b"".join(build_frame(text[n:n + 1], CONTINUATION, fin=False, mask=MASK)
                         for n in range(1, len(text))) +
                build_frame(b"", CONTINUATION, fin=False, mask=MASK) * 20000 +
                build_frame(b"", CONTINUATION, mask=MASK))
    assert client.read_json()["content"] == "b" * 4000


def test_gateway_ping_flood(client):
    """Pings whose pongs are not read: it stops reading, and later all are there."""
    ping, count = build_frame(b"\xff" * 125, PING, mask=MASK), 30000
    client.sock.setblocking(False)
    flood, sent, deadline = ping * count, 0, time.monotonic() + 2
    while sent < len(flood) and time.monotonic() < deadline:
        try:
            sent += client.sock.send(flood[sent:sent + 65536])
        except BlockingIOError:
            time.sleep(0.01)
    whole, client.timeout = sent // len(ping), 30
    for _ in range(whole):
        assert client.read_frame().payload == b"\xff" * 125
    client.sock.settimeout(30)
    client.send(flood[sent:sent + -sent % len(ping)])
    if sent % len(ping):
        client.read_frame()
    client.send_frame(struct.pack("!H", 1000), CLOSE)
    assert client.read_close() == 1000
