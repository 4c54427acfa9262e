"""Channels that subscribe to channels."""

import itertools
import threading

import pytest

from greencoro.hub import native
from greencoro.hub.channel import Channel

from .conftest import Run
from .sinks import MakeSink, settled, sink_fixture  # noqa: F401


def test_channels_subscribe_to_channels_and_each_transforms(sink: MakeSink) -> None:
    top = Channel("top", lambda name, message: f"{message} {name}")
    left = Channel("left", lambda name, message: f"{message} {name}")
    right = Channel("right", lambda name, message: None)
    (a, got_a), (b, got_b), (c, got_c) = sink(), sink(), sink()
    assert [top.subscribe(left), top.subscribe(right), top.subscribe(c)] == [0, 0, 0]
    left.subscribe(a)
    right.subscribe(b)
    top.send("to")
    left.send("to")
    settled()
    assert (got_a, got_b, got_c) == (["to top left", "to left"], [], ["to top"])
    assert top.unsubscribe(left) == 0
    top.send("again")
    settled()
    assert (len(got_a), len(got_c)) == (2, 2)


def test_by_two_ways_a_message_comes_twice(sink: MakeSink) -> None:
    top, left, right = Channel("top"), Channel("left"), Channel("right")
    coro, got = sink()
    for middle in (left, right):
        top.subscribe(middle)
        middle.subscribe(coro)
    assert top.deliver(1) == 2
    settled()
    assert got == [1, 1]


def test_channels_in_a_circle_are_refused() -> None:
    a, b, c = Channel("a"), Channel("b"), Channel("c")
    a.subscribe(b)
    b.subscribe(c)
    for channel in (a, b, c):
        with pytest.raises(ValueError, match="come back"):
            c.subscribe(channel)
    assert c.subscribers() == ()
    assert a.send("comes to an end") == 0


def test_two_threads_cannot_make_a_circle_of_two_halves() -> None:
    class Slow(Channel):
        def _leads_to(self, target: Channel) -> bool:
            found = super()._leads_to(target)
            native.sleep(0.02)
            return found

    a, b = Slow("a"), Slow("b")
    refused: list[int] = []

    def half(above: Channel, below: Channel) -> None:
        try:
            above.subscribe(below)
        except ValueError:
            refused.append(1)

    threads = [threading.Thread(target=half, args=pair) for pair in ((a, b), (b, a))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert refused == [1]


def test_who_interrupts_a_subscription_cannot_make_a_circle_of_two_halves() -> None:
    refused: list[bool] = []

    class Interrupted(Channel):
        def _leads_to(self, target: Channel) -> bool:
            found = super()._leads_to(target)
            if not refused:
                refused.append(True)
                try:
                    self.subscribe(target)
                    refused[0] = False
                except ValueError:
                    pass
            return found

    above, below = Channel("above"), Interrupted("below")
    assert above.subscribe(below) == 0
    assert refused == [True]
    above.unsubscribe(below)
    assert below.subscribe(above) == 0  # nothing is left of the first


def test_a_signal_handler_may_subscribe_channels_where_the_main_thread_does(run: Run) -> None:
    ended = run("""
        from greencoro.hub.channel import Channel
        top, inside, interrupted = Channel("top"), [], []
        def subscribe(number, frame):
            interrupted.append(bool(inside))
            top.subscribe(Channel("by the handler"))
        class Slow(Channel):
            def _leads_to(self, target):
                inside.append(1)
                signal.raise_signal(signal.SIGUSR1)  # the handler runs before the next line does
                inside.clear()
                return super()._leads_to(target)
        signal.signal(signal.SIGUSR1, subscribe)
        for _ in range(20):
            assert top.subscribe(Slow("below")) == 0
        print(len(top.subscribers()), all(interrupted))
    """)
    assert (ended.status, ended.out) == (0, "40 True\n"), ended.err


def test_a_chain_of_channels_may_be_long(sink: MakeSink) -> None:
    coro, got = sink()
    channels = [Channel(str(number)) for number in range(3000)]
    for above, below in itertools.pairwise(channels):
        above.subscribe(below)
    channels[-1].subscribe(coro)
    assert channels[0].deliver("down") == 1
    settled()
    assert got == ["down"]


def test_a_closed_channel_is_dropped_by_those_above() -> None:
    above, below = Channel("above"), Channel("below")
    above.subscribe(below)
    below.close()
    assert above.subscribers() == ()
    assert above.subscribe(below) == -1
