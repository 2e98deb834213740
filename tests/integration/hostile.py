# SPDX-License-Identifier: MIT
"""What the tests of hostile clients share: a gateway alone with Redis and the persister, how much
it has of what, and a witness that is served meanwhile."""

import os

import pytest
from cluster import CHECKED, build_folder, post
from rawws import RawWS

MIB = 1 << 20
MASK = bytes(4)
# Freed memory goes back soon, so that what a process holds says something about what it keeps.
LEAN = {"ASAN_OPTIONS": CHECKED["ASAN_OPTIONS"] + ":quarantine_size_mb=4:allocator_release_to_os_interval_ms=0"}


def sanitized():
    return b"__asan_init" in (build_folder() / "chat-gateway").read_bytes()


def resident(gateway):
    with open(f"/proc/{gateway.pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def descriptors(gateway):
    return len(os.listdir(f"/proc/{gateway.pid}/fd"))


def clients(gateway):
    return gateway.http.get("/healthz").json()["clients"]


def lone_gateway(make_cluster, **settings):
    return make_cluster(gateways=1, redis_options={"appendfsync": "everysec"},
                        gateway_settings={**LEAN, **settings}).gateways[0]


@pytest.fixture
def gateway(make_cluster):
    return lone_gateway(make_cluster)


class Witness:
    """A client that was there before and is served all the time."""

    def __init__(self, gateway):
        self.gateway, self.count = gateway, 0
        self.ws = RawWS(gateway.port, "/rooms/witness/ws?history=0", timeout=30)

    def check(self):
        self.count += 1
        self.ws.send_text({"username": "witness", "content": str(self.count)})
        assert self.ws.read_json()["content"] == str(self.count)
        assert post(self.gateway, "witness", "x", room="witness").status_code == 201
        assert self.ws.read_json()["content"] == "x"


@pytest.fixture
def witness(gateway):
    return Witness(gateway)
