# SPDX-License-Identifier: MIT
"""permessage-deflate (RFC 7692) in the gateway: shared compression, plain history, hostile input."""

import asyncio
import json
import random
import zlib

import pytest
import websockets
from cluster import get, post, wait_until
from rawws import CLOSE, CONTINUATION, PING, TEXT, Closed, RawWS

OFFER = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
RSV1 = 4


@pytest.fixture
def gateway(make_cluster):
    return make_cluster(gateways=1).gateways[0]


def pack(data, last=False):
    if isinstance(data, str):
        data = data.encode()
    z = zlib.compressobj(wbits=-15)
    if last:  # a final block, RFC 7692 section 7.2.3.4
        return z.compress(data) + z.flush() + b"\0"
    return (z.compress(data) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]


def unpack(data):
    return zlib.decompressobj(wbits=-15).decompress(data + b"\0\0\xff\xff")


def read_chat(ws):
    """The next chat message: (compressed?, parsed)."""
    while True:
        frame = ws.read_frame()
        if frame.opcode == PING:
            continue
        assert frame.opcode == TEXT
        parsed = json.loads(unpack(frame.payload) if frame.rsv else frame.payload)
        if "id" in parsed:
            return bool(frame.rsv), parsed


def message(content, nonce=None):
    body = {"username": "Ana", "content": content}
    return json.dumps({**body, "nonce": nonce} if nonce else body)


def test_negotiation(gateway):
    with RawWS(gateway.port, "/ws", headers=[OFFER]) as ws:
        assert ws.response.headers["sec-websocket-extensions"] == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    wrong = ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=10")
    with RawWS(gateway.port, "/ws", headers=[wrong]) as ws:
        assert "sec-websocket-extensions" not in ws.response.headers
    with RawWS(gateway.port, "/ws", headers=[wrong, OFFER]) as ws:
        assert "sec-websocket-extensions" in ws.response.headers


def test_all_get_the_same(gateway):
    texts = ["short", "a" * 4000, "¡Hola! " * 300, "".join(random.choices("0123456789abcdef", k=2000))]
    for text in texts:
        assert post(gateway, "Ana", text).status_code == 201
    with RawWS(gateway.port, "/ws", headers=[OFFER]) as packed, RawWS(gateway.port, "/ws") as plain:
        for text in texts:  # history is sent as it is
            assert read_chat(packed)[1]["content"] == read_chat(plain)[1]["content"] == text
        sizes = []
        for text in texts * 3:
            posted = post(gateway, "Ana", text).json()
            compressed, got = read_chat(packed)
            assert got == posted == read_chat(plain)[1]
            sizes.append((len(text), compressed))
        assert all(compressed == (length > 200) for length, compressed in sizes)


def test_shortest_that_is_compressed(gateway):
    """DEFLATE_MESSAGE_MIN: a live message of 256 bytes is, one of 255 is not."""
    without = len(post(gateway, "Ana", "x").content) - 1
    with RawWS(gateway.port, "/ws?history=0", headers=[OFFER]) as ws:
        for size in (255, 256, 255, 256):
            posted = post(gateway, "Ana", "x" * (size - without))
            assert len(posted.content) == size
            assert read_chat(ws) == (size == 256, posted.json())


def test_compressed_input(gateway):
    with RawWS(gateway.port, "/ws", headers=[OFFER]) as ws, RawWS(gateway.port, "/ws") as plain:
        ws.send_frame(pack(message("whole")), rsv=RSV1)
        data = pack(message("in pieces"))
        ws.send_frame(data[:5], rsv=RSV1, fin=False)
        for byte in data[5:-1]:
            ws.send_frame(bytes([byte]), CONTINUATION, fin=False)
        ws.send_frame(data[-1:], CONTINUATION)
        ws.send_frame(pack(message("last block"), last=True), rsv=RSV1)
        ws.send_frame(message("not compressed"))
        want = ["whole", "in pieces", "last block", "not compressed"]
        assert [read_chat(ws)[1]["content"] for _ in want] == want
        assert [read_chat(plain)[1]["content"] for _ in want] == want


