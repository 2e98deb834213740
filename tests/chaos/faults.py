# SPDX-License-Identifier: MIT
"""The faults: each is a function of a World, which strikes, proves that it hit, and heals. FAULTS
is the table of all: name, function, and what its cluster needs."""

import shutil
import signal
import threading
import time
from dataclasses import dataclass, field

import redis as redis_client

from cluster import wait_until

STOP_SECONDS = 10
UNSAVED = "what Redis had taken and SQLite had not, when Redis lost its data"


@dataclass
class Fault:
    run: object
    what: str                # one line for the table
    needs: dict = field(default_factory=dict)  # of the World: proxied, redis_options, make, ...
    mixable: bool = False    # may stand in a random sequence
    target: dict = field(default_factory=dict)  # figure -> seconds at most, see over_target
    promise: str = "all"     # what the promise says of it, for the table


FAULTS = {}


def fault(name, what, mixable=False, target=None, promise="all", **needs):
    def put(function):
        FAULTS[name] = Fault(function, what, needs, mixable, target or {}, promise)
        return function
    return put


def gone(process):
    return not process.running


# --- processes ------------------------------------------------------------------------------------


@fault("gateway-kill", "kill -9 of a gateway, and restart", mixable=True,
       target={"post_others": 0.0})
def gateway_kill(w):
    gateway = w.pick_gateway()
    gateway.kill9()
    w.expect(gone(gateway), f"{gateway.name} is gone")
    w.pause(0.5, 2)
    gateway.start()


@fault("persister-kill", "kill -9 of the persister, and restart", mixable=True,
       target={"post": 0.0})
def persister_kill(w):
    w.persister.kill9()
    w.expect(gone(w.persister), "the persister is gone")
    w.pause(0.5, 2)
    w.persister.start()


def restart_redis(w):
    w.redis.kill9()
    w.expect(gone(w.redis), "redis is gone")
    w.pause(0.1, 1)
    w.redis.start()
    w.answers()


@fault("redis-kill", "kill -9 of Redis (AOF always), and restart", mixable=True,
       target={"post_after": 1.0})
def redis_kill(w):
    restart_redis(w)


@fault("redis-kill-everysec", "kill -9 of Redis (AOF everysec), and restart",
       redis_options={"appendfsync": "everysec"}, target={"post_after": 1.0})
def redis_kill_everysec(w):
    """The process is killed, not the machine: what it wrote is in the kernel's page cache."""
    restart_redis(w)


@fault("all-kill", "kill -9 of everything at once, and restart", mixable=True)
def all_kill(w):
    w.untouched.clear()
    for process in w.cluster.processes:
        process.popen.send_signal(signal.SIGKILL)
    for process in w.cluster.processes:
        process.popen.wait()
        w.expect(gone(process), f"{process.name} is gone")
        process.popen = None
    w.redis.start()
    for process in w.cluster.processes[:-1]:
        process.start(wait=False)
    for process in w.cluster.processes[:-1]:
        process.wait_ready()
    w.answers()


@fault("all-kill-empty", "kill -9 of everything while the persister stands still, and Redis' files "
       "are lost", promise="stored")
def all_kill_empty(w):
    w.untouched.clear()
    w.allow(UNSAVED)
    w.persister.stop()
    w.wait_acked(50)
    for process in w.cluster.processes:
        process.kill9()
    shutil.rmtree(w.redis.data)
    w.expect(all(gone(process) for process in w.cluster.processes), "all is gone but SQLite")
    w.redis.start()
    for process in w.cluster.processes[:-1]:
        process.start(wait=False)
    for process in w.cluster.processes[:-1]:
        process.wait_ready()
    w.answers()


def stop_for_a_while(w, process):
    def state():
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]
    process.stop()
    wait_until(lambda: state() == "T", 5, f"{process.name} stops")
    w.hit(f"{process.name} was stopped")
    time.sleep(STOP_SECONDS)
    process.cont()


@fault("gateway-stop", "SIGSTOP of a gateway for 10 s", mixable=True, target={"post_others": 0.0})
def gateway_stop(w):
    stop_for_a_while(w, w.pick_gateway())


@fault("persister-stop", "SIGSTOP of the persister for 10 s", mixable=True, target={"post": 0.0})
def persister_stop(w):
    stop_for_a_while(w, w.persister)


@fault("redis-stop", "SIGSTOP of Redis for 10 s", mixable=True, target={"post_after": 5.0})
def redis_stop(w):
    stop_for_a_while(w, w.redis)
    w.answers()


