# SPDX-License-Identifier: MIT
"""The modes: acknowledged when stored, resume points that cannot be served, retention, backup and
its restoration, and a Redis Cluster."""

import shutil
import signal

from cluster import REDIS_SERVER, Cluster, Redis, get, post, read_all, wait_until
from rawws import RawWS
from test_cluster import stored

STORED = {"prefer": "wait=stored"}


def test_acknowledged_when_stored(cluster):
    gateway = cluster.gateways[0]
    answer = post(gateway, "a", "kept", **STORED)
    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == "wait=stored"
    assert (answer.json()["id"], "kept") in stored(cluster)
    assert "preference-applied" not in post(gateway, "a", "taken").headers
    reader = cluster.subscribe(0)
    reader.send_text('{"username":"a","content":"framed","nonce":"n","wait":"stored"}')
    number = reader.wait_event(type="ack", nonce="n")["id"]
    assert (number, "framed") in stored(cluster)
    reader.send_text('{"username":"a","content":"x","wait":"for me"}')
    (error,) = reader.wait_event(type="error", code="invalid_message")["detail"]
    assert error["type"] == "literal_error" and error["loc"] == ["body", "wait"]


def test_stored_is_not_in_time(make_cluster):
    """504 names the key to ask again with, and that tells what became of it."""
    cluster = make_cluster(gateway_settings={"POST_DEADLINE_MS": 500})
    one, two = cluster.gateways
    post(one, "a", "first", **STORED)
    cluster.persister.stop()
    assert post(one, "a", "only taken").status_code == 201
    answer = post(one, "a", "late", idempotency_key="k-\"1", **STORED)
    assert answer.status_code == 504
    assert answer.json()["detail"] == \
        'May be stored: ask again with the same Idempotency-Key: k-"1'
    assert "may store it twice" in post(one, "a", "no key", **STORED).json()["detail"]
    with RawWS(one.port, "/ws?history=0") as ws:
        ws.send_text({"username": "a", "content": "framed", "nonce": "f", "wait": "stored"})
        while (frame := ws.read_json()).get("type") != "error":
            pass
        assert (frame["code"], frame["nonce"]) == ("timeout", "f")
    cluster.persister.cont()

    def again():
        answer = post(two, "a", "late", idempotency_key="k-\"1", **STORED)
        return answer if answer.status_code == 201 else None
    answer = wait_until(again, 30, "the same key is answered")
    assert stored(cluster).count((answer.json()["id"], "late")) == 1
    assert [content for _, content in stored(cluster)].count("late") == 1


def test_all_are_acknowledged_when_stored(make_cluster):
    cluster = make_cluster(gateways=1,
                           gateway_settings={"CHAT_ACK": "stored", "POST_DEADLINE_MS": 500})
    reader = cluster.subscribe(0)
    assert post(cluster.gateways[0], "a", "kept").status_code == 201
    assert stored(cluster) == [(1, "kept")]
    cluster.persister.stop()
    assert post(cluster.gateways[0], "a", "late").status_code == 504
    reader.send("a", "late too", nonce="n")
    reader.wait_event(type="error", code="timeout", nonce="n")
    cluster.persister.cont()


def test_stored_survives_the_loss_of_redis(cluster):
    numbers = [post(cluster.gateways[n % 2], "a", str(n), **STORED).json()["id"] for n in range(20)]
    cluster.redis.restart_empty()
    wait_until(lambda: post(cluster.gateways[0], "a", "on", **STORED).status_code == 201, 30)
    assert [message["id"] for message in read_all(cluster.gateways[1])][:20] == numbers


def test_resume_point_that_was_never_given(cluster):
    for n in range(30):
        post(cluster.gateways[0], "a", str(n))
    reader = cluster.subscribe(0, after=10**9)
    assert reader.wait_event(type="reset") == {"type": "reset", "after": 10**9, "last": 30}
    reader.wait_count(20)
    assert reader.ids == list(range(11, 31))
    assert reader.frames[0].startswith(b'{"type":"reset"')
    ahead = cluster.subscribe(0, after=35)  # may be given any moment: no reason to doubt it
    for n in range(10):
        post(cluster.gateways[1], "a", f"more {n}")
    ahead.wait_count(5)
    assert ahead.ids == list(range(36, 41)) and not ahead.events


