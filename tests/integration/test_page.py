# SPDX-License-Identifier: MIT
"""The files of the page over HTTP, and what the protocol has for the page. What the page does with
them is in tests/browser/."""

import gzip
import re
from pathlib import Path

import pytest
from cluster import REPO, wait_until
from rawws import RawConn, RawWS

WEB = REPO / "gateway" / "web"
PAGE_BYTES_MAX = 40 << 10
ASSETS = {"/": "index.html", "/favicon.svg": "favicon.svg",
          **{f"/assets/{path.name}": path.name for path in WEB.iterdir()
             if path.suffix in (".js", ".css") and not path.name.startswith("lab")}}
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


@pytest.fixture
def gateway(make_cluster):
    return make_cluster(gateways=1).gateways[0]


def fetch(gateway, path, encoding="identity", method="GET", **headers):
    return gateway.http.request(method, path, headers={"Accept-Encoding": encoding, **headers})


def raw_body(gateway, path, encoding):
    """The bytes as they are sent; httpx would unpack them."""
    with RawConn(gateway.port) as conn:
        conn.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {encoding}\r\n\r\n".encode())
        return conn.read_response()


def test_every_file_is_served_as_it_is(gateway):
    for path, name in ASSETS.items():
        answer = fetch(gateway, path)
        assert answer.status_code == 200, path
        assert answer.content == (WEB / name).read_bytes()
        assert answer.headers["content-type"] == TYPES[Path(name).suffix]
        assert "content-encoding" not in answer.headers
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    for path in ("/index.html", "/assets/", "/assets/nothing.js", "/assets/app.js.gz", "//",
                 "/assets/../index.html", "/assets/%2e%2e/index.html", "/assets%2Fapp.js"):
        assert raw_body(gateway, path, "identity").status == 404, path
    # A letter that is escaped is the letter (RFC 3986 section 6.2.2.2).
    assert raw_body(gateway, "/assets/%61pp.js", "identity").body == (WEB / "app.js").read_bytes()


def test_policy_allows_nothing_but_our_own_files(gateway):
    policy = dict(part.strip().split(" ", 1)
                  for part in fetch(gateway, "/").headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'",
        "connect-src": "'self'", "img-src": "'self' data:", "base-uri": "'none'",
        "form-action": "'none'", "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'", "trusted-types": "'none'"}
    markup = (WEB / "index.html").read_text()
    assert not re.search(r"\s(on\w+|style)=|<style|<script(?![^>]* src=)|https?://", markup)
    for path in re.findall(r'(?:src|href)="([^"]+)"', markup):
        assert path in ASSETS, path
    for name in ASSETS.values():
        for module in re.findall(r"from '\./([^']+)'", (WEB / name).read_text()):
            assert f"/assets/{module}" in ASSETS, module


def test_the_page_is_small():
    assert sum((WEB / name).stat().st_size for name in ASSETS.values()
               if not name.startswith("docs.")) < PAGE_BYTES_MAX


@pytest.mark.parametrize("encoding,packed", [
    ("gzip", True), ("deflate, gzip;q=0.5, br", True), ("GZIP", True), ("br , gzip ; q=1", True),
    ("", False), ("identity", False), ("br", False), ("gzip;q=0", False), ("gzip; Q=0.000", False),
    ("xgzip", False), ("*", False)])
def test_gzip_where_it_is_accepted(gateway, encoding, packed):
    answer = raw_body(gateway, "/assets/app.js", encoding)
    plain = (WEB / "app.js").read_bytes()
    assert answer.status == 200 and answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(answer.body) if packed else answer.body) == plain
    assert not packed or len(answer.body) < len(plain) / 2