@fault("rolling-restart", "SIGTERM and restart of all gateways, one after the other",
       target={"post": 0.0})
def rolling_restart(w):
    for number in range(len(w.gateways)):
        gateway = w.aim(number)
        gateway.terminate()  # must exit with 0
        w.expect(gone(gateway), f"{gateway.name} ended by itself")
        gateway.start()


@fault("second-persister", "a second persister on the same file: it refuses", mixable=True,
       target={"post": 0.0})
def second_persister(w):
    from cluster import Persister
    second = Persister(w.cluster.folder, dict(w.persister.settings), name="second-persister")
    second.start(wait=False)
    status = second.wait_end()
    w.expect(status == 1 and "cannot start" in second.log,
             "the second persister refused: " + second.log.partition("reason=")[2].strip())
    second.http.close()


# --- connections ----------------------------------------------------------------------------------


def kill_clients(w, kind):
    with w.redis.client() as client:
        total = 0
        for _ in range(w.random.randint(1, 3)):
            total += client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            w.pause(0.05, 0.5)
        w.expect(total > 0, f"{total} connections were killed")


@fault("kill-publishers", "CLIENT KILL of the connections that publish", mixable=True)
def kill_publishers(w):
    kill_clients(w, "normal")


@fault("kill-subscribers", "CLIENT KILL of the subscriptions", mixable=True)
def kill_subscribers(w):
    kill_clients(w, "pubsub")


def through_proxies(name, what, function, **options):
    """The same fault between Redis and the gateways, and between Redis and the persister."""
    for side in ("gateway", "persister"):
        def run(w, side=side):
            function(w, w.proxies[side])
        run.__name__ = f"{name}_{side}"
        FAULTS[f"proxy-{name}-{side}"] = Fault(run, f"{what}, between {side} and Redis",
                                               {"proxied": (side,)}, **options)


def proxy_cut(w, proxy):
    w.expect(proxy.cut() > 0, "connections were cut")


def proxy_half_close(w, proxy):
    w.expect(proxy.half_close() > 0, "connections were half-closed")


def proxy_delay(w, proxy):
    def ping():
        with w.redis.client() as direct, redis_client.Redis(port=proxy.port) as slow:
            began = time.monotonic()
            direct.ping()
            middle = time.monotonic()
            slow.ping()
            return time.monotonic() - middle - (middle - began)
    proxy.set_delay(0.25)
    w.expect(ping() > 0.4, "a PING takes 0.5 s longer")
    time.sleep(4)
    proxy.set_delay(0)
    w.answers()


def proxy_stall(w, proxy):
    before = proxy.hits
    proxy.stall(True)
    time.sleep(8)
    w.expect(proxy.hits > before, f"{proxy.hits - before} pieces were held without a FIN")
    proxy.stall(False)
    w.answers()


def proxy_cut_in_reply(w, proxy):
    for _ in range(3):
        before = proxy.hits
        proxy.cut_in_reply()
        wait_until(lambda: proxy.hits > before, 10, "a reply was cut")
        w.hit("a reply was cut in its middle")
        w.pause(0.3, 1)


def proxy_refuse(w, proxy):
    before = proxy.hits
    proxy.refuse(True)
    proxy.cut()
    wait_until(lambda: proxy.hits > before, 10, "a connection was refused")
    w.hit("new connections were refused")
    time.sleep(3)
    proxy.refuse(False)
    w.answers()


through_proxies("cut", "all connections reset", proxy_cut)
through_proxies("half-close", "the end of the stream towards the program only", proxy_half_close)
through_proxies("delay", "each piece 250 ms late, for 4 s", proxy_delay)
through_proxies("stall", "silence without a FIN for 8 s", proxy_stall, target={"post_after": 5.0})
through_proxies("cut-reply", "reset in the middle of a reply", proxy_cut_in_reply)
through_proxies("refuse", "reset, and refused for 3 s", proxy_refuse, target={"post_after": 4.0})


# --- data -----------------------------------------------------------------------------------------


@fault("flushall", "FLUSHALL", mixable=True, promise="stored", target={"post_after": 1.5})
def flushall(w):
    w.allow(UNSAVED)
    with w.redis.client() as client:
        client.flushall()
        w.answers()
        opened = wait_until(lambda: client.hget("{chat}:state", "opening"), 20, "opened anew")
        w.expect(int(opened) > 1, f"the log was emptied and opened anew as {opened}")


@fault("redis-empty", "Redis restarted with an empty data directory", mixable=True,
       promise="stored", target={"post_after": 1.5})
