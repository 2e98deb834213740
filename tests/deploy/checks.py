# SPDX-License-Identifier: MIT
"""What the deployment tests share: named checks, waiting, commands, HTTP. Python's library only."""

import csv
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from rawws import Closed, RawConn  # noqa: E402

WAIT_S = 90  # for a condition; what is waited for takes a second or a few


class Checks:
    """Counts. tests/deploy/run adds up the lines that begin with `ok` and `FAIL`."""

    def __init__(self):
        self.failed = 0

    def check(self, name, good, detail=""):
        print(f"{'ok  ' if good else 'FAIL'} {name}{'' if good or not detail else f': {detail}'}",
              flush=True)
        self.failed += not good
        return good

    def equal(self, name, got, wanted):
        return self.check(name, got == wanted, f"got {got!r}, wanted {wanted!r}")

    def run(self, *tests):
        """Each test is a function; one that raises is a failure, and the next ones still run."""
        for test in tests:
            try:
                test()
            except Exception as error:  # noqa: BLE001 - whatever it is, it failed
                self.check(test.__name__, False, f"{type(error).__name__}: {error}")
        return 1 if self.failed else 0


def wait_for(what, condition, seconds=WAIT_S):
    """Waits until condition() is true, and returns that; what names it when it does not come."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def command(*words, seconds=600, check=True, **options):
    """Runs a program; returns what it printed."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=seconds, **options)
    if check and done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise RuntimeError(f"{' '.join(words)}: status {done.returncode}\n{tail}")
    return done.stdout


def request(port, method, target, body=None, headers=(), host="127.0.0.1", seconds=40):
    """One request on a connection of its own; None when no answer came."""
    try:
        with RawConn(port, host=host, timeout=seconds) as conn:
            return conn.request(method, target, body, [*headers, ("Connection", "close")])
    except (OSError, Closed):
        return None


def get_json(port, target):
    answer = request(port, "GET", target)
    if answer is None or answer.status != 200:
        raise RuntimeError(f"GET {target}: {answer}")
    return json.loads(answer.body)


def gateway_rows(port):
    """What HAProxy says of each gateway; port is that of its status page."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/;csv", timeout=10) as page:
            text = page.read().decode()
    except OSError:
        return []
    return [row for row in csv.DictReader(text.lstrip("# ").splitlines())
            if row["pxname"] == "gateways" and row["svname"].startswith("gateway-")]


def gateways_up(port):
    """How many are up, each by a probe that passed."""
    return sum(row["status"] == "UP" and row["check_status"] == "L7OK"
               for row in gateway_rows(port))


def gateways_used(port):
    """How many get requests: also those whose first probe is to come, or the last one failed."""
    return sum(row["status"].startswith("UP") for row in gateway_rows(port))
