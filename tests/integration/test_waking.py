# SPDX-License-Identifier: MIT
"""Rooms that wake while the persister is away: what the stream in Redis still keeps is there, and
where that ends the client is told."""

import time
import uuid

import pytest
from cluster import get, wait_until
from rawws import RawConn

TAIL = 100
COUNT = 400


def fill(cluster, count=COUNT, room=None):
    """Posts count messages; the ids."""
    sender = cluster.subscribe(0, room=room, history=0)
    for n in range(count):
        sender.send("a", f"message {n}", nonce=uuid.uuid4().hex)
    sender.wait(lambda s: len(s.events) == count, 60, "all are acknowledged")
    ids = [event["id"] for event in sender.events]
    assert ids == sorted(ids)
    return ids


def base(cluster):
    """Every message above it is in the stream."""
    with cluster.redis.client() as client:
        return int(client.hget("{chat}:state", "base"))


def wait_trimmed(cluster, last):
    """Until the persister has stored all and left its tail."""
    wait_until(lambda: base(cluster) == last - TAIL, what=lambda: f"base {base(cluster)}")


def restart(gateway):
    """The seconds from its start until it is ready."""
    gateway.terminate()
    began = time.monotonic()
    gateway.start()
    return time.monotonic() - began


@pytest.fixture
def filled(make_cluster):
    """COUNT messages in the lobby, of which the stream keeps the last TAIL."""
    cluster = make_cluster(gateways=1, persister_settings={"STREAM_TAIL": TAIL})
    cluster.sent = fill(cluster)
    wait_trimmed(cluster, cluster.sent[-1])
    return cluster


def ids_of(answer):
    assert answer.status_code == 200, answer.text
    return [message["id"] for message in answer.json()]


def check_tail_only(cluster):
    """All that the stream keeps is served, and nothing is said to be complete that is not."""
    gateway, sent = cluster.gateways[0], cluster.sent
    low = base(cluster)
    kept = [number for number in sent if number > low]
    assert len(kept) == TAIL
    answer = get(gateway, limit=50)
    assert ids_of(answer) == sent[-50:] and "chat-complete" not in answer.headers
    assert cluster.subscribe(0).wait_count(20).ids == sent[-20:]
    all_kept = cluster.subscribe(0, after=low).wait_count(TAIL)
    assert all_kept.ids == kept and not all_kept.events
    assert ids_of(get(gateway, after=low, limit=1000)) == kept

    partial = get(gateway, limit=200)
    assert ids_of(partial) == kept and partial.headers["chat-complete"] == "false"
    assert get(gateway, after=low - 1, limit=10).status_code == 503
    assert get(gateway, before=kept[0], limit=10).status_code == 503
    assert gateway.http.get(f"/messages/{kept[0]}").status_code == 200
    assert gateway.http.get(f"/messages/{sent[0]}").status_code == 503
    older = cluster.subscribe(0, after=5).wait_count(TAIL)
    assert older.events == [{"type": "gap", "after": 5, "before": low + 1}]
    assert older.frames[0].startswith(b'{"type":"gap"') and older.ids == kept
    many = cluster.subscribe(0, history=200).wait_count(TAIL)
    assert many.events[0]["type"] == "gap" and many.ids == kept


def check_all(cluster):
    """With the persister back, older pages are complete."""
    gateway, sent = cluster.gateways[0], cluster.sent
    wait_until(lambda: "chat-complete" not in get(gateway, limit=200).headers,
               what="older history is back")
    assert ids_of(get(gateway, limit=1000)) == sent
    assert ids_of(get(gateway, after=3, limit=5)) == sent[3:8]
    assert ids_of(get(gateway, before=10, limit=5)) == sent[4:9]
    resumed = cluster.subscribe(0, after=5).wait_count(len(sent) - 5)
    assert resumed.ids == sent[5:] and not resumed.events


def test_persister_killed(filled):
    filled.persister.kill9()
    restart(filled.gateways[0])
    check_tail_only(filled)
    live = filled.subscribe(0).wait_count(20)
    filled.sent += fill(filled, 3)
    assert live.wait_count(23).ids == filled.sent[-23:]
    filled.persister.start()
    check_all(filled)


