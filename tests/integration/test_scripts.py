# SPDX-License-Identifier: MIT
"""publish.lua, open.lua, page.lua and beat.lua on real redis-servers: what they answer, what they
refuse, and what crashes, an AOF cut in mid-script and failovers leave."""

import json
import os
import time

from cluster import wait_until
from log_scripts import (
    CONTROL, FULL, KNOWN, LIVE, LOG, MISMATCH, NEW, PAGE, STATE, TTL, Client, advance, answers,
    beat, check, error, fresh, make_server, milliseconds, page, persister, publish, redis, reopen,
    sealed, written)

__all__ = ["make_server", "redis"]  # fixtures


def test_publish(redis):
    check("no state: SEALED", publish(redis, 1, "b", 1, "hi") == [0, "SEALED", -1])
    check("seal and open", fresh(redis, 0, 10) == ([1], [1]))
    feed = Client(redis.port)
    feed("SUBSCRIBE", LIVE)
    batch = ("Hola", ("k1", "x"), ("k1", "x"), ("k1", "other"))
    first = publish(redis, 1, "b", 1, *batch)
    check("codes of a batch: new, new, known, other content",
          answers(first) == [NEW, NEW, KNOWN, MISMATCH]
          and answers(first, 1) == [1, 2, 2, 0], first)
    text = feed.reply()[2]
    message = json.loads(text)
    check("what is published is the whole message",
          list(message) == ["id", "username", "content", "created_at", "room"]
          and message["id"] == 1 and message["content"] == "Hola", text)
    check("what is published is what is in the log",
          redis("XRANGE", LOG, "1-0", "1-0")[0][1][:2] == ["m", text])
    created = milliseconds(message["created_at"])
    check("created_at is the time of the reply and of the clock",
          created == answers(first, 2)[0] and abs(created - time.time() * 1000) < 2000, message)
    check("retry: the recorded reply", publish(redis, 1, "b", 1, *batch) == first)
    check("next batch", answers(publish(redis, 1, "b", 2, "two"), 1) == [3])
    check("late copy of an earlier batch: STALE",
          publish(redis, 1, "b", 1, *batch) == [0, "STALE", 1])
    check("wrong opening: SEALED and the right one",
          publish(redis, 2, "b", 3, "x") == [0, "SEALED", 1])
    reply = publish(redis, 1, "c", 1, *(("n%d" % i, "x") for i in range(9)), ("k1", "x"))
    check("past the lease: full, a known key is still answered",
          answers(reply) == [NEW] * 7 + [FULL] * 2 + [KNOWN], reply)
    check("full", answers(publish(redis, 1, "c", 2, "x")) == [FULL])
    check("a refused message takes no id", redis.state("seq") == ["10"])
    check("records and keys expire", 0 < redis("TTL", "{chat}:producer:c") <= TTL
          and 0 < redis("TTL", "{chat}:idem:k1") <= TTL)


def test_dates(redis):
    fresh(redis)
    dates = ("2027-12-31T23:59:59.999Z", "2028-02-29T00:00:00.000Z", "2100-02-28T12:34:56.007Z",
             "2100-03-01T00:00:00.000Z", "2400-02-29T23:59:59.100Z", "9999-12-31T23:59:59.999Z")
    for number, date in enumerate(dates, 1):            # the clock never goes below ts
        redis("HSET", STATE, "ts", milliseconds(date))
        publish(redis, 1, "b", number, "x")
        text = redis("XREVRANGE", LOG, "+", "-", "COUNT", 1)[0][1][1]
        check("date " + date, json.loads(text)["created_at"] == date, text)


