# SPDX-License-Identifier: MIT
"""/metrics of both programs: what is there is documented and the other way round, the numbers move
with what happens, and the port of its own."""

import socket

import httpx
import pytest

from cluster import REPO, free_port, post, wait_until
from prometheus import (DASHBOARD, OURS, RULES, documented, family_of, metrics_of, promtool)
from rawws import RawWS

OFFER = ("Sec-WebSocket-Extensions", "permessage-deflate")


def wait_metric(process, name, wanted, timeout=30, **labels):
    """Until it has that value, or is one that the function wanted likes."""
    good = wanted if callable(wanted) else lambda value: value == wanted
    seen = []

    def has_come():
        seen[:] = [metrics_of(process)(name, **labels)]
        return good(seen[0])
    wait_until(has_come, timeout, lambda: f"{process.name}: {name}{labels or ''} is {seen}")


def test_names(cluster):
    """Documents, dashboard, alert rules and manifests name what exists, and all of it is documented."""
    gateway, persister = metrics_of(cluster.gateways[0]), metrics_of(cluster.persister)
    types = {**gateway.types, **persister.types}
    assert documented() == set(types)
    for path in (DASHBOARD, RULES, REPO / "docs/OPERATIONS.md", REPO / "docs/KUBERNETES.md",
                 REPO / "k8s/overlays/production/scale-by-clients.yaml"):
        named = {family_of(name, types) for name in OURS.findall(path.read_text())}
        assert named and named <= set(types), f"{path.name}: {named - set(types)}"
    for metrics in (gateway, persister):
        assert len({(name, *labels.items()) for name, labels, _ in metrics.samples}) == \
            len(metrics.samples), "a sample is there twice"
        for name, kind in metrics.types.items():
            assert (kind == "counter") == name.endswith("_total"), name


def test_promtool(cluster):
    cluster.subscribe()
    assert post(cluster.gateways[0], "Ana", "hola").status_code == 201
    for process in (cluster.gateways[0], cluster.persister):
        promtool("check", "metrics", text=metrics_of(process).text)


def test_messages(cluster):
    """Every way in, by its result; and out, to each client."""
    gateway = cluster.gateways[0]
    first, second = cluster.subscribe(), cluster.subscribe()
    other = cluster.subscribe(1)
    wait_metric(gateway, "chat_clients", 2)
    wait_metric(gateway, "chat_clients_joining", 0)
    for i in range(10):
        assert post(gateway, "Ana", f"m{i}").status_code == 201
    assert post(gateway, "Ana", "k", idempotency_key="a").status_code == 201
    assert post(gateway, "Ana", "k", idempotency_key="a").status_code == 201
    assert post(gateway, "Ana", "x", idempotency_key="a").status_code == 422
    assert post(gateway, "", "").status_code == 422
    first.send("Eva", "one", nonce="1")
    first.wait_event(type="ack", nonce="1")
    first.send("Eva", "one", nonce="1")
    first.send_text("no JSON")
    first.wait_event(type="error")
    for client in (first, second, other):
        client.wait_count(12)
    wait_metric(gateway, "chat_messages_received_total", 1, source="ws", result="known")
    m = metrics_of(gateway)
    received = {("http", "new"): 11, ("http", "known"): 1, ("http", "mismatch"): 1,
                ("http", "invalid"): 1, ("ws", "new"): 1, ("ws", "known"): 1, ("ws", "invalid"): 1}
    for (source, result), wanted in received.items():
        assert m("chat_messages_received_total", source=source, result=result) == wanted, \
            (source, result)
    assert m("chat_messages_received_total") == sum(received.values())
    assert m("chat_send_seconds_count", source="http") == 13  # all but the invalid one
    assert m("chat_send_seconds_count", source="ws") == 2
    assert 0 < m("chat_send_seconds_sum", source="http") < 13 * 5
    assert m("chat_http_responses_total", code="201") == 12
    assert m("chat_http_responses_total", code="422") == 2
    assert m("chat_log_messages_total") == 12
    assert m("chat_deliveries_total") == 24
    assert m("chat_ws_messages_received_total") == 3
    assert m("chat_ws_sent_bytes_total") > sum(len(frame) for frame in first.frames) * 2
    assert m("chat_ws_received_bytes_total") > 50
    assert m("chat_http_received_bytes_total") > 12 * 50
    assert m("chat_publish_messages_total") == 15  # keys are known to Redis alone
    assert 1 <= m("chat_publish_batches_total") <= 15
    assert m("chat_publish_seconds_count") == m("chat_publish_batches_total")
    assert m("chat_waits_total", result="met") == 14  # mismatches wait for nothing
    assert m("chat_outbox_messages") == m("chat_waits") == 0
    assert metrics_of(cluster.gateways[1])("chat_deliveries_total") == 12
    persister = cluster.persister
    wait_metric(persister, "chat_ingest_messages_total", 12)
    wait_metric(gateway, "chat_log_unstored_messages", 0)
    p = metrics_of(persister)
    assert p("chat_log_position") == metrics_of(gateway)("chat_log_position") == 12
    assert p("chat_sqlite_commit_seconds_count") >= p("chat_ingest_batches_total") >= 1
    assert p("chat_log_lease_left_messages") == p("chat_log_backlog_max_messages") == 100000
    assert p("chat_sqlite_file_bytes", file="wal") > 0


