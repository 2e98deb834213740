# SPDX-License-Identifier: MIT
"""Judges a run by what was recorded of it: what each writer was told, what each subscriber
received, what each gateway's history and SQLite hold at the end. It knows nothing of processes.

A problem is one line of text under one of these names:

    lost        acknowledged, and not in SQLite; or in SQLite, and missing at a subscriber
    doubled     a marker twice in SQLite or at a subscriber
    reordered   ids that do not ascend at a subscriber, with their times, or with what was
                acknowledged before it was sent
    disagree    the same id with another content somewhere, or a history that differs from SQLite
    untrue      a writer was told something else that is false: 'not stored', or another id
    ghost       a subscriber saw a message that exists nowhere

Where the promise ends (docs/GUARANTEES.md) a fault gives an Allowance, and only what it covers is
excused, and counted. A message acknowledged as stored is never excused.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

ACKED, REFUSED, MAYBE, CUT = "acked", "refused", "maybe", "cut"
KINDS = ("lost", "doubled", "reordered", "disagree", "untrue", "ghost")
SHOWN = 10  # problems of a kind that are written out


@dataclass
class Attempt:
    began: float
    ended: float
    gateway: int
    outcome: str  # CUT: the connection ended, or the client's own deadline passed
    id: int = 0


@dataclass
class Sent:
    """A message that a writer made; its marker is its whole content."""
    marker: str
    writer: str
    room: str
    keyed: bool
    stored: bool  # wait=stored was asked for
    attempts: list = field(default_factory=list)

    @property
    def acks(self):
        return [a for a in self.attempts if a.outcome == ACKED]


@dataclass
class Seen:
    """All that one subscriber received, over all its connections. It began after id 0."""
    name: str
    room: str
    messages: list = field(default_factory=list)  # (time, id, marker, created_at)
    gaps: list = field(default_factory=list)      # (after, before), as it was told
    resets: list = field(default_factory=list)    # (number of messages before it, after): it was
                                                  # told that the id it resumed after does not exist


@dataclass
class Row:
    id: int
    room: str
    marker: str
    created_at: str


@dataclass
class Allowance:
    """Messages that were acknowledged (log) or seen under floor < id <= top may be void. floor is
    what SQLite had when the fault began, top the lease at that time: what is given after the log
    was opened anew is above it."""
    why: str
    floor: int
    top: int

    def covers(self, number):
        return self.floor < number <= self.top


@dataclass
class Run:
    sent: list
    seen: list
    rows: list                                     # of SQLite, by id
    histories: dict = field(default_factory=dict)  # (gateway, room) -> [Row]
    allowances: list = field(default_factory=list)
    strangers: set = field(default_factory=set)    # rooms that others than the writers filled
    set_back: int | None = None                    # the lease of an older SQLite file that was put
                                                   # in place: only ids above it may be `reset`


class Verdict:
    def __init__(self):
        self.problems = {kind: [] for kind in KINDS}
        self.counts = dict.fromkeys(("sent", "acked", "stored", "maybe", "refused", "excused",
                                     "received", "gaps", "resets"), 0)

    def add(self, kind, text):
        self.problems[kind].append(text)

    @property
    def ok(self):
        return not any(self.problems.values())

    def lines(self):
        """What is wrong, for people."""
        out = []
        for kind, texts in self.problems.items():
            out += [f"{kind}: {text}" for text in texts[:SHOWN]]
            if len(texts) > SHOWN:
                out.append(f"{kind}: ... {len(texts)} in all")
        return out

    def summary(self):
        return {**self.counts, **{kind: len(texts) for kind, texts in self.problems.items()}}


def check(run):
    v = Verdict()
    count(v, run)
    by_marker = check_rows(v, run)
    check_writers(v, run, by_marker)
    check_real_time(v, run, by_marker)
    by_id = {row.id: row for row in run.rows}
    for seen in run.seen:
        check_subscriber(v, run, seen, by_id)
    for (gateway, room), history in run.histories.items():
        check_history(v, run, gateway, room, history)
    return v


def count(v, run):
    for sent in run.sent:
        v.counts["sent"] += 1
        v.counts["acked"] += bool(sent.acks)
        v.counts["maybe"] += any(a.outcome in (MAYBE, CUT) for a in sent.attempts)
        v.counts["refused"] += sum(a.outcome == REFUSED for a in sent.attempts)
    v.counts["stored"] = len(run.rows)
    v.counts["received"] = sum(len(seen.messages) for seen in run.seen)
    v.counts["gaps"] = sum(len(seen.gaps) for seen in run.seen)
    v.counts["resets"] = sum(len(seen.resets) for seen in run.seen)


def excused(v, run, number):
    if any(a.covers(number) for a in run.allowances):
        v.counts["excused"] += 1
        return True
    return False


def check_rows(v, run):
    """SQLite by itself; returns marker -> row."""
    by_marker, last = {}, None
    for row in run.rows:
        if row.room in run.strangers:
            pass
        elif row.marker in by_marker:
            v.add("doubled", f"{row.marker} is stored as {by_marker[row.marker].id} and {row.id}")
        else:
            by_marker[row.marker] = row
        if last and (row.id <= last.id or row.created_at < last.created_at):
            v.add("reordered", f"stored {last.id} of {last.created_at}, then {row.id} of "
                               f"{row.created_at}")
        last = row
    return by_marker


def check_writers(v, run, by_marker):
    known = set()
    for sent in run.sent:
        known.add(sent.marker)
        row = by_marker.get(sent.marker)
        outcomes = {a.outcome for a in sent.attempts}
        if row and sent.attempts and outcomes == {REFUSED}:
            v.add("untrue", f"{sent.marker}: every attempt was 'not stored', and it is {row.id}")
        for ack in sent.acks:
            if row and row.id == ack.id:
                continue
            if not sent.stored and excused(v, run, ack.id):
                continue  # a later attempt of it may be stored under another id
            as_what = f"was acknowledged as {'stored' if sent.stored else 'taken'} under {ack.id}"
            if row:
                v.add("untrue", f"{sent.marker} {as_what} and is {row.id}")
            else:
                v.add("lost", f"{sent.marker} {as_what}")
    for marker, row in by_marker.items():
        if marker not in known:
            v.add("untrue", f"{row.id} holds {marker}, which nobody sent")


def check_real_time(v, run, by_marker):
    """What was acknowledged before another message was first sent has the lower id. What is not
    stored is judged elsewhere."""
    def stands(sent, ack):
        row = by_marker.get(sent.marker)
        return row and row.id == ack.id
    acks = sorted((ack.ended, ack.id, sent.marker) for sent in run.sent for ack in sent.acks
                  if stands(sent, ack))
    times, highest, best = [], [], (0, "")
    for ended, number, marker in acks:
        best = max(best, (number, marker))
        times.append(ended)
        highest.append(best)
    for sent in run.sent:
        row = by_marker.get(sent.marker)
        at = bisect_right(times, sent.attempts[0].began) - 1 if row and sent.attempts else -1
        if at >= 0 and highest[at][0] >= row.id:
            v.add("reordered", f"{sent.marker} is {row.id}, and {highest[at][1]}, acknowledged "
                               f"before it was sent, is {highest[at][0]}")


def was_set_back(run, after):
    """No loss of Redis and no failover makes an id one that was never given."""
    return run.set_back is not None and after > run.set_back


def check_subscriber(v, run, seen, by_id):
    last, markers, got = 0, {}, set()
    resets = {at for at, after in seen.resets if was_set_back(run, after)}
    for at, (_, number, marker, created_at) in enumerate(seen.messages):
        if at in resets:
            last = 0
        if number == last:
            v.add("doubled", f"{seen.name} received {number} twice")
        elif number < last:
            v.add("reordered", f"{seen.name} received {number} after {last}")
        last = max(last, number)
        row = by_id.get(number)
        if not row:
            if not excused(v, run, number):
                v.add("ghost", f"{seen.name} received {number} {marker}, which is not stored")
            continue
        if (row.marker, row.created_at, row.room) != (marker, created_at, seen.room):
            v.add("disagree", f"{seen.name} received {number} as {marker} of {created_at}, stored "
                              f"is {row.marker} of {row.created_at} in {row.room}")
        if markers.setdefault(marker, number) != number:
            v.add("doubled", f"{seen.name} received {marker} as {markers[marker]} and {number}")
        got.add(number)
    for _, after in seen.resets:
        if not was_set_back(run, after):
            v.add("untrue", f"{seen.name} was told that {after} was never given")
    check_missing(v, run, seen, got)


def check_missing(v, run, seen, got):
    for row in run.rows:
        told = any(after < row.id < before for after, before in seen.gaps)
        if row.room == seen.room and row.id not in got and not told:
            v.add("lost", f"{seen.name} never received {row.id} {row.marker}")


def check_history(v, run, gateway, room, history):
    rows = [row for row in run.rows if row.room == room]
    if history == rows:
        return
    mine, theirs = {row.id: row for row in history}, {row.id: row for row in rows}
    for number in sorted(mine.keys() ^ theirs.keys())[:SHOWN]:
        where = "only there" if number in mine else "not there"
        v.add("disagree", f"history of {room} at {gateway}: {number} is {where}")
    for number in sorted(mine.keys() & theirs.keys()):
        if mine[number] != theirs[number]:
            v.add("disagree", f"history of {room} at {gateway}: {mine[number]}, stored is "
                              f"{theirs[number]}")
    if mine == theirs:
        v.add("reordered", f"history of {room} at {gateway} has another order, or repeats")


# --- how long nothing went through ----------------------------------------------------------------


def longest_pause(times, begin, end):
    """The longest time within begin..end without one of the times."""
    inside = [begin, *sorted(t for t in times if begin < t < end), end]
    return max((b - a for a, b in zip(inside, inside[1:])), default=0.0)


def post_times(run, gateways=None):
    return [ack.ended for sent in run.sent for ack in sent.acks
            if gateways is None or ack.gateway in gateways]


def first_after(times, moment):
    """How long after the moment the first of the times came; None: never."""
    later = [t for t in times if t >= moment]
    return min(later) - moment if later else None


def longest_silence(run, begin, end):
    """Without a delivery, of the subscriber that stays and had to wait longest."""
    return max((longest_pause([t for t, *_ in seen.messages], begin, end) for seen in run.seen
                if seen.name.startswith("stay")), default=0.0)
