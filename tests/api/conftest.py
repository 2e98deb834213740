# SPDX-License-Identifier: MIT
"""Fixtures: `tools` is the folder with the programs of the lock file beside this; `cluster` as for the
integration tests. Without node and npm, or where no registry can be reached, what needs them is
skipped, and pytest says why."""

import os
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "integration"))
sys.path.insert(0, str(HERE))

# By its path: both files have one name.
_spec = util.spec_from_file_location("integration_fixtures", HERE.parent / "integration/conftest.py")
_fixtures = util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
make_cluster, cluster = _fixtures.make_cluster, _fixtures.cluster
pytest_runtest_makereport = _fixtures.pytest_runtest_makereport

NODE = (20, 19)
INSTALL_SECONDS = 300


def lacking():
    """Installs the tools unless they are those of the lock file already. What is missing, or None."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            return f"there is no {program}"
    version = subprocess.run(["node", "-p", "process.versions.node"], capture_output=True, text=True,
                             timeout=30, check=True).stdout
    if tuple(int(part) for part in version.split(".")[:2]) < NODE:
        return f"node {version.strip()} is older than {NODE[0]}.{NODE[1]}"
    lock, installed = HERE / "package-lock.json", HERE / "node_modules/.installed"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return None
    try:
        result = subprocess.run(
            ["npm", "ci", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000",
             "--fetch-timeout=20000"], cwd=HERE, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"npm did not install its packages within {INSTALL_SECONDS} s"
    if result.returncode != 0:
        return f"npm could not install its packages: {result.stderr.strip()[-300:]}"
    installed.write_bytes(lock.read_bytes())
    return None


@pytest.fixture(scope="session")
def tools():
    reason = lacking()
    if reason:
        pytest.skip(reason)
    return HERE / "node_modules/.bin"


@pytest.fixture
def run(tools):
    """run("redocly", "lint", ...): (status, what it printed). It cannot reach the internet."""
    offline = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9",
               "NO_PROXY": "127.0.0.1,localhost", "REDOCLY_TELEMETRY": "off",
               "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}

    def start(program, *arguments, cwd=HERE):
        path = tools / program
        silence, open_end = os.pipe()  # wscat ends when its input does
        try:
            result = subprocess.run(
                [path if path.exists() else program, *arguments], cwd=cwd, stdin=silence,
                env={**os.environ, **offline}, capture_output=True, text=True, timeout=180,
                check=False)
        finally:
            os.close(silence)
            os.close(open_end)
        return result.returncode, result.stdout + result.stderr
    return start