def test_fanout_time(cluster):
    """One timed message for each write-out; nothing is timed where nobody listens."""
    gateway = cluster.gateways[0]
    post(gateway, "Ana", "nobody hears it")
    assert metrics_of(gateway)("chat_fanout_seconds_count") == 0
    clients = [cluster.subscribe() for _ in range(5)]
    wait_metric(gateway, "chat_clients_joining", 0)
    for i in range(20):  # one after the other: each is out before the next one comes
        message = post(gateway, "Ana", f"m{i}").json()
        for client in clients:
            client.wait_id(message["id"])
    m = metrics_of(gateway)
    assert m("chat_fanout_seconds_count") == 20
    assert m("chat_fanout_seconds_bucket", le="+Inf") == 20
    assert 0 < m("chat_fanout_seconds_sum") < 20 * 30


def test_joins_and_closes(cluster):
    gateway = cluster.gateways[0]
    for i in range(3):
        post(gateway, "Ana", f"m{i}")
    client = cluster.subscribe()
    client.wait_count(3)
    cluster.subscribe(after=1).wait_count(2)
    client.close()
    lost = cluster.subscribe()
    lost.wait_count(3)
    lost.drop()
    binary = RawWS(gateway.port, "/ws")
    binary.send_frame(b"x", 2)
    wait_metric(gateway, "chat_closes_total", 1, code="1003", by="gateway")
    binary.drop()
    wait_metric(gateway, "chat_closes_total", 1, code="1006", by="client")
    wait_metric(gateway, "chat_closes_total", 1, by="client", code="1000")
    m = metrics_of(gateway)
    assert m("chat_clients_opened_total") == 4
    assert m("chat_joins_total", **{"from": "memory"}) == m("chat_joins_total") == 3
    assert m("chat_resumes_total", **{"from": "memory"}) == m("chat_resumes_total") == 1
    assert m("chat_closes_total") == 3
    wait_metric(gateway, "chat_clients", 1)


def test_history_and_gap(make_cluster):
    """A client that resumes further back than memory: by the persister, and without it."""
    cluster = make_cluster(gateways=1, gateway_settings={"HISTORY_MESSAGES": 20},
                           persister_settings={"STREAM_TAIL": 0})
    gateway, persister = cluster.gateways[0], cluster.persister
    for i in range(60):  # more than one chunk of the room's log, so that the first ones leave it
        assert post(gateway, "Ana", "x" * 1000).status_code == 201
    cluster.subscribe(after=1).wait_count(59)
    m = metrics_of(gateway)
    assert m("chat_resumes_total", **{"from": "history"}) == m("chat_resumes_total") == 1
    assert m("chat_history_requests_total", result="answered") >= 1
    assert m("chat_history_seconds_count") == m("chat_history_requests_total")
    assert metrics_of(persister)("chat_history_read_seconds_count") >= 1
    wait_metric(gateway, "chat_log_unstored_messages", 0)
    persister.kill9()
    cluster.subscribe(after=1).wait_event(type="gap")
    wait_metric(gateway, "chat_resumes_total", 1, **{"from": "gap"})
    assert metrics_of(gateway)("chat_history_requests_total", result="failed") >= 1
    post(gateway, "Ana", "nobody stores it")
    wait_metric(gateway, "chat_log_unstored_messages", 1)
    persister.start()
    wait_metric(gateway, "chat_log_unstored_messages", 0)


