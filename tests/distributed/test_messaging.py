"""Messages between the coroutines of two runtimes: the promises M1 to M7, B1 to B4, over every transport."""

import logging
import pickle
import random
import threading
import time

import numpy as np
import pytest

from greencoro.distributed import messages
from greencoro.distributed.delivery import RemoteMessage
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.refs import Reference
from greencoro.errors import LocalProtocolError
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.distributed.conftest import Pair, reference
from tests.support.held import hold_still
from tests.support.polling import poll_until
from tests.support.timing import fastest


def collect(count, coro=None):
    return [coro.receive() for _ in range(count)]


def collect_late(count, may_begin, coro=None):
    may_begin.wait(60)
    return collect(count, coro)


def echo(coro=None):
    while (message := coro.receive()) is not None:
        sender, value = message
        sender.send(value)


def idle(coro=None):
    """Reads nothing until told to end, by being terminated."""
    sleep(60)


class CannotBeLoaded:
    def __reduce__(self):
        return int, ("no number",)


class CannotBeDumped:
    def __reduce__(self):
        raise ZeroDivisionError("not me")


def test_messages_arrive_in_the_order_sent(runtime_pair):
    coro = runtime_pair.other.spawn(collect, 1000)
    there = reference(runtime_pair.one, coro)
    assert isinstance(there, RemoteCoro)
    assert isinstance(there, Coro)
    assert [there.send(n) for n in range(1000)] == [0] * 1000
    assert coro.value(10) == list(range(1000))


def test_M1_order_is_kept_for_each_sender_with_sends_and_deliveries_of_any_size_mixed(runtime_pair):
    per_sender = 150
    receivers = [runtime_pair.other.spawn(collect, 4 * per_sender) for _ in range(2)]
    there = [reference(runtime_pair.one, coro) for coro in receivers]

    def send_all(who, coro=None):
        dice = random.Random(who)
        for number in range(per_sender):
            for target in there:
                size = dice.choice([0, 0, 10, 1000, 70_000, 300_000])
                message = (who, number, bytes(size))
                if dice.random() < 0.2:
                    assert target.deliver(message, 20) == 1
                else:
                    assert target.send(message) == 0

    senders = [runtime_pair.one.spawn(send_all, who) for who in range(4)]
    for sender in senders:
        sender.value(30)
    for receiver in receivers:
        got = receiver.value(30)
        for who in range(4):
            assert [number for sender, number, _ in got if sender == who] == list(range(per_sender))


def test_threads_may_send_without_a_coroutine(runtime_pair):
    coro = runtime_pair.other.spawn(collect, 4 * 2000)
    there = reference(runtime_pair.one, coro)

    def work(who):
        for number in range(2000):
            there.send((who, number))

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = coro.value(20)
    for who in range(4):
        assert [number for sender, number in got if sender == who] == list(range(2000))


def test_M6_deliver_says_1_once_the_message_is_in_the_mailbox(runtime_pair):
    coro = runtime_pair.other.spawn(idle)
    there = reference(runtime_pair.one, coro)
    assert there.deliver("x", 10) == 1
    assert len(coro._mailbox) == 1
    coro.terminate()


def test_M6_deliver_says_1_where_the_receiver_ends_as_soon_as_it_has_the_message(runtime_pair, monkeypatch):
    put = Coro.put_past_limit

    def put_and_look_away(coro, message):
        put(coro, message)
        deadline = time.monotonic() + 5
        while coro.is_alive() and time.monotonic() < deadline:
            native.sleep(0.001)

    monkeypatch.setattr(Coro, "put_past_limit", put_and_look_away)
    coro = runtime_pair.other.spawn(lambda coro=None: coro.receive())
    assert reference(runtime_pair.one, coro).deliver("hello", 10) == 1
    assert coro.value(5) == "hello"


@pytest.mark.parametrize("what", ["it is finished", "nobody ever had its number", "it was at home in a predecessor"])
def test_M7_deliver_to_who_is_not_there_says_0_at_once(runtime_pair, what):
    coro = runtime_pair.other.spawn(collect, 0)
    home = runtime_pair.other
    number = coro.id + (1 << 40) * (what == "nobody ever had its number")
    incarnation = b"p" * 16 if what == "it was at home in a predecessor" else home.incarnation
    there = runtime_pair.one.resolve(Reference(home.location, incarnation, number, coro.name))
    coro.value(5)
    (link,) = runtime_pair.one.peer_table.online()

    def deliver(*timeout):
        link.forget_gone()  # each asks, whatever was said to the one before
        assert there.deliver("x", *timeout) == 0

    for timeout in ((5,), ()):
        assert fastest(lambda timeout=timeout: deliver(*timeout)) < 0.5