@pytest.mark.parametrize("payload, code", [
    (b"\x07\x07\x07", 1007),
    (pack(b'{"username":"a","content":"\xff\xfe"}'), 1007),
    (pack(b" " * 50_000_000), 1009),
    (pack(b" " * 262_145), 1009),
], ids=["no stream", "no UTF-8", "bomb", "one byte too many"])
def test_hostile_input(gateway, payload, code):
    with RawWS(gateway.port, "/ws", headers=[OFFER]) as ws:
        ws.send_frame(payload, rsv=RSV1)
        frame = ws.read_frame()
        assert frame.opcode == CLOSE and frame.close_code == code
    assert post(gateway, "Ana", "still here").status_code == 201


def test_reserved_bits_stay_reserved(gateway):
    for rsv, opcode, offer in ((RSV1, TEXT, []), (2, TEXT, [OFFER]), (1, TEXT, [OFFER]),
                               (RSV1, 9, [OFFER])):
        with RawWS(gateway.port, "/ws", headers=offer) as ws:
            ws.send_frame(b"x", opcode, rsv=rsv)
            assert ws.read_frame().close_code == 1002
    with RawWS(gateway.port, "/ws", headers=[OFFER]) as ws:
        ws.send_frame(b"x", rsv=RSV1, fin=False)
        ws.send_frame(b"x", CONTINUATION, rsv=RSV1)
        assert ws.read_frame().close_code == 1002


def test_a_library_speaks_it(gateway):
    async def talk():
        url = f"ws://127.0.0.1:{gateway.port}/ws"
        async with websockets.connect(url) as a, websockets.connect(url, compression=None) as b:
            extensions = a.extensions if hasattr(a, "extensions") else a.protocol.extensions
            assert [type(e).__name__ for e in extensions] == ["PerMessageDeflate"]
            for i in range(100):
                await a.send(message(f"{i} " + "lorem ipsum " * (i % 40)))
                got = [json.loads(await asyncio.wait_for(ws.recv(), 20)) for ws in (a, b)]
                assert got[0] == got[1] and got[0]["id"] == i + 1

    asyncio.run(talk())


def test_slow_one_among_many(make_cluster):
    """Cursors in both logs, one that stops reading, and trims in between."""
    gateway = make_cluster(gateways=1, gateway_settings={
        "HISTORY_MESSAGES": 20, "LAG_BYTES": 65536, "WS_DEFLATE": "on"}).gateways[0]
    noise = random.Random(1)
    with RawWS(gateway.port, "/ws", headers=[OFFER], receive_buffer=4096) as slow, \
            RawWS(gateway.port, "/ws", headers=[OFFER]) as packed, RawWS(gateway.port, "/ws") as plain:
        for _ in range(40):
            for _ in range(20):
                plain.send_text(message("".join(noise.choices("0123456789abcdefghijklmnop", k=4000))))
            for _ in range(20):
                assert read_chat(packed)[1] == read_chat(plain)[1]
        ids, closed = [], None
        while closed is None:
            try:
                frame = slow.read_frame()
            except Closed:  # it read so late that the time for the close frame was over
                closed = 4008
                continue
            if frame.opcode == CLOSE:
                closed = frame.close_code
            elif frame.opcode == TEXT:
                ids.append(json.loads(unpack(frame.payload) if frame.rsv else frame.payload)["id"])
        assert closed == 4008
        assert ids == list(range(1, len(ids) + 1)) and len(ids) < 800
    wait_until(lambda: get(gateway), what="the gateway")


def test_switched_off(make_cluster):
    gateway = make_cluster(gateways=1, gateway_settings={"WS_DEFLATE": "off"}).gateways[0]
    with RawWS(gateway.port, "/ws", headers=[OFFER]) as ws:
        assert "sec-websocket-extensions" not in ws.response.headers
