# SPDX-License-Identifier: MIT
"""--healthcheck: the program as its own probe, as an image uses it."""

import os
import socket
import subprocess
import threading
import time

import pytest

from cluster import Gateway, build_folder, free_port

PROGRAMS = ["chat-gateway", "chat-persister"]


def check(program, *flags, **settings):
    """The exit status and the line."""
    done = subprocess.run([str(build_folder() / program), "--healthcheck", *flags],
                          env={**os.environ, **settings}, capture_output=True, text=True,
                          timeout=30)
    line = done.stdout + done.stderr
    assert line.startswith(f"{program}: ") and line.count("\n") == 1, line
    return done.returncode, line


@pytest.fixture
def answering():
    """answering(pieces, pause): the port of a server that sends these to its one client."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def run(pieces, pause):
            client = server.accept()[0]
            with client:
                try:
                    for piece in pieces:
                        client.sendall(piece)
                        over.wait(pause)
                    # Closed after the request was read: else it would be a reset.
                    while client.recv(4096):
                        pass
                except OSError:
                    pass

        def start(pieces, pause=0):
            threading.Thread(target=run, args=(pieces, pause), daemon=True).start()
            return str(server.getsockname()[1])

        yield start
        over.set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_who_lives(cluster, program):
    process = cluster.gateways[0] if program == "chat-gateway" else cluster.persister
    # Alive is not ready: a probe that restarts a program must not do so because Redis is away.
    cluster.redis.kill9()
    port = str(process.port)
    assert check(program, HOST="127.0.0.1", PORT=port)[0] == 0
    assert check(program, HOST="", PORT=port)[0] == 0
    assert check(program, PORT="1", HOST="0.0.0.0")[0] == 1
    assert check(program, "--port", port, PORT="1")[0] == 0
    assert check(program, f"--port={port}", "--host=0.0.0.0", HOST="::1")[0] == 0
    process.terminate()
    status, line = check(program, PORT=port)
    assert status == 1 and "Connection refused" in line


def has_ipv6_loopback():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif("not has_ipv6_loopback()", reason="this machine has no ::1")


@pytest.mark.parametrize("listens, asked", [
    ("::", "::"),  # also where there is no ::1, as in many containers
    pytest.param("::", "::1", marks=needs_ipv6),
    pytest.param("::1", "::1", marks=needs_ipv6),
    ("0.0.0.0", "::"),
])
def test_ipv6(tmp_path, listens, asked):
    gateway = Gateway("gateway", tmp_path, {"HOST": listens, "REDIS_URL": "redis://127.0.0.1:1"})
    gateway.start(wait=False)
    deadline = time.monotonic() + 30
    while (result := check("chat-gateway", HOST=asked, PORT=str(gateway.port)))[0] != 0:
        assert time.monotonic() < deadline, (result, gateway.log_tail())
        time.sleep(0.05)
    gateway.terminate()


@pytest.mark.parametrize("port", ["0", "65536", "x", "80x", "99999999999999999999"])
def test_a_wrong_port(port):
    status, line = check("chat-gateway", PORT=port)
    assert status == 1 and "1 to 65535" in line


def test_a_wrong_host():
    status, line = check("chat-gateway", HOST="localhost")
    assert status == 1 and "numeric address" in line


def test_nobody_there():
    status, line = check("chat-persister", PORT=str(free_port()))
    assert status == 1 and "Connection refused" in line


def test_another_answer(answering):
    status, line = check("chat-gateway", PORT=answering([b"HTTP/1.1 503 Service Unavailable\r\n"]))
    assert status == 1 and "503 Service Unavailable" in line


def test_an_answer_in_pieces(answering):
    assert check("chat-gateway", PORT=answering([b"HTTP/1.", b"1 200 OK", b"\r\n"], 0.05))[0] == 0


def test_silence(answering):
    status, line = check("chat-gateway", PORT=answering([]))
    assert status == 1 and "not in time" in line


def test_a_trickle(answering):
    """A byte now and then does not hold it up: one deadline is for all."""
    status, line = check("chat-gateway", PORT=answering([b"H"] * 60, 0.5))
    assert status == 1 and "not in time" in line
