"""One message to many: those that are full or elsewhere do not hold up the others."""

import asyncio
import contextlib
import pickle
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from greencoro import Coro, CoroTerminated, WouldBlock, sleep
from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub
from greencoro.hub.channel import Channel
from greencoro.hub.names import Names
from tests.support.polling import poll_until

from .conftest import Run
from .places import wait_until_it_waits
from .sinks import MakeSink, settled, sink_fixture  # noqa: F401


class Elsewhere(Coro):
    """Stands for a reference to a coroutine of another process."""

    def __init__(self, send: Callable[[Any], int] = lambda message: 0, name: str = "elsewhere") -> None:
        self._sending, self.name, self.id, self.alive = send, name, 0, True
        self.got: list[Any] = []

    def is_local(self) -> bool:
        return False

    def is_alive(self) -> bool:
        return self.alive

    def deliver(self, message: Any, timeout: float | None = None) -> int:
        return 1 + self.send(message)

    def send(self, message: Any) -> int:
        result = self._sending(message)
        if result == 0:
            self.got.append(message)
        return result


# Full mailboxes, and subscribers elsewhere.


def full(coro: Coro) -> Coro:
    coro.max_mailbox = 1
    coro.send("fills it")
    return coro


def sleeper(go: Any, coro: Any = None) -> list[Any]:
    """Reads nothing until it is told to, then all."""
    while not go.is_set():
        sleep(0.001)
    return list(iter(coro.receive, None))


def read_all(coro: Coro) -> Any:
    """What it got, once it is told to read: all there was, and what was let in as there came room."""
    wait_until_it_waits(coro)
    coro.put_past_limit(None)
    return coro.value(10)


def test_B2_a_full_subscriber_holds_up_the_sender_but_not_the_others(sink: MakeSink) -> None:
    go = native.Event()
    slow = [full(Coro(sleeper, go)) for _ in range(2)]
    quick, got = sink()
    channel = Channel("news")
    for coro in (*slow, quick):
        channel.subscribe(coro)
    sender = Coro(lambda: [channel.send(1), channel.send(2)])
    poll_until(lambda: got == [1])
    settled()
    assert sender.is_alive()
    assert got == [1]
    go.set()
    assert sender.value(10) == [0, 0]
    poll_until(lambda: got == [1, 2])
    assert [read_all(coro) for coro in slow] == [["fills it", 1, 2]] * 2


def test_a_sender_that_is_terminated_while_it_waits_leaves_nothing_behind(sink: MakeSink) -> None:
    go = native.Event()
    slow = [full(Coro(sleeper, go)) for _ in range(3)]
    quick, got = sink()
    channel = Channel("news")
    for coro in (*slow, quick):
        channel.subscribe(coro)
    sender = Coro(channel.send, "half way")
    poll_until(lambda: got)
    sender.terminate()
    with pytest.raises(CoroTerminated):
        sender.value(10)
    settled()
    go.set()
    assert [read_all(coro) for coro in slow] == [["fills it"]] * 3
    assert channel.subscribers() == (quick,)


class Nudge(Exception):
    pass


def suspended_first(coro: Any = None) -> list[Any]:
    coro.suspend()
    return list(iter(coro.receive, None))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("with_one_elsewhere", [False, True])
def test_M1_a_generators_next_message_does_not_overtake_one_whose_wait_was_ended(
    count: int, with_one_elsewhere: bool
) -> None:
    receivers = [full(Coro(suspended_first)) for _ in range(count)]
    channel = Channel("news")
    for subscriber in [*receivers, *([Elsewhere()] if with_one_elsewhere else [])]:
        channel.subscribe(subscriber)

    def sends(coro: Any = None) -> Any:
        with contextlib.suppress(Nudge):
            yield channel.deliver(1, 5)
        yield channel.send(2)

    def nudge() -> None:
        # All in one go, so that nothing is tidied up in between.
        sender.throw(Nudge())
        for receiver in receivers:
            receiver.resume()

    sender = Coro(sends)
    poll_until(lambda: all(receiver.room()[0]._waiting for receiver in receivers))  # type: ignore[union-attr]
    Coro(nudge).value(10)
    sender.value(10)
    assert [read_all(receiver) for receiver in receivers] == [["fills it", 2]] * count


