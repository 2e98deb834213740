# SPDX-License-Identifier: MIT
"""Hostile clients: each abuse meets a bound of common/limits.h (docs/PROTOCOL.md tells them), and a
client that does nothing wrong is served meanwhile."""

import json
import os
import resource
import select
import struct
import threading
import time

import pytest
from cluster import CHECKED, build_folder, get, post, wait_until
from rawws import (CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, RawConn, RawWS, build_frame,
                   build_request, parse_frame)

MIB = 1 << 20
MASK = bytes(4)
# Freed memory goes back soon, so that what a process holds says something about what it keeps.
LEAN = {"ASAN_OPTIONS": CHECKED["ASAN_OPTIONS"] + ":quarantine_size_mb=4"}
HEAD_SECONDS, BODY_SECONDS, MESSAGE_SECONDS = 10, 30, 30


def sanitized():
    return b"__asan_init" in (build_folder() / "chat-gateway").read_bytes()


def resident(gateway):
    with open(f"/proc/{gateway.pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def descriptors(gateway):
    return len(os.listdir(f"/proc/{gateway.pid}/fd"))


def clients(gateway):
    return gateway.http.get("/healthz").json()["clients"]


def lone_gateway(make_cluster, **settings):
    return make_cluster(gateways=1, redis_options={"appendfsync": "everysec"},
                        gateway_settings={**LEAN, **settings}).gateways[0]


@pytest.fixture
def gateway(make_cluster):
    return lone_gateway(make_cluster)


class Witness:
    """A client that was there before and is served all the time."""

    def __init__(self, gateway):
        self.gateway, self.count = gateway, 0
        self.ws = RawWS(gateway.port, "/rooms/witness/ws?history=0", timeout=30)

    def check(self):
        self.count += 1
        self.ws.send_text({"username": "witness", "content": str(self.count)})
        assert self.ws.read_json()["content"] == str(self.count)
        assert post(self.gateway, "witness", "x", room="witness").status_code == 201
        assert self.ws.read_json()["content"] == "x"


@pytest.fixture
def witness(gateway):
    return Witness(gateway)


# --- slow ones ------------------------------------------------------------------------------------


def drip(conn, ends, data=b"a"):
    """Sends a byte now and then, until the peer has said something or the time is over."""
    conn.sock.settimeout(0.5)
    while time.monotonic() < ends:
        try:
            conn.sock.sendall(data)
            conn.buffer += conn.sock.recv(65536)
            break
        except TimeoutError:
            continue
        except OSError:
            break
    conn.sock.settimeout(conn.timeout)


def test_slowloris(gateway, witness):
    """Heads, bodies and frames of which a byte comes now and then: each has a total deadline."""
    head, body = RawConn(gateway.port), RawConn(gateway.port)
    frames, pieces, waiting = (RawWS(gateway.port, "/ws") for _ in range(3))
    head.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    body.send(b"POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
              b"Content-Length: 1000\r\n\r\n")
    frames.send_frame(b"a", fin=True, declared_length=100000, mask=MASK)
    pieces.send_frame(b"a", fin=False)
    started = time.monotonic()
    threads = [threading.Thread(target=drip, args=(conn, started + 4 * MESSAGE_SECONDS, data))
               for conn, data in ((head, b"a"), (body, b"a"), (frames, b"a"),
                                  (pieces, build_frame(b"a", CONTINUATION, fin=False)))]
    for thread in threads:
        thread.start()
    witness.check()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 3 * MESSAGE_SECONDS
    for conn in (head, body):
        answer = conn.read_response()
        assert answer.status == 408 and answer.json()["detail"]
        assert conn.is_closed()
    for ws in (frames, pieces):
        assert ws.read_close() == 1008
        ws.send_close(1008)
        assert ws.is_closed()
    waiting.send_frame(b"", PING)  # who only waits may do so
    while waiting.read_frame(30).opcode != PONG:
        pass
    witness.check()


def test_messages_without_end_are_no_slow_message(gateway):
    """Who always has the beginning of a next frame under way, and finishes each, is not slow."""
    with RawWS(gateway.port, "/ws", timeout=60) as ws:
        ping = build_frame(b"p", PING, mask=MASK)
        ends, pongs = time.monotonic() + MESSAGE_SECONDS + 8, 0
        ws.send(ping[:1])
        while time.monotonic() < ends:
            ws.send(ping[1:] + ping[:1])
            assert ws.read_frame().opcode == PONG
            time.sleep(0.2)


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [b"\xff" * (6 * MIB), build_frame(b"x" * 100) * 50000],
                         ids=["no frames", "frames"])
def test_failure_is_told_before_the_end(gateway, witness, behind):
    """Megabytes stand behind the broken frame: no reset overtakes the close frame."""
    with RawWS(gateway.port, "/ws?history=0", timeout=30) as ws:
        ws.send(build_frame(b"{}", rsv=4) + behind)
        frame = ws.read_frame()
        assert (frame.opcode, frame.close_code) == (CLOSE, 1002)
        with pytest.raises(Closed, match="end of stream"):
            ws.read_frame()
    wait_until(lambda: clients(gateway) == 1)
    witness.check()


