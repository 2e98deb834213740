# SPDX-License-Identifier: MIT
"""HTTP and WebSocket by hand, over one blocking socket.

Libraries refuse to send what a hostile client sends, and to show what a server really answered.
Here every byte can be chosen: RawConn sends anything and reads HTTP answers, RawWS adds the
handshake of RFC 6455 and frames with arbitrary header bits. Nothing is answered by itself unless
a method says so.
"""

import base64
import hashlib
import json
import os
import socket
import struct
import time
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Closed(Exception):
    """The peer ended the TCP connection."""


class Frame(NamedTuple):
    fin: bool
    rsv: int
    opcode: int
    payload: bytes

    @property
    def close_code(self):
        return struct.unpack("!H", self.payload[:2])[0] if len(self.payload) >= 2 else 1005


class Response(NamedTuple):
    status: int
    reason: str
    headers: dict  # names in lower case; the values of a repeated name joined by ", "
    body: bytes

    def json(self):
        return json.loads(self.body)


def build_frame(payload=b"", opcode=TEXT, fin=True, rsv=0, masked=True, mask=None,
                length_form=None, declared_length=None):
    """A frame. length_form (7, 16 or 64) forces a longer length field than needed;
    declared_length lies about the payload's length."""
    if isinstance(payload, str):
        payload = payload.encode()
    length = len(payload) if declared_length is None else declared_length
    form = length_form or (7 if length < 126 else 16 if length < 65536 else 64)
    second = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if form == 7:
        head += bytes([second | length])
    elif form == 16:
        head += bytes([second | 126]) + struct.pack("!H", length)
    else:
        head += bytes([second | 127]) + struct.pack("!Q", length)
    if masked:
        mask = os.urandom(4) if mask is None else mask
        head += mask
        payload = apply_mask(payload, mask)
    return head + payload


def apply_mask(payload, mask):
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def parse_frame(buffer, start=0):
    """(frame, where the next one starts) or None when the buffer holds no whole frame there."""
    have = len(buffer) - start
    if have < 2:
        return None
    first, second = buffer[start], buffer[start + 1]
    length, at = second & 0x7F, start + 2
    if length == 126:
        if have < 4:
            return None
        (length,) = struct.unpack_from("!H", buffer, at)
        at += 2
    elif length == 127:
        if have < 10:
            return None
        (length,) = struct.unpack_from("!Q", buffer, at)
        at += 8
    mask = None
    if second & 0x80:
        mask = bytes(buffer[at:at + 4])
        at += 4
    if len(buffer) < at + length:
        return None
    payload = bytes(buffer[at:at + length])
    if mask:
        payload = apply_mask(payload, mask)
    return Frame(bool(first & 0x80), first >> 4 & 7, first & 0xF, payload), at + length


