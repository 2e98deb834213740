# SPDX-License-Identifier: MIT
"""RFC 6455 sections 5.1 to 5.5 and 5.8, in the order of the Autobahn suite: 1 framing, 2 pings and
pongs, 3 reserved bits, 4 opcodes, 5 fragmentation, 10 what remains."""

import struct

import pytest
from rawws import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, build_frame
from wire import Echoed, failed


@pytest.fixture
def ws(echo):
    with Echoed(echo) as ws:
        yield ws


def send_chopped(ws, data, size):
    for at in range(0, len(data), size):
        ws.send(data[at:at + size])


# --- 1 framing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536])
@pytest.mark.parametrize("chop", [None, 997])
def test_1_framing(ws, opcode, size, chop):
    payload = (b"*" if opcode == TEXT else b"\xfe") * size
    frame = build_frame(payload, opcode)
    send_chopped(ws, frame, chop or len(frame))
    ws.hears(payload, opcode)
    ws.ends()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 200])
def test_1_octet_by_octet(ws, size):
    send_chopped(ws, build_frame(b"*" * size), 1)
    ws.hears(b"*" * size)
    ws.ends()


@pytest.mark.parametrize("mask", [bytes(4), b"\xff" * 4, b"\0\0\0\1", b"\x80\0\0\0"])
def test_1_masks(ws, mask):
    payload = bytes(range(256)) * 3
    ws.send_frame(payload, BINARY, mask=mask)
    ws.hears(payload, BINARY)
    ws.ends()


@pytest.mark.parametrize("frame", [
    build_frame(b"a", masked=False), build_frame(b"", masked=False),
    build_frame(b"a", PING, masked=False), build_frame(b"", PONG, masked=False),
    build_frame(struct.pack("!H", 1000), CLOSE, masked=False)])
def test_1_unmasked(ws, frame):
    """Section 5.1: a server must close upon a frame that is not masked."""
    ws.send(frame)
    failed(ws, 1002)


@pytest.mark.parametrize("form,size", [(16, 0), (16, 125), (64, 0), (64, 125), (64, 126),
                                       (64, 65535)])
def test_1_length_not_minimal(ws, form, size):
    """Section 5.2: the minimal number of bytes must be used."""
    ws.send_frame(b"*" * size, length_form=form)
    failed(ws, 1002)


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, (1 << 63) + 5])
def test_1_length_with_its_top_bit(ws, length):
    ws.send_frame(b"*", length_form=64, declared_length=length)
    failed(ws, 1002)


# --- 2 pings and pongs ----------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff",
                                     b"\xfe" * 125])
@pytest.mark.parametrize("chop", [None, 1])
def test_2_ping(ws, payload, chop):
    frame = build_frame(payload, PING)
    send_chopped(ws, frame, chop or len(frame))
    ws.hears(payload, PONG)
    ws.ends()


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("size", [126, 65536])
def test_2_long_control_frame(ws, opcode, size):
    ws.send(build_frame(b"\xfe" * size, opcode)[:20])  # its header is enough
    failed(ws, 1002)


@pytest.mark.parametrize("payload", [b"", b"unsolicited"])
def test_2_pong_is_not_answered(ws, payload):
    ws.send_frame(payload, PONG)
    ws.send_frame(b"ping", PING)
    ws.hears(b"ping", PONG)
    ws.ends()


@pytest.mark.parametrize("chop", [None, 1])
def test_2_ten_pings(ws, chop):
    frames = b"".join(build_frame(b"payload-%d" % n, PING) for n in range(10))
    send_chopped(ws, frames, chop or len(frames))
    for n in range(10):
        ws.hears(b"payload-%d" % n, PONG)
    ws.ends()


# --- 3 reserved bits ------------------------------------------------------------------------------


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode,payload", [(TEXT, b"Hello"), (BINARY, b"\xff"), (PING, b"x"),
                                            (PONG, b""), (CLOSE, b"\x03\xe8")])
def test_3_reserved_bits(ws, rsv, opcode, payload):
    """No extension was negotiated, so that none of them means anything."""
    ws.send(build_frame("before") + build_frame(payload, opcode, rsv=rsv) + build_frame(b"", PING))
    ws.hears("before")
    failed(ws, 1002)


@pytest.mark.parametrize("rsv", range(1, 8))
def test_3_reserved_bits_of_a_continuation(ws, rsv):
    ws.send_frame("a", fin=False)
    ws.send_frame("b", CONTINUATION, rsv=rsv)
    failed(ws, 1002)


