"""Connections that the user hub serves, between processes, under everything at once: M1, M2, M3, M6, M9, N2."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.peer_process import BUSY_TICK
from tests.support.members import TICK, MemberProcess, Members
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

#: How long a sender rests after each message: so long that connections are the hub's, and a reset finds some under way.
_PAUSE = 0.002


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    made = Members(tmp_path)
    yield made
    made.end()


def receivers(member: MemberProcess) -> None:
    member.call("receiver", who=f"{member.node}/r")
    member.call("answerer", who=f"{member.node}/answers")
    member.call("echo", who=f"{member.node}/echo")


def senders(member: MemberProcess, other: MemberProcess, seconds: float) -> list[str]:
    names = [f"{member.node}/{number}" for number in range(3)]
    count = int(seconds * 270)
    for name in names:
        how = {"count": count, "largest": 50_000, "delivers": 0.2, "pause": _PAUSE}
        member.call("sender", who=name, to={f"{other.node}/r": other.location}, **how)
    calls = {"to": f"{other.node}/answers", "location": other.location, "count": count}
    member.call("caller", who=f"{member.node}/calls", **calls)
    member.call("computer", who=f"{member.node}/computes", count=int(seconds / 0.5), seconds=0.1)
    return names


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(4.0, marks=pytest.mark.short),
        pytest.param(15.0, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
)
def test_M1_M2_M3_messages_and_calls_both_ways_while_connections_are_reset_and_coroutines_compute(
    members: Members, seconds: float
) -> None:
    a = members.start("a", tick_seconds=0.1)
    b = members.start("b", peers=[a], tick_seconds=0.1)
    members.await_peers(a, b)
    sides = (a, b), (b, a)
    for member, _ in sides:
        receivers(member)
    names = {member.node: senders(member, other, seconds) for member, other in sides}
    resets, served, turn = 0, 0, 0
    until = time.monotonic() + 6 * seconds
    while not all(member.call("is_over", who=name) for member, _ in sides for name in names[member.node]):
        assert time.monotonic() < until, f"a sender is stuck:\n{a.errors()}\n{b.errors()}"
        time.sleep(0.3)
        served = max(served, a.call("hub_served"), b.call("hub_served"))
        resets += sides[turn % 2][0].call("reset")
        turn += 1
    for member, other in sides:
        sent = {name: member.call("value", within=90, who=name, timeout=80) for name in names[member.node]}
        members.await_last(other, sent)
        assert member.call("value", within=90, who=f"{member.node}/calls", timeout=80) > seconds
        assert len(member.call("ping", to=f"{other.node}/echo", location=other.location, count=100)) == 100
    members.check()
    assert resets >= seconds and served
    for member, _ in sides:
        assert member.process.poll() is None
        assert "Traceback" not in member.errors() and "bug" not in member.errors(), member.errors()
    print(f"{resets} resets, {len(members.losses())} losses told of")


@pytest.fixture
def busy_pair(members: Members, request: pytest.FixtureRequest) -> tuple[MemberProcess, MemberProcess]:
    """Two members whose connection the hub serves on both sides, for a minute or so; with a tick as asked for."""
    tick = getattr(request, "param", TICK)
    a = members.start("a", tick_seconds=tick)
    b = members.start("b", peers=[a], tick_seconds=tick)
    members.await_peers(a, b)
    for member in (a, b):
        member.call("receiver", who=f"{member.node}/r")
    for member, other in ((a, b), (b, a)):
        how = {"count": 30_000, "largest": 100, "delivers": 0.0, "pause": _PAUSE}
        member.call("sender", who=f"{member.node}/s", to={f"{other.node}/r": other.location}, **how)
    poll_until(lambda: a.call("hub_served") and b.call("hub_served"), 20, "the hub serves both ends")
    return a, b


def test_N1_a_peer_that_stops_while_the_hub_serves_its_connection_is_noticed_after_3_to_5_ticks(
    members: Members, busy_pair: tuple[MemberProcess, MemberProcess]
) -> None:
    a, b = busy_pair
    began = time.monotonic()
    b.stop()
    poll_until(lambda: members.offline_at(a, b), 5 * TICK + 20, "it is noticed", interval=0.05)
    took = members.offline_at(a, b)
    assert took is not None
    print(f"noticed after {(took - began) / TICK:.1f} ticks")
    # Some seconds for a machine that does other things as well.
    assert 3 * TICK <= took - began < 5 * TICK + 5
    assert "nothing was heard" in members.losses()[0]


def test_N1_a_peer_that_is_killed_while_the_hub_serves_its_connection_is_noticed_at_once(
    members: Members, busy_pair: tuple[MemberProcess, MemberProcess]
) -> None:
    a, b = busy_pair
    members.kill(b)
    poll_until(lambda: members.offline_at(a, b), 20, "it is noticed", interval=0.05)
    assert "nothing was heard" not in members.losses()[0]
    poll_until(lambda: not a.call("hub_served"), what="the hub serves it no more")
    members.check()


@pytest.mark.parametrize("busy_pair", [BUSY_TICK], indirect=True)
def test_N2_a_process_whose_hub_computes_answers_for_the_connection_that_the_hub_served(
    members: Members, busy_pair: tuple[MemberProcess, MemberProcess]
) -> None:
    a, b = busy_pair
    a.call("echo", who="a/echo")
    # Forty ticks; a silent peer is given up after four.
    b.call("computer", who="b/computes", count=1, seconds=10 * 4 * BUSY_TICK)
    # Only then the hub turns again.
    assert len(b.call("ping", to="a/echo", location=a.location, count=100)) == 100
    assert not members.losses()
