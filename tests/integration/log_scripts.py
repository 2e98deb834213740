# SPDX-License-Identifier: MIT
"""The log's scripts, as they are compiled in, called on a real redis-server by a bare client."""

import datetime
import json
import socket

import pytest
from cluster import REPO, Redis, wait_until

PUBLISH, OPEN, PAGE, BEAT = (
    (REPO / "common" / f"{name}.lua").read_text() for name in ("publish", "open", "page", "beat"))
STATE, LOG, LIVE, CONTROL = "{chat}:state", "{chat}:log", "{chat}:live", "{chat}:control"
TTL = 86400
NEW, KNOWN, MISMATCH, FULL = range(4)


def check(name, holds, *seen):
    assert holds, f"{name} {seen if seen else ''}"


class RedisError(Exception):
    """An error reply; returned, not raised."""


class Client:
    """A connection that gives replies as they come; redis-py makes other things of some."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.file = self.socket.makefile("rb")

    def __call__(self, *words):
        request = b"*%d\r\n" % len(words)
        for word in words:
            word = str(word).encode()
            request += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(request)
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line:
            raise EOFError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"+":
            return rest
        if kind == b"-":
            return RedisError(rest)
        if kind == b":":
            return int(rest)
        if int(rest) < 0:
            return None
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2].decode(errors="replace")
        return [self.reply() for _ in range(int(rest))]

    def info(self, section, field):
        for line in self("INFO", section).split("\r\n"):
            if line.startswith(field + ":"):
                return line.split(":", 1)[1]
        return None

    def replid(self):
        return self.info("replication", "master_replid")

    def state(self, *fields):
        return self("HMGET", STATE, *fields)


class Server(Redis):
    """A redis-server and a connection to it."""

    def connect(self):
        self.connection = Client(self.start().port)
        return self.connection

    def replicate(self, master):
        self.connection("REPLICAOF", "127.0.0.1", master.port)
        wait_until(lambda: self.connection.info("replication", "master_link_status") == "up",
                   what="the replica is in step")


@pytest.fixture
def make_server(tmp_path):
    made = []

    def make(name, **options):
        server = Server(tmp_path, options, name)
        made.append(server)
        server.connect()
        return server

    yield make
    for server in made:
        if server.running:
            server.kill9()


@pytest.fixture
def redis(make_server):
    return make_server("redis").connection


def publish(redis, opening, boot, batch, *messages, floor=0):
    """Each message: 'content' or ('idempotency key', 'content')."""
    keys, words = [STATE, LOG, "{chat}:producer:" + boot], []
    for message in messages:
        key, content = message if isinstance(message, tuple) else (None, message)
        keys.append("{chat}:idem:" + key if key else STATE)
        words += [',"username":"Diego","content":%s,' % json.dumps(content), ',"room":"lobby"}',
                  "print-of-" + content]
    return redis("EVAL", PUBLISH, len(keys), *keys,
                 opening, batch, floor, LIVE, TTL, TTL, boot, *words)


def persister(redis, opening, verb, *words, keys=(), file="file1"):
    """words: from ARGV 4; keys: from KEYS 3."""
    return redis("EVAL", OPEN, 2 + len(keys), STATE, LOG, *keys, verb, opening, file, *words)


def reopen(redis, opening, seq, lease, prev=0, base=0):
    return (persister(redis, opening, "seal"),
            persister(redis, opening, "open", redis.replid(), seq, lease, prev, base, 0, CONTROL))


def advance(redis, opening, lease, stored, trim):
    return persister(redis, opening, "advance", redis.replid(), lease, stored, trim, CONTROL)


def page(redis, after=0, count=100, *words, size=1 << 22, step=32):
    names = ("token", "opening", "seq", "lease", "prev", "from", "base", "stored", "high", "owner",
             "ts", "top", "here")
    reply = redis("EVAL", PAGE, 2, STATE, LOG, after, count, size, step, *words)
    return dict(zip(names, reply), more=reply[13],
                ids=[int(entry[0].split("-")[0]) for entry in reply[14]])


def beat(redis, channel="{chat}:beat:b"):
    return redis("EVAL", BEAT, 1, STATE, channel)


def fresh(redis, seq=0, lease=100):
    redis("FLUSHALL")
    return reopen(redis, 1, seq, lease)


def answers(reply, part=0):
    """The codes (part 0), ids (1) or times (2) of a reply."""
    return reply[2 + part::3]


def sealed(reply):
    return isinstance(reply, list) and reply[:2] == [0, "SEALED"]


def error(reply, word):
    return isinstance(reply, RedisError) and word in str(reply)


def milliseconds(date):
    return round(datetime.datetime.fromisoformat(date).timestamp() * 1000)


def written(redis):
    """Changes with every write that matters."""
    return redis("HGETALL", STATE), redis("XLEN", LOG), redis("DBSIZE")
