# SPDX-License-Identifier: MIT
"""Many clients, many rooms, slow clients, storms: with the load generator of tests/bench, which counts
what is lost, doubled or out of order and says so with its status."""

import json
import signal
import subprocess

from cluster import build_folder, get, post, wait_until

SECONDS = 120


def load(*gateways, room=None, **options):
    """Runs chat-load to its end: (its result, its status). options: publish_path=…, clients=…"""
    process = load_start(*gateways, room=room, **options)
    out, _ = process.communicate(timeout=SECONDS)
    return json.loads(out), process.returncode


def load_start(*gateways, room=None, **options):
    path = f"/rooms/{room}/ws" if room else "/ws"
    urls = ",".join(f"ws://127.0.0.1:{gateway.port}{path}" for gateway in gateways)
    command = [str(build_folder() / "chat-load"), "--url", urls, "--timeout", str(SECONDS // 2)]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def clients(gateway):
    return gateway.http.get("/readyz?verbose").json()["clients"]


def test_fan_out_over_two_gateways(cluster):
    result, status = load(*cluster.gateways, clients=80, publishers=8, messages=160, window=8)
    assert status == 0, result
    assert result["deliveries"] == 80 * 160
    assert result["delivery_ms"]["count"] == 80 * 160


def test_posts_over_two_gateways(cluster):
    result, status = load(*cluster.gateways, clients=10, publishers=16, messages=320,
                          post="/messages")
    assert status == 0, result
    assert result["requests"] == 320 and result["deliveries"] == 10 * 320
    page = get(cluster.gateways[1], limit=1000).json()
    assert len(page) == 320 + 20  # and those of the warm-up


def test_slow_clients_are_closed_and_delay_nobody(make_cluster):
    gateway = make_cluster(gateways=1, gateway_settings={"LAG_BYTES": 65536}).gateways[0]
    process = load_start(gateway, clients=20, slow=3, messages=600, window=8, bytes=4000, hold=60)
    try:
        result = json.loads(process.stdout.readline())
        assert result["complete"] and result["deliveries"] == 20 * 600
        assert result["lost"] == result["doubled"] == result["out_of_order"] == 0
        assert result["closed"] == 0
        # The kernel holds some megabytes for each before the gateway notices; then they go.
        wait_until(lambda: clients(gateway) == 20, what="the slow ones are closed")
    finally:
        process.kill()
        process.communicate()


def test_storm_of_clients_that_vanish_together(make_cluster):
    gateway = make_cluster(gateways=1).gateways[0]
    for _ in range(2):
        process = load_start(gateway, clients=600, messages=0, settle=0, hold=60)
        result = json.loads(process.stdout.readline())
        assert result["complete"] and clients(gateway) == 600
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert post(gateway, "ana", "is anybody there?").status_code == 201
        wait_until(lambda: clients(gateway) == 0, what="all are forgotten")
    result, status = load(gateway, clients=50, messages=50)
    assert status == 0, result


def test_rooms_are_bounded(make_cluster):
    gateway = make_cluster(gateways=1, gateway_settings={"ROOMS_MAX": 100}).gateways[0]
    statuses = [gateway.http.get(f"/rooms/r{i}/messages").status_code for i in range(120)]
    assert statuses == [200] * 99 + [503] * 21  # the lobby is one of the 100
    assert post(gateway, "ana", "hello").status_code == 201
    assert gateway.http.get("/rooms/r5/messages").status_code == 200


def test_a_message_among_many_rooms_is_found(make_cluster):
    gateway = make_cluster(gateways=1).gateways[0]
    ids = {}
    for i in range(150):
        path = f"/rooms/r{i}/messages"
        assert gateway.http.get(path).json() == []
        sent = gateway.http.post(path, json={"username": "ana", "content": f"in {i}"})
        ids[sent.json()["id"]] = sent.json()
    for number, message in ids.items():
        assert gateway.http.get(f"/messages/{number}").json() == message


def test_newest_page_follows_each_message(make_cluster):
    gateway = make_cluster(gateways=1).gateways[0]
    known = {}
    for i in range(30):
        sent = post(gateway, "ana", f"message {i}").json()
        for limit in (1, 10, 50):
            answers = [gateway.http.get("/messages", params={"limit": limit}) for _ in range(2)]
            assert answers[0].content == answers[1].content
            assert answers[0].json()[-1] == sent and len(answers[0].json()) == min(i + 1, limit)
            etag = answers[1].headers["etag"]
            assert etag == answers[0].headers["etag"] != known.get(limit)
            known[limit] = etag
            again = gateway.http.get("/messages", params={"limit": limit},
                                     headers={"If-None-Match": etag})
            assert again.status_code == 304 and again.content == b""
