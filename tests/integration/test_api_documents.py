# SPDX-License-Identifier: MIT
"""The API's documents are true: every operation is asked for and answered as it says, what a schema
lets through the gateway takes and what not it refuses, and the check of all that finds a lie."""

import copy
import gzip
import json
import re

import contract
import pytest
from cluster import REPO, post, wait_until
from rawws import RawConn, RawWS, build_request

MESSAGE = {"username": "Diego", "content": "Hola"}
ORIGIN = "http://page.example"


def ask(gateway, method, target, body=None, headers=()):
    """One answer, held against the document."""
    with RawConn(gateway.port, timeout=30) as conn:
        answer = conn.request(method, target, body, headers)
    contract.check_raw(method, target, answer)
    return answer


def ask_bytes(gateway, data, method="GET", target="/messages"):
    with RawConn(gateway.port, timeout=30) as conn:
        conn.send(data)
        answer = conn.read_response()
    contract.check_raw(method, target, answer)
    return answer


def limit(name):
    """A bound of common/limits.h."""
    return int(re.search(rf"\b{name} = (\d+)", (REPO / "common/limits.h").read_text())[1])


# --- the documents as they are served -------------------------------------------------------------


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
def test_documents_are_served(cluster, name):
    gateway = cluster.gateways[0]
    text = (REPO / "docs" / name).read_bytes()
    plain = ask(gateway, "GET", f"/{name}", headers={"Origin": ORIGIN})
    assert (plain.status, plain.body) == (200, text)
    assert plain.headers["access-control-allow-origin"] == "*"
    packed = ask_bytes(gateway, build_request("GET", f"/{name}", headers={
        "Accept-Encoding": "gzip", "Connection": "close"}), target=f"/{name}")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == text
    assert packed.headers["etag"] != plain.headers["etag"]
    same = ask(gateway, "GET", f"/{name}", headers={"If-None-Match": plain.headers["etag"]})
    assert same.status == 304


def test_viewer_is_served(cluster):
    gateway = cluster.gateways[0]
    page = gateway.http.get("/docs")
    assert page.status_code == 200
    parts = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
    assert parts
    for part in [*parts, "/assets/rapidoc-min.js"]:
        assert gateway.http.get(part).status_code == 200, part
    styles = [header.split("style-src")[1].split(";")[0] for header in
              (page.headers["content-security-policy"],
               gateway.http.get("/").headers["content-security-policy"])]
    assert "'unsafe-inline'" in styles[0] and "'unsafe-inline'" not in styles[1]
    script = page.headers["content-security-policy"].split("script-src")[1].split(";")[0]
    assert script.strip() == "'self'"


# --- every operation ------------------------------------------------------------------------------


