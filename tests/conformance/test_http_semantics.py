# SPDX-License-Identifier: MIT
"""RFC 9110: methods, targets, bounds, expectations, connections; and the deadlines of a request."""

import json
import time

import pytest
from rawws import RawConn
from wire import HOST, MESSAGE, SMUGGLED, ask, check_error, get, post, refused, serves

METHODS = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"BREW"]
ROUTES = [b"/messages", b"/rooms/a/messages", b"/messages/1", b"/messages/", b"/ws",
          b"/rooms/a/ws", b"/livez", b"/readyz", b"/healthz"]


# --- methods --------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
def test_allow_is_full(gateway, route):
    """Allow names what is not answered 405, all of it and nothing else."""
    status, allow = {}, set()
    for method in METHODS:
        answer = ask(gateway, get(route, method=method), method)
        status[method] = answer.status
        if answer.status == 405:
            allow.add(answer.headers["allow"])
    allow.add(ask(gateway, get(route, method=b"OPTIONS")).headers["allow"])
    assert len(allow) == 1
    assert set(allow.pop().encode().split(b", ")) == {m for m in METHODS if status[m] != 405}
    assert 501 not in status.values()


def test_methods_are_case_sensitive(gateway):
    assert ask(gateway, get(method=b"get")).status == 405


def test_options_of_the_server(gateway):
    answer = ask(gateway, get(b"*", method=b"OPTIONS"))
    assert answer.status == 204 and "POST" in answer.headers["allow"]


@pytest.mark.parametrize("target", [b"/livez", b"/messages", b"/nothing", b"/messages?limit=x",
                                    b"/messages/999999999", b"/messages/"])
def test_head_has_no_body(gateway, target):
    """What GET has, but for the body: the next answer follows at once."""
    with RawConn(gateway.port) as conn:
        conn.send(get(target, method=b"HEAD") + get(target) + get(b"/nothing", method=b"HEAD"))
        head, whole = conn.read_response(head_only=True), conn.read_response()
        assert conn.read_response(head_only=True).status == 404
        assert head.status == whole.status
        assert head.headers["content-length"] == str(len(whole.body))
        assert head.headers.keys() == whole.headers.keys()


@pytest.mark.parametrize("request_,status", [
    (b"HEAD /livez HTTP/1.1\r\n\r\n", 400),
    (get(b"/" + b"a" * 5000, method=b"HEAD"), 414),
    (get(headers=b"a:b\r\n" * 64, method=b"HEAD"), 431),
    (get(headers=b"Expect: x\r\n", method=b"HEAD"), 417),
    (get(headers=b"Content-Length: 999999999\r\n", method=b"HEAD"), 413)])
def test_refused_head_has_no_body(gateway, request_, status):
    with RawConn(gateway.port) as conn:
        conn.send(request_)
        assert conn.read_response(head_only=True).status == status
        assert conn.read_to_end() == b""


# --- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [
    b"Content-Length: 262145\r\n", b"Content-Length: 9999999999\r\n",
    b"Content-Length: 9223372036854775807\r\n", b"Content-Length: 9999999999999999999\r\n",
    b"Content-Length: 262145\r\nExpect: 100-continue\r\n"])
def test_413_from_the_declared_size(gateway, headers):
    """No byte of the body is sent, and none is waited for."""
    head = b"POST /messages HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    refused(gateway, head + headers + b"\r\n", 413)


@pytest.mark.parametrize("chunks", [
    b"40001\r\n", b"fffffffff\r\n", b"7fffffffffffffff\r\n", b"ffffffffffffffff\r\n",
    b"20000\r\n" + b" " * 0x20000 + b"\r\n20001\r\n"])
def test_413_from_the_declared_chunk(gateway, chunks):
    head = b"POST /messages HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    refused(gateway, head + chunks, 413, behind=b"x")


def test_body_up_to_the_bound(gateway):
    body = MESSAGE + b" " * (262144 - len(MESSAGE))
    assert ask(gateway, post(body)).status == 201
    refused(gateway, post(body + b" "), 413)


def test_414(gateway):
    assert ask(gateway, get(b"/messages?a=" + b"a" * (4096 - 12))).status == 200
    refused(gateway, get(b"/messages?a=" + b"a" * (4097 - 12)), 414)
    refused(gateway, b"GET /" + b"a" * 16384, 414, behind=b"")


