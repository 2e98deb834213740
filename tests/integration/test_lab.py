# SPDX-License-Identifier: MIT
"""The lab over HTTP: not there without LAB=1; what all programs tell; faults and their recovery."""

import pytest
from cluster import get, post, wait_until

LAB = {"LAB": 1}
PATHS = ("/lab", "/lab/state", "/lab/replicas", "/assets/lab.js", "/assets/lab.css")
LONG = 120  # seconds of a fault that the test ends itself
WITHIN = 60


def states(gateway):
    """By name, of those that told something lately."""
    answer = gateway.http.get("/lab/replicas")
    assert answer.status_code == 200, answer.text
    return {one["state"]["name"]: one["state"] for one in answer.json()["replicas"]
            if one["age_ms"] < 5000}


def wait_states(gateway, condition, what):
    """Until condition(states) holds; the states."""
    def look():
        seen = states(gateway)
        return condition(seen) and seen
    return wait_until(look, WITHIN, lambda: f"{what}: {states(gateway)}")


def wait_all(gateway, names, condition, what):
    return wait_states(gateway, lambda seen: names <= seen.keys()
                       and all(condition(seen[name]) for name in names), what)


def ask(gateway, replica, fault, seconds=LONG, **headers):
    return gateway.http.post("/lab/faults", headers=headers,
                             json={"replica": replica, "fault": fault, "seconds": seconds})


def send(gateway, *contents):
    """Their ids."""
    answers = [post(gateway, "a", content) for content in contents]
    assert [answer.status_code for answer in answers] == [201] * len(contents)
    return [answer.json()["id"] for answer in answers]


ALL = {"gateway-0", "gateway-1", "persister"}


@pytest.fixture
def lab(make_cluster):
    """Two gateways and the persister; each knows all."""
    cluster = make_cluster(settings=LAB)
    for gateway in cluster.gateways:
        wait_states(gateway, lambda seen: ALL <= seen.keys(), "all are there")
    return cluster


def test_without_lab_nothing_of_it_exists(make_cluster):
    cluster = make_cluster(gateways=1)
    gateway = cluster.gateways[0]
    for path in PATHS:
        assert gateway.http.get(path).status_code == 404, path
    assert ask(gateway, gateway.name, "exit").status_code == 404
    assert gateway.ready()
    with cluster.redis.client() as client:
        assert not [key for key in client.keys() if key.endswith(":lab")]
        assert not [name for name in client.pubsub_channels() if name.endswith(":lab")]


def test_page_and_methods(lab):
    gateway = lab.gateways[0]
    for path in ("/lab", "/assets/lab.js", "/assets/lab.css"):
        answer = gateway.http.get(path)
        assert answer.status_code == 200
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    for path in ("/lab/state", "/lab/replicas"):
        refused = gateway.http.post(path, json={})
        assert refused.status_code == 405
        assert refused.headers["allow"] == "GET, HEAD, OPTIONS"
    refused = gateway.http.get("/lab/faults")
    assert refused.status_code == 405 and refused.headers["allow"] == "OPTIONS, POST"


def test_every_replica_tells_of_itself(lab):
    one, two = lab.gateways
    lab.subscribe(1)
    last = send(one, "a", "b", "c")[-1]
    for gateway in lab.gateways:
        seen = wait_all(gateway, ALL, lambda state: state["chain"]["last"] == last, "all have it")
        assert len({state["chain"]["hash"] for state in seen.values()}) == 1
        assert all(state["position"] == last and state["redis"] == "up" and state["live"]
                   for state in seen.values())
        assert (seen["gateway-0"]["sent"], seen["gateway-1"]["sent"]) == (3, 0)
        assert (seen["gateway-0"]["clients"], seen["gateway-1"]["clients"]) == (0, 1)
        assert seen["persister"]["stored"] == last
        assert {state["opening"] for state in seen.values()} == {1}
    log = one.http.get("/lab/replicas").json()["log"]
    assert log["seq"] == log["stored"] == last and log["entries"] == 3
    assert two.http.get("/lab/state").json()["name"] == "gateway-1"


def test_a_replica_that_starts_later_agrees(lab):
    one = lab.gateways[0]
    send(one, *map(str, range(5)))
    three = lab.add_gateway().start()
    last = send(one, "late")[-1]
    seen = wait_all(three, ALL | {three.name}, lambda state: state["chain"]["last"] == last,
                    "the chain of who came later")
    assert len({state["chain"]["hash"] for state in seen.values()}) == 1


