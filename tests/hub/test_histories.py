"""Random workloads, and the promises about messages (M1, M2, M5, M6, B2) checked on their histories."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greencoro import Coro, DeadlineExceeded, sleep
from greencoro.errors import BrokenResource
from greencoro.hub.channel import Channel
from greencoro.hub.names import Names
from greencoro.hub.requests import Request
from tests.support.history import History, violations
from tests.support.polling import poll_until

# In seconds: so short that some are over before the message is in, or the answer there.
SEND_TIMEOUT = 0.01
DELIVER_TIMEOUT = 0.003
CALL_TIMEOUT = 0.05

STOP = object()
ALARM = object()


class Nudge(Exception):
    """Thrown into senders and receivers, which go on."""


@dataclass(frozen=True)
class ReceiverPlan:
    style: str
    limit: int | None
    #: It returns after so many messages; None: once it is told to stop.
    ends_after: int | None


@dataclass(frozen=True)
class SenderPlan:
    place: str
    #: How to send each message, and the number of the receiver or channel.
    calls: list[tuple[str, int]]
    gives_way: bool


@dataclass(frozen=True)
class Interruption:
    kind: str
    #: Number of the receiver, or after them of the sender.
    whom: int
    #: When so many events are in the history, or the senders are through.
    after: int


WAYS = ["send", "send", "deliver", "deliver at once", "call"]
WAYS += ["channel send", "channel send", "channel deliver", "channel deliver at once"]

RECEIVERS = st.builds(
    ReceiverPlan,
    style=st.sampled_from(["plain", "match", "timeouts", "generator"]),
    limit=st.sampled_from([None, None, 1, 2, 5]),
    ends_after=st.sampled_from([None, None, None, 0, 1, 7]),
)
SENDERS = st.builds(
    SenderPlan,
    place=st.sampled_from(["coroutine", "thread", "greenlet", "generator"]),
    calls=st.lists(
        st.tuples(st.sampled_from(WAYS), st.integers(0, 9)),
        min_size=1,
        max_size=25,
    ),
    gives_way=st.booleans(),
)
INTERRUPTIONS = st.builds(
    Interruption,
    kind=st.sampled_from(["throw", "throw", "terminate"]),
    whom=st.integers(0, 9),
    after=st.integers(0, 60),
)


# Receivers.


def kind_of(message: Any) -> str:
    return "even" if number_of(message) % 2 == 0 else "odd"


def number_of(message: Any) -> int:
    number: int = (message.message if isinstance(message, Request) else message)[1]
    return number


def take_plain(coro: Coro) -> Any:
    return coro.receive()


def take_in_slices(coro: Coro) -> Any:
    while (message := coro.receive(0.0003, ALARM)) is ALARM:
        pass
    return message


def is_odd(message: Any) -> bool:
    return message is not STOP and kind_of(message) == "odd"


def is_even(message: Any) -> bool:
    return message is not STOP and kind_of(message) == "even"


def take_by_kind(coro: Coro) -> Any:
    for wanted in (is_odd, is_even):
        message = coro.receive(0, ALARM, wanted)
        if message is not ALARM:
            return message
    # None is there: the next is taken that comes, or the end.
    return coro.receive(match=lambda message: True)


TAKES = {"plain": take_plain, "timeouts": take_in_slices, "match": take_by_kind}


def took(history: History, name: str, plan: ReceiverPlan, message: Any) -> None:
    sender, number = message.message if isinstance(message, Request) else message
    kind = {"kind": kind_of(message)} if plan.style == "match" else {}
    history.record(name, "recv", **{"from": sender, "n": number}, **kind)
    if isinstance(message, Request):
        message.reply(number)


def receives(history: History, name: str, plan: ReceiverPlan, coro: Any) -> str:
    taken = 0
    while plan.ends_after is None or taken < plan.ends_after:
        try:
            message = TAKES[plan.style](coro)
        except Nudge:
            continue
        if message is STOP:
            return "stopped"
        took(history, name, plan, message)
        taken += 1
    return "ended"


def receives_as_generator(history: History, name: str, plan: ReceiverPlan, coro: Any) -> Any:
    taken = 0
    while plan.ends_after is None or taken < plan.ends_after:
        try:
            message = yield coro.receive()
        except Nudge:
            continue
        if message is STOP:
            return "stopped"
        took(history, name, plan, message)
        taken += 1
    return "ended"


def start_receiver(history: History, name: str, plan: ReceiverPlan) -> Coro:
    if plan.limit is not None:
        history.record(name, "limit", n=plan.limit)
    home = SimpleNamespace(
        location=None, names=Names(), max_mailbox_messages=plan.limit, send_timeout_seconds=SEND_TIMEOUT
    )
    target: Callable[..., Any] = receives_as_generator if plan.style == "generator" else receives
    return Coro.at_home(home, target, (history, name, plan), {})


# Senders.


def recipient(how: str, index: int, receivers: dict[str, Coro], channels: dict[str, Channel]) -> tuple[str, Any]:
    """Whom a message goes to: the name in the history, and the receiver or channel."""
    candidates: list[tuple[str, Any]] = list(channels.items() if how.startswith("channel ") else receivers.items())
    return candidates[index % len(candidates)]


def event_of(how: str) -> str:
    """What the history calls it."""
    return how.removesuffix(" at once")


def patience(how: str) -> float:
    return 0 if how.endswith("at once") else DELIVER_TIMEOUT


def way_to_send(how: str, receiver: Any, message: Any) -> Callable[[], Any]:
    if how.endswith("send"):
        return lambda: receiver.send(message)
    if how == "call":
        return lambda: receiver.call(message, CALL_TIMEOUT)
    return lambda: receiver.deliver(message, patience(how))


def sends(
    history: History, name: str, plan: SenderPlan, receivers: dict[str, Coro], channels: dict[str, Channel]
) -> None:
    for number, (how, index) in enumerate(plan.calls):
        to, receiver = recipient(how, index, receivers, channels)
        try:
            history.send(name, event_of(how), to, number, way_to_send(how, receiver, (name, number)))
            if plan.gives_way:
                sleep(0)
        except (Nudge, DeadlineExceeded, BrokenResource):
            continue


def sends_as_generator(
    history: History, name: str, plan: SenderPlan, receivers: dict[str, Coro], channels: dict[str, Channel]
) -> Any:
    # The calls stand beside their yields, as in old programs; the history is told when the yield is over.
    for number, (how, index) in enumerate(plan.calls):
        to, receiver = recipient(how, index, receivers, channels)
        message, result = (name, number), None
        try:
            if how.endswith("send"):
                result = yield receiver.send(message)
            elif how == "call":
                result = yield receiver.call(message, CALL_TIMEOUT)
            else:
                result = yield receiver.deliver(message, patience(how))
            if plan.gives_way:
                yield None
        except (Nudge, DeadlineExceeded, BrokenResource):
            continue
        finally:
            history.record(name, event_of(how), to=to, n=number, res=result)


def start_sender(
    history: History, name: str, plan: SenderPlan, receivers: dict[str, Coro], channels: dict[str, Channel]
) -> Any:
    def run() -> None:
        sends(history, name, plan, receivers, channels)

    if plan.place == "coroutine":
        return Coro(run)
    if plan.place == "generator":
        return Coro(sends_as_generator, history, name, plan, receivers, channels)
    if plan.place == "greenlet":
        return Coro(lambda: gevent.spawn(run).join())
    thread = threading.Thread(target=run)
    thread.start()
    return thread


# Channels.


def make_channels(history: History, receivers: dict[str, Coro]) -> dict[str, Channel]:
    """To the first the first receiver subscribes, and the second channel, to which all other receivers do."""
    top, below = Channel("c0"), Channel("c1")
    top.subscribe(below)
    names = list(receivers)
    for name in names:
        (top if name == names[0] else below).subscribe(receivers[name])
    history.record("c0", "subscribers", names=names)
    history.record("c1", "subscribers", names=names[1:])
    return {"c0": top, "c1": below}


# The workload.


def play(
    receiver_plans: list[ReceiverPlan], sender_plans: list[SenderPlan], interruptions: list[Interruption]
) -> History:
    history = History()
    receivers = {f"r{n}": start_receiver(history, f"r{n}", plan) for n, plan in enumerate(receiver_plans)}
    channels = make_channels(history, receivers)
    senders = [start_sender(history, f"s{n}", plan, receivers, channels) for n, plan in enumerate(sender_plans)]
    # Of the senders only coroutines: a greenlet's own coroutine only waits for it.
    targets = [
        *receivers.values(),
        *(s for s, plan in zip(senders, sender_plans, strict=True) if plan.place in ("coroutine", "generator")),
    ]

    def senders_are_through() -> bool:
        return not any(sender.is_alive() for sender in senders)

    for interruption in sorted(interruptions, key=lambda interruption: interruption.after):
        poll_until(
            lambda after=interruption.after: len(history.events) >= after or senders_are_through(),
            seconds=30,
            interval=0.0005,
        )
        target = targets[interruption.whom % len(targets)]
        target.terminate() if interruption.kind == "terminate" else target.throw(Nudge())
    poll_until(senders_are_through, seconds=30, interval=0.001, what="every sender is through")
    for name, receiver in receivers.items():
        receiver.put_past_limit(STOP)
        poll_until(lambda receiver=receiver: not receiver.is_alive(), interval=0.001, what=f"{receiver!r} has read all")
        if receiver.notice().value != "stopped":
            history.record(name, "end")
    return history


def check(receivers: list[ReceiverPlan], senders: list[SenderPlan], interruptions: list[Interruption]) -> None:
    history = play(receivers, senders, interruptions)
    assert len([event for event in history.events if "to" in event]) <= sum(len(sender.calls) for sender in senders)
    overdraw = 2 if any(sender.place == "generator" for sender in senders) else 1
    assert violations(history.events, overdraw) == []


@pytest.fixture(autouse=True)
def _ends_are_expected(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "greencoro.hub.execution")


@pytest.fixture
def ample_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is over before what was waited for has come, however slow the machine is."""
    for name in ("SEND_TIMEOUT", "DELIVER_TIMEOUT", "CALL_TIMEOUT"):
        monkeypatch.setitem(globals(), name, 20.0)