def test_persister(redis):
    fresh(redis, 0, 10)
    publish(redis, 1, "b", 1, *"abcdefghij")
    check("advance", advance(redis, 1, 30, 10, 4) == [1])
    now = page(redis)
    check("  raises lease, stored, base and trims", (now["lease"], now["stored"], now["base"])
          == ("30", "10", "4") and now["ids"] == [5, 6, 7, 8, 9, 10], now)
    advance(redis, 1, 20, 9, 3)
    check("  and takes none of them back", page(redis) == now)
    check("page: after and count", page(redis, 6, 2)["ids"] == [7, 8])
    advance(redis, 1, 30, 10, 10)
    check("a log trimmed to nothing keeps its top: no id below it",
          page(redis)["ids"] == [] and error(redis("XADD", LOG, "10-0", "m", "x"), "ID specified"))
    check("another file: OWNER", persister(redis, 5, "seal", file="file2") == [0, "OWNER", "file1"])
    check("an opening that is not newer: NEWER", persister(redis, 1, "seal") == [0, "NEWER", "1"])
    check("advance with another token: SEALED",
          sealed(persister(redis, 1, "advance", "x", 99, 99, 9, CONTROL)))
    for verb in ("void", "put", "keys", "prod", "open"):
        check(verb + " without seal: SEALED",
              sealed(persister(redis, 1, verb, *"12345678", keys="ab")))
    check("unknown verb", persister(redis, 1, "x") == [0, "VERB", "x"])
    persister(redis, 2, "seal")
    check("sealed: no publish", publish(redis, 1, "b", 2, "x") == [0, "SEALED", -1])
    check("sealed: no advance", sealed(advance(redis, 1, 99, 99, 9)))
    persister(redis, 3, "seal")
    check("sealed by a later opening: the earlier one cannot open",
          sealed(persister(redis, 2, "open", redis.replid(), 10, 99, 10, 4, 0, CONTROL)))


def test_floor(redis):
    fresh(redis, 10)
    check("a gateway that knows a higher id: SEALED, all stop",
          publish(redis, 1, "b", 1, "x", floor=50) == [0, "SEALED", -1]
          and redis.state("token", "high") == ["regressed", "50"]
          and sealed(publish(redis, 1, "c", 1, "x")))
    reopen(redis, 2, 50, 90)
    check("  opened above it", answers(publish(redis, 2, "b", 1, "x", floor=50), 1) == [51]
          and redis.state("high") == [None])
    redis("CONFIG", "SET", "maxmemory", 1)
    check("  at maxmemory too: else others went on below it once there is memory again",
          publish(redis, 2, "b", 2, "x", floor=80) == [0, "SEALED", -1]
          and redis.state("token", "high") == ["regressed", "80"])
    redis("CONFIG", "SET", "maxmemory", 0)
    check("  and all stop", sealed(publish(redis, 2, "c", 1, "x")))


def test_errors(redis):
    """An error of any kind comes before the first write."""
    fresh(redis, 50)

    def refused(name, word, batch=1):
        before = written(redis)
        reply = publish(redis, 1, "b", batch, "x", ("k", "y"))
        check(name + ": refused, nothing written",
              error(reply, word) and written(redis) == before, reply)

    redis("XADD", LOG, "60-0", "m", "rogue")
    refused("a rogue entry above seq", "ID specified in XADD")
    redis("XDEL", LOG, "60-0")
    refused("a rogue entry, deleted again", "ID specified in XADD")
    redis("CONFIG", "SET", "min-replicas-to-write", 1)
    refused("too few replicas", "NOREPLICAS")
    redis("CONFIG", "SET", "min-replicas-to-write", 0)
    redis("CONFIG", "SET", "maxmemory", 1)
    refused("no memory", "OOM")
    redis("CONFIG", "SET", "maxmemory", 0)
    check("unknown script: NOSCRIPT", error(redis("EVALSHA", "0" * 40, 0), "NOSCRIPT"))

    fresh(redis)
    redis("ACL", "SETUSER", "mute", "on", "nopass", "~{chat}:*", "+@all", "resetchannels")
    mute = Client(redis.port)
    mute("AUTH", "mute", "x")
    reply = publish(mute, 1, "b", 1, "x")
    check("an ACL without the channel is the exception: an error, yet written",
          error(reply, "channel") and page(redis)["ids"] == [1], reply)
    check("  the retry finds it", answers(publish(redis, 1, "b", 1, "x"), 1) == [1])
    redis("ACL", "DELUSER", "mute")


