# SPDX-License-Identifier: MIT
"""The checker against histories that are made up: a good one passes, and each planted fault is
found, under the name that it has."""

import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).parents[1] / "integration"), str(Path(__file__).parent)]

from checker import (ACKED, CUT, KINDS, MAYBE, REFUSED, Allowance, Attempt, Row, Run,  # noqa: E402
                     Seen, Sent, check, first_after, longest_pause)
from faults import Fault  # noqa: E402
from run import over_target  # noqa: E402


def time_of(number):
    return f"2026-01-01T00:00:{number:02d}.000Z"


def good_run():
    """Ten messages by two writers, each acknowledged one second after it was sent, two readers."""
    run = Run([], [], [])
    for n in range(1, 11):
        sent = Sent(f"m{n}", f"w{n % 2}", "lobby", keyed=True, stored=n == 5)
        sent.attempts.append(Attempt(n * 10, n * 10 + 1, 0, ACKED, n))
        run.sent.append(sent)
        run.rows.append(Row(n, "lobby", f"m{n}", time_of(n)))
    for name in ("stay0", "stay1"):
        run.seen.append(Seen(name, "lobby", [(n * 10 + 1, n, f"m{n}", time_of(n))
                                             for n in range(1, 11)]))
    run.histories = {("gateway-0", "lobby"): list(run.rows)}
    return run


def kinds(run):
    return {kind for kind, texts in check(run).problems.items() if texts}


def drop(run, number):
    """Nobody has it any more."""
    run.rows = [row for row in run.rows if row.id != number]
    run.histories = {key: [row for row in rows if row.id != number]
                     for key, rows in run.histories.items()}
    for seen in run.seen:
        seen.messages = [m for m in seen.messages if m[1] != number]


def test_good_run():
    verdict = check(good_run())
    assert verdict.ok and not verdict.lines()
    assert verdict.summary()["acked"] == 10 and verdict.summary()["received"] == 20


def acked_but_nowhere(run):
    drop(run, 4)


def missed_by_one(run):
    del run.seen[1].messages[3]


def missed_at_the_end(run):
    del run.seen[0].messages[-1]


def received_twice(run):
    run.seen[0].messages.insert(4, run.seen[0].messages[3])


def repeated_at_a_resume(run):
    run.seen[0].messages += run.seen[0].messages[5:]


def received_in_another_order(run):
    m = run.seen[0].messages
    m[3], m[4] = m[4], m[3]


def stored_twice(run):
    """A retry that was not recognised: two rows, and both are delivered."""
    row = Row(11, "lobby", "m7", time_of(11))
    run.rows.append(row)
    run.histories["gateway-0", "lobby"].append(row)
    for seen in run.seen:
        seen.messages.append((200, 11, "m7", time_of(11)))


def given_twice(run):
    """A counter that began anew: other content under an id that somebody has seen."""
    run.seen[0].messages[2] = (31, 3, "old", time_of(3))


def counter_goes_back(run):
    """What is sent after an acknowledgement gets a lower id."""
    run.sent[8].attempts[0].id, run.sent[9].attempts[0].id = 10, 9
    run.rows[8].marker, run.rows[9].marker = "m10", "m9"
    for seen in run.seen:
        seen.messages[8] = (91, 9, "m10", time_of(9))
        seen.messages[9] = (101, 10, "m9", time_of(10))


def times_go_back(run):
    run.rows[6].created_at = time_of(1)
    for seen in run.seen:
        seen.messages[6] = (71, 7, "m7", time_of(1))


def told_another_id(run):
    run.sent[2].attempts[0].id = 8


def refused_but_stored(run):
    run.sent[2].attempts = [Attempt(30, 31, 0, REFUSED)]


def nobody_sent_it(run):
    run.sent.pop(3)


def seen_but_nowhere(run):
    run.seen[0].messages.append((300, 11, "ghost", time_of(11)))


def history_lacks_one(run):
    del run.histories["gateway-0", "lobby"][2]


def history_repeats(run):
    run.histories["gateway-0", "lobby"].append(run.rows[-1])


def history_differs(run):
    run.histories["gateway-0", "lobby"][2] = Row(3, "lobby", "other", time_of(3))


