# SPDX-License-Identifier: MIT
"""RFC 6455 section 4: the handshake, at the gateway itself."""

import pytest
from rawws import RawConn, RawWS
from wire import HOST, check_error

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"


def shake(gateway, headers, line=b"GET /ws HTTP/1.1", behind=b""):
    with RawConn(gateway.port) as conn:
        conn.send(line + b"\r\n" + HOST + headers + b"\r\n" + behind)
        answer = conn.read_response()
        if answer.status != 101:
            check_error(answer)
        return answer


def test_accept(gateway):
    """The example of section 1.3."""
    answer = shake(gateway, UPGRADE + KEY + VERSION)
    assert answer.status == 101
    assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert answer.headers["upgrade"].lower() == "websocket"
    assert answer.headers["connection"].lower() == "upgrade"
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("headers", [
    b"upgrade: WebSocket\r\nconnection: UPGRADE\r\n" + KEY + VERSION,
    b"Upgrade: h2c, websocket\r\nConnection: keep-alive, Upgrade\r\n" + KEY + VERSION,
    b"Upgrade: x\r\nUpgrade: websocket\r\nConnection: x\r\nConnection: upgrade\r\n" + KEY + VERSION,
    UPGRADE + KEY + VERSION + b"Content-Length: 0\r\n",
    UPGRADE + KEY + VERSION + b"Sec-WebSocket-Protocol: chat\r\n",
    UPGRADE + KEY + VERSION + b"Sec-WebSocket-Extensions: x-unknown; a=1\r\n",
    UPGRADE + KEY + VERSION + b"Sec-WebSocket-Protocol: a,\tb, v1.chat\r\n",
    UPGRADE + KEY + VERSION + b"Sec-WebSocket-Extensions:\r\n",
    UPGRADE + KEY + VERSION + b'Sec-WebSocket-Extensions: x-unknown; a ; b = "c";d=1 ,, x-e\r\n',
    UPGRADE + KEY + VERSION + b"Origin: null\r\n",
    UPGRADE + VERSION + b"Sec-WebSocket-Key:  dGhlIHNhbXBsZSBub25jZQ== \r\n"])
def test_accepted(gateway, headers):
    answer = shake(gateway, headers)
    assert answer.status == 101
    assert "sec-websocket-protocol" not in answer.headers
    assert "x-unknown" not in answer.headers.get("sec-websocket-extensions", "")


