# SPDX-License-Identifier: MIT
"""The profile `monitoring`, beside a cluster that is up: what Prometheus finds, and whether each
query of the dashboard has an answer. Grafana is tried where its image can be had.

Environment: see compose.py, and PROMETHEUS_PORT, GRAFANA_PORT.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

from checks import ROOT, Checks, command, wait_for
from compose import compose, containers, wait_healthy

DASHBOARD = ROOT / "docs/monitoring/grafana/dashboards/chat.json"
GRAFANA_IMAGE = "grafana/grafana:11.4.0"
PROMETHEUS = f"http://127.0.0.1:{os.environ['PROMETHEUS_PORT']}"
GRAFANA = f"http://127.0.0.1:{os.environ['GRAFANA_PORT']}"

checks = Checks()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url):
    """Its JSON, or None while there is no good answer."""
    try:
        with opener.open(url, timeout=10) as answer:
            return json.load(answer)
    except (OSError, urllib.error.URLError):
        return None


def query(text):
    found = ask(f"{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': text})}")
    return found["data"]["result"] if found else []


def prometheus_finds_everything():
    compose("--profile", "monitoring", "up", "-d", "--no-build", "prometheus")
    wait_healthy("prometheus", 1)
    gateways = len(containers("gateway"))
    wanted = {"chat-gateway": gateways, "chat-persister": 1, "haproxy": 1, "prometheus": 1}
    found = {}

    def all_found():
        found.update({one["metric"]["job"]: int(one["value"][1])
                      for one in query("count by (job) (up)")})
        return found == wanted
    wait_for(f"Prometheus knows {wanted}", all_found)
    checks.equal("Prometheus finds every gateway, the persister and HAProxy", found, wanted)
    wait_for("all are scraped", lambda: not query("up == 0"))
    checks.check("all of them answer it", True)


def dashboard_has_answers():
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            wait_for(f"{panel['title']}: {target['expr']}", lambda: query(target["expr"]))
        checks.check(f"panel: {panel['title']}", True)


def rules_are_loaded():
    found = ask(f"{PROMETHEUS}/api/v1/rules")["data"]["groups"]
    rules = [rule for group in found for rule in group["rules"]]
    checks.check("Prometheus has the alert rules", len(rules) > 10, len(rules))
    ill = [rule["name"] for rule in rules if rule["health"] == "err"]
    checks.equal("and can evaluate them", ill, [])


def grafana_shows_it():
    try:
        command("docker", "image", "inspect", GRAFANA_IMAGE)
    except RuntimeError:
        print(f"skip Grafana: no image {GRAFANA_IMAGE} here, and Debian has no package of it")
        return
    compose("--profile", "monitoring", "up", "-d", "--no-build", "grafana")
    wait_for("Grafana", lambda: ask(f"{GRAFANA}/api/health"))
    found = wait_for("its dashboard", lambda: ask(f"{GRAFANA}/api/dashboards/uid/chat"))
    checks.equal("Grafana has the dashboard", found["dashboard"]["title"], "Chat")


status = checks.run(prometheus_finds_everything, dashboard_has_answers, rules_are_loaded,
                    grafana_shows_it)
if status:
    print(compose("--profile", "monitoring", "logs", "--no-color", "--tail", "30", "prometheus"))
sys.exit(status)
