"""Channels between runtimes: the promises M1, M2 and M5 to M8 through a channel, over every transport."""

import pickle
import random
import threading
import time

import pytest

from greencoro.distributed import messages, refs
from greencoro.distributed.backlog import Backlogs
from greencoro.distributed.messages import ChannelDeliver
from greencoro.distributed.refs import Reference
from greencoro.distributed.remote_channel import RemoteChannel, _Timed
from greencoro.errors import LocalProtocolError
from greencoro.hub import native
from greencoro.hub.channel import Channel
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.distributed.channels import (
    Gate,
    await_one_that_waits_for_room,
    channel_at,
    collect,
    idle,
    remote,
    subscriber_of,
)
from tests.distributed.conftest import reference
from tests.support.polling import poll_until
from tests.support.timing import fastest


@pytest.fixture
def channel(runtime_pair):
    """A channel of `other`."""
    made = channel_at(runtime_pair.other)
    yield made
    made.close()


@pytest.fixture
def there(runtime_pair, channel):
    """`one`'s reference to it."""
    return remote(runtime_pair.one, channel)


def test_a_channel_is_located_and_leads_there(runtime_pair, channel):
    found = runtime_pair.run(lambda: Channel.locate("news", timeout=10))
    assert isinstance(found, RemoteChannel) and isinstance(found, Channel)
    assert found == remote(runtime_pair.one, channel) and hash(found) == hash(remote(runtime_pair.one, channel))
    assert found != channel
    assert found.location == runtime_pair.other.location
    assert found.is_alive() and not found.is_local()
    assert repr(found) == f"news/{channel.id}@{runtime_pair.other.location}"
    subscriber = subscriber_of(channel, runtime_pair.other, collect, 2)
    assert found.send("a") == 0
    assert found.deliver("b", 10) == 1
    assert subscriber.value(10) == ["a", "b"]


def test_a_coroutine_and_a_channel_of_one_number_are_told_apart(runtime_pair, channel, there):
    coro = runtime_pair.other.spawn(idle)
    number = Reference(there.location, there.incarnation, channel.id, "news")
    assert runtime_pair.one.resolve(number) != there
    assert refs.kind_of(refs.number("channel", coro.id)) == ("channel", coro.id)
    coro.terminate()


@pytest.mark.parametrize("transform", [None, lambda name, message: message], ids=["plain", "transform"])
@pytest.mark.parametrize("home", ["one", "other"])
def test_those_who_subscribe_through_a_reference_get_what_is_sent_from_then_until_they_unsubscribe(
    runtime_pair, channel, there, home, transform
):
    channel.set_transform(transform)
    runtime = getattr(runtime_pair, home)
    coro = runtime.spawn(collect, 2)
    subscriber = reference(runtime_pair.one, coro) if home == "other" else coro
    assert there.send("before") == 0
    assert there.subscribe(subscriber, timeout=10) == 0
    assert there.subscribe(subscriber, timeout=10) == 0
    assert there.deliver("first", 10) == 1
    assert there.unsubscribe(subscriber, timeout=10) == 0
    assert there.unsubscribe(subscriber, timeout=10) == -1
    assert there.deliver("meanwhile", 10) == 0
    assert there.subscribe(subscriber, timeout=10) == 0
    assert there.send("second") == 0
    assert coro.value(10) == ["first", "second"]


def test_a_transform_runs_where_the_channel_is(runtime_pair, channel, there):
    seen = []

    def transform(name, message):
        seen.append((name, message, Coro.current().home))
        return None if message < 0 else message * 2

    channel.set_transform(transform)
    subscriber = subscriber_of(channel, runtime_pair.other, collect, 1)
    assert there.deliver(-1, 10) == 0
    assert there.deliver(21, 10) == 1
    assert subscriber.value(10) == [42]
    assert seen == [("news", -1, runtime_pair.other), ("news", 21, runtime_pair.other)]


def test_a_channel_travels_as_a_reference_though_it_is_not_registered(runtime_pair):
    def make():
        return Channel("private")

    channel = runtime_pair.other.spawn(make).value(10)
    receiver = runtime_pair.one.spawn(collect, 1)
    reply_to = reference(runtime_pair.other, receiver)
    assert runtime_pair.other.spawn(reply_to.send, channel).value(10) == 0
    (found,) = receiver.value(10)
    assert isinstance(found, RemoteChannel) and found.name == "private"
    subscriber = subscriber_of(channel, runtime_pair.other, collect, 1)
    assert found.deliver("x", 10) == 1
    assert subscriber.value(10) == ["x"]
    # And home again.
    back = runtime_pair.other.spawn(collect, 1)
    assert reference(runtime_pair.one, back).send(found) == 0
    assert back.value(10) == [channel]


