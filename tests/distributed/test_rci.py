"""RCI: the promises L2, L4 and S15, over every transport."""

import pickle
import random
import threading

import pytest

from greencoro.distributed import refs
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.rci import RCI, RemoteRCI
from greencoro.distributed.refs import Reference
from greencoro.errors import (
    BrokenResource,
    BusyResource,
    CoroTerminated,
    DeadlineExceeded,
    NetworkError,
    PeerLost,
    RemoteError,
)
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.support.polling import poll_until


class CannotBeLoaded:
    def __reduce__(self):
        return int, ("no number",)


def rci_at(runtime, method, name=None):
    """A registered RCI at home in ``runtime``."""

    def make():
        rci = RCI(method, name)
        assert rci.register() == 0
        return rci

    return runtime.spawn(make).value(10)


def remote(to, rci):
    """What a reference to an RCI becomes when it arrives at the runtime `to`."""
    home = rci.home
    return to.resolve(Reference(home.location, home.incarnation, refs.number("rci", rci.id), rci.name))


def power(base, exponent=2, coro=None):
    return base**exponent, coro.location


def test_a_call_starts_a_coroutine_where_the_function_is(runtime_pair):
    rci = rci_at(runtime_pair.other, power)
    assert rci.name == "power"
    found = runtime_pair.run(lambda: RCI.locate("power", timeout=10))
    assert isinstance(found, RemoteRCI) and isinstance(found, RCI)
    assert found == remote(runtime_pair.one, rci) and hash(found) == hash(remote(runtime_pair.one, rci))
    assert found.location == runtime_pair.other.location
    started = found(3, exponent=4)
    assert isinstance(started, RemoteCoro)
    assert (started.name, started.location) == ("power", runtime_pair.other.location)
    assert started.value(10) == (81, runtime_pair.other.location)
    # Its result is kept, however late it is asked for, and by a coroutine as well.
    assert started.finish(10) == started.value()
    assert runtime_pair.run(lambda: found(5).value(10))[0] == 25
    rci.unregister()


def test_generator_functions_and_names_of_its_own(runtime_pair):
    def doubled(coro=None):
        number = yield coro.receive()
        return number * 2

    rci = rci_at(runtime_pair.other, doubled, "twice")
    started = runtime_pair.run(lambda: RCI.locate("twice", timeout=10)())
    assert started.deliver(21, 10) == 1
    assert started.value(10) == 42
    rci.unregister()


def test_messages_monitor_terminate_work_with_what_was_started(runtime_pair):
    def patient(coro=None):
        return coro.receive()

    rci = rci_at(runtime_pair.other, patient)
    there = remote(runtime_pair.one, rci)

    def watch(coro=None):
        started = there()
        status = coro.monitor(started)
        started.send("done")
        return status, coro.receive(20)

    status, notice = runtime_pair.run(watch)
    assert (status, notice.kind, notice.value) == (0, "finished", "done")
    started = there()
    assert started.terminate() == 0
    with pytest.raises(CoroTerminated):
        started.value(10)
    rci.unregister()


def test_here_a_call_starts_a_coroutine_here(runtime_pair):
    rci = rci_at(runtime_pair.other, power)
    started = rci(3)
    assert started.is_local() and started.value(10) == (9, runtime_pair.other.location)
    assert runtime_pair.other.spawn(RCI.locate, "power", None, 5).value(10) is rci
    rci.unregister()


def test_L2_a_name_is_registered_once_and_free_again_after(runtime_pair):
    first, second = RCI(power), RCI(len, "power")
    assert first.register() == 0
    assert first.register() == 0
    assert second.register() == -1
    assert second.unregister() == -1
    assert first.unregister() == 0
    assert first.unregister() == -1
    assert second.register() == 0
    second.unregister()


def test_S15_only_registered_functions_run(runtime_pair):
    ran = []
    rci = rci_at(runtime_pair.other, lambda: ran.append(1), "once")
    there = remote(runtime_pair.one, rci)
    there().value(10)
    assert rci.unregister() == 0
    with pytest.raises(BrokenResource, match=r"not registered.*no coroutine was started"):
        there()
    never = runtime_pair.other.spawn(RCI, lambda: ran.append(3)).value(5)
    with pytest.raises(BrokenResource, match="not registered"):
        remote(runtime_pair.one, never)()
    to = runtime_pair.one.peer_infos()[0]
    for number in (0, -1, "once", None, rci.id, refs.number("channel", rci.id), [1], 1 << 70):
        with pytest.raises(BrokenResource, match="not registered"):
            runtime_pair.one.request(to, "greencoro.rci.call", {"rci": number, "watch": 1}, timeout=10)
    assert ran == [1]


def test_S11_a_call_with_wrong_fields_starts_nothing(runtime_pair):
    ran = []
    rci = rci_at(runtime_pair.other, lambda: ran.append(1), "fields")
    to = runtime_pair.one.peer_infos()[0]
    number = refs.number("rci", rci.id)
    for header, parts in (({"watch": "x"}, [b""]), ({"watch": 1}, []), ({}, [b""]), ({"watch": 1}, [b"", b""])):
        with pytest.raises(NetworkError, match="wrong fields"):
            runtime_pair.one.request(to, "greencoro.rci.call", {"rci": number} | header, parts, timeout=10)
    for payload in (b"", b"\0\0", b"\0\0garbage", b"\0\0" + pickle.dumps(5)):
        with pytest.raises(RemoteError, match="no coroutine was started"):
            runtime_pair.one.request(to, "greencoro.rci.call", {"rci": number, "watch": 5}, [payload], timeout=10)
    assert ran == []
    rci.unregister()


