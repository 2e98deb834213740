# SPDX-License-Identifier: MIT
"""Clients that ask for much and read nothing: HTTP_UNSENT_BYTES_MAX bounds what all of them hold
together, and the others are served."""

import json

import pytest
from rawws import RawConn
from test_abuse import resident_bytes
from wire import ask, get, post, serves

MIB = 1 << 20
CONTENT = json.dumps({"username": "a", "content": "\U0001f600" * 4096}, ensure_ascii=False).encode()
ROOM = b"/rooms/unread/messages"


@pytest.fixture(scope="module")
def page_bytes(gateway):
    """A room whose newest 400 messages take 6.5 MiB: its pages are cut at PAGE_BYTES_MAX."""
    with RawConn(gateway.port, timeout=30) as conn:
        for _ in range(50):
            conn.send(post(CONTENT, target=ROOM) * 8)
            assert [conn.read_response().status for _ in range(8)] == [201] * 8
    return len(ask(gateway, get(ROOM + b"?limit=400")).body)


def test_pages_that_nobody_reads(gateway, page_bytes):
    """Pages of 700 MiB become due in one turn, when the message comes that all wait for."""
    assert MIB * 9 // 10 < page_bytes <= MIB + 2
    newest = json.loads(ask(gateway, post(target=ROOM)).body)["id"]
    wanted = get(ROOM + b"?limit=400&min_id=%d" % (newest + 1))
    before = resident_bytes(gateway)
    silent = [RawConn(gateway.port, timeout=30, receive_buffer=4096) for _ in range(12)]
    for conn in silent:
        conn.send(wanted * 60)
    serves(gateway)
    with RawConn(gateway.port, timeout=60) as conn:
        conn.send(post(target=ROOM) + get())
        assert [conn.read_response().status for _ in range(2)] == [201, 200]
    assert resident_bytes(gateway) - before < 500 * MIB
    for conn in silent:
        conn.drop()
    serves(gateway)


def test_pages_are_cut_and_go_on(gateway, page_bytes):
    """A page of PAGE_BYTES_MAX is shorter than its limit, and Link tells where to go on: following
    it gives every message once, from either end."""
    first = page = ask(gateway, get(ROOM + b"?limit=400"))
    backwards = page.json()
    assert len(backwards) < 400
    while len(backwards) < 400:
        link, found, _ = page.headers["link"].partition('>; rel="prev"')
        assert found
        page = ask(gateway, get(ROOM + link.removeprefix("<").encode()))
        assert len(page.body) <= MIB + 2
        backwards = page.json() + backwards
    start = backwards[0]["id"] - 1
    page = ask(gateway, get(ROOM + b"?limit=400&after=%d" % start))
    forwards = page.json()
    while 'rel="next"' in page.headers.get("link", ""):
        link = page.headers["link"].partition(">")[0].removeprefix("<")
        page = ask(gateway, get(ROOM + link.encode()))
        assert len(page.body) <= MIB + 2
        forwards += page.json()
    assert forwards[:len(backwards)] == backwards
    assert forwards[-1]["id"] >= first.json()[-1]["id"]
    ids = [message["id"] for message in forwards]
    assert ids == sorted(set(ids))


def test_waits_for_one_message(gateway, page_bytes):
    """The pages of 96 requests become due by one message; each is answered, and so is everybody
    else."""
    newest = json.loads(ask(gateway, post(target=ROOM)).body)["id"]
    wanted = get(ROOM + b"?limit=400&min_id=%d" % (newest + 1))
    waiting = [RawConn(gateway.port, timeout=60) for _ in range(96)]
    for conn in waiting:
        conn.send(wanted)
    serves(gateway)
    with RawConn(gateway.port, timeout=60) as conn:
        conn.send(post(target=ROOM))
        assert conn.read_response().status == 201
    for conn in waiting:
        answer = conn.read_response()
        assert answer.status == 200 and answer.json()[-1]["id"] >= newest + 1
        conn.drop()
