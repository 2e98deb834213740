# SPDX-License-Identifier: MIT
"""The promise: every acknowledged message once, in one order, at every client and in SQLite."""

import sqlite3
import threading
import uuid
from pathlib import Path

import pytest
from cluster import get, post, read_all, wait_until
from rawws import RawConn


def stored(cluster):
    """(id, content) of all rows of SQLite."""
    with sqlite3.connect(f"file:{cluster.persister.database}?mode=ro", uri=True) as db:
        return db.execute("SELECT id, content FROM messages ORDER BY id").fetchall()


class Writers:
    """Threads that post with idempotency keys, and repeat until they are told 201."""

    def __init__(self, cluster, count, each=None):
        self.cluster, self.acked, self.lock = cluster, {}, threading.Lock()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n, each)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, number, each):
        done = 0
        while not self.over.is_set() and (each is None or done < each):
            content, key = f"w{number}-{done}", uuid.uuid4().hex
            for attempt in range(200):
                gateway = self.cluster.gateways[(number + attempt) % len(self.cluster.gateways)]
                try:
                    answer = post(gateway, "w", content, idempotency_key=key)
                except Exception:  # the gateway may be down: the next one
                    self.over.wait(0.1)
                    continue
                assert answer.status_code in (201, 503, 504), answer.text
                if answer.status_code == 201:
                    with self.lock:
                        self.acked[content] = answer.json()["id"]
                    break
                self.over.wait(0.1)
            done += 1

    def join(self):
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive()

    def finish(self):
        self.over.set()
        self.join()

    def wait_acked(self, count):
        wait_until(lambda: len(self.acked) >= count, 60, f"{count} acknowledged messages")


def check_all_stored(cluster, writers):
    """SQLite has every acknowledged message once, under the id that was told."""
    wait_until(lambda: len(stored(cluster)) >= len(writers.acked), 60, "all are stored")
    rows = stored(cluster)
    contents = [content for _, content in rows]
    assert len(set(contents)) == len(contents), "stored twice"
    by_content = {content: number for number, content in rows}
    assert writers.acked.items() <= by_content.items()


def test_post_and_read(cluster):
    one, two = cluster.gateways
    answer = post(one, "Diego", "Hola \"mundo\" / ñ 😀")
    assert answer.status_code == 201
    assert list(answer.json()) == ["id", "username", "content", "created_at", "room"]
    assert answer.json()["id"] == 1
    assert answer.headers["location"] == "/messages/1"
    assert get(two, min_id=1).content == b"[" + answer.content + b"]"
    assert two.http.get("/messages/1").content == answer.content
    assert two.http.get("/messages/2").status_code == 404


def test_one_order_for_all(cluster):
    readers = [cluster.subscribe(n) for n in (0, 1) for _ in range(20)]
    writers = Writers(cluster, 4, each=250)
    writers.join()
    assert len(writers.acked) == 1000
    for reader in readers:
        reader.wait_count(1000, 60)
    assert readers[0].ids == list(range(1, 1001))
    assert all(reader.messages == readers[0].messages for reader in readers)
    check_all_stored(cluster, writers)
    assert [m["id"] for m in read_all(cluster.gateways[1], limit=77)] == list(range(1, 1001))


def test_last_twenty_then_live(cluster):
    writers = Writers(cluster, 4)
    writers.wait_acked(50)
    readers = []
    for n in range(10):
        readers.append(cluster.subscribe(n % 2))
        writers.wait_acked(len(writers.acked) + 10)
    writers.finish()
    last = max(writers.acked.values())
    for reader in readers:
        reader.wait_id(last)
        assert reader.ids == list(range(reader.ids[0], reader.ids[-1] + 1))
        assert not reader.events


def test_resume_after_gateway_dies(cluster):
    reader = cluster.subscribe(0)
    writers = Writers(cluster, 3)
    reader.wait_count(100)
    cluster.gateways[0].kill9()
    reader.wait(lambda s: True)
    seen = list(reader.ids)
    resumed = cluster.subscribe(1, after=seen[-1])
    resumed.wait_count(100)
    cluster.gateways[0].restart()
    writers.finish()
    resumed.wait_id(max(writers.acked.values()))
    ids = seen + resumed.ids
    assert ids == list(range(ids[0], ids[-1] + 1))
    check_all_stored(cluster, writers)


