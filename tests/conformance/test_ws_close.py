# SPDX-License-Identifier: MIT
"""RFC 6455 sections 5.5.1 and 7, Autobahn's section 7: how a connection ends."""

import struct

import pytest
from rawws import BINARY, CLOSE, CONTINUATION, PING, PONG, RawWS, build_frame
from wire import Echoed, failed


def payload(code, reason=b""):
    return struct.pack("!H", code) + reason


@pytest.fixture
def ws(echo):
    with Echoed(echo) as ws:
        yield ws


def closes(ws, code):
    """Its close frame with that code, nothing before and nothing behind it."""
    frame = ws.read_frame()
    assert (frame.opcode, frame.fin, frame.rsv) == (CLOSE, True, 0)
    assert frame.close_code == code
    assert ws.is_closed(10) and not ws.buffer


def test_7_1_message_then_close(ws):
    ws.send(build_frame("Hello") + build_frame(payload(1000), CLOSE))
    ws.hears("Hello")
    closes(ws, 1000)


@pytest.mark.parametrize("behind", [
    build_frame("ignored"), build_frame(b"\xff"), build_frame(b"ping", PING),
    build_frame(payload(1001), CLOSE), build_frame(b"", 15), build_frame(b"", masked=False),
    b"\0" * 200000])
def test_7_1_nothing_counts_behind_a_close(ws, behind):
    ws.send(build_frame(payload(1000), CLOSE) + behind)
    closes(ws, 1000)


def test_7_1_close_amid_a_message(ws):
    ws.send(build_frame("a", fin=False) + build_frame(payload(1000), CLOSE) +
            build_frame("b", CONTINUATION))
    closes(ws, 1000)


def test_7_1_large_message_then_close(ws):
    """All of the echo comes before the close."""
    text = b"*" * 262144
    ws.send(build_frame(text) + build_frame(payload(1000), CLOSE) + build_frame(b"", PING))
    ws.hears(text)
    closes(ws, 1000)


def test_7_3_empty_close(ws):
    ws.send_frame(b"", CLOSE)
    frame = ws.read_frame()
    assert frame.opcode == CLOSE and frame.close_code in (1000, 1005)
    assert ws.is_closed(10)


@pytest.mark.parametrize("reason", [b"", b"Hello World!", b"*" * 123, "κόσμε".encode()])
def test_7_3_reasons(ws, reason):
    ws.send_frame(payload(1000, reason), CLOSE)
    closes(ws, 1000)


@pytest.mark.parametrize("data", [b"a", b"\x03", payload(1000, b"*" * 124)])
def test_7_3_malformed(ws, data):
    ws.send_frame(data, CLOSE)
    closes(ws, 1002)


@pytest.mark.parametrize("reason", [b"\xff", b"\xed\xa0\x80", b"\xce\xba\xe1", b"ok\xc0\xaf"])
def test_7_5_reason_that_is_not_utf8(ws, reason):
    ws.send_frame(payload(1000, reason), CLOSE)
    closes(ws, 1007)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013,
                                  1014, 3000, 3999, 4000, 4999])
def test_7_7_valid_codes(ws, code):
    ws.send_frame(payload(code), CLOSE)
    closes(ws, code)


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000,
                                  32768, 65535])
@pytest.mark.parametrize("reason", [b"", b"reason"])
def test_7_9_invalid_codes(ws, code, reason):
    ws.send_frame(payload(code, reason), CLOSE)
    closes(ws, 1002)


@pytest.mark.parametrize("bits,code", [
    ({"payload": b"\xff"}, 1007), ({"payload": b"", "rsv": 4}, 1002),
    ({"payload": b"", "opcode": CONTINUATION}, 1002), ({"payload": b"a", "masked": False}, 1002),
    ({"payload": b"a", "opcode": CLOSE}, 1002), ({"payload": b"", "opcode": PING,
    "fin": False}, 1002)])
def test_7_13_failed_is_final(ws, bits, code):
    """After its failure no frame is answered any more."""
    ws.send(build_frame(**bits) + build_frame("ignored") + build_frame(b"ignored", PING))
    failed(ws, code)


# --- the gateway's own ends -----------------------------------------------------------------------


@pytest.fixture
def client(gateway):
    with RawWS(gateway.port, "/rooms/closing/ws?history=0") as ws:
        yield ws


def test_gateway_closing_handshake(client):
    client.send_frame(payload(4321, b"bye"), CLOSE)
    closes(client, 4321)


def test_gateway_takes_no_binary(client):
    client.send_frame(b"{}", BINARY)
    assert client.read_close() == 1003
    client.send_close(1003)
    assert client.is_closed(10)


def test_gateway_waits_for_no_end_of_a_binary(client):
    """What is refused anyhow is not collected first; the rest of it is dropped."""
    client.send_frame(b"{", BINARY, fin=False)
    assert client.read_close() == 1003
    client.send_frame(b"", PING)
    client.send_frame(b"}" * 1000, CONTINUATION, fin=False)
    client.send_close(1003)
    assert client.is_closed(10) and not client.buffer


def test_gateway_waits_for_the_peers_close(client):
    """Its close frame is out first; pings behind it are not answered, our close ends it."""
    client.send_frame(b"{}", BINARY)
    frame = client.read_frame()
    assert (frame.opcode, frame.close_code) == (CLOSE, 1003) and frame.payload[2:].decode()
    client.send_frame(b"", PING)
    client.send_close(1003)
    assert client.is_closed(10) and not client.buffer


@pytest.mark.parametrize("bits,code", [
    ({"payload": b"\xff"}, 1007), ({"payload": b"{}", "rsv": 4}, 1002),
    ({"payload": b"{}", "masked": False}, 1002), ({"payload": b"{}", "opcode": 3}, 1002),
    ({"payload": b"{}", "opcode": CONTINUATION}, 1002),
    ({"payload": b"", "opcode": PING, "fin": False}, 1002),
    ({"payload": b"x" * 126, "opcode": PONG}, 1002), ({"payload": b"x", "opcode": CLOSE}, 1002),
    ({"payload": b"", "declared_length": 262145}, 1009),
    ({"payload": b"", "declared_length": 1 << 62}, 1009)])
def test_gateway_fails_clearly(client, bits, code):
    client.send_frame(**bits)
    frame = client.read_frame()
    assert (frame.opcode, frame.close_code) == (CLOSE, code)
    assert frame.payload[2:].decode(), "the reason is named"
    assert client.is_closed(10) and not client.buffer


def test_gateway_answers_pings(client):
    client.send_frame(b"\xff" * 125, PING)
    frame = client.read_frame()
    assert (frame.opcode, frame.payload) == (PONG, b"\xff" * 125)
