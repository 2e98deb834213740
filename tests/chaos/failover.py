# SPDX-License-Identifier: MIT
"""A master, a replica and three real Sentinels on loopback. The master is reached through a proxy,
which is the address that Sentinel knows, so that it can be parted from the others.

    gateways, persister ──┐                  (from 127.0.0.1)
    replica, Sentinels ───┴─► proxy ─► master      (from 127.0.0.2)
"""

import os
import time

import redis as redis_client

from cluster import REDIS_SERVER, Cluster, Process, Redis, free_port, wait_until
from faults import fault
from proxy import Proxy

MASTER, OTHERS = "chat", "127.0.0.2"
DOWN_MS = 1000
STALE = "what the old master had taken and SQLite had not, when another one was chosen"


class Replica(Redis):
    def __init__(self, folder, of_port, options=None):
        super().__init__(folder, options, name="replica")
        self.of_port = of_port

    def command(self):
        return [*super().command(), "--replicaof", "127.0.0.1", str(self.of_port),
                "--bind-source-addr", OTHERS, "--protected-mode", "no"]


class Sentinel(Process):
    def __init__(self, folder, number, master_port):
        super().__init__(f"sentinel-{number}", folder)
        self.config = folder / f"{self.name}.conf"
        self.config.write_text(
            f"port {self.port}\nbind 127.0.0.1\nbind-source-addr {OTHERS}\ndaemonize no\n"
            "protected-mode no\nsentinel announce-ip 127.0.0.1\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {master_port} 2\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_MS}\n"
            f"sentinel failover-timeout {MASTER} 6000\nsentinel parallel-syncs {MASTER} 1\n")

    def command(self):
        return [REDIS_SERVER, str(self.config), "--sentinel"]

    def client(self):
        return redis_client.Redis("127.0.0.1", self.port, decode_responses=True, socket_timeout=2)

    def ready(self):
        try:
            with self.client() as client:
                client.execute_command("SENTINEL", "CKQUORUM", MASTER)
                state = client.sentinel_master(MASTER)
                replicas = client.sentinel_slaves(MASTER)
        except redis_client.RedisError:
            return False
        return (state["num-other-sentinels"] == 2 and len(replicas) == 1
                and replicas[0]["flags"] == "slave"
                and replicas[0]["master-link-status"] == "ok")


class FailoverCluster(Cluster):
    """`redis` is whichever is the master now."""

    def __init__(self, folder, gateways, redis_options=None, **options):
        super().__init__(folder, gateways, **options)
        self.proxy_port = free_port()
        self.old = Redis(self.folder, {**(redis_options or {}), "protected-mode": "no",
                                       "replica-announce-ip": "127.0.0.1",
                                       "replica-announce-port": str(self.proxy_port)})
        self.proxy = Proxy(self.proxy_port, self.old.port)
        self.new = Replica(self.folder, self.proxy_port, redis_options)
        self.redis = self.old
        self.sentinels = [Sentinel(self.folder, n, self.proxy_port) for n in range(3)]
        hosts = ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels)
        for process in (self.persister, *self.gateways):
            process.settings["REDIS_URL"] = f"redis+sentinel://{hosts}/{MASTER}"

    def start(self, persister=True):
        self.old.start()
        self.new.start()
        for sentinel in self.sentinels:
            sentinel.start(wait=False)
        for sentinel in self.sentinels:
            sentinel.wait_ready()
        started = [self.persister, *self.gateways]
        for process in started:
            process.start(wait=False)
        for process in started:
            process.wait_ready()
        return self

    def chosen(self):
        """The port of the master, as the first Sentinel has it."""
        with self.sentinels[0].client() as client:
            return client.sentinel_get_master_addr_by_name(MASTER)[1]

    def wait_chosen(self):
        wait_until(lambda: self.chosen() == self.new.port, 40, "the replica is chosen")
        self.redis = self.new

    def wait_demoted(self):
        def is_replica():
            try:
                with self.old.client(socket_timeout=2) as client:
                    return client.info("replication")["role"] == "slave"
            except redis_client.RedisError:
                return False
        wait_until(is_replica, 60, "the old master is a replica now")

    def close(self):
        problems = super().close()
        for replica in (self.old, self.new):
            if replica is not self.redis and replica.running:
                replica.kill9()  # it would wait for its master first
        group = self.sentinels
        for process in group:
            process.ask_end()
        for process in group:
            problems += process.judge_end()
        self.proxy.close()
        return problems


def sockets_of(pid):
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if link.startswith("socket:["):
            found.add(link[8:-1])
    return found


def socket_at(port):
    """Of the connection with this local port. The kernel tells the table in pieces, so a reading
    may lack what is there all the time."""
    for _ in range(50):
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in list(table)[1:]:
                fields = line.split()
                if int(fields[1].split(":")[1], 16) == port and fields[9] != "0":
                    return fields[9]
    return None


def owner_is(process):
    """only(address, port): does the connection's other end belong to the process? Found out once
    for each connection: a piece that is held is held to the end."""
    known = {}

    def only(_, port):
        if port not in known:
            known[port] = socket_at(port) in sockets_of(process.pid)
        return known[port]
    return only


NEEDS = {"make": FailoverCluster}


@fault("sentinel-kill", "kill -9 of the master, Sentinel chooses the replica", promise="stored",
       target={"post_after": 5.0}, **NEEDS)
def sentinel_kill(w):
    c = w.cluster
    w.allow(STALE)
    c.old.kill9()
    c.wait_chosen()
    w.answers()
    w.hit(f"Sentinel chose the replica at port {c.new.port}")
    w.wait_acked(30)
    c.old.start(wait=False)
    c.wait_demoted()


@fault("sentinel-stop", "SIGSTOP of the master until Sentinel has chosen the replica",
       promise="stored", target={"post_after": 5.0}, **NEEDS)
def sentinel_stop(w):
    c = w.cluster
    w.allow(STALE)
    c.old.stop()
    c.wait_chosen()
    w.answers()
    w.hit(f"Sentinel chose the replica at port {c.new.port}")
    w.wait_acked(30)
    c.old.cont()  # it thinks that it is the master still
    c.wait_demoted()


@fault("sentinel-partition", "the old master, parted from all but one gateway, goes on accepting",
       promise="stored", target={"post_others_after": 5.0}, **NEEDS)
def sentinel_partition(w):
    c = w.cluster
    left = w.pick_gateway()
    is_left = owner_is(left)

    def parted(address, port):
        return address == OTHERS or not is_left(address, port)
    w.allow(STALE)
    c.proxy.stall(True, parted)
    c.wait_chosen()
    w.answers()
    with c.old.client() as client:
        before = int(client.hget("{chat}:state", "seq"))
        time.sleep(2)
        taken = int(client.hget("{chat}:state", "seq")) - before
        role = client.info("replication")["role"]
    w.expect(role == "master" and taken > 0,
             f"the old master took {taken} messages after the new one was chosen")
    w.wait_acked(30)
    c.proxy.stall(False)
    c.wait_demoted()
