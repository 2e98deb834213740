# SPDX-License-Identifier: MIT
"""The load of a run: writers and subscribers, each a thread, which record all that they are told.

A writer sends one message after the other and behaves as docs/PROTOCOL.md tells: 'not stored' is
sent again; what may be stored is sent again through another gateway with the same key, or left
alone when it has none. A subscriber whose connection ends resumes at another gateway with ?after=.
"""

import http.client
import itertools
import json
import random
import threading
import time

from checker import ACKED, CUT, MAYBE, REFUSED, Attempt, Seen, Sent
from rawws import CLOSE, PING, PONG, TEXT, Closed, RawWS, build_frame, parse_frame

ANSWER_SECONDS = 9  # above the gateway's own deadlines, 5 s and 2 s
RETRY_SECONDS = 0.1
LOBBY = "lobby"


def path_of(room, what):
    return f"/{what}" if room == LOBBY else f"/rooms/{room}/{what}"


class Worker:
    """A thread that runs until it is told to end."""

    def __init__(self, name):
        self.name = name
        self.over = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def _guarded(self):
        try:
            self.run()
        except Exception as failure:  # told by Load.finish
            self.failure = failure

    def run(self):
        raise NotImplementedError


class Writer(Worker):
    def __init__(self, name, ports, home, room=LOBBY, keyed=True, stored=False, pace=0.01):
        super().__init__(name)
        self.ports, self.at, self.room = ports, home, room
        self.keyed, self.stored, self.pace = keyed, stored, pace
        self.sent = []
        self.statuses = {}  # of HTTP, or the codes of error frames -> how many
        self.retry_after = 0  # 503 answers that had the header

    def run(self):
        for number in itertools.count():
            if self.over.is_set():
                break
            sent = Sent(f"{self.name}-{number}", self.name, self.room, self.keyed, self.stored)
            self.sent.append(sent)
            self.send_until_known(sent)
            self.over.wait(self.pace)
        self.leave()

    def send_until_known(self, sent):
        while True:
            began = time.monotonic()
            outcome, number = self.attempt(sent)
            sent.attempts.append(Attempt(began, time.monotonic(), self.at, outcome, number))
            if outcome == ACKED or (outcome != REFUSED and not sent.keyed):
                if outcome != ACKED:
                    self.move()
                return
            self.move()
            # At the end only what was refused may be left: what may be stored is asked for.
            if self.over.wait(RETRY_SECONDS) and all(a.outcome == REFUSED for a in sent.attempts):
                return
            if self.over.is_set():
                time.sleep(RETRY_SECONDS)

    def move(self):
        self.leave()
        self.at = (self.at + 1) % len(self.ports)

    def note(self, status):
        self.statuses[status] = self.statuses.get(status, 0) + 1


