"""Histories of processes that break a promise, each found by the checker; and some that look odd and break none."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.support.history import Event
from tests.support.process_history import HistoryFile, read_histories, violations_between

S, R, M, T = "a/s", "b/r", "a/m", "b/t"


def at(who: str, ev: str, **fields: Any) -> Event:
    return {"who": who, "ev": ev, **fields}


def send(n: int, res: int | None = 0) -> Event:
    return at(S, "send", to=R, n=n, res=res)


def deliver(n: int, res: int | None = 1) -> Event:
    return at(S, "deliver", to=R, n=n, res=res)


def got(n: int) -> Event:
    return {**at(R, "recv", n=n), "from": S}


def peer(status: str, inc: str = "1", who: str = "a", other: str = "b", dropped: int = 1) -> Event:
    return at(who, "peer", peer=other, inc=inc, status=status, dropped=dropped if status == "offline" else 0)


def monitored(res: int = 0) -> Event:
    return at(M, "monitor", target=T, res=res)


def down(reason: str) -> Event:
    return at(M, "down", target=T, reason=reason)


def over(reason: str) -> Event:
    return at(T, "over", reason=reason)


def sent_by_target(n: int) -> list[Event]:
    return [at(T, "send", to=M, n=n, res=0), {**at(M, "recv", n=n), "from": T}]


UP, DOWN = peer("online"), peer("offline")
WITHDRAWN = at(S, "withdrawn", to=R, n=1)


def killed(node: str) -> Event:
    return at(node, "killed")


def timed(events: list[Event]) -> list[Event]:
    return [{"t": float(number), **event} for number, event in enumerate(events, 1)]


@pytest.mark.parametrize(
    ("events", "violation"),
    [
        ([send(1), send(2), got(2), got(1)], "M1: b/r received 1 of a/s after 2"),
        ([send(1), got(1), got(1)], "M2: b/r received 1 of a/s twice"),
        ([got(1)], "M2: b/r received 1 of a/s, which was never sent there"),
        ([killed("b"), got(1)], "M2: b/r received 1 of a/s, which was never sent there"),
        ([send(1, 3), got(1)], "M5: send of 1 by a/s to b/r returned 3, which means nothing"),
        ([send(1, -1), got(1)], "M5: send of 1 by a/s to b/r returned -1, and it was received"),
        ([deliver(1)], "M6: deliver of 1 by a/s to b/r returned 1, and it was never received"),
        ([deliver(1, 0), WITHDRAWN, got(1)], "M6: b/r received 1 of a/s, which was withdrawn"),
        ([got(1), deliver(1, 0), WITHDRAWN], "M6: b/r received 1 of a/s, which was withdrawn"),
        ([deliver(1), UP, DOWN], "M6: deliver of 1 by a/s to b/r returned 1, and it was never received"),
        ([send(1)], "M3: b/r never received 1 of a/s, whose process was told of no loss"),
        ([UP, DOWN, UP, send(1)], "M3: b/r never received 1 of a/s, whose process was told of no loss"),
        (
            [peer("online", "2", "b", "a"), send(1), peer("offline", "2", "b", "a")],
            "M3: b/r never received 1 of a/s, whose process was told of no loss",
        ),
        (
            [send(1), send(2), got(2)],
            "M3: b/r received later messages of a/s and not 1, with no loss between",
        ),
        (
            [UP, send(1), send(2), DOWN, got(2)],
            "M3: b/r received later messages of a/s and not 1, with no loss between",
        ),
        (
            [UP, send(1), deliver(2), got(2), DOWN],
            "M3: b/r received later messages of a/s and not 1, with no loss between",
        ),
        (
            [UP, DOWN, UP, send(1), send(2), got(2), killed("a"), killed("b")],
            "M3: b/r received later messages of a/s and not 1, with no loss between",
        ),
        (
            [UP, send(1, -1), send(2), DOWN, UP, send(3), got(3)],
            "M3: b/r received later messages of a/s and not 2, and no call said so",
        ),
        (
            [UP, send(1), DOWN, UP, deliver(2), got(2), send(3, -1)],
            "M3: b/r received later messages of a/s and not 1, and no call said so",
        ),
        (
            [UP, send(1), send(2), DOWN],
            "M3: a was told that 1 messages to b may be lost, and 2 were",
        ),
        (
            [UP, send(1), send(2), DOWN, UP, send(3, -1), send(4), got(4)],
            "M3: a was told that 1 messages to b may be lost, and 2 were",
        ),
        (
            [UP, send(1), peer("offline", dropped=5), UP, send(2), send(3), DOWN],
            "M3: a was told that 1 messages to b may be lost, and 2 were",
        ),
        (
            [UP, peer("online", "2", other="c"), send(1), send(2), peer("offline", "2", dropped=9, other="c"), DOWN],
            "M3: a was told that 1 messages to b may be lost, and 2 were",
        ),
        ([UP, UP], "N3: a was told twice in a row that b is online"),
        ([DOWN], "N3: a was told twice in a row that b is offline"),
        ([UP, DOWN, peer("online", "2"), DOWN], "N3: a was told twice in a row that b is offline"),
        ([monitored()], "N4: a/m got 0 notices of b/t instead of 1"),
        ([monitored(), killed("b")], "N4: a/m got 0 notices of b/t instead of 1"),
        (
            [monitored(), down("finished"), over("finished"), down("finished")],
            "N4: a/m got 2 notices of b/t instead of 1",
        ),
        (
            [monitored(), UP, down("lost"), DOWN, UP, over("finished"), down("finished"), killed("a")],
            "N4: a/m got 2 notices of b/t instead of 1",
        ),
        ([monitored(-1), over("finished"), down("finished")], "N4: a/m got 1 notices of b/t instead of 0"),
        ([over("finished"), down("finished")], "N4: a/m got 1 notices of b/t instead of 0"),
        (
            [monitored(), down("lost")],
            "N4: a/m was told that b/t is lost, and its process was told of no loss",
        ),
        (
            [monitored(), over("exception"), down("finished")],
            "N4: a/m was told that b/t is over (finished), and it was not so: exception",
        ),
        (
            [monitored(), down("finished")],
            "N4: a/m was told that b/t is over (finished), and it was not so: None",
        ),
        (
            [monitored(), over("finished"), down("finished"), *sent_by_target(1)],
            "N5: a/m received 1 of b/t after the notice of its end",
        ),
        ([deliver(1, 0), {**got(1), "ev": "altered"}], "S3: b/r received 1 of a/s altered"),
    ],
)
def test_a_history_that_breaks_a_promise_is_found(events: list[Event], violation: str) -> None:
    assert violations_between(timed(events)) == [violation]


@pytest.mark.parametrize(
    "events",
    [
        [],
        [UP, send(1), got(1), deliver(2), got(2)],
        [UP, send(1), DOWN, UP, send(2, -1), send(3), got(3)],  # lost with the link
        [UP, send(1), DOWN, UP, deliver(2, 0), send(3), got(3)],
        [UP, send(1), DOWN],
        [UP, send(1), got(1), DOWN],  # read, and not known to have been
        [UP, send(1), send(2), DOWN, UP, DOWN],  # sent on the next link before the loss of the first was heard of
        [UP, send(1), send(2, -1), deliver(3, 0), DOWN],
        [UP, send(1), send(2), DOWN, killed("b")],  # it had no time to record what it read
        [send(1), killed("b")],
        [send(1), killed("a")],
        [killed("a"), got(1)],  # it had no time to record the call
        [deliver(1), killed("b")],
        [deliver(1, 0)],
        [deliver(1, 0), got(1)],  # not confirmed
        [deliver(1, 0), WITHDRAWN, deliver(2), got(2)],
        [send(1, -1), send(2), got(2)],
        [send(1, None), send(2), got(2)],
        [UP, DOWN, peer("online", "2"), peer("offline", "2"), UP],
        [monitored(), monitored(), over("finished"), down("finished")],
        [monitored(-1)],
        [monitored(), killed("a")],
        [monitored(), UP, DOWN, down("lost"), over("exception")],
        [monitored(), killed("b"), down("finished")],  # it had no time to record its end
        [monitored(), *sent_by_target(1), over("finished"), down("finished")],
        [monitored(), UP, DOWN, down("lost"), UP, *sent_by_target(1)],
    ],
)
def test_a_history_that_breaks_no_promise_is_accepted(events: list[Event]) -> None:
    assert violations_between(timed(events)) == []


def test_the_files_of_several_processes_make_one_history_and_a_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    files = [HistoryFile(path) for path in paths]
    for number, file in zip(range(6), itertools.cycle(files), strict=False):
        file.record("a/s", "send", to="b/r", n=number, res=0)
    with paths[0].open("a") as file:
        file.write('{"t": 1')
    assert [event["n"] for event in read_histories(paths)] == list(range(6))
