"""What generator coroutines send to others elsewhere: B2, over every transport."""

import logging
import threading

import pytest

from greencoro.errors import CoroTerminated, LocalProtocolError
from greencoro.hub.execution import sleep
from tests.distributed.conftest import reference
from tests.support.held import hold_still
from tests.support.polling import poll_until

WINDOW = 8


@pytest.fixture
def small(world):
    """Two peers with small windows."""
    limits = {"max_queue_messages": WINDOW, "max_queue_bytes": 100_000, "max_message_bytes": 60_000}
    one, other = (world.runtime(**limits) for _ in range(2))
    assert one.peer(other.location, timeout=10) == 0
    poll_until(lambda: one.location in other.peers())
    return one, other


def read_when_told(count, coro=None):
    coro.suspend()
    return [coro.receive(20) for _ in range(count)]


def let_read(coro):
    poll_until(lambda: coro.resume() == 0)


def the_link(runtime):
    (link,) = runtime.peer_table.online()
    return link


def test_B2_a_generator_sends_up_to_twice_the_limit_and_waits_at_its_next_yield(small):
    one, other = small
    reader = other.spawn(read_when_told, 2 * WINDOW + 1)
    there = reference(one, reader)
    results, passed = [], threading.Event()

    def sends(coro=None):
        for number in range(2 * WINDOW + 3):
            results.append(there.send(number))
        yield coro.sleep(0)
        passed.set()
        results.append(there.send("after the yield"))

    sending = one.spawn(sends)
    poll_until(lambda: len(results) == 2 * WINDOW + 3)
    assert results == [0] * (2 * WINDOW) + [-1] * 3
    # The others go on, and it does not.
    assert one.spawn(lambda: sleep(0.05)).value(10) is None
    assert not passed.is_set() and sending.is_alive()
    let_read(reader)
    assert reader.value(20) == [*range(2 * WINDOW), "after the yield"]
    sending.value(10)
    assert results[-1] == 0
    assert not the_link(one).overdrafts._held


def test_B2_the_limit_holds_for_bytes_as_well(small):
    one, other = small
    reader = other.spawn(read_when_told, 4)
    there = reference(one, reader)

    def sends(coro=None):
        yield [there.send(bytes(45_000)) for _ in range(7)]

    sending = one.spawn(sends)
    poll_until(lambda: len(the_link(one).overdrafts) == 2)
    let_read(reader)
    assert sending.value(20) == [0, 0, 0, 0, -1, -1, -1]
    assert [len(message) for message in reader.value(20)] == [45_000] * 4


def test_M1_what_is_sent_later_does_not_overtake_what_was_overdrawn(small):
    one, other = small
    reader = other.spawn(read_when_told, WINDOW + 6)
    there = reference(one, reader)

    def sends(coro=None):
        results = [there.send(number) for number in range(WINDOW + 5)]
        # Waits on the spot, as it does in any coroutine, behind those.
        results.append(there.deliver(WINDOW + 5, 20))
        yield results

    sending = one.spawn(sends)
    poll_until(lambda: len(the_link(one).overdrafts) == 5)
    let_read(reader)
    assert reader.value(20) == list(range(WINDOW + 6))
    assert sending.value(20) == [0] * (WINDOW + 5) + [1]


def test_M1_a_small_one_does_not_overtake_a_large_one_that_was_overdrawn(small):
    one, other = small
    reader = other.spawn(read_when_told, 4)
    there = reference(one, reader)

    def sends(coro=None):
        # There is credit for the last one, but not for the one before.
        yield [there.send(bytes(size)) for size in (45_000, 45_000, 45_000, 1)]

    sending = one.spawn(sends)
    poll_until(lambda: len(the_link(one).overdrafts) == 2)
    let_read(reader)
    assert sending.value(20) == [0] * 4
    assert [len(message) for message in reader.value(20)] == [45_000, 45_000, 45_000, 1]


def test_B2_it_waits_no_longer_than_the_send_timeout(world):
    one = world.runtime(max_queue_messages=WINDOW, send_timeout_seconds=0.2)
    other = world.runtime(max_queue_messages=WINDOW)
    reader = other.spawn(read_when_told, WINDOW + 1)
    there = reference(one, reader)

    def sends(coro=None):
        for number in range(WINDOW + 1):
            assert there.send(number) == 0
        yield
        return "went on"

    assert one.spawn(sends).value(10) == "went on"
    let_read(reader)
    # It was accepted, and comes.
    assert reader.value(20) == list(range(WINDOW + 1))


