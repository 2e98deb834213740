# SPDX-License-Identifier: MIT
"""One cluster under load, with one or several faults in it, from its start to the verdict."""

import json
import random
import shutil
import sqlite3
import sys
import time
import traceback
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).parents[1] / "integration"), str(Path(__file__).parent)]

import checker  # noqa: E402
from checker import Allowance, Row, Run  # noqa: E402
from cluster import REPO, Cluster, build_folder, free_port, read_all, wait_until  # noqa: E402
from load import LOBBY, Load  # noqa: E402
from proxy import Proxy  # noqa: E402

SETTLE_SECONDS = 90


class World:
    """What a fault works with: the cluster, its proxies, a seeded random, and where it tells what
    happened.

    hit(text)           the proof that the fault was met
    allow(why)          what SQLite has not by now may be lost (see Allowance)
    answers()           the moment from which the service could go on (Redis answers again, ...)
    """

    def __init__(self, folder, seed, gateways, proxied=(), make=Cluster, pace=0.01, **options):
        self.random = random.Random(seed)
        self.seed = seed
        self.hits, self.allowances, self.notes = [], [], []
        self.figures = {}
        self.strangers = set()
        self.answered = None
        self.untouched = set(range(gateways))  # gateways that no fault was aimed at
        gateway_settings = {"LAG_BYTES": 65536, **options.pop("gateway_settings", {})}
        Path(folder).mkdir(parents=True)
        self.cluster = make(Path(folder), gateways, gateway_settings=gateway_settings, **options)
        self.proxies = {}
        self.pace = pace
        for name in proxied:
            self.add_proxy(name)
        self.load = None

    # --- parts ---

    @property
    def redis(self):
        return self.cluster.redis

    @property
    def persister(self):
        return self.cluster.persister

    @property
    def gateways(self):
        return self.cluster.gateways

    def add_proxy(self, name):
        """Between Redis and the persister, or all gateways."""
        proxy = self.proxies[name] = Proxy(free_port(), self.redis.port)
        url = f"redis://127.0.0.1:{proxy.port}"
        for process in [self.persister] if name == "persister" else self.gateways:
            process.settings["REDIS_URL"] = url

    def start(self):
        self.cluster.start()
        self.load = Load([g.port for g in self.gateways], self.seed, self.pace).start()
        self.wait_acked(50)
        return self

    # --- what faults use ---

    def hit(self, text):
        self.hits.append(text)

    def expect(self, met, text):
        """hit(text) if it was met, else a note."""
        (self.hits if met else self.notes).append(text if met else f"not met: {text}")

    def allow(self, why):
        with self.database() as db:
            floor, top = db.execute("SELECT position, lease FROM log").fetchone()
        self.allowances.append(Allowance(why, floor, top))

    def answers(self):
        self.answered = time.monotonic()

    def pause(self, low, high):
        time.sleep(self.random.uniform(low, high))

    def aim(self, gateway):
        """A gateway by number that the fault is aimed at."""
        self.untouched.discard(gateway)
        return self.gateways[gateway]

    def pick_gateway(self):
        return self.aim(self.random.randrange(len(self.gateways)))

    def wait_acked(self, more, timeout=60):
        want = self.load.acked() + more
        wait_until(lambda: self.load.acked() >= want, timeout, f"{more} more acknowledged",
                   pause=0.05)

    def persister_health(self):
        answer = self.persister.probe("/healthz")
        return answer.json() if answer is not None else {}

    def position(self):
        """What SQLite has, read from the file: the persister may be away."""
        with self.database() as db:
            return db.execute("SELECT position FROM log").fetchone()[0]

    def database(self):
        return sqlite3.connect(f"file:{self.persister.database}?mode=ro", uri=True, timeout=10)

    def wait_log(self, process, words, since=0, timeout=30):
        wait_until(lambda: words in process.log[since:], timeout,
                   lambda: f"{process.name} logs '{words}'\n{process.log_tail()}")

    # --- the end ---

    def settle(self):
        """All writers done, everything ready, everything stored and delivered."""
        self.load.end_writers()
        for process in (self.persister, *self.gateways):
            process.wait_ready()
        wait_until(self.is_settled, SETTLE_SECONDS, lambda: f"settled: {self.standing()}", 0.1)
        self.load.end_readers()

    def standing(self):
        last = self.last_ids()
        return {"last": last, "readers": {r.name: (r.last, r.at, r.failure, r.others[-1:])
                                          for r in self.load.readers},
                "persister": self.persister_health()}

    def last_ids(self):
        with self.database() as db:
            return dict(db.execute("SELECT room, max(id) FROM messages GROUP BY room"))

    def is_settled(self):
        with self.redis.client() as client:
            seq = int(client.hget("{chat}:state", "seq") or 0)
        if self.position() < seq:
            return False
        last = self.last_ids()
        return all(r.last >= last.get(r.seen.room, 0) for r in self.load.readers)

    def record(self):
        with self.database() as db:
            rows = [Row(*row) for row in db.execute(
                "SELECT id, room, content, created_at FROM messages ORDER BY id")]
        histories = {}
        for gateway in self.gateways:
            for room in Load.ROOMS:
                page = read_all(gateway, None if room == LOBBY else room)
                histories[gateway.name, room] = [
                    Row(m["id"], m["room"], m["content"], m["created_at"]) for m in page]
        return Run(self.load.sent(), [reader.seen for reader in self.load.readers], rows,
                   histories, self.allowances, self.strangers)

    def close(self):
        """Ends everything; returns what was wrong, as a list of texts."""
        if self.load:
            for worker in self.load.writers + self.load.readers:
                worker.over.set()
        problems = self.cluster.close()
        for proxy in self.proxies.values():
            proxy.close()
        return problems


