# SPDX-License-Identifier: MIT
"""The clock of Redis' host steps back, by a preloaded library (clock_shim.c)."""

import os

from cluster import Cluster, Redis, wait_until
from faults import fault
from shim import shim


class SteppedRedis(Redis):
    def __init__(self, folder, options=None):
        super().__init__(folder, options)
        self.control = folder / "clock"
        self.step(0)

    def step(self, seconds):
        new = self.control.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        os.replace(new, self.control)

    def environment(self):
        return {"LD_PRELOAD": str(shim("clock")), "CHAOS_CLOCK": str(self.control)}


class SteppedCluster(Cluster):
    def __init__(self, folder, gateways, redis_options=None, **options):
        super().__init__(folder, gateways, **options)
        self.redis = SteppedRedis(self.folder, redis_options)
        for process in (self.persister, *self.gateways):
            process.settings["REDIS_URL"] = self.redis.url


@fault("clock-back", "the clock of Redis' host steps back by an hour, and forth",
       make=SteppedCluster, target={"post": 1.0})
def clock_back(w):
    with w.redis.client() as client:
        before = client.time()[0]
        w.redis.step(-3600)
        wait_until(lambda: client.time()[0] < before - 3000, 10, "TIME is an hour back")
        w.hit(f"TIME went back by {before - client.time()[0]} s")
        w.wait_acked(200)
        w.redis.step(0)
        wait_until(lambda: client.time()[0] >= before, 10, "TIME is right again")
