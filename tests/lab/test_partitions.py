"""Peers that are cut off from each other, in both directions or in one, once or again and again: M3, N1, N3, N4, L3."""

from __future__ import annotations

import random
import time

import pytest

from tests.cluster.test_peers_of_processes import finish_targets, start_targets
from tests.lab.netlab import Lab
from tests.support.members import Members
from tests.support.polling import poll_until

pytestmark = [pytest.mark.cluster, pytest.mark.lab]


@pytest.mark.parametrize("cut", ["both ways", "h1 to h2", "h2 to h1"])
def test_N1_a_partition_is_noticed_on_both_sides_after_3_to_5_ticks(lab: Lab, members: Members, cut: str) -> None:
    tick = 1.0
    b = members.start("b", host="h2", tick_seconds=tick)
    a = members.start("a", host="h1", tick_seconds=tick)
    c = members.start("c", host="h3", tick_seconds=tick)
    for member in (a, c):
        assert member.call("peer", location=b.location) == 0
    members.await_peers(b, a, c)
    # Wherever the ticks of the two stand.
    time.sleep(random.uniform(0, tick))
    if cut == "both ways":
        lab.partition(["h1"], ["h2"])
    else:
        source, target = cut.split(" to ")
        lab.partition([source], [target], oneway=True)
    began = time.monotonic()
    for who, peer in ((a, b), (b, a)):
        poll_until(lambda who=who, peer=peer: members.offline_at(who, peer), 20)  # type: ignore[misc]
    took = [members.offline_at(a, b, began), members.offline_at(b, a, began)]
    print(f"{cut}: noticed after {took} ticks of {tick} s; {members.losses()}")
    # Who still hears counts from the last answer, as the other one does from what it heard last, which resets.
    assert all(seconds is not None and 3 * tick <= seconds <= 5 * tick for seconds in took)
    # The other one hears well.
    assert c.call("peers") == ["b"]
    members.check()


@pytest.mark.parametrize("cut", ["both ways", "h1 to h2", "h2 to h1"])
def test_L3_M3_two_that_were_cut_off_are_together_again_by_themselves_and_references_are_to_be_obtained_anew(
    lab: Lab, members: Members, cut: str
) -> None:
    # One dials the other once: nobody is told to come back to it, nor looks for anybody. They try for four ticks.
    b = members.start("b", host="h2", tick_seconds=1.0, connect_timeout_seconds=1.0)
    a = members.start("a", host="h1", tick_seconds=1.0, connect_timeout_seconds=1.0)
    assert a.call("peer", location=b.location) == 0
    both = ((a, b), (b, a))
    for member in (a, b):
        member.call("receiver", who=f"{member.node}/r")
    for here, there in both:
        assert here.call("use", who=f"{here.node}/u", to=f"{there.node}/r", location=there.location, n=0) == [0, 1]
    hosts = (["h2"], ["h1"]) if cut == "h2 to h1" else (["h1"], ["h2"])
    lab.partition(*hosts, oneway=cut != "both ways")
    for here, there in both:
        poll_until(lambda here=here, there=there: members.offline_at(here, there), 20)  # type: ignore[misc]
    lab.heal()
    for here, there in both:
        members.await_peers(here, there)
    for here, there in both:
        to = {"who": f"{here.node}/u", "to": f"{there.node}/r", "location": there.location}
        assert here.call("use", **to, n=2) == [-1, 0]
        assert here.call("use", **to, n=4, anew=True) == [0, 1]
        members.await_last(there, {to["who"]: {to["to"]: 5}})
        assert members.told(here, there) == ["online", "offline", "online"]
    members.check()


@pytest.mark.parametrize(
    "rounds",
    [pytest.param(6, marks=pytest.mark.short), pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(180)])],
)
def test_N3_where_a_partition_flaps_peers_come_and_go_by_turns(lab: Lab, members: Members, rounds: int) -> None:
    b = members.start("b", host="h2", tick_seconds=0.1, connect_timeout_seconds=0.5)
    a = members.start("a", host="h1", peers=[b], tick_seconds=0.1, connect_timeout_seconds=0.5)
    for number in range(rounds):
        poll_until(lambda: a.call("peers") and b.call("peers"), 30, "they are together")
        oneway = number % 3 > 0
        hosts = (["h1"], ["h2"]) if number % 3 < 2 else (["h2"], ["h1"])
        lab.partition(*hosts, oneway=oneway)
        poll_until(lambda: not a.call("peers") or not b.call("peers"), 30, "one lost the other")
        lab.heal()
    poll_until(lambda: a.call("peers") and b.call("peers"), 30, "they are together")
    members.check()
    told = members.told(a, b)
    print(f"{rounds} partitions, {told.count('offline')} losses")
    assert told.count("offline") >= rounds / 2


def test_N4_where_a_partition_comes_while_200_coroutines_end_each_is_heard_of_once_and_no_more_after_it_heals(
    lab: Lab, members: Members
) -> None:
    b = members.start("b", host="h2", tick_seconds=0.25)
    watching = [
        members.start(node, host=host, peers=[b], tick_seconds=0.25) for node, host in (("a", "h1"), ("c", "h3"))
    ]
    targets = start_targets(b, watching)
    for member in (*watching, b):
        member.call("go")
    poll_until(lambda: watching[0].call("count", who="a/m") > 40, what="some are over")
    lab.partition(["h2"], ["h1", "h3"])
    for member in watching:
        poll_until(lambda member=member: not member.call("peers"))  # type: ignore[misc]
    lab.heal()
    finish_targets(members, b, watching, targets, "partition")