def test_no_memory(redis):
    """A full Redis takes no message, but all that the persister has to do."""
    fresh(redis)
    publish(redis, 1, "a", 1, ("ka", "x"), ("kb", "x"), "x", "x")
    redis("CONFIG", "SET", "maxmemory", "100kb")
    check("it is full", error(redis("SET", "x", "y"), "OOM"))

    def refused(name, opening):
        before = written(redis)
        reply = publish(redis, opening, "b", 1, "x")
        check(name + ": no publish", error(reply, "OOM") and written(redis) == before, reply)

    refused("full", 1)
    check("advance", advance(redis, 1, 200, 4, 2) == [1] and page(redis)["ids"] == [3, 4]
          and redis.state("lease", "stored", "base") == ["200", "4", "2"])
    check("a stream that is trimmed already", advance(redis, 1, 300, 4, 2) == [1]
          and redis.state("lease") == ["300"])
    check("beat and page", beat(redis) == 1 and page(redis)["seq"] == "4")
    check("seal", persister(redis, 2, "seal") == [1]
          and redis.state("token", "opening") == ["sealed:2", "2"])
    keys = ["{chat}:idem:kb", "{chat}:producer:a"]
    check("void", persister(redis, 2, "void", 4, keys=keys) == [1]
          and page(redis)["ids"] == [3] and redis("EXISTS", "{chat}:producer:a") == 0)
    put = (7, '{"id":7}', "a:2:1", "7 1700000000000 print", 1000, 8, '{"id":8}', "a:2:2", "", 0)
    check("put", persister(redis, 2, "put", *put, keys=["{chat}:idem:kc", STATE]) == [1]
          and page(redis)["ids"] == [3, 7, 8] and redis("EXISTS", "{chat}:idem:kc") == 1)
    check("keys", persister(redis, 2, "keys", 1000, "6 1700000000000 print",
                            keys=["{chat}:idem:kd"]) == [1]
          and redis("EXISTS", "{chat}:idem:kd") == 1)
    check("prod", persister(redis, 2, "prod", 1000, 2, 1, 7, 0, 2, 8, 0, keys=["{chat}:producer:a"])
          == [1] and redis("EXISTS", "{chat}:producer:a") == 1)
    check("open", persister(redis, 2, "open", redis.replid(), 400, 500, 8, 2, 0, CONTROL) == [1]
          and redis.state("token", "seq") == [redis.replid(), "400"])
    refused("open", 2)
    redis("CONFIG", "SET", "maxmemory", 0)
    check("memory is given back", answers(publish(redis, 2, "b", 1, "x"), 1) == [401])

    redis("FLUSHALL")
    redis("CONFIG", "SET", "maxmemory", "100kb")
    check("the first seal of all, and open", reopen(redis, 1, 0, 100) == ([1], [1]))
    refused("open", 1)


def test_verbs_refused_by_redis(redis):
    """An error other than OOM comes before the first write of a verb too."""
    fresh(redis)
    publish(redis, 1, "a", 1, "x", "y")

    def all_refused(calls):
        redis("CONFIG", "SET", "min-replicas-to-write", 1)
        before = written(redis)
        replies = [call() for call in calls]
        check("NOREPLICAS, nothing written", all(error(reply, "NOREPLICAS") for reply in replies)
              and written(redis) == before, replies)
        redis("CONFIG", "SET", "min-replicas-to-write", 0)

    all_refused([lambda: advance(redis, 1, 200, 2, 1), lambda: persister(redis, 2, "seal")])
    persister(redis, 2, "seal")
    all_refused([
        lambda: persister(redis, 2, "void", 1, keys=[STATE, STATE]),
        lambda: persister(redis, 2, "put", 7, "{}", "", "", 0, keys=[STATE]),
        lambda: persister(redis, 2, "keys", 1000, "7 1 print", keys=["{chat}:idem:k"]),
        lambda: persister(redis, 2, "prod", 1000, 2, 1, 1, 0, keys=["{chat}:producer:a"]),
        lambda: persister(redis, 2, "open", redis.replid(), 400, 500, 8, 2, 0, CONTROL)])


