# SPDX-License-Identifier: MIT
"""RFC 8259, strictly, over HTTP and over WebSocket: one reader's list is another one's crash."""

import json

import pytest
from rawws import RawWS
from wire import ask, get, post


def with_content(text):
    """A body whose content is this JSON text."""
    text = text.encode() if isinstance(text, str) else text
    return b'{"username":"a","content":' + text + b"}"


REFUSED = {
    "nothing but space": b" \r\n\t ",
    "BOM": b"\xef\xbb\xbf" + with_content('"b"'),
    "BOM of UTF-16": with_content('"b"').decode().encode("utf-16"),
    "UTF-16": with_content('"b"').decode().encode("utf-16-le"),
    "UTF-32": with_content('"b"').decode().encode("utf-32-be"),
    "form": b"username=a&content=b",
    "null": b"null", "true": b"true", "number": b"1", "string": b'"a"', "array": b"[]",
    "array around": b"[" + with_content('"b"') + b"]",
    "empty object": b"{}",
    "cut": with_content('"b"')[:-1],
    "cut in a string": b'{"username":"a',
    "cut in an escape": b'{"username":"\\u00',
    "two values": with_content('"b"') * 2,
    "junk behind": with_content('"b"') + b"x",
    "NUL behind": with_content('"b"') + b"\0",
    "NUL before": b"\0" + with_content('"b"'),
    "single quotes": b"{'username':'a','content':'b'}",
    "bare keys": b'{username:"a",content:"b"}',
    "comma behind the last": b'{"username":"a","content":"b",}',
    "comma missing": b'{"username":"a" "content":"b"}',
    "two colons": b'{"username"::"a","content":"b"}',
    "comment": b'{"username":"a",/**/"content":"b"}',
    "line comment": b'{"username":"a",//\n"content":"b"}',
    "form feed as space": b'{\x0c"username":"a","content":"b"}',
    "no-break space": b'{\xc2\xa0"username":"a","content":"b"}',
    "key twice": b'{"username":"a","content":"b","content":"c"}',
    "key twice, escaped": b'{"username":"a","content":"b","conten\\u0074":"c"}',
    "unknown key twice": b'{"username":"a","content":"b","x":1,"x":2}',
    "NUL in a key": b'{"username":"a","content":"b","content\\u0000":"c"}',
    "key that is no string": b'{"username":"a","content":"b",1:2}',
    "many keys": with_content('"b",' + ",".join(f'"k{n}":1' for n in range(1000))),
    "deep arrays": with_content("[" * 9 + "]" * 9),
    "deep objects": with_content('{"a":' * 9 + "1" + "}" * 9),
    "very deep": with_content("[" * 100000),
    "very deep, closed": with_content("[" * 50000 + "]" * 50000),
    "very deep objects": with_content('{"a":' * 20000),
    "NaN": with_content("NaN"), "Infinity": with_content("-Infinity"), "nan": with_content("nan"),
    "plus": with_content("+1"), "zero first": with_content("01"),
    "hexadecimal": with_content("0x1"),
    "point last": with_content("1."), "point first": with_content(".1"),
    "no exponent": with_content("1e"),
    "two minuses": with_content("--1"), "minus": with_content("-"),
    "True": with_content("True"), "undefined": with_content("undefined"),
    "huge integer": with_content("9" * 100000),
    "huge exponent": with_content("1e999999999"),
    "tiny exponent": with_content("1e-999999999"),
    "long fraction": with_content("0." + "1" * 100000),
    "content a number": with_content("1"), "content null": with_content("null"),
    "content true": with_content("true"), "content an array": with_content('["b"]'),
    "content an object": with_content('{"content":"b"}'),
    "content empty": with_content('""'), "content too long": with_content('"' + "b" * 4097 + '"'),
    "content too long in astral": with_content('"' + "\U0001f600" * 4097 + '"'),
    "content NUL escaped": with_content('"a\\u0000b"'),
    "raw NUL": with_content(b'"a\0b"'), "raw newline": with_content(b'"a\nb"'),
    "raw tab": with_content(b'"a\tb"'), "raw escape": with_content(b'"\x1b"'),
    "escape x": with_content('"\\x41"'), "escape of nothing": with_content('"\\'),
    "escape of a quote": with_content("\"\\'\""), "escape cut": with_content('"\\u12"'),
    "escape of no digits": with_content('"\\u00g0"'), "escape with sign": with_content('"\\u+041"'),
    "escape with space": with_content('"\\u 041"'), "escape U": with_content('"\\U00000041"'),
    "high half alone": with_content('"\\ud800"'), "low half alone": with_content('"\\udc00"'),
    "halves in the wrong order": with_content('"\\udc00\\ud800"'),
    "two high halves": with_content('"\\ud800\\ud800"'),
    "high half and a letter": with_content('"\\ud800a"'),
    "half in a key": b'{"username":"a","content":"b","\\ud800":1}',
    "overlong slash": with_content(b'"\xc0\xaf"'), "overlong NUL": with_content(b'"\xc0\x80"'),
    "overlong in three": with_content(b'"\xe0\x80\xaf"'),
    "overlong in four": with_content(b'"\xf0\x80\x80\xaf"'),
    "surrogate in UTF-8": with_content(b'"\xed\xa0\x80"'),
    "pair in UTF-8 (CESU)": with_content(b'"\xed\xa0\xbd\xed\xb8\x80"'),
    "beyond Unicode": with_content(b'"\xf4\x90\x80\x80"'),
    "five bytes": with_content(b'"\xf8\x88\x80\x80\x80"'),
    "continuation alone": with_content(b'"\x80"'), "sequence cut": with_content(b'"\xe2\x82"'),
    "FF": with_content(b'"\xff"'), "latin1": with_content(b'"caf\xe9"'),
    "bad UTF-8 in a key": b'{"username":"a","content":"b","\xff":1}',
    "bad UTF-8 outside": b'{"username":"a","content":"b"\xff}',
    "username missing": b'{"content":"b"}', "username null": b'{"username":null,"content":"b"}',
    "username an array": b'{"username":[],"content":"b"}',
    "username empty": b'{"username":"","content":"b"}',
    "username too long": b'{"username":"' + b"a" * 65 + b'","content":"b"}',
    "username NUL": b'{"username":"\\u0000","content":"b"}',
    "names in capitals": b'{"Username":"a","Content":"b"}',
}

