"""Channels: who gets what is sent, under which names, in which order."""

import logging
import pickle
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greencoro import ClosedResource, Coro, sleep
from greencoro.hub import channel as channel_module
from greencoro.hub import names, native
from greencoro.hub.channel import Channel
from tests.support.polling import poll_until

from .conftest import Run
from .places import everywhere
from .sinks import END, MakeSink, settled, sink_fixture  # noqa: F401

# Subscribing.


@everywhere
def test_subscribers_get_what_is_sent_from_then_until_they_unsubscribe(place: Any, sink: MakeSink) -> None:
    coro, got = sink()
    channel = Channel("news")
    results = place(
        lambda: [
            channel.send("too early"),
            channel.subscribe(coro),
            channel.send(1),
            channel.send(None),
            channel.unsubscribe(coro),
            channel.send("too late"),
            channel.unsubscribe(coro),
        ]
    )
    assert results == [0, 0, 0, 0, 0, 0, -1]
    settled()
    assert got == [1, None]


def test_every_subscriber_gets_the_same_object(sink: MakeSink) -> None:
    channel, message = Channel("news"), object()
    sinks = [sink() for _ in range(3)]
    for coro, _ in sinks:
        channel.subscribe(coro)
    channel.send(message)
    settled()
    assert all(got == [message] for _, got in sinks)


def test_subscribing_twice_is_once(sink: MakeSink) -> None:
    coro, got = sink()
    channel = Channel("news")
    assert [channel.subscribe(coro), channel.subscribe(coro)] == [0, 0]
    channel.send(1)
    settled()
    assert got == [1]
    assert channel.subscribers() == (coro,)


def test_a_coroutine_that_is_over_cannot_subscribe() -> None:
    coro = Coro(lambda: None)
    coro.value(10)
    assert Channel("news").subscribe(coro) == -1


def test_a_coroutine_that_ends_is_dropped() -> None:
    channel = Channel("news")
    coro = Coro(lambda coro: coro.receive())
    channel.subscribe(coro)
    coro.send(None)
    coro.value(10)
    channel.send("nobody")
    assert channel._subscribers == {}


def test_those_that_ended_are_forgotten_though_nobody_sends(sink: MakeSink) -> None:
    channel = Channel("news")
    alive = [sink()[0] for _ in range(40)]
    for coro in alive:
        channel.subscribe(coro)
    for _ in range(400):
        short = Coro(lambda: None)
        channel.subscribe(short)
        short.value(10)
    assert len(channel._subscribers or ()) <= 2 * 41
    assert list(channel._subscribers or ())[:40] == alive