def test_lingering_ends(gateway, witness):
    """Who does not close after a failure, and goes on sending, is gone after WS_CLOSE_MS."""
    broken = [RawWS(gateway.port, "/ws", timeout=30) for _ in range(50)]
    for ws in broken:
        ws.send_frame(b"", opcode=15)
    for ws in broken:
        assert ws.read_close() == 1002

    def ended():
        for ws in broken:
            try:
                ws.send(b"more")
            except OSError:
                pass
        return clients(gateway) == 1
    wait_until(ended, pause=0.2)
    witness.check()


# --- those who do not read ------------------------------------------------------------------------


class Flood:
    """Posts through pipelines, in threads of its own."""

    def __init__(self, gateway, room, total, size, threads=4):
        body = json.dumps({"username": "flood", "content": "x" * size})
        self.request = build_request("POST", f"/rooms/{room}/messages", body)
        self.gateway, self.rounds = gateway, total // threads // 64
        self.failures = []
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self):
        with RawConn(self.gateway.port, timeout=120) as conn:
            for _ in range(self.rounds):
                conn.send(self.request * 64)
                for _ in range(64):
                    status = conn.read_response().status
                    if status != 201:
                        self.failures.append(status)

    def join(self):
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures[:3]


def test_never_reads_a_hundred_thousand_messages(make_cluster):
    """It is closed with 4008 when it is LAG_BYTES behind; memory stays, and others get them all."""
    gateway = lone_gateway(make_cluster, LAG_BYTES="1M")
    others = [RawWS(gateway.port, "/rooms/flood/ws?history=0", timeout=120) for _ in range(2)]
    silent = [RawWS(gateway.port, "/rooms/flood/ws?history=0", receive_buffer=4096)
              for _ in range(20)]
    before, total = resident(gateway), 100 * 1024
    flood = Flood(gateway, "flood", total, 300)
    for n in range(1, total + 1):
        for ws in others:
            frame = ws.read_frame()
            while frame.opcode == PING:
                ws.send_frame(frame.payload, PONG)
                frame = ws.read_frame()
            assert frame.opcode == TEXT, frame
            if n % 1000 == 0:
                assert json.loads(frame.payload)["id"] == n
    flood.join()
    wait_until(lambda: clients(gateway) == len(others))
    assert resident(gateway) - before < 64 * MIB
    for ws in silent:
        ws.timeout = 30
        assert ws.is_closed(30)
        frames, at = [], 0
        while parsed := parse_frame(ws.buffer, at):
            frame, at = parsed
            frames.append(frame)
        assert len(frames) < total and all(frame.opcode == TEXT for frame in frames[:-1])


# --- many of them ---------------------------------------------------------------------------------


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


# --- much of little -------------------------------------------------------------------------------


def test_a_million_fragments(gateway, witness):
    """Empty ones are a message as any other; of one byte each they meet the bound of a message."""
    with RawWS(gateway.port, "/rooms/fragments/ws?history=0", timeout=120) as ws:
        empty = build_frame(b"", CONTINUATION, fin=False, mask=MASK) * 10000
        ws.send(build_frame(b'{"username":"a",', fin=False, mask=MASK))
        for _ in range(100):
            ws.send(empty)
        witness.check()
        ws.send(build_frame(b'"content":"b"}', CONTINUATION, mask=MASK))
        assert ws.read_json()["content"] == "b"
        one = build_frame(b" ", CONTINUATION, fin=False, mask=MASK) * 10000
        ws.send(build_frame(b"{", fin=False, mask=MASK))
        with pytest.raises(OSError):  # it closes long before
            for _ in range(100):
                ws.send(one)
            raise ConnectionResetError(ws.read_close())
    witness.check()


def test_one_who_always_sends(gateway):
    """As fast as the gateway reads, without a pause: a room of 300 gets its messages meanwhile."""
    room = [RawWS(gateway.port, "/rooms/many/ws?history=0", timeout=60) for _ in range(300)]
    heard = threading.Event()

    def flood():
        with RawWS(gateway.port, "/rooms/flood/ws?history=0", timeout=60) as ws:
            ws.send(build_frame(b"{", fin=False, mask=MASK))
            pieces = build_frame(b"", CONTINUATION, fin=False, mask=MASK) * 10000
            while not heard.is_set():
                ws.send(pieces)

    flooder = threading.Thread(target=flood, daemon=True)
    flooder.start()
    try:
        for n in range(3):
            assert post(gateway, "a", str(n), room="many").status_code == 201
            for ws in room:
                assert ws.read_json()["content"] == str(n)
        assert flooder.is_alive()
    finally:
        heard.set()
        flooder.join()


