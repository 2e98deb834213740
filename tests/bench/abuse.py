# SPDX-License-Identifier: MIT
"""Abuse of a gateway, for the workloads abuse-KIND and costs of tests/bench/run.

    abuse.py KIND PORT READY    abuses it until SIGTERM; the file READY is made when it has begun
    abuse.py costs PORT PID     CPU of the process PID for requests that are served, and refused

Each prints one JSON object. Connections that the gateway ends are opened again: what a bound stops
comes back at once."""

import json
import os
import select
import signal
import statistics
import sys
import time
import zlib
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from rawws import (BINARY, CONTINUATION, PING, TEXT, RawConn, RawWS,  # noqa: E402
                   build_frame, build_request)

MASK = bytes(4)
DEFLATE = [("Sec-WebSocket-Extensions", "permessage-deflate")]
GET = build_request("GET", "/livez")
POST = build_request("POST", "/rooms/abuse/messages", {"username": "a", "content": "b"})


class Abuse:
    """What a kind uses: `going` until SIGTERM, `count` of what was done."""

    def __init__(self, port, ready):
        self.port, self.ready, self.count, self.going = port, Path(ready), 0, True
        signal.signal(signal.SIGTERM, self.end)

    def end(self, *_):
        self.going = False

    def begun(self):
        self.ready.touch()

    def conn(self, **options):
        return RawConn(self.port, timeout=30, **options)

    def ws(self, room="abuse", headers=(), **options):
        return RawWS(self.port, f"/rooms/{room}/ws?history=0", headers, timeout=30, **options)


def flood(a, connect, n, data, read=False):
    """n connections into each of which data goes again and again, as fast as it is taken."""
    poll, open_ = select.poll(), {}

    def start():
        conn = connect()
        conn.sock.setblocking(False)
        open_[conn.sock.fileno()] = [conn, b""]
        poll.register(conn.sock, select.POLLOUT | (select.POLLIN if read else 0))

    for _ in range(n):
        start()
    a.begun()
    while a.going:
        for fd, event in poll.poll(100):
            conn, rest = open_[fd]
            try:
                if event & select.POLLIN and not conn.sock.recv(1 << 20):
                    raise ConnectionResetError
                rest = rest or data
                open_[fd][1] = rest[conn.sock.send(rest):]
                a.count += not open_[fd][1]
            except BlockingIOError:
                pass
            except OSError:
                poll.unregister(fd)
                del open_[fd]
                conn.drop()
                start()


def again(a, once):
    """once() again and again; whatever it meets is no reason to end."""
    a.begun()
    while a.going:
        try:
            once()
            a.count += 1
        except (OSError, AssertionError):
            time.sleep(0.001)


# --- the kinds ------------------------------------------------------------------------------------


def slowloris(a):
    """1,000 requests that come byte by byte."""
    def start():
        conn = a.conn()
        conn.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        return conn
    conns = [start() for _ in range(1000)]
    a.begun()
    while a.going:
        for i, conn in enumerate(conns):
            try:
                conn.sock.send(b"a")
                a.count += 1
            except OSError:
                conn.drop()
                conns[i] = start()
        time.sleep(0.5)


def unread(a):
    """200 clients of the very room, and 200 that ask for long pages, and none of them reads."""
    clients = [RawWS(a.port, "/ws?history=0", timeout=30, receive_buffer=4096) for _ in range(200)]
    askers = [a.conn(receive_buffer=4096) for _ in range(200)]
    for conn in askers:
        conn.send(build_request("GET", "/messages?limit=1000") * 20)
    a.begun()
    while a.going:
        time.sleep(0.1)
    a.count = len(clients) + len(askers)


def connects(a):
    """A connection for each request, reset at once."""
    def once():
        conn = a.conn()
        conn.send(GET)
        conn.reset()
    again(a, once)


def handshakes(a):
    """A WebSocket client that comes and goes."""
    again(a, lambda: a.ws().reset())


def pings(a):
    """20 clients that only ping, and read no pong."""
    data = build_frame(b"\xff" * 125, PING, mask=MASK) * 200
    flood(a, lambda: a.ws(receive_buffer=4096), 20, data)


def pings_read(a):
    """The same, and they read."""
    flood(a, a.ws, 20, build_frame(b"\xff" * 125, PING, mask=MASK) * 200, read=True)


def fragments(a):
    """20 messages of empty fragments, without an end."""
    def start():
        ws = a.ws()
        ws.send(build_frame(b"{", fin=False, mask=MASK))
        return ws
    flood(a, start, 20, build_frame(b"", CONTINUATION, fin=False, mask=MASK) * 10000)


def junk(a):
    """20 clients whose messages are all wrong."""
    flood(a, a.ws, 20, build_frame(b'{"username":1}', mask=MASK) * 100, read=True)


def binary(a):
    """Clients that break the protocol with their first frame."""
    def once():
        with a.ws() as ws:
            ws.send(build_frame(b"\0", BINARY, mask=MASK))
            ws.read_close()
    again(a, once)


