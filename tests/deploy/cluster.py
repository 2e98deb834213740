# SPDX-License-Identifier: MIT
"""The cluster of docker-compose.yml under traffic: a gateway is killed, one crashes, the service is
scaled 3, 5, 2, while writers post through the load balancer and readers follow. Nothing may be
lost, doubled or out of order. See compose.py for its environment."""

import json
import os
import signal
import sqlite3
import sys
import tempfile

from checks import Checks, command, get_json, request, wait_for
from clients import Reader, Writer
from compose import (CHAT_PORT, STATUS_PORT, compose, containers, scale, wait_gateways,
                     wait_healthy)

WRITERS, READERS = 4, 6
STEP = 300  # messages acknowledged after each event, before the next one
ROOM = "deploy"
SERVICES = {"redis": 1, "persister": 1, "gateway": 3, "lb": 1}

checks = Checks()
writers, readers = [], []


def acked_count():
    return sum(len(writer.acked) for writer in writers)


def wait_for_traffic():
    """A step's worth of messages, and every reader has caught up with what was there before."""
    before = acked_count()
    seen = max((writer.acked[-1][0] for writer in writers if writer.acked), default=0)
    wait_for(f"{STEP} more messages", lambda: acked_count() >= before + STEP)
    wait_for(f"every reader at {seen}", lambda: all(r.last_id >= seen for r in readers))


def cluster_starts():
    compose("up", "-d", "--build")
    for service, count in SERVICES.items():
        wait_healthy(service, count)
        checks.check(f"{service}: {count} healthy", True)
    started = [max(one["State"]["StartedAt"] for one in containers(service))
               for service in ("redis", "persister", "gateway", "lb")]
    checks.check("started in the order of health", started == sorted(started), repr(started))
    wait_gateways(3)


def containers_are_locked_down():
    for service in SERVICES:
        one = containers(service)[0]
        host = one["HostConfig"]
        checks.check(f"{service}: read-only, no capability, no new privileges, bounded memory",
                     host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"]
                     and "no-new-privileges:true" in host["SecurityOpt"]
                     and host["Memory"] > 0 and host["PidsLimit"], json.dumps(host))
        checks.check(f"{service}: not root", one["Config"]["User"] not in ("", "0", "root"),
                     one["Config"]["User"])


def replicas_share_one_chat():
    """Post to one replica, see it on another: each by a port of its own."""
    ports = [int(one["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"])
             for one in containers("gateway")]
    answer = request(ports[0], "POST", "/rooms/replicas/messages",
                     {"username": "Diego", "content": "Hola"})
    checks.equal("a POST to one replica", answer and answer.status, 201)
    message = json.loads(answer.body)
    for port in ports[1:]:
        checks.equal("it is on another one",
                     get_json(port, f"/rooms/replicas/messages?min_id={message['id']}"), [message])


def traffic_flows():
    writers.extend(Writer(CHAT_PORT, ROOM, f"writer{i}") for i in range(WRITERS))
    readers.extend(Reader(CHAT_PORT, ROOM) for _ in range(READERS))
    wait_for_traffic()
    checks.check("writers write and readers read", True)


def gateway_is_killed():
    command("docker", "kill", containers("gateway")[1]["Id"])
    wait_for_traffic()
    wait_gateways(2)
    checks.check("a gateway was killed", True)
    compose("up", "-d", "--no-build")
    wait_gateways(3)
    wait_for_traffic()
    checks.check("and came back", True)


def crashed_gateway_restarts():
    if os.geteuid() != 0:
        print("skip a gateway crashes: only root may kill its process")
        return
    victim = containers("gateway")[0]
    os.kill(victim["State"]["Pid"], signal.SIGKILL)
    wait_for("Docker restarts it",
             lambda: containers("gateway")[0]["RestartCount"] > victim["RestartCount"])
    wait_gateways(3)
    wait_for_traffic()
    checks.check("a gateway crashed, and Docker started it again", True)


def service_is_scaled():
    scale(5)
    # The load balancer gives these to the gateways that have none.
    readers.extend(Reader(CHAT_PORT, ROOM) for _ in range(READERS))
    wait_for_traffic()
    checks.check("scaled from 3 to 5", True)
    before = closes(1012)
    scale(2)
    wait_for_traffic()
    checks.check("scaled from 5 to 2", True)
    checks.check("gateways that leave tell their readers to resume (1012)", closes(1012) > before,
                 repr([reader.closes for reader in readers]))


def closes(code):
    return sum(reader.closes.count(code) for reader in readers)


