# SPDX-License-Identifier: MIT
"""Who may come in, and how much each may: limits by address and by client, trusted proxies, and
ALLOWED_ORIGINS. Every test speaks from addresses of its own within 127.0.0.0/8."""

import json
import os
import re
import subprocess

import pytest
from cluster import build_folder, wait_until
from prometheus import metrics_of
from rawws import CLOSE, TEXT, RawConn, RawWS, build_frame, build_request

MESSAGE = {"username": "a", "content": "b"}


def lone_gateway(make_cluster, **settings):
    return make_cluster(gateways=1, gateway_settings=settings).gateways[0]


def posts(conn, count=1, **headers):
    """The last answer of so many posts."""
    for _ in range(count):
        answer = conn.request("POST", "/rooms/limits/messages", MESSAGE,
                              [(name.replace("_", "-"), value) for name, value in headers.items()])
    return answer


def detail(answer):
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["detail"]


# --- connections ----------------------------------------------------------------------------------


def test_connections_of_one_address(make_cluster):
    gateway = lone_gateway(make_cluster, CONNS_PER_ADDRESS=4)

    kept = []  # what Python forgets is closed

    def come(source="127.0.0.2"):
        kept.append(RawConn(gateway.port, source=source))
        return kept[-1], kept[-1].request("GET", "/livez")

    http = [come() for _ in range(2)]
    assert [answer.status for _, answer in http] == [200, 200]
    sockets = [RawWS(gateway.port, "/ws", source="127.0.0.2") for _ in range(2)]
    conn, refused = come()
    assert refused.status == 429 and "CONNS_PER_ADDRESS" in detail(refused)
    assert refused.headers["retry-after"] == "1" and refused.headers["date"] and conn.is_closed()
    with RawWS(gateway.port, "/ws", source="127.0.0.2", check=False) as handshake:
        assert handshake.response.status == 429
    assert come("127.0.0.3")[1].status == 200, "another address"
    sockets[0].close()
    http[0][0].drop()
    for _ in range(2):
        wait_until(lambda: come()[1].status == 200)
    assert come()[1].status == 429
    assert RawWS(gateway.port, "/ws", source="127.0.0.4").response.status == 101


def test_connections_behind_a_proxy(make_cluster):
    """WebSockets count for who is behind the proxy; its own connections do not count."""
    gateway = lone_gateway(make_cluster, CONNS_PER_ADDRESS=2, TRUSTED_PROXIES="127.0.0.8/31")

    kept = []

    def shake(forwarded, source="127.0.0.9"):
        ws = RawWS(gateway.port, "/ws", [("X-Forwarded-For", line) for line in forwarded],
                   check=False, source=source)
        kept.append(ws)
        return ws.response.status, ws

    open_ones = [shake(["192.0.2.1"]), shake(["6.6.6.6, 192.0.2.1", "127.0.0.8"])]
    assert [status for status, _ in open_ones] == [101, 101]
    status, ws = shake(["192.0.2.1"])
    assert status == 429 and "CONNS_PER_ADDRESS" in detail(ws.response)
    assert ws.request("GET", "/livez").status == 200, "the proxy's connection stays"
    assert shake(["192.0.2.2"])[0] == 101
    assert [shake([f"192.0.2.{n}"], "127.0.0.7")[0] for n in range(2)] == [101, 101]
    assert RawConn(gateway.port, source="127.0.0.7").request("GET", "/livez").status == 429
    open_ones[0][1].close()
    wait_until(lambda: shake(["192.0.2.1"])[0] == 101)


# --- rates of posts -------------------------------------------------------------------------------


def test_post_rates(make_cluster):
    gateway = lone_gateway(make_cluster, CLIENT_RATE=1, CLIENT_BURST=60, ADDRESS_RATE=1,
                           ADDRESS_BURST=100)
    with RawConn(gateway.port, source="127.0.0.2") as one, \
            RawConn(gateway.port, source="127.0.0.2") as two, \
            RawConn(gateway.port, source="127.0.0.3") as other:
        first = posts(one)
        assert first.status == 201
        assert first.headers["ratelimit-policy"] == '"client";q=60;w=60, "address";q=100;w=100'
        assert first.headers["ratelimit"] == '"client";r=59;t=1, "address";r=99;t=1'
        wait_until(lambda: posts(one).status == 429)
        refused = wait_until(lambda: [a for a in [posts(one)] if a.status == 429])[0]
        assert "CLIENT_RATE" in detail(refused)
        assert int(refused.headers["retry-after"]) >= 1
        assert re.match(r'"client";r=0;t=\d+, "address";r=\d+;t=\d+$', refused.headers["ratelimit"])
        assert one.request("GET", "/messages").status == 200, "reading is not limited"
        wait_until(lambda: posts(two).status == 429)
        refused = wait_until(lambda: [a for a in [posts(two)] if a.status == 429])[0]
        assert "ADDRESS_RATE" in detail(refused)
        assert posts(other).status == 201
        page = other.request("GET", "/rooms/limits/messages?limit=1000").json()
        assert 101 < len(page) < 200, "what was refused is not stored"