def build_folder_words():
    folder = build_folder()
    return folder.relative_to(REPO) if folder.is_relative_to(REPO) else folder


class Result:
    """Of one fault, or of one sequence of faults."""

    def __init__(self, name, seed, gateways):
        self.name, self.seed, self.gateways = name, seed, gateways
        self.hits, self.problems, self.notes = [], [], []
        self.summary, self.figures = {}, {}

    @property
    def hit(self):
        return bool(self.hits)

    @property
    def ok(self):
        return self.hit and not self.problems

    def as_json(self):
        return json.dumps({**self.__dict__, "ok": self.ok}, default=str)


def measure(world, run, began, ended):
    """Seconds, for the table."""
    times = checker.post_times(run)
    figures = {"post": checker.longest_pause(times, began, ended),
               "delivery": checker.longest_silence(run, began, ended)}
    others = world.untouched
    if others and len(others) < len(world.gateways):
        theirs = checker.post_times(run, others)
        figures["post_others"] = checker.longest_pause(theirs, began, ended)
        if world.answered:
            figures["post_others_after"] = checker.first_after(theirs, world.answered)
    if world.answered:
        figures["post_after"] = checker.first_after(times, world.answered)
    return {**figures, **world.figures}


def run_world(result, world, faults, keep=False):
    """faults: functions that take the world, one after the other, each at a random moment."""
    try:
        world.start()
        began = time.monotonic()
        for fault in faults:
            world.pause(0.3, 1.5)
            before = len(world.hits)
            fault(world)
            world.wait_acked(30)
            if len(world.hits) == before:
                result.problems.append(f"{fault.__name__} did not hit: not tested")
        ended = time.monotonic()
        world.wait_acked(50)
        world.settle()
        run = world.record()
        verdict = checker.check(run)
        result.problems += verdict.lines()
        result.summary = verdict.summary()
        result.figures = measure(world, run, began, ended)
        health = world.persister_health()
        if health.get("conflicts"):
            result.problems.append(f"disagree: the persister counts conflicts: {health}")
    except Exception as failure:  # what is not as it should be; the next run goes on
        where = traceback.extract_tb(failure.__traceback__)[-1]
        result.problems.append(f"it did not recover: {failure!r:.2000} at {where.name}")
    finally:
        result.hits, result.notes = world.hits, world.notes
        result.problems += world.close()
        if not keep and not result.problems:
            shutil.rmtree(world.cluster.folder, ignore_errors=True)
    return result
