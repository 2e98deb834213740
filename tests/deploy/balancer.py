# SPDX-License-Identifier: MIT
"""docs/deploy/haproxy.cfg in the image of docker-compose.yml, in front of scripted gateways: what is
sent again, what never is, and what a client is told. Only the addresses and ports are exchanged.

usage: balancer.py <image of HAProxy>
"""

import json
import os
import socket
import sys
import tempfile
from pathlib import Path

from checks import ROOT, Checks, command, gateways_up, gateways_used, request, wait_for
from rawws import RawConn, build_request
from scripted import SAMPLE_KEY, Resolver, ScriptedGateways

FIRST, SECOND, THIRD, FOURTH = "127.77.0.1", "127.77.0.2", "127.77.0.3", "127.77.0.4"
BODY = {"username": "Ana", "content": "hi"}
KEY = [("Idempotency-Key", "k-1")]

checks = Checks()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Balancer:
    def __init__(self, image):
        self.port, self.status_port, gateway_port = free_port(), free_port(), free_port()
        self.gateways = ScriptedGateways(gateway_port)
        self.resolver = Resolver([FIRST, SECOND, THIRD])
        self.name = f"chat-deploy-balancer-{os.getpid()}"
        self.folder = tempfile.TemporaryDirectory()
        self.write_config(Path(self.folder.name), gateway_port)
        command("docker", "run", "-d", "--name", self.name, "--network", "host", "--read-only",
                "--cap-drop", "ALL", "-v",
                f"{self.folder.name}/haproxy.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro", image)

    def write_config(self, folder, gateway_port):
        text = (ROOT / "docs/deploy/haproxy.cfg").read_text()
        for old, new in ((" :8080\n", f" 127.0.0.1:{self.port}\n"),
                         (" :8404\n", f" 127.0.0.1:{self.status_port}\n"),
                         ("127.0.0.11:53", f"127.0.0.1:{self.resolver.port}"),
                         ("gateway:8080", f"gateway:{gateway_port}")):
            assert text.count(old) == 1, f"haproxy.cfg has {old!r} {text.count(old)} times"
            text = text.replace(old, new)
        folder.chmod(0o755)  # the container's user is another one
        (folder / "haproxy.cfg").write_text(text)

    def close(self):
        command("docker", "rm", "-f", "-v", self.name, check=False)
        self.folder.cleanup()

    def restore(self, *addresses):
        """These gateways, all of them up."""
        for address in self.gateways.addresses():
            if address not in addresses:
                self.gateways.stop(address)
        for address in addresses:
            if address not in self.gateways.addresses():
                self.gateways.start(address)
        self.gateways.unready.clear()
        self.resolver.addresses = list(addresses)
        self.wait_for_up(len(addresses))
        self.gateways.begin("answer")

    def wait_for_up(self, count):
        wait_for(f"{count} gateways up", lambda: gateways_up(self.status_port) == count
                 and gateways_used(self.status_port) == count)

    def post(self, headers=()):
        return request(self.port, "POST", "/messages", BODY, headers)


balancer = Balancer(sys.argv[1])
gateways = balancer.gateways


def told(name, answer, status, retry_after=None):
    """The answer has that status, and a body as a gateway's."""
    good = (answer is not None and answer.status == status
            and isinstance(json.loads(answer.body).get("detail"), str)
            and answer.headers.get("content-type") == "application/json"
            and answer.headers.get("retry-after") == retry_after)
    checks.check(name, good, repr(answer))


def unanswered_post_is_not_sent_again():
    balancer.restore(FIRST, SECOND, THIRD)
    gateways.begin("drop", "answer")
    told("a POST without a key and without an answer: 502", balancer.post(), 502)
    checks.equal("it was sent once", len(gateways.received), 1)
    gateways.begin("drop", "answer")
    told("likewise with two keys", balancer.post(KEY + KEY), 502)
    checks.equal("that was sent once too", len(gateways.received), 1)


def unanswered_post_with_key_goes_to_another():
    balancer.restore(FIRST, SECOND, THIRD)
    gateways.begin("drop", "answer")
    answer = balancer.post(KEY)
    checks.equal("a POST with a key and no answer is sent again", answer and answer.status, 201)
    tries = gateways.received
    checks.equal("twice in all", len(tries), 2)
    checks.check("to two gateways", len({got.address for got in tries}) == 2, repr(tries))
    checks.check("with the same key and body",
                 all(got.body == tries[0].body and dict(got.headers)["idempotency-key"] == "k-1"
                     for got in tries), repr(tries))
    gateways.begin("drop")
    told("with a key, and nobody ever answers: 502", balancer.post(KEY), 502)
    checks.equal("after three more tries", len(gateways.received), 4)