def false_reset(run):
    run.seen[0].resets.append((10, 10))


@pytest.mark.parametrize("plant, kind", [
    (acked_but_nowhere, "lost"), (missed_by_one, "lost"), (missed_at_the_end, "lost"),
    (received_twice, "doubled"), (repeated_at_a_resume, "reordered"), (stored_twice, "doubled"),
    (received_in_another_order, "reordered"), (counter_goes_back, "reordered"),
    (times_go_back, "reordered"), (given_twice, "disagree"), (told_another_id, "untrue"),
    (refused_but_stored, "untrue"), (nobody_sent_it, "untrue"), (seen_but_nowhere, "ghost"),
    (history_lacks_one, "disagree"), (history_repeats, "reordered"),
    (history_differs, "disagree"), (false_reset, "untrue")])
def test_planted_fault(plant, kind):
    run = good_run()
    plant(run)
    assert kind in kinds(run) and kind in KINDS


def test_what_may_be_stored_may_be_either():
    for outcome in (MAYBE, CUT):
        run = good_run()
        run.sent[2].attempts = [Attempt(30, 31, 0, outcome)]
        assert not kinds(run)
        drop(run, 3)
        assert not kinds(run)


def test_allowance_excuses_only_what_it_covers():
    run = good_run()
    drop(run, 9)
    run.seen[0].messages.insert(8, (91, 9, "m9", time_of(9)))  # a viewer saw it before it went
    assert kinds(run) == {"lost", "ghost"}
    run.allowances = [Allowance("failover", floor=8, top=100)]
    verdict = check(run)
    assert verdict.ok and verdict.counts["excused"] == 2
    run.allowances = [Allowance("failover", floor=9, top=100)]
    assert kinds(run) == {"lost", "ghost"}
    run.allowances = [Allowance("failover", floor=0, top=8)]
    assert kinds(run) == {"lost", "ghost"}


def test_what_was_told_as_stored_is_never_excused():
    run = good_run()
    drop(run, 5)
    run.allowances = [Allowance("everything", floor=0, top=1000)]
    assert kinds(run) == {"lost"}


def test_reset_is_for_a_file_that_was_set_back():
    run = good_run()
    run.seen[0].resets.append((10, 10))
    run.seen[0].messages += run.seen[0].messages[5:]
    run.allowances = [Allowance("failover", floor=0, top=1000)]
    assert kinds(run) == {"untrue", "reordered", "doubled"}
    run.set_back = 10
    assert kinds(run) == {"untrue", "reordered", "doubled"}
    run.set_back = 9
    assert not kinds(run)


def test_times_above_their_targets():
    def judged(target, value):
        fault = Fault(None, "", target={"post": target})
        return tuple(map(len, over_target(fault, {"post": value})))
    assert judged(0.0, 0.2) == (0, 0) and judged(5.0, 6.4) == (0, 0)
    assert judged(0.0, 0.4) == (1, 0) and judged(5.0, 7.0) == (1, 0)
    assert judged(0.0, 1.1) == (0, 1) and judged(5.0, 7.5) == (0, 1)
    assert judged(0.0, None) == (0, 1)


def test_gap_that_was_told_is_not_lost():
    run = good_run()
    del run.seen[1].messages[2:5]
    assert kinds(run) == {"lost"}
    run.seen[1].gaps.append((2, 6))
    assert not kinds(run)
    run.seen[1].gaps = [(2, 5)]
    assert kinds(run) == {"lost"}


def test_retry_under_another_id():
    """The first one is void by a failover; then two acknowledgements are no fault."""
    run = good_run()
    run.sent[9].attempts.insert(0, Attempt(99, 99.5, 1, ACKED, 60))
    assert kinds(run) == {"untrue"}
    run.allowances = [Allowance("failover", floor=10, top=100)]
    assert not kinds(run)


def test_pauses():
    assert longest_pause([1, 2, 7, 9], 0, 10) == 5
    assert longest_pause([], 3, 10) == 7
    assert longest_pause([1, 20], 5, 10) == 5
    assert first_after([1, 5, 9], 6) == 3 and first_after([1], 2) is None