def test_resume_point_that_nobody_can_tell(make_cluster):
    """Never given, or given where this gateway cannot see it? No guess."""
    cluster = make_cluster(gateways=1)
    post(cluster.gateways[0], "a", "one", **STORED)
    cluster.persister.kill9()
    reader = cluster.subscribe(0, after=10**9)
    reader.wait_closed()
    assert reader.closed == 1012 and not reader.frames
    cluster.persister.start()
    assert cluster.subscribe(0, after=10**9).wait_count(1).events == [
        {"type": "reset", "after": 10**9, "last": 1}]


def test_what_retention_removed_is_a_gap(make_cluster):
    cluster = make_cluster(gateways=1, gateway_settings={"HISTORY_MESSAGES": 20},
                           persister_settings={"RETENTION_MESSAGES": 40, "STREAM_TAIL": 0})
    gateway = cluster.gateways[0]
    for n in range(100):
        assert post(gateway, "a", str(n)).status_code == 201
    wait_until(lambda: [n for n, _ in stored(cluster)] == list(range(61, 101)),
               what="60 are pruned")
    for _ in range(2):
        gateway.restart()  # else it has them in memory
        reader = cluster.subscribe(gateway, after=5).wait_count(40)
        assert reader.ids == list(range(61, 101))
        assert reader.frames[0] == b'{"type":"gap","after":5,"before":61}'
        assert len(reader.events) == 1
        whole = cluster.subscribe(gateway, after=60).wait_count(40)
        assert whole.ids == list(range(61, 101)) and not whole.events
        newest = cluster.subscribe(gateway, history=60).wait_count(40)
        assert newest.ids == list(range(61, 101))
    assert [m["id"] for m in get(gateway, limit=1000).json()] == list(range(61, 101))

    def told(**query):
        answer = get(gateway, **query)
        assert answer.status_code == 200
        return answer.headers.get("Chat-Gap"), [m["id"] for m in answer.json()]
    assert told(after=5, limit=3) == ("61", [61, 62, 63])
    assert told(after=59, limit=1) == ("61", [61])
    assert told(after=60, limit=1) == (None, [61])
    assert told(after=98) == (None, [99, 100])
    assert told(before=64) == ("61", [61, 62, 63])
    assert told(before=64, limit=3) == (None, [61, 62, 63])
    assert told(before=30) == ("61", [])
    assert told(after=5, before=30) == ("61", [])
    assert told(limit=40) == (None, list(range(61, 101)))


def test_a_retry_is_known_when_retention_and_redis_lost_the_message(make_cluster):
    cluster = make_cluster(gateways=1,
                           persister_settings={"RETENTION_MESSAGES": 10, "STREAM_TAIL": 0})
    gateway = cluster.gateways[0]
    sent = [post(gateway, "a", str(n), idempotency_key=f"key {n}").json() for n in range(30)]
    wait_until(lambda: [n for n, _ in stored(cluster)] == list(range(21, 31)),
               what="20 are pruned")
    cluster.redis.client().flushall()

    def again(n):
        return post(gateway, "a", str(n), idempotency_key=f"key {n}")
    wait_until(lambda: again(29).status_code == 201, what="the log is open again")
    for n in range(30):
        assert again(n).json()["id"] == sent[n]["id"]


def backup(cluster):
    answer = cluster.persister.http.post("/admin/backup")
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_backup_is_refused_without_a_folder(cluster):
    answer = cluster.persister.http.post("/admin/backup")
    assert answer.status_code == 409
    assert answer.json() == {"detail": "BACKUP_DIR is not set"}
    assert cluster.persister.http.get("/admin/backup").headers["allow"] == "POST"


def with_backups(make_cluster, tmp_path, **settings):
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder, make_cluster(gateways=1, persister_settings={"BACKUP_DIR": folder, **settings})


def restore(cluster, file):
    """As docs/OPERATIONS.md tells."""
    cluster.persister.terminate()
    for suffix in ("-wal", "-shm"):
        cluster.persister.database.with_name(
            cluster.persister.database.name + suffix).unlink(missing_ok=True)
    shutil.copy(file, cluster.persister.database)