SETTINGS: dict[str, Any] = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],
}
WORKLOAD = given(
    st.lists(RECEIVERS, min_size=1, max_size=3),
    st.lists(SENDERS, min_size=1, max_size=4),
    st.lists(INTERRUPTIONS, max_size=5),
)


@WORKLOAD
@settings(max_examples=150, **SETTINGS)
def test_M1_M2_B2_hold_in_random_workloads(
    receivers: list[ReceiverPlan], senders: list[SenderPlan], interruptions: list[Interruption]
) -> None:
    check(receivers, senders, interruptions)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("frequent_switches")
@WORKLOAD
@settings(max_examples=2000, **SETTINGS)
def test_M1_M2_B2_hold_in_many_random_workloads_whose_threads_switch_often(
    receivers: list[ReceiverPlan], senders: list[SenderPlan], interruptions: list[Interruption]
) -> None:
    check(receivers, senders, interruptions)


@pytest.mark.usefixtures("ample_time")
def test_a_workload_of_each_kind_leaves_the_history_that_it_should() -> None:
    history = play(
        [ReceiverPlan("plain", None, None), ReceiverPlan("match", 2, None), ReceiverPlan("timeouts", None, 1)],
        [
            SenderPlan("coroutine", [("send", 0), ("deliver", 0), ("call", 0), ("send", 1), ("call", 1)], True),
            SenderPlan("thread", [("send", 0), ("deliver at once", 0), ("call", 0), ("deliver", 1)], False),
            SenderPlan("greenlet", [("send", 0), ("call", 0), ("send", 2)], False),
        ],
        [],
    )
    results = {(event["who"], event["n"]): event["res"] for event in history.events if "to" in event}
    assert results == {
        **{("s0", 0): 0, ("s0", 1): 1, ("s0", 2): 2, ("s0", 3): 0, ("s0", 4): 4},
        **{("s1", 0): 0, ("s1", 1): 1, ("s1", 2): 2, ("s1", 3): 1},
        **{("s2", 0): 0, ("s2", 1): 1, ("s2", 2): 0},
    }
    received = sorted((event["who"], event["from"], event["n"]) for event in history.events if event["ev"] == "recv")
    assert received == [
        *[("r0", "s0", n) for n in range(3)],
        *[("r0", "s1", n) for n in range(3)],
        *[("r0", "s2", n) for n in range(2)],
        *[("r1", "s0", n) for n in (3, 4)],
        ("r1", "s1", 3),
        ("r2", "s2", 2),
    ]
    assert [event["who"] for event in history.events if event["ev"] == "end"] == ["r2"]
    assert violations(history.events) == []


