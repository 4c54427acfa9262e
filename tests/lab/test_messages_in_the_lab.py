"""Messages over a network that loses, repeats, reorders, alters and cuts: M1, M2, M3, M4, M6, B5, S2, S3, S4."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.cluster.test_messages_of_processes import still
from tests.lab.netlab import Lab, captured
from tests.lab.networks import shell, why_no_filter
from tests.support.member import KEY
from tests.support.members import MemberProcess, Members
from tests.support.polling import poll_until

pytestmark = [pytest.mark.cluster, pytest.mark.lab]

MIB = 1 << 20
LARGE = 300 << 10


def start_senders(
    members: Members, senders: int, tick: float = 0.5, **how: object
) -> tuple[MemberProcess, MemberProcess, list[str]]:
    """So many at h1, each to two receivers at h2; they connect again after a loss."""
    b = members.start("b", host="h2", tick_seconds=tick)
    a = members.start("a", host="h1", peers=[b], tick_seconds=tick)
    receivers = ["b/1", "b/2"]
    for receiver in receivers:
        b.call("receiver", who=receiver)
    names = [f"a/{number}" for number in range(senders)]
    for name in names:
        a.call("sender", who=name, to=dict.fromkeys(receivers, b.location), **how)
    return a, b, names


def finish_senders(members: Members, a: MemberProcess, b: MemberProcess, names: list[str]) -> None:
    sent = {name: a.call("value", within=100, who=name, timeout=90) for name in names}
    members.await_last(b, sent)


def lost(events: Iterable[dict[str, object]]) -> int:
    """How many accepted messages did not arrive."""
    arrived = {(event["who"], event["from"], event["n"]) for event in events if event["ev"] == "recv"}
    sent = {(e["to"], e["who"], e["n"]) for e in events if e["ev"] == "send" and e["res"] == 0}
    return len(sent - arrived)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_M1_M2_over_loss_reordering_duplicates_and_jitter_all_arrives_in_order_and_once(
    lab: Lab, members: Members
) -> None:
    lab.netem("h1", loss=0.02, dup=0.02, reorder=0.02, delay=0.02, jitter=0.02)
    # All of up to 1 MiB would be gigabytes, which takes such a network longer than a test may: a few are that large.
    a, b, names = start_senders(members, 8, tick=2.0, count=5000, largest=5000, delivers=0.01)
    a.call("bulk_sender", who="a/bulk", to="b/1", location=b.location, count=3, size=MIB)
    finish_senders(members, a, b, names)
    members.await_last(b, {"a/bulk": {"b/1": 2}})
    events = members.check()
    print(lab.stats()["h1"])
    assert not lost(events) and not members.losses()
    assert min(lab.stats()["h1"][count] for count in ("lost", "duplicated", "reordered")) > 0


_RESET = "nft add rule inet resets in meta l4proto tcp tcp flags \\& syn == 0 counter reject with tcp reset"


@pytest.mark.parametrize(
    "seconds",
    [pytest.param(3, marks=pytest.mark.short), pytest.param(12, marks=[pytest.mark.slow, pytest.mark.timeout(180)])],
)
@pytest.mark.skipif(why_no_filter() is not None, reason=str(why_no_filter()))
def test_M1_M4_where_the_connection_is_reset_every_300_ms_each_receiver_has_all_of_each_sender_in_order(
    lab: Lab, members: Members, seconds: int
) -> None:
    # So long that nobody is lost while a machine that does other things lets a rule stand.
    a, b, names = start_senders(members, 8, tick=2.0, count=seconds * 200, largest=20_000, pause=0.003, delivers=0.05)
    members.await_peers(a, b)
    shell(
        lab, "h2", "nft add table inet resets", "nft add chain inet resets in '{ type filter hook input priority 0; }'"
    )
    resets = 0
    began = time.monotonic()
    for _ in range(seconds * 10 // 3):
        # Whoever knocks meanwhile is let in; what belongs to a connection ends it.
        shell(lab, "h2", _RESET)
        resets += poll_until(lambda: _rejected(lab), 10, "a packet was answered with a reset")
        shell(lab, "h2", "nft flush chain inet resets in")
        time.sleep(max(0.0, 0.3 - (time.monotonic() - began) % 0.3))
    finish_senders(members, a, b, names)
    events = members.check()
    print(f"{resets} packets answered with a reset")
    assert not members.losses() and not lost(events)


def _rejected(lab: Lab) -> int:
    """How many packets the rule has met."""
    return int(shell(lab, "h2", "nft list chain inet resets in").partition("packets ")[2].split()[0])


@pytest.mark.timeout(120)
def test_M4_where_a_peers_answers_wait_behind_its_own_megabytes_for_longer_than_the_time_out_a_reset_loses_nothing(
    lab: Lab, members: Members
) -> None:
    tick, count = 0.5, 8
    time_out = 4.25 * tick
    # Most of what is late waits in its sender's kernel, and is gone with the connection: the next one is not late.
    shell(lab, "h2", f"echo 4096 {5 * MIB} {5 * MIB} > /proc/sys/net/ipv4/tcp_wmem")
    shell(lab, "h1", f"echo 4096 {MIB // 8} {MIB // 4} > /proc/sys/net/ipv4/tcp_rmem")
    b, a = (members.start(node, host=host, tick_seconds=tick) for node, host in (("b", "h2"), ("a", "h1")))
    for receiver, there in (("a/bulk", a), ("a/1", a), ("b/1", b)):
        there.call("receiver", who=receiver)
    b.call("echo", who="b/echo")
    echo = {"to": "b/echo", "location": b.location, "count": 1}
    a.call("ping", **echo)
    senders = ("a/s", "b/1", a, b), ("b/s", "a/1", b, a)
    for who, to, here, there in senders:
        here.call("sender", who=who, to={to: there.location}, count=500, pause=0.02)
    lab.netem("h2", "out", rate=MIB / 4, limit=100_000)
    b.call("bulk_sender", who="b/bulk", to="a/bulk", location=a.location, count=count, size=MIB)
    late = poll_until(lambda: max(0.0, a.call("unanswered") - 1.2 * time_out), 30, "no answer came for so long")
    # Here, and by its own kernel: one on the way would be as late, and by then outside of the connection's window.
    assert a.call("reset") == 1
    # Otherwise the rest takes long.
    lab.netem("h2")
    poll_until(lambda: "peer.broken" in a.errors() or members.losses(), 10, "the connection broke")
    print(f"for {late + 1.2 * time_out:.1f} s no answer came, the time-out is {time_out:.1f} s; {members.losses()}")
    assert a.call("count", who="a/bulk") < count - 1
    for who, _, here, there in senders:
        members.await_last(there, {who: here.call("value", who=who, timeout=50)})
    members.await_last(a, {"b/bulk": {"a/bulk": count - 1}})
    events = members.check()
    assert "peer.resumed" in a.errors()
    assert not members.losses() and not lost(events)


@pytest.mark.parametrize(
    "rounds",
    [pytest.param(1, marks=pytest.mark.short), pytest.param(3, marks=[pytest.mark.slow, pytest.mark.timeout(120)])],
)
def test_M3_what_a_partition_swallows_is_lost_where_its_sender_was_told_of_a_loss_and_nowhere_else(
    lab: Lab, members: Members, rounds: int
) -> None:
    a, b, names = start_senders(members, 4, tick=0.25, count=rounds * 400, largest=20_000, pause=0.01)
    for _ in range(rounds):
        members.await_peers(a, b)
        before = b.call("count", who="b/1")
        poll_until(lambda before=before: b.call("count", who="b/1") > before + 20, what="messages flow")  # type: ignore[misc]
        lab.partition(["h1"], ["h2"])
        for member in (a, b):
            poll_until(lambda member=member: not member.call("peers"), 20)  # type: ignore[misc]
        lab.heal()
    finish_senders(members, a, b, names)
    events = members.check()
    dropped = [event["dropped"] for event in events if event["ev"] == "peer" and event["status"] == "offline"]
    print(f"{lost(events)} messages were lost, told were {dropped}; {members.losses()}")
    assert lost(events)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(300, marks=pytest.mark.short),
        pytest.param(3000, marks=[pytest.mark.slow, pytest.mark.timeout(120)]),
    ],
)
def test_S3_M4_where_an_attacker_alters_frames_under_load_nothing_altered_is_delivered_and_nothing_is_lost(
    lab: Lab, members: Members, count: int
) -> None:
    a, b, names = start_senders(members, 4, tick=0.25, count=count, largest=5000, pause=0.002)
    members.await_peers(a, b)
    for direction in ("out", "in"):
        lab.netem("h1", direction, tamper=0.01)
    poll_until(lambda: lab.stats()["h1"]["tampered"] > count / 100, 30)
    lab.heal()
    finish_senders(members, a, b, names)
    events = members.check()
    tampered = sum(lab.stats()[host]["tampered"] for host in ("h1", "h2"))
    print(f"{tampered} frames altered, {len(members.losses())} losses told of, {lost(events)} messages lost")
    assert not members.losses() and not lost(events)
    assert "Traceback" not in a.errors() + b.errors()


def test_M6_what_waits_behind_a_partition_when_its_deliver_gives_up_never_arrives(lab: Lab, members: Members) -> None:
    # So long that nobody is lost.
    a, b = (members.start(node, host=host, tick_seconds=20.0) for node, host in (("a", "h1"), ("b", "h2")))
    for receiver in ("b/bulk", "b/1"):
        b.call("receiver", who=receiver)
    to = {"to": "b/1", "location": b.location}
    a.call("delivers", who="a/first", **to, count=1, timeout=10)
    assert a.call("value", who="a/first", timeout=20) == [1]
    # More than the buffers between them hold.
    a.call("bulk_sender", who="a/bulk", to="b/bulk", location=b.location, count=40, size=MIB, late=True)
    lab.partition(["h1"], ["h2"])
    a.call("go")
    poll_until(lambda: all(still(a, "blocked") for _ in range(10)), 40, "the connection takes no more")
    a.call("delivers", who="a/late", **to, count=20, timeout=0.3, largest=LARGE)
    assert a.call("value", who="a/late", timeout=20) == [0] * 20
    lab.heal()
    a.call("delivers", who="a/last", **to, count=1, timeout=20)
    assert a.call("value", who="a/last", timeout=30) == [1]
    assert a.call("value", who="a/bulk", timeout=30) == 40
    members.await_last(b, {"a/bulk": {"b/bulk": 39}})
    events = members.check()
    assert [event["from"] for event in events if event["ev"] == "recv" and event["who"] == "b/1"] == [
        "a/first-0",
        "a/last-0",
    ]
    assert len([event for event in events if event["ev"] == "withdrawn"]) == 20


@pytest.mark.parametrize("fault", ["loss", "partition"])
def test_M6_over_a_bad_network_every_1_has_its_message_and_what_was_withdrawn_never_comes(
    lab: Lab, members: Members, fault: str
) -> None:
    tick = 2.0 if fault == "loss" else 0.25
    b = members.start("b", host="h2", tick_seconds=tick)
    a = members.start("a", host="h1", peers=[b], tick_seconds=tick)
    for receiver in ("b/bulk", "b/1"):
        b.call("receiver", who=receiver)
    # Keeps the connection full for some seconds, so that the others have to wait for their turn.
    a.call("bulk_sender", who="a/bulk", to="b/bulk", location=b.location, count=24, size=MIB, late=True)
    if fault == "loss":
        lab.netem("h1", loss=0.02, rate=8e6)
    else:
        lab.netem("h1", "out", rate=3e6)
    a.call("go")
    names = {"a/small": 100, "a/large": LARGE, "a/both": LARGE // 8}
    for name, size in names.items():
        a.call("impatient", who=name, to="b/1", location=b.location, count=25, size=size, seconds=0.4)
    if fault == "partition":
        poll_until(lambda: b.call("count", who="b/1") >= 5, 30, "some have arrived")
        lab.partition(["h1"], ["h2"])
        for member in (a, b):
            poll_until(lambda member=member: not member.call("peers"), 20)  # type: ignore[misc]
        lab.heal()
    finish_senders(members, a, b, list(names))
    if fault == "loss":
        assert lab.stats()["h1"]["lost"]
        lab.heal()
        members.await_last(b, {"a/bulk": {"b/bulk": 23}})
    events = members.check()
    results = [event["res"] for event in events if event["ev"] == "deliver"]
    withdrawn = len([event for event in events if event["ev"] == "withdrawn"])
    print(f"{results.count(1)} confirmed, {results.count(0)} not, {withdrawn} of these withdrawn; {members.losses()}")
    assert withdrawn and results.count(1) > len(names)
    assert bool(members.losses()) == (fault == "partition")


@pytest.mark.parametrize("fault", ["stopped", "partition"])
def test_B5_a_peer_that_takes_no_more_is_lost_in_time_and_the_buffers_are_freed(
    lab: Lab, members: Members, fault: str
) -> None:
    # So long that its buffers are full before it is lost.
    tick = 1.5
    a, b = (members.start(node, host=host, tick_seconds=tick) for node, host in (("a", "h1"), ("b", "h2")))
    b.call("receiver", who="b/late", late=True)
    a.call("delivers", who="a/first", to="b/late", location=b.location, count=1, timeout=10)
    assert a.call("value", who="a/first", timeout=20) == [1]
    before = a.call("rss", trimmed=True)
    a.call("bulk_sender", who="a/bulk", to="b/late", location=b.location, count=100, size=MIB, late=True)
    if fault == "stopped":
        b.stop()
    else:
        lab.partition(["h1"], ["h2"])
    began = time.monotonic()
    a.call("go")
    poll_until(lambda: a.call("rss") > before + 32 * MIB, 4 * tick, "its buffers are full")
    poll_until(lambda: members.offline_at(a, b), 20)
    took = members.offline_at(a, b, began)
    poll_until(lambda: a.call("rss", trimmed=True) < before + 16 * MIB, what="its memory is back")
    print(f"lost after {took} s, a tick is {tick} s")
    assert took is not None and 3 * tick <= took < 5 * tick + 5
    if fault == "stopped":
        b.go_on()
    else:
        lab.heal()
    poll_until(lambda: members.offline_at(b, a), 20)
    # They are together again, and what may be lost was told of.
    members.await_peers(a, b)
    b.call("go")
    a.call("sender", who="a/next", to={"b/late": b.location}, count=10)
    members.await_last(b, {"a/next": a.call("value", who="a/next", timeout=30)})
    members.check()


def tcp_payloads(frames: list[bytes], source: str, target: str) -> bytes:
    """What one host said to another over TCP, where there was one connection and nothing was lost."""
    stream, due = b"", 0
    for frame in frames:
        if frame[12:14] != b"\x08\x00" or frame[23] != 6:
            continue
        if (socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])) != (source, target):
            continue
        total = 14 + int.from_bytes(frame[16:18], "big")
        tcp = 14 + (frame[14] & 15) * 4
        sequence = int.from_bytes(frame[tcp + 4 : tcp + 8], "big")
        data = frame[tcp + (frame[tcp + 12] >> 4) * 4 : total]
        if frame[tcp + 13] & 2:
            due = sequence + 1
        elif data and sequence == due:
            stream += data
            due = (due + len(data)) % (1 << 32)
    return stream


REPLAY = """
import select, socket, sys
address = (sys.argv[1], int(sys.argv[2]))
data, step = open(sys.argv[3], "rb").read(), int(sys.argv[4])
with socket.create_connection(address, 10) as sock:
    # Until the other side ends it, or has heard all.
    try:
        for start in range(0, len(data), step):
            sock.sendall(data[start : start + step])
            select.select([sock], [], [], 0.001)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    except OSError:
        pass
