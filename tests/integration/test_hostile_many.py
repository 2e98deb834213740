# SPDX-License-Identifier: MIT
"""Hostile clients that are many: connections that come and go, more of them than there may be or
than there are descriptors for, and as many that only wait."""

import resource
import select
import struct
import threading
import time

from cluster import get, post, wait_until
from hostile import MIB, clients, descriptors, lone_gateway, resident, sanitized
from hostile import gateway, witness  # noqa: F401 (fixtures)
from rawws import CLOSE, PING, PONG, TEXT, RawConn, RawWS, build_frame, build_request, parse_frame


def test_ten_thousand_cycles(gateway, witness):
    """Connections of all kinds that come and go, politely or not: nothing is kept."""
    handshake = build_request("GET", "/rooms/cycles/ws?history=0", headers=[
        ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
    half = build_frame(b'{"username":"a","content":"b"}')[:9]
    openings = [b"", b"GET /", build_request("GET", "/livez"), handshake, handshake + half,
                handshake + build_frame(struct.pack("!H", 1000), CLOSE)]

    def cycles(count):
        for n in range(count):
            conn = RawConn(gateway.port, timeout=30)
            opening = openings[n % len(openings)]
            conn.send(opening)
            if opening.startswith(handshake):
                conn.read_until(b"\r\n\r\n")
            if n % 3:
                conn.drop()
            else:
                conn.reset()
        wait_until(lambda: clients(gateway) == 1 and descriptors(gateway) <= open_before)
        witness.check()

    get(gateway)
    open_before = descriptors(gateway)
    cycles(2000)
    before = resident(gateway)
    cycles(8000)
    assert resident(gateway) - before < 8 * MIB


class Idle:
    """Clients that answer pings and count, each, the messages that came; in one thread."""

    def __init__(self, gateway, room):
        self.gateway, self.path = gateway, f"/rooms/{room}/ws?history=0"
        self.epoll, self.clients, self.heard = select.epoll(), {}, 0
        self.over = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def add(self, count):
        for _ in range(count):
            ws = RawWS(self.gateway.port, self.path, timeout=120)
            self.clients[ws.sock.fileno()] = ws
            self.epoll.register(ws.sock.fileno(), select.EPOLLIN)

    def run(self):
        while not self.over:
            for fd, _ in self.epoll.poll(0.5):
                ws = self.clients[fd]
                ws.fill(time.monotonic() + 1)
                while parsed := parse_frame(ws.buffer):
                    frame, end = parsed
                    del ws.buffer[:end]
                    self.heard += frame.opcode == TEXT
                    if frame.opcode == PING:
                        ws.send_frame(frame.payload, PONG)

    def close(self):
        self.over = True
        self.thread.join()
        for ws in self.clients.values():
            ws.drop()
        self.epoll.close()


def test_as_many_idle_clients_as_there_are_descriptors(make_cluster):
    """20,000, or what the system lets one process have; all hear a message, and go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        gateway = lone_gateway(make_cluster)
        count = min(20000, hard - 1000)
        idle = Idle(gateway, "idle")
        idle.add(1000)
        before = resident(gateway)
        idle.add(count - 1000)
        each = (resident(gateway) - before) / (count - 1000)
        assert clients(gateway) == count
        assert post(gateway, "a", "to all", room="idle").status_code == 201
        wait_until(lambda: idle.heard == count, 120, lambda: f"{idle.heard} heard it")
        idle.close()
        wait_until(lambda: clients(gateway) == 0, 60)
        assert each < (4096 if sanitized() else 1024), f"{each:.0f} bytes each"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_connections(make_cluster):
    """CONNS_MAX and CLIENTS_MAX: a clear 503, and who was there is served; then there is room."""
    gateway = lone_gateway(make_cluster, CONNS_MAX=16, CLIENTS_MAX=16)
    gateway.http.close()

    def ask():
        conn = RawConn(gateway.port, timeout=30)
        return conn, conn.request("GET", "/livez")

    sockets = [RawWS(gateway.port, "/ws") for _ in range(16)]
    with RawWS(gateway.port, "/ws", check=False) as refused:
        assert refused.response.status == 503 and refused.response.json()["detail"]
        assert refused.response.headers["retry-after"]
    wait_until(lambda: ask()[1].status == 200)
    conns = [wait_until(lambda: [pair for pair in [ask()] if pair[1].status == 200])
             for _ in range(16)]
    for _ in range(100):
        conn, answer = ask()
        assert answer.status == 503 and answer.headers["retry-after"] == "1"
        assert answer.json()["detail"] == "Too many connections" and conn.is_closed()
    assert conns[0][0][0].request("GET", "/livez").status == 200
    sockets[0].send_text({"username": "a", "content": "b"})
    assert sockets[1].read_json()["content"] == "b"
    conns.clear()
    wait_until(lambda: ask()[1].status == 200)
    sockets.pop(0).close()
    with wait_until(lambda: [ws for ws in [RawWS(gateway.port, "/ws", check=False)]
                             if ws.response.status == 101])[0] as ws:
        assert ws.response.status == 101


def test_descriptors_used_up(make_cluster):
    """Accepting pauses and is told in the log; who is there is served; then it goes on."""
    gateway = make_cluster(gateways=1, start=False)
    cluster, gateway = gateway, gateway.gateways[0]
    program = gateway.command()
    gateway.command = lambda: ["prlimit", "--nofile=64:64", *program]
    cluster.start()
    witness = RawWS(gateway.port, "/rooms/starved/ws?history=0", timeout=30)
    held = [RawConn(gateway.port, timeout=30) for _ in range(100)]
    for conn in held:
        conn.send(b"GET / HTTP/1.1\r\n")
    wait_until(lambda: "accepting paused" in gateway.log)
    witness.send_text({"username": "a", "content": "still here"})
    assert witness.read_json()["content"] == "still here"
    for conn in held:
        conn.drop()
    wait_until(lambda: "accepting resumed" in gateway.log)
    with RawConn(gateway.port, timeout=30) as conn:
        assert conn.request("GET", "/readyz").status == 200
    witness.send_text({"username": "a", "content": "and now"})
    assert witness.read_json()["content"] == "and now"
