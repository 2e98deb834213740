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
    """A room whose page of 400 messages takes 6.5 MiB."""
    with RawConn(gateway.port, timeout=30) as conn:
        for _ in range(50):
            conn.send(post(CONTENT, target=ROOM) * 8)
            assert [conn.read_response().status for _ in range(8)] == [201] * 8
    return len(ask(gateway, get(ROOM + b"?limit=400")).body)


def test_pages_that_nobody_reads(gateway, page_bytes):
    """Pages of 700 MiB become due in one turn, when the message comes that all wait for."""
    assert page_bytes > 6 * MIB
    newest = json.loads(ask(gateway, post(target=ROOM)).body)["id"]
    wanted = get(ROOM + b"?limit=400&min_id=%d" % (newest + 1))
    before = resident_bytes(gateway)
    silent = [RawConn(gateway.port, timeout=30, receive_buffer=4096) for _ in range(3)]
    for conn in silent:
        conn.send(wanted * 36)
    serves(gateway)
    with RawConn(gateway.port, timeout=60) as conn:
        conn.send(post(target=ROOM) + get())
        assert [conn.read_response().status for _ in range(2)] == [201, 200]
    assert resident_bytes(gateway) - before < 500 * MIB
    for conn in silent:
        conn.drop()
    serves(gateway)