print("heard")
"""


def test_S2_S4_a_captured_session_tells_nothing_and_replayed_to_anybody_it_has_no_effect(
    lab: Lab, members: Members, tmp_path: Path
) -> None:
    b = members.start("b", host="h2")
    third = members.start("third", host="h3")
    for member in (b, third):
        member.call("receiver", who=f"{member.node}/1")
    streams = []
    for session in range(2):
        lab.capture(tmp_path / "frames.pcap")
        a = members.start(f"a{session}", host="h1")
        a.call("sender", who=f"a{session}/sender-of-words", to={"b/1": b.location}, count=50, largest=5000)
        sent = a.call("value", who=f"a{session}/sender-of-words", timeout=30)
        members.await_last(b, {f"a{session}/sender-of-words": sent})
        members.kill(a)
        poll_until(lambda: not b.call("peers"))
        lab.capture(None)
        frames = captured(tmp_path / "frames.pcap")
        streams += [tcp_payloads(frames, *hosts) for hosts in (("10.99.0.1", "10.99.0.2"), ("10.99.0.2", "10.99.0.1"))]
    assert all(len(stream) > 200 for stream in streams)
    for stream in streams:
        for secret in (KEY, b"sender-of-words", b"b/1", (7).to_bytes(4, "big") * 4):
            assert secret not in stream
    # The first bytes are the preamble, which is the same for all.
    pieces = [{stream[i : i + 16] for i in range(16, len(stream) - 16)} for stream in streams]
    assert not pieces[0] & pieces[2] and not pieces[1] & pieces[3]
    before = len(members.history())
    recorded = tmp_path / "recorded"
    for target in (b, third):
        address, port = target.location.rsplit(":", 1)
        for stream in streams[:2]:
            recorded.write_bytes(stream)
            for step in (len(stream), 100):
                argv = [sys.executable, "-c", REPLAY, address, port, str(recorded), str(step)]
                assert lab.run("h1", argv) == "heard\n"
    assert not b.call("peers") and not third.call("peers")
    assert len(members.history()) == before
    members.check()