@pytest.mark.parametrize("headers,status", [
    (b"", 426), (KEY + VERSION, 426), (b"Connection: Upgrade\r\n" + KEY + VERSION, 426),
    (b"Upgrade: h2c\r\nConnection: Upgrade\r\n" + KEY + VERSION, 426),
    (b"Upgrade: websockets\r\nConnection: Upgrade\r\n" + KEY + VERSION, 426),
    (b"Upgrade: websocket\r\n" + KEY + VERSION, 400),
    (b"Upgrade: websocket\r\nConnection: keep-alive\r\n" + KEY + VERSION, 400),
    (UPGRADE + VERSION, 400), (UPGRADE + KEY, 426),
    (UPGRADE + KEY * 2 + VERSION, 400), (UPGRADE + KEY + VERSION * 2, 400),
    (UPGRADE + KEY + b"Sec-WebSocket-Version: 12\r\n", 426),
    (UPGRADE + KEY + b"Sec-WebSocket-Version: 8, 13\r\n", 426),
    (UPGRADE + KEY + b"Sec-WebSocket-Version: 013\r\n", 426),
    (UPGRADE + KEY + b"Sec-WebSocket-Version: 13.0\r\n", 426),
    (UPGRADE + KEY + b"Sec-WebSocket-Version:\r\n", 426),
    (UPGRADE + VERSION + b"Sec-WebSocket-Key:\r\n", 400),
    (UPGRADE + VERSION + b"Sec-WebSocket-Key: x\r\n", 400),
    (UPGRADE + VERSION + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", 400),
    (UPGRADE + VERSION + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ===\r\n", 400),
    (UPGRADE + VERSION + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n", 400),
    (UPGRADE + VERSION + b"Sec-WebSocket-Key: dGhl HNhbXBsZSBub25jZQ==\r\n", 400),
    (UPGRADE + VERSION + b"Sec-WebSocket-Key: " + b"A" * 4096 + b"\r\n", 400),
    *((UPGRADE + KEY + VERSION + b"Sec-WebSocket-Extensions: " + offer + b"\r\n", 400)
      for offer in (b"permessage-deflate;", b";", b"a=b", b"a; =b", b"a; b=", b'a; b="c', b'a; b="c d"',
                    b'a; b=""', b"a b", b"a; b c", b"a/b", b"a; b==c", b"ok, a;", b"\xe9")),
    *((UPGRADE + KEY + VERSION + b"Sec-WebSocket-Protocol: " + offer + b"\r\n", 400)
      for offer in (b"(", b"a b", b"a;b", b'"a"', b"a=b", b"ok, a/b", b"\xe9")),
    (UPGRADE + KEY + VERSION + b"Content-Length: 5\r\n", 400),
    (UPGRADE + KEY + VERSION + b"Transfer-Encoding: chunked\r\n", 400)])
def test_refused(gateway, headers, status):
    """As HTTP, with the reason; 426 names the version that is needed."""
    answer = shake(gateway, headers, behind=b"0\r\n\r\n")
    assert answer.status == status
    if status == 426:
        assert answer.headers["upgrade"].lower() == "websocket"
    if b"Sec-WebSocket-Version" in headers and status == 426 and UPGRADE in headers:
        assert answer.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("line,status", [
    (b"GET /ws HTTP/1.0", 400), (b"POST /ws HTTP/1.1", 405), (b"OPTIONS /nothing HTTP/1.1", 404),
    (b"GET /ws/ HTTP/1.1", 404), (b"GET /rooms/a%2Fb/ws HTTP/1.1", 404),
    (b"GET /rooms//ws HTTP/1.1", 404), (b"GET /ws?after=x HTTP/1.1", 422),
    (b"GET /ws?after=-1 HTTP/1.1", 422), (b"GET /ws?history=1001 HTTP/1.1", 422),
    (b"GET /ws?history=%00 HTTP/1.1", 422), (b"GET /ws?after=9007199254740993 HTTP/1.1", 422),
    (b"GET /ws HTTP/2.0", 505), (b"GET ws://a/ws HTTP/1.1", 400),
    (b"GET http://a/ws HTTP/1.1", 101), (b"GET /rooms/%61/ws?history=%30&after=5&x HTTP/1.1", 101)])
def test_lines(gateway, line, status):
    assert shake(gateway, UPGRADE + KEY + VERSION, line).status == status


def test_refused_handshake_leaves_http(gateway):
    """The connection goes on as HTTP, and a second handshake may succeed on it."""
    with RawConn(gateway.port) as conn:
        conn.send(b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE + VERSION + b"\r\n")
        assert conn.read_response().status == 400
        conn.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        assert conn.read_response().status == 200
        conn.send(b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE + KEY + VERSION + b"\r\n")
        assert conn.read_response().status == 101


def test_frames_in_the_same_segment(gateway):
    """A client need not wait for the 101; what came before the upgrade is answered first."""
    ping = bytes.fromhex("89800000 0000")
    with RawConn(gateway.port) as conn:
        conn.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\nGET /rooms/segment/ws HTTP/1.1\r\n" +
                  HOST + UPGRADE + KEY + VERSION + b"\r\n" + ping)
        assert [conn.read_response().status for _ in range(2)] == [200, 101]
        assert conn.read_exactly(2) == b"\x8a\x00"


def test_http_behind_the_upgrade_is_no_http(gateway):
    """A request behind the 101 is a broken frame: G is a reserved bit and an unknown opcode."""
    with RawWS(gateway.port, "/rooms/segment/ws", extra=b"GET /livez HTTP/1.1\r\n\r\n") as ws:
        assert ws.read_close() == 1002
