# SPDX-License-Identifier: MIT
"""A chat client that collects all it receives, in a thread of its own."""

import json
import threading
import time

import contract
from rawws import CLOSE, PING, PONG, TEXT, Closed, RawWS, build_frame, parse_frame


class Subscriber:
    """Pings are answered. Safe to be looked at and sent through from any thread.

    frames    payloads of all text frames, as bytes, in the order of arrival
    messages  those that carry a chat message, as bytes (what two subscribers must have alike)
    ids       the ids of these
    events    the others (acks, errors, gaps), parsed
    closed    None while connected; then the close code, or 1006 when the connection just ended
    """

    def __init__(self, gateway, room=None, after=None, history=None, headers=(), timeout=30):
        path = "/ws" if room is None else f"/rooms/{room}/ws"
        query = [f"{name}={value}" for name, value in (("after", after), ("history", history))
                 if value is not None]
        self.gateway = gateway
        self.frames, self.messages, self.ids, self.events = [], [], [], []
        self.closed = None
        self.reason = ""
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._ws = RawWS(gateway.port, path + ("?" + "&".join(query) if query else ""),
                         headers=headers, timeout=timeout)
        contract.check_raw("GET", path, self._ws.response)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def last_id(self):
        return self.ids[-1] if self.ids else 0

    def parsed(self):
        return [json.loads(message) for message in list(self.messages)]

    def contents(self):
        return [message["content"] for message in self.parsed()]

    def send(self, username, content, nonce=None):
        message = {"username": username, "content": content}
        if nonce is not None:
            message["nonce"] = nonce
        self.send_text(json.dumps(message, ensure_ascii=False))

    def send_text(self, text):
        with self._sending:
            self._ws.send(build_frame(text))

    def wait(self, condition, timeout=30, what="the condition"):
        """Until condition(self) holds; looked at whenever something arrived."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition(self):
                left = deadline - time.monotonic()
                if left <= 0 or self.closed is not None:
                    raise AssertionError(
                        f"{what} did not come about: {len(self.ids)} messages, last id "
                        f"{self.last_id}, closed {self.closed}, events {self.events[-3:]}")
                self._changed.wait(left)
        return self

    def wait_count(self, count, timeout=30):
        return self.wait(lambda s: len(s.ids) >= count, timeout, f"{count} messages")

    def wait_id(self, message_id, timeout=30):
        """Until that message, or a later one, is here."""
        return self.wait(lambda s: s.last_id >= message_id, timeout, f"message {message_id}")

    def wait_event(self, timeout=30, **fields):
        """The first event with these fields: wait_event(type="ack", nonce="1")."""
        def find():
            return next((event for event in self.events
                         if all(event.get(k) == v for k, v in fields.items())), None)
        self.wait(lambda s: find() is not None, timeout, f"event {fields}")
        return find()

    def wait_closed(self, timeout=30):
        """The close code, when the TCP connection has ended too."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"the connection is still open (close: {self.closed})"
        return self.closed

    def close(self):
        if self.closed is None:
            try:
                with self._sending:
                    self._ws.send_close()
            except OSError:
                pass
            self._thread.join(2)
        self.drop()

    def drop(self):
        """Ends the connection without a close frame."""
        self._ws.shut()  # the thread wakes; a mere close would leave it in recv
        self._thread.join(2)
        self._ws.drop()

    def _run(self):
        try:
            while self._take_frames():
                self._ws.fill(time.monotonic() + 3600)
            self._ws.read_to_end(10)  # it is the server that ends the TCP connection
        except (Closed, OSError, ValueError):
            pass
        with self._changed:
            if self.closed is None:
                self.closed = 1006
            self._changed.notify_all()

    def _take_frames(self):
        """All whole frames of the buffer; False after a close frame."""
        buffer, at, going = self._ws.buffer, 0, True
        with self._changed:
            while going and (parsed := parse_frame(buffer, at)):
                frame, at = parsed
                if frame.opcode == TEXT:
                    self._take_text(frame.payload)
                elif frame.opcode == PING:
                    with self._sending:
                        self._ws.send_frame(frame.payload, PONG)
                elif frame.opcode == CLOSE:
                    self.closed = frame.close_code
                    self.reason = frame.payload[2:].decode()
                    contract.asyncapi.check_close(self.closed)
                    going = False
            del buffer[:at]
            self._changed.notify_all()
        if not going:
            with self._sending:
                self._ws.send_close(1000 if self.closed == 1005 else self.closed)
        return going

    def _take_text(self, payload):
        self.frames.append(payload)
        contract.asyncapi.check(payload)
        if payload.startswith(b'{"id":'):
            self.messages.append(payload)
            self.ids.append(int(payload[6:payload.index(b",")]))
        else:
            self.events.append(json.loads(payload))