def test_send_to_a_finished_coroutine_says_minus_1_once_that_is_known(runtime_pair):
    coro = runtime_pair.other.spawn(collect, 1)
    there = reference(runtime_pair.one, coro)
    assert there.send("last") == 0
    coro.value(5)
    poll_until(lambda: there.send("too late") == -1, what="-1 from send")
    assert not there.is_alive()


@pytest.mark.parametrize(("way", "result"), [("send", -1), ("deliver", 0)])
def test_a_blocked_sender_is_let_go_when_the_receiver_ends(world, way, result):
    one, other = world.runtime(max_queue_messages=4), world.runtime(max_queue_messages=4)
    there = reference(one, other.spawn(idle))
    for number in range(4):
        assert there.send(number) == 0
    blocked = one.spawn(getattr(there, way), "one too many")
    with pytest.raises(TimeoutError):
        blocked.value(0.2)
    assert there.terminate() == 0
    assert blocked.value(5) == result


def test_send_and_deliver_to_a_lost_peer_say_so(runtime_pair):
    there = runtime_pair.at_other(idle)
    assert there.deliver("x", 10) == 1
    runtime_pair.other.finish()
    poll_until(lambda: not runtime_pair.one.peers())
    assert there.send("x") == -1
    assert there.deliver("x", 5) == 0
    assert there.terminate() == -1
    assert not there.is_alive()
    Coro.terminate(runtime_pair.other.resolve(there._reference))


def test_M5_what_cannot_be_sent_raises_and_leaves_the_link_alone(runtime_pair):
    coro = runtime_pair.other.spawn(collect, 1)
    there = reference(runtime_pair.one, coro)
    link = there.reach()
    for sending in (there.send, there.deliver):
        with pytest.raises(ZeroDivisionError, match="not me"):
            sending(CannotBeDumped())
        with pytest.raises((pickle.PicklingError, AttributeError)):
            sending(lambda: 1)
        with pytest.raises(LocalProtocolError, match="max_message_bytes is 67108864"):
            sending(np.zeros(64 * 1024 * 1024, np.uint8))
    assert not link.answers.pending
    assert there.send("fine") == 0
    assert coro.value(5) == ["fine"]


def test_a_message_that_cannot_be_decoded_is_dropped_with_one_warning_and_counted(runtime_pair, caplog):
    coro = runtime_pair.other.spawn(collect, 2)
    there = reference(runtime_pair.one, coro)
    with caplog.at_level(logging.WARNING, "greencoro"):
        for message in ("a", CannotBeLoaded(), "b"):
            there.send(message)
        assert coro.value(5) == ["a", "b"]
        poll_until(lambda: caplog.records)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "cannot be decoded" in line and str(runtime_pair.one.location) in line
    (link,) = runtime_pair.other.peer_table.online()
    assert link.undecodable == 1


def test_a_reference_that_comes_home_is_the_live_coroutine(runtime_pair):
    there = runtime_pair.at_other(echo)

    def ask(coro=None):
        there.send((coro, [coro]))
        return coro.receive(10) == [coro], coro

    same, coro = runtime_pair.run(ask)
    assert same
    assert coro._home is runtime_pair.one
    there.send(None)


def test_references_are_equal_where_they_mean_the_same_coroutine(runtime_pair):
    coro = runtime_pair.other.spawn(idle)
    one, again = reference(runtime_pair.one, coro), reference(runtime_pair.one, coro)
    assert one == again and hash(one) == hash(again)
    assert one != coro
    assert one.location == runtime_pair.other.location
    assert repr(one) == f"idle/{coro.id}@{runtime_pair.other.location}"
    coro.terminate()


def test_a_reference_to_a_third_runtime_connects_on_demand(runtime_pair):
    third = runtime_pair.world.runtime()
    other = runtime_pair.other
    assert third.peer(other.location) == 0
    far = third.spawn(echo)
    middle = runtime_pair.at_other(pass_reference, reference(other, far))

    def ask(coro=None):
        middle.send(coro)
        found = coro.receive(10)
        found.send((coro, "hello"))
        return found, coro.receive(10)

    found, answer = runtime_pair.run(ask)
    assert answer == "hello"
    assert found.location == third.location
    assert third.location in runtime_pair.one.peers()
    found.send(None)
    far.value(5)


def pass_reference(what, coro=None):
    coro.receive(10).send(what)


