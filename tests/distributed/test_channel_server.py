"""What peers send through channels here: each subscriber safe from the others, each sender from other senders."""

import asyncio
import threading
import time

import pytest

from greencoro.distributed import messages
from greencoro.distributed.peer_status import PeerStatus
from greencoro.hub.channel import Channel
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
from tests.support.held import hold_still
from tests.support.polling import poll_until

np = pytest.importorskip("numpy")


def spoil(coro=None):
    """Changes what it got, and says when."""
    got = coro.receive()
    got[:] = 7
    return got


@pytest.mark.parametrize("placed", ["here", "here and elsewhere"])
def test_who_changes_a_large_message_changes_it_for_itself_only(runtime_pair, placed):
    one, other = runtime_pair.one, runtime_pair.other
    channel = channel_at(other)
    there = remote(one, channel)
    may_look = threading.Event()

    def look(coro=None):
        while not may_look.is_set():
            sleep(0.001)
        return coro.receive()

    spoiling, looking = subscriber_of(channel, other, spoil), subscriber_of(channel, other, look)
    elsewhere = one.spawn(collect, 1)
    if placed != "here":
        assert there.subscribe(elsewhere, 10) == 0
    sent = np.arange(200_000)
    assert there.deliver(sent, 20) == (2 if placed == "here" else 3)
    assert (spoiling.value(10) == 7).all()
    may_look.set()
    got = looking.value(10)
    assert (got == sent).all() and got.dtype == sent.dtype
    got += 1  # its own, to do with as it likes
    if placed != "here":
        assert (elsewhere.value(10)[0] == sent).all()
    elsewhere.terminate()
    channel.close()


def test_M9_messages_of_two_origins_that_come_through_one_channel_do_not_wait_for_each_other(world):
    """Coroutines of two processes may have one number; what they sent is told apart all the same."""
    one, other, middle = world.runtime(), world.runtime(), world.runtime()
    last = world.runtime(max_queue_messages=4)
    between, end = channel_at(middle, "between"), channel_at(last, "end")
    assert between.subscribe(remote(middle, end)) == 0
    slow = subscriber_of(end, last, idle)
    number = 77

    def through(runtime, payload):
        """As the coroutine ``number`` of that runtime."""
        link = next(link for link in runtime.peer_table.online() if link.info.location == middle.location)
        there = remote(runtime, between)._reference.id
        link.send(there, [messages.ChannelSend(there, number, (), b"").header(), payload])

    for runtime in (one, other):
        assert runtime.peer(middle.location, timeout=10) == 0
    payloads = [b"\0\0" + bytes((0x80, 4, 0x4B, value, 0x2E)) for value in range(8)]  # whole numbers, pickled
    for payload in payloads[:5]:
        through(one, payload)
    poll_until(lambda: len(slow._mailbox) == 4, what="a full backlog")
    await_one_that_waits_for_room(last)
    quick = subscriber_of(end, last, collect, 1)
    through(other, payloads[7])
    assert quick.value(10)[-1] == 7
    slow.terminate()
    for channel in (between, end):
        channel.close()


@pytest.mark.parametrize("how", ["send", "deliver", "send_async"])
def test_M9_what_others_send_through_a_channel_passes_a_large_message_and_what_its_sender_sends_does_not(
    runtime_pair, how
):
    one, other = runtime_pair.one, runtime_pair.other
    channel = channel_at(other)
    there = remote(one, channel)
    assert there.deliver("nobody is there yet", 10) == 0
    subscriber = subscriber_of(channel, other, collect, 4)
    (link,) = one.peer_table.online()

    def send_large():
        there.send(bytes(60 << 20))
        if how == "send_async":
            asyncio.run(there.send_async("after it"))
        else:
            getattr(there, how)("after it")

    go_on = hold_still(one.reactor)
    sending = threading.Thread(target=send_large)
    sending.start()
    poll_until(lambda: link._queue.waiting[0] == 2)
    pinging = [one.spawn(there.send, "sent"), one.spawn(there.deliver, "delivered", 20)]
    poll_until(lambda: link._queue.waiting[0] == 4, what="all are queued behind the large one")
    go_on.set()
    *first, large, last = subscriber.value(30)
    assert sorted(first) == ["delivered", "sent"] and len(large) == 60 << 20 and last == "after it"
    assert [each.value(10) for each in pinging] == [0, 1]
    sending.join(10)
    channel.close()