@pytest.mark.parametrize("kind", ["plain", "generator"])
def test_M1_what_is_under_way_elsewhere_is_given_up_before_the_next_message_is_sent(kind: str) -> None:
    happened: list[Any] = []

    def slow(message: Any) -> int:
        happened.append(message)
        if message == 1:
            try:
                sleep(60)
            finally:
                happened.append("given up")
        return 0

    channel = Channel("news")
    for _ in range(2):
        channel.subscribe(Elsewhere(slow))

    def sends() -> None:
        with contextlib.suppress(Nudge):
            channel.deliver(1, 50)
        channel.send(2)

    def sends_as_generator(coro: Any = None) -> Any:
        with contextlib.suppress(Nudge):
            yield channel.deliver(1, 50)
        yield channel.send(2)

    sender = Coro(sends if kind == "plain" else sends_as_generator)
    poll_until(lambda: happened == [1, 1])
    sender.throw(Nudge())
    sender.value(10)
    assert happened == [1, 1, "given up", "given up", 2, 2]


def test_each_one_that_is_full_is_waited_for_as_long_as_its_own_send_timeout() -> None:
    def home(seconds: float) -> Any:
        return SimpleNamespace(location=None, names=Names(), max_mailbox_messages=1, send_timeout_seconds=seconds)

    impatient, patient = (Coro.at_home(home(seconds), suspended_first, (), {}) for seconds in (0.01, 20))
    channel = Channel("news")
    for coro in (impatient, patient):
        coro.send("fills it")
        channel.subscribe(coro)
    sender = Coro(channel.send, 1)
    line, other = patient.room()[0], impatient.room()[0]
    assert line is not None and other is not None
    # Who subscribed first is waited for first: since the sender stands in the line of the patient one, it has stood in
    # the other's too, for as short a time as that lasts.
    poll_until(lambda: line._waiting)
    poll_until(lambda: not other._waiting)
    impatient.resume()
    assert read_all(impatient) == ["fills it"]
    assert sender.is_alive()
    patient.resume()
    assert (sender.value(10), read_all(patient)) == (0, ["fills it", 1])


def test_one_that_is_over_before_it_has_room_is_dropped() -> None:
    channel = Channel("news")
    receivers = [full(Coro(suspended_first)) for _ in range(2)]
    for receiver in receivers:
        channel.subscribe(receiver)
    delivering = Coro(channel.deliver, 1)
    poll_until(lambda: all(receiver.room()[0]._waiting for receiver in receivers))  # type: ignore[union-attr]
    receivers[0].terminate()
    poll_until(lambda: not receivers[0].is_alive())
    receivers[1].resume()
    assert delivering.value(10) == 1
    assert list(channel._subscribers or ()) in ([receivers[1]], [])
    assert read_all(receivers[1]) == ["fills it", 1]


def test_who_subscribes_itself_and_is_full_does_not_wait_for_itself(sink: MakeSink) -> None:
    go = native.Event()
    other = full(Coro(sleeper, go))
    channel = Channel("news")

    def send_to_itself(coro: Any) -> float:
        full(coro)
        channel.subscribe(coro)
        channel.subscribe(other)
        go.set()
        began = time.monotonic()
        assert channel.send("news") == 0
        return time.monotonic() - began

    assert Coro(send_to_itself).value(30) < 10
    assert read_all(other) == ["fills it", "news"]


def test_a_callback_of_the_hub_sends_without_waiting(sink: MakeSink) -> None:
    go = native.Event()
    slow = [full(Coro(sleeper, go)) for _ in range(2)]
    quick, got = sink()
    channel = Channel("news")
    for coro in (*slow, quick):
        channel.subscribe(coro)
    results: list[int] = []
    userhub.post(lambda: results.append(channel.send(1)))
    poll_until(lambda: got == [1])
    assert results == [0]
    go.set()
    assert [read_all(coro) for coro in slow] == [["fills it"]] * 2


@pytest.mark.parametrize("count", [1, 2])
def test_under_asyncio_a_full_subscriber_is_said_and_the_others_have_it(count: int, sink: MakeSink) -> None:
    go = native.Event()
    slow = [full(Coro(sleeper, go)) for _ in range(count)]
    quick, got = sink()
    channel = Channel("news")
    for coro in (*slow, quick):
        channel.subscribe(coro)

    async def send() -> None:
        with pytest.raises(WouldBlock, match="full"):
            channel.send(1)

    asyncio.run(send())
    poll_until(lambda: got == [1])
    go.set()
    assert [read_all(coro) for coro in slow] == [["fills it"]] * count