# --- 4 opcodes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("payload", [b"", b"reserved opcode payload"])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("chop", [None, 1])
def test_4_opcodes(ws, opcode, payload, before, chop):
    if before:
        ws.send_frame("before")
        ws.hears("before")
    frame = build_frame(payload, opcode)
    try:
        send_chopped(ws, frame, chop or len(frame))
        ws.send_frame(b"", PING)
    except OSError:  # closed already
        pass
    failed_or_gone(ws)


def failed_or_gone(ws):
    """What is sent on by us may find the connection closed: the close frame counts."""
    frame = ws.read_frame()
    assert (frame.opcode, frame.close_code) == (CLOSE, 1002)
    assert ws.is_closed(10) and not ws.buffer


# --- 5 fragmentation ------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_5_fragmented_control_frame(ws, opcode):
    ws.send_frame(b"", opcode, fin=False)
    failed(ws, 1002)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("chop", [None, 1])
@pytest.mark.parametrize("pings", [0, 1, 3])
def test_5_fragments(ws, opcode, chop, pings):
    """Control frames between the fragments are answered at once, before the message."""
    frames = (build_frame("fragment1", opcode, fin=False) +
              b"".join(build_frame(b"ping%d" % n, PING) for n in range(pings)) +
              build_frame("fragment2", CONTINUATION))
    send_chopped(ws, frames, chop or len(frames))
    for n in range(pings):
        ws.hears(b"ping%d" % n, PONG)
    ws.hears("fragment1fragment2", opcode)
    ws.ends()


@pytest.mark.parametrize("fin", [True, False])
@pytest.mark.parametrize("payload", [b"", b"non-continuation payload"])
@pytest.mark.parametrize("chop", [None, 1])
def test_5_continuation_of_nothing(ws, fin, payload, chop):
    frame = build_frame(payload, CONTINUATION, fin=fin)
    try:
        send_chopped(ws, frame + build_frame("after"), chop or len(frame) * 9)
    except OSError:
        pass
    failed_or_gone(ws)


@pytest.mark.parametrize("fin", [True, False])
def test_5_continuation_behind_a_message(ws, fin):
    ws.send(build_frame("a", fin=False) + build_frame("b", CONTINUATION) +
            build_frame("c", CONTINUATION, fin=fin))
    ws.hears("ab")
    failed(ws, 1002)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [True, False])
def test_5_message_inside_another(ws, opcode, fin):
    ws.send(build_frame("a", fin=False) + build_frame("b", opcode, fin=fin))
    failed(ws, 1002)


@pytest.mark.parametrize("pings", [False, True])
def test_5_many_fragments(ws, pings):
    ws.send_frame("f0", fin=False)
    for n in range(1, 50):
        if pings:
            ws.send_frame(b"p%d" % n, PING)
            ws.hears(b"p%d" % n, PONG)
        ws.send_frame("f%d" % n, CONTINUATION, fin=n == 49)
    ws.hears("".join("f%d" % n for n in range(50)))
    ws.ends()


@pytest.mark.parametrize("parts", [[b"", b"", b""], [b"", b"x", b""], [b"x", b"", b""], [b"", b""]])
def test_5_empty_fragments(ws, parts):
    for n, part in enumerate(parts):
        ws.send_frame(part, CONTINUATION if n else TEXT, fin=n == len(parts) - 1)
    ws.hears(b"".join(parts))
    ws.ends()


def test_5_two_messages_in_one_segment(ws):
    ws.send(build_frame("a") + build_frame(b"\xff", BINARY) + build_frame(""))
    ws.hears("a")
    ws.hears(b"\xff", BINARY)
    ws.hears("")
    ws.ends()


# --- 10 what remains ------------------------------------------------------------------------------


def test_10_fragments_of_a_network_packet(ws):
    payload = b"*" * 65536
    pieces = [payload[at:at + 1300] for at in range(0, len(payload), 1300)]
    for n, piece in enumerate(pieces):
        ws.send_frame(piece, CONTINUATION if n else TEXT, fin=n == len(pieces) - 1)
    ws.hears(payload)
    ws.ends()


def test_10_end_without_close(echo):
    """A client that vanishes amid a frame hurts nobody."""
    for cut in range(12):
        with Echoed(echo) as ws:
            ws.send(build_frame("x" * 200)[:cut])
            if cut % 2:
                ws.reset()
    with Echoed(echo) as ws:
        ws.send_frame("still there")
        ws.hears("still there")
        ws.ends()