def test_431(gateway):
    used = len(get(headers=b"X: \r\n"))
    assert ask(gateway, get(headers=b"X: " + b"a" * (16384 - used) + b"\r\n")).status == 200
    refused(gateway, get(headers=b"X: " + b"a" * (16385 - used) + b"\r\n"), 431)
    refused(gateway, get(headers=b"a:b\r\n" * 64), 431)
    refused(gateway, b"GET / HTTP/1.1\r\n" + b"a" * 16384, 431, behind=b"")


# --- expectations ---------------------------------------------------------------------------------


def continued(gateway, request):
    """The answers to a request that waits for its 100."""
    with RawConn(gateway.port) as conn:
        head, body = request.split(b"\r\n\r\n", 1)
        conn.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        first = conn.read_response()
        if first.status != 100:
            assert conn.is_closed(), "a body that was refused is not read"
            return first.status, None
        assert not first.headers
        conn.send(body)
        return 100, conn.read_response().status


@pytest.mark.parametrize("request_,statuses", [
    (post(), (100, 201)),
    (post(b"{}"), (100, 422)),
    (post(target=b"/nothing"), (404, None)),
    (post(target=b"/rooms/a%00b/messages"), (404, None)),
    (post(target=b"/livez"), (405, None)),
    (post(target=b"/ws"), (405, None)),
    (post().replace(b"POST", b"PUT"), (405, None)),
    (post(type_=b"Content-Type: text/plain\r\n"), (415, None)),
    (post(type_=b""), (415, None)),
    (post(b" " * 262145), (413, None)),
    (post().replace(b"Content-Length", b"content-length: 5\r\nContent-Length"), (400, None)),
    (post(headers=b"Transfer-Encoding: chunked\r\n"), (400, None))])
def test_100_only_after_the_checks(gateway, request_, statuses):
    assert continued(gateway, request_) == statuses


def test_expectations(gateway):
    for value in (b"x", b"100", b"100-continue, x", b"100-continue;q=1", b""):
        refused(gateway, post(headers=b"Expect: " + value + b"\r\n"), 417)
    refused(gateway, post(headers=b"Expect: 100-continue\r\nExpect: x\r\n"), 417)
    # The body is there already, or there is none: nobody waits.
    assert ask(gateway, post(headers=b"Expect: 100-Continue\r\n")).status == 201
    assert ask(gateway, get(headers=b"Expect: 100-continue\r\n")).status == 200
    # HTTP/1.0 knows no 100.
    old = post(headers=b"Expect: 100-continue\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert ask(gateway, old).status == 201


# --- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("target,status", [
    (b"http://chat.example/livez", 200),
    (b"HTTP://chat.example:80/livez?x", 200),
    (b"http://elsewhere.example/livez", 200),  # section 3.2.2 of RFC 9112: Host is ignored
    (b"http://[::1]/livez", 200),
    (b"http://chat.example", 200),
    (b"http://", 400), (b"http:///livez", 400), (b"http://u:p@h/livez", 400),
    (b"http://h:x/livez", 400), (b"ftp://h/livez", 400), (b"//livez", 404), (b"livez", 400),
    (b"*", 400), (b"h:80", 400), (b"/a#b", 400), (b"/a b", 400), (b'/"', 400), (b"/\\", 400),
    (b"/<>", 400), (b"/{a}", 400), (b"/caf\xc3\xa9", 400), (b"/\x7f", 400), (b"/\x01", 400),
    (b"/livez/", 404), (b"/LIVEZ", 404), (b"/./livez", 404), (b"/a/../livez", 404),
    (b"/livez;a=b", 404), (b"/livez%00", 404), (b"/livez%20", 404), (b"/%2Flivez", 404),
    (b"/%6Civez", 200), (b"/%6civ%65z", 200), (b"/%6C%69%76%65%7A?x", 200), (b"/livez%2f", 404),
    (b"/%256Civez", 404), (b"/%%36Civez", 404), (b"/livez%2", 404), (b"/%6Civez%", 404),
    (b"/%2E/livez", 404), (b"/a/%2e%2E/livez", 404), (b"/assets%2Fapp.js", 404),
    (b"/assets/%61pp.js", 200), (b"/rooms/a/mess%61ges", 200), (b"/m%65ssages/%30", 404),
    (b"/rooms/%2536%31/messages", 404),
    (b"/%", 404), (b"/%zz", 404), (b"/%2", 404), (b"/?", 200), (b"/", 200),
    (b"/messages%2F1", 404), (b"/messages/1%2F2", 422), (b"/messages/%00", 422),
    (b"/messages/%", 422), (b"/messages/%zz", 422), (b"/messages/%2", 422), (b"/messages/x", 422),
    (b"/messages/1/2", 404), (b"/messages/" + b"9" * 40, 422), (b"/messages/-1", 404),
    (b"/messages/0", 404), (b"/messages/9223372036854775808", 404), (b"/messages/%39999999", 404),
    (b"/rooms/a/messages", 200), (b"/rooms/%61/messages", 200), (b"/rooms/a%2Db/messages", 200),
    (b"/rooms/a%2Fb/messages", 404), (b"/rooms/a%00/messages", 404), (b"/rooms/%/messages", 404),
    (b"/rooms/%zz/messages", 404), (b"/rooms/%2561/messages", 404), (b"/rooms//messages", 404),
    (b"/rooms/a+b/messages", 404), (b"/rooms/%C3%A9/messages", 404), (b"/rooms/a b/messages", 400),
    (b"/rooms/" + b"a" * 64 + b"/messages", 200), (b"/rooms/" + b"a" * 65 + b"/messages", 404),
    (b"/rooms/" + b"%61" * 64 + b"/messages", 200), (b"/rooms/" + b"%61" * 65 + b"/messages", 404),
    (b"/rooms/a", 404), (b"/rooms/", 404), (b"/rooms/a/messages/", 404)])