def bombs(a):
    """60 KiB that would inflate to 64 MiB."""
    squeeze = zlib.compressobj(9, wbits=-15)
    packed = squeeze.compress(b" " * (64 << 20)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    bomb = build_frame(packed[:-4], TEXT, rsv=4, mask=MASK)

    def once():
        with a.ws(headers=DEFLATE) as ws:
            ws.send(bomb)
            ws.read_close()
    again(a, once)


def refused(a):
    """20 pipelines of requests that are all refused."""
    data = (build_request("PUT", "/nothing") + build_request("GET", "/messages?limit=x")) * 16
    flood(a, a.conn, 20, data, read=True)


def malformed(a):
    """Requests that end the connection."""
    def once():
        with a.conn() as conn:
            conn.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n")
            conn.read_to_end()
    again(a, once)


def chunks(a):
    """20 bodies in chunks of one byte, each too long in the end."""
    head = (b"POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n")

    def start():
        conn = a.conn()
        conn.send(head)
        return conn
    flood(a, start, 20, b"1\r\n \r\n" * 10000)


KINDS = {f.__name__.replace("_", "-"): f for f in (
    slowloris, unread, connects, handshakes, pings, pings_read, fragments, junk, binary, bombs,
    refused, malformed, chunks)}


# --- what a request costs -------------------------------------------------------------------------

SHAKE = ("GET /ws?history=0 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: %s\r\n\r\n")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
# name: (request, its status, what a good one of its kind is); None: it is the good one itself.
KEPT = {
    "GET of 50": (build_request("GET", "/messages?limit=50"), 200, None),
    "GET, 304": (build_request("GET", "/messages?limit=50", None, [("If-None-Match", "*")]), 304,
                 "GET of 50"),
    "no such path": (build_request("GET", "/nothing"), 404, "GET of 50"),
    "no such method": (build_request("PUT", "/messages"), 405, "GET of 50"),
    "wrong query": (build_request("GET", "/messages?limit=x"), 422, "GET of 50"),
    "no Upgrade": (build_request("GET", "/ws"), 426, "GET of 50"),
    "POST": (POST, 201, None),
    "wrong type": (POST.replace(b"application/json", b"text/plain"), 415, "POST"),
    "wrong field": (POST.replace(b'"a"', b" 1 "), 422, "POST"),
    "no JSON": (POST.replace(b'{"', b'{{'), 422, "POST"),
}
ENDED = {
    "connect, GET": (GET.replace(b"Host", b"Connection: close\r\nHost"), 200, None),
    "no Host": (GET.replace(b"Host", b"Most"), 400, "connect, GET"),
    "length twice": (POST.replace(b"Host", b"Content-Length: 1\r\nHost"), 400, "connect, GET"),
    "another protocol": (b"EHLO client.example\r\n", 400, "connect, GET"),
    "too long a body": (POST.replace(b"Content-Length: ", b"Content-Length: 9999999"), 413,
                        "connect, GET"),
    "too many headers": (GET.replace(b"Host", b"a:b\r\n" * 70 + b"Host"), 431, "connect, GET"),
    "connect, WebSocket": ((SHAKE % (KEY, 13)).encode(), 101, None),
    "wrong key": ((SHAKE % ("x", 13)).encode(), 400, "connect, WebSocket"),
    "wrong version": ((SHAKE % (KEY, 8)).encode(), 426, "connect, WebSocket"),
}


def cpu_ns(pid):
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def kept(port, request, status, n):
    """n requests of one connection, eight at a time."""
    with RawConn(port, timeout=30) as conn:
        for _ in range(n // 8):
            conn.send(request * 8)
            for _ in range(8):
                assert conn.read_response().status == status, request


def ended(port, request, status, n):
    """n requests with a connection for each."""
    for _ in range(n):
        with RawConn(port, timeout=30) as conn:
            conn.send(request)
            assert conn.read_response().status == status, request
            conn.reset()


def costs(port, pid):
    """Rounds over all of them, so that each meets the machine's moods; the median of a round."""
    for _ in range(50):
        kept(port, POST.replace(b"/rooms/abuse", b""), 201, 8)
    spent = {}
    for _ in range(7):
        for table, run, n in ((KEPT, kept, 400), (ENDED, ended, 100)):
            for name, (request, status, _) in table.items():
                before = cpu_ns(pid)
                run(port, request, status, n)
                time.sleep(0.02)  # connections are freed at the end of a turn
                spent.setdefault(name, []).append((cpu_ns(pid) - before) / 1000 / n)
    both = {**KEPT, **ENDED}
    us = {name: statistics.median(values) for name, values in spent.items()}
    return {name: {"us": round(us[name], 2), "status": both[name][1], "good": both[name][2]}
            for name in us}


def main():
    kind, port, last = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if kind == "costs":
        print(json.dumps({"costs": costs(port, int(last))}))
        return
    abuse = Abuse(port, last)
    KINDS[kind](abuse)
    print(json.dumps({"kind": kind, "count": abuse.count}), flush=True)
    os._exit(0)  # thousands of connections end at once


main()
