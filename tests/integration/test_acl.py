# SPDX-License-Identifier: MIT
"""The Redis user of docs/OPERATIONS.md: its rights are enough for all that can happen, and none is
for nothing. And what is said when one is missing."""

import contextlib
import re
import sqlite3

import pytest
from cluster import REPO, get, post, wait_until

PASSWORD = "secret"
READY_WITHIN = 60


def rights():
    """The words behind `ACL SETUSER chat`, as the document has them."""
    text = (REPO / "docs" / "OPERATIONS.md").read_text()
    return re.search(r"^ACL SETUSER chat ([^`]*)", text, re.M).group(1).split()


def make(make_cluster, tmp_path, words):
    """A cluster, not started, whose programs are the user chat; the tests are the default user."""
    users = tmp_path / "users.acl"
    users.write_text("user default on nopass ~* &* +@all\n"
                     f"user chat {' '.join(words)}\n")
    cluster = make_cluster(start=False, redis_options={"aclfile": str(users)})
    url = cluster.redis.url.replace("//", f"//chat:{PASSWORD}@")
    for program in (cluster.persister, *cluster.gateways):
        program.settings["REDIS_URL"] = url
    return cluster


def posted(cluster, content):
    """Posts until it is told 201; the id."""
    def try_it():
        answer = post(cluster.gateways[0], "a", content, idempotency_key=content)
        return answer.status_code == 201 and answer.json()["id"]
    return wait_until(try_it, READY_WITHIN, f"'{content}' is accepted")


def wait_stored(cluster, number):
    def row():
        uri = f"file:{cluster.persister.database}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            return db.execute("SELECT 1 FROM messages WHERE id = ?", (number,)).fetchone()
    wait_until(row, READY_WITHIN, f"message {number} is stored")


def used(redis):
    """Names of the commands that ran since the server's start, those of scripts too."""
    with redis.client() as client:
        return {name.removeprefix("cmdstat_") for name in client.info("commandstats")}


def refusals(redis):
    with redis.client() as client:
        return client.acl_log()


def test_the_rights_are_enough_and_all_needed(make_cluster, tmp_path):
    words = rights()
    assert f">{PASSWORD}" in words and "-@all" in words
    cluster = make(make_cluster, tmp_path, words)
    cluster.start()
    redis, persister = cluster.redis, cluster.persister
    with redis.client() as client:
        ours = [c for c in client.client_list() if c["user"] != "default"]
        assert {c["user"] for c in ours} == {"chat"} and len(ours) >= 6, ours
    reader = cluster.subscribe(1)
    for content in ("one", "two", "three"):
        wait_stored(cluster, posted(cluster, content))

    # A message of the log that SQLite does not have becomes void.
    persister.terminate()
    with contextlib.closing(sqlite3.connect(persister.database)) as db, db:
        db.execute("DELETE FROM messages WHERE content = 'two'")
    assert not refusals(redis)
    commands = used(redis)
    redis.kill9()
    redis.start()
    persister.start()
    wait_stored(cluster, posted(cluster, "four"))
    assert persister.probe("/readyz?verbose").json()["voided"] == 1

    # Redis loses everything: keys, producers and messages are put back.
    with redis.client() as client:
        client.flushall()
    last = posted(cluster, "five")
    wait_stored(cluster, last)
    assert post(cluster.gateways[1], "a", "one", idempotency_key="one").json()["id"] == 1
    reader.wait_id(last)
    cluster.gateways[0].restart()  # what it shows comes from Redis and SQLite
    contents = [message["content"] for message in get(cluster.gateways[0], limit=10).json()]
    assert contents == ["one", "three", "four", "five"]

    assert not refusals(redis)
    commands |= used(redis)
    commands = {"script|load" if name == "script" else name for name in commands}  # Redis 6.2
    tests_own = {"ping", "acl", "acl|log", "client", "client|list", "client|setinfo", "flushall",
                 "auth", "hello", "command", "config"}
    assert commands - tests_own == {word[1:] for word in words if word.startswith("+")}


# What is said: by /readyz where there is no connection, by the log where a script is refused.
@pytest.mark.parametrize("missing, program, complaint", [
    ("+info", "gateway", "redis unreachable .*NOPERM.*'info'"),
    ("+info", "persister", "redis unreachable .*NOPERM.*'info'"),
    ("&{chat}:*", "gateway", "redis unreachable .*NOPERM.*channel"),
    ("+evalsha", "gateway", "redis refuses a script script=page .*NOPERM.*'evalsha'"),
    ("+hset", "persister", "redis refuses a script script=open "),
    ("+xadd", "gateway", "redis refuses a script script=publish "),
])
def test_a_missing_right_is_told(make_cluster, tmp_path, missing, program, complaint):
    words = rights()
    words.remove(missing)
    cluster = make(make_cluster, tmp_path, words)
    cluster.redis.start()
    cluster.persister.start(wait=False)
    gateway = cluster.gateways[0].start(wait=False)
    told_by = gateway if program == "gateway" else cluster.persister
    wait_until(lambda: gateway.probe("/livez"), READY_WITHIN)
    if missing == "+xadd":  # the log opens, but nobody can write
        gateway.wait_ready()
        assert post(gateway, "a", "x").status_code == 503
    wait_until(lambda: re.search(complaint, told_by.log), READY_WITHIN, lambda: told_by.log_tail())
    if "unreachable" in complaint:
        answer = told_by.probe("/readyz?verbose")
        assert answer.status_code == 503 and "NOPERM" in answer.json()["redis"]