class HttpWriter(Writer):
    connection = None

    def attempt(self, sent):
        headers = {"Content-Type": "application/json"}
        if sent.keyed:
            headers["Idempotency-Key"] = sent.marker
        if sent.stored:
            headers["Prefer"] = "wait=stored"
        body = json.dumps({"username": self.name, "content": sent.marker})
        try:
            if not self.connection:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.ports[self.at],
                                                             timeout=ANSWER_SECONDS)
                self.connection.connect()
        except OSError:
            self.leave()
            return REFUSED, 0  # nothing was sent
        try:
            self.connection.request("POST", path_of(self.room, "messages"), body, headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.leave()
            return CUT, 0
        self.note(answer.status)
        if answer.status == 201:
            if sent.stored:
                assert answer.headers["Preference-Applied"] == "wait=stored", answer.headers
            return ACKED, json.loads(text)["id"]
        if answer.status == 503:
            self.retry_after += answer.headers["Retry-After"] is not None
            return REFUSED, 0
        assert answer.status == 504, (answer.status, text)
        return MAYBE, 0

    def leave(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class WsWriter(Writer):
    """Without a key it learns only from the room what became of its message: no claim is made."""
    ws = None

    def attempt(self, sent):
        frame = {"username": self.name, "content": sent.marker}
        if sent.keyed:
            frame["nonce"] = sent.marker
        if sent.stored:
            frame["wait"] = "stored"
        try:
            if not self.ws:
                self.ws = RawWS(self.ports[self.at], path_of(self.room, "ws") + "?history=0",
                                timeout=ANSWER_SECONDS)
        except (OSError, AssertionError, Closed):
            self.leave()
            return REFUSED, 0
        try:
            self.ws.send_text(frame)
            return self.answer(sent)
        except (OSError, Closed):
            self.leave()
            return CUT, 0

    def answer(self, sent):
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            frame = json.loads(self.ws.read_text(max(deadline - time.monotonic(), 0.001)))
            if frame.get("type") == "ack" and frame["nonce"] == sent.marker:
                return ACKED, frame["id"]
            if not sent.keyed and frame.get("content") == sent.marker:
                return MAYBE, frame["id"]
            if frame.get("type") == "error":
                self.note(frame["code"])
                assert frame["code"] in ("unavailable", "timeout"), frame
                return (REFUSED if frame["code"] == "unavailable" else MAYBE), 0

    def leave(self):
        if self.ws:
            self.ws.drop()
        self.ws = None


class Reader(Worker):
    """A subscriber from the first message on. roam_s: leaves of itself after so long; slow: reads
    little through a small window, so that it falls behind."""

    def __init__(self, name, ports, home, room=LOBBY, roam_s=None, slow=False, seed=0):
        super().__init__(name)
        self.ports, self.at = ports, home
        self.seen = Seen(name, room)
        self.roam_s, self.slow = roam_s, slow
        self.random = random.Random(seed)
        self.last = 0
        self.closes = {}  # code -> how often
        self.others = []  # frames that are neither a message nor a gap
        self.connections = 0

    def run(self):
        while not self.over.is_set():
            ws = None
            try:
                path = path_of(self.seen.room, "ws") + f"?after={self.last}"
                ws = RawWS(self.ports[self.at], path, timeout=5,
                           receive_buffer=4096 if self.slow else None)
                self.connections += 1
                code = self.follow(ws)
            except (OSError, AssertionError, Closed):
                code = 1006
            if ws:
                ws.drop()
            self.closes[code] = self.closes.get(code, 0) + 1
            self.at = (self.at + 1) % len(self.ports)
            self.over.wait(RETRY_SECONDS)

    def follow(self, ws):
        """Until the connection ends; returns the close code (0: it left of itself)."""
        leave = time.monotonic() + (self.roam_s * self.random.uniform(0.5, 1.5)
                                    if self.roam_s else 1e9)
        heard = time.monotonic()
        while not self.over.is_set() and time.monotonic() < leave:
            code = self.take_frames(ws)  # some may have come with the handshake
            if code is not None:
                return code
            try:
                ws.fill(time.monotonic() + 0.2)
                heard = time.monotonic()
            except TimeoutError:
                # The gateway pings after 25 s of silence; silence of 40 s is a dead connection.
                if time.monotonic() - heard > 40:
                    return 1006
            if self.slow:
                self.over.wait(0.3)
        return 0

    def take_frames(self, ws):
        """All whole frames; the code of a close frame, or None."""
        at, code = 0, None
        while code is None and (parsed := parse_frame(ws.buffer, at)):
            frame, at = parsed
            if frame.opcode == TEXT:
                self.take(frame.payload)
            elif frame.opcode == PING:
                ws.send(build_frame(frame.payload, PONG))
            elif frame.opcode == CLOSE:
                code = frame.close_code
        del ws.buffer[:at]
        return code

    def take(self, payload):
        message = json.loads(payload)
        if "id" in message:
            self.seen.messages.append((time.monotonic(), message["id"], message["content"],
                                       message["created_at"]))
            self.last = max(self.last, message["id"])
        elif message["type"] == "gap":
            self.seen.gaps.append((message["after"], message["before"]))
        elif message["type"] == "reset":
            self.seen.resets.append((len(self.seen.messages), message["after"]))
            self.last = 0
        else:
            self.others.append(message)


class Load:
    """Writers of each kind on every gateway, and subscribers of each kind."""

    ROOMS = (LOBBY, "red")

    def __init__(self, ports, seed, pace=0.01):
        self.writers, self.readers = [], []
        n = len(ports)
        for at in range(n):
            self.writers += [
                HttpWriter(f"h{at}k", ports, at, pace=pace),
                WsWriter(f"w{at}k", ports, at, room="red" if at else LOBBY, pace=pace)]
            self.readers.append(Reader(f"stay{at}", ports, at))
        self.writers += [
            HttpWriter("hplain", ports, 0, keyed=False, pace=pace),
            WsWriter("wplain", ports, n - 1, keyed=False, pace=pace),
            HttpWriter("hstored", ports, n - 1, stored=True, pace=pace),
            WsWriter("wstored", ports, 0, stored=True, pace=pace)]
        self.readers += [
            Reader("red", ports, n - 1, room="red"),
            Reader("roam", ports, 0, roam_s=1.0, seed=seed),
            Reader("slow", ports, n - 1, slow=True)]

    def start(self):
        for worker in self.readers + self.writers:
            worker.start()
        return self

    def acked(self):
        return sum(bool(sent.acks) for sent in self.sent())

    def sent(self):
        return [sent for writer in self.writers for sent in list(writer.sent)]

    def statuses(self):
        total = {}
        for writer in self.writers:
            for status, n in writer.statuses.items():
                total[status] = total.get(status, 0) + n
        return total

    def end(self, workers, seconds):
        for worker in workers:
            worker.over.set()
        deadline = time.monotonic() + seconds
        for worker in workers:
            worker.thread.join(max(deadline - time.monotonic(), 0.01))
            if worker.failure:
                raise AssertionError(f"{worker.name}: {worker.failure!r}") from worker.failure
            assert not worker.thread.is_alive(), f"{worker.name} does not end"

    def end_writers(self):
        self.end(self.writers, 60)

    def end_readers(self):
        self.end(self.readers, 20)