def own_503_means_never_sent():
    balancer.restore(FIRST, SECOND, THIRD)
    gateways.begin("die")
    told("a keyed POST that was sent, then nobody to connect to: 504", balancer.post(KEY), 504, "1")
    checks.equal("it was sent once before", len(gateways.received), 1)
    gateways.begin("answer")
    told("a POST that was never sent: 503", balancer.post(), 503, "1")
    balancer.wait_for_up(0)
    told("with a key and no gateway up: 503", balancer.post(KEY), 503, "1")
    checks.equal("none of them was sent", gateways.received, [])
    health = request(balancer.status_port, "GET", "/healthz")
    checks.equal("/healthz says 503 when no gateway is up", health and health.status, 503)


def refused_connection_goes_to_another():
    balancer.restore(FIRST, SECOND, THIRD)
    gateways.stop(SECOND)
    answers = [balancer.post() for _ in range(30)]
    checks.equal("POSTs while a gateway refuses connections", {a and a.status for a in answers},
                 {201})
    checks.equal("each was sent once", len(gateways.received), 30)


def get_is_sent_again():
    balancer.restore(FIRST, SECOND, THIRD)
    gateways.begin("drop", "answer")
    answer = request(balancer.port, "GET", "/messages")
    checks.equal("a GET without an answer is sent again", answer and answer.status, 200)
    checks.equal("twice in all", len(gateways.received), 2)


def a_gateways_word_is_passed_on():
    balancer.restore(FIRST, SECOND, THIRD)
    gateways.begin("refuse")
    answer = balancer.post(KEY)
    told("a gateway's own 503 stays one", answer, 503, "7")
    checks.equal("with its body", answer.body, b'{"detail":"scripted"}')
    checks.equal("and is not sent again", len(gateways.received), 1)
    checks.check("the client's address is passed on",
                 dict(gateways.received[0].headers).get("x-forwarded-for") == "127.0.0.1",
                 repr(gateways.received[0]))


def draining_gateway_keeps_its_tunnels():
    balancer.restore(FIRST)
    upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade"),
               ("Sec-WebSocket-Key", SAMPLE_KEY), ("Sec-WebSocket-Version", "13")]
    with RawConn(balancer.port, timeout=30) as tunnel:
        tunnel.send(build_request("GET", "/ws", None, upgrade))
        checks.equal("an upgrade passes", tunnel.read_response().status, 101)
        gateways.start(SECOND)
        balancer.resolver.addresses = [FIRST, SECOND]
        balancer.wait_for_up(2)
        gateways.unready.add(FIRST)
        balancer.wait_for_up(1)
        gateways.begin("answer")
        answers = [balancer.post() for _ in range(10)]
        checks.equal("POSTs while one is not ready", {a and a.status for a in answers}, {201})
        checks.equal("all went to the other", {got.address for got in gateways.received}, {SECOND})
        tunnel.send(b"still here")
        checks.equal("the tunnel to it lives", tunnel.read_exactly(10), b"still here")


def replicas_come_and_go():
    balancer.restore(FIRST, SECOND, THIRD, FOURTH)
    for _ in range(40):
        balancer.post()
    checks.equal("all replicas get requests", {got.address for got in gateways.received},
                 {FIRST, SECOND, THIRD, FOURTH})
    balancer.restore(SECOND, FOURTH)
    for _ in range(20):
        balancer.post()
    checks.equal("those that left get none", {got.address for got in gateways.received},
                 {SECOND, FOURTH})
    health = request(balancer.status_port, "GET", "/healthz")
    checks.equal("/healthz says 200 while one is up", health and health.status, 200)


try:
    status = checks.run(unanswered_post_is_not_sent_again,
                        unanswered_post_with_key_goes_to_another, own_503_means_never_sent,
                        refused_connection_goes_to_another, get_is_sent_again,
                        a_gateways_word_is_passed_on, draining_gateway_keeps_its_tunnels,
                        replicas_come_and_go)
    if status:
        print(command("docker", "logs", "--tail", "30", balancer.name, check=False))
finally:
    balancer.close()
sys.exit(status)