def test_persister_hangs(filled):
    gateway, sent = filled.gateways[0], filled.sent
    filled.persister.stop()
    seconds = min(restart(gateway) for _ in range(2))
    assert seconds < 5, f"ready after {seconds:.1f} s: it waited for the persister"
    kept = sent[-TAIL:]
    answer = get(gateway, limit=50)
    assert ids_of(answer) == sent[-50:] and "chat-complete" not in answer.headers
    assert filled.subscribe(0).wait_count(20).ids == sent[-20:]
    resumed = filled.subscribe(0, after=kept[0]).wait_count(TAIL - 1)
    assert resumed.ids == kept[1:] and not resumed.events
    partial = get(gateway, limit=200)
    assert ids_of(partial) == kept and partial.headers["chat-complete"] == "false"
    filled.persister.cont()
    check_all(filled)


def test_unsaved_messages_of_many_rooms(make_cluster):
    """The stream holds more than a page, and a quiet room's messages lie deep in it."""
    cluster = make_cluster(gateways=2, gateway_settings={"LOG_LEVEL": "debug"})
    quiet = fill(cluster, 3, room="quiet")
    cluster.persister.kill9()
    busy = fill(cluster, 2500, room="busy")
    rooms = {f"r{n}": fill(cluster, 2, room=f"r{n}") for n in range(40)}
    quiet += fill(cluster, 1, room="quiet")
    woken = cluster.gateways[1]
    restart(woken)
    joined = {name: cluster.subscribe(1, room=name) for name in rooms}
    assert ids_of(get(woken, room="quiet")) == quiet
    assert ids_of(get(woken, room="busy", limit=500)) == busy[-500:]
    for name, ids in rooms.items():
        assert joined[name].wait_count(2).ids == ids and not joined[name].events
    assert ids_of(get(woken, room="never")) == []
    assert woken.log.count("room woken from the stream") >= len(rooms)


def pages_read(cluster):
    """How often a page of the stream was read, by anybody: each looks for the newest entry."""
    with cluster.redis.client() as client:
        return client.info("commandstats")["cmdstat_xrevrange"]["calls"]


def test_mass_of_rooms_shares_reads(make_cluster):
    cluster = make_cluster(gateways=1)
    cluster.persister.kill9()
    fill(cluster, 3500, room="busy")
    mine = fill(cluster, 1, room="r77")
    restart(cluster.gateways[0])
    before = pages_read(cluster)
    conns = [RawConn(cluster.gateways[0].port, timeout=30) for _ in range(10)]
    for n, conn in enumerate(conns):
        conn.send(b"".join(b"GET /rooms/r%d/messages HTTP/1.1\r\nHost: a\r\n\r\n" % room
                           for room in range(50 * n, 50 * n + 50)))
    pages = [conn.read_response() for conn in conns for _ in range(50)]
    for conn in conns:
        conn.drop()
    assert [page.status for page in pages] == [200] * 500
    found = {n: page.json() for n, page in enumerate(pages) if page.json()}
    assert list(found) == [77] and [message["id"] for message in found[77]] == mine
    assert pages_read(cluster) - before < 250  # one by one: 2,000 pages, 4,000 calls


@pytest.mark.parametrize("when", ["the persister is asked", "the tail is read"])
def test_gateway_ends_while_a_room_wakes(make_cluster, when):
    cluster = make_cluster(gateways=1, gateway_settings={"DRAIN_SECONDS": 0})
    gateway = cluster.gateways[0]
    fill(cluster, 3, room="red")
    gateway.restart()
    if when == "the persister is asked":
        cluster.persister.stop()
    else:
        cluster.persister.kill9()
        cluster.redis.stop()
    with RawConn(gateway.port, timeout=30) as reader:
        reader.send(b"GET /rooms/red/messages HTTP/1.1\r\nHost: a\r\n\r\n")
        joining = cluster.subscribe(0, room="blue")
        assert gateway.probe("/livez").status_code == 200
        gateway.terminate()
        assert reader.read_response().status == 503
    joining.wait_closed()
    cluster.redis.cont()


def test_nothing_was_ever_said(make_cluster):
    """The room is awake, and complete, without anybody's help."""
    cluster = make_cluster(gateways=1)
    cluster.persister.kill9()
    restart(cluster.gateways[0])
    answer = get(cluster.gateways[0])
    assert ids_of(answer) == [] and "chat-complete" not in answer.headers