def test_ping_floods(gateway, witness):
    """Clients that send pings for ever and read no pong: bounded memory, and others are served."""
    before = resident(gateway)
    pings = build_frame(b"\xff" * 125, PING, mask=MASK) * 4000
    flooders = [RawWS(gateway.port, "/ws?history=0", receive_buffer=4096) for _ in range(20)]
    for ws in flooders:
        ws.sock.setblocking(False)
    stuck = set()

    def push():
        for ws in flooders:
            try:
                ws.sock.send(pings)
            except BlockingIOError:
                stuck.add(ws)
        return len(stuck) == len(flooders)
    wait_until(push, 60)
    witness.check()
    assert resident(gateway) - before < 20 * 3 * MIB
    for ws in flooders:
        ws.drop()
    wait_until(lambda: clients(gateway) == 1)


def test_bombs(gateway, witness):
    """Small frames that would inflate to 64 MiB each: 1009, and memory was never taken."""
    import zlib
    squeeze = zlib.compressobj(9, wbits=-15)
    bomb = squeeze.compress(b" " * (64 * MIB)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 262144
    before = resident(gateway)
    offer = [("Sec-WebSocket-Extensions", "permessage-deflate")]
    for _ in range(20):
        with RawWS(gateway.port, "/ws?history=0", offer, timeout=60) as ws:
            ws.send_frame(bomb[:-4], rsv=4)
            assert ws.read_close() == 1009
    assert resident(gateway) - before < 32 * MIB
    witness.check()


# --- a persister that hangs -----------------------------------------------------------------------


def test_hung_persister(make_cluster):
    """One request waits for it; then older pages are refused at once, until it answers again."""
    cluster = make_cluster(gateways=1, gateway_settings={"HISTORY_MESSAGES": 20})
    gateway = cluster.gateways[0]
    for n in range(40):
        post(gateway, "a", str(n))
    gateway.restart()
    assert len(get(gateway, limit=40).json()) == 40
    cluster.persister.stop()
    try:
        page = get(gateway, limit=40)
        assert page.headers["chat-complete"] == "false"
        assert "the persister does not answer" in gateway.log
        started = time.monotonic()
        for _ in range(20):
            assert get(gateway, after=1, limit=5).status_code in (503, 200)
        assert time.monotonic() - started < 20 * 5 / 2, "they waited, one by one"
        with RawWS(gateway.port, "/ws?history=40", timeout=30) as ws:
            assert ws.read_json()["type"] == "gap"
            assert [ws.read_json()["content"] for _ in range(3)]
    finally:
        cluster.persister.cont()
    wait_until(lambda: "chat-complete" not in get(gateway, limit=40).headers, 60)
    assert "the persister answers again" in gateway.log


def test_long_pages_from_the_persister(make_cluster):
    """PAGE_BYTES_MAX where memory and the persister share a page: following Link gives all."""
    cluster = make_cluster(gateways=1, gateway_settings={"HISTORY_MESSAGES": 20})
    gateway = cluster.gateways[0]
    conn = RawConn(gateway.port, timeout=60)
    body = {"username": "a", "content": "\U0001f600" * 4096}
    for _ in range(200):
        assert conn.request("POST", "/messages", body).status == 201
    gateway.restart()
    for start, rel in (("?limit=200", "prev"), ("?limit=200&after=0", "next")):
        ids, link, pages = [], start, 0
        while link:
            answer = gateway.http.get("/messages" + link)
            assert answer.status_code == 200 and len(answer.content) <= MIB + 20000
            page = [message["id"] for message in answer.json()]
            ids = page + ids if rel == "prev" else ids + page
            link, found, _ = answer.headers.get("link", "").partition(f'>; rel="{rel}"')
            link, pages = link[1:] if found else None, pages + 1
        assert ids == list(range(1, 201)) and pages >= 4
    with RawWS(gateway.port, "/ws?after=0", timeout=60) as ws:
        assert [ws.read_json()["id"] for _ in range(200)] == list(range(1, 201))


def test_persister_bounds_its_answers(make_cluster):
    """HISTORY_BYTES_MAX: its page ends with the message that passes it, at the end it began with."""
    cluster = make_cluster(gateways=1)
    conn = RawConn(cluster.gateways[0].port, timeout=60)
    for _ in range(100):
        body = {"username": "a", "content": "\U0001f600" * 4096}
        assert conn.request("POST", "/messages", body).status == 201
    bound = MIB + 1024
    for query in ("min_id=100", "min_id=100&after=0", "min_id=100&after=20&before=95"):
        for accept in ("application/json", "application/x-ndjson"):
            answer = cluster.persister.http.get(f"/messages?room=lobby&limit=100&{query}",
                                                headers={"Accept": accept})
            assert answer.status_code == 200
            assert bound < len(answer.content) < bound + 17000
            ids = ([m["id"] for m in answer.json()] if accept == "application/json"
                   else [json.loads(line)["id"] for line in answer.text.splitlines()])
            assert ids == list(range(ids[0], ids[-1] + 1))
            end = ids[0] if "after" in query else ids[-1]
            assert end == {"min_id=100": 100, "min_id=100&after=0": 1}.get(query, 21)
