"""What cannot be an RCI, and calls that cannot be: one clear error each; over every transport."""

import functools
import threading

import pytest

from greencoro.distributed.rci import CALL, RCI
from greencoro.errors import BrokenResource, BusyResource, DeadlineExceeded, RemoteProtocolError
from greencoro.hub.execution import sleep
from tests.distributed.test_channel_relink import cut, relink
from tests.distributed.test_rci import power, rci_at, remote
from tests.support.polling import poll_until


class AsyncCall:
    async def __call__(self):
        pass


class Plain:
    pass


async def asynchronous():
    pass


async def asynchronous_generator():
    yield


@pytest.mark.parametrize(
    "method",
    [5, None, "power", Plain, int, asynchronous, asynchronous_generator, AsyncCall(), functools.partial(asynchronous)],
)
def test_what_is_no_function_that_can_be_a_coroutine_is_refused_when_the_rci_is_made(method):
    with pytest.raises(TypeError, match=r"RCI\(\) takes a plain function or a generator function, not"):
        RCI(method, "name")


def test_arguments_that_cannot_be_pickled_raise_at_the_call_and_start_nothing(runtime_pair):
    ran = []
    rci = rci_at(runtime_pair.other, lambda *arguments, **named: ran.append(1), "taking_all")
    there = remote(runtime_pair.one, rci)
    for call in (lambda: there(threading.Lock()), lambda: there(named=threading.Lock())):
        with pytest.raises(TypeError, match=r"cannot pickle '_thread\.lock' object"):
            call()
    (link,) = runtime_pair.one.peer_table.online()
    assert not len(link.notices)
    there().value(10)
    assert ran == [1]
    rci.unregister()


def test_a_generator_function_may_be_called(runtime_pair):
    def twice(number, coro=None):
        yield coro.sleep(0)
        return 2 * number

    rci = rci_at(runtime_pair.other, twice)
    assert remote(runtime_pair.one, rci)(21).value(10) == 42
    rci.unregister()


def test_the_second_of_one_name_is_not_registered_and_the_first_is_what_is_called(runtime_pair):
    first = rci_at(runtime_pair.other, power)
    second = runtime_pair.other.spawn(RCI, lambda: "the second", "power").value(10)
    assert runtime_pair.other.spawn(second.register).value(10) == -1
    assert runtime_pair.run(lambda: RCI.locate("power", timeout=10)(3).value(10))[0] == 9
    with pytest.raises(BrokenResource, match=r"not registered.*no coroutine was started"):
        remote(runtime_pair.one, second)()
    first.unregister()


def test_a_call_after_unregister_says_so_and_those_that_run_go_on(runtime_pair):
    may_end = threading.Event()

    def wait():
        while not may_end.is_set():
            sleep(0.01)
        return "went on"

    rci = rci_at(runtime_pair.other, wait)
    there = remote(runtime_pair.one, rci)
    running = there()
    assert rci.unregister() == 0
    with pytest.raises(BrokenResource, match=r"not registered \(any more\); no coroutine was started"):
        there()
    may_end.set()
    assert running.value(10) == "went on"


def test_a_result_that_does_not_come_in_time_is_one_error_and_the_coroutine_goes_on(runtime_pair):
    may_end = threading.Event()

    def wait():
        while not may_end.is_set():
            sleep(0.01)
        return "late"

    rci = rci_at(runtime_pair.other, wait)
    started = remote(runtime_pair.one, rci)()
    with pytest.raises(DeadlineExceeded, match=r"was not over after 0\.05 s"):
        started.value(0.05)
    may_end.set()
    assert started.value(10) == "late"
    rci.unregister()


@pytest.mark.parametrize("answer", [{}, {"coro": None}, {"coro": "7"}, {"coro": 0}, {"coro": True}, {"coro": 1 << 60}])
def test_L4_an_answer_that_names_no_coroutine_leaves_open_whether_one_runs(runtime_pair, answer):
    rci = rci_at(runtime_pair.other, power)
    runtime_pair.other.handle(CALL, lambda request: request.reply(answer), on_reactor=True)
    with pytest.raises(RemoteProtocolError, match=r"which coroutine it started; a coroutine may run there"):
        remote(runtime_pair.one, rci)(2)
    (link,) = runtime_pair.one.peer_table.online()
    assert not len(link.notices)
    rci.unregister()


def started_by(one, rci, *arguments):
    """How many calls find a place before one is refused; the first that is refused ends it."""
    calls = []
    while len(calls) < 20:
        try:
            calls.append(remote(one, rci)(*arguments))
        except BusyResource as error:
            assert "no coroutine was started" in str(error)
            break
    return calls


def test_B1_coroutines_that_a_peer_started_count_also_after_its_connection_broke(world):
    one, other = world.runtime(), world.runtime(max_queue_messages=4)
    assert one.peer(other.location, timeout=10) == 0
    poll_until(lambda: one.location in other.peers())
    may_end = threading.Event()

    def wait():
        while not may_end.is_set():
            sleep(0.01)

    rci = rci_at(other, wait)
    assert len(started_by(one, rci)) == 4
    relink(one, other, lambda: cut(world, one, other))
    assert started_by(one, rci) == []
    may_end.set()
    poll_until(lambda: started_by(one, rci), what="room when they are over")
    rci.unregister()


def test_B1_the_arguments_of_what_runs_are_bounded_in_bytes(world):
    one, other = world.runtime(), world.runtime(max_queue_bytes=1_000_000, max_message_bytes=500_000)
    assert one.peer(other.location, timeout=10) == 0
    may_end = threading.Event()

    def wait(argument):
        while not may_end.is_set():
            sleep(0.01)

    rci = rci_at(other, wait)
    started = started_by(one, rci, bytes(300_000))
    assert len(started) == 3
    may_end.set()
    for each in started:
        each.value(10)
    rci.unregister()