def test_every_operation_is_as_documented(make_cluster):
    contract.seen.clear()
    cluster = make_cluster(gateways=1, settings={"LAB": 1},
                           gateway_settings={"ALLOWED_ORIGINS": ORIGIN})
    gateway = cluster.gateways[0]
    posted = post(gateway, **MESSAGE, idempotency_key="k", x_request_id="r1", origin=ORIGIN)
    assert posted.status_code == 201 and posted.headers["x-request-id"] == "r1"
    for path in contract.openapi.document["paths"]:
        for method in contract.openapi.document["paths"][path].keys() - {"parameters"}:
            target = path.format(room="kitchen", id=1, file="app.js")
            ask(gateway, method.upper(), target, MESSAGE if method == "post" else None)
        ask(gateway, "DELETE", path.format(room="kitchen", id=1, file="app.js"))
    for target in ("/none", "/rooms/a%20b/messages", "/rooms/a%20b/ws", "/messages/99",
                   "/assets/none", "/messages/x", "/messages?limit=0&after=x", "/ws"):
        ask(gateway, "GET", target)
    etag = gateway.http.get("/messages").headers["etag"]
    ask(gateway, "GET", "/messages", headers={"If-None-Match": etag})
    ask(gateway, "GET", "/messages", headers={"If-Match": '"x"'})
    ask(gateway, "OPTIONS", "/messages", headers={
        "Origin": ORIGIN, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type"})
    ask(gateway, "GET", "/readyz?verbose")
    for target in ("/messages", "/rooms/kitchen/messages"):
        ask(gateway, "POST", target, b"{}", {"Content-Type": "text/plain"})
        ask(gateway, "POST", target, b"{}")
        ask(gateway, "POST", target, MESSAGE, {"Idempotency-Key": "k" * 256})
    ask(gateway, "POST", "/messages", {**MESSAGE, "content": "x"}, {"Idempotency-Key": "k"})
    ask(gateway, "GET", "/messages?min_id=50")
    for path in ("/ws", "/rooms/kitchen/ws"):
        for headers in ({}, {"Origin": ORIGIN}, {"Origin": "http://other.example"},
                        {"Sec-WebSocket-Extensions": "permessage-deflate"}):
            with RawWS(gateway.port, path, headers=headers, check=False) as ws:
                contract.check_raw("GET", path, ws.response)
        for options in ({"version": "12"}, {"key": "short"}):
            with RawWS(gateway.port, path, check=False, **options) as ws:
                contract.check_raw("GET", path, ws.response)
        with RawWS(gateway.port, path + "?history=x", check=False) as ws:
            contract.check_raw("GET", path, ws.response)
    fault = {"replica": gateway.name, "fault": "drop_redis"}
    for target in (fault, {**fault, "replica": "nobody"}, {"fault": "none"}):
        ask(gateway, "POST", "/lab/faults", target)
    ask(gateway, "POST", "/lab/faults", fault, {"Origin": "http://other.example"})
    wait_until(lambda: ask(gateway, "GET", "/readyz").status == 200)
    refuse_framing(gateway)
    cluster.redis.stop()  # does not answer: the batch that is sent may have run
    try:
        assert ask(gateway, "POST", "/messages", MESSAGE).status == 504
        wait_until(lambda: ask(gateway, "GET", "/readyz").status == 503)
        assert ask(gateway, "POST", "/rooms/kitchen/messages", MESSAGE).status in (503, 504)
    finally:
        cluster.redis.cont()
    wait_until(lambda: ask(gateway, "GET", "/readyz").status == 200)
    limited = cluster.add_gateway(ADDRESS_RATE=1, ADDRESS_BURST=1).start()
    wait_until(lambda: ask(limited, "POST", "/messages", MESSAGE).status == 429)
    assert missing_operations() == []
    assert missing_statuses() == []


def refuse_framing(gateway):
    """What is refused before a route is looked for."""
    long = "x" * (limit("HTTP_TARGET_BYTES_MAX") + 1)
    host = b"Host: a\r\n"
    for request, status in (
            (b"GET /messages HTTP/1.1\r\n\r\n", 400),
            (b"GET /messages HTTP/2.0\r\n" + host + b"\r\n", 505),
            (b"GET /messages HTTP/1.1\r\n" + host + b"Expect: x\r\n\r\n", 417),
            (b"POST /messages HTTP/1.1\r\n" + host + b"Content-Length: 300000\r\n\r\n", 413),
            (f"GET /messages?{long} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 414),
            (b"GET /messages HTTP/1.1\r\n" + host + b"A: b\r\n" * 64 + b"\r\n", 431),
            (b"GET /messages HTTP/1.1\r\n" + host, 408)):
        method = request.split()[0].decode()
        assert ask_bytes(gateway, request, method).status == status, request[:60]


def missing_operations():
    return sorted(f"{method} {path}" for path, item in contract.openapi.document["paths"].items()
                  for method in item.keys() - {"parameters"}
                  if not any(seen[:2] == (method.upper(), path) for seen in contract.seen))


def missing_statuses():
    """Statuses that are documented and were not met anywhere."""
    documented = {int(status) for item in contract.openapi.document["paths"].values()
                  for method in item.keys() - {"parameters"} for status in item[method]["responses"]}
    return sorted(documented - {seen[2] for seen in contract.seen})


def test_every_route_is_documented():
    paths = re.findall(r'X\("(/[^"]*)"', (REPO / "gateway/assets.c").read_text())
    routes = (REPO / "gateway/routes.c").read_text()
    paths += re.findall(r'str_eq\(p\w*, STR\("(/[^"]*)"\)\)', routes)
    assert "/" in paths and "/livez" in paths and "/messages" in paths
    assert [path for path in paths if contract.openapi.path_of(path) is None] == []


# --- schemas --------------------------------------------------------------------------------------

BODIES = [
    MESSAGE, {**MESSAGE, "more": 1}, {"username": "a"}, {"content": "a"}, {}, [], 1, "a", None,
    {"username": "", "content": "a"}, {"username": "a", "content": ""},
    {"username": "é" * 64, "content": "𝄞" * 4096}, {"username": "é" * 65, "content": "a"},
    {"username": "a", "content": "a" * 4097}, {"username": 1, "content": "a"},
    {"username": None, "content": True}, {"username": "a\0", "content": "a"},
    {"username": "a\n", "content": "\n"}, {"username": "a", "content": "a\0\n"},
]
FRAMES = [
    {**MESSAGE, "nonce": "n"}, {**MESSAGE, "nonce": ""}, {**MESSAGE, "nonce": 1},
    {**MESSAGE, "nonce": "n" * 128}, {**MESSAGE, "nonce": "n" * 129}, {**MESSAGE, "nonce": None},
    {**MESSAGE, "type": "ping"}, {"type": "ping"}, {"type": "ping", "nonce": "é"},
    {"type": "ping", "nonce": ""}, {"type": "ping", "username": "a"}, {"type": "pong"},
    {"type": 1}, {"type": "ping", "more": []},
]


def test_schema_of_a_body_is_what_the_gateway_takes(cluster):
    schema = contract.openapi.document["components"]["schemas"]["NewMessage"]
    for body in BODIES:
        answer = cluster.gateways[0].http.post("/messages", json=body)
        taken = not contract.openapi.schemas.mistakes(schema, body)
        assert answer.status_code == (201 if taken else 422), (body, answer.text)


def test_schema_of_a_frame_is_what_the_gateway_takes(cluster):
    client = cluster.subscribe(history=0)
    for number, frame in enumerate(BODIES + FRAMES):
        before = len(client.frames)
        client.send_text(json.dumps(frame))
        client.send_text(json.dumps({"type": "ping", "nonce": f"behind {number}"}))
        client.wait_event(type="pong", nonce=f"behind {number}")
        refused = any(b'"type":"error"' in text for text in client.frames[before:])
        assert refused is not contract.asyncapi.taken(frame), (frame, client.frames[before:])


def test_an_error_names_the_frame(cluster):
    """By its nonce, where that is valid: what was refused, and no other."""
    client = cluster.subscribe(history=0)
    for frame in ({"nonce": "n1"}, {**MESSAGE, "username": 1, "nonce": "é\"2"},
                  {**MESSAGE, "wait": "never", "nonce": "n" * 128}):
        client.send_text(json.dumps(frame))
        assert "hint" in client.wait_event(type="error", code="invalid_message",
                                           nonce=frame["nonce"])
    for number, nonce in enumerate(("", 5, "n" * 129, "a\0")):
        client.send_text(json.dumps({**MESSAGE, "nonce": nonce}))
        client.send_text(json.dumps({"type": "ping", "nonce": f"behind {number}"}))
        client.wait_event(type="pong", nonce=f"behind {number}")
    errors = [frame for frame in map(json.loads, client.frames) if frame.get("type") == "error"]
    assert len(errors) == 7 and not any("nonce" in error for error in errors[3:])


def test_who_types_hello_is_told_what_to_send(cluster):
    client = cluster.subscribe()
    client.send_text("hello")
    error = client.wait_event(type="error", code="invalid_json")
    client.send_text(error["hint"].removeprefix("send "))
    client.wait_count(1)


def test_greeting_is_as_documented(cluster):
    with RawWS(cluster.gateways[0].port, "/ws?hello=1") as ws:
        text = ws.read_text()
    assert json.loads(text)["type"] == "hello" and contract.asyncapi.mistakes(text) == []


def examples(thing, schemas):
    """(schema, value) of all media types, messages and headers below a part of a document."""
    if isinstance(thing, dict):
        if "schema" in thing:
            for example in thing.get("examples", {}).values():
                yield thing["schema"], example["value"]
            if "example" in thing:
                yield thing["schema"], thing["example"]
        if "payload" in thing and "examples" in thing:
            for example in thing["examples"]:
                yield thing["payload"], example["payload"]
        for value in thing.values():
            yield from examples(value, schemas)
    elif isinstance(thing, list):
        for value in thing:
            yield from examples(value, schemas)


@pytest.mark.parametrize("part", ["openapi", "asyncapi"])
def test_examples_are_what_their_schemas_say(part):
    document = contract.load(f"{part}.json")
    schemas = getattr(contract, part).schemas
    found = list(examples(document, schemas))
    assert len(found) > 10
    for schema, value in found:
        assert schemas.mistakes(schema, value) == [], value


def test_numbers_are_those_of_the_code():
    rest, live = contract.load("openapi.json"), contract.load("asyncapi.json")
    version = re.search(r'CHAT_VERSION "(.*)"', (REPO / "common/version.h").read_text())[1]
    assert rest["info"]["version"] == live["info"]["version"] == version
    fields = rest["components"]["schemas"]["NewMessage"]["properties"]
    assert fields["username"]["maxLength"] == limit("USERNAME_CHARS_MAX")
    assert fields["content"]["maxLength"] == limit("CONTENT_CHARS_MAX")
    message = rest["components"]["schemas"]["Message"]["properties"]
    assert message["content"]["maxLength"] == limit("CONTENT_CHARS_CEILING")
    parameters = rest["components"]["parameters"]
    assert parameters["Limit"]["schema"] == {
        "type": "integer", "minimum": 1, "maximum": limit("PAGE_LIMIT_MAX"),
        "default": limit("PAGE_LIMIT_DEFAULT")}
    assert parameters["History"]["schema"]["default"] == limit("JOIN_HISTORY_DEFAULT")
    key = parameters["IdempotencyKey"]["schema"]
    assert key["maxLength"] == limit("IDEMPOTENCY_KEY_BYTES_MAX")
    live_schemas = live["components"]["schemas"]
    assert live_schemas["NewMessage"]["properties"]["nonce"]["maxLength"] == limit("NONCE_CHARS_MAX")
    for name in ("username", "content"):
        assert live_schemas["NewMessage"]["properties"][name] == fields[name]
    assert live_schemas["ChatMessage"]["properties"] == message
    assert live_schemas["Mistake"] == rest["components"]["schemas"]["Mistake"]


def test_protocol_and_documents_agree():
    protocol = (REPO / "docs/PROTOCOL.md").read_text()
    table = protocol.split("| close code |")[1].split("\n\n")[0]
    codes = {int(code) for row in table.splitlines()[2:]
             for code in re.findall(r"\d{4}", row.split("|")[1])}
    assert codes == contract.asyncapi.close_codes
    errors = protocol.split("| error code |")[1].split("\n\n")[0]
    schema = contract.load("asyncapi.json")["components"]["schemas"]["Error"]
    assert set(re.findall(r"^\| `(\w+)`", errors, re.M)) == set(schema["properties"]["code"]["enum"])


# --- the check itself -----------------------------------------------------------------------------

HEADERS = {"etag": '"1-1-1"', "cache-control": "no-cache", "content-type": "application/json",
           "content-length": "2", "date": "x"}
PAGE = b'[{"id":1,"username":"a","content":"b","created_at":"2025-06-14T22:15:03.123Z","room":"r"}]'


@pytest.mark.parametrize("change, found", [
    (dict(), ""),
    (dict(status=202), "202 is not documented"),
    (dict(path="/none"), "200 is not documented"),
    (dict(method="PUT"), "200 is not documented"),
    (dict(headers={**HEADERS, "x-new": "1"}), "header x-new is not documented"),
    (dict(headers={k: v for k, v in HEADERS.items() if k != "etag"}), "header etag is missing"),
    (dict(headers={**HEADERS, "chat-complete": "true"}), "header chat-complete"),
    (dict(headers={**HEADERS, "content-type": "text/html"}), "Content-Type text/html"),
    (dict(headers={k: v for k, v in HEADERS.items() if k != "content-type"}), "without Content"),
    (dict(body=PAGE.replace(b'"room":"r"', b'"room":"r","new":1')), "'new' was unexpected"),
    (dict(body=PAGE.replace(b',"room":"r"', b"")), "'room' is a required property"),
    (dict(body=PAGE.replace(b'"id":1', b'"id":"1"')), "is not of type 'integer'"),
    (dict(body=b"{}"), "is not of type 'array'"),
])
def test_a_lie_about_an_answer_is_found(change, found):
    answer = {"method": "GET", "path": "/messages", "status": 200, "headers": HEADERS,
              "body": PAGE, **change}
    mistakes = contract.OpenApi(contract.load("openapi.json")).mistakes(**answer)
    assert bool(mistakes) == bool(found) and found in "\n".join(mistakes), mistakes


def test_a_lie_about_a_frame_is_found():
    document = contract.load("asyncapi.json")
    frame = b'{"type":"ack","nonce":"1","id":42}'
    assert contract.AsyncApi(document).mistakes(frame) == []
    assert contract.asyncapi.mistakes(b'{"type":"new"}')
    assert contract.asyncapi.mistakes(frame.replace(b"42", b'"42"'))
    assert contract.asyncapi.mistakes(PAGE[1:-1]) == []
    assert contract.asyncapi.mistakes(b'{"room":"r",' + PAGE[2:-1].replace(b',"room":"r"', b""))
    narrower = copy.deepcopy(document)
    del narrower["components"]["schemas"]["Ack"]["properties"]["nonce"]
    assert contract.AsyncApi(narrower).mistakes(frame)


def test_what_is_found_fails_the_test_at_its_end(make_cluster):
    cluster = make_cluster(gateways=1)
    contract.asyncapi.check(b'{"type":"new"}')
    problems = cluster.close()
    assert len(problems) == 1 and "type new is not documented" in problems[0]
    assert cluster.close() == []
