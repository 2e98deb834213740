# SPDX-License-Identifier: MIT
"""An image by itself: its size, what it says of itself, how fast it starts, how it ends.

usage: images.py <program> <image> <size limit in MB>
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from datetime import datetime

from checks import Checks, command, wait_for
from rawws import Closed, RawConn

STARTS = 5

program, image, megabytes_max = sys.argv[1], sys.argv[2], float(sys.argv[3])
name = f"chat-deploy-image-{os.getpid()}"
checks = Checks()


def inspect(what):
    return json.loads(command("docker", "inspect", what))[0]


def image_is_small_and_tells():
    found = inspect(image)
    megabytes, config = found["Size"] / 1e6, found["Config"]
    checks.check(f"{image}: {megabytes:.1f} MB, {megabytes_max:g} at most",
                 megabytes <= megabytes_max)
    checks.equal("its user is a number", config["User"].split(":")[0], "10001")
    checks.check("its health check is the program's own",
                 config["Healthcheck"]["Test"] == ["CMD", f"/usr/bin/{program}", "--healthcheck"],
                 repr(config["Healthcheck"]))
    checks.equal("its labels name it", config["Labels"]["org.opencontainers.image.title"], program)
    said = command("docker", "run", "--rm", "--read-only", "--cap-drop", "ALL", image, "--version")
    checks.check("it tells its version", program in said, said)


def health():
    return inspect(name)["State"]["Health"]


def live(port):
    try:
        with RawConn(port, timeout=5) as conn:
            return conn.request("GET", "/livez").status == 200
    except (OSError, Closed):
        return False


def start_once():
    """ms from Docker's StartedAt, and from `docker start` itself, to the first 200. The engine notes
    the former a moment after the program began, so that one can be some ms too small, and the
    latter holds the engine's own work. On the host's network, where no proxy is in between."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command("docker", "create", "--name", name, "--network", "host", "--read-only", "--cap-drop",
            "ALL", "-e", "HOST=127.0.0.1", "-e", f"PORT={port}",
            "-e", "REDIS_URL=redis://127.0.0.1:9", "--health-interval", "1s",
            "--health-start-period", "0s", image)
    begun = time.time()
    # The engine starts it while this waits for the command's end, so both are looked at together.
    starting = os.posix_spawnp("docker", ["docker", "start", name], os.environ,
                               file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    deadline = time.monotonic() + 60
    while not live(port):
        if time.monotonic() > deadline:
            raise TimeoutError(command("docker", "logs", name))
        time.sleep(0.001)
    ready = time.time()
    os.waitpid(starting, 0)
    text = inspect(name)["State"]["StartedAt"]
    started = datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()
    return max(ready - started, 0) * 1000, (ready - begun) * 1000


def end():
    command("docker", "rm", "-f", "-v", name, check=False)


def image_starts_and_ends():
    times = []
    for _ in range(STARTS):
        times.append(start_once())
        if len(times) < STARTS:
            end()
    checks.check(f"/livez 200, median of {STARTS} starts: "
                 f"{statistics.median(t[0] for t in times):.0f} ms after Docker's StartedAt, "
                 f"{statistics.median(t[1] for t in times):.0f} ms after `docker start`", True)
    wait_for("Docker's verdict", lambda: health()["Status"] != "starting")
    checks.equal("without Redis it lives: healthy", health()["Status"], "healthy")
    probe = subprocess.run(["docker", "exec", "-e", "PORT=9", name, f"/usr/bin/{program}",
                            "--healthcheck"], capture_output=True, text=True, timeout=60)
    checks.check("its probe fails where nothing answers", probe.returncode == 1, repr(probe))
    begun = time.monotonic()
    command("docker", "stop", "-t", "30", name)
    checks.equal("asked to stop, it ends by itself", inspect(name)["State"]["ExitCode"], 0)
    print(f"     it took {time.monotonic() - begun:.1f} s to stop")


try:
    status = checks.run(image_is_small_and_tells, image_starts_and_ends)
finally:
    end()
sys.exit(status)