@pytest.mark.usefixtures("ample_time")
def test_a_workload_through_channels_leaves_the_history_that_it_should() -> None:
    calls = [("channel send", 0), ("channel deliver", 1), ("channel deliver at once", 0), ("send", 1)]
    history = play(
        [ReceiverPlan("plain", None, None), ReceiverPlan("generator", None, None), ReceiverPlan("plain", 5, 0)],
        [SenderPlan(place, calls, True) for place in ("generator", "thread")],
        [Interruption("terminate", 2, 0)],
    )
    sent = [(event["ev"], event["to"], event["n"]) for event in history.events if event["who"] == "s0"]
    assert sent == [
        ("channel send", "c0", 0),
        ("channel deliver", "c1", 1),
        ("channel deliver", "c0", 2),
        ("send", "r1", 3),
    ]
    received = [(event["who"], event["n"]) for event in history.events if event.get("from") == "s1"]
    assert sorted(received) == [("r0", 0), ("r0", 2), *[("r1", n) for n in range(4)]]
    assert violations(history.events) == []


@pytest.mark.usefixtures("ample_time")
def test_B4_one_that_never_receives_delays_only_those_who_send_to_it() -> None:
    def never_receives(coro: Any) -> None:
        coro.suspend()

    history = History()
    home = SimpleNamespace(location=None, names=Names(), max_mailbox_messages=1, send_timeout_seconds=20)
    deaf = Coro.at_home(home, never_receives, (), {})
    receivers = {"r0": start_receiver(history, "r0", ReceiverPlan("plain", 2, None))}
    blocked = [Coro(deaf.send, n) for n in range(5)]
    poll_until(lambda: sum(coro.is_alive() for coro in blocked) == 4, what="they wait for room")
    plan = SenderPlan("coroutine", [("send", 0)] * 200, True)
    senders = [start_sender(history, f"s{n}", plan, receivers, {}) for n in range(3)]
    for sender in senders:
        sender.value(10)
    receivers["r0"].put_past_limit(STOP)
    assert receivers["r0"].value(10) == "stopped"
    assert len([event for event in history.events if event["ev"] == "recv"]) == 600
    assert violations(history.events) == []
    assert sum(coro.is_alive() for coro in blocked) == 4
    deaf.terminate()
    assert sorted(coro.value(10) for coro in blocked) == [-1, -1, -1, -1, 0]