def test_resume_older_than_memory(make_cluster):
    cluster = make_cluster(gateway_settings={"HISTORY_MESSAGES": 20})
    Writers(cluster, 10, each=110).join()  # more than a page
    cluster.gateways[1].terminate()
    cluster.gateways[1].restart()
    reader = cluster.subscribe(1, after=0).wait_count(1100)
    assert reader.ids == list(range(1, 1101)) and not reader.events
    newest = cluster.subscribe(1, history=150).wait_count(150)
    assert newest.ids == list(range(951, 1101))
    assert get(cluster.gateways[1], limit=1000).json() == reader.parsed()[100:]
    assert [m["id"] for m in get(cluster.gateways[1], before=100, limit=3).json()] == [97, 98, 99]
    assert [m["id"] for m in get(cluster.gateways[1], after=100, limit=3).json()] == [101, 102, 103]
    assert [m["id"] for m in get(cluster.gateways[1], after=0, limit=3).json()] == [1, 2, 3]


def test_idempotency(cluster):
    one, two = cluster.gateways
    first = post(one, "a", "x", idempotency_key="k")
    again = post(two, "a", "x", idempotency_key="k")
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert post(two, "a", "y", idempotency_key="k").status_code == 422
    assert post(two, "b", "y", idempotency_key="k").json()["id"] == 2
    reader = cluster.subscribe(0)
    reader.send("c", "z", nonce="n")
    assert reader.wait_event(type="ack", nonce="n")["id"] == 3


def test_rooms_do_not_leak(cluster):
    lobby, red = cluster.subscribe(0), cluster.subscribe(0, room="red")
    post(cluster.gateways[1], "a", "to red", room="red")
    last = post(cluster.gateways[1], "a", "to lobby").json()["id"]
    post(cluster.gateways[1], "a", "red again", room="red")
    lobby.wait_id(last)
    red.wait_count(2)
    assert lobby.contents() == ["to lobby"]
    assert red.contents() == ["to red", "red again"]
    assert [m["content"] for m in get(cluster.gateways[0], room="red").json()] == red.contents()


def test_persister_killed(cluster):
    writers = Writers(cluster, 4)
    writers.wait_acked(100)
    cluster.persister.kill9()
    writers.wait_acked(len(writers.acked) + 100)
    cluster.persister.restart()
    writers.wait_acked(len(writers.acked) + 100)
    writers.finish()
    check_all_stored(cluster, writers)


def flood(client, count):
    """Messages 0, 1, … by the publish script itself, as a gateway of its own. The first id."""
    publish = client.register_script((Path(__file__).parents[2] / "common/publish.lua").read_text())
    state = "{chat}:state"
    opening, first = client.hget(state, "opening"), int(client.hget(state, "seq")) + 1
    for batch, start in enumerate(range(0, count, 200), 1):
        words = []
        for n in range(start, start + 200):
            words += [f',"username":"flood","content":"{n}",', ',"room":"lobby"}', ""]
        reply = publish([state, "{chat}:log", "{chat}:producer:f100d", *[state] * 200],
                        [opening, batch, 0, "{chat}:live", 600, 600, "f100d", *words])
        assert reply[0] == 1 and not any(reply[2::3])
    return first


@pytest.mark.parametrize("how", ["process", "connections", "redis"])
def test_killed_while_catching_up(cluster, how):
    """Again and again, while some pages are stored and others are read ahead: each message once."""
    count, client, cut = 30000, cluster.redis.client(), 0
    cluster.persister.kill9()
    first = flood(client, count)

    def position():
        return int(client.hget("{chat}:state", "stored"))

    while cut < 20 and position() < first + count - 1:
        before = position()
        if not cluster.persister.running:
            cluster.persister.start(wait=False)
        wait_until(lambda: position() > before, 60, "something more is stored")
        if how == "process":
            cluster.persister.kill9()
        elif how == "connections":
            client.client_kill_filter(_type="normal", skipme=True)
        else:
            cluster.redis.kill9()
            cluster.redis.restart()
        cut += 1
    assert cut > 1
    if not cluster.persister.running:
        cluster.persister.start(wait=False)
    wait_until(lambda: position() >= first + count - 1, 60, "all are stored")
    assert stored(cluster) == [(first + n, str(n)) for n in range(count)]
    cluster.persister.wait_ready()
    assert post(cluster.gateways[0], "a", "after").status_code == 201


