# SPDX-License-Identifier: MIT
"""Redis at maxmemory: no message is taken, and the sender is told so; the persister goes on. It
opens a log that was sealed meanwhile, and when there is memory again nothing was lost or doubled."""

import re

import pytest
import redis
from cluster import post, wait_until
from test_cluster import Writers, check_all_stored, stored

FULL = "100kb"  # less than an empty Redis takes


def fill(cluster):
    with cluster.redis.client() as client:
        client.config_set("maxmemory", FULL)
    assert_full(cluster)


def assert_full(cluster):
    with cluster.redis.client() as client, pytest.raises(redis.RedisError, match="OOM|maxmemory"):
        client.set("one", "more")


def assert_refused(gateway):
    """Not 504: nothing of it may have been stored."""
    answer = post(gateway, "a", "refused")
    assert answer.status_code == 503, answer.text
    assert answer.json()["detail"].startswith("Not stored by this request")
    assert int(answer.headers["retry-after"]) > 0
    assert re.search('redis refuses a script script=publish .*OOM', gateway.log), "the operator is told why"


def opening(cluster):
    return cluster.persister.probe("/healthz").json()["opening"]


def test_full_and_free_again(make_cluster):
    cluster = make_cluster(persister_settings={"STREAM_TAIL": 50})
    reader = cluster.subscribe(0)
    writers = Writers(cluster, 2)
    writers.wait_acked(200)
    fill(cluster)
    assert_refused(cluster.gateways[0])
    before = len(writers.acked)
    wait_until(lambda: len(stored(cluster)) == before, what="what was taken is stored")

    cluster.persister.kill9()
    cluster.persister.restart()
    assert opening(cluster) == 1

    cluster.redis.kill9()  # its next life is another server: the log is sealed
    cluster.redis.options["maxmemory"] = FULL
    cluster.redis.restart()
    wait_until(lambda: opening(cluster) == 2 and cluster.persister.ready(), what="it is open again")
    for gateway in cluster.gateways:
        gateway.wait_ready()
    assert_full(cluster)
    assert_refused(cluster.gateways[1])

    with cluster.redis.client() as client:
        client.flushall()
        wait_until(lambda: opening(cluster) == 3 and cluster.persister.ready(), what="open")
        assert_full(cluster)
        assert client.xlen("{chat}:log") == 50  # put back, and trimmed
        assert {content: number for number, content in stored(cluster)} == writers.acked
        client.config_set("maxmemory", 0)
    writers.wait_acked(before + 100)
    writers.finish()
    check_all_stored(cluster, writers)
    reader.wait_id(max(writers.acked.values()))
    assert reader.ids == [number for number, _ in stored(cluster)]