def test_other_content_shows_as_another_hash(lab):
    """The one thing that must never happen, done by hand: a message on the channel only."""
    one, two = lab.gateways
    last = send(one, "a")[-1]
    wait_all(one, ALL, lambda state: state["position"] == last, "all have it")
    assert ask(one, "gateway-1", "pause_redis").status_code == 202
    wait_states(one, lambda seen: seen["gateway-1"]["redis"] == "paused by the lab", "it is cut off")
    forged = (f'{{"id":{last + 1},"username":"x","content":"forged",'
              '"created_at":"2025-06-14T22:15:03.123Z","room":"lobby"}')
    with lab.redis.client() as client:
        assert client.publish("{chat}:live", forged) == 2, "the persister and gateway-0"
    wait_states(one, lambda seen: seen["gateway-0"]["position"] == last + 1, "it believes that")
    assert ask(one, "gateway-1", "drop_redis").status_code == 202
    wait_states(one, lambda seen: seen["gateway-1"]["redis"] == "up", "it is back")
    send(two, "true")
    marks = wait_states(one, lambda seen: seen["gateway-1"]["chain"]["last"] == last + 1, "both")
    hashes = [dict(map(tuple, marks[name]["chain"]["marks"]))[last + 1]
              for name in ("gateway-0", "gateway-1")]
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize("where", [0, 1])
def test_a_paused_replica_falls_behind_and_catches_up(lab, where):
    """Asked of the gateway itself, and of the other one."""
    one, two = lab.gateways
    reader = lab.subscribe(1)
    first = send(one, "before")[-1]
    assert ask(lab.gateways[where], "gateway-1", "pause_redis").status_code == 202
    seen = wait_states(one, lambda seen: seen["gateway-1"]["redis"] == "paused by the lab",
                       "cut off")
    assert seen["gateway-1"]["fault"] == "pause_redis" and seen["gateway-1"]["fault_ms"] > 0
    last = send(one, *map(str, range(20)))[-1]
    seen = wait_states(one, lambda seen: seen["gateway-0"]["position"] == last, "the others go on")
    assert seen["gateway-1"]["position"] == first, "it goes on telling"
    assert not two.ready()
    assert [m["content"] for m in get(two).json()] == ["before"]
    assert ask(one, "gateway-1", "drop_redis").status_code == 202, "which ends the pause"
    seen = wait_all(one, ALL, lambda state: state["chain"]["last"] == last, "caught up")
    assert len({state["chain"]["hash"] for state in seen.values()}) == 1
    wait_until(lambda: reader.contents() == ["before", *map(str, range(20))], WITHIN,
               "its client misses nothing")


def test_a_pause_ends_by_itself(lab):
    one, two = lab.gateways
    assert ask(two, "gateway-1", "pause_redis", 2).json() == {"status": "done"}
    wait_states(two, lambda seen: seen["gateway-1"]["redis"] == "paused by the lab", "cut off")
    wait_states(two, lambda seen: seen["gateway-1"]["redis"] == "up"
                and not seen["gateway-1"]["fault"], "up again")
    two.wait_ready()
    send(two, "again")


def test_who_does_not_read_is_found_out_by_its_heartbeat(lab):
    one, two = lab.gateways
    first = send(one, "before")[-1]
    wait_all(one, ALL, lambda state: state["position"] == first, "all have it")
    assert ask(two, "gateway-1", "stop_reading").status_code == 202
    last = send(one, "unread")[-1]
    wait_all(one, ALL, lambda state: state["chain"]["last"] == last, "caught up")
    wait_states(one, lambda seen: not seen["gateway-1"]["fault"], "over, long before its end")
    assert 'why="no heartbeat' in two.log


def test_a_paused_persister_is_a_backlog(lab):
    one = lab.gateways[0]
    assert ask(one, "persister", "pause_redis").json() == {"status": "sent"}
    wait_states(one, lambda seen: seen["persister"]["redis"] == "paused by the lab", "cut off")
    last = send(one, *map(str, range(10)))[-1]

    def log():
        return one.http.get("/lab/replicas").json()["log"]
    wait_until(lambda: log()["seq"] == last, WITHIN, "the log goes on")
    assert log()["stored"] <= last - 10
    assert ask(one, "persister", "drop_redis").status_code == 202
    wait_until(lambda: log()["stored"] == last, WITHIN, "all is stored")