ACCEPTED = {
    "space everywhere": b' \r\n\t{ "username" : "a" ,\n"content" : "b" } \r\n',
    "other order": b'{"content":"b","username":"a"}',
    "unknown keys": with_content('"b","x":[{"y":[]}],"z":1e5'),
    "as deep as may be": with_content('"b","x":' + "[" * 7 + "]" * 7),
    "all escapes": with_content(r'"\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac"'),
    "escaped key": b'{"\\u0075sername":"a","content":"b"}',
    "pair": with_content('"\\ud83d\\ude00"'),
    "non-characters": with_content('"\\uffff\ufffe\U0010ffff"'),
    "all lengths of UTF-8": with_content('"a\u00e9\u20ac\U0001f600"'),
    "line separators": with_content('"\u2028\u2029\u0085"'),
    "as long as may be": with_content('"' + "\U0001f600" * 4096 + '"'),
    "as long as may be, escaped": with_content('"' + "\\ud83d\\ude00" * 4096 + '"'),
    "markup": with_content('"</script><!-- \' & -->"'),
    "delete": with_content('"\x7f"'),
    "protocol names": b'{"username":"__proto__","content":"constructor","__proto__":{"a":1}}',
}


@pytest.fixture(scope="module")
def client(gateway):
    with RawWS(gateway.port, "/rooms/json/ws?history=0", timeout=30) as ws:
        yield ws


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_refused(gateway, text):
    answer = ask(gateway, post(text, target=b"/rooms/json/messages"))
    assert answer.status == 422
    for part in json.loads(answer.body)["detail"]:
        assert part["loc"][0] == "body"
    assert len(answer.body) < 4096, "what was sent comes back whole"


def is_utf8(text):
    try:
        return bool(text.decode())
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("text", [t for t in REFUSED.values() if is_utf8(t)],
                         ids=[name for name, t in REFUSED.items() if is_utf8(t)])
def test_refused_as_frame(client, text):
    """An error object, and the connection stays. What is not UTF-8 ends it: see test_ws_utf8."""
    client.send_text(text)
    error = client.read_json()
    assert error["type"] == "error" and error["code"] in ("invalid_json", "invalid_message")
    assert error["detail"]


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(gateway, client, text):
    """What is stored, sent and read again is what was meant."""
    meant = json.loads(text)
    answer = ask(gateway, post(text, target=b"/rooms/json/messages"))
    assert answer.status == 201
    message = json.loads(answer.body)
    assert (message["username"], message["content"]) == (meant["username"], meant["content"])
    assert client.read_text() == answer.body
    page = ask(gateway, get(b"/rooms/json/messages?limit=1&min_id=%d" % message["id"]))
    assert page.body == b"[" + answer.body + b"]"
    client.send_text(text)
    assert client.read_json()["content"] == meant["content"]