def test_a_reference_survives_pickling(runtime_pair, there):
    pickled = pickle.dumps(there)
    assert runtime_pair.run(lambda: pickle.loads(pickled)) == there


@pytest.mark.parametrize("how", ["unregistered", "closed", "unknown"])
def test_M7_deliver_to_a_channel_that_peers_may_not_use_says_0_at_once(runtime_pair, channel, there, how):
    subscriber = subscriber_of(channel, runtime_pair.other, collect, 1)
    if how == "unregistered":
        assert channel.unregister() == 0
    elif how == "closed":
        channel.close()
    else:
        there = runtime_pair.one.resolve(there._reference._replace(id=refs.number("channel", 1 << 40)))
    (link,) = runtime_pair.one.peer_table.online()

    def deliver(arguments):
        link.forget_gone()  # each asks, whatever was said to the one before
        assert there.deliver("x", **arguments) == 0

    for arguments in ({"timeout": 5}, {"timeout": 5, "n": 5}, {}):
        assert fastest(lambda arguments=arguments: deliver(arguments)) < 0.5
    assert there.send("x") == (0 if how == "unregistered" else -1)
    assert there.subscribe(subscriber, timeout=20) == -1
    assert there.is_alive() == (how == "unregistered")
    if how == "unregistered":
        assert channel.register() == 0
        assert there.deliver("again", 10) == 1
    else:
        subscriber.send("again")
    assert subscriber.value(10) == ["again"]


@pytest.mark.parametrize("transform", [None, lambda name, message: message], ids=["plain", "transform"])
def test_M1_M2_order_is_kept_for_each_sender_with_sends_and_deliveries_of_any_size_mixed(
    runtime_pair, channel, there, transform
):
    channel.set_transform(transform)
    per_sender, senders = 60, 4
    here = [runtime_pair.one.spawn(collect, per_sender * senders) for _ in range(2)]
    beside = [runtime_pair.other.spawn(collect, per_sender * senders) for _ in range(2)]
    for coro in here:
        assert there.subscribe(coro, timeout=10) == 0
    for coro in beside:
        assert channel.subscribe(coro) == 0

    def send_all(who):
        dice = random.Random(who)
        for number in range(per_sender):
            message = (who, number, bytes(dice.choice([0, 10, 1000, 70_000, 300_000])))
            if dice.random() < 0.3:
                assert there.deliver(message, 20, n=dice.choice([0, 4])) == 4
            else:
                assert there.send(message) == 0

    for sender in [runtime_pair.one.spawn(send_all, who) for who in range(senders)]:
        sender.value(60)
    for subscriber in here + beside:
        got = subscriber.value(30)
        for who in range(senders):
            assert [number for sender, number, _ in got if sender == who] == list(range(per_sender))


def test_it_waits_until_there_are_enough_and_holds_up_nobody_else(runtime_pair, channel, there):
    waiting = runtime_pair.one.spawn(there.deliver, "for three", 30, 3)
    poll_until(lambda: channel._waiting, what="the wait for subscribers")
    subscribers = [subscriber_of(channel, runtime_pair.other, collect, 2) for _ in range(2)]
    assert runtime_pair.run(there.deliver, "for all", 10) == 2
    assert waiting.is_alive()
    subscribers.append(subscriber_of(channel, runtime_pair.other, collect, 1))
    assert waiting.value(10) == 3
    assert [each.value(10)[-1] for each in subscribers] == ["for three"] * 3


def test_where_they_do_not_come_in_time_those_that_are_there_get_it(runtime_pair, channel, there):
    subscriber = subscriber_of(channel, runtime_pair.other, collect, 1)
    assert there.deliver("x", 0.3, n=3) == 1
    assert subscriber.value(10) == ["x"]


