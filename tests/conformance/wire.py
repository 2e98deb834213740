# SPDX-License-Identifier: MIT
"""What the cases share: raw requests, and the checks that every answer must pass."""

import json

from rawws import RawConn, RawWS

HOST = b"Host: chat.example\r\n"
MESSAGE = b'{"username":"a","content":"b"}'

# Stands behind a request that is refused. It is never answered.
SMUGGLED = b"GET /messages?smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


def get(target=b"/livez", headers=b"", method=b"GET", version=b"HTTP/1.1"):
    return method + b" " + target + b" " + version + b"\r\n" + HOST + headers + b"\r\n"


def post(body=MESSAGE, headers=b"", target=b"/rooms/conformance/messages",
         type_=b"Content-Type: application/json\r\n"):
    return (b"POST " + target + b" HTTP/1.1\r\n" + HOST + type_ +
            b"Content-Length: %d\r\n" % len(body) + headers + b"\r\n" + body)


def chunked(chunks, headers=b""):
    return (b"POST /rooms/conformance/messages HTTP/1.1\r\n" + HOST +
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n" + headers +
            b"\r\n" + chunks)


def check_error(answer):
    """Every error is JSON and names its reason."""
    assert answer.headers["content-type"] == "application/json", answer
    detail = json.loads(answer.body)["detail"]
    assert detail and isinstance(detail, (str, list)), answer
    if isinstance(detail, list):
        assert all(part["msg"] and part["loc"] and part["type"] for part in detail), answer


def ask(gateway, request, method=b"GET"):
    """The one answer to a request, on a connection of its own."""
    with RawConn(gateway.port) as conn:
        conn.send(request)
        answer = conn.read_response(method == b"HEAD")
        if answer.status >= 400 and method != b"HEAD":
            check_error(answer)
        return answer


def refused(gateway, request, status, behind=SMUGGLED * 3):
    """One answer with that status, and nothing behind it: the connection ends."""
    with RawConn(gateway.port) as conn:
        conn.send(request + behind)
        answer = conn.read_response()
        assert answer.status == status, answer
        assert answer.headers["connection"] == "close", answer
        check_error(answer)
        assert conn.read_to_end() == b"", "answered more than once"
        return answer


def serves(gateway):
    with RawConn(gateway.port) as conn:
        conn.send(get())
        assert conn.read_response().status == 200


def failed(ws, code):
    """The close frame with that code comes, then the end, and nothing between."""
    frame = ws.read_frame()
    assert (frame.opcode, frame.close_code) == (8, code), frame
    ws.send_close(code)
    assert ws.is_closed(10) and not ws.buffer


class Echoed(RawWS):
    """A client of ws_echo."""

    def __init__(self, server, **options):
        super().__init__(server.port, timeout=30, **options)

    def hears(self, payload, opcode=1):
        payload = payload.encode() if isinstance(payload, str) else payload
        frame = self.read_frame()
        assert (frame.fin, frame.rsv, frame.opcode) == (True, 0, opcode), frame
        assert frame.payload == payload

    def ends(self, code=1000):
        """The closing handshake from our side; nothing else is on its way."""
        self.send_close(code)
        frame = self.read_frame()
        assert (frame.opcode, frame.close_code) == (8, code), frame
        assert self.is_closed(10) and not self.buffer