def nothing_is_lost():
    for writer in writers:
        writer.stop()
    last = Writer(CHAT_PORT, ROOM, "last")
    last.stop()
    last.write("last stored", [("Prefer", "wait=stored")])
    everyone = [*writers, last]
    checks.equal("no POST failed in the end", [w.lost for w in everyone if w.lost], [])
    sent = sorted(pair for writer in everyone for pair in writer.acked)
    again = {}
    for writer in everyone:
        for status, count in writer.again.items():
            again[status] = again.get(status, 0) + count
    end = sent[-1][0]
    wait_for(f"every reader at {end}", lambda: all(r.last_id >= end for r in readers))
    for reader in readers:
        reader.stop()
    print(f"     {len(sent)} messages, tries that clients repeated: {again or 'none'}; "
          f"{sum(len(r.closes) for r in readers)} WebSockets ended, {closes(1012)} by 1012; "
          f"{sum(r.refused for r in readers)} handshakes repeated")
    checks.equal("every id was given once", len({number for number, _ in sent}), len(sent))
    checks.check("each writer's messages are in its order",
                 all(w.acked == sorted(w.acked) for w in writers))
    checks.check("every reader got every message, once, in order",
                 all(reader.got == sent for reader in readers), describe(sent))
    checks.equal("no reader was told of a gap", [r.odd for r in readers if r.odd], [])
    checks.equal("the history through the load balancer is the same", read_history(), sent)
    compose("up", "-d", "--no-build", "--force-recreate", "--no-deps", "--scale", "gateway=3",
            "gateway")
    wait_gateways(3)
    checks.equal("and from gateways that have just started", read_history(), sent)
    checks.equal("and in the SQLite file", read_sqlite(), sent)


def describe(sent):
    """The first difference of each reader that has one."""
    wrong = []
    for reader in readers:
        pairs = zip(reader.got + [None], sent + [None])
        difference = next((pair for pair in pairs if pair[0] != pair[1]), None)
        if reader.got != sent:
            wrong.append(f"{len(reader.got)} of {len(sent)}, got and wanted {difference}")
    return "; ".join(wrong)


def read_history():
    found, after = [], 0
    while page := get_json(CHAT_PORT, f"/rooms/{ROOM}/messages?after={after}&limit=1000"):
        found += [(message["id"], message["content"]) for message in page]
        after = found[-1][0]
    return found


def read_sqlite():
    compose("stop", "persister")
    stopped = containers("persister")[0]
    checks.equal("the persister stops well", stopped["State"]["ExitCode"], 0)
    with tempfile.TemporaryDirectory() as folder:
        command("docker", "cp", f"{stopped['Id']}:/data/.", folder)
        with sqlite3.connect(f"{folder}/chat.db") as database:
            checks.equal("the database is whole",
                         database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            return database.execute("SELECT id, content FROM messages WHERE room = ? ORDER BY id",
                                    (ROOM,)).fetchall()


def cluster_goes_on_without_persister():
    answer = request(CHAT_PORT, "POST", "/messages", {"username": "Ana", "content": "meanwhile"})
    checks.equal("a POST while the persister is away", answer and answer.status, 201)
    compose("up", "-d", "--no-build")
    wait_healthy("persister", 1)
    answer = request(CHAT_PORT, "POST", "/messages", {"username": "Ana", "content": "stored"},
                     [("Prefer", "wait=stored")])
    checks.equal("a stored POST when it is back", answer and answer.status, 201)


def unhealthy_is_noticed():
    """Without Redis no gateway is ready; the load balancer and Docker both tell."""
    compose("stop", "redis")
    wait_gateways(0)
    answer = request(STATUS_PORT, "GET", "/healthz")
    checks.equal("without Redis the status page says 503", answer and answer.status, 503)
    answer = request(CHAT_PORT, "GET", "/readyz")
    checks.equal("and so does the load balancer", answer and answer.status, 503)
    compose("up", "-d", "--no-build")
    wait_gateways(3)
    answer = request(CHAT_PORT, "POST", "/messages", {"username": "Ana", "content": "again"})
    checks.equal("a POST when Redis is back", answer and answer.status, 201)


def programs_stop_well():
    compose("stop")
    for service in ("gateway", "persister", "redis"):
        states = [one["State"] for one in containers(service)]
        checks.check(f"{service}: status 0 at the end, never out of memory",
                     all(s["ExitCode"] == 0 and not s["OOMKilled"] for s in states), repr(states))


status = checks.run(cluster_starts, containers_are_locked_down, replicas_share_one_chat,
                    traffic_flows, gateway_is_killed, crashed_gateway_restarts, service_is_scaled,
                    nothing_is_lost, cluster_goes_on_without_persister, unhealthy_is_noticed,
                    programs_stop_well)
if status:
    print(compose("logs", "--no-color", "--tail", "30"))
sys.exit(status)
