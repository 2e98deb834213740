# SPDX-License-Identifier: MIT
"""Hostile bytes against a whole gateway: what others speak, what attackers try, and good requests
and frames with something broken in them (the same ones each time: the seeds are fixed).

After each input the gateway must still serve a client of each kind that was there before. What it
answered must be whole HTTP responses or frames, without a 5xx that blames itself, and then the end.
When all is over it holds no descriptor and no memory more than before."""

import base64
import json
import os
import random
import struct
import time

import pytest
from rawws import CLOSE, PING, PONG, TEXT, RawConn, RawWS, build_frame, parse_frame
from wire import HOST, MESSAGE, chunked, get, post

HANDSHAKE = (b"GET /rooms/abuse/ws?history=5 HTTP/1.1\r\n" + HOST +
             b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")

OTHERS = {
    "nothing": b"", "a space": b" ", "CRLF": b"\r\n", "LF": b"\n", "NULs": b"\0" * 4096,
    "FFs": b"\xff" * 70000, "letters": b"A" * 200000, "lines": b"A\r\n" * 50000,
    "empty lines": b"\r\n" * 50000,
    "TLS 1.3": bytes.fromhex("1603010200010001fc0303") + bytes(range(256)),
    "TLS alert": bytes.fromhex("15030100020228"), "SSL 2": bytes.fromhex("802e0100020015000000"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "HTTP/2 frames": bytes.fromhex("000012040000000000"),
    "HTTP/0.9": b"GET /\r\n", "HTTP/0.9, LF": b"GET /\n", "ICY": b"ICY 200 OK\r\n\r\n",
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n", "SMTP": b"EHLO a\r\nMAIL FROM:<a@b>\r\n",
    "FTP": b"USER anonymous\r\nPASS x\r\n", "Redis": b"*1\r\n$4\r\nPING\r\n",
    "Redis inline": b"FLUSHALL\r\n",
    "memcached": b"stats\r\n", "PROXY 1": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get(),
    "PROXY 2": b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c" + bytes(12) + get(),
    "SOCKS 5": b"\x05\x01\0", "SOCKS 4": b"\x04\x01\0\x50\x7f\0\0\1\0",
    "RDP": bytes.fromhex("0300002b26e000000000"),
    "SMB": b"\0\0\0\x54\xffSMBr" + bytes(30), "PostgreSQL": bytes.fromhex("0000000804d2162f"),
    "MQTT": b"\x10\x0e\0\4MQTT\4\2\0\x3c\0\2ab",
    "RTSP": b"OPTIONS rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "SIP": b"REGISTER sip:a SIP/2.0\r\nVia: x\r\n\r\n", "WebDAV": get(b"/", method=b"PROPFIND"),
    "GIOP": b"GIOP\1\2\0\0" + bytes(20), "Flash policy": b"<policy-file-request/>\0",
    "gzip": bytes.fromhex("1f8b0800000000000003"), "XML": b"<?xml version='1.0'?><a/>\r\n\r\n",
    "frame without a handshake": build_frame("x"), "JSON without HTTP": MESSAGE,
    "up the tree": get(b"/../../../../etc/passwd"),
    "up the tree, escaped": get(b"/%2e%2e/%2e%2e/etc/passwd"),
    "up the tree, rooms": get(b"/rooms/../messages"),
    "up the tree, backslashes": get(b"/..\\..\\a"),
    "up the tree, overlong": get(b"/%c0%ae%c0%ae/a"), "dot room": get(b"/rooms/./messages"),
    "dots room": get(b"/rooms/../ws"), "lookup": get(headers=b"X: ${jndi:ldap://a/b}\r\n"),
    "shell": get(headers=b"X: () { :;}; /bin/true\r\n"),
    "format": get(b"/messages?limit=%25n%25s%25x"),
    "format in a header": get(headers=b"X-Request-ID: %n%s%x%999999d\r\n"),
    "SQL": get(b"/messages?before=1'--"),
    "Lua": post(b'{"username":"\')","content":"]] redis.call()"}'),
    "header injection": get(b"/messages/?a=%0d%0aX:%20y"),
    "cookie": get(headers=b"Cookie: " + b"a=b; " * 3000 + b"\r\n"),
    "ranges": get(b"/messages", b"Range: bytes=0-" + b",1-,2-" * 2000 + b"\r\n"),
    "many etags": get(b"/messages", b"If-None-Match: " + b'"a",' * 3000 + b"\r\n"),
    "long etag": get(b"/messages", b'If-None-Match: "' + b"a" * 15000 + b'"\r\n'),
    "long origin": get(headers=b"Origin: http://" + b"a" * 15000 + b"\r\n"),
    "origin of bytes": get(headers=b"Origin: \xff\xfe\r\n"),
    "long id": get(headers=b"X-Request-ID: " + b"a" * 15000 + b"\r\n"),
    "preflight": get(b"/messages", b"Origin: a\r\nAccess-Control-Request-Headers: " +
                     b"x," * 5000 + b"\r\n", b"OPTIONS"),
    "encodings": get(headers=b"Accept-Encoding: " + b"gzip;q=0.1," * 1000 + b"\r\n"),
    "forwarded": get(headers=b"X-Forwarded-For: " + b"1.2.3.4, " * 1500 + b"\r\n"),
    "method of a kibibyte": get(method=b"A" * 1024),
    "method of 15 kibibytes": get(method=b"A" * 15000),
    "version of a kibibyte": get(version=b"HTTP/1." + b"1" * 1024),
    "many tokens": get(headers=b"Connection: " + b"a," * 7000 + b"\r\n"),
    "many upgrades": get(headers=b"Upgrade: " + b"websocket," * 1500 + b"\r\n"),
    "prefer": post(headers=b"Prefer: " + b"wait=stored," * 1000 + b"\r\n"),
    "a million chunks": chunked(b"1\r\n \r\n" * 40000),
    "chunks without end": chunked(b"1\r\n \r\n" * 9),
    "all NUL body": post(b"\0" * 262144), "all quotes": post(b'"' * 262144),
    "all brackets": post(b"[" * 262144),
    "all backslashes": post(b'{"username":"' + b"\\" * 200000),
    "body of spaces": post(b" " * 262144),
    "body cut": post() [:-5], "chunk cut": chunked(b"ffff\r\nabc"),
    "a hundred requests": get() * 100,
    "a hundred messages": post() * 100, "pages": get(b"/rooms/abuse/messages?limit=1000") * 64,
    "kinds in turn": (get() + post() + get(method=b"DELETE")) * 30, "handshakes": HANDSHAKE * 2,
    "handshake and HTTP": HANDSHAKE + get() * 20, "handshake and nothing": HANDSHAKE,
    "handshake with a body": HANDSHAKE[:-2] + b"Content-Length: 5\r\n\r\nhello",
    "handshake behind pending ones": post() * 20 + HANDSHAKE + build_frame("x"),
}

FRAMES = {
    "empty text": build_frame(""), "pings": build_frame(b"x" * 125, PING) * 500,
    "pongs": build_frame(b"x", PONG) * 5000, "closes": build_frame(b"\x03\xe8", CLOSE) * 50,
    "no mask": build_frame("{}", masked=False),
    "largest length": build_frame("", declared_length=(1 << 63) - 1),
    "length of all bits": build_frame("", declared_length=(1 << 64) - 1),
    "fragments": build_frame("{", fin=False) + build_frame("", 0, fin=False) * 20000,
    "text inside text": build_frame("{", fin=False) + build_frame("}"),
    "bad messages": build_frame("x") * 500, "messages": build_frame(MESSAGE) * 200,
    "nonce of an array": build_frame(b'{"username":"a","content":"b","nonce":[]}') * 50,
    "long nonce": build_frame(b'{"username":"a","content":"b","nonce":"' + b"n" * 200000 + b'"}'),
    "one nonce for all": build_frame(b'{"username":"a","content":"b","nonce":"n"}') * 50,
    "deep": build_frame(b"[" * 262144), "quotes": build_frame(b'"' * 262144),
    "spaces": build_frame(b" " * 262144),
    "NULs": build_frame(b"\0" * 1000), "surrogate": build_frame(b"\xed\xa0\x80"),
    "binary": build_frame(b"\0" * 1000, 2),
    "HTTP": get() * 10, "NUL bytes": b"\0" * 1000, "FF bytes": b"\xff" * 1000,
    "a handshake": HANDSHAKE,
    "compressed": build_frame(bytes.fromhex("f248cdc9c90700"), rsv=4),
    "close of one byte": build_frame(b"\3", CLOSE),
    "close code 0": build_frame(b"\0\0", CLOSE),
    "close with a bad reason": build_frame(b"\x03\xe8\xff", CLOSE),
}


SIGNS = [b"\0", b"\r", b"\n", b"\r\n", b" ", b":", b"%", b"\x80", b"\xff"]


def broken(good, seed):
    """The bytes with one to three things wrong with them."""
    chance, data = random.Random(seed), bytearray(good)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data)) if data else 0
        size = chance.choice([1, 2, 7, 40])
        kind = chance.randrange(6)
        if kind == 0:
            del data[at:at + size]
        elif kind == 1:
            data[at:at + size] = chance.choice(SIGNS)
        elif kind == 2:
            data[at:at] = data[at:at + size] * chance.choice([1, 2, 300])
        elif kind == 3:
            data[at:at] = chance.randbytes(size)
        elif kind == 4 and data:
            data[at] ^= 1 << chance.randrange(8)
        else:
            del data[at:]
    return bytes(data)


