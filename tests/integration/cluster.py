# SPDX-License-Identifier: MIT
"""A private cluster for one test: redis-server, the persister and gateways as real processes, on
free ports, with their files in a temporary folder.

Every process can be ended, killed, stopped and started again; its log goes on in the same file.
At the end everything is asked to end by SIGTERM, must exit with 0 and must not have complained:
no sanitizer report, no libevent error, no failed assertion.
"""

import itertools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import redis

import contract

REPO = Path(__file__).resolve().parents[2]
REDIS_SERVER = os.environ.get("CHAT_REDIS_SERVER", "redis-server")
READY_SECONDS = 60
END_SECONDS = 40

COMPLAINT = re.compile(
    r"ERROR: \w*Sanitizer|\w+Sanitizer:DEADLYSIGNAL|runtime error: |^\[err\] |"
    r"Assertion .* failed|double free|corrupted size", re.M)

CHECKED = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "EVENT_DEBUG_MODE": "1",
}


def build_folder():
    chosen = os.environ.get("CHAT_BUILD")
    if chosen:
        return (REPO / chosen).resolve()
    sanitized = REPO / "build" / "san"
    return sanitized if sanitized.is_dir() else REPO / "build"


def wait_until(condition, timeout=30, what=None, pause=0.02):
    """The first true value of condition(). what: words, or a function that gives them."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            words = what() if callable(what) else what or "the condition"
            raise AssertionError(f"{words}: not within {timeout} s")
        time.sleep(pause)
    return value


# Below the ports that the kernel gives to clients, so that no connection of another test sits on
# the port of a process that is being restarted. TEST_PORTS: of runs at the same time, each has its own.
_first, _last = map(int, os.environ.get("TEST_PORTS", "20000-31999").split("-"))
_ports = itertools.cycle(random.sample(range(_first, _last + 1), _last + 1 - _first))


def free_port():
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Process:
    """A program on a port. Subclasses give its command, its environment and its readiness."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder
        self.port = free_port()
        self.log_path = folder / f"{name}.log"
        self.popen = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def ready(self):
        raise NotImplementedError

    @property
    def pid(self):
        return self.popen.pid

    @property
    def running(self):
        return self.popen is not None and self.popen.poll() is None

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=25):
        return "\n".join(self.log.splitlines()[-lines:])

    def start(self, wait=True):
        assert not self.running, f"{self.name} runs already"
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                self.command(), env={**os.environ, **self.environment()}, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=READY_SECONDS):
        def is_ready():
            assert self.running, (
                f"{self.name} ended with status {self.popen.returncode}:\n{self.log_tail()}")
            return self.ready()
        wait_until(is_ready, timeout, lambda: f"{self.name} ready\n{self.log_tail()}")
        return self

    def wait_end(self, timeout=END_SECONDS):
        """The exit status (negative: the signal), for the caller to judge."""
        status = self.popen.wait(timeout)
        self.popen = None
        return status

    def terminate(self, wait=True):
        """Asks it to end; waiting, it must exit with 0."""
        self.popen.send_signal(signal.SIGTERM)
        if wait:
            status = self.wait_end()
            assert status == 0, f"{self.name} exited with {status}:\n{self.log_tail()}"

    def kill9(self):
        assert self.running, f"{self.name} had ended before with {self.popen.returncode}"
        self.popen.kill()
        self.popen.wait()
        self.popen = None

    def restart(self, wait=True):
        """Ends it properly if it runs, and starts it on the same port and files."""
        if self.running:
            self.terminate()
        return self.start(wait)

    def stop(self):
        self.popen.send_signal(signal.SIGSTOP)

    def cont(self):
        self.popen.send_signal(signal.SIGCONT)

    def stop_cont(self, seconds):
        self.stop()
        time.sleep(seconds)
        self.cont()

    def ask_end(self):
        """At the end of a test; judge_end follows."""
        if self.running:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.send_signal(signal.SIGTERM)

    def judge_end(self):
        """Returns what was wrong, as a list of texts."""
        problems = []
        if self.popen is not None:
            try:
                status = self.popen.wait(END_SECONDS)
                if status != 0:
                    problems.append(f"{self.name} exited with {status}")
            except subprocess.TimeoutExpired:
                problems.append(f"{self.name} did not end within {END_SECONDS} s of SIGTERM")
                self.popen.kill()
                self.popen.wait()
        complaint = COMPLAINT.search(self.log)
        if complaint:
            report = self.log[complaint.start():][:4000]
            problems.append(f"{self.name} complained:\n{report}")
        return problems


class Redis(Process):
    """AOF with an fsync per write unless options say otherwise: {"appendfsync": "everysec"}."""

    OPTIONS = {"appendonly": "yes", "appendfsync": "always", "save": "",
               "maxmemory-policy": "noeviction"}

    def __init__(self, folder, options=None, name="redis"):
        super().__init__(name, folder)
        self.options = {**self.OPTIONS, **(options or {})}
        self.data = folder / f"{name}-data"

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def command(self):
        self.data.mkdir(exist_ok=True)
        command = [REDIS_SERVER, "--port", str(self.port), "--bind", "127.0.0.1",
                   "--dir", str(self.data), "--daemonize", "no"]
        for name, value in self.options.items():
            command += [f"--{name}", value]
        return command

    def client(self, **options):
        return redis.Redis("127.0.0.1", self.port, decode_responses=True, **options)

    def ready(self):
        try:
            with self.client(socket_timeout=1) as client:
                return client.ping()
        except redis.RedisError:
            return False

    def restart_empty(self, wait=True):
        """Loses everything, its files too."""
        if self.running:
            self.kill9()
        shutil.rmtree(self.data, ignore_errors=True)
        return self.start(wait)

    def kill_subscriptions(self):
        with self.client() as client:
            return client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