def test_restore(redis):
    fresh(redis)
    redis("FLUSHALL")
    check("FLUSHALL: same replid, no state: SEALED", sealed(publish(redis, 1, "b", 1, "x")))
    persister(redis, 4, "seal")
    keys = ["{chat}:idem:kw", STATE]
    put = (5, '{"id":5}', "b:7:2", "5 1700000000000 print-of-w", 1000,
           6, '{"id":6}', "b:7:3", "", 0)
    check("put", persister(redis, 4, "put", *put, keys=keys) == [1]
          and page(redis)["ids"] == [5, 6])
    check("  the entry is as publish wrote it", redis("XRANGE", LOG, "5-0", "5-0")[0][1]
          == ["m", '{"id":5}', "p", "b:7:2", "k", keys[0], "v", put[3]])
    check("  base is below the first one put back", redis.state("base") == ["4"])
    persister(redis, 4, "put", 9, '{"id":9}', "", "", 0, keys=[STATE])
    check("  a later page does not raise it", redis.state("base") == ["4"])
    redis("HSET", STATE, "base", 90)
    persister(redis, 4, "put", 20, '{"id":20}', "", "", 0, keys=[STATE])
    check("  a base above it goes down", redis.state("base") == ["19"])
    redis("HSET", STATE, "base", 4)
    check("  what is not above the top is refused",
          error(persister(redis, 4, "put", *put, keys=keys), "ID specified"))

    producer = "{chat}:producer:b"
    prod = (1000, 7, 2, 5, 1700000000000, 3, 6, 1700000000000)
    check("prod", persister(redis, 4, "prod", *prod, keys=[producer]) == [1])
    check("open", reopen(redis, 5, 130, 170, 20, 4) == ([1], [1]))
    retry = ("n1", ("kw", "w"), "n3")
    reply = publish(redis, 5, "b", 7, *retry)
    check("retry after a loss: what was put back keeps its ids, the rest is new",
          answers(reply) == [NEW] * 3 and answers(reply, 1) == [131, 5, 6], reply)
    check("a key that was put back", publish(redis, 5, "b", 8, ("kw", "w"))[2:4] == [KNOWN, 5])

    persister(redis, 6, "seal")
    record = redis("GET", producer)
    persister(redis, 6, "prod", *prod, keys=[producer])
    check("prod leaves the record of a later batch", redis("GET", producer) == record)
    persister(redis, 6, "prod", 1000, 9, keys=[producer])
    check("prod replaces that of an earlier one", redis("GET", producer) != record)
    reopen(redis, 7, 200, 300, 131, 4)
    check("  so the earlier batch is STALE, this one is new",
          publish(redis, 7, "b", 8, "x") == [0, "STALE", 7]
          and answers(publish(redis, 7, "b", 9, "x"), 1) == [201])


def test_keys(redis):
    """Of messages whose entries the stream does not take again."""
    fresh(redis)
    publish(redis, 1, "a", 1, ("ka", "x"), ("kb", "y"), ("kc", "z"))
    times = answers(publish(redis, 1, "a", 1, ("ka", "x"), ("kb", "y"), ("kc", "z")), 2)
    keys = ["{chat}:idem:" + name for name in ("ka", "kb", "kc")]
    values = [redis("GET", key) for key in keys]
    redis("XDEL", LOG, "2-0")
    redis("DEL", keys[1])
    persister(redis, 2, "seal")
    earlier = ["1 1 print-of-x", "2 %d print-of-y" % times[1], "2 1 print-of-z"]
    check("keys", persister(redis, 2, "keys", 1000, *earlier, keys=keys) == [1])
    check("  what is gone is set, with its time to live",
          redis("GET", keys[1]) == values[1] and 0 < redis("TTL", keys[1]) <= 1000)
    check("  the same id and a later one's stay", [redis("GET", key) for key in keys] == values
          and redis("TTL", keys[0]) > 1000 and redis("TTL", keys[2]) > 1000)
    check("  the log and its base are as they were",
          page(redis)["ids"] == [1, 3] and redis.state("base") == ["0"])
    persister(redis, 2, "open", redis.replid(), 100, 200, 3, 2, 0, CONTROL)
    check("a retry is recognised", answers(publish(redis, 2, "b", 1, ("kb", "y")), 1) == [2])
    persister(redis, 3, "seal")
    check("of an earlier one it is replaced",
          persister(redis, 3, "keys", 1000, "9 1 print-of-y", keys=keys[1:2]) == [1]
          and redis("GET", keys[1]) == "9 1 print-of-y")


