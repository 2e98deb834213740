# SPDX-License-Identifier: MIT
"""Faults of the disk under SQLite, by a preloaded library (disk_shim.c)."""

import os
import time

from cluster import Cluster, Persister, wait_until
from faults import fault
from shim import shim


class BadDiskPersister(Persister):
    """Its disk fails as set_mode says."""

    def __init__(self, folder, settings):
        super().__init__(folder, settings)
        self.control = folder / "disk"
        self.control.mkdir()

    def environment(self):
        mine = super().environment()
        return {**mine, "LD_PRELOAD": str(shim("disk")), "CHAOS_DISK": str(self.control),
                "CHAOS_DATABASE": str(self.database),
                "ASAN_OPTIONS": mine["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}

    def set_mode(self, word):
        new = self.control / "mode.new"
        new.write_text(word)
        os.replace(new, self.control / "mode")

    @property
    def hits(self):
        path = self.control / "hits"
        return path.stat().st_size if path.exists() else 0


class BadDiskCluster(Cluster):
    def __init__(self, folder, gateways, **options):
        super().__init__(folder, gateways, **options)
        self.persister.http.close()
        self.persister = BadDiskPersister(self.folder, self.persister.settings)
        for gateway in self.gateways:
            gateway.settings["PERSISTER_URL"] = self.persister.url


def spoil(w, mode, words):
    """Fails for some seconds; posts must go on all the time, and what was told as stored is."""
    persister = w.persister
    persister.set_mode(mode)
    wait_until(lambda: persister.hits > 3, 20, "calls failed")
    wait_until(lambda: w.persister.probe("/readyz").status_code == 503, 20, "not ready")
    before, failed = w.position(), persister.hits
    w.wait_acked(100)
    time.sleep(2)
    w.expect(w.position() == before, f"{persister.hits} calls failed ({words}), nothing was stored")
    assert failed
    persister.set_mode("")
    began = time.monotonic()
    wait_until(lambda: w.position() > before, 30, "storing goes on when the disk is well")
    w.figures["stored_after"] = time.monotonic() - began


@fault("disk-full", "SQLite's disk is full, then has space again", make=BadDiskCluster,
       target={"post": 1.0})
def disk_full(w):
    spoil(w, "full", "ENOSPC")


@fault("disk-sync", "fsync of SQLite's files fails, then works", make=BadDiskCluster,
       target={"post": 1.0})
def disk_sync(w):
    spoil(w, "sync", "EIO")


@fault("disk-readonly", "SQLite's disk is read-only, then writable", make=BadDiskCluster,
       target={"post": 1.0})
def disk_readonly(w):
    spoil(w, "readonly", "EROFS")


@fault("disk-full-kill", "SQLite's disk is full, and the persister is killed meanwhile",
       make=BadDiskCluster, target={"post": 1.0})
def disk_full_kill(w):
    w.persister.set_mode("full")
    wait_until(lambda: w.persister.hits > 3, 20, "calls failed")
    w.hit(f"{w.persister.hits} calls failed (ENOSPC)")
    w.persister.kill9()
    w.pause(0.2, 1)
    w.persister.set_mode("")
    w.persister.start()
