# SPDX-License-Identifier: MIT
"""Fixtures: `cluster` is redis, a persister and two gateways, ready; `make_cluster` makes one to
measure. Each test has its own, and a test fails when a process of it did not end well."""

import shutil
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

from cluster import Cluster  # noqa: E402


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.has_failed = True


@pytest.fixture
def make_cluster(request, tmp_path):
    """make_cluster(gateways=3, redis_options={...}, gateway_settings={...}, start=False,
    persister=False): see Cluster. Its files stay only when the test failed."""
    made = []

    def make(start=True, persister=True, **options):
        folder = tmp_path / f"cluster-{len(made)}"
        folder.mkdir()
        cluster = Cluster(folder, **options)
        made.append(cluster)
        return cluster.start(persister) if start else cluster

    yield make
    problems = [problem for cluster in made for problem in cluster.close()]
    if problems or getattr(request.node, "has_failed", False):
        for cluster in made:
            print(cluster.tails())
    else:
        shutil.rmtree(tmp_path, ignore_errors=True)
    assert not problems, "\n".join(problems)


@pytest.fixture
def cluster(make_cluster):
    return make_cluster()
