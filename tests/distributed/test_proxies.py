"""What may be done with a reference to a coroutine: the promises N5 and N7, timeouts, asyncio, over every transport."""

import asyncio
import gc
import threading
import time
import weakref

import pytest

from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.refs import Reference
from greencoro.errors import (
    BrokenResource,
    CoroTerminated,
    DeadlineExceeded,
    MonitorException,
    RemoteError,
    WouldBlock,
)
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.distributed.conftest import reference
from tests.distributed.watching import open_watches
from tests.support.polling import poll_until


def collect(count, coro=None):
    return [coro.receive() for _ in range(count)]


def wait_for_one(coro=None):
    return coro.receive()


@pytest.mark.parametrize("state", ["live", "finished", "lost"])
def test_N7_monitor_notify_and_terminate_agree_with_what_happens_after(runtime_pair, state):
    one, other = runtime_pair.one, runtime_pair.other
    target = other.spawn(wait_for_one)
    there = reference(one, target)
    listener = one.spawn(collect, 2)
    own = one.spawn(wait_for_one)
    if state == "finished":
        target.send("over")
        target.value(5)
    elif state == "lost":
        other.finish()
        poll_until(lambda: not one.peers())
    expected = 0 if state == "live" else -1
    began = time.monotonic()
    assert listener.monitor(there) == expected
    assert there.notify(listener) == expected
    if state == "lost":
        assert own.notify(there) == -1
    assert there.terminate() == expected
    assert time.monotonic() - began < 10
    if state == "live":
        with pytest.raises(CoroTerminated):
            target.value(5)
        assert there.terminate() == -1
        listener.send("nothing else")
        notice, last = listener.value(10)
        assert isinstance(notice, MonitorException) and (notice.coro, notice.kind) == (there, "terminated")
        assert last == "nothing else"
    else:
        listener.send(1)
        listener.send(2)
        assert listener.value(10) == [1, 2]
    for coro in (own, target):
        coro.terminate()


def test_terminate_comes_after_what_was_sent_before(runtime_pair):
    got = []

    def note(coro=None):
        while True:
            got.append(coro.receive())

    there = runtime_pair.at_other(note)
    for number in range(100):
        assert there.send((number, bytes(100_000 if number % 20 == 0 else 1))) == 0
    assert there.terminate() == 0
    poll_until(lambda: there.terminate() == -1, what="its end")
    # Those that it did not read by then are gone with it, none came in another order.
    assert [number for number, _ in got] == list(range(len(got)))


def test_terminate_where_nothing_may_wait_asks_and_goes_on(runtime_pair):
    target = runtime_pair.other.spawn(wait_for_one)
    there = reference(runtime_pair.one, target)

    async def main():
        return there.terminate()

    assert asyncio.run(main()) == 0
    with pytest.raises(CoroTerminated):
        target.value(10)


def test_N7_terminate_of_one_that_is_over_ends_in_time_and_leaves_nothing(world):
    one, other = world.runtime(tick_seconds=0.2, connect_timeout_seconds=0.5), world.runtime(tick_seconds=0.2)
    target = other.spawn(wait_for_one)
    there = reference(one, target)
    assert there.deliver("x", 10) == 1
    target.value(5)
    (link,) = one.peer_table.online()
    began = time.monotonic()
    assert there.terminate() == -1
    assert time.monotonic() - began < 10
    assert not link.answers.pending


def test_N5_of_1000_each_notice_comes_after_all_that_was_sent(runtime_pair):
    def talk_and_end(to, count, coro=None):
        coro.receive()
        for number in range(count):
            to.send((coro.id, number))

    def hear(coro=None):
        me = reference(runtime_pair.other, coro)
        expected = {}
        for number in range(1000):
            target = runtime_pair.other.spawn(talk_and_end, me, number % 4)
            there = reference(runtime_pair.one, target)
            assert coro.monitor(there) == 0
            there.send("go")
            expected[target.id] = number % 4
        heard = dict.fromkeys(expected, 0)
        over = set()
        while len(over) < 1000:
            message = coro.receive(20)
            if isinstance(message, MonitorException):
                assert message.coro.id not in over
                assert heard[message.coro.id] == expected[message.coro.id]
                over.add(message.coro.id)
            else:
                sender, number = message
                assert number == heard[sender] and sender not in over
                heard[sender] += 1

    runtime_pair.run(hear, timeout=120)