def test_backup_and_restore(make_cluster, tmp_path):
    """What came after the backup is still in Redis, within STREAM_TAIL: nothing is lost."""
    folder, cluster = with_backups(make_cluster, tmp_path)
    gateway = cluster.gateways[0]
    for n in range(20):
        post(gateway, "a", str(n), **STORED)
    made = backup(cluster)
    assert made["bytes"] > 0 and made["file"].startswith(str(folder))
    for n in range(20, 30):
        post(gateway, "a", str(n), **STORED)
    restore(cluster, made["file"])
    cluster.persister.start()
    wait_until(lambda: len(stored(cluster)) == 30, what="the rest is stored anew")
    assert stored(cluster) == [(n + 1, str(n)) for n in range(30)]
    assert post(gateway, "a", "on", **STORED).status_code == 201


def test_restore_beside_an_empty_redis(make_cluster, tmp_path):
    """What came after the backup is gone, and no id of it is given again."""
    _, cluster = with_backups(make_cluster, tmp_path)
    gateway = cluster.gateways[0]
    for n in range(20):
        post(gateway, "a", str(n), **STORED)
    made = backup(cluster)
    last = [post(gateway, "a", "gone", **STORED).json()["id"] for _ in range(10)][-1]
    reader = cluster.subscribe(0)
    restore(cluster, made["file"])
    cluster.redis.restart_empty()
    cluster.persister.start()
    answer = wait_until(lambda: (a := post(gateway, "a", "on")).status_code == 201 and a, 30)
    assert answer.json()["id"] > last
    reader.wait_id(answer.json()["id"])
    assert read_all(gateway)[-1]["content"] == "on" and len(read_all(gateway)) == 21


def test_backup_by_a_signal(make_cluster, tmp_path):
    folder, cluster = with_backups(make_cluster, tmp_path)
    post(cluster.gateways[0], "a", "kept", **STORED)
    cluster.persister.popen.send_signal(signal.SIGUSR1)
    wait_until(lambda: "backup made" in cluster.persister.log, what="the backup is made")
    (file,) = folder.iterdir()
    assert file.name.startswith("chat-") and file.suffix == ".db"


class ClusterRedis(Redis):
    """A node of a Redis Cluster."""

    def command(self):
        return [*super().command(), "--cluster-enabled", "yes", "--cluster-port",
                str(self.bus), "--cluster-node-timeout", "2000"]


def make_nodes(cluster, slots_of_log):
    """Two nodes; slots_of_log: which of them has the log's slot."""
    from cluster import free_port
    nodes = [cluster.redis, ClusterRedis(cluster.folder, name="other")]
    for node in nodes:
        node.bus = free_port()
        node.start()
    clients = [node.client() for node in nodes]
    slot = clients[0].execute_command("CLUSTER", "KEYSLOT", "{chat}:state")
    for client, mine in zip(clients, slots_of_log):
        low, high = (0, slot) if mine else (slot + 1, 16383)
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", low, high)
    clients[1].execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].bus)
    for client in clients:
        wait_until(lambda client=client: "cluster_state:ok" in client.execute_command(
            "CLUSTER", "INFO", ), 30, "the nodes are a cluster")
    return nodes


def test_redis_cluster(tmp_path):
    """The programs are told the node that has not the log, and follow MOVED to the other."""
    cluster = Cluster(tmp_path)
    cluster.redis.__class__ = ClusterRedis
    nodes = make_nodes(cluster, (False, True))
    try:
        for process in (cluster.persister, *cluster.gateways):
            process.start(wait=False)
        for process in (cluster.persister, *cluster.gateways):
            process.wait_ready()
        reader = cluster.subscribe(1)
        assert post(cluster.gateways[0], "a", "x", **STORED).json()["id"] == 1
        reader.wait_id(1)
        assert nodes[1].client().exists("{chat}:state")
        assert f":{nodes[1].port}" in cluster.gateways[0].log
    finally:
        problems = cluster.close()
        nodes[1].ask_end()
        problems += nodes[1].judge_end()
    assert not problems


def test_redis_cluster_without_the_slot(tmp_path):
    """No node serves the log's slot: told so, not silently tried."""
    cluster = Cluster(tmp_path, gateways=1)
    cluster.redis.__class__ = ClusterRedis
    from cluster import free_port
    cluster.redis.bus = free_port()
    cluster.redis.start()
    cluster.gateways[0].start(wait=False)
    wait_until(lambda: "CLUSTERDOWN" in cluster.gateways[0].log, 30, "the reason is logged")
    assert REDIS_SERVER and not cluster.close()
