# SPDX-License-Identifier: MIT
"""What a client meets at the edge: bad input, pipelines, frames, drain."""

import json

import pytest
from cluster import get, post, wait_until
from rawws import PING, PONG, TEXT, RawConn, RawWS


@pytest.fixture
def gateway(make_cluster):
    return make_cluster(gateways=1).gateways[0]


def test_http_edge(gateway):
    http = gateway.http
    for limit in ("0", "-1", "abc", "1001", "1e3", "9" * 30, ""):
        answer = http.get("/messages", params={"limit": limit})
        assert answer.status_code == 422, limit
        assert answer.json()["detail"][0]["loc"] == ["query", "limit"]
    assert http.get("/nothing").json() == {"detail": "Not Found"}
    wrong = http.put("/messages", content=b"x")
    assert wrong.status_code == 405 and "POST" in wrong.headers["allow"]
    assert http.post("/messages", content=b"x=1").status_code == 415
    both = http.post("/messages", json={"username": 5})
    assert [e["type"] for e in both.json()["detail"]] == ["string_type", "missing"]
    head = http.head("/messages")
    assert head.status_code == 200 and head.content == b"" and head.headers["content-length"] == "2"
    pre = http.options("/messages", headers={"Origin": "http://a.example",
                                             "Access-Control-Request-Method": "POST"})
    assert pre.status_code == 204 and pre.headers["access-control-allow-origin"] == "*"
    plain = http.get("/ws")
    assert plain.status_code == 426 and plain.headers["upgrade"] == "websocket"
    large = http.post("/messages", content=b" " * 300000,
                      headers={"Content-Type": "application/json"})
    assert large.status_code == 413
    assert post(gateway, "a", "x" * 4097).status_code == 422
    assert post(gateway, "a", "x" * 4096).status_code == 201
    page = get(gateway)
    same = get(gateway, headers={"If-None-Match": page.headers["etag"]})
    assert same.status_code == 304 and same.content == b""
    for path in ("/messages", "/"):
        etag = http.get(path).headers["etag"]
        for known, status in ((f'"a, b", W/{etag}', 304), ("*", 304), (f'"a", W/"b",, {etag}', 304),
                              (etag.strip('"'), 200), (f'"a" {etag}', 200), ('"a,*,b"', 200),
                              (f'"{"a" * 5000}", {etag}', 304)):
            assert http.get(path, headers={"If-None-Match": known}).status_code == status, known
        lines = http.get(path, headers=[("If-None-Match", '"a"'), ("If-None-Match", etag)])
        assert lines.status_code == 304
        for known, status in ((etag, 200), (f'"a", {etag}', 200), ("*", 200), ('"a"', 412),
                              (f"W/{etag}", 412)):
            assert http.get(path, headers={"If-Match": known}).status_code == status, known
        both = http.get(path, headers={"If-Match": '"a"', "If-None-Match": etag})
        assert both.status_code == 412
        assert http.head(path, headers={"If-Match": '"a"'}).status_code == 412
    assert http.get("/messages/", follow_redirects=False).status_code == 307


def test_smuggling_is_refused(gateway):
    for head in (b"POST /messages HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n",
                 b"GET /messages HTTP/1.1\r\n\r\n",
                 b"GET /messages HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
                 b"GET /messages HTTP/1.1\r\nHost : a\r\n\r\n"):
        with RawConn(gateway.port) as conn:
            conn.send(head)
            assert conn.read_response().status == 400, head
            assert conn.is_closed()


def test_pipeline_keeps_order(gateway):
    with RawConn(gateway.port) as conn:
        for n in range(100):
            body = json.dumps({"username": "p", "content": str(n)}).encode()
            conn.send(b"POST /messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body) + body)
        conn.send(b"GET /messages?limit=100 HTTP/1.1\r\nHost: a\r\n\r\n")
        ids = []
        for _ in range(100):
            answer = conn.read_response()
            assert answer.status == 201
            ids.append(json.loads(answer.body)["id"])
        assert ids == list(range(1, 101))
        page = json.loads(conn.read_response().body)
        assert [m["content"] for m in page] == [str(n) for n in range(100)]


def test_frames(gateway):
    with RawWS(gateway.port) as ws:
        ws.send_frame(b"ab", PING)
        frame = ws.read_frame()
        assert (frame.opcode, frame.payload) == (PONG, b"ab")
        ws.send_text("hello")
        error = ws.read_json()
        assert error["type"] == "error" and error["code"] == "invalid_json"
        ws.send_frame(b'{"username":"a",', TEXT, fin=False)
        ws.send_frame(b"x", PING)
        ws.send_frame(b'"content":"b"}', 0)
        assert ws.read_frame().opcode == PONG
        assert ws.read_json()["content"] == "b"
        ws.send_close(1000)
        assert ws.read_close() == 1000


@pytest.mark.parametrize("bits,code", [({"masked": False}, 1002), ({"rsv": 4}, 1002),
                                       ({"opcode": 3}, 1002), ({"payload": b"\xff"}, 1007),
                                       ({"opcode": 2}, 1003)])
def test_bad_frames(gateway, bits, code):
    with RawWS(gateway.port) as ws:
        ws.send_frame(**{"payload": b"{}", **bits})
        assert ws.read_close() == code
    assert post(gateway, "a", "still there").status_code == 201


def test_persister_away_memory_is_served(make_cluster):
    cluster = make_cluster(gateways=1)
    gateway = cluster.gateways[0]
    for n in range(30):
        post(gateway, "a", str(n))
    cluster.persister.kill9()
    assert post(gateway, "a", "30").status_code == 201
    assert len(get(gateway).json()) == 31
    cluster.persister.restart()


def test_nothing_ready_without_redis(make_cluster):
    cluster = make_cluster(gateways=1, start=False)
    gateway = cluster.gateways[0]
    gateway.start(wait=False)
    wait_until(lambda: gateway.probe("/livez"))
    assert gateway.probe("/livez").status_code == 200
    answer = gateway.probe("/readyz")
    assert answer.status_code == 503 and answer.json()["detail"]
    cluster.redis.start()
    cluster.persister.start()
    gateway.wait_ready()
    assert post(gateway, "a", "b").status_code == 201


def test_drain_closes_with_1012(make_cluster):
    cluster = make_cluster(gateways=1)
    readers = [cluster.subscribe(0) for _ in range(20)]
    cluster.gateways[0].terminate()
    assert {reader.wait_closed() for reader in readers} == {1012}