def test_targets(gateway, target, status):
    assert ask(gateway, get(target)).status == status


@pytest.mark.parametrize("method,target,status", [
    (b"CONNECT", b"chat.example:443", 400), (b"CONNECT", b"/livez", 405), (b"CONNECT", b"*", 400),
    (b"OPTIONS", b"*?a", 400), (b"OPTIONS", b"http://h/messages", 204), (b"POST", b"*", 400),
    (b"TRACE", b"/messages", 405)])
def test_forms_of_targets(gateway, method, target, status):
    assert ask(gateway, get(target, method=method)).status == status


@pytest.mark.parametrize("query,status", [
    (b"", 200), (b"limit=1", 200), (b"limit=+1", 200), (b"limit=%31", 200), (b"%6Cimit=1", 200),
    (b"limit=0&limit=5", 200), (b"limit=5&limit=0", 422), (b"limit=5&limit=", 422),
    (b"limit", 422), (b"limit=", 422), (b"limit=%", 422), (b"limit=%3", 422), (b"limit=%zz", 422),
    (b"limit=1%00", 422), (b"limit=%00", 422), (b"limit=%001", 422), (b"limit=%C0%B1", 422),
    (b"limit=%D9%A1", 422), (b"limit=1.0", 422), (b"limit=0x1", 422), (b"limit=1e1", 422),
    (b"limit=1_0", 422), (b"limit=-0", 422), (b"limit=" + b"9" * 1000, 422),
    (b"limit=%2B5", 200), (b"limit=1;after=0", 422), (b"&&&=&=1&limit=2&", 200), (b"Limit=0", 200),
    (b"x=%zz&%zz=1", 200), (b"before=0", 422), (b"before=9007199254740993", 422),
    (b"after=-1", 422), (b"min_id=9007199254740992", 503), (b"a=1&" * 900, 200),
    (b"limit=1&" * 500, 200), (b"[]=|", 400), (b"a=b#c", 400), (b"limit=\xff", 400)])
def test_queries(gateway, query, status):
    assert ask(gateway, get(b"/rooms/queries/messages?" + query)).status == status


# --- connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version,headers,stays", [
    (b"HTTP/1.1", b"", True), (b"HTTP/1.0", b"", False),
    (b"HTTP/1.1", b"Connection: close\r\n", False), (b"HTTP/1.1", b"Connection: CLOSE\r\n", False),
    (b"HTTP/1.1", b"Connection: x,\t close ,y\r\n", False),
    (b"HTTP/1.1", b"Connection: keep-alive, close\r\n", False),
    (b"HTTP/1.1", b"Connection: x\r\nConnection: close\r\n", False),
    (b"HTTP/1.1", b"Connection: closed\r\n", True), (b"HTTP/1.1", b"Connection: ,,\r\n", True),
    (b"HTTP/1.1", b"Connection:\r\n", True), (b"HTTP/1.1", b"Connection: not-close\r\n", True),
    (b"HTTP/1.0", b"Connection: keep-alive\r\n", True),
    (b"HTTP/1.0", b"Connection: x, Keep-Alive\r\n", True),
    (b"HTTP/1.0", b"Connection: keep-alive, close\r\n", False)])
