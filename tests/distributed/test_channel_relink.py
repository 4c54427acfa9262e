"""Channels across re-connections of one peer, over every transport: M1 to M3, M8, B1."""

import pytest

from greencoro.distributed import refs, subscriptions
from greencoro.distributed.backlog import Backlogs
from greencoro.distributed.location import Location
from greencoro.distributed.refs import Reference
from greencoro.errors import BusyResource
from greencoro.hub.channel import Channel
from greencoro.hub.fan_out import leave
from tests.distributed.channels import Gate, channel_at, collect, idle, remote, subscriber_of
from tests.distributed.conftest import reference
from tests.support.polling import poll_until


def relink(one, other, cut):
    """Break the connection, and wait until both sides have found each other again."""
    old, theirs = one.peer_table.links[other.incarnation], other.peer_table.links[one.incarnation]
    cut()
    poll_until(lambda: old.is_lost and theirs.is_lost, what="the loss")
    assert one.peer(other.location, timeout=20) == 0
    poll_until(lambda: one.location in other.peers(), what="the other side knows as well")


def test_M1_M2_what_waited_when_the_connection_broke_is_given_before_anything_newer(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    gate = Gate()
    channel = channel_at(other, transform=gate)
    subscriber = subscriber_of(channel, other, collect, 21)

    def send_all(coro=None):
        """From one coroutine: before the break and after it."""
        old = remote(one, channel)
        assert [old.send(number) for number in range(10)] == [0] * 10
        assert coro.receive(20) == "go on"
        anew = remote(one, channel)
        assert [anew.send(number) for number in range(10, 20)] == [0] * 10
        return anew.deliver(20, 20)

    sending = one.spawn(send_all)
    poll_until(lambda: gate.arrived, what="the first one is on its way")
    (theirs,) = other.peer_table.online()
    number = refs.number("channel", channel.id)
    poll_until(lambda: theirs.inflows[number].arrived_messages == 10, what="all ten came")
    relink(one, other, runtime_pair.cut)
    sending.send("go on")
    (theirs,) = other.peer_table.online()
    poll_until(lambda: number in theirs.inflows and theirs.inflows[number].arrived_messages >= 11)
    gate.open()
    assert sending.value(20) == 1
    assert subscriber.value(20) == list(range(21))
    channel.close()


def test_M2_a_delivery_that_a_break_took_back_does_not_arrive_after_what_came_later(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    channel = channel_at(other)
    giving = one.spawn(remote(one, channel).deliver, "before", 30, 2)
    poll_until(lambda: channel._waiting, what="the wait for subscribers")
    relink(one, other, runtime_pair.cut)
    assert giving.value(10) == 0
    subscribers = [subscriber_of(channel, other, collect, 1) for _ in range(2)]
    assert remote(one, channel).deliver("after", 20, 2) == 2
    assert [each.value(10) for each in subscribers] == [["after"]] * 2
    channel.close()


def test_M3_a_reference_is_over_with_the_link_it_was_used_on_and_one_located_anew_works(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    channel = channel_at(other)
    old, unused = remote(one, channel), remote(one, channel)
    subscriber = subscriber_of(channel, other, collect, 3)
    listener = one.spawn(idle)
    assert old.deliver("before", 10) == 1
    relink(one, other, runtime_pair.cut)
    assert old.send("old") == -1
    assert old.deliver("old", 10) == old.deliver("old") == 0
    assert old.subscribe(listener, 10) == old.unsubscribe(listener, 10) == -1
    assert not old.is_alive()
    assert unused.deliver("unused", 10) == 1
    assert runtime_pair.run(lambda: Channel.locate("news", timeout=10).deliver("anew", 10)) == 1
    assert subscriber.value(10) == ["before", "unused", "anew"]
    listener.terminate()
    channel.close()


def test_M3_nobody_is_subscribed_again_silently_and_who_subscribes_again_gets_what_is_sent_then(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    channel = channel_at(other)
    subscriber = one.spawn(collect, 2)
    # One that asked for it itself, and one that somebody beside the channel let subscribe by its reference.
    beside = one.spawn(collect, 2)
    assert remote(one, channel).subscribe(subscriber, 10) == 0
    assert channel.subscribe(reference(other, beside)) == 0
    assert channel.deliver("before", 10) == 2
    relink(one, other, runtime_pair.cut)
    assert other.spawn(channel.deliver, "meanwhile", 10).value(20) == 0
    assert remote(one, channel).subscribe(subscriber, 10) == 0
    assert channel.subscribe(reference(other, beside)) == 0
    assert channel.deliver("after", 10) == 2
    assert subscriber.value(10) == beside.value(10) == ["before", "after"]
    channel.close()


def test_M3_a_subscription_renewed_before_anybody_noticed_the_loss_of_the_first_holds(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    channel = channel_at(other)
    subscriber = one.spawn(collect, 2)
    assert channel.subscribe(reference(other, subscriber)) == 0
    assert channel.deliver("before", 10) == 1
    relink(one, other, runtime_pair.cut)
    # Nobody looked at the first one since.
    assert channel.subscribe(reference(other, subscriber)) == 0
    assert channel.deliver("after", 10) == 1
    assert subscriber.value(10) == ["before", "after"]
    channel.close()


def test_B1_the_backlog_of_a_subscriber_counts_what_came_over_earlier_links(world):
    one, other = world.runtime(), world.runtime(max_queue_messages=8, send_timeout_seconds=0.2)
    channel = channel_at(other)
    slow = subscriber_of(channel, other, idle)
    assert one.peer(other.location, timeout=10) == 0
    poll_until(lambda: one.location in other.peers())
    for round_ in range(3):
        there = remote(one, channel)
        given = [there.deliver(number, 0.2) for number in range(3 if round_ else 9)]
        assert sum(given) == (0 if round_ else 8)
        if round_ < 2:
            relink(one, other, lambda: cut(world, one, other))
    assert len(slow._mailbox) == 8
    backlogs = other.services._channels._backlogs._backlogs
    poll_until(lambda: not backlogs.of(one.incarnation, slow.id).waiters, what="nobody waits any more")
    slow.terminate()
    channel.close()


def cut(world, one, other):
    if world.network is not None:
        world.network.cut(one.location, other.location)
        world.network.heal(one.location, other.location)
        return
    for link in one.peer_table.online():
        one.reactor.post(link.wire.on_end, ConnectionResetError(104, "Connection reset by peer"))


def test_B1_subscriptions_of_others_count_for_who_asked_for_them_also_after_a_break(runtime_pair, monkeypatch):
    monkeypatch.setattr(subscriptions, "MAX_SUBSCRIPTIONS", 3)
    one, other = runtime_pair.one, runtime_pair.other
    channel = channel_at(other)

    def refused():
        nobody = Reference(Location("127.0.0.1", 9), bytes(16), 99, "x")
        try:
            remote(one, channel).subscribe(one.resolve(nobody), 10)
        except BusyResource as error:
            return "3 subscribers" in str(error)
        return False

    third = runtime_pair.world.runtime()
    strangers = [third.spawn(idle) for _ in range(4)]
    assert [remote(one, channel).subscribe(reference(one, each), 10) for each in strangers[:3]] == [0] * 3
    assert refused()
    relink(one, other, runtime_pair.cut)
    assert refused(), "they are not its own, so they still subscribe"
    # One that is over makes room.
    strangers[0].terminate()
    poll_until(lambda: channel.deliver("x", 10) == 2)
    assert remote(one, channel).subscribe(reference(one, strangers[3]), 10) == 0
    assert refused()
    for each in strangers:
        each.terminate()
    channel.close()


def test_M8_a_lost_subscriber_that_somebody_else_let_subscribe_leaves_the_table(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    channel = channel_at(other)
    third = runtime_pair.world.runtime()
    assert other.peer(third.location, timeout=10) == 0
    stranger = third.spawn(idle)
    assert remote(one, channel).subscribe(reference(one, stranger), 10) == 0
    third.finish()
    poll_until(lambda: not channel.everybody(), what="it is gone, though nobody sent")
    stranger.terminate()
    channel.close()


class _Reference:
    """One of several to one thing."""

    def __init__(self, alive):
        self.is_alive = lambda: alive

    def __eq__(self, other):
        return isinstance(other, _Reference)

    def __hash__(self):
        return 1


def test_who_turns_out_to_be_over_takes_no_newer_reference_along():
    older, newer = _Reference(False), _Reference(True)
    table = {older: newer}
    leave(table, older)
    assert list(table.values()) == [newer]
    table = {older: older}
    leave(table, older)
    leave(table, older)
    assert not table


class _Nobody:
    """A coroutine that never reads."""

    id = 1

    def put_past_limit(self, message):
        self.last = message


class _Last(_Nobody):
    """A coroutine that ends when the next message comes, and reads it before, or does not."""

    def __init__(self, reads):
        self._reads = reads
        self._is_over = False

    def is_alive(self):
        return not self._is_over

    def put_past_limit(self, message):
        if self._reads:
            message.taken()
        self._is_over = True


@pytest.mark.parametrize("reads", [True, False])
def test_M6_who_took_a_message_and_ended_has_it_and_who_ended_without_has_it_not(reads):
    last = _Last(reads)
    assert Backlogs(1, 1000).put(bytes(16), last, "m", 10).was_got_by(last) is reads


def test_a_wait_for_room_that_is_over_leaves_nothing_behind():
    backlogs, nobody = Backlogs(1, 1000), _Nobody()
    peer = bytes(16)
    assert backlogs.put(peer, nobody, "first", 10)
    waiters = [object() for _ in range(3)]
    for waiter in waiters:
        assert not backlogs.put(peer, nobody, "second", 10, waiter)
        backlogs.forget(peer, nobody, waiter)
    nobody.last.taken()  # an object() cannot be told
    assert backlogs.put(peer, nobody, "third", 10)


def test_a_backlog_is_bounded_in_bytes_as_well():
    backlogs, nobody = Backlogs(10, 100), _Nobody()
    assert backlogs.put(bytes(16), nobody, "first", 60)
    first = nobody.last
    assert not backlogs.put(bytes(16), nobody, "second", 60)
    first.taken()
    assert backlogs.put(bytes(16), nobody, "large", 600), "one alone may have any size"