def test_exit_ends_it_without_a_word(lab):
    one, two = lab.gateways
    assert ask(one, "gateway-1", "exit").status_code == 202
    assert two.wait_end() == 86
    assert ask(one, "gateway-0", "exit").status_code == 202, "the answer comes first"
    assert one.wait_end() == 86


@pytest.mark.parametrize("body,why", [
    (b"", "An object"), (b"[]", "An object"), (b"{}", "replica is"), (b'{"x":1}', "are strings"),
    (b'{"replica":"a","fault":"no"}', "fault is"), (b'{"replica":"a b","fault":"exit"}', "replica"),
    (b'{"replica":"gateway-0","fault":"pause_redis","seconds":0}', "1 to 300"),
    (b'{"replica":"gateway-0","fault":"pause_redis","seconds":301}', "1 to 300"),
    (b'{"replica":"gateway-0","fault":"pause_redis","seconds":"5"}', "1 to 300"),
    (b'{"replica":5,"fault":"exit"}', "are strings")])
def test_a_request_that_is_none(make_cluster, body, why):
    gateway = make_cluster(gateways=1, settings=LAB).gateways[0]
    answer = gateway.http.post("/lab/faults", content=body,
                               headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and why in answer.json()["detail"]


def test_who_may_not_ask_and_whom(lab):
    gateway = lab.gateways[0]
    for origin in ("https://example.org", "null", f"http://127.0.0.1:{gateway.port + 1}"):
        assert ask(gateway, "gateway-0", "exit", Origin=origin).status_code == 403
    escaped = gateway.http.post("/lab/%66aults", json={"replica": "gateway-0", "fault": "exit"},
                                headers={"Origin": "https://example.org"})
    assert escaped.status_code == 403
    assert ask(gateway, "nobody", "exit").status_code == 404
    refused = gateway.http.post("/lab/faults", content=b"{}", headers={"Content-Type": "text/plain"})
    assert refused.status_code == 415
    assert ask(gateway, "gateway-0", "drop_redis", Origin=gateway.url).status_code == 202


def test_what_a_stranger_writes(lab):
    one = lab.gateways[0]
    with lab.redis.client() as client:
        for value in ("", "x", "1 ", "99999999999999999999 {}", "0 {}"):
            client.hset("{chat}:lab", f"stranger{len(value)}", value)
        now = int(client.time()[0]) * 1000
        client.hset("{chat}:lab", mapping={"bad": f"{now} {{", "a b": f"{now} {{}}"})
        for payload in ("", "gateway-0", "gateway-0 exit", "gateway-0 exit 0", "gateway-0 exit 301",
                        "gateway-0 exit x", "gateway-0 exit 5 5", "gateway-0 exit 5 ", "x exit 5"):
            assert client.publish("{chat}:lab", payload) == len(ALL)
    for gateway in lab.gateways:
        wait_states(gateway, lambda seen: seen.keys() == ALL, "these and no others")
        assert gateway.ready()


def test_the_board_is_bounded(lab):
    """LAB_REPLICAS_MAX of those that told something, and the one that is asked."""
    one, most = lab.gateways[0], 64
    names = [f"stranger-{i}" for i in range(most + 6)]

    def shown():
        return len(one.http.get("/lab/replicas").json()["replicas"])
    with lab.redis.client() as client:
        told = client.hget("{chat}:lab", "persister")
        client.hset("{chat}:lab", mapping={name: told.replace('"persister"', f'"{name}"', 1)
                                           for name in names})
        wait_until(lambda: shown() >= most, WITHIN, shown)
        assert shown() <= most + 1
        client.hdel("{chat}:lab", *names)
    wait_states(one, lambda seen: seen.keys() == ALL, "those that tell something")


def test_the_documented_rights_are_enough(make_cluster, tmp_path):
    from test_acl import make, rights
    cluster = make(make_cluster, tmp_path, [*rights(), "+hgetall", "+pexpire", "+xlen"])
    for program in (cluster.persister, *cluster.gateways):
        program.settings["LAB"] = "1"
    cluster.start()
    one = cluster.gateways[0]
    last = send(one, "a")[-1]
    wait_all(one, ALL, lambda state: state["position"] == last, "all are there")
    assert ask(one, "gateway-1", "drop_redis").status_code == 202
    with cluster.redis.client() as client:
        assert client.acl_log() == []