def test_persistence(gateway, version, headers, stays):
    with RawConn(gateway.port) as conn:
        conn.send(get(headers=headers, version=version) + get(b"/nothing", version=version))
        answer = conn.read_response()
        assert answer.status == 200
        assert answer.headers.get("connection") == (
            "close" if not stays else "keep-alive" if version == b"HTTP/1.0" else None)
        if stays:
            assert conn.read_response().status == 404
        else:
            assert conn.read_to_end() == b""


def test_http_1_0_without_host(gateway):
    assert ask(gateway, b"GET /livez HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize("headers", [
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQ\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Upgrade:\r\n", b"Upgrade: ,\r\n",
    b"Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n", b"Upgrade: a, b\r\nUpgrade: c\r\n"])
def test_upgrades_that_nobody_offers(gateway, headers):
    """They are ignored where there is nothing to upgrade to, and the pipeline goes on."""
    with RawConn(gateway.port) as conn:
        conn.send(get(headers=headers) * 2 + get(b"/nothing"))
        assert [conn.read_response().status for _ in range(3)] == [200, 200, 404]


def test_half_closed(gateway):
    """Who ends its side behind a request still gets the answer."""
    with RawConn(gateway.port) as conn:
        conn.send(post() + get())
        conn.shut_write()
        assert [conn.read_response().status for _ in range(2)] == [201, 200]
        assert conn.read_to_end() == b""


def test_long_pipeline_unread(gateway):
    """Far more requests than may be unanswered: those that are not read wait, none is lost, and
    the order stays. min_id keeps the first answers away for a while."""
    with RawConn(gateway.port, timeout=30, receive_buffer=8192) as conn:
        for n in range(300):
            conn.send(get(b"/messages/x" if n % 2 else b"/nothing") if n else post())
        statuses = [conn.read_response().status for _ in range(300)]
        assert statuses == [201] + [422 if n % 2 else 404 for n in range(1, 300)]


def test_reading_stops_while_answers_are_unsent(gateway):
    """The kernel's buffers fill and the sender is stopped; read at last, all answers are there."""
    request, sent = get(b"/nothing", headers=b"X: " + b"a" * 1000 + b"\r\n"), 0
    with RawConn(gateway.port, timeout=30, receive_buffer=4096) as conn:
        conn.sock.setblocking(False)
        unsent, idle_since = b"", time.monotonic()
        while time.monotonic() - idle_since < 1 and sent < 1000000:
            unsent = unsent or request
            try:
                unsent = unsent[conn.sock.send(unsent):]
                sent, idle_since = sent + (not unsent), time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        assert sent < 1000000, "it reads on and on"
        conn.sock.settimeout(30)
        serves(gateway)
        for _ in range(sent):
            assert conn.read_response().status == 404


# --- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_,status", [
    (b"application/json", 201), (b"Application/JSON", 201), (b"application/json ;x=y", 201),
    (b"application/json; charset=utf-8", 201), (b"application/json;charset=UTF-8", 201),
    (b'application/json; charset="utf-8"', 201), (b"application/json;", 201),
    (b"application/json;;;", 201), (b"application/vnd.chat+json", 201),
    (b"application/json; charset=utf-16", 415), (b"application/json; charset=latin1", 415),
    (b"application/json; charset=utf-8x", 415), (b"application/json; charset=", 415),
    (b"application/json; x=y; charset=utf-7", 415), (b"application/json, text/plain", 415),
    (b"application/jsonx", 415), (b"application/+json", 415), (b"text/json", 415),
    (b"text/plain", 415), (b"application/x-www-form-urlencoded", 415), (b"json", 415), (b"", 415),
    (b"multipart/form-data; boundary=x", 415),
    (b"application/json\r\nContent-Type: text/plain", 415)])
def test_content_types(gateway, type_, status):
    request = post(type_=b"Content-Type: " + type_ + b"\r\n")
    assert ask(gateway, request).status == status


@pytest.mark.parametrize("coding,status", [
    (b"", 201), (b"identity", 201), (b"Identity", 201), (b"gzip", 415), (b"x-gzip", 415),
    (b"br", 415), (b"identity, gzip", 415), (b"chunked", 415),
    (b"identity\r\nContent-Encoding: gzip", 415)])
def test_content_codings(gateway, coding, status):
    """RFC 9110 sections 8.4 and 12.5.3: what would have to be unpacked is refused, and told why."""
    request = post(headers=b"Content-Encoding: " + coding + b"\r\n")
    answer = ask(gateway, request)
    assert answer.status == status
    assert answer.headers.get("accept-encoding") == (None if status == 201 else "identity")