GOOD_HTTP = {"get": get() * 2, "page": get(b"/rooms/abuse/messages?limit=5&before=9") + get(),
             "post": post() + get(),
             "chunked": chunked(b"10;a\r\n" + MESSAGE[:16] + b"\r\ne\r\n" + MESSAGE[16:] +
                                                      b"\r\n0\r\nX: y\r\n\r\n") + get(),
             "expect": post(headers=b"Expect: 100-continue\r\n") + get(),
             "handshake": HANDSHAKE + build_frame(MESSAGE)}
PINGED = build_frame(b"p", PING, mask=b"efgh")
GOOD_FRAMES = {"messages": build_frame(MESSAGE, mask=b"abcd") * 2 + PINGED,
               "fragments": build_frame(MESSAGE[:9], fin=False, mask=b"abcd") + PINGED +
                            build_frame(MESSAGE[9:], 0, mask=b"ijkl"),
               "long": build_frame(MESSAGE + b" " * 300, mask=b"abcd") +
                       build_frame(b"\x03\xe8bye", CLOSE, mask=b"efgh")}

INPUTS = {**OTHERS, **{f"frames: {name}": HANDSHAKE + frames for name, frames in FRAMES.items()}}
INPUTS.update({f"broken {name} {seed}": broken(good, f"{name} {seed}")
               for name, good in GOOD_HTTP.items() for seed in range(40)})