def test_M1_what_a_generator_sent_beyond_the_credit_does_not_overtake_what_it_sent_within_it(world):
    one, other = world.runtime(max_queue_messages=2), world.runtime(max_queue_messages=2)
    channel = channel_at(other)
    there = remote(one, channel)
    subscriber = subscriber_of(channel, other, collect, 3)
    assert one.peer(other.location, timeout=10) == 0

    def send_all(coro=None):
        # There is credit for the last one as soon as the first has come, when the large one has hardly begun.
        yield [there.send(message) for message in ("first", bytes(60 << 20), "overdrawn")]

    go_on = hold_still(one.reactor)
    sending = one.spawn(send_all)
    (link,) = one.peer_table.online()
    poll_until(lambda: len(link.overdrafts) == 1)
    go_on.set()
    assert sending.value(20) == [0] * 3
    assert [message if len(message) < 20 else "large" for message in subscriber.value(20)] == [
        "first",
        "large",
        "overdrawn",
    ]
    channel.close()


def test_M6_that_a_large_delivery_is_taken_back_is_said_after_it_came(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    channel = channel_at(other)
    there = remote(one, channel)
    assert there.deliver("nobody is there yet", 10) == 0
    (mine,), (theirs,) = one.peer_table.online(), other.peer_table.online()
    is_held, go_on = threading.Event(), threading.Event()

    def hold_when_it_has_begun():
        if mine.wire.connection.session.outbox._begun:
            is_held.set()
            go_on.wait(20)
        else:
            one.reactor.call_later(0.0, hold_when_it_has_begun)

    one.reactor.post(hold_when_it_has_begun)
    giving_up = one.spawn(there.deliver, bytes(60 << 20), None, 2)
    assert is_held.wait(15), "a part of it is sent"
    giving_up.terminate()
    poll_until(lambda: not giving_up.is_alive())
    go_on.set()
    inflow = theirs.inflows[there._reference.id]
    poll_until(lambda: inflow.arrived_messages == 2 and not other.services._channels._deliveries[theirs])
    subscribers = [subscriber_of(channel, other, collect, 1) for _ in range(2)]
    assert there.deliver("now", 10, n=2) == 2
    assert [each.value(10) for each in subscribers] == [["now"], ["now"]]
    channel.close()


def test_after_unregister_no_peer_reaches_a_channel_that_only_travelled(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    channel = other.spawn(Channel, "private").value(10)
    receiver = one.spawn(collect, 1)
    assert other.spawn(reference(other, receiver).send, channel).value(10) == 0
    (found,) = receiver.value(10)
    subscriber = subscriber_of(channel, other, collect, 2)
    assert found.deliver("open", 10) == 1
    waiting = one.spawn(found.deliver, "for two", 30, 2)
    poll_until(lambda: channel._waiting, what="a delivery that waits")
    assert channel.unregister() == -1, "no name of its own"
    assert not channel.is_open_to_peers()
    assert found.deliver("closed", 10) == 0
    beside = subscriber_of(channel, other, idle)
    assert waiting.value(10) == 0, "what waited is not let through later"
    assert channel.deliver("here", 10) == 2
    assert subscriber.value(10) == ["open", "here"]
    beside.terminate()
    channel.close()


def test_a_channel_with_another_name_stays_open_where_one_is_given_up(runtime_pair):
    channel = channel_at(runtime_pair.other)
    assert runtime_pair.other.spawn(channel.unregister, "another").value(10) == -1
    assert remote(runtime_pair.one, channel).deliver("x", 10) == 0
    assert channel.is_open_to_peers()
    channel.close()


def test_B2_on_an_asyncio_loop_credit_is_awaited_and_the_loop_goes_on(world):
    one, other = world.runtime(max_queue_messages=8), world.runtime(max_queue_messages=8)
    gate = Gate()
    channel = channel_at(other, transform=gate)
    there = remote(one, channel)
    above = one.spawn(Channel, "above").value(10)
    assert above.subscribe(there) == 0
    subscriber = subscriber_of(channel, other, collect, 30)

    async def program():
        turns = 0

        async def turn():
            nonlocal turns
            while turns < 100:
                turns += 1
                if turns == 100:
                    gate.open()
                await asyncio.sleep(0.001)

        turning = asyncio.create_task(turn())
        # To the channel itself, and through one of this process that it subscribes to.
        sent = [await sender.send_async(number) for number in range(15) for sender in (there, above)]
        await turning
        return sent, turns

    sent, turns = asyncio.run(program())
    assert (sent, turns) == ([0] * 30, 100)
    assert subscriber.value(20) == [number for number in range(15) for _ in range(2)]
    channel.close()
    above.close()


def test_send_async_after_a_loss_or_beyond_the_send_timeout_is_refused(world):
    one = world.runtime(max_queue_messages=4, send_timeout_seconds=0.05)
    other = world.runtime(max_queue_messages=4)
    gate = Gate()
    channel = channel_at(other, transform=gate)
    there = remote(one, channel)
    subscriber = subscriber_of(channel, other, idle)

    async def program():
        return [await there.send_async(number) for number in range(5)]

    assert asyncio.run(program()) == [0, 0, 0, 0, -1]
    gate.open()
    other.finish()
    poll_until(lambda: not one.peers(), what="the loss")
    assert asyncio.run(there.send_async("x")) == -1
    subscriber.terminate()
    channel.close()


def test_M8_a_delivery_that_waited_for_credit_waits_elsewhere_only_for_what_is_left(world):
    one, other = world.runtime(max_queue_messages=4), world.runtime(max_queue_messages=4)
    gate = Gate()
    channel = channel_at(other, transform=gate)
    there = remote(one, channel)
    subscriber = subscriber_of(channel, other, collect, 5)
    assert [there.send(number) for number in range(4)] == [0] * 4
    began = time.monotonic()
    delivering = one.spawn(there.deliver, 4, 2.5, 3)
    poll_until(lambda: time.monotonic() - began > 1.2, what="half of its time is over")
    gate.open()
    assert delivering.value(20) == 1, "the one that is there got it, and that was told in time"
    assert subscriber.value(10) == list(range(5))
    channel.close()


def test_a_subscriber_can_notice_that_the_channel_was_lost(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    channel = channel_at(other)

    def listen(coro=None):
        one.peer_status(coro)
        assert remote(one, channel).subscribe(coro, 10) == 0
        while True:
            told = coro.receive(20)
            if told is None or told.status == PeerStatus.Offline:
                return told

    listening = one.spawn(listen)
    poll_until(lambda: channel.everybody(), what="the subscription")
    runtime_pair.cut()
    assert listening.value(30).location == other.location
    one.peer_status(None)
    channel.close()


def test_B2_a_generator_never_waits_in_send_and_has_twice_the_limit_until_its_next_yield(world):
    one, other = world.runtime(max_queue_messages=8), world.runtime(max_queue_messages=8)
    gate, told = Gate(), []
    channel = channel_at(other, transform=gate)
    there = remote(one, channel)
    subscriber = subscriber_of(channel, other, collect, 17)
    assert one.peer(other.location, timeout=10) == 0

    def send_all(coro=None):
        told.append([there.send(number) for number in range(17)])
        yield coro.sleep(0)
        told.append(there.send(16))

    sending = one.spawn(send_all)
    poll_until(lambda: told)
    assert told == [[0] * 16 + [-1]]
    gate.open()
    sending.value(20)
    assert told[1] == 0
    assert subscriber.value(20) == list(range(17))
    channel.close()