class RawConn:
    """A TCP connection, from the address source. Every read has a deadline: socket.timeout
    (TimeoutError) when it passes."""

    def __init__(self, port, host="127.0.0.1", timeout=10, receive_buffer=None, source=None):
        self.timeout = timeout
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer:  # before connect, so that the window is small from the beginning
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.sock.bind((source, 0))
        self.sock.settimeout(timeout)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def fill(self, deadline):
        """Reads once; Closed at the end of the stream or on a reset."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing more within the deadline")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(262144)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise Closed("reset") from error
        finally:
            self.sock.settimeout(self.timeout)
        if not data:
            raise Closed("end of stream")
        self.buffer += data

    def read_until(self, mark, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        while (at := self.buffer.find(mark)) < 0:
            self.fill(deadline)
        return self.take(at + len(mark))

    def read_exactly(self, size, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        while len(self.buffer) < size:
            self.fill(deadline)
        return self.take(size)

    def take(self, size):
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def read_to_end(self, timeout=None):
        """All until the peer closes; its bytes, whichever way it closed."""
        deadline = time.monotonic() + (timeout or self.timeout)
        try:
            while True:
                self.fill(deadline)
        except Closed:
            return self.take(len(self.buffer))

    def read_response(self, head_only=False, timeout=None):
        """One HTTP answer; head_only for the answer to HEAD."""
        lines = self.read_until(b"\r\n\r\n", timeout).decode("latin-1").split("\r\n")
        _, status, *reason = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:-2]:
            name, value = line.split(":", 1)
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        status = int(status)
        body = b""
        if not head_only and status >= 200 and status not in (204, 304):
            if "content-length" in headers:
                body = self.read_exactly(int(headers["content-length"]), timeout)
            else:
                body = self.read_to_end(timeout)
        return Response(status, reason[0] if reason else "", headers, body)

    def request(self, method, target, body=None, headers=(), timeout=None):
        """A well-formed request and its answer."""
        self.send(build_request(method, target, body, headers))
        return self.read_response(method == "HEAD", timeout)

    def is_closed(self, timeout=5):
        """Does the peer close within that time? What it still sends is kept in the buffer."""
        deadline = time.monotonic() + timeout
        try:
            while True:
                self.fill(deadline)
        except Closed:
            return True
        except TimeoutError:
            return False

    def shut_write(self):
        self.sock.shutdown(socket.SHUT_WR)

    def shut(self):
        """Both directions; a thread that waits in a read wakes up. Nothing if it ended before."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def reset(self):
        """Ends the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def drop(self):
        self.sock.close()


def build_request(method, target, body=None, headers=()):
    """headers: pairs. Host, and for a body its type and length, are added where they are absent."""
    headers = list(headers.items() if isinstance(headers, dict) else headers)
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        headers.insert(0, ("Host", "localhost"))
    if body is not None:
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body, ensure_ascii=False)
        body = body.encode() if isinstance(body, str) else body
        if "content-type" not in names:
            headers.append(("Content-Type", "application/json"))
        if "content-length" not in names and "transfer-encoding" not in names:
            headers.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")


class RawWS(RawConn):
    """A WebSocket. The handshake's answer is in .response; unless check is False, a refused
    handshake is an AssertionError. extra: bytes sent in the same segment as the handshake."""

    def __init__(self, port, path="/ws", headers=(), key=None, version="13", extra=b"",
                 check=True, **options):
        super().__init__(port, **options)
        key = key if key is not None else base64.b64encode(os.urandom(16)).decode()
        upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade"),
                   ("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", version)]
        upgrade += list(headers.items() if isinstance(headers, dict) else headers)
        self.send(build_request("GET", path, None, upgrade) + extra)
        try:
            self.response = self.read_response()
            if check:
                assert self.response.status == 101, self.response
                accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
                assert self.response.headers["sec-websocket-accept"] == accept
        except BaseException:
            self.drop()
            raise

    def send_frame(self, payload=b"", opcode=TEXT, **bits):
        self.send(build_frame(payload, opcode, **bits))

    def send_text(self, value):
        """A string as it is; anything else as JSON."""
        self.send_frame(value if isinstance(value, (str, bytes)) else
                        json.dumps(value, ensure_ascii=False))

    def send_close(self, code=1000, reason=""):
        self.send_frame(struct.pack("!H", code) + reason.encode(), CLOSE)

    def read_frame(self, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            parsed = parse_frame(self.buffer)
            if parsed:
                frame, end = parsed
                del self.buffer[:end]
                return frame
            self.fill(deadline)

    def read_text(self, timeout=None):
        """The next text frame's payload; pings on the way are answered, a close is Closed."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            frame = self.read_frame(max(deadline - time.monotonic(), 0.001))
            if frame.opcode == TEXT:
                return frame.payload
            if frame.opcode == PING:
                self.send_frame(frame.payload, PONG)
            elif frame.opcode == CLOSE:
                raise Closed(f"close frame {frame.close_code} {frame.payload[2:].decode()}")

    def read_json(self, timeout=None):
        return json.loads(self.read_text(timeout))

    def read_close(self, timeout=None):
        """Reads on until the close frame and returns its code; None when there was none."""
        deadline = time.monotonic() + (timeout or self.timeout)
        try:
            while True:
                frame = self.read_frame(max(deadline - time.monotonic(), 0.001))
                if frame.opcode == CLOSE:
                    return frame.close_code
        except Closed:
            return None

    def close(self, code=1000):
        """The closing handshake from our side; returns the code that came back."""
        self.send_close(code)
        try:
            return self.read_close()
        finally:
            self.drop()