def test_M6_a_delivery_that_nobody_waits_for_any_more_does_not_arrive_later(runtime_pair, channel, there):
    giving_up = runtime_pair.one.spawn(there.deliver, "too late", None, 2)
    poll_until(lambda: channel._waiting, what="the wait for subscribers")
    giving_up.terminate()
    poll_until(lambda: not channel._waiting, what="the end of the wait")
    subscribers = [subscriber_of(channel, runtime_pair.other, collect, 1) for _ in range(2)]
    assert there.deliver("now", 10, n=2) == 2
    assert [each.value(10) for each in subscribers] == [["now"], ["now"]]


def test_a_wait_for_subscribers_ends_with_the_link(runtime_pair, channel, there):
    waiting = runtime_pair.one.spawn(there.deliver, "x", None, 2)
    poll_until(lambda: channel._waiting, what="the wait for subscribers")
    runtime_pair.one.finish()
    assert waiting.value(10) == 0
    poll_until(lambda: not channel._waiting, what="the end of the wait")


def test_M5_what_cannot_be_sent_raises_and_leaves_the_link_alone(world):
    one, other = world.runtime(max_message_bytes=100_000), world.runtime()
    channel = channel_at(other)
    there = remote(one, channel)
    subscriber = subscriber_of(channel, other, collect, 1)
    for sending in (there.send, there.deliver):
        with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
            sending(threading.Lock())
        with pytest.raises(LocalProtocolError):
            sending(bytes(200_000))
    assert there.deliver("x", 10) == 1
    assert subscriber.value(10) == ["x"]
    channel.close()


def test_send_and_deliver_to_a_lost_peer_say_so(runtime_pair, there):
    coro = runtime_pair.one.spawn(idle)
    assert there.deliver("x", 10) == 0
    runtime_pair.other.finish()
    poll_until(lambda: not runtime_pair.one.peers())
    assert there.send("x") == -1
    assert there.deliver("x", 10) == 0
    assert there.subscribe(coro, timeout=10) == there.unsubscribe(coro, timeout=10) == -1
    assert not there.is_alive()
    coro.terminate()


def test_M8_lost_subscribers_leave_the_table_and_delay_nobody(runtime_pair, channel, there):
    third = runtime_pair.world.runtime()
    lost = [third.spawn(idle) for _ in range(2)]
    for coro in lost:
        assert remote(third, channel).subscribe(coro, timeout=10) == 0
    subscriber = subscriber_of(channel, runtime_pair.other, collect, 2)
    assert there.deliver("to all", 10) == 3
    third.finish()
    poll_until(lambda: len(channel.everybody()) == 1, what="the lost ones are gone, though nobody sent")
    assert there.deliver("to one", 10) == 1
    assert subscriber.value(10) == ["to all", "to one"]
    for coro in lost:
        coro.terminate()


def test_M8_one_that_is_over_leaves_the_table(runtime_pair, channel, there):
    coro = runtime_pair.one.spawn(collect, 1)
    assert there.subscribe(coro, timeout=10) == 0
    assert there.deliver("last", 10) == 1
    coro.value(10)
    poll_until(lambda: there.deliver("x", 10) == 0 and not channel.everybody(), what="it is gone from the table")


def test_B1_B2_a_slow_subscriber_bounds_what_is_kept_for_it_and_the_others_get_everything(world):
    one = world.runtime(max_queue_messages=8, send_timeout_seconds=0.2)
    other = world.runtime(max_queue_messages=8, send_timeout_seconds=0.2)
    channel = channel_at(other)
    there = remote(one, channel)
    slow, quick = subscriber_of(channel, other, idle), subscriber_of(channel, other, collect, 12)
    assert [there.deliver(number, 1.0) for number in range(8)] == [2] * 8
    began = time.monotonic()
    assert [there.deliver(number, 0.2) for number in (8, 9)] == [1, 1]
    assert time.monotonic() - began < 5
    assert [there.send(number) for number in (10, 11)] == [0, 0]
    assert quick.value(10) == list(range(12))
    assert len(slow._mailbox) == 8
    slow.terminate()
    channel.close()