INPUTS.update({f"broken frames: {name} {seed}": HANDSHAKE + broken(good, f"{name} {seed}")
               for name, good in GOOD_FRAMES.items() for seed in range(40)})


def check_frames(data):
    """Whole frames of a server; the last may be cut by the end."""
    at = 0
    while parsed := parse_frame(data, at):
        frame, at = parsed
        assert frame.fin and not frame.rsv and frame.opcode in (TEXT, CLOSE, PING, PONG), frame
        if frame.opcode == TEXT:
            json.loads(frame.payload)


def check_answers(data):
    """Whole answers to nobody knows what, then perhaps frames."""
    while data:
        head, found, rest = data.partition(b"\r\n\r\n")
        assert found, data
        lines = head.split(b"\r\n")
        version, status = lines[0].split(b" ")[:2]
        assert version == b"HTTP/1.1" and (int(status) < 500 or status in (b"503", b"505")), lines
        if status == b"101":
            check_frames(rest)
            return
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
        size = int(fields.get(b"content-length", 0))
        body, data = rest[:size], rest[size:]
        assert len(body) == size
        if int(status) >= 400:
            assert json.loads(body)["detail"]


def abuse(gateway, data, patient):
    """Sends it and ends our side, or vanishes at once."""
    with RawConn(gateway.port, timeout=20) as conn:
        try:
            conn.send(data)
            if patient:
                conn.shut_write()
        except OSError:  # it has closed already
            pass
        if not patient:
            conn.reset()
            return
        check_answers(conn.read_to_end())


class Witness:
    """Clients that were there before, and have done nothing wrong."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.conn = RawConn(gateway.port, timeout=20)
        self.ws = RawWS(gateway.port, "/rooms/witness/ws?history=0", timeout=20)
        self.pid = gateway.pid

    def check(self):
        assert self.gateway.running and self.gateway.pid == self.pid
        self.conn.send(get())
        assert self.conn.read_response().status == 200
        text = base64.b64encode(os.urandom(6)).decode()
        self.ws.send_text({"username": "witness", "content": text})
        assert self.ws.read_json()["content"] == text

    def close(self):
        self.conn.drop()
        self.ws.drop()


@pytest.fixture(scope="module")
def witness(gateway):
    witness = Witness(gateway)
    yield witness
    witness.close()


@pytest.mark.parametrize("name", INPUTS)
def test_still_serves(gateway, witness, name):
    abuse(gateway, INPUTS[name], patient=True)
    abuse(gateway, INPUTS[name], patient=False)
    witness.check()


def resident_bytes(gateway):
    with open(f"/proc/{gateway.pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def descriptors(gateway):
    return len(os.listdir(f"/proc/{gateway.pid}/fd"))


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_nothing_is_kept(gateway, witness):
    """The whole table again and again: no descriptor stays open, and memory comes to rest."""
    open_before = descriptors(gateway)
    resident = []
    for _ in range(3):
        for data in INPUTS.values():
            abuse(gateway, data, patient=True)
        assert wait_for(lambda: descriptors(gateway) <= open_before), "descriptors are left open"
        resident.append(resident_bytes(gateway))
    assert resident[-1] - resident[0] < 32 << 20, resident
    witness.check()


def test_connections_that_say_nothing(gateway, witness):
    """A thousand of them, and clients of which each sends half a frame or half a head."""
    open_before = descriptors(gateway)
    beginnings = [b"", b"GET /", get()[:-2], post()[:-3], HANDSHAKE,
                  HANDSHAKE + build_frame(MESSAGE)[:9],
                  HANDSHAKE + struct.pack("!BBQ", 0x81, 0xff, 262144) + bytes(4) + b" " * 1000]
    silent = []
    for n in range(1000):
        silent.append(RawConn(gateway.port, timeout=20))
        silent[-1].send(beginnings[n % len(beginnings)])
    witness.check()
    for conn in silent:
        conn.drop()
    assert wait_for(lambda: descriptors(gateway) <= open_before), "descriptors are left open"
    witness.check()