def test_void(redis):
    def void(opening, id, key, producer=STATE):
        keys = [key and "{chat}:idem:" + key or STATE, producer]
        return persister(redis, opening, "void", id, keys=keys)

    fresh(redis)
    publish(redis, 1, "a", 1, ("ka", "x"))
    publish(redis, 1, "b", 1, ("kb", "x"), ("kc", "x"))
    for number in range(2, 9):
        publish(redis, 1, "c", number, "x")             # ids 4 to 10
    publish(redis, 1, "d", 1, ("kd", "x"))              # id 11
    persister(redis, 2, "seal")
    producers = ["{chat}:producer:" + boot for boot in "abcd"]
    check("void", void(2, 1, "ka", producers[0]) == [1])
    check("  the entry, its key and its record are gone", page(redis, 0, 2)["ids"] == [2, 3]
          and redis("EXISTS", "{chat}:idem:ka", producers[0]) == 0)
    void(2, 2, "kc", producers[2])
    check("a key and a record that speak of another id stay", page(redis, 0, 2)["ids"] == [3, 4]
          and redis("EXISTS", "{chat}:idem:kc", producers[2]) == 2)
    void(2, 1, "kd", producers[3])
    check("  also one that only starts alike (1, 11)",
          redis("EXISTS", "{chat}:idem:kd", producers[3]) == 2)
    void(2, 4, None)
    check("no key, no record", page(redis, 3, 1)["ids"] == [5])
    persister(redis, 2, "prod", 1000, 5, 1, 6, 1700000000000, keys=[producers[1]])
    void(2, 7, None, producers[1])
    check("a record that was put back stays for another id", redis("EXISTS", producers[1]) == 1)
    void(2, 6, None, producers[1])
    check("  and goes with its own", redis("EXISTS", producers[1]) == 0)


