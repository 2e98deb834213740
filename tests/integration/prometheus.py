# SPDX-License-Identifier: MIT
"""What the tests of metrics share: /metrics parsed, and the names that our files speak of."""

import re
import shutil
import subprocess

import pytest

from cluster import REPO, Process, wait_until

RULES = REPO / "docs/monitoring/rules/chat.yml"
DASHBOARD = REPO / "docs/monitoring/grafana/dashboards/chat.json"

SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
OURS = re.compile(r"\b(?:chat|process)_[a-z0-9_]+\b")


class Metrics:
    """One answer of /metrics. metrics("name", code="200") is the sum of the samples with these
    labels, 0 if there is none; a name without a family is an error."""

    def __init__(self, text):
        self.text = text
        self.types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
        self.samples = []
        for line in text.splitlines():
            if not line.startswith("#"):
                name, labels, value = SAMPLE.fullmatch(line).groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), float(value)))

    def __call__(self, name, **labels):
        assert family_of(name, self.types) in self.types, f"there is no {name}"
        return sum(value for its, have, value in self.samples
                   if its == name and labels.items() <= have.items())


def family_of(name, types):
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if types.get(base) == "histogram" else name


def metrics_of(process):
    answer = process.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(answer.text)


def documented():
    """The names in the tables of docs/OPERATIONS.md."""
    tables = [line.split("|")[1] for line in (REPO / "docs/OPERATIONS.md").read_text().splitlines()
              if line.startswith("| `")]
    return {name for cell in tables for name in OURS.findall(cell)}


def need(tool):
    """Debian's package prometheus has both promtool and prometheus."""
    if not shutil.which(tool):
        pytest.skip(f"there is no {tool} (Debian: prometheus)")


def promtool(*arguments, text=None):
    need("promtool")
    done = subprocess.run(["promtool", *arguments], input=text, text=True, timeout=60,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Lint of `check metrics` goes to stderr, with status 0 in some versions.
    assert arguments[:2] != ("check", "metrics") or not done.stderr.strip(), done.stderr


class Prometheus(Process):
    """A real one that scrapes these processes, as {job: [processes]}, with our alert rules."""

    def __init__(self, folder, jobs):
        super().__init__("prometheus", folder)
        targets = {job: [f"127.0.0.1:{process.port}" for process in processes]
                   for job, processes in jobs.items()}
        self.config = folder / "prometheus.yml"
        self.config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{RULES}']\nscrape_configs:\n" +
            "".join(f"  - job_name: {job}\n    static_configs: [{{targets: {its}}}]\n"
                    for job, its in targets.items()))

    def command(self):
        return ["prometheus", f"--config.file={self.config}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                f"--storage.tsdb.path={self.folder / 'prometheus-data'}"]

    def ask(self, path, **query):
        import httpx
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", params=query, timeout=10,
                               trust_env=False)
        except httpx.TransportError:
            return None
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text

    def ready(self):
        return "Ready" in str(self.ask("/-/ready"))

    def query(self, text):
        answer = self.ask("/api/v1/query", query=text)
        assert answer and answer["status"] == "success", f"{text}: {answer}"
        return answer["data"]["result"]

    def wait_query(self, text, timeout=60):
        """The first answer that is not empty."""
        return wait_until(lambda: self.query(text), timeout, f"an answer to {text}", pause=0.5)
