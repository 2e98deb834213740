# SPDX-License-Identifier: MIT
"""How clients join when what they lack is older than memory: page by page, in a line."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from cluster import post, wait_until
from prometheus import Metrics
from rawws import RawWS

MANY = 200  # more than requests to the persister may be under way
MEMORY = {"HISTORY_MESSAGES": 20}


def fill(cluster, messages, content="message"):
    """Messages from one to `messages`, then a gateway that has the last few of them in memory."""
    first, second = cluster.gateways
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: post(first, "ana", content).status_code,
                            range(messages))) == {201}
    second.terminate()
    second.restart()
    return second


def asked(gateway):
    return Metrics(gateway.http.get("/metrics").text)("chat_history_requests_total")


def test_many_that_lack_old_messages_join_at_once(make_cluster):
    cluster = make_cluster(gateway_settings=MEMORY)
    gateway = fill(cluster, 150)
    os.kill(cluster.persister.pid, signal.SIGSTOP)
    try:
        readers = [RawWS(gateway.port, "/ws?after=0", timeout=60) for _ in range(MANY)]
    finally:
        os.kill(cluster.persister.pid, signal.SIGCONT)
    assert post(gateway, "ana", "live").json()["id"] == 151
    for reader in readers:
        assert [reader.read_json().get("id") for _ in range(151)] == list(range(1, 152))
        reader.drop()


def test_who_does_not_read_is_asked_for_one_page(make_cluster):
    cluster = make_cluster(gateway_settings=MEMORY)
    gateway = fill(cluster, 4500, "x" * 4000)
    before = asked(gateway)
    ws = RawWS(gateway.port, "/ws?after=0", timeout=60, receive_buffer=4096)
    wait_until(lambda: asked(gateway) > before, what="the persister is asked")
    # The kernel's buffers hold some megabytes of the 18; the rest stays where it is.
    seen = 0
    for _ in range(50):
        assert post(gateway, "ana", "others are served").status_code == 201
    pages = asked(gateway) - before
    while seen < 4550:
        message = ws.read_json()
        assert message["id"] == seen + 1, message
        seen += 1
    assert pages <= (asked(gateway) - before) / 2
    ws.drop()