@pytest.mark.parametrize("value,applied", [
    (b"wait=stored", True), (b"Wait=STORED", True), (b'wait="stored"', True),
    (b"wait = stored", True), (b"wait=stored; a=b", True), (b"respond-async, wait=stored", True),
    (b"a\r\nPrefer: wait=stored", True), (b"wait", False), (b"wait=", False), (b"wait=5", False),
    (b"", False), (b",", False), (b"=stored", False), (b"wait=stored=x", False),
    (b"await=stored", False), (b"x; wait=stored", False)])
def test_preferences(gateway, value, applied):
    """RFC 7240 section 2."""
    answer = ask(gateway, post(headers=b"Prefer: " + value + b"\r\n"))
    assert answer.status == 201
    assert answer.headers.get("preference-applied") == ("wait=stored" if applied else None)


@pytest.mark.parametrize("value,status", [
    (b"TAG", 304), (b"W/TAG", 304), (b"*", 304), (b'"x", TAG', 304), (b'"x" ,\tW/TAG', 304),
    (b'"x"\r\nIf-None-Match: TAG', 304), (b"", 200), (b'"x"', 200), (b'"', 200), (b"w/TAG", 200),
    (b'"x' * 500, 200)])
@pytest.mark.parametrize("target", [b"/rooms/conformance/messages?limit=1", b"/"])
def test_if_none_match(gateway, target, value, status):
    """RFC 9110 section 13.1.2: proxies that compress make weak tags of ours."""
    if target != b"/":
        ask(gateway, post())
    tag = ask(gateway, get(target)).headers["etag"].encode()
    value = value.replace(b"TAG", tag)
    answer = ask(gateway, get(target, headers=b"If-None-Match: " + value + b"\r\n"))
    assert answer.status == status and answer.headers["etag"].encode() == tag
    assert bool(answer.body) == (status == 200)


def test_empty_bodies(gateway):
    no_length = post(b"").replace(b"Content-Length: 0\r\n", b"")
    for request in (post(b""), post(b"", type_=b""), no_length):
        answer = ask(gateway, request)
        assert answer.status == 422 and answer.json()["detail"][0]["type"] == "missing"


def test_idempotency_keys(gateway):
    for headers in (b"Idempotency-Key:\r\n", b"Idempotency-Key: " + b"k" * 256 + b"\r\n",
                    b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n"):
        assert ask(gateway, post(headers=headers)).status == 422
    longest = b"Idempotency-Key: " + b"k" * 255 + b"\r\n"
    assert ask(gateway, post(headers=longest)).status == 201
    key = b"Idempotency-Key: \xff\xfe'\"\\\r\n"
    answers = [ask(gateway, post(headers=key)) for _ in range(2)]
    assert [a.status for a in answers] == [201, 201] and answers[0].body == answers[1].body


# --- deadlines ------------------------------------------------------------------------------------


def dribble(conn):
    """A byte now and then, for as long as the server reads."""
    conn.sock.settimeout(0.3)
    try:
        for _ in range(100):
            conn.send(b"a")
            try:
                conn.buffer += conn.sock.recv(4096)
                return
            except TimeoutError:
                continue
    except OSError:
        pass
    raise AssertionError("a slow head has no deadline")


def test_slow_heads(gateway):
    """HTTP_HEAD_MS is for the whole head, also behind a request that has no answer yet."""
    beginnings = [b"G", b"GET /livez HTTP/1.1\r\nHost: a\r\nX: ", get() + b"GET /livez"]
    pending = get(b"/messages?min_id=%d") % (last_id(gateway) + 1) + b"GET /livez HTTP/1.1\r\nX: "
    silent = [RawConn(gateway.port, timeout=30) for _ in [*beginnings, pending]]
    started = time.monotonic()
    for conn, beginning in zip(silent, [*beginnings, pending]):
        conn.send(beginning)
    with RawConn(gateway.port) as conn:
        conn.send(b"GET /livez HTTP/1.1\r\nHost: a\r\nX: ")
        dribble(conn)
        conn.timeout = 30
        answer = conn.read_response()
        assert answer.status == 408 and time.monotonic() - started < 30
        check_error(answer)
    for conn, before in zip(silent, [0, 0, 1, 1]):
        for _ in range(before):
            assert conn.read_response().status in (200, 503)
        answer = conn.read_response()
        assert answer.status == 408
        check_error(answer)
        try:
            conn.send(SMUGGLED)
        except OSError:
            pass
        assert conn.read_to_end() == b""
        conn.drop()
    serves(gateway)


def last_id(gateway):
    return json.loads(ask(gateway, post()).body)["id"]