def test_redis_killed(cluster):
    reader = cluster.subscribe(0)
    writers = Writers(cluster, 4)
    writers.wait_acked(100)
    cluster.redis.kill9()
    cluster.redis.restart()
    writers.wait_acked(len(writers.acked) + 100)
    writers.finish()
    check_all_stored(cluster, writers)
    reader.wait_id(max(writers.acked.values()))
    assert reader.ids == [number for number, _ in stored(cluster)]


def test_flushall(cluster):
    reader = cluster.subscribe(0)
    writers = Writers(cluster, 2)
    writers.wait_acked(50)
    writers.finish()
    check_all_stored(cluster, writers)
    before = stored(cluster)
    cluster.redis.client().flushall()
    more = Writers(cluster, 2, each=50)
    more.join()
    assert min(more.acked.values()) > before[-1][0]
    reader.wait_id(max(more.acked.values()))
    wait_until(lambda: len(stored(cluster)) == len(before) + 100, 60, "all are stored")
    assert stored(cluster)[:len(before)] == before
    assert reader.ids == [number for number, _ in stored(cluster)]


def test_redis_empty(cluster):
    writers = Writers(cluster, 2, each=50)
    writers.join()
    check_all_stored(cluster, writers)
    before = stored(cluster)
    cluster.redis.kill9()
    cluster.redis.restart_empty()
    answer = None

    def posted():
        nonlocal answer
        answer = post(cluster.gateways[0], "a", "after", idempotency_key="one")
        return answer.status_code == 201
    wait_until(posted, 60, "publishing goes on")
    assert answer.json()["id"] > before[-1][0]
    wait_until(lambda: stored(cluster) == [*before, (answer.json()["id"], "after")], 60)
    ids = [number for number, _ in stored(cluster)]
    wait_until(lambda: [m["id"] for m in read_all(cluster.gateways[1])] == ids, 60,
               "the other gateway is back, too")


def test_subscription_killed(cluster):
    reader = cluster.subscribe(0)
    writers = Writers(cluster, 2)
    for _ in range(3):
        writers.wait_acked(len(writers.acked) + 50)
        cluster.redis.kill_subscriptions()
    writers.finish()
    reader.wait_id(max(writers.acked.values()))
    assert reader.ids == list(range(1, reader.last_id + 1))


def test_pages_have_no_hole_while_messages_come(make_cluster):
    """Memory has the last 20 when the page is asked for, and more by the time that the persister,
    stopped meanwhile, tells the rest of it."""
    cluster = make_cluster(gateways=1, gateway_settings={"HISTORY_MESSAGES": 20})
    gateway = cluster.gateways[0]
    for n in range(100):
        assert post(gateway, "a", str(n)).status_code == 201
    wait_until(lambda: len(stored(cluster)) == 100, what="all are stored")
    gateway.restart()
    for _ in range(10):
        with RawConn(gateway.port, timeout=30) as reader:
            cluster.persister.stop()
            reader.send(b"GET /messages?limit=90 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert gateway.probe("/livez").status_code == 200  # the GET has been read before it
            last = [post(gateway, "a", "meanwhile").json()["id"] for _ in range(5)][-1]
            cluster.persister.cont()
            page = reader.read_response()
        assert page.status == 200
        ids = [message["id"] for message in page.json()]
        assert ids == list(range(ids[0], last + 1))
        if "chat-complete" not in page.headers:  # else the machine was busier than the deadline
            assert len(ids) == 90
            return
    raise AssertionError("the persister never answered in time")