def test_page(redis):
    check("no state: only who the server is", page(redis) == dict(
        dict.fromkeys(("token", "opening", "seq", "lease", "prev", "from", "base", "stored", "high",
                       "owner", "ts", "top"), ""), here=redis.replid(), more=0,
        ids=[]))
    persister(redis, 3, "seal")
    check("sealed: not its token", page(redis)["token"] == "sealed:3")
    persister(redis, 3, "open", redis.replid(), 7, 50, 5, 2, 1700000000000, CONTROL)
    publish(redis, 3, "b", 1, "x", "y")
    now = page(redis)
    check("open: token is here", now["token"] == now["here"] == redis.replid())
    ts = int(now.pop("ts"))
    check("ts is the time of the newest message", abs(ts - time.time() * 1000) < 5000, ts)
    check("all facts", now == {
        "token": redis.replid(), "here": redis.replid(), "opening": "3", "seq": "9", "lease": "50",
        "prev": "5", "from": "7", "base": "2", "stored": "7", "high": "", "owner": "file1",
        "top": "9-0", "more": 0, "ids": [8, 9]}, now)
    check("back: those before, newest first", [page(redis, before, count, "back")["ids"]
          for before, count in ((10, 5), (9, 5), (100, 1), (8, 5))] == [[9, 8], [8], [9], []])
    facts = dict(ids=[], more=0)
    check("  with the same facts", {**page(redis, 10, 2, "back"), **facts} == {**page(redis), **facts})
    for n, step in ((3, 1), (3, 2), (7, 3)):
        publish(redis, 3, "b", 10 * n + step, *(str(i) * 100 * n for i in range(n)))
    check("any step gives the same", all(page(redis, step=n) == page(redis) for n in (1, 2, 5, 100)))
    ids, entries = page(redis)["ids"], redis("XRANGE", LOG, "-", "+")
    lengths = [sum(map(len, entry[1])) for entry in entries]
    for size in (1, 150, 500, 1500, sum(lengths) - 1, sum(lengths), 1 << 22):
        for step in (1, 2, 4, 32):
            for words in (), ("back",):
                read, at = [], 0 if not words else 1000
                while True:
                    now = page(redis, at, 6, *words, size=size, step=step)
                    got = now["ids"]
                    sizes = [lengths[ids.index(i)] for i in got]
                    right = len(got) <= 6 and sum(sizes[:-1]) < size and (got or not now["more"])
                    ended = len(got) == 6 or sum(sizes) >= size
                    check("  as many as count and bytes allow", right and (not now["more"] or ended),
                          (size, step, words, now))
                    read += got
                    if not now["more"]:
                        break
                    at = got[-1]
                check("  all of them, read on", read == (ids[::-1] if words else ids),
                      (size, step, words, read))
    before = redis("HGETALL", STATE), redis("DBSIZE")
    page(redis)
    page(redis, 100, 5, "back")
    check("it writes nothing", (redis("HGETALL", STATE), redis("DBSIZE")) == before)


def test_beat(redis):
    channel = "{chat}:beat:b"
    feed = Client(redis.port)
    feed("SUBSCRIBE", channel)

    def heard():
        check("beat", beat(redis, channel) == 1)
        return feed.reply()[2]

    check("no state", heard() == "0 0 0 0")
    persister(redis, 4, "seal")
    check("sealed", heard() == "0 0 0 0")
    persister(redis, 4, "open", redis.replid(), 7, 50, 5, 2, 0, CONTROL)
    check("open: opening, seq, stored, base", heard() == "4 7 7 2")
    publish(redis, 4, "b", 1, "x", "y")
    check("seq counts what came before the beat", heard() == "4 9 7 2")
    advance(redis, 4, 60, 9, 3)
    check("stored and base follow", heard() == "4 9 9 3")
    redis("HSET", STATE, "token", "another")
    check("open for another server", heard() == "0 0 0 0")


def test_announcements(redis):
    feed = Client(redis.port)
    feed("SUBSCRIBE", CONTROL)
    fresh(redis, 10)
    check("open announces its number and seq", feed.reply()[2] == "1 10")
    advance(redis, 1, 100, 12, 0)
    check("advance announces what is stored", feed.reply()[2] == "1 12")
    advance(redis, 1, 100, 11, 0)
    check("  and never goes back", feed.reply()[2] == "1 12")


def test_order(redis):
    fresh(redis)
    feed = Client(redis.port)
    feed("SUBSCRIBE", LIVE, "heartbeat")
    feed.reply()
    publish(redis, 1, "b", 1, *"abcde")
    redis("PUBLISH", "heartbeat", "5")
    check("a heartbeat comes after the batch before it",
          [feed.reply()[1] for _ in range(6)] == [LIVE] * 5 + ["heartbeat"])


