# SPDX-License-Identifier: MIT
"""The short form of the fault suite: some faults of each kind, alone, on two gateways or three.
All of them, and random sequences: ./dev chaos."""

import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).parents[1] / "integration"), str(Path(__file__).parent)]

import run as suite  # noqa: E402


@pytest.mark.parametrize("name, gateways", [
    ("gateway-kill", 3), ("all-kill", 2), ("redis-loss-unsaved", 2), ("kill-subscribers", 2),
    ("proxy-cut-reply-gateway", 2), ("disk-full-kill", 2), ("backlog-full", 2),
    ("clock-back", 2)])
def test_fault(name, gateways, tmp_path):
    result = suite.run_alone(name, 1, gateways, str(tmp_path / name))
    suite.tell(result)
    assert result.hit, f"{name} did not hit"
    assert not result.problems, "\n".join(result.problems)