def test_subscribers_elsewhere_are_sent_to_at_the_same_time(sink: MakeSink) -> None:
    go = native.Event()

    def slow(message: Any) -> int:
        while not go.is_set():
            sleep(0.001)
        return 0

    channel = Channel("news")
    held, free = Elsewhere(slow), Elsewhere()
    here, got = sink()
    for subscriber in (held, free, here):
        channel.subscribe(subscriber)
    sender = Coro(channel.send, 1)
    poll_until(lambda: free.got == [1] and got == [1])
    assert (sender.is_alive(), held.got) == (True, [])
    go.set()
    assert sender.value(10) == 0
    assert held.got == [1]


def test_a_subscriber_elsewhere_that_is_lost_is_dropped_and_a_slow_one_is_not() -> None:
    def gone(message: Any) -> int:
        lost.alive = False
        return -1

    lost, slow, well = Elsewhere(gone), Elsewhere(lambda message: -1), Elsewhere()
    channel = Channel("news")
    for subscriber in (lost, slow, well):
        channel.subscribe(subscriber)
    assert channel.send(1) == 0
    assert channel.subscribers() == (slow, well)
    lost.alive = True
    channel.unsubscribe(slow)
    channel.unsubscribe(well)
    channel.subscribe(lost)
    assert channel.send(1) == 0  # alone, without a coroutine to wait for it
    assert channel._subscribers == {}


@pytest.mark.parametrize("count", [1, 2])
def test_what_cannot_be_sent_elsewhere_raises_after_the_others_have_it(count: int, sink: MakeSink) -> None:
    def refuses(message: Any) -> int:
        raise pickle.PicklingError("not this one")

    channel = Channel("news")
    here, got = sink()
    bad, good = Elsewhere(refuses), Elsewhere()
    for subscriber in (bad, good, here)[: None if count == 2 else 1]:
        channel.subscribe(subscriber)
    channel.subscribe(here)
    with pytest.raises(pickle.PicklingError, match="not this one"):
        channel.send(1)
    settled()
    assert got == [1]
    assert good.got == [1] * (count - 1)
    assert bad in channel.subscribers()


def test_a_plain_greenlet_may_wait_for_room(sink: MakeSink) -> None:
    go = native.Event()
    slow = [full(Coro(sleeper, go)) for _ in range(2)]
    channel = Channel("news")
    for coro in slow:
        channel.subscribe(coro)
        wait_until_it_waits(sink()[0])
    done = Coro(lambda: gevent.spawn(channel.send, 1).get())
    settled()
    go.set()
    assert done.value(10) == 0
    assert [read_all(coro) for coro in slow] == [["fills it", 1]] * 2


def test_a_sender_whose_helpers_are_ended_is_not_left_waiting() -> None:
    def never(message: Any) -> int:
        Coro.current().suspend()  # type: ignore[union-attr]
        return 0

    channel = Channel("news")
    slow = [Elsewhere(never), Elsewhere(never)]
    for subscriber in slow:
        channel.subscribe(subscriber)
    before = set(process_exit.alive)
    sender = Coro(channel.send, 1)
    poll_until(lambda: len(set(process_exit.alive) - before) == 3)
    for coro_id in set(process_exit.alive) - before - {sender.id}:
        process_exit.alive[coro_id].terminate()
    assert sender.value(10) == 0
    assert [subscriber.got for subscriber in slow] == [[], []]


def test_a_daemon_that_waits_for_room_does_not_keep_the_program(run: Run) -> None:
    ended = run(
        """
        from greencoro.hub.channel import Channel
        def never_reads():
            Coro.current().set_daemon()
            sleep(60)
        def sends():
            Coro.current().set_daemon()
            while True:
                channel.send("news")
        channel = Channel("news")
        for _ in range(2):
            coro = Coro(never_reads)
            coro.max_mailbox = 1
            channel.subscribe(coro)
        Coro(sends)
        sleep(0.2)
        """
    )
    assert ended.status == 0, ended.err
    assert ended.seconds < 18
