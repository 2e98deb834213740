# SPDX-License-Identifier: MIT
"""Hostile clients: each abuse meets a bound of common/limits.h (docs/PROTOCOL.md tells them), and a
client that does nothing wrong is served meanwhile. Those who are many: test_hostile_many.py."""

import json
import threading
import time

import pytest
from cluster import get, post, wait_until
from hostile import MASK, MIB, clients, lone_gateway, resident
from hostile import gateway, witness  # noqa: F401 (fixtures)
from rawws import (CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, RawConn, RawWS, build_frame,
                   build_request, parse_frame)

MESSAGE_SECONDS = 30


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
        ends = time.monotonic() + MESSAGE_SECONDS + 8
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