def test_crash(make_server):
    server = make_server("redis")
    redis = server.connection
    fresh(redis, 100, 200)
    publish(redis, 1, "b", 1, "x")
    before = redis.info("server", "run_id"), redis.replid()
    server.kill9()
    redis = server.connect()
    after = redis.info("server", "run_id"), redis.replid()
    check("kill -9 and start: new run id, new replid",
          before[0] != after[0] and before[1] != after[1])
    check("  the data are back, SEALED", redis.state("seq") == ["101"]
          and sealed(publish(redis, 1, "b", 2, "x")))
    reopen(redis, 2, 200, 400, 101)
    publish(redis, 2, "b", 2, *(("k%d" % i, "x") for i in range(50)))
    server.kill9()
    # Redis 6.2 has one file, later ones a folder of them.
    aof, = [*server.data.glob("appendonly.aof"), *server.data.glob("appendonlydir/*.incr.*")]
    os.truncate(aof, aof.stat().st_size - 2000)
    redis = server.connect()
    now = page(redis)
    check("an AOF cut in the middle of a script: all of the script is gone",
          (now["seq"], now["top"]) == ("200", "101-0")
          and redis("EXISTS", "{chat}:idem:k0") == 0, now)


def test_failover(make_server):
    """Promotions and demotions; connections to the old master survive them."""
    no_delay = {"repl-diskless-sync-delay": "0"}
    one, two = make_server("one", **no_delay), make_server("two", **no_delay)
    a, b, idle = one.connection, two.connection, Client(one.port)
    fresh(a)
    publish(a, 1, "b", 1, "x")
    alone = a.replid()
    two.replicate(one)
    check("a master changes its replid when its first replica attaches", a.replid() != alone)
    check("  SEALED once, nothing lost", sealed(publish(a, 1, "b", 2, "x"))
          and a.state("seq") == ["1"])
    reopen(a, 2, 100, 200, 1)
    check("  opened", answers(publish(a, 2, "b", 2, "x"), 1) == [101])
    wait_until(lambda: b.state("seq") == ["101"], what="the replica is in step")
    check("a replica has the state and the replid of its master",
          b.replid() == a.replid() and b("HGETALL", STATE) == a("HGETALL", STATE))
    check("  READONLY", error(publish(b, 2, "b", 3, "x"), "READONLY")
          and error(publish(b, 2, "b", 3, "x", floor=999), "READONLY"))
    check("  page and beat too: what a replica tells may be old",
          error(b("EVAL", PAGE, 2, STATE, LOG, 0, 10), "READONLY") and error(beat(b), "READONLY"))
    feed = Client(two.port)
    feed("SUBSCRIBE", "heartbeat")
    a("PUBLISH", "heartbeat", "1")
    check("PUBLISH on a master reaches a subscriber of its replica", feed.reply()[1] == "heartbeat")

    run_id, old = b.info("server", "run_id"), b.replid()
    b("REPLICAOF", "NO", "ONE")
    check("a promotion changes the replid, not the run id",
          b.info("server", "run_id") == run_id and b.replid() != old)
    check("  SEALED", sealed(publish(b, 2, "b", 3, "x")))
    check("the old master goes on for whom it still has", answers(publish(
        idle, 2, "b", 3, *"xyz"), 1) == [102, 103, 104])
    run_id = a.info("server", "run_id")
    one.replicate(two)
    check("demoted, its connections live and may PUBLISH",
          idle("PING") == "PONG" and isinstance(idle("PUBLISH", "heartbeat", "x"), int))
    reply = publish(idle, 2, "b", 4, "x")
    check("  but not publish: SEALED or READONLY", sealed(reply) or error(reply, "READONLY"), reply)
    a("REPLICAOF", "NO", "ONE")
    check("promoted again: the same run id, an older state under its own old token",
          a.info("server", "run_id") == run_id and a.state("seq", "token") == ["101", old])
    check("  SEALED on a connection that saw it all: no id is used twice",
          sealed(publish(idle, 2, "c", 1, "x"))
          and sealed(publish(idle, 2, "c", 1, "x", floor=999)))
    before = a("HGETALL", STATE), page(a)["ids"]
    check("  no advance by the old token either: base does not pass what was lost",
          sealed(persister(idle, 2, "advance", old, 300, 104, 104, CONTROL))
          and (a("HGETALL", STATE), page(a)["ids"]) == before)
    reopen(a, 3, 300, 400, 101)
    check("  opened", answers(publish(idle, 3, "c", 1, "x", floor=104), 1) == [301])
