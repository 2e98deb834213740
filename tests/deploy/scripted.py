# SPDX-License-Identifier: MIT
"""Gateways that do as they are told, and the resolver that names them: what stands behind the load
balancer while its configuration is tested. They listen on addresses of 127.0.0.0/8."""

import socket
import struct
import threading
from typing import NamedTuple

# The example of RFC 6455 section 1.3: HAProxy checks that the one answers the other.
SAMPLE_KEY, SAMPLE_ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Received(NamedTuple):
    address: str
    method: str
    target: str
    headers: list  # pairs, names in lower case
    body: bytes


class ScriptedGateways:
    """One plan for all of them: each request but a probe takes the plan's next word, and the last
    word stays.

        answer   201 to a POST, 200 otherwise; an upgrade is always answered, and echoes
        drop     reads the request and closes without a word
        die      likewise, and from then on no gateway listens
        refuse   503 with a body of its own
    """

    def __init__(self, port):
        self.port = port
        self.plan = ["answer"]
        self.received = []
        self.unready = set()  # addresses whose /readyz says 503
        self._listeners = {}
        self._lock = threading.Lock()

    def start(self, address):
        listener = socket.create_server((address, self.port), reuse_port=False)
        self._listeners[address] = listener
        threading.Thread(target=self._accept, args=(address, listener), daemon=True).start()

    def stop(self, address):
        listener = self._listeners.pop(address, None)
        if listener:
            listener.shutdown(socket.SHUT_RDWR)  # close alone leaves accept() waiting
            listener.close()

    def stop_all(self):
        for address in list(self._listeners):
            self.stop(address)

    def addresses(self):
        return list(self._listeners)

    def begin(self, *plan):
        """A new plan; forgets what was received."""
        with self._lock:
            self.plan = list(plan)
            self.received = []

    def _accept(self, address, listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            conn.settimeout(120)
            threading.Thread(target=self._serve, args=(address, conn), daemon=True).start()

    def _serve(self, address, conn):
        with conn, conn.makefile("rb") as stream:
            try:
                while (got := read_request(address, stream)) and self._answer(conn, stream, got):
                    pass
            except OSError:
                pass

    def _next_word(self, got):
        with self._lock:
            self.received.append(got)
            return self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]

    def _answer(self, conn, stream, got):
        """False: the connection is to be closed."""
        if got.target == "/readyz":
            send_answer(conn, 503 if got.address in self.unready else 200, b"probe")
            return True
        if dict(got.headers).get("upgrade"):
            conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                         b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + SAMPLE_ACCEPT
                         + b"\r\n\r\n")
            while data := stream.read1(4096):
                conn.sendall(data)
            return False
        word = self._next_word(got)
        if word == "die":
            self.stop_all()
        if word in ("drop", "die"):
            return False
        if word == "refuse":
            send_answer(conn, 503, b'{"detail":"scripted"}',
                        "Retry-After: 7\r\nContent-Type: application/json\r\n")
        else:
            send_answer(conn, 201 if got.method == "POST" else 200, got.address.encode())
        return True


def read_request(address, stream):
    line = stream.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = []
    while (text := stream.readline().decode("latin-1").strip()):
        name, _, value = text.partition(":")
        headers.append((name.lower(), value.strip()))
    length = int(dict(headers).get("content-length", 0))
    return Received(address, line[0], line[1], headers, stream.read(length))


def send_answer(conn, status, body, more=""):
    conn.sendall(f"HTTP/1.1 {status} Scripted\r\nContent-Length: {len(body)}\r\n{more}\r\n"
                 .encode() + body)


class Resolver:
    """Answers every question for an address record with the addresses it has now."""

    def __init__(self, addresses):
        self.addresses = addresses  # replaced as a whole, never changed
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            query, peer = self._socket.recvfrom(4096)
            self._socket.sendto(build_dns_answer(query, self.addresses), peer)


def build_dns_answer(query, addresses):
    """RFC 1035 section 4: one question, an address record for each address; the name of each is a
    pointer to the question's."""
    end = query.index(b"\0", 12) + 5
    head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0)
    records = b"".join(struct.pack("!HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
                       for address in addresses)
    return head + query[12:end] + records
