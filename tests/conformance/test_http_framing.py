# SPDX-License-Identifier: MIT
"""RFC 9112: where a request ends. What two parsers could read differently is refused, and what
stands behind it is never read, whatever it is."""

import pytest
from rawws import RawConn
from wire import HOST, MESSAGE, SMUGGLED, check_error, chunked, get, post, refused, serves

LENGTH = b"Content-Length: 30\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LINE = b"GET /livez HTTP/1.1\r\n"


def body(headers):
    return b"POST /messages HTTP/1.1\r\n" + HOST + headers + b"\r\n" + MESSAGE


REFUSED = {
    # section 6.3: the length of a body
    "length and coding": body(LENGTH + CHUNKED),
    "coding and length": body(CHUNKED + LENGTH),
    "zero length and coding": body(b"Content-Length: 0\r\n" + CHUNKED) + b"0\r\n\r\n",
    "two lengths": body(LENGTH + b"Content-Length: 5\r\n"),
    "two equal lengths": body(LENGTH * 2),
    "list of lengths": body(b"Content-Length: 30, 5\r\n"),
    "list of equal lengths": body(b"Content-Length: 30, 30\r\n"),
    "plus": body(b"Content-Length: +30\r\n"),
    "minus": body(b"Content-Length: -1\r\n"),
    "padded by a zero": body(b"Content-Length: 030\r\n"),
    "padded by many zeros": body(b"Content-Length: " + b"0" * 30 + b"30\r\n"),
    "two zeros": body(b"Content-Length: 00\r\n"),
    "space inside": body(b"Content-Length: 3 0\r\n"),
    "tab inside": body(b"Content-Length: 3\t0\r\n"),
    "vertical tab": body(b"Content-Length: \x0b30\r\n"),
    "hexadecimal": body(b"Content-Length: 0x1e\r\n"),
    "decimal point": body(b"Content-Length: 30.0\r\n"),
    "exponent": body(b"Content-Length: 3e1\r\n"),
    "underscore": body(b"Content-Length: 3_0\r\n"),
    "quoted": body(b'Content-Length: "30"\r\n'),
    "semicolon": body(b"Content-Length: 30;\r\n"),
    "empty length": body(b"Content-Length:\r\n"),
    "other digits": body("Content-Length: ٣\r\n".encode()),
    "2^64": body(b"Content-Length: 18446744073709551616\r\n"),
    "2^64 + 30": body(b"Content-Length: 18446744073709551646\r\n"),
    "very long number": body(b"Content-Length: " + b"9" * 200 + b"\r\n"),
    # section 6.1: anything but exactly chunked
    "gzip": body(b"Transfer-Encoding: gzip\r\n"),
    "identity": body(b"Transfer-Encoding: identity\r\n"),
    "gzip, chunked": body(b"Transfer-Encoding: gzip, chunked\r\n"),
    "chunked, gzip": body(b"Transfer-Encoding: chunked, gzip\r\n"),
    "chunked twice": body(b"Transfer-Encoding: chunked, chunked\r\n"),
    "two codings": body(CHUNKED * 2),
    "two codings, one unknown": body(CHUNKED + b"Transfer-Encoding: x\r\n"),
    "chunked and a comma": body(b"Transfer-Encoding: chunked,\r\n"),
    "comma and chunked": body(b"Transfer-Encoding: ,chunked\r\n"),
    "chunked with parameter": body(b"Transfer-Encoding: chunked;q=0\r\n"),
    "xchunked": body(b"Transfer-Encoding: xchunked\r\n"),
    "chunkedx": body(b"Transfer-Encoding: chunkedx\r\n"),
    "quoted chunked": body(b'Transfer-Encoding: "chunked"\r\n'),
    "vertical tab chunked": body(b"Transfer-Encoding: \x0bchunked\r\n"),
    "no-break space chunked": body(b"Transfer-Encoding: \xa0chunked\r\n"),
    "empty coding": body(b"Transfer-Encoding:\r\n"),
    "coding in HTTP/1.0": b"POST /messages HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "space before the colon": body(b"Transfer-Encoding : chunked\r\n"),
    "tab before the colon": body(b"Content-Length\t: 30\r\n"),
    # section 5: lines
    "folded by space": LINE + HOST + b"X: a\r\n b\r\n\r\n",
    "folded by tab": LINE + HOST + b"X: a\r\n\tb\r\n\r\n",
    "folded first line": LINE + b" X: a\r\n" + HOST + b"\r\n",
    "folded empty line": LINE + HOST + b"X: a\r\n \r\n\r\n",
    "bare LF behind the request line": b"GET /livez HTTP/1.1\n" + HOST + b"\r\n",
    "bare LF behind a header": LINE + HOST + b"X: a\n\r\n",
    "bare LF at the end": LINE + HOST + b"\n",
    "bare LF in a value": LINE + HOST + b"X: a\nY: b\r\n\r\n",
    "only bare LF": b"GET /livez HTTP/1.1\nHost: a\n\n",
    "bare CR in a value": LINE + HOST + b"X: a\rY: b\r\n\r\n",
    "bare CR at the end of a line": LINE + HOST + b"X: a\r\r\n\r\n",
    "bare CR in the request line": b"GET /livez\r HTTP/1.1\r\n" + HOST + b"\r\n",
    "LF CR": LINE + HOST + b"X: a\n\r\r\n\r\n",
    "NUL in a value": LINE + HOST + b"X: a\0b\r\n\r\n",
    "NUL in a name": LINE + HOST + b"X\0: a\r\n\r\n",
    "NUL in the target": b"GET /li\0vez HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the method": b"G\0ET /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL first": b"\0" + get(),
    "control character": LINE + HOST + b"X: a\x01b\r\n\r\n",
    "escape character": LINE + HOST + b"X: \x1b[31m\r\n\r\n",
    "delete character": LINE + HOST + b"X: a\x7f\r\n\r\n",
    "no name": LINE + HOST + b": a\r\n\r\n",
    "no colon": LINE + HOST + b"X\r\n\r\n",
    "name with space": LINE + HOST + b"X Y: a\r\n\r\n",
    "name with a bracket": LINE + HOST + b"X(: a\r\n\r\n",
    "name with a slash": LINE + HOST + b"X/Y: a\r\n\r\n",
    "name with a quote": LINE + HOST + b'"X": a\r\n\r\n',
    "name beyond ASCII": LINE + HOST + b"X\xe9: a\r\n\r\n",
    # section 3.2: Host
    "no Host": LINE + b"\r\n",
    "two Hosts": LINE + HOST * 2 + b"\r\n",
    "two different Hosts": LINE + HOST + b"Host: b\r\n\r\n",
    "empty Host": LINE + b"Host:\r\n\r\n",
    "Host with a space": LINE + b"Host: a b\r\n\r\n",
    "Host list": LINE + b"Host: a, b\r\n\r\n",
    "Host with a path": LINE + b"Host: a/b\r\n\r\n",
    "Host with a user": LINE + b"Host: u@a\r\n\r\n",
    "Host with a scheme": LINE + b"Host: http://a\r\n\r\n",
    "Host with a port of letters": LINE + b"Host: a:b\r\n\r\n",
    "Host with a negative port": LINE + b"Host: a:-1\r\n\r\n",
    "Host with port 65536": LINE + b"Host: a:65536\r\n\r\n",
    "Host with two ports": LINE + b"Host: a:1:2\r\n\r\n",
    "Host without a name": LINE + b"Host: :80\r\n\r\n",
    "Host with open bracket": LINE + b"Host: [::1\r\n\r\n",
    "Host with junk behind the bracket": LINE + b"Host: [::1]a\r\n\r\n",
    "Host of seven groups": LINE + b"Host: [1:2:3:4:5:6:7]\r\n\r\n",
    "Host of nine groups": LINE + b"Host: [1:2:3:4:5:6:7:8:9]\r\n\r\n",
    "Host with two gaps": LINE + b"Host: [::1::]\r\n\r\n",
    "Host with a long group": LINE + b"Host: [12345::]\r\n\r\n",
    "Host with a short IPv4 inside": LINE + b"Host: [::1.2.3]\r\n\r\n",
    "Host of IPv4 in brackets": LINE + b"Host: [1.2.3.4]\r\n\r\n",
    "Host with a zone": LINE + b"Host: [fe80::1%25lo]\r\n\r\n",
    "Host with empty brackets": LINE + b"Host: []\r\n\r\n",
    "Host with an escape": LINE + b"Host: a%41\r\n\r\n",
    "Host beyond ASCII": LINE + "Host: ä\r\n\r\n".encode(),
    "Host quoted": LINE + b'Host: "a"\r\n\r\n',
    # section 3: the request line
    "two spaces": b"GET  /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces before the version": b"GET /livez  HTTP/1.1\r\n" + HOST + b"\r\n",
    "space at the end": b"GET /livez HTTP/1.1 \r\n" + HOST + b"\r\n",
    "space at the beginning": b" GET /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "tab": b"GET\t/livez\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /livez\r\n" + HOST + b"\r\n",
    "no target": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
    "lower case version": b"GET /livez http/1.1\r\n" + HOST + b"\r\n",
    "version of one number": b"GET /livez HTTP/1\r\n" + HOST + b"\r\n",
    "version of two digits": b"GET /livez HTTP/1.10\r\n" + HOST + b"\r\n",
    "another protocol": b"GET /livez ICY/1.1\r\n" + HOST + b"\r\n",
    "method that is no token": b"G@T /livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "many empty lines": b"\r\n" * 6 + get(),
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\xaa" * 193,
    "TLS, one byte": b"\x16",
    # section 7.1: chunks
    "chunk size with prefix": chunked(b"0x1e\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk size with plus": chunked(b"+1e\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk size with minus": chunked(b"-1e\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk size with space before": chunked(b" 1e\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk size with space behind": chunked(b"1e \r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk size with underscore": chunked(b"1_e\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk size with junk": chunked(b"1eg\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk size of more than 64 bits": chunked(b"1000000000000001e\r\n" + MESSAGE + b"\r\n"),
    "chunk size missing": chunked(b"\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk size with NUL": chunked(b"1e\0\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk size with bare LF": chunked(b"1e\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk size with bare CR": chunked(b"1e\r" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk shorter than told": chunked(b"1f\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk longer than told": chunked(b"1d\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "chunk end with bare LF": chunked(b"1e\r\n" + MESSAGE + b"\n0\r\n\r\n"),
    "extension without a name": chunked(b"1e;\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "extension without a value": chunked(b"1e;a=\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "extension with open quotes": chunked(b'1e;a="b\r\n' + MESSAGE + b"\r\n0\r\n\r\n"),
    "line end between quotes": chunked(b'1e;a="\r\n0\r\n\r\n"\r\n' + MESSAGE + b"\r\n0\r\n\r\n"),
    "junk behind quotes": chunked(b'1e;a="b"c\r\n' + MESSAGE + b"\r\n0\r\n\r\n"),
    "bare LF in an extension": chunked(b"1e;a\nb\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "long extension": chunked(b"1e;" + b"a" * 300 + b"\r\n" + MESSAGE + b"\r\n0\r\n\r\n"),
    "long extensions in sum": chunked((b"1;" + b"a" * 200 + b"\r\nx\r\n") * 90),
    "folded trailer": chunked(b"1e\r\n" + MESSAGE + b"\r\n0\r\nX: a\r\n b\r\n\r\n"),
    "trailer that is no field": chunked(b"1e\r\n" + MESSAGE + b"\r\n0\r\nX a\r\n\r\n"),
    "trailer with bare LF": chunked(b"1e\r\n" + MESSAGE + b"\r\n0\r\nX: a\n\r\n"),
    "many trailers": chunked(b"0\r\n" + b"X: a\r\n" * 4000 + b"\r\n"),
    "last chunk with a negative zero": chunked(b"-0\r\n\r\n"),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
def test_400_and_never_read_again(gateway, request_):
    refused(gateway, request_, 400)
    serves(gateway)


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/3.0"])
def test_505(gateway, version):
    refused(gateway, get(version=version), 505)


def test_http2_preface(gateway):
    refused(gateway, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505)


def test_tls_is_told_so(gateway):
    assert "TLS" in refused(gateway, b"\x16\x03\x01\x02\0", 400).json()["detail"]


@pytest.mark.parametrize("line,status", [
    (b"GET /\r\n", 400), (b"EHLO client.example\r\n", 400), (b"PING\r\n", 400),
    (b"*1\r\n$4\r\nPING\r\n", 400), (b"GET / HTTP/2.0\r\n", 505), (b"\r\nGET /\r\n", 400),
    (b"}", 400), (b"\r\n\xff", 400), (b" ", 400)])
def test_line_of_another_protocol(gateway, line, status):
    """Nobody waits for headers that HTTP/0.9, or another protocol, does not have, nor for more of
    what begins as no request does."""
    with RawConn(gateway.port, timeout=5) as conn:
        conn.send(line)
        answer = conn.read_response()
        assert answer.status == status
        check_error(answer)
        assert conn.read_to_end() == b""


def test_refused_behind_good_ones(gateway):
    """What came before is answered, in order, and what comes behind is not."""
    with RawConn(gateway.port) as conn:
        conn.send(get() + post() + body(LENGTH + CHUNKED) + SMUGGLED * 5)
        assert [conn.read_response().status for _ in range(3)] == [200, 201, 400]
        assert conn.read_to_end() == b""


def test_never_read_again_later_either(gateway):
    """Bytes that come when the refusal is out are not read as a request."""
    with RawConn(gateway.port) as conn:
        conn.send(body(LENGTH + CHUNKED))
        answer = conn.read_response()
        assert answer.status == 400
        check_error(answer)
        try:
            for _ in range(20):
                conn.send(SMUGGLED)
        except OSError:
            pass
        assert conn.read_to_end() == b""


ACCEPTED = {
    "spaces around a length": (post().replace(b"Length: 30", b"Length: \t 30 \t"), 201),
    "length of zero": (get(headers=b"Content-Length: 0\r\n"), 200),
    "body of a GET": (get(headers=b"Content-Length: 5\r\n") + b"GET /", 200),
    "chunks": (
        chunked(b"10\r\n" + MESSAGE[:16] + b"\r\nE\r\n" + MESSAGE[16:] + b"\r\n0\r\n\r\n"), 201),
    "chunk of two bytes": (chunked(b"2\r\n{}\r\n0\r\n\r\n"), 422),
    "extensions and trailers": (
        chunked(b'1e;a;b="c"\r\n' + MESSAGE + b"\r\n00;d\r\nX: y\r\nContent-Length: 5\r\n\r\n"),
        201),
    "extensions with white space and quotes": (
        chunked(b'1e ;a = b\t; c="\\";\xe9"\r\n' + MESSAGE + b"\r\n0\r\n\r\n"), 201),
    "one empty line first": (b"\r\n" + get(), 200),
    "empty value": (get(headers=b"X:\r\n"), 200),
    "no space behind the colon": (get(headers=b"X:y\r\n"), 200),
    "value beyond ASCII": (get(headers=b"X: \xe9\xff\r\n"), 200),
    "names in any case": (post().replace(b"Content-Length", b"cOnTeNt-lEnGtH"), 201),
    "Host with a port": (b"GET /livez HTTP/1.1\r\nHost: a:1\r\n\r\n", 200),
    "Host of IPv6": (b"GET /livez HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", 200),
    "Host of IPv4 in IPv6": (b"GET /livez HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:\r\n\r\n", 200),
    "headers up to the bound": (get(headers=b"a:b\r\n" * 63), 200),
}


@pytest.mark.parametrize("request_,status", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted_and_read_on(gateway, request_, status):
    """The next request begins where this one ends."""
    with RawConn(gateway.port) as conn:
        conn.send(request_ + get(b"/nothing"))
        assert conn.read_response().status == status
        assert conn.read_response().status == 404


@pytest.mark.parametrize("step", [1, 7])
def test_cut_into_pieces(gateway, step):
    """How the bytes arrive makes no difference."""
    text = post(target=b"/nothing") + get() + body(LENGTH + CHUNKED) + SMUGGLED
    with RawConn(gateway.port) as conn:
        try:
            for at in range(0, len(text), step):
                conn.send(text[at:at + step])
        except OSError:  # it has closed already
            pass
        assert [conn.read_response().status for _ in range(3)] == [404, 200, 400]
        assert conn.read_to_end() == b""