def test_M1_what_comes_as_room_is_made_does_not_overtake_what_waits_for_it(world):
    one, other = world.runtime(max_queue_messages=8), world.runtime(max_queue_messages=4)
    channel = channel_at(other)
    there = remote(one, channel)
    assert one.peer(other.location, timeout=10) == 0
    may_read, has_read, may_go_on = threading.Event(), threading.Event(), threading.Event()

    def read_late(coro=None):
        while not may_read.is_set():
            sleep(0.01)
        first = coro.receive()
        has_read.set()
        # Nobody else has a turn on the user hub before the next message has come.
        may_go_on.wait(10)
        return [first, *collect(5, coro)]

    slow = subscriber_of(channel, other, read_late)
    assert [there.send(number) for number in range(5)] == [0] * 5
    await_one_that_waits_for_room(other)
    poll_until(lambda: len(slow._mailbox) == 4)
    may_read.set()
    assert has_read.wait(10)
    assert there.send(5) == 0
    (link,) = other.peer_table.online()
    poll_until(lambda: link.inflows[there._reference.id].arrived_messages == 6)
    may_go_on.set()
    assert slow.value(10) == [0, 1, 2, 3, 4, 5]
    channel.close()


def test_M9_one_sender_that_waits_for_a_slow_subscriber_holds_up_no_other(world):
    one, other = world.runtime(max_queue_messages=8), world.runtime(max_queue_messages=8)
    channel = channel_at(other)
    there = remote(one, channel)
    slow = subscriber_of(channel, other, idle)
    assert [there.deliver(number, 10) for number in range(8)] == [1] * 8
    waiting = one.spawn(there.deliver, "waits", 40)
    await_one_that_waits_for_room(other)
    quick = subscriber_of(channel, other, collect, 100)
    # Now and then a machine that does other things as well takes longer to answer than the sender waits.
    poll_until(lambda: one.spawn(there.deliver, "passes", 0.5).value(20) == 1, what="a delivery passes")
    assert waiting.is_alive()
    quick.terminate()
    slow.terminate()
    assert waiting.value(10) == 0
    channel.close()


def test_B2_a_sender_without_credit_waits_and_goes_on(world):
    one, other = world.runtime(max_queue_messages=8), world.runtime(max_queue_messages=8)
    gate = Gate()
    channel = channel_at(other, transform=gate)
    there = remote(one, channel)
    subscriber = subscriber_of(channel, other, collect, 40)
    sending = one.spawn(lambda: [there.send(number) for number in range(40)])
    with pytest.raises(TimeoutError):
        sending.value(0.3)
    gate.open()
    assert sending.value(20) == [0] * 40
    assert subscriber.value(20) == list(range(40))
    channel.close()


def test_B1_who_sends_beyond_its_credit_loses_its_link(world):
    one, other = world.runtime(), world.runtime(max_queue_messages=4)
    gate = Gate()
    channel = channel_at(other, transform=gate)
    there = remote(one, channel)
    subscriber = subscriber_of(channel, other, idle)
    assert one.peer(other.location, timeout=10) == 0
    (link,) = one.peer_table.online()
    head = messages.ChannelSend(there._reference.id, 1, (), b"").header()
    for _ in range(5):
        link.send(None, [head, b"\0\0N."])
    poll_until(lambda: link.is_lost, what="the end of the link")
    gate.open()
    subscriber.terminate()
    channel.close()


def test_a_channel_subscribes_to_a_channel_elsewhere_and_each_transforms(runtime_pair, channel, there):
    below = channel_at(runtime_pair.one, "below", lambda name, message: f"{name}({message})")
    channel.set_transform(lambda name, message: f"{name}({message})")
    subscriber = runtime_pair.one.spawn(collect, 3)
    below.subscribe(subscriber)
    assert there.subscribe(below, timeout=10) == 0
    assert there.send(1) == 0
    assert there.deliver(2, 10) == 1
    assert runtime_pair.other.spawn(channel.deliver, 3, 10).value(20) == 1
    assert subscriber.value(10) == ["below(news(1))", "below(news(2))", "below(news(3))"]
    below.close()


def test_a_reference_subscribes_to_a_channel_here(runtime_pair, channel, there):
    above = channel_at(runtime_pair.one, "above")
    assert above.subscribe(there) == 0
    subscriber = subscriber_of(channel, runtime_pair.other, collect, 3)
    assert above.deliver(1, 10) == 1
    assert above.send(2) == 0
    assert runtime_pair.run(above.deliver, 3, 10) == 1
    assert subscriber.value(10) == [1, 2, 3]
    assert above.unsubscribe(there) == 0
    above.close()