def test_post_rate_behind_a_proxy(make_cluster):
    """One connection with the requests of many: each of them has the rate of its address."""
    gateway = lone_gateway(make_cluster, CLIENT_RATE=1, ADDRESS_RATE=1, ADDRESS_BURST=20,
                           TRUSTED_PROXIES="127.0.0.9")
    with RawConn(gateway.port, source="127.0.0.9") as proxy:
        answer = posts(proxy, 3, X_Forwarded_For="192.0.2.1")
        assert answer.status == 201 and "client" not in answer.headers["ratelimit"]
        wait_until(lambda: posts(proxy, X_Forwarded_For="192.0.2.1").status == 429)
        assert posts(proxy, X_Forwarded_For="192.0.2.2").status == 201
    with RawConn(gateway.port, source="127.0.0.7") as stranger:
        answers = [posts(stranger, X_Forwarded_For=f"192.0.2.{n}") for n in range(3, 60)]
        assert 429 in [answer.status for answer in answers]


# --- rates of frames ------------------------------------------------------------------------------


def test_frame_rate(make_cluster):
    """Ten messages are welcome, the next is told why not, and who goes on is closed."""
    gateway = lone_gateway(make_cluster, CLIENT_RATE=1, CLIENT_BURST=10)
    with RawWS(gateway.port, "/rooms/frames/ws", source="127.0.0.2", timeout=30) as ws:
        for n in range(11):
            ws.send_text({**MESSAGE, "nonce": f"n{n}"})
        ws.send_text("no JSON, and too many")
        events = [ws.read_json() for _ in range(22)]
        acks = {event["nonce"] for event in events if event.get("type") == "ack"}
        limited = [event for event in events if event.get("type") == "error"]
        assert acks == {f"n{n}" for n in range(10)}
        assert [event["code"] for event in limited] == ["rate_limited"] * 2
        assert limited[0]["nonce"] == "n10" and "CLIENT_RATE" in limited[0]["detail"]
        assert "nonce" not in limited[1] and limited[0]["retry_after"] == 1
        ws.send(build_frame(json.dumps(MESSAGE)) * 1000)
        assert ws.read_close() == 4429
        ws.send_close(4429)
        assert ws.is_closed(10)


def test_rate_of_an_address(make_cluster):
    """HTTP and WebSocket share it, and a refused one leaves its connection open."""
    gateway = lone_gateway(make_cluster, ADDRESS_RATE=1, ADDRESS_BURST=10)
    with RawConn(gateway.port, source="127.0.0.2") as conn, \
            RawWS(gateway.port, "/rooms/other/ws", source="127.0.0.2") as ws:
        wait_until(lambda: posts(conn).status == 429)
        ws.send(build_frame(json.dumps({**MESSAGE, "nonce": "n"})) * 3)
        codes = [ws.read_json().get("code") for _ in range(3)]
        assert "rate_limited" in codes
        ws.send_frame(b"", 9)
        while ws.read_frame().opcode == TEXT:
            pass
        with RawWS(gateway.port, "/rooms/other/ws?history=0", source="127.0.0.3") as other:
            other.send_text({**MESSAGE, "nonce": "other"})
            assert {other.read_json().get("type") for _ in range(2)} == {None, "ack"}


# --- refusals, without any limit ------------------------------------------------------------------


WRONG = build_frame('{"username":1}')


def test_wrong_messages(make_cluster):
    """Each of many is told, and live messages come all the same; who goes on is closed, and the
    others have noticed nothing."""
    gateway = lone_gateway(make_cluster)
    with RawWS(gateway.port, "/rooms/wrong/ws?history=0", timeout=60) as ws, \
            RawWS(gateway.port, "/rooms/wrong/ws?history=0", timeout=60) as other:
        ws.send(WRONG * 60)
        assert [ws.read_json()["code"] for _ in range(60)] == ["invalid_message"] * 60
        other.send_text(MESSAGE)
        assert other.read_json()["content"] == ws.read_json()["content"] == MESSAGE["content"]
        ws.send_text({**MESSAGE, "nonce": "good"})
        assert {ws.read_json().get("nonce") for _ in range(2)} == {None, "good"}
        ws.send(WRONG * 5000)
        assert ws.read_close() == 4429
        other.read_json()
        other.send_text(MESSAGE)
        assert other.read_json()["content"] == MESSAGE["content"]
    assert metrics_of(gateway)("chat_ws_rests_total") >= 1