def test_forgetting_looks_at_each_subscriber_few_times(sink: MakeSink, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(Channel, "is_alive", lambda self: looks.append(1) or True)
    channel = Channel("news")
    for number in range(1000):
        channel.subscribe(Channel(str(number)))
    assert len(looks) < 4000


def test_sending_does_not_switch(sink: MakeSink) -> None:
    channel = Channel("news")
    for _ in range(3):
        channel.subscribe(sink()[0])
    others: list[int] = []

    def send_in_one_go() -> int:
        Coro(others.append, 1)
        for number in range(100):
            channel.send(number)
        return len(others)

    assert Coro(send_in_one_go).value(10) == 0


def test_a_subscriber_that_unsubscribes_while_it_is_sent_to_disturbs_nobody(sink: MakeSink) -> None:
    channel = Channel("news", lambda name, message: channel.unsubscribe(first) or message)
    (first, got), (second, got_too) = sink(), sink()
    channel.subscribe(first)
    channel.subscribe(second)
    channel.send(1)
    settled()
    assert (got, got_too) == ([], [1])


# Transforms.


def test_a_transform_is_told_the_name_and_makes_the_message(sink: MakeSink) -> None:
    coro, got = sink()
    channel = Channel("squares", lambda name, message: (name, message * message))
    channel.subscribe(coro)
    channel.send(3)
    assert channel.set_transform(None) == 0
    channel.send(3)
    assert channel.set_transform(lambda name, message: message + 1) == 0
    channel.send(3)
    settled()
    assert got == [("squares", 9), 3, 4]


def test_none_from_a_transform_drops_the_message_but_zero_does_not(sink: MakeSink) -> None:
    coro, got = sink()
    channel = Channel("even", lambda name, message: 0 if message % 2 == 0 else None)
    channel.subscribe(coro)
    assert [channel.send(number) for number in range(4)] == [0] * 4
    settled()
    assert got == [0, 0]


def test_an_exception_in_a_transform_is_logged_and_drops_the_message(
    sink: MakeSink, caplog: pytest.LogCaptureFixture
) -> None:
    coro, got = sink()

    def picky(name: str, message: Any) -> Any:
        return 1 / message

    channel = Channel("news", picky)
    channel.subscribe(coro)
    with caplog.at_level(logging.ERROR, logger="greencoro"):
        assert [channel.send(0), channel.send(1), channel.deliver(0)] == [0, 0, 0]
    settled()
    assert got == [1]
    assert caplog.text.count("ZeroDivisionError") == 2
    assert "in picky" in caplog.text


def test_a_program_without_logging_is_told_of_its_transforms_exception_as_well(run: Run) -> None:
    ended = run(
        """
        from greencoro.hub.channel import Channel
        channel = Channel("news", lambda name, message: 1 / message)
        channel.subscribe(Coro(lambda coro: coro.receive()))
        channel.send(0)
        channel.send(1)
        """
    )
    assert ended.status == 0, ended.err
    assert ended.err.count("Traceback") == ended.err.count("ZeroDivisionError") == 1


@pytest.mark.parametrize("transform", [5, lambda: None, lambda name: None, lambda a, b, c: None])
def test_a_transform_that_does_not_take_a_name_and_a_message_is_refused(transform: Any) -> None:
    with pytest.raises(TypeError, match="transform"):
        Channel("news", transform)
    channel = Channel("news", lambda name, message: message)
    with pytest.raises(TypeError, match="transform"):
        channel.set_transform(transform)


# Order.


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    limits=st.lists(st.sampled_from([None, 1, 3]), min_size=1, max_size=3),
    mixed=st.booleans(),
)
def test_M1_each_subscriber_gets_each_senders_messages_in_order(
    counts: list[int], limits: list[int | None], mixed: bool
) -> None:
    channel = Channel("news")

    def collect(coro: Any) -> list[Any]:
        got = []
        while (message := coro.receive()) is not END:
            got.append(message)
            sleep(0)
        return got

    def send_all(sender: int) -> None:
        for number in range(counts[sender]):
            if mixed and number % 2:
                assert channel.deliver((sender, number), 20) == len(limits)
            else:
                channel.send((sender, number))
            if number % 5 == 4:
                sleep(0)

    receivers = [Coro(collect) for _ in limits]
    for receiver, limit in zip(receivers, limits, strict=True):
        receiver.max_mailbox = limit
        channel.subscribe(receiver)
    senders = [Coro(send_all, sender) for sender in range(1, len(counts))]
    send_all(0)  # from this thread
    for sender in senders:
        sender.value(20)
    for receiver in receivers:
        receiver.send(END)
        got = receiver.value(20)
        for sender, count in enumerate(counts):
            assert [number for who, number in got if who == sender] == list(range(count))


# Names, closing, travelling.


@everywhere
def test_a_registered_channel_is_located(place: Any) -> None:
    channel = Channel("news")
    assert place(lambda: Channel.locate("news", timeout=0.01)) is None
    assert channel.register() == 0
    assert place(lambda: Channel.locate("news", timeout=5)) is channel
    assert channel.unregister() == 0
    assert place(lambda: Channel.locate("news", timeout=0)) is None
    assert channel.unregister() == -1


def test_locating_waits_for_the_channel_to_appear() -> None:
    finder = Coro(Channel.locate, "late")
    with Channel("other") as channel:
        settled()
        channel.register("late")
        assert finder.value(10) is channel
        assert Coro.locate("late", timeout=0) is None