def test_slow_client(make_cluster):
    gateway = make_cluster(gateways=1, gateway_settings={
        "HISTORY_MESSAGES": 20, "LAG_BYTES": 65536, "WS_DEFLATE": "off"}).gateways[0]
    with RawWS(gateway.port, "/ws", receive_buffer=4096):
        wait_metric(gateway, "chat_clients", 1)
        blocked = 0
        for _ in range(3000):
            assert post(gateway, "Ana", "x" * 4000).status_code == 201
            m = metrics_of(gateway)
            blocked = max(blocked, m("chat_clients_blocked"))
            if m("chat_closes_total", code="4008", by="gateway"):
                break
        assert m("chat_closes_total", code="4008", by="gateway") == 1
        assert blocked == 1
        assert m("chat_ws_blocked_writes_total") >= 1
        assert m("chat_ws_writes_total") > m("chat_ws_blocked_writes_total")
    wait_metric(gateway, "chat_clients", 0)
    assert metrics_of(gateway)("chat_clients_blocked") == 0


def test_deflate(cluster):
    gateway = cluster.gateways[0]
    with RawWS(gateway.port, "/ws", headers=[OFFER]):
        wait_metric(gateway, "chat_clients_deflating", 1)
        wait_metric(gateway, "chat_clients_joining", 0)
        for _ in range(2):
            assert post(gateway, "Ana", "again and " * 100).status_code == 201
        wait_metric(gateway, "chat_deflated_messages_total", lambda n: n >= 1)
        m = metrics_of(gateway)
        assert m("chat_deflated_input_bytes_total") > 1000
        assert m("chat_deflated_output_bytes_total") < m("chat_deflated_input_bytes_total") / 3
    wait_metric(gateway, "chat_clients_deflating", 0)


def test_redis_goes_and_comes(cluster):
    gateway, persister = cluster.gateways[0], cluster.persister
    assert post(gateway, "Ana", "before").status_code == 201
    opening = metrics_of(gateway)("chat_log_opening")
    cluster.redis.kill9()
    for process in (gateway, persister):
        wait_metric(process, "chat_redis_up", 0)
        wait_metric(process, "chat_ready", 0)
    assert post(gateway, "Ana", "now").status_code == 503
    assert metrics_of(gateway)("chat_messages_received_total", result="refused") == 1
    cluster.redis.start()
    for process in (gateway, persister):
        wait_metric(process, "chat_redis_up", 1)
        wait_metric(process, "chat_ready", 1)
    wait_metric(gateway, "chat_log_opening", opening + 1)
    m, p = metrics_of(gateway), metrics_of(persister)
    # A log that is not open for a while is given up once more.
    assert m("chat_redis_connects_total") >= 2 and p("chat_redis_connects_total") >= 2
    assert m("chat_log_openings_total") == 1
    assert p("chat_log_openings_total") == 2
    assert m("chat_redis_beat_age_seconds") < 60
    connects = m("chat_redis_connects_total")
    cluster.redis.kill_subscriptions()
    wait_metric(gateway, "chat_redis_connects_total", lambda n: n > connects)


def test_retention(make_cluster):
    cluster = make_cluster(gateways=1, persister_settings={"RETENTION_MESSAGES": 5, "STREAM_TAIL": 0})
    for i in range(20):
        assert post(cluster.gateways[0], "Ana", f"m{i}").status_code == 201
    wait_metric(cluster.persister, "chat_retention_removed_messages_total", 15)
    assert metrics_of(cluster.persister)("chat_retention_position") == 15


def test_port_of_its_own(make_cluster):
    port = free_port()
    cluster = make_cluster(gateways=1, gateway_settings={"ADMIN_PORT": port})
    gateway = cluster.gateways[0]
    assert gateway.http.get("/metrics").status_code == 404
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as admin:
        answer = admin.get("/metrics")
        assert answer.status_code == 200 and "\nchat_clients 0\n" in answer.text
        head = admin.head("/metrics")
        assert head.status_code == 200 and head.content == b""
        refused = admin.post("/metrics")
        assert refused.status_code == 405 and refused.headers["allow"] == "GET, HEAD"
        for path in ("/", "/messages", "/ws", "/metrics/"):
            assert admin.get(path).status_code == 404, path
        assert post(gateway, "Ana", "hola").status_code == 201
        assert '\nchat_http_responses_total{code="201"} 1\n' in admin.get("/metrics").text


@pytest.mark.parametrize("port", ["public", "admin"])
def test_port_in_use(make_cluster, port):
    """The gateway says which one, and does not start."""
    cluster = make_cluster(gateways=1, start=False)
    gateway = cluster.gateways[0]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        gateway.settings["ADMIN_PORT" if port == "admin" else "PORT"] = str(number)
        gateway.start(wait=False)
        assert gateway.wait_end() == 1
        assert f"port {number}" in gateway.log
