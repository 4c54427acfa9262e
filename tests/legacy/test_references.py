"""What references do in the style of old; their runtimes are in one process."""

import pytest

from greencoro.distributed import refs
from greencoro.distributed.memory import MemoryNetwork
from greencoro.distributed.reference_classes import ReferenceClasses
from greencoro.distributed.refs import Reference
from greencoro.distributed.remote_channel import SUBSCRIBE, UNSUBSCRIBE
from greencoro.hub.channel import Channel
from greencoro.hub.execution import sleep
from greencoro.legacy import coro as legacy_coro
from greencoro.legacy.channel import Channel as LegacyChannel
from greencoro.legacy.rci import RCI, RemoteRCI
from greencoro.legacy.references import RemoteChannel, RemoteCoro
from tests.distributed.conftest import Pair, World, reference
from tests.support.polling import poll_until


@pytest.fixture
def pair():
    world = World(MemoryNetwork())
    one, other = world.runtime(), world.runtime()
    one.reference_classes = ReferenceClasses(RemoteCoro, RemoteChannel, RemoteRCI)
    assert one.peer(other.location, timeout=10) == 0
    poll_until(lambda: one.location in other.peers())
    yield Pair(one, other, world)
    world.finish()


def channel_at(runtime, name="news"):
    def make():
        made = Channel(name)
        assert made.register() == 0
        return made

    return runtime.spawn(make).value(10)


def to_channel(runtime, channel):
    home = channel.home
    number = refs.number("channel", channel.id)
    return runtime.resolve(Reference(home.location, home.incarnation, number, channel.name))


def ended(pair):
    """A reference to a coroutine that is over, which is known here."""
    there = pair.at_other(lambda: None)
    poll_until(lambda: not there._runtime.link_for(there._reference) or pair.run(there.deliver, 1, 5) == 0)
    poll_until(lambda: there.reach() is None)
    return there


def test_references_are_shown_as_of_old_and_are_coroutines_and_channels(pair):
    there = pair.at_other(sleep, 0)
    assert str(there) == repr(there) == f"~sleep/{there.id}@{pair.other.location}"
    assert isinstance(there, legacy_coro.Coro)
    channel = to_channel(pair.one, channel_at(pair.other))
    assert str(channel) == f"~news@{pair.other.location}"
    assert isinstance(channel, LegacyChannel)
    number = refs.number("rci", 1)
    rci = pair.one.resolve(Reference(pair.other.location, pair.other.incarnation, number, "f"))
    assert str(rci) == f"f@{pair.other.location}" and isinstance(rci, RCI)


def test_send_and_terminate_to_one_that_is_over_give_0_and_deliver_0(pair):
    there = ended(pair)
    assert (there.send("x"), there.terminate(), pair.run(there.deliver, "x", 5)) == (0, 0, 0)
    assert pair.run(lambda coro=None: coro.monitor(there)) == -1


def test_send_and_terminate_to_a_lost_peer_give_minus_1_and_deliver_0(pair):
    target = pair.other.spawn(lambda coro=None: sleep(60))
    there = reference(pair.one, target)
    assert there.send("x") == 0
    channel = to_channel(pair.one, channel_at(pair.other))
    assert channel.send("x") == 0
    pair.other.finish(1.0)
    poll_until(lambda: not pair.one.peers())
    assert (there.send("x"), there.terminate(), there.deliver("x", 5)) == (-1, -1, 0)
    assert (channel.send("x"), channel.deliver("x", 5)) == (-1, 0)
    assert channel.subscribe(pair.one.spawn(sleep, 0), 5) == -1
    target.terminate()


def test_terminate_lets_nobody_else_run_before_the_next_yield(pair):
    target = pair.other.spawn(lambda coro=None: coro.receive())
    there = reference(pair.one, target)
    others = []

    def other():
        others.append("ran")
        yield

    def ends_it(coro=None):
        pair.one.spawn(other)
        yield there.terminate(), list(others)

    assert pair.run(ends_it) == (0, [])
    poll_until(lambda: not target.is_alive())


