# SPDX-License-Identifier: MIT
"""RFC 6455 section 8.1 and RFC 3629, Autobahn's section 6: text is UTF-8, and what is not ends the
connection with 1007 at its first wrong byte, not at the end of the frame or of the message."""

import pytest
from rawws import BINARY, CONTINUATION, TEXT, build_frame
from wire import Echoed, failed

KOSME = "κόσμε".encode()

VALID = [
    "", "a", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\u0000", "\u007f", "\u0080", "\u07ff", "\u0800",
    "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff", "\ufdd0", "\ufdef", "\U00010000",
    "\U0001fffe", "\U0001ffff", "\U0008fffe", "\U000ffffe", "\U0010fffe", "\U0010ffff", "\ufeffa",
    "a\u0301\u200d\u202e", "\U0001f600" * 100,
]

# The wrong byte is the last one: what stands before it could still become UTF-8.
INVALID = {
    "continuation": "80", "last continuation": "bf", "two continuations": "61 80",
    "overlong NUL": "c0", "overlong slash": "c1", "overlong in three": "e0 80",
    "overlong U+07FF": "e0 9f", "overlong in four": "f0 80", "overlong U+FFFF": "f0 8f",
    "first surrogate": "ed a0", "last surrogate": "ed bf", "U+110000": "f4 90",
    "beyond all": "f5", "five bytes": "f8", "six bytes": "fc", "FE": "fe", "FF": "ff",
    "cut by a letter, two": "c3 61", "cut by a letter, three": "e2 82 61",
    "cut by a letter, four": "f0 9f 98 61", "cut by a start": "e2 82 c3",
    "start behind start": "c3 c3", "behind good text": KOSME.hex() + "ed a0",
}

# Nothing is wrong but that the text ends.
CUT = ["c2", "df", "e0 a0", "ed 9f", "ef bf", "f0 90", "f0 90 80", "f4 8f bf", KOSME.hex() + "ce"]


@pytest.fixture
def ws(echo):
    with Echoed(echo) as ws:
        yield ws


@pytest.mark.parametrize("text", VALID, ids=lambda text: text[:8].encode("unicode_escape").decode())
@pytest.mark.parametrize("size", [None, 1, 3])
def test_6_valid(ws, text, size):
    """Whole, and in fragments whose ends fall amid characters."""
    data = text.encode()
    pieces = [data[at:at + (size or 999)] for at in range(0, len(data), size or 999)] or [b""]
    for n, piece in enumerate(pieces):
        ws.send_frame(piece, CONTINUATION if n else TEXT, fin=n == len(pieces) - 1)
    ws.hears(data)
    ws.ends()


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID.keys())
def test_6_invalid(ws, data):
    ws.send_frame(bytes.fromhex(data) + b"behind")
    failed(ws, 1007)


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID.keys())
def test_6_fails_at_the_byte(ws, data):
    """The frame is long, and not more of it is sent than its first wrong byte."""
    data = bytes.fromhex(data)
    ws.send_frame(data, declared_length=1000)
    failed(ws, 1007)


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID.keys())
def test_6_fails_at_the_fragment(ws, data):
    """The message is not finished; one byte is in each fragment."""
    data = bytes.fromhex(data)
    ws.send(b"".join(build_frame(data[n:n + 1], CONTINUATION if n else TEXT, fin=False)
                     for n in range(len(data))))
    failed(ws, 1007)


@pytest.mark.parametrize("data", CUT)
def test_6_cut(ws, data):
    ws.send_frame(bytes.fromhex(data))
    failed(ws, 1007)


@pytest.mark.parametrize("data", CUT)
def test_6_cut_by_the_last_fragment(ws, data):
    ws.send(build_frame(bytes.fromhex(data), fin=False) + build_frame(b"", CONTINUATION))
    failed(ws, 1007)


@pytest.mark.parametrize("data", CUT)
def test_6_cut_is_not_yet_wrong(ws, data):
    """More may come: a ping between is answered, and the right bytes make it good."""
    data = bytes.fromhex(data)
    tails = [tail for size in (1, 2, 3) for tail in (b"\x80" * size, b"\xbf" * size)]
    tail = next(tail for tail in tails if is_utf8(data + tail))
    ws.send(build_frame(data, fin=False) + build_frame(b"p", 9))
    ws.hears(b"p", 10)
    ws.send_frame(tail, CONTINUATION)
    ws.hears(data + tail)
    ws.ends()


def is_utf8(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID.keys())
def test_6_binary_is_anything(ws, data):
    data = bytes.fromhex(data)
    ws.send_frame(data, BINARY)
    ws.hears(data, BINARY)
    ws.ends()