def redis_empty(w):
    w.allow(UNSAVED)
    w.redis.kill9()
    shutil.rmtree(w.redis.data)
    w.expect(gone(w.redis) and not w.redis.data.exists(), "redis and its files are gone")
    w.redis.start()
    w.answers()


@fault("redis-older", "Redis restarted on an older copy of its files", promise="stored",
       target={"post_after": 1.5})
def redis_older(w):
    older = w.cluster.folder / "older"
    shutil.copytree(w.redis.data, older)  # of a running server, as a snapshot of the disk is
    before = seq_of(w)
    w.wait_acked(200)
    w.allow(UNSAVED)
    w.redis.kill9()
    shutil.rmtree(w.redis.data)
    shutil.copytree(older, w.redis.data)
    w.persister.stop()  # so that the old state can be seen before it is mended
    w.redis.start()
    w.expect(0 < seq_of(w) <= before + 50, "redis has forgotten ids that it gave")
    w.persister.cont()
    w.answers()


@fault("redis-loss-unsaved", "Redis loses its files while the persister stands still",
       promise="stored", target={"post_after": 2.0})
def redis_loss_unsaved(w):
    """Much is acknowledged and nowhere else: of what was told as stored all must be there."""
    w.allow(UNSAVED)
    w.persister.stop()
    w.wait_acked(100)
    w.redis.kill9()
    shutil.rmtree(w.redis.data)
    w.hit("redis and its files are gone while the persister stands still")
    w.redis.start()
    w.persister.cont()
    w.answers()


def seq_of(w):
    with w.redis.client() as client:
        return int(client.hget("{chat}:state", "seq") or 0)


# --- the persister is away ------------------------------------------------------------------------


class Flood:
    """Many messages by pipelined requests, from raw sockets; only their number is known."""

    DEPTH = 60
    ROOM = "flood"

    def __init__(self, ports):
        self.ports = ports
        self.taken = 0

    def request(self, n):
        body = b'{"username":"flood","content":"%d"}' % n
        return (b"POST /rooms/%s/messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (self.ROOM.encode(), len(body), body))

    def run_one(self, port, total):
        from rawws import RawConn
        with RawConn(port, timeout=30) as conn:
            for start in range(0, total, self.DEPTH):
                count = min(self.DEPTH, total - start)
                conn.send(b"".join(self.request(start + n) for n in range(count)))
                buffer = b""
                while buffer.count(b"HTTP/1.1 ") < count or not buffer.endswith(b"}"):
                    buffer += conn.sock.recv(262144)
                self.taken += buffer.count(b"HTTP/1.1 201")

    def run(self, total, connections=4):
        threads = [threading.Thread(target=self.run_one,
                                    args=(self.ports[n % len(self.ports)], total // connections))
                   for n in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.taken


def memory_of(w):
    with w.redis.client() as client:
        return client.info("memory")["used_memory"]


def be_away(w, count):
    w.persister.kill9()
    before = w.position()
    w.strangers.add(Flood.ROOM)
    flood = Flood([g.port for g in w.gateways]).run(count)
    backlog, memory = seq_of(w) - before, memory_of(w)
    w.expect(flood >= count * 0.95 and backlog >= flood, f"{backlog} messages waited in Redis")
    began = time.monotonic()
    upto = seq_of(w)
    w.persister.start(wait=False)
    wait_until(lambda: w.position() >= upto, 300, "all of it is stored")
    w.figures["catch_up_per_s"] = backlog / (time.monotonic() - began)
    w.persister.wait_ready()
    wait_until(lambda: memory_of(w) < memory / 2, 30, "Redis' memory falls back")


@fault("persister-away", "the persister away while 20,000 messages come", target={"post": 0.0})
def persister_away(w):
    be_away(w, 20000)


@fault("persister-away-long", "the persister away while 1,000,000 messages come",
       persister_settings={"BACKLOG_LIMIT": 2000000})
def persister_away_long(w):
    be_away(w, 1000000)


@fault("backlog-full", "the persister away until the backlog is full", promise="503",
       persister_settings={"BACKLOG_LIMIT": 1000}, target={"post_after": 2.0})
def backlog_full(w):
    w.persister.kill9()

    def refusals():
        return sum(writer.retry_after for writer in w.load.writers)
    before = refusals()
    wait_until(lambda: refusals() > before + 5, 60, "503 with Retry-After")
    w.hit(f"{refusals() - before} answers 503 with Retry-After")
    w.pause(0.5, 1.5)
    w.persister.start()
    w.answers()