def test_L4_a_call_that_starts_nothing_says_so(runtime_pair):
    rci = rci_at(runtime_pair.other, power)
    there = remote(runtime_pair.one, rci)
    with pytest.raises(TypeError, match=r"exponents.*no coroutine was started"):
        there(1, exponents=2)
    with pytest.raises((TypeError, pickle.PicklingError)):
        there(threading.Lock())
    with pytest.raises(RemoteError, match=r"cannot be decoded.*no coroutine was started"):
        there(CannotBeLoaded())
    (link,) = runtime_pair.one.peer_table.online()
    assert not len(link.notices)
    assert there(2).value(10)[0] == 4
    runtime_pair.other.finish()
    poll_until(lambda: not runtime_pair.one.peers())
    with pytest.raises(PeerLost, match="no coroutine was started"):
        there(2)
    rci.unregister()


def test_L4_a_call_whose_answer_was_lost_says_that_a_coroutine_may_run(runtime_pair):
    began, may_end = threading.Event(), threading.Event()

    class Slow:
        """Holds the call up while its arguments are opened."""

        def __reduce__(self):
            return open_slowly, ()

    def open_slowly():
        began.set()
        while not may_end.is_set():
            sleep(0.01)
        return 1

    open_slowly.__qualname__ = "open_slowly"
    globals()["open_slowly"] = open_slowly
    open_slowly.__module__ = __name__
    rci = rci_at(runtime_pair.other, power)
    calling = runtime_pair.one.spawn(remote(runtime_pair.one, rci), Slow())
    assert began.wait(10)
    runtime_pair.cut()
    if runtime_pair.world.network is not None:
        runtime_pair.one.finish()
    with pytest.raises(PeerLost, match="a coroutine may run there"):
        calling.value(20)
    may_end.set()
    del globals()["open_slowly"]
    rci.unregister()


def test_L4_of_500_calls_over_a_link_that_breaks_none_runs_twice(runtime_pair):
    counts = {}

    def count(number):
        counts[number] = counts.get(number, 0) + 1

    rci = rci_at(runtime_pair.other, count)
    there = remote(runtime_pair.one, rci)
    returned, refused = set(), set()
    dice = random.Random(4)

    def call_all(first):
        for number in range(first, 500, 5):
            if dice.random() < 0.02:
                runtime_pair.cut()
            try:
                there(number)
                returned.add(number)
            except PeerLost as error:
                if "no coroutine was started" in str(error):
                    refused.add(number)
                # Give the two time to find each other again.
                runtime_pair.one.peer(runtime_pair.other.location, timeout=10)

    for calling in [runtime_pair.one.spawn(call_all, first) for first in range(5)]:
        calling.value(60)
    assert len(returned) > 100
    poll_until(lambda: returned <= set(counts), what="every call that returned was counted")
    assert set(counts.values()) == {1}
    assert not refused & set(counts)
    rci.unregister()


def test_B1_only_so_many_coroutines_of_a_peer_run_at_once(world):
    one, other = world.runtime(), world.runtime(max_queue_messages=4)
    assert one.peer(other.location, timeout=10) == 0
    may_end = threading.Event()

    def wait():
        while not may_end.is_set():
            sleep(0.01)

    rci = rci_at(other, wait)
    there = remote(one, rci)
    # What was not started does not count.
    for _ in range(5):
        with pytest.raises(RemoteError, match="cannot be decoded"):
            there(CannotBeLoaded())
        with pytest.raises(TypeError):
            there("an argument too many")
    started = [there() for _ in range(4)]
    with pytest.raises(BusyResource, match="no coroutine was started"):
        there()
    may_end.set()
    for coro in started:
        coro.value(10)

    def room():
        try:
            return there().value(10) is None
        except BusyResource:
            return False

    poll_until(room, what="a place that is free again")
    rci.unregister()


def test_an_rci_travels_as_a_reference(runtime_pair):
    rci = rci_at(runtime_pair.other, power)
    there = remote(runtime_pair.one, rci)
    assert runtime_pair.run(lambda: pickle.loads(pickle.dumps(there))) == there
    pickled = runtime_pair.other.spawn(pickle.dumps, rci).value(5)
    assert runtime_pair.run(lambda: pickle.loads(pickled)) == there
    assert runtime_pair.other.spawn(pickle.loads, pickled).value(5) is rci
    assert repr(there) == f"RCI power/{rci.id}@{runtime_pair.other.location}"
    assert there.register() == there.unregister() == -1
    rci.unregister()


def test_bad_input_is_refused_at_the_call():
    async def asynchronous():
        pass

    for method, name in ((5, None), (asynchronous, None), (power, 7)):
        with pytest.raises(TypeError):
            RCI(method, name)
    with pytest.raises(ValueError, match="at least one character"):
        RCI(power, "")


def test_a_name_nobody_has_is_none_at_the_timeout(runtime_pair):
    assert runtime_pair.run(RCI.locate, "nobody's", None, 0.2) is None


def test_a_call_waits_for_a_busy_server_and_its_answer_is_no_guess(runtime_pair):
    rci = rci_at(runtime_pair.other, power)
    started = runtime_pair.run(remote(runtime_pair.one, rci), 3)
    assert isinstance(started, Coro)
    sleeps = rci_at(runtime_pair.other, sleep, "sleep")(60)
    with pytest.raises(DeadlineExceeded):
        sleeps.value(0.05)
    sleeps.terminate()
    assert started.value(10)[0] == 9
    rci.unregister()
