# SPDX-License-Identifier: MIT
"""Fixtures: `gateway` is a real chat-gateway with its Redis and its persister, `echo` the echo
server over the gateway's WebSocket code. One of each serves all tests: a case that ends or stops it
fails itself, by its own check, and everything after it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).parent))

from cluster import CHECKED, COMPLAINT, Cluster, build_folder  # noqa: E402

# Freed memory goes back soon, so that what a process holds says something about what it keeps.
SANITIZED = {"ASAN_OPTIONS": CHECKED["ASAN_OPTIONS"] + ":quarantine_size_mb=4"}


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("conformance"), gateways=1,
                      gateway_settings=SANITIZED)
    cluster.start()
    yield cluster.gateways[0]
    problems = cluster.close()
    assert not problems, "\n".join([*problems, cluster.tails()])


class Echo:
    """tests/conformance/ws_echo on a free port; messages up to 16 MiB."""

    def __init__(self, folder):
        self.log_path = folder / "ws_echo.log"
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                [build_folder() / "tests" / "conformance" / "ws_echo"], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log, env={**os.environ, **CHECKED, **SANITIZED})
        self.port = int(re.search(rb"listening on (\d+)", self.popen.stdout.readline())[1])

    def close(self):
        self.popen.terminate()
        status = self.popen.wait(30)
        self.popen.stdout.close()
        log = self.log_path.read_text(errors="replace")
        assert status == 0 and not COMPLAINT.search(log), f"ws_echo ended with {status}:\n{log}"


@pytest.fixture(scope="session")
def echo(tmp_path_factory):
    server = Echo(tmp_path_factory.mktemp("echo"))
    yield server
    server.close()
