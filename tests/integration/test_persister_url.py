# SPDX-License-Identifier: MIT
"""PERSISTER_URL in all the ways that a platform may tell it."""

import subprocess

import pytest
from cluster import build_folder, post, read_all


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", "127.0.0.1:{}"])
def test_forms(make_cluster, form):
    cluster = make_cluster(start=False, gateways=1, gateway_settings={"HISTORY_MESSAGES": 20})
    url = form.format(cluster.persister.port)
    cluster.gateways[0].settings["PERSISTER_URL"] = url
    cluster.start()
    gateway = cluster.gateways[0]
    for i in range(60):
        assert post(gateway, "Ana", f"message {i}", prefer="wait=stored").status_code == 201
    contents = [message["content"] for message in read_all(gateway, limit=25)]
    assert contents == [f"message {i}" for i in range(60)]


@pytest.mark.parametrize("url", ["https://persister:8090", "http://", "http:///messages", "unix://x"])
def test_refused(url):
    ended = subprocess.run([build_folder() / "chat-gateway"], env={"PERSISTER_URL": url},
                           capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert "PERSISTER_URL" in ended.stderr and "host:port is needed" in ended.stderr
