# SPDX-License-Identifier: MIT
"""Programs that are broken on purpose, built in a folder of their own from a patched copy of the
sources, must be found by the suite on a real cluster: else it proves nothing about the good ones.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).parents[1] / "integration"), str(Path(__file__).parent)]

import run as suite  # noqa: E402
from cluster import REPO  # noqa: E402

# name -> file, what is replaced, by what; the fault that shows it; what must be found
PLANTS = {
    "gaps-not-filled": (
        "common/feed.c", "deliver(f, p->entries[i].id, p->entries[i].json);",
        "(void)p->entries[i].id;", "kill-subscribers", ("lost",)),
    "retries-not-recognised": (
        "common/publish.lua", "local known = key and (own[key] or redis.call('GET', key))",
        "local known = nil", "gateway-stop", ("doubled",)),
    "counter-restarts": (
        "persister/opening.c",
        "uint64_t s = max_u64(max_u64(own->position, own->last), own->lease);",
        "uint64_t s = max_u64(own->position, own->last);",
        "all-kill-empty", ("doubled", "reordered", "disagree", "lost")),
    "told-before-it-is-stored": (
        "gateway/waits.c", "return w->what == WAIT_SEEN || w->id <= ws->stored;",
        "return w->what == WAIT_SEEN || w->id > 0;", "redis-loss-unsaved", ("lost",)),
}
SEEDS = 5  # not every moment of a fault shows it


def build_broken(name, folder):
    file, old, new = PLANTS[name][:3]
    source = folder / "source"
    shutil.copytree(REPO, source, ignore=shutil.ignore_patterns(
        "build*", ".git", "var", "tests", "__pycache__"))
    text = (source / file).read_text()
    assert text.count(old) == 1, f"{file} has changed: {old}"
    (source / file).write_text(text.replace(old, new))
    subprocess.run(["make", "-j2", "-C", source, "BUILD=broken", "CFLAGS=-O1"], check=True,
                   stdout=subprocess.DEVNULL)
    return source / "broken"


@pytest.mark.parametrize("name", PLANTS)
def test_planted_fault_is_found(name, tmp_path, monkeypatch):
    *_, fault, found = PLANTS[name]
    monkeypatch.setenv("CHAT_BUILD", str(build_broken(name, tmp_path)))
    for seed in range(1, SEEDS + 1):
        result = suite.run_alone(fault, seed, 2, str(tmp_path / f"run-{seed}"))
        suite.tell(result)
        if any(result.summary.get(kind) for kind in found):
            return
    raise AssertionError(f"{name} was not found: {result.as_json()}")
