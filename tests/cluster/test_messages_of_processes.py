"""Messages between processes whose connections break, or that stand still: M1, M2, M3, M6, M9, B1, B3, B5.

What was promised is judged by the history that the processes write.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from greencoro.distributed.location import Location
from tests.distributed.certificates import Made
from tests.distributed.forwarder import Forwarder
from tests.support.members import TICK, MemberProcess, Members
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

MIB = 1 << 20


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    made = Members(tmp_path)
    yield made
    made.end()


def start_many(a: MemberProcess, b: MemberProcess, senders: int, **how: object) -> list[str]:
    """So many senders at ``a``, each to the two receivers at ``b``."""
    receivers = ["b/1", "b/2"]
    for receiver in receivers:
        b.call("receiver", who=receiver)
    names = [f"a/{number}" for number in range(senders)]
    for name in names:
        a.call("sender", who=name, to=dict.fromkeys(receivers, b.location), **how)
    return names


def finish_many(members: Members, a: MemberProcess, b: MemberProcess, names: list[str], seconds: float) -> None:
    """Wait until all has arrived that will."""
    sent = {name: a.call("value", within=seconds, who=name, timeout=seconds) for name in names}
    members.await_last(b, sent)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(300, marks=pytest.mark.short),
        pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
)
def test_M1_M2_8_senders_to_2_receivers_messages_of_0_B_to_1_MiB_send_and_deliver_mixed(
    members: Members, count: int
) -> None:
    a, b = members.start("a"), members.start("b")
    names = start_many(a, b, 8, count=count, largest=MIB, delivers=0.1)
    finish_many(members, a, b, names, 240)
    events = members.check()
    assert len([event for event in events if event["ev"] == "recv"]) == 8 * 2 * (count + 1)
    assert not members.losses()


@pytest.mark.parametrize(
    "rounds",
    [pytest.param(10, marks=pytest.mark.short), pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(180)])],
)
def test_M3_where_peers_are_lost_under_load_gaps_lie_only_where_the_sender_was_told_of_a_loss(
    members: Members, rounds: int
) -> None:
    b = members.start("b", tick_seconds=0.1)
    # It connects again after a tick.
    a = members.start("a", peers=[b], tick_seconds=0.1)
    names = start_many(a, b, 4, count=rounds * 80, largest=100_000, delivers=0.2, pause=0.005)
    losses = 0
    for _ in range(rounds):
        members.await_peers(a, b)
        before = b.call("count", who="b/1")
        poll_until(lambda before=before: b.call("count", who="b/1") > before + 20, what="messages flow")  # type: ignore[misc]
        losses += a.call("lose")
    a.call("enough")
    finish_many(members, a, b, names, 120)
    events = members.check()
    arrived = {(event["who"], event["from"], event["n"]) for event in events if event["ev"] == "recv"}
    sent = {(e["to"], e["who"], e["n"]) for e in events if e["ev"] == "send" and e["res"] == 0}
    told = [event["dropped"] for event in events if event["ev"] == "peer" and event["who"] == "a"]
    print(f"{losses} losses, {len(members.losses())} told of")
    print(f"{len(sent - arrived)} of {len(sent)} sent were lost, {sum(told)} told of")
    assert losses >= rounds


def some_flow(member: MemberProcess, who: str) -> None:
    """Wait until it has received some more."""
    before = member.call("count", who=who)
    poll_until(lambda: member.call("count", who=who) > before + 10, what="messages flow")


@pytest.mark.parametrize(
    "resets",
    [pytest.param(10, marks=pytest.mark.short), pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(180)])],
)
@pytest.mark.parametrize("way", ["tcp", "tls"])
def test_M4_connections_that_are_reset_under_load_lose_nothing_repeat_nothing_and_nobody_is_told(
    members: Members, tmp_path: Path, way: str, resets: int
) -> None:
    made = Made(tmp_path) if way == "tls" else None
    secured = {"certfile": str(made.certfile), "keyfile": str(made.keyfile)} if made is not None else {}
    # Where they say to be nobody listens, so the forwarder is the only way, and one side alone can dial.
    b = members.start("b", parameters={"ext_ip_addr": "127.0.0.8"} | secured)
    between = Forwarder(Location("127.0.0.1", Location.parse(b.location).port))
    try:
        a = members.start("a", parameters={"ext_ip_addr": "127.0.0.9", "peers": [str(between.location)]} | secured)
        members.await_peers(a, b)
        members.await_peers(b, a)
        names = start_many(a, b, 4, count=resets * 80, largest=100_000, delivers=0.2, pause=0.005)
        # And back, with a monitor on each of what is there.
        a.call("receiver", who="a/back")
        b.call("sender", who="b/back", to={"a/back": a.location}, count=resets * 80, largest=10_000, pause=0.005)
        b.call("targets", names=["b/t1", "b/t2"], reasons=["value", "exception"], seconds=0.0)
        a.call("monitor", who="a/m", to=dict.fromkeys(("b/t1", "b/t2"), b.location))
        poll_until(lambda: a.call("is_registered", who="a/m"))
        some_flow(a, "a/back")
        for _ in range(resets):
            some_flow(b, "b/1")
            between.reset()
        a.call("enough"), b.call("enough")
        assert not [event for event in members.history() if event["ev"] == "down"], "nothing is over"
        b.call("go")
        finish_many(members, a, b, names, 120)
        members.await_last(a, {"b/back": b.call("value", within=120, who="b/back", timeout=120)})
        poll_until(lambda: a.call("count", who="a/m") >= 2)
        events = members.check()
    finally:
        between.close()
    assert between.taken > resets
    assert not members.losses()
    arrived = {(event["who"], event["from"], event["n"]) for event in events if event["ev"] == "recv"}
    accepted = {
        (e["to"], e["who"], e["n"])
        for e in events
        if e["ev"] in ("send", "deliver") and e["res"] == (e["ev"] != "send")
    }
    assert accepted and not accepted - arrived
    assert [event["reason"] for event in events if event["ev"] == "down"].count("lost") == 0
    print(f"{between.taken} connections for {resets} resets")


def still(member: MemberProcess, state: str) -> bool:
    """Is it in this state a moment later?"""
    time.sleep(0.05)
    return bool(member.call(state))


def test_M6_what_a_stopped_receivers_process_has_not_been_sent_when_its_deliver_gives_up_never_arrives(
    members: Members,
) -> None:
    # So long that nobody is lost.
    a, b = members.start("a", tick_seconds=20.0), members.start("b", tick_seconds=20.0)
    for receiver in ("b/bulk", "b/1"):
        b.call("receiver", who=receiver)
    a.call("delivers", who="a/first", to="b/1", location=b.location, count=1, timeout=10)
    a.call("value", who="a/first", timeout=20)
    # More than the buffers between them hold.
    a.call("bulk_sender", who="a/bulk", to="b/bulk", location=b.location, count=40, size=MIB, late=True)
    b.stop()
    a.call("go")
    # The kernels make more room a few times, so what holds for one look may not hold for the next.
    poll_until(lambda: all(still(a, "blocked") for _ in range(20)), 40, "the connection takes no more")
    a.call("delivers", who="a/late", to="b/1", location=b.location, count=20, timeout=0.3)
    assert a.call("value", who="a/late", timeout=20) == [0] * 20
    b.go_on()
    a.call("delivers", who="a/last", to="b/1", location=b.location, count=1, timeout=20)
    assert a.call("value", who="a/last", timeout=30) == [1]
    assert a.call("value", who="a/bulk", timeout=50) == 40
    members.await_last(b, {"a/bulk": {"b/bulk": 39}})
    events = members.check()
    assert [event["from"] for event in events if event["ev"] == "recv" and event["who"] == "b/1"] == [
        "a/first-0",
        "a/last-0",
    ]


def test_M9_a_ping_waits_neither_for_100_deliveries_to_a_stopped_peer_nor_for_one_who_does_not_read(
    members: Members,
) -> None:
    a = members.start("a", tick_seconds=20.0, max_queue_messages=1000, send_timeout_seconds=300)
    b = members.start("b", tick_seconds=20.0, max_queue_messages=1000)
    dead = members.start("dead", tick_seconds=20.0)
    dead.call("receiver", who="dead/1")
    b.call("receiver", who="b/late", late=True)
    b.call("echo", who="b/echo")
    a.call("delivers", who="a/first", to="dead/1", location=dead.location, count=1, timeout=10)
    assert a.call("value", who="a/first", timeout=20) == [1]
    dead.stop()
    a.call("delivers", who="a/waiting", to="dead/1", location=dead.location, count=100, timeout=50)
    a.call("sender", who="a/blocked", to={"b/late": b.location}, count=2000)

    sent = lambda: sum(event["who"] == "a/blocked" for event in members.history())  # noqa: E731
    poll_until(lambda: sent() >= 1000, 20, "who does not read has been sent as much as it may be")
    # One after another, so that a machine that stands still for a moment makes one of them slow.
    times = sorted(a.call("ping", to="b/echo", location=b.location, count=2500))
    p99 = times[len(times) * 99 // 100]
    print(f"median {times[1250] * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms, worst {times[-1] * 1000:.2f} ms")
    assert p99 < 0.1
    assert not any(a.call("is_over", who=who) for who in ("a/waiting", "a/blocked")), "they waited all the time"
    dead.go_on()
    assert a.call("value", who="a/waiting", timeout=60) == [1] * 100
    b.call("go")
    members.await_last(b, {"a/blocked": a.call("value", who="a/blocked", timeout=50)})
    members.check()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_B1_B2_2_GiB_for_one_who_does_not_read_take_no_more_than_twice_the_limit_and_what_was_accepted_arrives(
    members: Members,
) -> None:
    limit = 64 * MIB
    a, b = members.start("a", send_timeout_seconds=0.005), members.start("b")
    b.call("receiver", who="b/late", late=True)
    a.call("delivers", who="a/first", to="b/late", location=b.location, count=1, timeout=10)
    a.call("value", who="a/first", timeout=20)
    before = a.call("rss"), b.call("rss")
    # Each of 1 MiB.
    a.call("bulk_sender", who="a/bulk", to="b/late", location=b.location, count=2048, size=MIB)
    highest = [0, 0]
    while not a.call("is_over", who="a/bulk"):
        highest = [max(high, member.call("rss")) for high, member in zip(highest, (a, b), strict=True)]
    accepted = a.call("value", who="a/bulk", timeout=10)
    grown = [high - low for high, low in zip(highest, before, strict=True)]
    print(f"{accepted} of 2048 messages of 1 MiB accepted; RSS grew by {[size // MIB for size in grown]} MiB")
    assert accepted >= 32
    assert max(grown) < 2 * limit
    b.call("go")
    poll_until(lambda: b.call("count", who="b/late") == accepted + 1, 30)
    members.check()
    assert not members.losses()


@pytest.mark.parametrize(
    "seconds", [pytest.param(2.0, marks=pytest.mark.short), pytest.param(10.0, marks=[pytest.mark.slow])]
)
def test_B3_two_that_flood_each_other_drain_once_they_stop_and_nobody_is_lost(members: Members, seconds: float) -> None:
    a, b = (members.start(node, max_queue_messages=100, send_timeout_seconds=0.1) for node in ("a", "b"))
    a.ask("flooder", who="a/back", to="b/1", location=b.location, seconds=seconds)
    b.ask("flooder", who="b/1", to="a/back", location=a.location, seconds=seconds)
    a.answer(10), b.answer(10)
    last = {
        "a/back": {"b/1": a.call("value", who="a/back", timeout=60)},
        "b/1": {"a/back": b.call("value", who="b/1", timeout=60)},
    }
    for receiver, sender in ((b, "a/back"), (a, "b/1")):
        members.await_last(receiver, {sender: last[sender]})
    events = members.check()
    assert not members.losses()
    refused = sum(event["ev"] == "send" and event["res"] == -1 for event in events)
    print(f"{a.call('count', who='a/1')} and {b.call('count', who='b/1')} messages, {refused} refused")


def test_B5_a_stopped_peer_with_full_buffers_is_lost_in_time_and_the_buffers_are_freed(members: Members) -> None:
    a, b = members.start("a"), members.start("b")
    b.call("receiver", who="b/late", late=True)
    a.call("delivers", who="a/first", to="b/late", location=b.location, count=1, timeout=10)
    a.call("value", who="a/first", timeout=20)
    before = a.call("rss")
    a.call("bulk_sender", who="a/bulk", to="b/late", location=b.location, count=100, size=MIB, late=True)
    b.stop()
    began = time.monotonic()
    a.call("go")
    poll_until(lambda: a.call("rss") > before + 32 * MIB, 4 * TICK, "its buffers are full")
    poll_until(lambda: members.offline_at(a, b), 20)
    took = members.offline_at(a, b, began)
    assert took is not None
    print(f"lost after {took / TICK:.1f} ticks")
    assert 3 * TICK <= took < 5 * TICK + 5
    poll_until(lambda: a.call("rss", trimmed=True) < before + 16 * MIB, what="its memory is back")
    members.kill(b)
    members.check()
