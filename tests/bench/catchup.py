# SPDX-License-Identifier: MIT
"""How fast a persister that was away stores what has come meanwhile.

A real redis-server with its AOF, the real publish script and the real persister, twice: once so
that the log is opened, and again when Redis holds the messages. Time counts from the start of its
process until Redis was told that the last id is stored. Then the file is compared with what was
published. The result is one JSON object a round on stdout, and a line on stderr."""

import argparse
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BATCH, IN_FLIGHT = 256, 16
STATE, LOG, LIVE = "{chat}:state", "{chat}:log", "{chat}:live"
BOOT = "00000000cafecafe"
DEADLINE_S = 600


class Redis:
    """Just enough of a client; commands may be sent ahead of their replies."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")

    def send(self, *words):
        out = [b"*%d\r\n" % len(words)]
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(out))

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-" or not line:
            raise RuntimeError(f"redis: {rest.decode() or 'closed'}")
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def __call__(self, *words):
        self.send(*words)
        return self.reply()

    def memory(self):
        info = self("INFO", "memory").decode()
        return int(info.split("used_memory:")[1].split("\r")[0])


def until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise RuntimeError(f"not within {seconds} s: {what}")


def cpu_seconds(pid):
    """Of all its threads, those that have ended too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


class Bench:
    def __init__(self, args):
        self.args = args
        self.folder = Path(args.folder)
        self.processes = []

    def spawn(self, log, command, **environment):
        with open(self.folder / log, "ab") as out:
            process = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out,
                                       env={**os.environ, **environment})
        self.processes.append(process)
        return process

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        self.processes.remove(process)

    def redis_start(self):
        port = self.args.port
        process = self.spawn("redis.log", [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "yes", "--appendfsync", self.args.appendfsync,
            "--maxmemory-policy", "noeviction"])

        def connect():
            try:
                redis = Redis(port)
                redis("PING")
                return redis
            except (OSError, RuntimeError):  # it does not listen, or it loads
                return None
        return process, until("Redis listens", connect)

    def persister_start(self):
        return self.spawn("persister.log", [str(Path(self.args.build).resolve() / "chat-persister")],
                          HOST="127.0.0.1", PORT=str(self.args.port + 1),
                          REDIS_URL=f"redis://127.0.0.1:{self.args.port}", DATABASE_PATH="chat.db",
                          BACKLOG_LIMIT=str(self.args.messages + 100000))

    def healthz(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://127.0.0.1:{self.args.port + 1}/healthz"
        with opener.open(url, timeout=10) as answer:
            return json.load(answer)

    def message(self, n, keyed):
        """Head and tail of a message that has 190 bytes or so, once it has id and time."""
        content = f"{n:08d} " + "abcdefgh" * ((self.args.bytes - 107) // 8)
        room = f"room-{n % self.args.rooms}"
        return (f',"username":"user-{n % 1000}","content":"{content}",', f',"room":"{room}"}}',
                f"fingerprint-{n}" if keyed else "")

    def batch(self, redis, sha, opening, number, first, count):
        keys, words = [STATE, LOG, f"{{chat}}:producer:{BOOT}"], []
        for n in range(first, first + count):
            keyed = self.args.keyed > 0 and n % self.args.keyed == 0
            keys.append(f"{{chat}}:idem:{n}" if keyed else STATE)
            words.extend(self.message(n, keyed))
        redis.send("EVALSHA", sha, len(keys), *keys, opening, number, 0, LIVE, 86400, 86400, BOOT,
                   *words)

    def fill(self, redis):
        sha = redis("SCRIPT", "LOAD", (ROOT / "common/publish.lua").read_bytes())
        opening = redis("HGET", STATE, "opening")
        waiting, sent = 0, 0
        for number, first in enumerate(range(0, self.args.messages, BATCH), 1):
            count = min(BATCH, self.args.messages - first)
            self.batch(redis, sha, opening, number, first, count)
            waiting += 1
            sent += count
            while waiting > (IN_FLIGHT if sent < self.args.messages else 0):
                reply = redis.reply()
                waiting -= 1
                if reply[0] != 1 or any(code for code in reply[2::3]):
                    raise RuntimeError(f"publish answered {reply[:5]}")

    def check(self, first, last):
        with sqlite3.connect(self.folder / "chat.db") as db:
            found = db.execute("SELECT count(*), min(id), max(id) FROM messages WHERE id >= ?",
                               (first,)).fetchone()
            numbers = db.execute("SELECT count(*) FROM messages WHERE id >= ?1 AND"
                                 " substr(content, 1, 8) + 0 = id - ?1", (first,)).fetchone()[0]
        wanted = (self.args.messages, first, last)
        if found != wanted or numbers != self.args.messages:
            raise RuntimeError(f"SQLite has {found}, {numbers} right, instead of {wanted}")

    def away(self, redis):
        """The persister opens the log and leaves; the messages come. Returns their ids."""
        process = self.persister_start()
        until("the log is open", lambda: redis("HGET", STATE, "lease"))
        first = int(redis("HGET", STATE, "seq")) + 1
        self.stop(process)
        began = time.monotonic()
        self.fill(redis)
        print(f"catchup: filled in {time.monotonic() - began:.1f} s", file=sys.stderr)
        return first, int(redis("HGET", STATE, "seq"))

    def run(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        server, redis = self.redis_start()
        first, last = self.away(redis)
        if self.args.reopen:
            self.stop(server)
            server, redis = self.redis_start()
        memory, server_cpu = redis.memory(), cpu_seconds(server.pid)
        began = time.monotonic()
        persister = self.persister_start()
        until("all is stored", lambda: int(redis("HGET", STATE, "stored")) >= last, DEADLINE_S)
        seconds = time.monotonic() - began
        server_cpu = cpu_seconds(server.pid) - server_cpu
        persister_cpu, peak = cpu_seconds(persister.pid), peak_bytes(persister.pid)
        commits = self.healthz()["batches"]
        wal = (self.folder / "chat.db-wal").stat().st_size
        self.stop(persister)
        self.check(first, last)
        result = {
            "messages": self.args.messages, "rooms": self.args.rooms,
            "message_bytes": self.args.bytes, "appendfsync": self.args.appendfsync,
            "reopened": self.args.reopen,
            "load_average": os.getloadavg()[0],
            "seconds": round(seconds, 3), "messages_per_second": round(self.args.messages / seconds),
            "persister_cpu_us": round(persister_cpu * 1e6 / self.args.messages, 2),
            "redis_cpu_us": round(server_cpu * 1e6 / self.args.messages, 2),
            "messages_per_commit": round(self.args.messages / commits),
            "persister_peak_bytes": peak, "wal_bytes": wal,
            "redis_bytes_before": memory, "redis_bytes_after": redis.memory(),
        }
        self.stop(server)
        return result

    def clean(self):
        for process in self.processes:
            process.kill()
            process.wait()
        if not self.args.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench catchup", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1000000, help="(1000000)")
    parser.add_argument("--bytes", type=int, default=190, help="of a message as JSON, about (190)")
    parser.add_argument("--rooms", type=int, default=100, help="that they are spread over (100)")
    parser.add_argument("--keyed", type=int, default=0, metavar="N",
                        help="each Nth message has an idempotency key (0: none)")
    parser.add_argument("--reopen", action="store_true",
                        help="Redis is restarted too: all of it is drained, and the log opened anew")
    parser.add_argument("--appendfsync", choices=("always", "everysec", "no"), default="always")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--port", type=int, default=18320, help="and the next one (18320)")
    parser.add_argument("--build", default="build")
    parser.add_argument("--folder", default="var/bench/catchup", help="emptied, on the disk measured")
    parser.add_argument("--keep", action="store_true", help="the folder stays")
    bench = Bench(parser.parse_args())
    try:
        for _ in range(bench.args.rounds):
            r = bench.run()
            print(json.dumps(r), flush=True)
            print(f"catchup: {r['messages_per_second']:,} messages/s ({r['seconds']} s); CPU of each:"
                  f" persister {r['persister_cpu_us']} us, Redis {r['redis_cpu_us']} us; Redis"
                  f" {r['redis_bytes_before'] >> 20} -> {r['redis_bytes_after'] >> 20} MiB;"
                  f" persister's peak {r['persister_peak_bytes'] >> 20} MiB", file=sys.stderr)
    finally:
        bench.clean()


main()