def test_a_runtime_gives_its_peers_no_access_to_coroutines_of_another_in_the_same_process(runtime_pair):
    third = runtime_pair.world.runtime()
    coro = third.spawn(idle)
    lie = runtime_pair.one.resolve(
        reference(runtime_pair.one, coro)._reference._replace(
            location=runtime_pair.other.location, incarnation=runtime_pair.other.incarnation
        )
    )
    assert lie.deliver("x", 5) == 0
    assert Coro.monitor(runtime_pair.one.spawn(collect, 0), lie) == -1
    assert lie.terminate() in (0, -1)
    assert reference(runtime_pair.other, coro).deliver("x", 5) == 1
    coro.terminate()


def test_terminate_ends_a_remote_coroutine(runtime_pair):
    coro = runtime_pair.other.spawn(idle)
    assert reference(runtime_pair.one, coro).terminate() == 0
    poll_until(lambda: not coro.is_alive())


def test_B2_a_slow_reader_blocks_only_who_sends_to_it_and_nothing_is_lost(world):
    one, other = (world.runtime(max_queue_messages=100, send_timeout_seconds=60) for _ in range(2))
    pair = Pair(one, other, world)
    may_begin = Completion()
    slow = other.spawn(collect_late, 600, may_begin)
    to_slow, to_echo = reference(one, slow), pair.at_other(echo)
    log = []

    def flood(coro=None):
        for number in range(600):
            assert to_slow.send(number) == 0
            log.append(len(slow._mailbox))

    def ping(beats, coro=None):
        for beat in range(beats):
            to_echo.send((coro, beat))
            assert coro.receive(10) == beat
        return "all answered"

    flooding = one.spawn(flood)
    poll_until(lambda: len(slow._mailbox) == 100, what="its sender is blocked")
    assert one.spawn(ping, 50).value(30) == "all answered"
    assert flooding.is_alive()
    may_begin.set()
    assert one.spawn(ping, 50).value(30) == "all answered"
    assert slow.value(30) == list(range(600))
    flooding.value(10)
    assert max(log) <= 101
    to_echo.send(None)


def test_send_to_somebody_who_never_reads_gives_up_after_the_timeout_and_queues_nothing(world):
    one, other = (world.runtime(max_queue_messages=10, send_timeout_seconds=0.2) for _ in range(2))
    coro = other.spawn(idle)
    there = reference(one, coro)
    for number in range(10):
        assert there.send(number) == 0
    began = time.monotonic()
    assert there.send("one too many") == -1
    assert 0.2 <= time.monotonic() - began < 10
    assert there.deliver("as well", 0.1) == 0
    # In a callback of the hub nobody may wait.
    from greencoro.hub import userhub

    answer = Completion()
    userhub.post(lambda: answer.set(there.send("from a callback")))
    assert answer.result(5) == -1
    poll_until(lambda: len(coro._mailbox) == 10)
    coro.terminate()


def test_B3_two_that_flood_each_other_do_not_deadlock(world):
    one, other = (world.runtime(max_queue_messages=50, send_timeout_seconds=20) for _ in range(2))
    readers = [one.spawn(idle), other.spawn(idle)]

    def flood(target):
        while target.send(bytes(1000)) == 0:
            pass

    writers = [other.spawn(flood, reference(other, readers[0])), one.spawn(flood, reference(one, readers[1]))]
    poll_until(lambda: [len(reader._mailbox) for reader in readers] == [50, 50], what="both are full")
    # Neither goes on, and each still hears the other.
    for here, there in ((one, other), (other, one)):
        assert here.request(there.location, "greencoro.ping", {}, timeout=10).header == {}
    for coro in (*readers, *writers):
        coro.terminate()


def test_two_that_flood_each_other_and_read_both_get_through(world):
    one, other = (world.runtime(max_queue_messages=50) for _ in range(2))
    count = 3000
    readers = [one.spawn(collect, count), other.spawn(collect, count)]
    targets = [reference(other, readers[0]), reference(one, readers[1])]

    def flood(target, coro=None):
        return sum(target.send(number) for number in range(count))

    writers = [other.spawn(flood, targets[0]), one.spawn(flood, targets[1])]
    assert [writer.value(30) for writer in writers] == [0, 0]
    assert [reader.value(30) for reader in readers] == [list(range(count))] * 2


def test_of_messages_that_cannot_be_decoded_so_many_a_second_are_told_of(world, caplog):
    one, other = world.runtime(), world.runtime(log_lines_per_second=3)
    coro = other.spawn(collect, 1)
    there = reference(one, coro)
    for _ in range(500):
        assert there.send(CannotBeLoaded()) == 0
    there.send("the end")
    assert coro.value(10) == ["the end"]

    def told_of():
        return sum("cannot be decoded" in record.getMessage() for record in caplog.records)

    poll_until(lambda: told_of() >= 3, what="a thread of its own writes the lines")
    assert told_of() < 100