def test_send_async_waits_for_credit_and_lets_the_loop_go_on(world):
    one, other = world.runtime(max_queue_messages=4), world.runtime(max_queue_messages=4)
    may_read = threading.Event()

    def read_late(coro=None):
        while not may_read.is_set():
            sleep(0.01)
        return collect(12, coro)

    receiver = other.spawn(read_late)
    there = reference(one, receiver)
    turns = []

    async def main():
        async def turn():
            while not may_read.is_set():
                turns.append(1)
                if len(turns) == 10:
                    may_read.set()
                await asyncio.sleep(0.01)

        turning = asyncio.create_task(turn())
        with pytest.raises(WouldBlock, match="send_async"):
            for number in range(4):
                assert there.send(number) == 0
            there.send("one too many")
        for number in range(4, 12):
            assert await there.send_async(number) == 0
        await turning

    asyncio.run(main())
    assert receiver.value(10) == list(range(12))
    assert len(turns) == 10
    assert asyncio.run(there.send_async("too late")) in (0, -1)
    poll_until(lambda: asyncio.run(there.send_async("too late")) == -1, what="-1 once the end is known")


def test_send_async_gives_up_after_the_timeout(world):
    one = world.runtime(max_queue_messages=4, send_timeout_seconds=0.2)
    other = world.runtime(max_queue_messages=4)
    receiver = other.spawn(sleep, 60)
    there = reference(one, receiver)
    assert [there.send(number) for number in range(4)] == [0] * 4
    assert asyncio.run(there.send_async("no room")) == -1
    receiver.terminate()


@pytest.mark.parametrize("method", ["deliver", "value", "finish", "call"])
def test_timeouts_are_checked_at_the_call(runtime_pair, method):
    there = runtime_pair.at_other(wait_for_one)
    call = getattr(there, method)
    arguments = ("x",) if method in ("deliver", "call") else ()
    with pytest.raises(TypeError, match="timeout in seconds"):
        call(*arguments, "soon")
    with pytest.raises(ValueError, match="NaN"):
        call(*arguments, float("nan"))
    with pytest.raises(TypeError, match="timeout in seconds"):
        asyncio.run(there.wait("soon"))
    assert there.terminate() == 0


def test_what_is_asked_of_many_references_is_watched_once(runtime_pair):
    target = runtime_pair.other.spawn(wait_for_one)
    waiting = []
    for _ in range(5):
        there = reference(runtime_pair.one, target)
        with pytest.raises(DeadlineExceeded):
            there.value(0.01)
        waiting.append(runtime_pair.one.spawn(there.value, 20))
    assert len(open_watches(runtime_pair.one)) == 1
    target.send("for all")
    assert [each.value(10) for each in waiting] == ["for all"] * 5
    assert not runtime_pair.one.watches.outcomes


def test_L2_the_names_of_a_lost_process_are_free(runtime_pair):
    registered = runtime_pair.other.spawn(lambda coro=None: (coro.register("worker"), coro.receive()))
    assert runtime_pair.run(Coro.locate, "worker", None, 10) == reference(runtime_pair.one, registered)
    runtime_pair.other.finish()
    poll_until(lambda: not runtime_pair.one.peers())
    assert runtime_pair.run(Coro.locate, "worker", None, 0.2) is None
    successor = runtime_pair.one.spawn(lambda coro=None: (coro.register("worker"), coro.receive()))
    assert runtime_pair.run(Coro.locate, "worker", None, 10) is successor
    for coro in (registered, successor):
        coro.send("end")
        assert coro.value(5) == (0, "end")


def test_a_reference_to_one_of_this_process_that_is_over_is_no_lost_process(world):
    one = world.runtime()
    own = one.spawn(lambda: "over")
    assert own.value(5) == "over"
    came_back = one.resolve(Reference(one.location, one.incarnation, own.id, own.name))
    assert isinstance(came_back, RemoteCoro)
    with pytest.raises(RemoteError, match="over or unknown"):
        came_back.value(5)
    with pytest.raises(BrokenResource, match="is over and answers no call"):
        came_back.call("question", 5)
    assert came_back.send("x") == -1 and came_back.deliver("x", 5) == 0 and not came_back.is_alive()


def test_a_reference_whose_result_was_taken_is_gone_with_its_last_user(runtime_pair):
    """Its outcome, which it keeps, does not name it: no cycle waits for the garbage collector."""
    target = runtime_pair.other.spawn(wait_for_one)
    there = reference(runtime_pair.one, target)
    with pytest.raises(DeadlineExceeded):
        there.value(0.01)
    target.send("result")
    assert there.value(5) == "result"
    gone = weakref.ref(there)
    gc.disable()
    try:
        del there
        poll_until(lambda: gone() is None, 5)
    finally:
        gc.enable()
