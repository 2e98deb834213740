# SPDX-License-Identifier: MIT
"""docs/monitoring: Prometheus' configuration, the alert rules with their tests, and the dashboard's
queries asked of a real Prometheus that scrapes a real cluster."""

import json
import re

from cluster import REPO, post, wait_until
from prometheus import DASHBOARD, RULES, Prometheus, need, promtool

RULE_TESTS = REPO / "tests/monitoring/chat.yml"
JOBS = ("chat-gateway", "chat-persister")


def alerts():
    return re.findall(r"- alert: (\w+)", RULES.read_text())


def test_promtool():
    promtool("check", "rules", str(RULES))
    promtool("test", "rules", str(RULE_TESTS))
    promtool("check", "config", str(REPO / "docs/monitoring/prometheus.yml"))


def test_every_alert_is_tested_and_explained():
    names = alerts()
    assert len(set(names)) == len(names) > 20
    tests = RULE_TESTS.read_text()
    for name in names:
        assert f"name: {name} fires\n" in tests and f"name: {name} stays quiet\n" in tests, name
    explained = re.findall(r"^\| `(Chat\w+)` \|", (REPO / "docs/OPERATIONS.md").read_text(), re.M)
    assert explained == names


def test_jobs_are_named_alike():
    """Alert rules and dashboard name jobs as compose and the Services of Kubernetes do."""
    config = (REPO / "docs/monitoring/prometheus.yml").read_text()
    services = "".join((REPO / f"k8s/base/{part}.yaml").read_text()
                       for part in ("gateway", "persister"))
    for job in JOBS:
        assert f"job_name: {job}\n" in config
        assert re.search(rf"kind: Service\nmetadata:\n  name: {job}\n", services), job
    named = re.findall(r'job=\\?"([\w-]+)\\?"', RULES.read_text() + DASHBOARD.read_text())
    assert set(named) == set(JOBS)


def test_kubernetes_has_the_same_rules():
    manifest = (REPO / "k8s/components/monitoring/prometheus-rule.yaml").read_text()
    rules = RULES.read_text()
    groups = rules[rules.index("groups:\n"):]
    indented = "".join("  " + line if line.strip() else line
                       for line in groups.splitlines(keepends=True))
    assert manifest.endswith(f"\nspec:\n{indented}")


def test_dashboard(make_cluster, tmp_path):
    """Every query has an answer, but those of the load balancer, which is not here."""
    need("prometheus")
    cluster = make_cluster(gateways=2)
    clients = [cluster.subscribe(n % 2) for n in range(4)]
    prometheus = Prometheus(tmp_path, dict(zip(JOBS, (cluster.gateways, [cluster.persister]))))
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    prometheus.start()
    try:
        for i in range(5):
            for gateway in cluster.gateways:
                assert post(gateway, "Ana", f"m{i}").status_code == 201
        clients[0].drop()
        queries = [(panel["title"], target["expr"]) for panel in panels
                   for target in panel.get("targets", []) if "haproxy" not in target["expr"]]
        assert len(queries) > 60
        for title, query in queries:
            found = prometheus.wait_query(query)
            assert all(len(one["value"]) == 2 for one in found), title
        assert prometheus.query("sum(up)")[0]["value"][1] == "3"
        wait_until(lambda: prometheus.query("sum(chat_messages_received_total)")[0]["value"][1] ==
                   "10", what="all messages counted")
        groups = prometheus.ask("/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert [rule["name"] for rule in rules] == alerts()
        assert not [rule["name"] for rule in rules if rule["health"] == "err"]
        firing = [rule["name"] for rule in rules if rule["state"] == "firing"]
        assert not firing, "alerts of a healthy cluster"
    finally:
        prometheus.terminate()