def test_each_side_keeps_to_the_limits_of_the_other(world):
    one = world.runtime(max_queue_messages=20_000, max_message_bytes=4 << 20)
    other = world.runtime(max_queue_messages=100, max_queue_bytes=1 << 20, max_message_bytes=1 << 20)
    assert one.peer(other.location) == 0
    reader = other.spawn(collect, 2000)
    there = reference(one, reader)
    assert one.spawn(lambda: sum(there.send(number) for number in range(1999))).value(20) == 0
    with pytest.raises(LocalProtocolError, match=r"max_message_bytes of .* is 1048576"):
        there.send(bytes(2 << 20))
    assert there.deliver("last", 5) == 1
    assert len(reader.value(10)) == 2000
    back = one.spawn(collect, 1)
    with pytest.raises(LocalProtocolError, match="max_message_bytes is 1048576"):
        reference(other, back).send(bytes(2 << 20))
    assert reference(other, back).send(bytes(1 << 19)) == 0
    back.value(5)
    assert one.peers() and other.peers()


@pytest.mark.parametrize("queued", ["too many", "too large"])
def test_what_was_queued_for_an_unknown_peer_beyond_its_limits_is_dropped_and_told_of(world, caplog, queued):
    one, other = world.runtime(), world.runtime(max_queue_messages=10, max_message_bytes=1 << 20)
    reader = other.spawn(collect, 1)
    there = reference(one, reader)
    hold = hold_still(one.reactor)
    with caplog.at_level(logging.WARNING, "greencoro"):
        for _ in range(11 if queued == "too many" else 1):
            assert there.send(1 if queued == "too many" else bytes(2 << 20)) == 0
        hold.set()
        poll_until(lambda: one.peers() == [other.location])
        poll_until(lambda: "before it answered is more than it takes" in caplog.text)
    assert there.deliver("no more through this", 5) == 0
    assert reference(one, reader).deliver("the next", 5) == 1
    assert reader.value(5) == ["the next"]


def test_who_sends_beyond_its_credit_loses_its_link_and_only_that(world, caplog):
    one, other, third = (world.runtime(max_queue_messages=10) for _ in range(3))
    coro = other.spawn(idle)
    assert one.peer(other.location) == 0 and third.peer(other.location) == 0
    link = reference(one, coro).reach()
    data = messages.send_header(coro.id) + b"\0\0" + pickle.dumps(1)
    for _ in range(11):
        link.send(coro.id, [data])
    poll_until(lambda: one.location not in other.peers(), what="the one that cheats is cut off")
    poll_until(lambda: f"cut off {one.location}: the peer sent more than it had credit for" in caplog.text)
    assert third.location in other.peers()
    assert reference(third, coro).deliver("x", 5) == 1
    coro.terminate()


def test_M6_a_message_whose_delivery_timed_out_does_not_arrive_later(world):
    one, other = world.runtime(max_queue_messages=1000), world.runtime(max_queue_messages=1000)
    coro = other.spawn(idle)
    there = reference(one, coro)
    assert there.deliver("first", 10) == 1
    link = there.reach()
    hold = hold_still(one.reactor)
    try:
        assert [there.deliver(n, 0.02) for n in range(20)] == [0] * 20
        assert not link.answers.pending
    finally:
        hold.set()
    assert there.deliver("last", 10) == 1
    found = [item.decode()[1] for item in coro._mailbox._queue if isinstance(item, RemoteMessage)]
    assert found == ["first", "last"]
    coro.terminate()


def test_large_messages_arrive_whole_and_small_ones_to_others_pass_them(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    sizes = [1 << 20, 60 << 20, 3 << 20, 20 << 20]
    bulk = other.spawn(take_arrays, len(sizes))
    other_ones = other.spawn(collect, 1)
    to_bulk, to_other = reference(one, bulk), reference(one, other_ones)

    def send_all(coro=None):
        for size in sizes[:-1]:
            assert to_bulk.send(np.full(size, size >> 20, np.uint8)) == 0
        to_other.send("small")
        # 64 MiB may be under way, so this waits for the first to be taken out.
        assert to_bulk.send(np.full(sizes[-1], sizes[-1] >> 20, np.uint8)) == 0

    one.spawn(send_all).value(30)
    assert other_ones.value(10) == ["small"]
    assert bulk.value(30) == [(size, size >> 20, True) for size in sizes]


def take_arrays(count, coro=None):
    got = []
    for _ in range(count):
        array = coro.receive(20)
        fine = bool((array == array[0]).all())
        array[0] = 9
        got.append((len(array), int(array[-1]), fine))
    return got


def test_a_reference_without_a_runtime_cannot_travel():
    coro = Coro(idle)
    with pytest.raises(TypeError, match="no Runtime"):
        pickle.dumps(coro)
    coro.terminate()
