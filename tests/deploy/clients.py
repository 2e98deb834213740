# SPDX-License-Identifier: MIT
"""Clients that do not give up: a writer that repeats a POST with the same Idempotency-Key until it
is acknowledged, and a reader that resumes with ?after= wherever its WebSocket ended."""

import itertools
import json
import threading
import time

from checks import request
from rawws import CLOSE, PING, PONG, TEXT, Closed, RawWS

POST_S = 60     # for one message, with all its tries
SILENCE_S = 45  # the gateway pings after 25 s: nothing for longer is a dead connection
AGAIN_S = 0.2   # between two tries
PACE_S = 0.01   # between two messages of one writer


class Writer(threading.Thread):
    """acked: (id, content) of each message, in the order of writing. again: how many tries failed,
    by status (None: no answer at all). lost: contents that were never acknowledged."""

    def __init__(self, port, room, name):
        super().__init__(daemon=True)
        self.port, self.target, self.username = port, f"/rooms/{room}/messages", name
        self.acked, self.lost, self.again = [], [], {}
        self._over = threading.Event()
        self.start()

    def stop(self):
        self._over.set()
        self.join(POST_S + 60)
        assert not self.is_alive(), "a writer does not end"

    def run(self):
        for number in itertools.count():
            if self._over.is_set():
                return
            self.write(f"{self.username} {number}")
            time.sleep(PACE_S)

    def write(self, content, headers=()):
        key = [("Idempotency-Key", content.replace(" ", "-")), *headers]
        deadline = time.monotonic() + POST_S
        while time.monotonic() < deadline:
            answer = request(self.port, "POST", self.target,
                             {"username": self.username, "content": content}, key)
            if answer and answer.status == 201:
                self.acked.append((json.loads(answer.body)["id"], content))
                return
            status = answer and answer.status
            self.again[status] = self.again.get(status, 0) + 1
            time.sleep(AGAIN_S)
        self.lost.append(content)


class Reader(threading.Thread):
    """got: (id, content) in the order of arrival. closes: how each WebSocket ended, a close code or
    1006. odd: frames that no reader here should see, a gap above all."""

    def __init__(self, port, room):
        super().__init__(daemon=True)
        self.port, self.path = port, f"/rooms/{room}/ws?after="
        self.got, self.closes, self.odd = [], [], []
        self.refused = 0
        self._over = False
        self._ws = None
        self.start()

    @property
    def last_id(self):
        return self.got[-1][0] if self.got else 0

    def stop(self):
        self._over = True
        if self._ws:
            self._ws.shut()
        self.join(SILENCE_S + 15)
        assert not self.is_alive(), "a reader does not end"

    def run(self):
        while not self._over:
            try:
                self._ws = RawWS(self.port, f"{self.path}{self.last_id}", timeout=10)
            except (OSError, Closed, AssertionError):
                self.refused += 1
                time.sleep(AGAIN_S)
                continue
            code = 1006
            try:
                while (frame := self._ws.read_frame(SILENCE_S)).opcode != CLOSE:
                    self._take(frame)
                code = frame.close_code
            except (OSError, Closed):
                pass
            self._ws.drop()
            if not self._over:
                self.closes.append(code)

    def _take(self, frame):
        if frame.opcode == PING:
            self._ws.send_frame(frame.payload, PONG)
        elif frame.opcode == TEXT:
            message = json.loads(frame.payload)
            if "id" in message:
                self.got.append((message["id"], message["content"]))
            else:
                self.odd.append(message)
