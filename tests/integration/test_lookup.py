# SPDX-License-Identifier: MIT
"""GET /messages/{id} at a gateway that has the message in no room's memory: the stream in Redis has
what is not stored yet, the persister what is older, and each is asked where the other does not
tell. 404 is only said of what does not exist."""

import select
import sqlite3

from cluster import post, wait_until
from prometheus import metrics_of
from rawws import RawConn

ROOM = "red"
TAIL = 20
LOOKUPS_MAX = 64


def send(cluster, content="hi"):
    """A message that the second gateway has in no memory, but knows of. The answer."""
    one, two = cluster.gateways
    sent = post(one, "ana", content, ROOM)
    assert sent.status_code == 201, sent.text
    number = sent.json()["id"]
    assert two.http.get("/messages", params={"min_id": number}).status_code == 200
    return sent


def read(cluster, number):
    return cluster.gateways[1].http.get(f"/messages/{number}")


def state(cluster, field):
    with cluster.redis.client() as client:
        return int(client.hget("{chat}:state", field))


def test_with_the_persister_away(make_cluster):
    cluster = make_cluster(persister_settings={"STREAM_TAIL": TAIL})
    sent = [send(cluster, str(n)) for n in range(2 * TAIL)]
    ids = [answer.json()["id"] for answer in sent]
    wait_until(lambda: state(cluster, "base") == ids[-1] - TAIL, what="the stream is trimmed")
    assert read(cluster, ids[0]).content == sent[0].content
    cluster.persister.kill9()
    for answer in sent[-TAIL:] + [send(cluster, "not stored")]:
        found = read(cluster, answer.json()["id"])
        assert (found.status_code, found.content) == (200, answer.content)
    head = cluster.gateways[1].http.head(f"/messages/{ids[-1]}")
    assert head.status_code == 200 and head.headers["content-length"] == str(len(sent[-1].content))
    trimmed = read(cluster, ids[-1] - TAIL)
    assert trimmed.status_code == 503 and trimmed.headers["retry-after"] == "1"
    cluster.persister.restart()
    wait_until(lambda: read(cluster, ids[0]).status_code == 200, what="the persister answers")


def test_while_sqlite_takes_nothing(cluster):
    """The persister answers, but does not have the message yet."""
    send(cluster, "makes the table")
    with sqlite3.connect(cluster.persister.database, isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        sent = send(cluster, "waits")
        found = read(cluster, sent.json()["id"])
        assert (found.status_code, found.content) == (200, sent.content)
        assert cluster.persister.http.get(f"/messages/{sent.json()['id']}").status_code == 404
        db.execute("ROLLBACK")
    db.close()


def test_a_persister_that_hangs_is_not_asked_for_what_is_new(cluster):
    def asked():
        return metrics_of(cluster.gateways[1])("chat_history_requests_total")
    cluster.persister.stop()
    try:
        sent, before = send(cluster), asked()
        assert read(cluster, sent.json()["id"]).content == sent.content
        assert asked() == before
    finally:
        cluster.persister.cont()


def test_with_redis_away(cluster):
    sent = send(cluster)
    number = sent.json()["id"]
    wait_until(lambda: cluster.persister.http.get(f"/messages/{number}").status_code == 200)
    cluster.redis.stop()
    try:
        assert read(cluster, number).content == sent.content
    finally:
        cluster.redis.cont()


def test_ids_that_were_never_given(cluster):
    """After a restart of Redis ids go on above the lease: there is a hole."""
    before = send(cluster).json()["id"]
    cluster.redis.kill9()
    cluster.redis.restart_empty()
    wait_until(lambda: post(cluster.gateways[0], "ana", "after", ROOM).status_code == 201, 60)
    after = send(cluster).json()["id"]
    assert after > before + 2
    assert read(cluster, before + 1).status_code == 404
    cluster.persister.kill9()
    for number in (before + 1, after - 2):
        wait_until(lambda: read(cluster, number).status_code == 404,
                   what=lambda: f"{number}: {read(cluster, number).text}")
    assert read(cluster, after).status_code == 200
    assert read(cluster, after + 1).status_code == 404


def test_entries_of_strangers(cluster):
    """What is not in the stream, or is no message there, does not exist."""
    cluster.persister.kill9()
    number = send(cluster).json()["id"]
    with cluster.redis.client() as client:
        client.xdel("{chat}:log", f"{number}-0")
        assert read(cluster, number).status_code == 404
        client.xadd("{chat}:log", {"m": "no message"}, id=f"{number + 1}-0")
        client.hset("{chat}:state", "seq", number + 1)
    send(cluster)
    assert read(cluster, number + 1).status_code == 404


def ask_while_redis_sleeps(cluster, number, count):
    """The answers to so many who ask at a time; Redis wakes when some of them have been told."""
    two = cluster.gateways[1]
    cluster.redis.stop()
    try:
        readers = [RawConn(two.port, timeout=60) for _ in range(count)]
        for reader in readers:
            reader.send(f"GET /messages/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        sockets = [reader.sock for reader in readers]
        wait_until(lambda: len(select.select(sockets, [], [], 0)[0]) >= count - LOOKUPS_MAX)
    finally:
        cluster.redis.cont()
    answers = [reader.read_response() for reader in readers]
    for reader in readers:
        reader.drop()
    return answers


def test_many_at_once(cluster):
    """LOOKUPS_MAX wait for Redis, and the others are told 503 at once."""
    cluster.persister.kill9()
    sent, two = send(cluster), cluster.gateways[1]
    for _ in range(10):
        lost = two.log.count("redis down")
        answers = ask_while_redis_sleeps(cluster, sent.json()["id"], LOOKUPS_MAX + 10)
        found = [answer for answer in answers if answer.status == 200]
        assert {answer.body for answer in found} <= {sent.content}
        assert {answer.status for answer in answers} <= {200, 503}
        if two.log.count("redis down") == lost:
            assert len(found) == LOOKUPS_MAX
            return
        two.wait_ready()  # the machine was busier than Redis' heartbeat allows
    raise AssertionError("the gateway lost Redis each time")


def test_the_end_comes_meanwhile(cluster):
    """Redis does not answer, and the gateway ends before that counts as a lost connection."""
    cluster.persister.kill9()
    number, two = send(cluster).json()["id"], cluster.gateways[1]
    cluster.redis.stop()
    try:
        with RawConn(two.port, timeout=30) as reader:
            reader.send(f"GET /messages/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert two.probe("/livez").status_code == 200  # the GET has been read before it
            two.terminate(wait=False)
            assert reader.read_response().status == 503
        assert two.wait_end() == 0
    finally:
        cluster.redis.cont()


def test_before_the_log_is_known(make_cluster):
    cluster = make_cluster(gateways=1, start=False)
    gateway = cluster.gateways[0].start(wait=False)
    wait_until(lambda: gateway.probe("/livez"), what="the gateway answers")
    assert gateway.http.get("/messages/1").status_code == 503
    cluster.redis.start()
    cluster.persister.start()
    wait_until(lambda: gateway.http.get("/messages/1").status_code == 404, 60)