@pytest.mark.parametrize("how", ["ends", "lost"])
def test_B2_nobody_waits_for_one_that_is_over(small, how):
    one, other = small
    reader = other.spawn(read_when_told, 1)
    there = reference(one, reader)
    losses = []
    hearing = one.spawn(lambda coro=None: [losses.append(coro.receive()) for _ in range(3 if how == "lost" else 1)])
    one.peer_status(hearing)
    poll_until(lambda: losses)

    def sends(coro=None):
        results = [there.send(number) for number in range(2 * WINDOW)]
        yield
        results.append(there.send("too late"))
        return results

    sending = one.spawn(sends)
    link = the_link(one)
    poll_until(lambda: len(link.overdrafts) == WINDOW)
    if how == "ends":
        reader.terminate()
    else:
        other.finish()
    assert sending.value(20) == [0] * (2 * WINDOW) + [-1]
    assert not link.overdrafts._held
    if how == "lost":
        # M3: those that waited here were accepted as well.
        poll_until(lambda: len(losses) == 2)
        assert losses[1].dropped >= 2 * WINDOW - 1
    reader.terminate()
    hearing.terminate()


def test_what_was_overdrawn_for_a_peer_that_takes_less_loses_the_link_as_what_was_queued_does(world, caplog):
    one, other = world.runtime(max_queue_messages=1), world.runtime(max_message_bytes=1 << 20)
    reader = other.spawn(read_when_told, 1)
    there = reference(one, reader)
    hold = hold_still(one.reactor)

    def sends(coro=None):
        results = [there.send("small"), there.send(bytes(2 << 20))]
        hold.set()
        yield
        return results

    with caplog.at_level(logging.WARNING, "greencoro"):
        assert one.spawn(sends).value(20) == [0, 0]
        poll_until(lambda: "before it answered is more than it takes" in caplog.text)
    assert there.send("no more through this") == -1
    reader.terminate()


def test_one_that_is_too_large_is_refused_at_the_call(small):
    one, other = small
    reader = other.spawn(read_when_told, 1)
    there = reference(one, reader)

    def sends(coro=None):
        for _ in range(WINDOW + 1):
            there.send("x")
        with pytest.raises(LocalProtocolError):
            there.send(bytes(one.settings.max_message_bytes + 1))
        reader.terminate()
        yield

    one.spawn(sends).value(20)


def test_N5_the_notice_comes_after_what_was_overdrawn(small):
    one, other = small
    monitor = other.spawn(read_when_told, WINDOW + 4)
    there = reference(one, monitor)

    def sends_and_ends(coro=None):
        yield coro.receive()
        for number in range(WINDOW + 3):
            assert there.send(number) == 0
        return "ended"

    sending = one.spawn(sends_and_ends)
    assert monitor.monitor(reference(other, sending)) == 0
    sending.send("go")
    assert sending.value(10) == "ended"
    # What another coroutine sent is not waited for.
    bystander = one.spawn(lambda coro=None: coro.receive(20))
    monitored = []

    def hears(coro=None):
        monitored.append(coro.monitor(reference(other, bystander)))
        return coro.receive(20)

    hearing = other.spawn(hears)
    poll_until(lambda: monitored)
    bystander.send("end")
    assert monitored == [0] and hearing.value(10).kind == "finished"
    let_read(monitor)
    *messages, notice = monitor.value(20)
    assert messages == list(range(WINDOW + 3)) and notice.kind == "finished"


def test_terminate_comes_after_what_was_overdrawn(small):
    one, other = small
    reader, bystander = other.spawn(read_when_told, 3 * WINDOW), other.spawn(lambda coro=None: coro.receive(20))
    there = reference(one, reader)

    def sends_and_terminates(coro=None):
        results = [there.send(number) for number in range(WINDOW + 3)]
        yield results.append(there.terminate()) or results

    sending = one.spawn(sends_and_terminates)
    link = the_link(one)
    poll_until(lambda: link.answers.pending, what="it was asked to end")
    assert len(link.overdrafts) == 3
    assert reference(one, bystander).deliver("what is sent later has come", 5) == 1
    assert reader.is_alive()
    let_read(reader)
    with pytest.raises(CoroTerminated):
        reader.value(10)
    assert sending.value(10) == [0] * (WINDOW + 4)