def test_entity_tags(gateway):
    plain, packed = (fetch(gateway, "/", encoding) for encoding in ("identity", "gzip"))
    assert plain.headers["etag"] != packed.headers["etag"], "strong: one for each form"
    assert re.fullmatch(r'"[0-9a-f]{20}"', plain.headers["etag"])
    tags = {fetch(gateway, path).headers["etag"] for path in ASSETS}
    assert len(tags) == len(ASSETS)
    for answer, encoding in ((plain, "identity"), (packed, "gzip")):
        tag = answer.headers["etag"]
        for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            same = fetch(gateway, "/", encoding, **{"If-None-Match": known})
            assert same.status_code == 304 and same.content == b"", known
            assert same.headers["etag"] == tag and same.headers["vary"] == "Accept-Encoding"
            assert same.headers["cache-control"] == "no-cache"
            assert "content-encoding" not in same.headers
    other = fetch(gateway, "/", "identity", **{"If-None-Match": packed.headers["etag"]})
    assert other.status_code == 200
    assert fetch(gateway, "/", **{"If-None-Match": '"x"'}).status_code == 200


def test_tags_are_the_same_on_every_gateway(cluster):
    first, second = (fetch(gateway, "/assets/view.js", "gzip") for gateway in cluster.gateways)
    assert first.headers["etag"] == second.headers["etag"]


def test_methods(gateway):
    get, head = fetch(gateway, "/"), fetch(gateway, "/", method="HEAD")
    ours = ("content-type", "content-length", "etag", "content-security-policy")
    assert head.status_code == 200 and head.content == b""
    assert [head.headers[name] for name in ours] == [get.headers[name] for name in ours]
    refused = gateway.http.post("/", json={})
    assert refused.status_code == 405 and refused.headers["allow"] == "GET, HEAD, OPTIONS"
    assert fetch(gateway, "/", method="OPTIONS").status_code == 204


def test_every_answer_names_the_replica(cluster):
    for gateway in cluster.gateways:
        for path in ("/", "/messages", "/messages/1", "/nothing", "/livez", "/ws"):
            assert fetch(gateway, path).headers["chat-replica"] == gateway.name
        with RawWS(gateway.port) as ws:
            assert ws.response.headers["chat-replica"] == gateway.name


def test_the_host_names_the_replica_otherwise(make_cluster):
    gateway = make_cluster(gateways=1, gateway_settings={"REPLICA": ""}).gateways[0]
    assert re.fullmatch(r"[\w.-]{1,64}", fetch(gateway, "/").headers["chat-replica"])


def test_a_replica_with_another_name_does_not_start(make_cluster):
    cluster = make_cluster(gateways=1, gateway_settings={"REPLICA": "a b"}, start=False)
    gateway = cluster.gateways[0]
    gateway.start(wait=False)
    assert gateway.wait_end() == 2
    assert "REPLICA" in gateway.log


def test_hello_is_the_first_frame_of_who_asks(cluster):
    first, second = cluster.gateways
    last = [first.http.post("/rooms/a/messages", json={"username": "a", "content": str(n)}).json()
            for n in range(3)][-1]
    wait_until(lambda: second.http.get("/rooms/a/messages", params={"min_id": last["id"]})
               .status_code == 200)
    for query in ("?hello=1", "?hello=1&after=0", "?history=2&hello=1"):
        with RawWS(second.port, f"/rooms/a/ws{query}") as ws:
            assert ws.read_json() == {"type": "hello", "replica": "gateway-1",
                                      "position": last["id"], "content_max": 4096}
            assert ws.read_json()["username"] == "a"
    for query in ("", "?hello=0"):
        with RawWS(second.port, f"/rooms/a/ws{query}") as ws:
            assert ws.read_json()["id"] == last["id"] - 2
    assert second.http.get("/ws?hello=2", headers={
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}).status_code == 422


def test_pings_in_frames(gateway):
    with RawWS(gateway.port) as ws:
        ws.send_text('{"type":"ping","nonce":"n\\"1"}')
        assert ws.read_json() == {"type": "pong", "nonce": 'n"1'}
        ws.send_text('{"type":"ping","x":[]}')
        assert ws.read_json() == {"type": "pong"}
        ws.send_text('{"type":"ping","nonce":5}')
        assert ws.read_json()["code"] == "invalid_message"
        ws.send_text('{"type":"pong"}')
        assert ws.read_json()["code"] == "invalid_message"
        ws.send_text('{"type":"ping","username":"a","content":"b"}')
        assert ws.read_json()["content"] == "b"