def test_refused_requests(make_cluster):
    """All are answered, in order, on a connection that stays, and so is a good one behind them."""
    gateway = lone_gateway(make_cluster)
    with RawConn(gateway.port, timeout=60) as conn:
        conn.send(build_request("GET", "/nothing") * 1000 + build_request("GET", "/livez"))
        statuses = [conn.read_response().status for _ in range(1001)]
    assert statuses == [404] * 1000 + [200]


def test_half_wrong_is_not_slowed(make_cluster):
    """A proxy's connection, half of whose requests are refused."""
    gateway = lone_gateway(make_cluster)
    with RawConn(gateway.port, timeout=60) as conn:
        for _ in range(10):
            conn.send((build_request("GET", "/nothing") + build_request("GET", "/livez")) * 30)
            assert [conn.read_response().status for _ in range(60)] == [404, 200] * 30
    assert metrics_of(gateway)("chat_http_rests_total") == 0


# --- origins --------------------------------------------------------------------------------------


ALLOWED = "https://chat.example, http://localhost:3000"
CASES = [("https://chat.example", True), ("https://CHAT.example", True),
         ("https://chat.example:443", True), ("http://localhost:3000", True), (None, True),
         ("null", False), ("http://chat.example", False), ("https://chat.example:8443", False),
         ("https://chat.example/", False), ("https://evil.example", False), ("", False),
         ("https://chat.example.evil.example", False), ("http://localhost", False)]


@pytest.fixture(scope="module")
def picky(tmp_path_factory):
    from cluster import Cluster
    cluster = Cluster(tmp_path_factory.mktemp("origins"), gateways=1,
                      gateway_settings={"ALLOWED_ORIGINS": ALLOWED}).start()
    yield cluster.gateways[0]
    problems = cluster.close()
    assert not problems, "\n".join(problems)


def origin_headers(origin):
    return [] if origin is None else [("Origin", origin)]


@pytest.mark.parametrize("origin,allowed", CASES)
def test_origin_of_a_websocket(picky, origin, allowed):
    with RawWS(picky.port, "/ws", origin_headers(origin), check=False) as ws:
        assert ws.response.status == (101 if allowed else 403)
        if not allowed:
            assert "ALLOWED_ORIGINS" in detail(ws.response)


@pytest.mark.parametrize("origin,allowed", CASES)
def test_cors(picky, origin, allowed):
    """The very origin is named to a page that is welcome, nothing to another; caches are told."""
    preflight = [*origin_headers(origin), ("Access-Control-Request-Method", "POST"),
                 ("Access-Control-Request-Headers", "content-type")]
    with RawConn(picky.port) as conn:
        for answer in (conn.request("GET", "/messages", headers=origin_headers(origin)),
                       conn.request("GET", "/nothing", headers=origin_headers(origin)),
                       conn.request("OPTIONS", "/messages", headers=preflight)):
            named = answer.headers.get("access-control-allow-origin")
            assert named == (origin if allowed else None)
            assert answer.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in answer.headers
        assert answer.status == 204
        methods = answer.headers.get("access-control-allow-methods", "")
        assert ("POST" in methods) == allowed


def test_two_origins(picky):
    twice = [("Origin", "https://chat.example")] * 2
    with RawWS(picky.port, "/ws", twice, check=False) as ws:
        assert ws.response.status == 403


def test_all_origins(make_cluster):
    gateway = lone_gateway(make_cluster)
    for origin in ("https://any.example", "null"):
        with RawWS(gateway.port, "/ws", [("Origin", origin)]) as ws:
            assert ws.response.status == 101
        with RawConn(gateway.port) as conn:
            answer = conn.request("GET", "/messages", headers=[("Origin", origin)])
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "vary" not in answer.headers


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name,value", [
    ("ALLOWED_ORIGINS", "chat.example"), ("ALLOWED_ORIGINS", "https://chat.example/"),
    ("ALLOWED_ORIGINS", "https://a,*"), ("ALLOWED_ORIGINS", "https://a,,https://b"),
    ("TRUSTED_PROXIES", "10.0.0.0/33"), ("TRUSTED_PROXIES", "proxy.example"),
    ("TRUSTED_PROXIES", "10.0.0.1,"), ("CLIENT_RATE", "-1"), ("CONNS_PER_ADDRESS", "many")])
def test_wrong_settings(name, value):
    """Refused at the start, with one line that names the setting and what was given."""
    run = subprocess.run([build_folder() / "chat-gateway"], env={**os.environ, name: value},
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and run.stderr.count("\n") == 1
    assert name in run.stderr and value in run.stderr