class Served(Process):
    """One of our two programs."""

    program = ""
    answer_hooks = []  # called with every answer

    def __init__(self, name, folder, settings):
        super().__init__(name, folder)
        self.settings = {key: str(value) for key, value in settings.items()}
        # trust_env: no proxy of the machine may stand between.
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False,
                                 limits=httpx.Limits(max_connections=None),
                                 event_hooks={"response": self.answer_hooks})

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self):
        return [str(build_folder() / self.program)]

    def environment(self):
        return {**CHECKED, "HOST": "127.0.0.1", "PORT": str(self.port), **self.settings}

    def probe(self, path):
        """The answer of a probe, or None when nobody answers."""
        try:
            return self.http.get(path, timeout=5)
        except httpx.TransportError:
            return None

    def ready(self):
        answer = self.probe("/readyz")
        return answer is not None and answer.status_code == 200

    def ask_end(self):
        self.http.close()
        super().ask_end()


class Persister(Served):
    program = "chat-persister"

    def __init__(self, folder, settings, name="persister"):
        super().__init__(name, folder, {"DATABASE_PATH": str(folder / "chat.db"), **settings})

    @property
    def database(self):
        return Path(self.settings["DATABASE_PATH"])


class Gateway(Served):
    program = "chat-gateway"
    answer_hooks = [contract.check_httpx]

    def __init__(self, name, folder, settings):
        super().__init__(name, folder, {"DRAIN_SECONDS": 1, "REPLICA": name, **settings})


class Cluster:
    """redis, persister and gateways; each is a Process. settings go to all our programs,
    gateway_settings and persister_settings to one kind: {"HISTORY_MESSAGES": 50}. server is a Redis
    of another kind."""

    def __init__(self, folder, gateways=2, redis_options=None, settings=None,
                 gateway_settings=None, persister_settings=None, server=None):
        self.folder = Path(folder)
        self.redis = server or Redis(self.folder, redis_options)
        common = {"REDIS_URL": self.redis.url, **(settings or {})}
        self.persister = Persister(self.folder, {**common, **(persister_settings or {})})
        self.gateway_settings = {**common, "PERSISTER_URL": self.persister.url,
                                 **(gateway_settings or {})}
        self.gateways = []
        self.clients = []  # subscribers and raw connections to be closed at the end
        for _ in range(gateways):
            self.add_gateway()

    def add_gateway(self, **settings):
        """One more, not started; settings over those of the others."""
        gateway = Gateway(f"gateway-{len(self.gateways)}", self.folder,
                          {**self.gateway_settings, **settings})
        self.gateways.append(gateway)
        return gateway

    @property
    def processes(self):
        return [*self.gateways, self.persister, self.redis]

    def start(self, persister=True):
        """All at once, then waits until all are ready."""
        self.redis.start()
        started = [*([self.persister] if persister else []), *self.gateways]
        for process in started:
            process.start(wait=False)
        for process in started:
            process.wait_ready()
        return self

    def subscribe(self, gateway=0, room=None, **options):
        """A Subscriber of a gateway (by number, or the object), closed with the cluster."""
        from subscriber import Subscriber
        if isinstance(gateway, int):
            gateway = self.gateways[gateway]
        client = Subscriber(gateway, room, **options)
        self.clients.append(client)
        return client

    def close(self):
        """Ends everything; returns what was wrong, as a list of texts."""
        for client in self.clients:
            client.close()
        problems = [f"not as documented: {text}" for text in contract.take_violations()]
        for group in (self.gateways, [self.persister], [self.redis]):
            for process in group:
                process.ask_end()
            for process in group:
                problems += process.judge_end()
        return problems

    def tails(self):
        return "\n".join(f"--- {process.name}\n{process.log_tail()}"
                         for process in self.processes if process.log)


# --- requests -------------------------------------------------------------------------------------


def messages_path(room):
    return "/messages" if room is None else f"/rooms/{room}/messages"


def header_names(headers):
    """idempotency_key="x" is the header Idempotency-Key: x."""
    return {name.replace("_", "-").title(): str(value) for name, value in headers.items()}


def post(gateway, username, content, room=None, **headers):
    """The whole answer."""
    return gateway.http.post(messages_path(room), json={"username": username, "content": content},
                             headers=header_names(headers))


def get(gateway, room=None, headers=None, **query):
    """The whole answer of GET messages: get(gateway, limit=5, before=40)."""
    return gateway.http.get(messages_path(room), params=query, headers=headers)


def read_all(gateway, room=None, limit=1000):
    """Every message of a room, oldest first, read page by page backwards."""
    messages, before = [], {}
    while True:
        answer = get(gateway, room, limit=limit, **before)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        messages = page + messages
        if len(page) < limit:
            return messages
        before = {"before": page[0]["id"]}