def test_M2_in_a_circle_of_channels_each_subscriber_gets_a_message_once(runtime_pair, channel, there):
    third = runtime_pair.world.runtime()
    here, far = channel_at(runtime_pair.one, "here"), channel_at(third, "far")
    inner = runtime_pair.one.spawn(Channel, "inner").value(5)
    # here -> inner -> news (other) -> far (third) -> here
    assert here.subscribe(inner) == 0
    assert inner.subscribe(there) == 0
    assert channel.subscribe(remote(runtime_pair.other, far)) == 0
    assert far.subscribe(remote(third, here)) == 0
    subscribers = [
        subscriber_of(each, runtime, collect, 8)
        for each, runtime in ((here, runtime_pair.one), (inner, runtime_pair.one), (channel, runtime_pair.other))
    ]
    subscribers.append(subscriber_of(far, third, collect, 8))
    for each, runtime in ((here, runtime_pair.one), (channel, runtime_pair.other), (far, third)):
        assert runtime.spawn(each.deliver, each.name, 20).value(30) == 4
    assert runtime_pair.run(inner.deliver, "inner", 20) == 4
    for each in (here, channel, far, inner):
        assert each.send("again") == 0
    for subscriber in subscribers:
        got = subscriber.value(20)
        assert sorted(got[:4]) == ["far", "here", "inner", "news"]
        assert got[4:] == ["again"] * 4
    for each in (here, far, inner):
        each.close()


def test_what_works_in_its_own_process_only_says_so(there):
    for call in (there.subscribers, there.close, lambda: there.set_transform(None)):
        with pytest.raises(RuntimeError, match="in its own process only"):
            call()
    assert there.register() == there.unregister() == -1


def test_bad_input_is_refused_at_the_call(there):
    for call in (
        lambda: there.subscribe("me"),
        lambda: there.unsubscribe(None),
        lambda: there.deliver("x", "soon"),
        lambda: there.deliver("x", 1, n="two"),
        lambda: there.deliver("x", 1, n=True),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="at least 0"):
        there.deliver("x", 1, n=-1)
    with pytest.raises(ValueError, match="NaN"):
        there.deliver("x", float("nan"))


def test_M6_a_delivery_counts_for_a_subscriber_that_reads_it_and_ends_at_once(
    runtime_pair, channel, there, monkeypatch
):
    put = Backlogs.put

    def put_and_look_late(backlogs, peer, coro, *rest):
        over = native.Event()
        assert coro.add_observer(lambda coro: over.set())
        done = put(backlogs, peer, coro, *rest)
        assert over.wait(10)
        return done

    monkeypatch.setattr(Backlogs, "put", put_and_look_late)
    subscriber = subscriber_of(channel, runtime_pair.other, collect, 1)
    assert there.deliver("x", 20) == 1
    assert subscriber.value(10) == ["x"]


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"channel": "news", "subscriber": None},
        {"channel": 1 << 62, "subscriber": ["127.0.0.1", 1, "00" * 16, -5, "x"]},
        {"channel": True, "subscriber": ["127.0.0.1", 1, "zz" * 16, 5, "x"]},
        {"channel": None, "subscriber": ["127.0.0.1", 70000, "00" * 16, 5, "x"]},
        {"channel": [], "subscriber": ["127.0.0.1", 1, "00" * 16, (1 << 61) | 5, "x"]},
    ],
)
def test_S11_a_subscription_with_wrong_fields_is_refused_and_nothing_else(runtime_pair, channel, there, header):
    to = runtime_pair.one.peer_infos()[0]
    for operation in ("greencoro.channel.subscribe", "greencoro.channel.unsubscribe"):
        with pytest.raises(Exception, match=r"reference|names no channel"):
            runtime_pair.one.request(to, operation, header, timeout=10)
    subscriber = subscriber_of(channel, runtime_pair.other, collect, 1)
    assert there.deliver("x", 10) == 1
    assert subscriber.value(10) == ["x"]


def test_the_head_of_a_delivery_says_how_much_time_is_left_when_it_goes_and_is_made_once(monkeypatch):
    made = []
    monkeypatch.setattr(ChannelDeliver, "header", lambda head: made.append(head.seconds) or b"head")
    buffers = _Timed(ChannelDeliver(1, 2, 3, 4, 0.0, (), b""), native.monotonic() + 50, [b"a", b"b"])
    assert list(buffers) == [b"head", b"a", b"b"] and len(made) == 1
    assert 0 < made[0] <= 50 and buffers[-1] == b"b" and buffers[1:] == [b"a", b"b"] and len(buffers) == 3
