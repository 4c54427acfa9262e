"""Processes that die, stand still or lose their connections under the eyes of their peers: N1, N3, N4, L1."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.members import MemberProcess, Members
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

REASONS = ["value", "cannot travel", "exception", "terminated", "terminated from afar"]


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    made = Members(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_N1_a_process_that_dies_is_noticed_by_all_its_peers_within_a_second(members: Members, number: int) -> None:
    b = members.start("b")
    others = [members.start(node, peers=[b]) for node in ("a", "c", "d")]
    for other in others:
        members.await_peers(other, b)
    began = time.monotonic()
    b.process.send_signal(number)
    for other in others:
        poll_until(lambda other=other: members.offline_at(other, b))  # type: ignore[misc]
    took = [members.offline_at(other, b, began) for other in others]
    print(f"noticed after {took} s")
    assert all(seconds is not None and seconds < 1.0 for seconds in took)
    members.check()


def test_N3_where_they_are_lost_again_and_again_peers_come_and_go_by_turns(members: Members) -> None:
    b = members.start("b", tick_seconds=0.1)
    others = [members.start(node, peers=[b], tick_seconds=0.1) for node in ("a", "c")]
    for cuts in range(31):
        due = ["online", *["offline", "online"] * cuts]
        poll_until(lambda due=due: [members.told(other, b) for other in others] == [due, due])  # type: ignore[misc]
        members.await_peers(b, *others)
        b.call("lose")
    members.check()


@pytest.mark.parametrize("fault", ["none", "reset", "stopped", "killed"])
def test_N4_of_200_coroutines_that_end_in_five_ways_each_is_heard_of_once_whatever_happens_to_their_process(
    members: Members, fault: str
) -> None:
    b = members.start("b", tick_seconds=0.25)
    watching = [members.start(node, peers=[b], tick_seconds=0.25) for node in ("a", "c")]
    targets = start_targets(b, watching)
    for member in (*watching, b):
        member.call("go")
    poll_until(lambda: watching[0].call("count", who="a/m") > 40, what="some are over")
    if fault == "reset":
        b.call("cut")
    elif fault == "stopped":
        b.stop()
        for member in watching:
            poll_until(lambda member=member: not member.call("peers"))  # type: ignore[misc]
        b.go_on()
    elif fault == "killed":
        members.kill(b)
    finish_targets(members, b, watching, targets, fault)


def start_targets(b: MemberProcess, watching: list[MemberProcess]) -> list[str]:
    """200 coroutines at ``b``, monitored by each of the others; all end in the second after `go`, which all need."""
    targets = [f"b/{number}" for number in range(200)]
    b.call("targets", names=targets, reasons=REASONS * 40, seconds=1.0)
    there = dict.fromkeys(targets, b.location)
    for member in watching:
        member.call("monitor", who=f"{member.node}/m", to=there)
    for member in watching:
        poll_until(lambda member=member: member.call("is_registered", who=f"{member.node}/m"))  # type: ignore[misc]
    afar = {name: b.location for name, reason in zip(targets, REASONS * 40, strict=True) if reason == REASONS[4]}
    watching[0].call("terminator", who="a/t", to=afar, seconds=1.0)
    return targets


def finish_targets(
    members: Members, b: MemberProcess, watching: list[MemberProcess], targets: list[str], fault: str
) -> None:
    """Wait for all notices, have more come over the same link, and check that there was one of each."""
    for member in watching:
        poll_until(lambda member=member: member.call("count", who=f"{member.node}/m") >= len(targets), 30)  # type: ignore[misc]
    if fault != "killed":
        for member in watching:
            # Behind whatever might still be on its way from there.
            members.await_peers(member, b)
            b.call("sender", who=f"b/to-{member.node}", to={f"{member.node}/m": member.location}, count=3)
            sent = b.call("value", who=f"b/to-{member.node}", timeout=30)
            members.await_last(member, {f"b/to-{member.node}": sent})
    events = members.check()
    reasons = [event["reason"] for event in events if event["ev"] == "down"]
    counts = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    print(f"{fault}: {counts}")
    assert len(reasons) == len(watching) * len(targets)
    assert set(counts) - {"lost"} == {"finished", "exception", "terminated"}
    # A connection that is reset is gone on with (M4).
    assert ("lost" in counts) == (fault in ("stopped", "killed", "partition"))


def test_L1_after_the_owner_of_a_name_was_killed_the_one_in_its_place_is_found_and_never_the_old_one(
    members: Members,
) -> None:
    a = members.start("a")
    for node in ("b1", "b2", "b3"):
        b = members.start(node, peers=[a])
        b.call("receiver", who="the owner")
        assert a.call("locate", name="the owner", timeout=20) == b.incarnation
        members.kill(b)
        poll_until(lambda: not a.call("peers"))
        began = time.monotonic()
        assert a.call("locate", name="the owner", timeout=0.2) is None
        assert time.monotonic() - began < 5
    # One who waits finds the one that comes.
    a.ask("locate", name="the owner", timeout=30)
    b = members.start("b4", peers=[a])
    b.call("receiver", who="the owner")
    assert a.answer(30) == b.incarnation
    members.check()