def test_what_cannot_be_pickled_is_dropped_and_the_sender_not_told(pair, capsys):
    got = pair.other.spawn(lambda coro=None: coro.receive())
    there = reference(pair.one, got)
    channel = to_channel(pair.one, channel_at(pair.other))
    assert (there.send(lambda: 1), there.deliver(lambda: 1, 5)) == (0, 0)
    assert (channel.send(lambda: 1), channel.deliver(lambda: 1, 5)) == (0, 0)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 4 and all("a message for ~" in line and "is dropped" in line for line in told)
    assert there.send("after it") == 0 and got.value(10) == "after it"


def test_what_is_too_large_for_a_message_gives_minus_1():
    world = World(MemoryNetwork())
    one, other = (world.runtime(max_message_bytes=10_000, max_queue_bytes=10_000) for _ in range(2))
    one.reference_classes = ReferenceClasses(RemoteCoro)
    assert one.peer(other.location, timeout=10) == 0
    got = other.spawn(lambda coro=None: coro.receive())
    there = reference(one, got)
    assert there.send(bytes(20_000)) == -1
    assert there.send("small") == 0 and got.value(10) == "small"
    world.finish()


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("notify", (None,)),
        ("register", ()),
        ("unregister", ()),
        ("receive", ()),
        ("recv", (1, None)),
        ("suspend", (1,)),
        ("sleep", (1,)),
        ("resume", (1,)),
        ("wakeup", ()),
        ("throw", (ValueError(),)),
        ("set_daemon", ()),
        ("hot_swappable", (True,)),
        ("hot_swap", (sleep, 1)),
    ],
)
def test_what_only_its_own_process_can_do_gives_minus_1(pair, method, arguments):
    there = pair.at_other(sleep, 0)
    assert getattr(there, method)(*arguments) == -1


def test_a_channel_elsewhere_cannot_be_changed_from_here(pair, capsys):
    channel = channel_at(pair.other)
    there = to_channel(pair.one, channel)
    assert (there.register(), there.unregister(), there.set_transform(None)) == (-1, -1, -1)
    there.close()
    assert channel.is_alive()
    assert capsys.readouterr().out.count("works in its own process only") == 2


def test_subscribe_and_unsubscribe_give_0_or_minus_1(pair):
    there = to_channel(pair.one, channel_at(pair.other))
    me = pair.one.spawn(lambda coro=None: coro.receive())
    assert [there.subscribe(me, 5), there.subscribe(me), there.unsubscribe(me), there.unsubscribe(me)] == [0, 0, 0, -1]
    assert there.subscribe("nobody") == there.unsubscribe("nobody") == there.subscribe(there) == -1
    me.send("over")


def test_subscribe_and_unsubscribe_give_none_where_nobody_answers_in_time(pair):
    there = to_channel(pair.one, channel_at(pair.other))
    me = pair.one.spawn(lambda coro=None: coro.receive())
    for operation in (SUBSCRIBE, UNSUBSCRIBE):
        pair.other.handle(operation, lambda request: None, on_reactor=True)
    assert there.subscribe(me, 0.05) is None and there.unsubscribe(me, 0.05) is None
    me.send("over")


def test_monitor_gives_none_where_nobody_answers_in_time(pair, monkeypatch):
    there = pair.at_other(lambda coro=None: coro.receive())
    monkeypatch.setattr(there._runtime, "answer_timeout_seconds", 0.0)
    monkeypatch.setattr(there._runtime.watches, "watch", lambda *arguments: None)
    assert pair.run(lambda coro=None: coro.monitor(there)) is None
    monkeypatch.undo()
    there.send("over")


@pytest.mark.parametrize("n", [-1, "1", 1.0, None])
def test_deliver_through_a_channel_to_no_number_of_subscribers_gives_minus_1(pair, n):
    assert to_channel(pair.one, channel_at(pair.other)).deliver("x", 1, n) == -1


def test_deliver_through_a_channel_elsewhere_counts_who_has_it(pair):
    channel = channel_at(pair.other)
    there = to_channel(pair.one, channel)
    assert there.deliver("nobody", 5) == 0
    readers = [pair.one.spawn(lambda coro=None: coro.receive()) for _ in range(2)]
    assert [there.subscribe(reader) for reader in readers] == [0, 0]
    assert there.deliver("both", 5, 2) == 2
    assert [reader.value(10) for reader in readers] == ["both", "both"]