def test_names_are_taken_once_and_channels_of_one_name_are_two() -> None:
    with Channel("news") as first, Channel("news") as second:
        assert first != second
        assert len({first, second}) == 2
        assert [first.register(), first.register(), second.register()] == [0, 0, -1]
        assert second.register("other") == 0
        assert Channel.locate("other", timeout=0) is None or Channel.locate("other", timeout=5) is second
        assert second.unregister("news") == -1
    assert Channel.locate("news", timeout=0) is None
    assert Channel.locate("other", timeout=0) is None


def test_a_closed_channel_sends_nothing_and_takes_nobody(sink: MakeSink) -> None:
    coro, got = sink()
    channel = Channel("news")
    channel.subscribe(coro)
    channel.register()
    channel.close()
    channel.close()
    assert [channel.send(1), channel.deliver(1), channel.subscribe(coro)] == [-1, 0, -1]
    assert [channel.unsubscribe(coro), channel.register(), channel.unregister()] == [-1, -1, -1]
    assert channel.subscribers() == ()
    assert not channel.is_alive()
    with pytest.raises(ClosedResource, match="news"):
        channel.set_transform(None)
    settled()
    assert got == []


def test_who_subscribes_while_it_closes_is_refused() -> None:
    class Closes(Coro):
        def is_alive(self) -> bool:
            channel.close()
            return super().is_alive()

    channel = Channel("news")
    coro = Closes(lambda: None)
    assert channel.subscribe(coro) == -1
    coro.value(10)


def test_one_that_is_registered_while_it_closes_is_not_found() -> None:
    channel = Channel("news")

    def close(registered: Any) -> None:
        channel.close()

    names.default.listen("channel", "news", close)
    try:
        assert channel.register() == -1
    finally:
        names.default.unlisten("channel", "news", close)
    assert Channel.locate("news", timeout=0) is None


def test_who_looked_in_vain_listens_no_more() -> None:
    assert Channel.locate("in vain", timeout=0.01) is None
    assert ("channel", "in vain") not in names.default._listeners


def test_locating_somewhere_needs_a_runtime() -> None:
    with pytest.raises(RuntimeError, match="Runtime"):
        Channel.locate("news", location="there")
    assert Channel("news").location is None


def test_without_a_runtime_a_channel_does_not_travel_and_with_one_that_says_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel = Channel("news")
    with pytest.raises(TypeError, match="cannot travel"):
        pickle.dumps(channel)
    assert repr(channel) == f"news/{channel.id}"
    monkeypatch.setattr(channel_module, "_reduce", None)
    monkeypatch.setattr(channel_module, "_locate_home", None)
    channel_module.plug_in(lambda channel: (str, (channel.name,)), lambda channel: "here:1")
    assert pickle.loads(pickle.dumps(channel)) == "news"
    assert channel.location == "here:1"
    assert repr(channel) == f"news/{channel.id}@here:1"


@pytest.mark.parametrize("name", [5, None, b"news"])
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(TypeError, match="name"):
        Channel(name)


def test_bad_input_is_refused_at_the_call() -> None:
    channel = Channel("news")
    with pytest.raises(ValueError, match="at least one character"):
        Channel("")
    for wrong in (5, None, "coro", print):
        with pytest.raises(TypeError, match="subscribes, not"):
            channel.subscribe(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="unsubscribes, not"):
            channel.unsubscribe(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="subscribe"):
        channel.subscribe(Channel("other"), timeout="5")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="locate"):
        Channel.locate("news", timeout="5")  # type: ignore[arg-type]


def test_subscribers_may_come_and_go_on_other_threads_meanwhile(sink: MakeSink, frequent_switches: None) -> None:
    channel = Channel("news")
    steady, got = sink()
    channel.subscribe(steady)
    guests = [sink()[0] for _ in range(5)]
    stop = native.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for guest in guests:
                channel.subscribe(guest)
            for guest in guests:
                channel.unsubscribe(guest)

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert [channel.send(number) for number in range(2000)] == [0] * 2000
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    poll_until(lambda: len(got) == 2000)
    assert got == list(range(2000))
